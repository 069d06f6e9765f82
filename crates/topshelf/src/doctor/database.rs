//! The database: PostgreSQL from its name to the rights of our role, or an SQLite file.

mod encryption;
mod keeper;
mod login;
mod postgres;
mod rights;
mod sqlite;

use super::step::{Answer, Examined, Section, Tell};
use crate::{config::without_password, pipeline::Night};
use keeper::Keeper;
use std::path::PathBuf;
use store::probe::{Migrations, Target};

/// Looks at the database; gives also the file, when it is one.
pub(super) async fn examine(night: &Night, tell: Tell<'_>) -> (Section, bool, Option<PathBuf>) {
    let url = &night.config.store.url;
    let about = without_password(url);
    let read = night.database().and_then(|database| Ok((Target::of(&database)?, database)));
    match read {
        Ok((Target::Postgres(target), database)) => {
            let keeper = Keeper::of(&database, night, &target);
            let (section, has_hung) = postgres::examine(*target, keeper, about, tell).await;
            (section, has_hung, None)
        }
        Ok((Target::Sqlite(target), _)) => {
            let path = target.path.clone();
            let (section, has_hung) = sqlite::examine(target, about, tell).await;
            (section, has_hung, Some(path))
        }
        Err(failure) => {
            // What cannot be read as a URL may be a password.
            let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
            let mut examined = Examined::begin("database", format!("{scheme}…"), ["url"], tell);
            let answer = Answer::of(&failure, "store.url is mistyped");
            examined.step::<()>("url", "read store.url", async { Err(answer) }).await;
            let (section, has_hung) = examined.end();
            (section, has_hung, None)
        }
    }
}

/// What is wrong with the migrations whatever this role may do; none when nothing is.
fn damaged(migrations: &Migrations) -> Option<Answer> {
    let numbers = |list: &[i64]| list.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    if !migrations.unfinished.is_empty() {
        return Some(Answer::failed(
            format!("migration {} was begun and did not end", numbers(&migrations.unfinished)),
            "whoever migrated was killed on the way",
            "restore the database, or see what is there of it, finish it by hand, and set `success` in topshelf_migrations",
        ));
    }
    if !migrations.altered.is_empty() {
        return Some(Answer::failed(
            format!("migration {} is not the one that this program has", numbers(&migrations.altered)),
            "an unreleased version of topshelf made the tables, or somebody changed topshelf_migrations",
            "use the version that made the database, or a new database",
        ));
    }
    None
}

/// How far the database is, in words.
fn how_far(migrations: &Migrations) -> String {
    let Migrations { applied, pending, newer, .. } = migrations;
    let numbers = |list: &[i64]| list.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
    let mut told = vec![format!("{} applied", applied.len())];
    if !pending.is_empty() {
        told.push(format!("{} pending ({})", pending.len(), numbers(pending)));
    }
    if !newer.is_empty() {
        told.push(format!("{} of a newer version ({})", newer.len(), numbers(newer)));
    }
    told.join(", ")
}

/// A newer version has migrated further: that is allowed, and told.
fn current(migrations: &Migrations) -> Answer {
    let told = how_far(migrations);
    if migrations.newer.is_empty() {
        return Answer::ok(told);
    }
    Answer::warning(
        told,
        "a newer topshelf has migrated this database",
        "update this one too: neighbouring versions work side by side, others need not",
    )
}
