//! An SQLite file: is it there or can it be made, is it a database, and how far is it migrated.

use super::{current, damaged, how_far};
use crate::doctor::{
    machine::{Writable, nearest, writable_file, writable_folder},
    step::{Answer, Examined, Section, Tell, Tried},
};
use std::{fs, path::Path};
use store::probe::SqliteTarget;

pub(super) async fn examine(target: SqliteTarget, about: String, tell: Tell<'_>) -> (Section, bool) {
    let planned = ["folder", "file", "database", "migrations"];
    let mut examined = Examined::begin("database", about, planned, tell);
    look(&mut examined, target).await;
    examined.end()
}

async fn look(examined: &mut Examined<'_>, target: SqliteTarget) -> Option<()> {
    let path = target.path.clone();
    let of = path.display().to_string();
    let folder = folder(path.clone());
    examined.step("folder", format!("look for the folder of {of}, as one to write in"), folder).await?;
    let is_there = examined.step("file", format!("look at {of}"), file(path)).await?;
    let migrations = if is_there {
        let read = {
            let target = target.clone();
            async move {
                let read = target.migrations().await;
                let migrations = read.map_err(|refusal| no_database(&target.path, &refusal.message))?;
                Ok((Answer::ok("it is an SQLite database"), migrations))
            }
        };
        Some(examined.step("database", "open it to read", read).await?)
    } else {
        let work = async { Answer::skipped("the file is not there yet").alone() };
        examined.step("database", "open it to read", work).await?;
        None
    };
    let work = async move {
        match migrations {
            None => Answer::ok("the first run makes the file and its tables").alone(),
            Some(migrations) => match damaged(&migrations) {
                Some(answer) => answer.alone(),
                None if migrations.pending.is_empty() => current(&migrations).alone(),
                None => Answer::warning(
                    how_far(&migrations),
                    "this program is newer than the tables",
                    "nothing: the next run applies them; `topshelf migrate` does it now",
                )
                .alone(),
            },
        }
    };
    examined.step("migrations", "read which are applied", work).await
}

async fn folder(path: std::path::PathBuf) -> Tried<()> {
    let (folder, is_it) = nearest(path.parent().unwrap_or(Path::new(".")));
    match writable_folder(&folder) {
        Writable::Yes if is_it => Answer::ok(format!("{} can be written", folder.display())).alone(),
        Writable::Yes => Answer::ok(format!(
            "it is not there yet; {}, where it is to be made, can be written",
            folder.display()
        ))
        .alone(),
        Writable::No(why) => Err(Answer::failed(
            format!("{}: {why}", folder.display()),
            "SQLite makes files beside the database while it writes, which this user may not do there",
            "give this user the folder (`chown`), or keep the database elsewhere with store.url (--store)",
        )),
    }
}

/// Whether it is there.
async fn file(path: std::path::PathBuf) -> Tried<bool> {
    let metadata = match fs::metadata(&path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Ok((Answer::ok("it is not there yet: the first run makes it"), false));
        }
        metadata => metadata,
    };
    let metadata = metadata.map_err(|error| {
        Answer::failed(
            error.to_string(),
            "this user may not look into the folder",
            "give this user the folder",
        )
    })?;
    if !metadata.is_file() {
        return Err(Answer::failed(
            "it is no file",
            "store.url names a folder or a device",
            "name a file in store.url (--store): sqlite:PATH",
        ));
    }
    if let Writable::No(why) = writable_file(&path) {
        return Err(Answer::failed(
            why,
            "the file belongs to another user, or its disk is mounted to be read only",
            "give this user the file, and the files beside it (-wal, -shm): `chown`",
        ));
    }
    Ok((Answer::ok(format!("{} bytes, can be written", metadata.len())), true))
}

fn no_database(path: &Path, message: &str) -> Answer {
    Answer::failed(
        message,
        "the file is something else, is damaged, or another process holds it alone",
        format!("name another file in store.url (--store), or restore {} from a copy", path.display()),
    )
}
