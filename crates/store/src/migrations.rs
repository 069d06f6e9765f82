//! The migrations of each database, in order, as the program carries them.
//!
//! They are listed here and not found by `sqlx::migrate!`: its procedural macro would have both
//! databases' drivers, SQLite among them, compiled a second time for the build itself.

use sqlx::{
    SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
};

/// The table of the migrations applied: of our own name, as another program may share the database.
pub(crate) const TABLE: &str = "topshelf_migrations";

/// (version, description, SQL): what was released never changes, its checksum is in the databases.
type Listed = (i64, &'static str, &'static str);

const POSTGRES: &[Listed] = &[
    (1, "publications", include_str!("../migrations/postgres/0001_publications.sql")),
    (2, "ledger", include_str!("../migrations/postgres/0002_ledger.sql")),
    (3, "holds", include_str!("../migrations/postgres/0003_holds.sql")),
    (4, "moves", include_str!("../migrations/postgres/0004_moves.sql")),
    (5, "lease", include_str!("../migrations/postgres/0005_lease.sql")),
    (6, "packed", include_str!("../migrations/postgres/0006_packed.sql")),
    (7, "keys", include_str!("../migrations/postgres/0007_keys.sql")),
    (8, "nights", include_str!("../migrations/postgres/0008_nights.sql")),
    (9, "orchestrator", include_str!("../migrations/postgres/0009_orchestrator.sql")),
];

const SQLITE: &[Listed] = &[
    (1, "publications", include_str!("../migrations/sqlite/0001_publications.sql")),
    (2, "ledger", include_str!("../migrations/sqlite/0002_ledger.sql")),
    (3, "holds", include_str!("../migrations/sqlite/0003_holds.sql")),
    (4, "moves", include_str!("../migrations/sqlite/0004_moves.sql")),
    (5, "lease", include_str!("../migrations/sqlite/0005_lease.sql")),
    (6, "packed", include_str!("../migrations/sqlite/0006_packed.sql")),
    (7, "keys", include_str!("../migrations/sqlite/0007_keys.sql")),
    (8, "nights", include_str!("../migrations/sqlite/0008_nights.sql")),
    (9, "orchestrator", include_str!("../migrations/sqlite/0009_orchestrator.sql")),
];

pub(crate) fn of_postgres() -> Migrator {
    migrator(POSTGRES)
}

pub(crate) fn of_sqlite() -> Migrator {
    migrator(SQLITE)
}

/// A database that a newer version has migrated is left as it is.
fn migrator(listed: &[Listed]) -> Migrator {
    let migrations = listed.iter().map(|(version, description, sql)| {
        Migration::new(*version, (*description).into(), MigrationType::Simple, sql.into_sql_str(), false)
    });
    let mut migrator = Migrator::with_migrations(migrations.collect());
    migrator.set_ignore_missing(true);
    migrator.dangerous_set_table_name(TABLE);
    migrator
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_migration_is_listed() {
        for (folder, listed) in [("postgres", POSTGRES), ("sqlite", SQLITE)] {
            let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("migrations").join(folder);
            let files = std::fs::read_dir(folder).unwrap().map(|file| file.unwrap().file_name());
            let mut files: Vec<_> = files.map(|name| name.into_string().unwrap()).collect();
            files.sort();
            let names =
                listed.iter().map(|(version, description, _)| format!("{version:04}_{description}.sql"));
            assert_eq!(files, names.collect::<Vec<_>>());
        }
    }
}
