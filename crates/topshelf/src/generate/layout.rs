//! Which files a set consists of, and which lines go where: names and numbers, no bytes.

use super::GenerateOptions;
use domain::{Day, DayRange, Log};
use source::Compression;

/// Lines made by one thread at a time: about 3 MB, small enough that no thread waits long at the end.
const CHUNK_ROWS: u64 = 65_536;

/// How days are spread over files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Layout {
    /// One file of each log for all days: `ads_views.csv`.
    #[default]
    Single,
    /// One file of each log and day: `ads_views-2024-11-20.csv`.
    Daily,
    /// Hive folders: `ads_views/date=2024-11-20/part-0.csv`, with the `date` column still in the lines.
    Hive,
}

/// A log of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EventLog {
    AdsViews,
    ProductViews,
}

impl EventLog {
    fn name(self) -> &'static str {
        match self {
            Self::AdsViews => Log::AdsViews.name(),
            Self::ProductViews => Log::ProductViews.name(),
        }
    }

    /// The columns that count.
    pub(super) fn columns(self) -> &'static [&'static str] {
        match self {
            Self::AdsViews => &["advertiser_id", "product_id", "type", "date"],
            Self::ProductViews => &["advertiser_id", "product_id", "date"],
        }
    }

    /// What the type of an event may be, the first that of most; a log without types has one kind.
    pub(super) fn kinds(self) -> &'static [&'static str] {
        match self {
            Self::AdsViews => &["impression", "click"],
            Self::ProductViews => &[""],
        }
    }
}

/// A file of one log, the days in it, and the lines of each.
#[derive(Debug)]
pub(super) struct LogFile {
    /// The path below the output folder.
    pub(super) name: String,
    pub(super) log: EventLog,
    days: DayRange,
    rows_per_day: u64,
}

/// Consecutive lines of one day in one file: the unit that one random stream makes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Chunk {
    /// The index of the file.
    pub(super) file: usize,
    pub(super) log: EventLog,
    pub(super) day: Day,
    /// Which chunk of the day, from 0.
    pub(super) number: u64,
    /// None only in a day without events, so that each file has its header.
    pub(super) rows: u64,
}

/// The file of active advertisers, one for all days in every layout.
pub(super) fn advertiser_ids(options: &GenerateOptions) -> String {
    format!("{}.{}", Log::AdvertiserIds.name(), ending(options))
}

/// The end of every file's name.
fn ending(options: &GenerateOptions) -> String {
    let format = options.format.ending();
    match options.compression {
        Compression::None => format.to_owned(),
        Compression::Gzip => format!("{format}.gz"),
        Compression::Zstd => format!("{format}.zst"),
    }
}

/// The event files of a set, ads before views, days in order.
pub(super) fn log_files(options: &GenerateOptions) -> Vec<LogFile> {
    let (all, ending) = (all_days(options), ending(options));
    let logs = [(EventLog::AdsViews, options.rows), (EventLog::ProductViews, options.view_rows())];
    let mut files = Vec::new();
    for (log, rows_per_day) in logs {
        let name = log.name();
        let mut add = |name, days| files.push(LogFile { name, log, days, rows_per_day });
        let one = |day| DayRange { first: day, last: day };
        match options.layout {
            Layout::Single => add(format!("{name}.{ending}"), all),
            Layout::Daily => all.days().for_each(|day| add(format!("{name}-{day}.{ending}"), one(day))),
            Layout::Hive => {
                all.days().for_each(|day| add(format!("{name}/date={day}/part-0.{ending}"), one(day)));
            }
        }
    }
    files
}

fn all_days(options: &GenerateOptions) -> DayRange {
    let first = options.first_day;
    let last = (1..options.days).fold(first, |day, _| day.tomorrow());
    DayRange { first, last }
}

/// The files cut into chunks, in the order in which they are written.
pub(super) fn chunks(files: &[LogFile]) -> Vec<Chunk> {
    let mut chunks = Vec::new();
    for (file, LogFile { log, days, rows_per_day, .. }) in files.iter().enumerate() {
        for day in days.days() {
            for number in 0..rows_per_day.div_ceil(CHUNK_ROWS).max(1) {
                let rows = (rows_per_day - number * CHUNK_ROWS).min(CHUNK_ROWS);
                chunks.push(Chunk { file, log: *log, day, number, rows });
            }
        }
    }
    chunks
}
