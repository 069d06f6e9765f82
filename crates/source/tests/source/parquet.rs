//! Parquet objects: written by the `parquet` crate in many ways, read by ours, whole, spoilt and cut off.

mod damage;
mod read;
mod sheets;

use crate::support::Place;
use sheets::seen::{Seen, choose, see};
use source::{ColumnUse, ObjectInfo, ReadLimits, Reading, SourceError};
use std::{fs, path::Path};
use tokio::runtime::Handle;

impl Place {
    /// Reads these columns of the object.
    async fn parquet(&self, object: &ObjectInfo, columns: &[(&str, ColumnUse)]) -> Result<Seen, SourceError> {
        let reading = Reading::new(&self.location, ReadLimits::for_threads(1), &Handle::current());
        let parquet = choose(&reading, object, columns).await?;
        let row_groups = 0..parquet.row_groups().count();
        let expected = row_groups.flat_map(|index| parquet.expected(index));
        reading.expect(expected.map(|range| (object, range)));
        tokio::task::spawn_blocking(move || see(&reading, &parquet)).await.unwrap()
    }
}

#[test]
fn the_kept_corpus_of_the_fuzz_target_parquet_is_read_as_written_or_refused() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/parquet");
    let mut files = 0;
    for file in fs::read_dir(&corpus).unwrap() {
        let file = file.unwrap().path();
        println!("{}", file.display());
        sheets::case::check(&fs::read(&file).unwrap());
        files += 1;
    }
    assert!(files > 0, "{} is empty", corpus.display());
}
