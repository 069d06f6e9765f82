//! The logs that everyone reads: generated once for each size, below `target/`.

use super::Options;
use crate::{
    Failure,
    repository::{program, succeed, target},
    say,
};
use std::{
    fs::{self, File},
    io,
    path::{Path, PathBuf},
};

/// The one day of the logs.
pub(super) const DAY: &str = "2024-11-20";

/// The three logs as files of one folder.
pub(super) struct Logs {
    /// `advertiser_ids.csv`, `ads_views.csv` and `product_views.csv` are in it.
    pub(super) folder: PathBuf,
    /// Of all three.
    pub(super) bytes: u64,
}

impl Logs {
    /// The logs of the wanted size, generated when they are not there.
    pub(super) fn find_or_generate(options: &Options) -> Result<Self, Failure> {
        let Options { rows, view_rows, advertisers, products, .. } = options;
        let name = format!("{rows}-{view_rows}-{advertisers}-{products}");
        let folder = target().join("bench-data").join(name);
        // The last file to get its name: when it is there, the others are.
        if !folder.join("product_views.csv").is_file() {
            generate(options, &folder)?;
        }
        let bytes =
            files(&folder)?.iter().map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum();
        Ok(Self { folder, bytes })
    }

    /// Reads everything once, so that nobody pays for the first look at the disk.
    pub(super) fn warm(&self) -> Result<(), Failure> {
        say("reading the logs once, so that all tools find them in memory");
        for file in files(&self.folder)? {
            let read = File::open(&file).and_then(|mut file| io::copy(&mut file, &mut io::sink()));
            read.map_err(|error| format!("could not read {}: {error}", file.display()))?;
        }
        Ok(())
    }
}

fn generate(options: &Options, folder: &Path) -> Result<(), Failure> {
    let megabytes = (options.rows * 50 + options.view_rows * 39) / 1_000_000;
    say(&format!("generating about {megabytes} MB of logs in {}", folder.display()));
    let mut generate = program(target().join("release/topshelf"), &["generate", "--overwrite", "--out"]);
    generate.arg(folder).args(["--days", "1", "--first-day", DAY, "--seed", "1"]);
    generate.args(["--rows", &options.rows.to_string(), "--view-rows", &options.view_rows.to_string()]);
    generate.args([
        "--advertisers",
        &options.advertisers.to_string(),
        "--products",
        &options.products.to_string(),
    ]);
    succeed(&mut generate)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let read =
        fs::read_dir(folder).map_err(|error| format!("could not list {}: {error}", folder.display()))?;
    Ok(read.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}
