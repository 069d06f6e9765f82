//! Every kind of bad input, against the real program: what it says and its exit code stand in
//! `docs/bad-input.md`, which this test checks (and writes, with `UPDATE_DOCS=1`).

mod document;
mod files;
mod json_files;
mod json_lines;
mod lines;
mod parquet_files;
mod places;
mod servers;
mod settings;

use crate::scene::{Ended, Scene};
use std::sync::{
    Mutex,
    atomic::{AtomicUsize, Ordering},
};

/// Cases at a time: most of them wait for a process, some for a network that does not answer.
const CASES_AT_A_TIME: usize = 8;

/// One kind of input.
struct Case {
    /// The kind, as the page calls it.
    what: &'static str,
    /// The exit code that it must have.
    exit: i32,
    /// Spoils the good logs, or the call.
    prepare: fn(&mut Scene),
}

/// Kinds of input that belong together.
struct Section {
    title: &'static str,
    says: &'static str,
    cases: &'static [Case],
}

const SECTIONS: [Section; 15] = [
    files::NOT_A_LOG,
    json_files::NOT_A_LOG,
    parquet_files::NOT_A_LOG,
    files::ALL_RIGHT,
    json_files::ALL_RIGHT,
    parquet_files::ALL_RIGHT,
    lines::BAD,
    json_lines::BAD,
    parquet_files::BAD,
    lines::TOO_MANY,
    places::INPUT,
    places::OUTPUT,
    servers::STORE,
    servers::BUCKET,
    settings::SETTINGS,
];

#[test]
fn the_page_tells_what_the_program_says() {
    let page = document::page(&rows());
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/bad-input.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page).unwrap();
        return;
    }
    let written = std::fs::read_to_string(path).unwrap();
    for (line, (written, says)) in written.lines().zip(page.lines()).enumerate() {
        assert_eq!(written, says, "docs/bad-input.md:{} is out of date: set UPDATE_DOCS=1", line + 1);
    }
    assert_eq!(written, page, "docs/bad-input.md is out of date: set UPDATE_DOCS=1");
}

/// The rows of every section, the cases tried side by side.
fn rows() -> Vec<(Section, Vec<String>)> {
    let cases: Vec<_> = SECTIONS.iter().flat_map(|section| section.cases).collect();
    let (next, rows) = (AtomicUsize::new(0), Mutex::new(vec![Ok(String::new()); cases.len()]));
    std::thread::scope(|scope| {
        for _ in 0..CASES_AT_A_TIME {
            scope.spawn(|| {
                loop {
                    let index = next.fetch_add(1, Ordering::Relaxed);
                    let Some(case) = cases.get(index) else { break };
                    let tried = check(case);
                    rows.lock().unwrap()[index] = tried;
                }
            });
        }
    });
    let (rows, wrong): (Vec<_>, Vec<_>) = rows.into_inner().unwrap().into_iter().partition(Result::is_ok);
    let wrong: Vec<_> = wrong.into_iter().filter_map(Result::err).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    let mut rows = rows.into_iter().flatten();
    SECTIONS
        .into_iter()
        .map(|section| {
            let of_section = rows.by_ref().take(section.cases.len()).collect();
            (section, of_section)
        })
        .collect()
}

/// Tries the case; its row of the page, or what is wrong with how the program took it.
fn check(case: &Case) -> Result<String, String> {
    let mut scene = Scene::new();
    (case.prepare)(&mut scene);
    if scene.is("run") {
        scene.add_args(&["--json"]);
    }
    let ended = scene.end();
    let wrong = |what: &str| Err(format!("{}: {what}: {ended:#?}", case.what));
    if ended.exit != case.exit {
        return wrong(&format!("it should end with {}", case.exit));
    }
    if ended.stderr.contains("panicked") {
        return wrong("it panics");
    }
    if ended.exit != 0 && !has_remedy(&ended) {
        return wrong("it says not what to do");
    }
    if ended.exit != 0 && has_published(&scene) {
        return wrong("it published something");
    }
    if ["hunter2", "wrong@"].iter().any(|password| ended.stderr.contains(password)) {
        return wrong("it tells a password");
    }
    Ok(document::row(case, &scene, &ended))
}

/// Whether the message says what to do next, as ours do and as those about flags do.
fn has_remedy(ended: &Ended) -> bool {
    ["help: ", "For more information, try", "Usage: "].iter().any(|mark| ended.stderr.contains(mark))
}

/// Whether readers see anything, in the store that is used when none is named.
fn has_published(scene: &Scene) -> bool {
    let database = scene.path("topshelf-data/topshelf.db");
    database.is_file() && scene.call(&["show", "acme", "--json"]).exit == 0
}
