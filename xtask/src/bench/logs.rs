//! The logs that everyone reads: generated once for each size, below `target/`.

use super::{Options, contender::python};
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

/// How the logs of events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Format {
    #[value(name = "csv")]
    Csv,
    #[value(name = "csv.gz")]
    CsvGzip,
    #[value(name = "csv.zst")]
    CsvZstd,
}

impl Format {
    /// The end of a file's name.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::CsvGzip => "csv.gz",
            Self::CsvZstd => "csv.zst",
        }
    }
}

/// The three logs as files of one folder.
pub(super) struct Logs {
    /// `advertiser_ids.csv`, and `ads_views` and `product_views` in the format, are in it.
    pub(super) folder: PathBuf,
    pub(super) format: Format,
    /// Of all three.
    pub(super) bytes: u64,
}

impl Logs {
    /// The logs of the wanted size and format, made when they are not there.
    pub(super) fn find_or_make(options: &Options, format: Format) -> Result<Self, Failure> {
        let Options { rows, view_rows, advertisers, products, .. } = options;
        let plain = target().join("bench-data").join(format!("{rows}-{view_rows}-{advertisers}-{products}"));
        // The last file to get its name: when it is there, the others are.
        if !plain.join("product_views.csv").is_file() {
            generate(options, &plain)?;
        }
        let folder = if format == Format::Csv { plain.clone() } else { plain.join(format.ending()) };
        if format != Format::Csv && !folder.join("advertiser_ids.csv").is_file() {
            say(&format!("compressing the logs into {}", folder.display()));
            compress(&plain, &folder, format)?;
        }
        let bytes =
            files(&folder)?.iter().map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum();
        Ok(Self { folder, format, bytes })
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

fn compress(plain: &Path, folder: &Path, format: Format) -> Result<(), Failure> {
    fs::create_dir_all(folder).map_err(|error| format!("could not make {}: {error}", folder.display()))?;
    for log in ["ads_views", "product_views"] {
        let compressed = folder.join(format!("{log}.{}", format.ending()));
        succeed(python("compress.py").arg(plain.join(format!("{log}.csv"))).arg(compressed))?;
    }
    let list = |folder: &Path| folder.join("advertiser_ids.csv");
    let copied = fs::copy(list(plain), list(folder));
    copied.map(drop).map_err(|error| format!("could not write into {}: {error}", folder.display()).into())
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
