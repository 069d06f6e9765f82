//! What a run that was killed must not leave behind once the next has ended.

use crate::database::{Database, Kind, Prompt};
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// Longer than PostgreSQL takes to notice that a client is gone.
const PATIENCE: Duration = Duration::from_secs(60);

/// Files below the folder, whatever they are called.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let is_folder = entry.file_type().unwrap().is_dir();
            if is_folder { &mut folders } else { &mut files }.push(entry.path());
        }
    }
    files.sort();
    files
}

/// The objects of a day, by their names in the lake.
pub(crate) fn objects(lake: &Path, day: &str) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files = files(lake);
    files.retain(|path| path.to_string_lossy().contains(day));
    let named = |path: PathBuf| (path.strip_prefix(lake).unwrap().to_owned(), fs::read(&path).unwrap());
    files.into_iter().map(named).collect()
}

/// Files of the lake that are neither manifests nor named by the manifest beside them.
pub(crate) fn unnamed_objects(lake: &Path) -> Vec<PathBuf> {
    let mut unnamed = files(lake);
    unnamed.retain(|path| {
        let manifest = fs::read(path.with_file_name("manifest.json")).unwrap_or_default();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap_or_default();
        let name = path.file_name().unwrap().to_str().unwrap();
        name != "manifest.json" && !names(&manifest, name)
    });
    unnamed
}

/// Whether any value in the document is this text.
fn names(document: &Value, text: &str) -> bool {
    match document {
        Value::String(string) => string == text,
        Value::Array(values) => values.iter().any(|value| names(value, text)),
        Value::Object(members) => members.values().any(|value| names(value, text)),
        _ => false,
    }
}

/// Rows that belong to no run that published or was held, by table; and runs that seem to be under way.
pub(crate) fn orphan_rows(prompt: &mut Prompt, kind: Kind) -> Vec<String> {
    let tables = match kind {
        Kind::Sqlite => {
            "SELECT m.name FROM sqlite_master m JOIN pragma_table_info(m.name) c
             WHERE m.type = 'table' AND c.name = 'run_id' AND m.name <> 'runs'"
        }
        Kind::Postgres => {
            "SELECT c.table_name::text FROM information_schema.columns c JOIN information_schema.tables t
                 ON t.table_schema = c.table_schema AND t.table_name = c.table_name
             WHERE c.column_name = 'run_id' AND t.table_type = 'BASE TABLE' AND c.table_name <> 'runs'"
        }
    };
    let mut orphans = Vec::new();
    for table in prompt.rows(tables) {
        let of_none = format!(
            "SELECT DISTINCT '{table} of ' || run_id FROM {table} WHERE run_id NOT IN
                 (SELECT run_id FROM runs WHERE rankings_run_id IS NOT NULL)"
        );
        orphans.extend(prompt.rows(&of_none));
    }
    orphans.extend(prompt.rows("SELECT 'under way: ' || run_id FROM runs WHERE status = 'running'"));
    orphans
}

/// Waits until nobody holds a lock or has a transaction open, but for moments in which readers ask.
pub(crate) fn until_nothing_is_locked(database: &Database, prompt: &mut Prompt) {
    match database.kind {
        Kind::Sqlite => {
            // Whoever holds the lock for writing keeps this waiting, and in the end refused.
            prompt.run("BEGIN IMMEDIATE; ROLLBACK");
        }
        Kind::Postgres => {
            let held = "SELECT DISTINCT coalesce(l.locktype || ' ' || l.mode, a.state) || ' of ' || a.query
                 FROM pg_stat_activity a LEFT JOIN pg_locks l ON l.pid = a.pid AND
                     (l.locktype = 'advisory' OR l.mode LIKE '%Exclusive%' AND l.locktype <> 'virtualxid')
                 WHERE a.datname = current_database() AND a.pid <> pg_backend_pid()
                 AND (l.pid IS NOT NULL OR a.state LIKE 'idle in transaction%')";
            let begun = Instant::now();
            loop {
                let held = prompt.rows(held);
                if held.is_empty() {
                    return;
                }
                assert!(begun.elapsed() < PATIENCE, "still locked: {held:#?}");
                thread::sleep(Duration::from_millis(1));
            }
        }
    }
}
