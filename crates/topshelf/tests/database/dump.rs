//! All that a database holds, to be compared with what another holds.

use crate::database::{Database, Prompt};

/// Every row of every table, but for what tells the time at which something really happened, and how the program was
/// configured.
pub(crate) fn dump(prompt: &mut Prompt) -> Vec<String> {
    let tables = prompt.rows(
        "SELECT table_name::text FROM information_schema.tables
         WHERE table_schema = 'public' AND table_type = 'BASE TABLE' AND table_name <> 'topshelf_migrations' ORDER BY 1",
    );
    let mut rows = Vec::new();
    for table in tables {
        let told = "to_jsonb(t) - 'seen_at' - 'report' - 'config_hash' - 'process'";
        rows.extend(prompt.rows(&format!("SELECT '{table} ' || ({told})::text FROM {table} t ORDER BY 1")));
    }
    rows
}

/// The two databases must hold the same.
#[track_caller]
pub(crate) fn are_alike(ours: &Database, theirs: &Database) {
    let [ours, theirs] = [ours, theirs].map(|database| dump(&mut database.prompt()));
    let missing: Vec<_> = theirs.iter().filter(|row| !ours.contains(row)).take(5).collect();
    let surplus: Vec<_> = ours.iter().filter(|row| !theirs.contains(row)).take(5).collect();
    assert!(ours == theirs, "{} rows, not {}: {missing:#?} {surplus:#?}", ours.len(), theirs.len());
}
