//! Migrations whose connection is cut.

use crate::{
    database::{Database, Kind},
    proxy::{Fate, Proxy},
    publisher::PATIENCE,
};
use std::{panic::resume_unwind, path::Path, thread};
use store::Store;
use tokio::runtime::Builder;

/// Migrating has more statements than this: that they were cut is not believed otherwise.
const STATEMENTS_MIN: usize = 10;

/// Every column that there is, and every migration that was applied.
const SCHEMA: &str = "SELECT table_name || '.' || column_name || ' ' || data_type FROM information_schema.columns
    WHERE table_schema = 'public' UNION ALL SELECT version || ' ' || success FROM topshelf_migrations ORDER BY 1";

/// What a database is after it was migrated, with the first statement of those cut that come `number`th; none when
/// there were not so many.
fn migrated(fate: Fate, number: usize) -> (Vec<String>, bool) {
    let database = Database::new(Kind::Postgres, Path::new("unused"));
    let proxy = Proxy::before(&database.url);
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let store = Store::open_patiently(&proxy.url(&database.url), PATIENCE).await.unwrap();
        let mut statements = 0;
        proxy.once(fate, move |message| {
            let is_statement = matches!(message.kind, Some(b'Q' | b'S'));
            statements += usize::from(is_statement);
            is_statement && statements == number + 1
        });
        store.migrate().await.unwrap_or_else(|error| panic!("cut at {number}: {error}"));
    });
    (database.prompt().rows(SCHEMA), proxy.has_cut())
}

/// Cuts at one statement further each time, until there is none left.
fn cut_at_each_statement(fate: Fate, undisturbed: &[String]) {
    for number in 0.. {
        let (schema, has_cut) = migrated(fate, number);
        assert_eq!(schema, undisturbed, "cut at {number}");
        if !has_cut {
            assert!(number > STATEMENTS_MIN, "{number} statements");
            return;
        }
    }
}

#[test]
fn migrations_cut_at_any_statement_are_made_once() {
    let (undisturbed, _) = migrated(Fate::Passes, 0);
    let undisturbed = &undisturbed;
    thread::scope(|scope| {
        let fates = [Fate::IsLost, Fate::IsNotAnswered];
        let cuts = fates.map(|fate| scope.spawn(move || cut_at_each_statement(fate, undisturbed)));
        for cut in cuts {
            cut.join().unwrap_or_else(|panic| resume_unwind(panic));
        }
    });
}
