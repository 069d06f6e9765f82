//! Stores that are filled by `fill_store` of `benches/servers`, and are gone when they are dropped.

use super::{Size, folder_bytes};
use crate::{
    Failure, postgres,
    repository::{program, stdout, target},
};
use serde::Deserialize;
use std::{fmt, path::Path};
use tempfile::TempDir;

/// A database that can be served from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Kind {
    Sqlite,
    Postgres,
}

impl Kind {
    /// What a ranking of twenty products may take on disk, generously: its rows, their keys, and what is written
    /// besides for a while.
    pub(super) fn disk_bytes_a_ranking(self) -> u64 {
        match self {
            Self::Sqlite => 20 * 150,
            Self::Postgres => 20 * 300,
        }
    }

    /// How `--store` calls it.
    pub(super) fn flag(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Sqlite => "SQLite",
            Self::Postgres => "PostgreSQL",
        })
    }
}

/// What `fill_store` prints of a day.
#[derive(Debug, Deserialize)]
pub(super) struct Published {
    /// When readers could see it, in milliseconds since 1970-01-01.
    pub(super) published_ms: u64,
}

/// A filled store.
pub(super) struct Filled {
    size: Size,
    url: String,
    folder: TempDir,
    server: Option<postgres::Server>,
}

/// A temporary folder on the disk of what is built.
pub(super) fn folder() -> Result<TempDir, Failure> {
    let folder = tempfile::tempdir_in(target());
    folder.map_err(|error| format!("could not make a folder below target: {error}").into())
}

impl Filled {
    pub(super) fn fill(kind: Kind, size: Size) -> Result<Self, Failure> {
        let folder = folder()?;
        let server = match kind {
            Kind::Sqlite => None,
            Kind::Postgres => Some(postgres::Server::start()?),
        };
        let file = folder.path().join("topshelf.db");
        let url = server
            .as_ref()
            .map_or_else(|| format!("sqlite:{}", file.display()), |server| server.url().to_owned());
        let filled = Self { size, url, folder, server };
        filled.publish(0, size.days)?;
        Ok(filled)
    }

    pub(super) fn url(&self) -> &str {
        &self.url
    }

    /// Room for files beside the store.
    pub(super) fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// What the database takes on disk.
    pub(super) fn bytes(&self) -> Result<u64, Failure> {
        folder_bytes(self.server.as_ref().map_or(self.folder.path(), postgres::Server::folder))
    }

    /// Publishes the day after the last.
    pub(super) fn publish_one_more(&self) -> Result<Published, Failure> {
        self.publish(self.size.days, 1)
    }

    /// Publishes so many days; tells of the last.
    fn publish(&self, first: u64, days: u64) -> Result<Published, Failure> {
        let mut fill = program(target().join("release/fill_store"), &["--store", &self.url]);
        let numbers = [("--advertisers", self.size.advertisers), ("--first", first), ("--days", days)];
        fill.args(numbers.iter().flat_map(|(flag, number)| [(*flag).to_owned(), number.to_string()]));
        last(&stdout(&mut fill)?).ok_or_else(|| "fill_store does not tell what it published".into())
    }
}

fn last(printed: &str) -> Option<Published> {
    serde_json::from_str(printed.lines().last()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_day_counts() {
        let printed = "{\"day\":\"2024-11-20\",\"version\":1,\"published_ms\":5}\n{\"day\":\"2024-11-21\",\"version\":2,\"published_ms\":7}\n";
        assert_eq!(last(printed).unwrap().published_ms, 7);
        assert!(last("").is_none());
    }
}
