//! Sample logs: those of an ad-tech company that never existed.
//!
//! Options enter, files leave. The bytes depend on the options alone, never on the number of threads,
//! the machine or the hour (those of compressed files on the compressor's version too); a day's events
//! depend on nothing but the seed, the sizes and the day, so a set is extended by generating later days
//! with the same seed, and is the same in every format. Nothing here reads a log, and nothing is left
//! half-written under its final name.

mod compressed;
mod events;
mod layout;
mod lines;
mod output;
mod popularity;
mod population;
mod unused;

pub use layout::Layout;
pub use lines::Format;

use domain::Day;
use layout::LogFile;
use output::Output;
use population::Population;
use source::Compression;
use std::{
    io,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    thread,
};

/// The most products that one advertiser can have; ids are drawn from 36⁶.
pub const PRODUCTS_MAX: u32 = 1_000_000;
/// The most products of all advertisers together: each takes eight bytes of memory.
pub const PRODUCTS_TOTAL_MAX: u64 = 200_000_000;

/// The most rows of both event logs over all days.
pub const ROWS_MAX: u64 = 1_000_000_000_000;
/// The most columns beside those that count.
pub const EXTRA_COLUMNS_MAX: u32 = 1_000;
/// The day after 9999-12-31, in days since 1970-01-01.
const DAYS_END: i64 = 2_932_897;

/// What to generate, and where.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerateOptions {
    /// The folder to write to; made when it is not there.
    pub out: PathBuf,
    /// Lines of the ad log, each day.
    pub rows: u64,
    /// Lines of the product-view log, each day; half of `rows` when not given.
    pub view_rows: Option<u64>,
    /// Advertisers that have events, active or not.
    pub advertisers: u32,
    /// Products of each advertiser.
    pub products: u32,
    /// The first day.
    pub first_day: Day,
    /// How many days.
    pub days: u32,
    /// The share of advertisers that are active, from 0 to 1.
    pub active_ratio: f64,
    /// Another seed makes other logs.
    pub seed: u64,
    /// How days are spread over files.
    pub layout: Layout,
    /// How events are written.
    pub format: Format,
    /// How files are compressed.
    pub compression: Compression,
    /// Columns beside those that count, with short texts.
    pub extra_columns: u32,
    /// Whether files that are there are replaced.
    pub overwrite: bool,
    /// Threads that make lines; the bytes do not depend on it.
    pub threads: NonZeroUsize,
}

impl Default for GenerateOptions {
    /// A month of a small company, on as many threads as the machine has.
    fn default() -> Self {
        Self {
            out: PathBuf::from("data"),
            rows: 20_000,
            view_rows: None,
            advertisers: 20,
            products: 100,
            first_day: "2024-11-20".parse().expect("the literal is a day"),
            days: 30,
            active_ratio: 0.8,
            seed: 1,
            layout: Layout::Single,
            format: Format::Csv,
            compression: Compression::None,
            extra_columns: 0,
            overwrite: false,
            threads: thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        }
    }
}

impl GenerateOptions {
    /// Lines of the product-view log, each day.
    #[must_use]
    pub fn view_rows(&self) -> u64 {
        self.view_rows.unwrap_or(self.rows / 2)
    }

    /// Lines of both event logs over all days, headers apart: what `progress` counts up to.
    #[must_use]
    pub fn total_rows(&self) -> u64 {
        self.rows.saturating_add(self.view_rows()).saturating_mul(u64::from(self.days))
    }

    fn check(&self) -> Result<(), GenerateError> {
        let products_total = u64::from(self.advertisers) * u64::from(self.products);
        let problem = if self.advertisers == 0 {
            "advertisers must be at least 1".to_owned()
        } else if self.products == 0 || self.products > PRODUCTS_MAX {
            format!("products must be from 1 to {PRODUCTS_MAX} for each advertiser")
        } else if products_total > PRODUCTS_TOTAL_MAX {
            format!("advertisers × products is {products_total}: at most {PRODUCTS_TOTAL_MAX} fit")
        } else if self.days == 0 {
            "days must be at least 1".to_owned()
        } else if i64::from(self.first_day.epoch_days()) + i64::from(self.days) > DAYS_END {
            format!("{} days from {} on reach past the year 9999", self.days, self.first_day)
        } else if self.total_rows() > ROWS_MAX {
            format!("{} rows are more than {ROWS_MAX}", self.total_rows())
        } else if self.extra_columns > EXTRA_COLUMNS_MAX {
            format!("extra columns must be at most {EXTRA_COLUMNS_MAX}")
        } else if !(0.0..=1.0).contains(&self.active_ratio) {
            format!("active ratio {} is not between 0 and 1", self.active_ratio)
        } else {
            return Ok(());
        };
        Err(GenerateError::Options(problem))
    }
}

/// What was generated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Generated {
    /// The files, in the order they were written: `advertiser_ids` first.
    pub files: Vec<PathBuf>,
    /// Lines in all files, headers apart.
    pub rows: u64,
    /// Bytes of all files.
    pub bytes: u64,
}

/// Why sample logs could not be generated. No file is left under its final name, except when the
/// last step, giving all files their names, is what failed.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// An option makes no sense.
    #[error("{0}")]
    Options(String),
    /// A file of an earlier set is there.
    #[error("{} is there already", .0.display())]
    Exists(PathBuf),
    /// The disk is full.
    #[error("no space is left on the disk for {}", .0.display())]
    DiskFull(PathBuf),
    /// The operating system refused.
    #[error("could not write {}", path.display())]
    Write {
        /// The file or folder.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl GenerateError {
    fn write(path: &Path, source: io::Error) -> Self {
        let path = path.to_owned();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::DiskFull(path),
            _ => Self::Write { path, source },
        }
    }
}

/// Generates the logs; `progress` hears now and then how many of [`GenerateOptions::total_rows`] are done.
///
/// # Errors
/// [`GenerateError`] when an option makes no sense, a file is there, or writing fails.
pub fn generate(options: &GenerateOptions, progress: &dyn Fn(u64)) -> Result<Generated, GenerateError> {
    options.check()?;
    let (advertiser_ids, files) = (layout::advertiser_ids(options), layout::log_files(options));
    let names = [&*advertiser_ids].into_iter().chain(files.iter().map(|file| &*file.name));
    let mut output = Output::prepare(options, names)?;

    let population = Population::new(options);
    output.begin(&advertiser_ids)?;
    output.append(&options.format.advertiser_ids(population.active()))?;
    write_events(options, &population, &files, &mut output, progress)?;
    let (files, bytes) = output.commit()?;
    Ok(Generated { files, rows: options.total_rows() + population.active_count(), bytes })
}

fn write_events(
    options: &GenerateOptions,
    population: &Population,
    files: &[LogFile],
    output: &mut Output,
    progress: &dyn Fn(u64),
) -> Result<(), GenerateError> {
    let chunks = layout::chunks(files);
    let mut rows_done = 0;
    let mut file_open = None;
    events::in_order(options, population, &chunks, |chunk, lines| {
        if file_open != Some(chunk.file) {
            file_open = Some(chunk.file);
            let file = &files[chunk.file];
            output.begin(&file.name)?;
            output.append(&options.format.header(&lines::columns(file.log, options.extra_columns)))?;
        }
        output.append(lines)?;
        rows_done += chunk.rows;
        progress(rows_done);
        Ok(())
    })
}

#[cfg(test)]
mod tests;
