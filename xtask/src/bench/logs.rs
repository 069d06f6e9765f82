//! The logs that everyone reads: generated once for each size and format, below `target/`.

use super::peers::script;
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

/// The most days of one set: [`day`] knows two months.
pub(super) const DAYS_MAX: u32 = 42;

/// How the logs are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum Format {
    #[value(name = "csv")]
    Csv,
    #[value(name = "csv.gz")]
    CsvGzip,
    #[value(name = "csv.zst")]
    CsvZstd,
    #[value(name = "jsonl")]
    Jsonl,
    #[value(name = "parquet")]
    Parquet,
}

impl Format {
    /// The end of a file's name.
    pub(super) fn ending(self) -> &'static str {
        match self {
            Self::Csv => "csv",
            Self::CsvGzip => "csv.gz",
            Self::CsvZstd => "csv.zst",
            Self::Jsonl => "jsonl",
            Self::Parquet => "parquet",
        }
    }

    /// Whether a file's bytes are its lines.
    pub(super) fn is_lines(self) -> bool {
        matches!(self, Self::Csv | Self::Jsonl)
    }
}

/// How much is in the logs, however they are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Shape {
    /// Lines of the ad log, of all days together.
    pub(super) rows: u64,
    /// Lines of the product-view log, of all days together.
    pub(super) view_rows: u64,
    pub(super) advertisers: u32,
    /// Of each advertiser.
    pub(super) products: u32,
    /// Days in each file.
    pub(super) days: u32,
    /// Columns that nobody needs.
    pub(super) extra_columns: u32,
}

impl Shape {
    /// The first day.
    pub(super) fn first_day(&self) -> String {
        day(1)
    }

    /// The day that is ranked: the last one.
    pub(super) fn day(&self) -> String {
        day(self.days)
    }

    /// About how many bytes its CSV has.
    pub(super) fn csv_bytes(&self) -> u64 {
        // An unused text has 6 bytes on average, and a comma.
        let extra = u64::from(self.extra_columns) * 7;
        self.rows * (50 + extra) + self.view_rows * (39 + extra)
    }

    /// Writes the logs into `folder`, each as one file.
    pub(super) fn generate(&self, folder: &Path, format: Format) -> Result<(), Failure> {
        self.generate_by(&target().join("release/topshelf"), folder, format)
    }

    /// The same by another build of topshelf.
    fn generate_by(&self, topshelf: &Path, folder: &Path, format: Format) -> Result<(), Failure> {
        let (format, compress) = match format {
            Format::Csv => ("csv", "none"),
            Format::CsvGzip => ("csv", "gzip"),
            Format::CsvZstd => ("csv", "zstd"),
            Format::Jsonl => ("jsonl", "none"),
            Format::Parquet => unreachable!("Parquet is made of CSV"),
        };
        let Self { rows, view_rows, advertisers, products, days, extra_columns } = self;
        let mut generate = program(topshelf, &["generate", "--overwrite", "--out"]);
        generate.arg(folder).args(["--first-day", &day(1), "--seed", "1"]);
        generate.args(["--format", format, "--compress", compress]);
        for (flag, number) in [
            ("--rows", rows / u64::from(*days)),
            ("--view-rows", view_rows / u64::from(*days)),
            ("--advertisers", u64::from(*advertisers)),
            ("--products", u64::from(*products)),
            ("--days", u64::from(*days)),
            ("--extra-columns", u64::from(*extra_columns)),
        ] {
            generate.args([flag, &number.to_string()]);
        }
        succeed(&mut generate)
    }

    /// The name of the folder of a set.
    fn name(&self) -> String {
        let Self { rows, view_rows, advertisers, products, days, extra_columns } = self;
        let days = if *days == 1 { String::new() } else { format!("-{days}-days") };
        let extra = if *extra_columns == 0 { String::new() } else { format!("-{extra_columns}-extra") };
        format!("{rows}-{view_rows}-{advertisers}-{products}{days}{extra}")
    }
}

/// The day with that number, from 1.
fn day(number: u32) -> String {
    assert!((1..=DAYS_MAX).contains(&number), "there is no day {number}");
    let in_november = number + 19;
    if in_november <= 30 {
        format!("2024-11-{in_november}")
    } else {
        format!("2024-12-{:02}", in_november - 30)
    }
}

/// The three logs as files of one folder.
pub(super) struct Logs {
    pub(super) shape: Shape,
    pub(super) format: Format,
    /// Each log is a file in it, named after the log and the format.
    pub(super) folder: PathBuf,
    /// Of all three.
    pub(super) bytes: u64,
}

impl Logs {
    /// The logs of that shape and format, made when they are not there.
    pub(super) fn find_or_make(shape: Shape, format: Format) -> Result<Self, Failure> {
        Self::find_or_make_by(&target().join("release/topshelf"), shape, format)
    }

    /// The same, made by another build of topshelf.
    pub(super) fn find_or_make_by(topshelf: &Path, shape: Shape, format: Format) -> Result<Self, Failure> {
        let folder = target().join("bench-data").join(shape.name()).join(format.ending());
        // The last file to get its name: when it is there, the others are.
        if !folder.join(format!("product_views.{}", format.ending())).is_file() {
            make(topshelf, &shape, format, &folder)?;
        }
        Self::of_folder(shape, format, folder)
    }

    /// The logs that lie in a folder.
    pub(super) fn of_folder(shape: Shape, format: Format, folder: PathBuf) -> Result<Self, Failure> {
        let files = files(&folder)?;
        let bytes = files.iter().map(|file| file.metadata().map_or(0, |metadata| metadata.len())).sum();
        Ok(Self { shape, format, folder, bytes })
    }

    /// The files of events.
    pub(super) fn event_files(&self) -> [PathBuf; 2] {
        ["ads_views", "product_views"].map(|log| self.folder.join(format!("{log}.{}", self.format.ending())))
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

fn make(topshelf: &Path, shape: &Shape, format: Format, folder: &Path) -> Result<(), Failure> {
    if format == Format::Parquet {
        let csv = Logs::find_or_make_by(topshelf, *shape, Format::Csv)?;
        say(&format!("writing the logs as Parquet into {}", folder.display()));
        return succeed(script("write_parquet.py").arg(csv.folder).arg(folder));
    }
    let megabytes = shape.csv_bytes() / 1_000_000;
    say(&format!("generating about {megabytes} MB of logs (as plain CSV) in {}", folder.display()));
    shape.generate_by(topshelf, folder, format)
}

fn files(folder: &Path) -> Result<Vec<PathBuf>, Failure> {
    let read =
        fs::read_dir(folder).map_err(|error| format!("could not list {}: {error}", folder.display()))?;
    Ok(read.flatten().map(|entry| entry.path()).filter(|path| path.is_file()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_go_on_into_the_next_month() {
        assert_eq!(
            [day(1), day(11), day(12), day(30), day(DAYS_MAX)],
            ["2024-11-20", "2024-11-30", "2024-12-01", "2024-12-19", "2024-12-31"]
        );
    }

    #[test]
    fn sets_of_other_shapes_have_other_names() {
        let shape = Shape { rows: 4, view_rows: 2, advertisers: 3, products: 5, days: 1, extra_columns: 0 };
        assert_eq!(shape.name(), "4-2-3-5");
        assert_eq!(Shape { days: 30, extra_columns: 20, ..shape }.name(), "4-2-3-5-30-days-20-extra");
    }
}
