//! Flags of the command that makes sample logs.

use crate::generate::{Format, Layout};
use clap::{Args, ValueEnum};
use domain::Day;
use source::Compression;
use std::path::PathBuf;

/// Flags of `generate`.
#[derive(Debug, Args)]
pub struct Generate {
    /// Folder to write into; made if missing
    #[arg(long, value_name = "DIR")]
    pub out: PathBuf,
    /// Ad rows (impressions and clicks) a day
    #[arg(long, value_name = "N", default_value_t = 20_000)]
    pub rows: u64,
    /// View rows a day [default: half of the ad rows]
    #[arg(long, value_name = "N")]
    pub view_rows: Option<u64>,
    /// Advertisers
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub advertisers: u32,
    /// Products of each advertiser
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub products: u32,
    /// The first day, YYYY-MM-DD
    #[arg(long, value_name = "DAY", default_value = "2024-11-20")]
    pub first_day: Day,
    /// How many days
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub days: u32,
    /// The share of advertisers that are active, 0 to 1
    #[arg(long, value_name = "RATIO", default_value_t = 0.8)]
    pub active_ratio: f64,
    /// The same seed gives the same bytes
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// How days are laid out in objects
    #[arg(long, value_name = "LAYOUT", default_value = "single")]
    pub layout: LayoutName,
    /// The format of the logs
    #[arg(long, value_name = "FORMAT", default_value = "csv")]
    pub format: FormatName,
    /// How files are compressed
    #[arg(long, value_name = "COMPRESSION", default_value = "none")]
    pub compress: CompressionName,
    /// Columns beside those that count, with short texts: half of them before those, half behind
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub extra_columns: u32,
    /// Replace files that are there
    #[arg(long)]
    pub overwrite: bool,
}

/// The format of generated logs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum FormatName {
    /// Comma-separated values with a header.
    Csv,
    /// Tab-separated values with a header.
    Tsv,
    /// JSON lines: an object a line.
    Jsonl,
}

impl From<FormatName> for Format {
    fn from(name: FormatName) -> Self {
        match name {
            FormatName::Csv => Self::Csv,
            FormatName::Tsv => Self::Tsv,
            FormatName::Jsonl => Self::Jsonl,
        }
    }
}

/// How generated files are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CompressionName {
    /// Not at all.
    None,
    /// Gzip: names end with .gz.
    Gzip,
    /// Zstandard: names end with .zst.
    Zstd,
}

impl From<CompressionName> for Compression {
    fn from(name: CompressionName) -> Self {
        match name {
            CompressionName::None => Self::None,
            CompressionName::Gzip => Self::Gzip,
            CompressionName::Zstd => Self::Zstd,
        }
    }
}

/// How generated days are laid out in objects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LayoutName {
    /// One object for all days.
    Single,
    /// An object a day: ads_views-2024-11-20.csv.
    Daily,
    /// Hive folders: ads_views/date=2024-11-20/part-0.csv.
    Hive,
}

impl From<LayoutName> for Layout {
    fn from(name: LayoutName) -> Self {
        match name {
            LayoutName::Single => Self::Single,
            LayoutName::Daily => Self::Daily,
            LayoutName::Hive => Self::Hive,
        }
    }
}
