//! What fuzzing found worth keeping.

use crate::readings::case::{self, Beginnings};
use std::{fs, path::Path};

fn check(target: &str, beginnings: &Beginnings) {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(target);
    let mut files = 0;
    for file in fs::read_dir(&corpus).unwrap() {
        let file = file.unwrap().path();
        println!("{}", file.display());
        case::check(&fs::read(&file).unwrap(), beginnings);
        files += 1;
    }
    assert!(files > 0, "{} is empty", corpus.display());
}

#[test]
fn the_kept_corpus_of_the_fuzz_target_csv_counts_as_a_naive_reading() {
    check("csv", &case::DELIMITED);
}

#[test]
fn the_kept_corpus_of_the_fuzz_target_json_counts_as_a_naive_reading() {
    check("json", &case::JSON_LINES);
}
