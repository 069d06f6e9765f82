//! The executor's side: does tasks, and puts what it adds up in the lake.

use super::{
    super::{
        Night,
        count::Opened,
        input::{Form, Found, Text, explain_read, refuse_columns},
        parquet::ParquetLog,
    },
    not_gathered,
    task::{Kept, Shared, Stored, Task, TaskObject, TaskReport, packed, unpacked},
};
use crate::{
    config::Config,
    failure::{Exit, Failure},
    halt::Halt,
    progress::Progress,
    spill::SpillFolder,
};
use cluster::{Give, Room, Sums, Trouble, Worker};
use counting::{
    Content, CountError, CountedObject, DateFormat, Instructions, Limits, Memory, SortedSums, Wanted,
    count_parts, table_bytes_min,
};
use domain::{CountsBlock, CountsSlice, Log};
use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use lake::{Lake, WriteCountsError};
use source::{Location, ObjectInfo, ReadLimits, Reading, RowGroups, SourceError};
use std::{
    io, iter,
    path::PathBuf,
    sync::{Arc, Mutex},
};
use tokio::runtime::Handle;

/// Counts tasks on an executor.
#[derive(Debug)]
pub struct CountingWorker {
    /// What others call the executor.
    executor: String,
    runtime: Handle,
    spill: Arc<SpillFolder>,
    /// The job that was last worked on, and what its tasks have in common.
    job: Mutex<Option<(Vec<u8>, Arc<Ready>)>>,
}

/// What the tasks of a job have in common, ready for use.
struct Ready {
    input: Location,
    lake: Lake,
    wanted: Wanted,
    format: DateFormat,
    zone: TimeZone,
}

impl std::fmt::Debug for Ready {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ready({})", self.input.url())
    }
}

impl CountingWorker {
    /// A worker that reads with the environment's credentials, and keeps in the folder what does not fit in memory.
    #[must_use]
    pub fn new(executor: &str, runtime: Handle, spill: PathBuf) -> Self {
        Self {
            executor: executor.to_owned(),
            runtime,
            spill: Arc::new(SpillFolder::clean(spill)),
            job: Mutex::new(None),
        }
    }

    /// What a job's tasks have in common; made once, whatever number of tasks there is.
    fn ready(&self, shared: &[u8]) -> Result<Arc<Ready>, Failure> {
        let mut job = self.job.lock().expect("nobody panics while making it ready");
        if let Some((_, ready)) = job.as_ref().filter(|(of, _)| of == shared) {
            return Ok(Arc::clone(ready));
        }
        let Shared { input, lake, timezone, lists, days } = unpacked(shared).map_err(Failure::of)?;
        let mut config = Config { input, lake, ..Config::default() };
        config.schedule.timezone = timezone;
        let night = Night::new(config, Progress::none())?;
        let days = days.into_iter().map(|(day, list)| (day, Arc::clone(&lists[list])));
        let ready = Arc::new(Ready {
            input: night.input()?,
            lake: night.lake()?,
            wanted: Wanted::new(days.collect()),
            format: night.config.input.date_format()?,
            zone: night.schedule.zone().clone(),
        });
        *job = Some((shared.to_vec(), Arc::clone(&ready)));
        Ok(ready)
    }

    fn count(
        &self,
        shared: &[u8],
        task: &[u8],
        room: Room,
        give: &mut Give<'_>,
    ) -> Result<TaskReport, Unable> {
        let ready = self.ready(shared)?;
        let Task { objects, parts, indices } = unpacked(task).map_err(Failure::of)?;
        let memory_bytes = room.memory_bytes.map_or(u64::MAX, |bytes| bytes as u64);
        let read_limits = ReadLimits::for_threads(1).within(memory_bytes / 4);
        let table_bytes = memory_bytes / 2;
        let needed = table_bytes_min(1, ready.wanted.groups());
        if table_bytes < needed {
            return Err(Failure::new(Exit::Failed, format!("a task has {table_bytes} bytes of memory for its counts, and so many days and advertisers need {needed}"))
                .help("give the executors more memory, or fewer slots: `topshelf cluster executor --memory --slots`").into());
        }
        let memory = Some(Memory { table_bytes, spill: Arc::clone(&self.spill) as _ });
        let limits = Limits { threads: 1, slice_bytes: u64::MAX, instructions: Instructions::Best, memory };
        let reading = Reading::new(&ready.input, read_limits, &self.runtime);
        let (mut numbers, mut counted, mut found) = (Vec::new(), Vec::new(), Vec::new());
        for TaskObject { index, counted: object, info, stored } in objects {
            let form = self.form(&reading, &object, &info, stored);
            let form = form.map_err(|failure| Unable { object: Some(index), failure: failure.into() })?;
            numbers.push(index);
            counted.push(object.clone());
            found.push(Found { counted: object, info, form });
        }
        let row_groups = RowGroups::new(&reading);
        let opened = Opened { reading, row_groups, found, bar: ProgressBar::hidden(), halt: Halt::new() };
        let date = (&ready.format, &ready.zone);
        let explain = |error| explain_task(&numbers, error);
        let done = count_parts(&ready.wanted, &counted, &parts, &opened, date, &limits).map_err(explain)?;
        let mut partial_rows = 0;
        for day in &done.days {
            for part in day.parts() {
                part.entries(|group, product, counters| {
                    partial_rows += 1;
                    give(group, product, counters).map_err(CountError::Spill)
                })
                .map_err(explain)?;
            }
        }
        let parts = indices.into_iter().zip(done.reports).collect();
        Ok(TaskReport::Counted { parts, partial_rows, spilled_bytes: done.spilled_bytes })
    }

    fn form(
        &self,
        reading: &Reading,
        object: &CountedObject,
        info: &ObjectInfo,
        stored: Stored,
    ) -> Result<Form, Failure> {
        match (stored, &object.content) {
            (Stored::Parquet(columns), _) => {
                let refused = |error| refuse_columns(reading.location(), Log::AdsViews, &info.name, &error);
                self.runtime.block_on(ParquetLog::open(reading, info, &columns, refused)).map(Form::Parquet)
            }
            (Stored::Text(compression), Content::Text { layout, .. }) => {
                Ok(Form::Text(Text { layout: layout.clone(), compression, assumed: None }))
            }
            (Stored::Text(_), Content::Columns(_)) => {
                Err(Failure::new(Exit::Failed, "a task is not what it should be"))
            }
        }
    }
}

impl CountingWorker {
    /// A failure, and where.
    fn named(&self, failure: &Failure) -> String {
        format!("on executor {}: {}", self.executor, failure.chain())
    }

    /// What the engine hears of a failure.
    fn told(&self, failure: &Failure) -> io::Error {
        let remedy = failure.help_text().map(ToOwned::to_owned);
        io::Error::other(Trouble { message: self.named(failure), remedy })
    }

    /// Puts objects of a range's sums.
    fn put(&self, shared: &[u8], sums: &mut dyn Sums, give: &mut Give<'_>) -> Result<Kept, Failure> {
        let ready = self.ready(shared)?;
        let wanted = &ready.wanted;
        let mut blocks = blocks(wanted, sums).peekable();
        let mut kept = Vec::new();
        while let Some(first) = blocks.next_if(|_| true) {
            let (slot, first) = first?;
            let of_day = |block: &Result<(usize, CountsBlock), Failure>| match block {
                Ok((of, _)) => *of == slot,
                Err(_) => true,
            };
            let rest = iter::from_fn(|| Some(blocks.next_if(of_day)?.map(|(_, block)| block)));
            let back = |rows: CountsSlice<'_>| {
                for (index, products) in rows.into_advertisers() {
                    let group = wanted.group_of(slot, index);
                    for (at, counts) in products.counts().iter().enumerate() {
                        let counters = [counts.impressions, counts.clicks, counts.views];
                        let counters = counters.map(u64::cast_signed);
                        give(group, products.product_id(at).as_bytes(), counters).map_err(Failure::of)?;
                    }
                }
                Ok(())
            };
            let (day, active) = (wanted.days()[slot], wanted.active(slot));
            let put =
                ready.lake.put_counts(day, active, iter::once(Ok(first)).chain(rest), back, &self.runtime);
            let put = put.map_err(|error| match error {
                WriteCountsError::Lake(error) => Failure::from(error),
                WriteCountsError::Counts(failure) => failure,
            })?;
            kept.extend(put.map(|there| (slot, there)));
        }
        Ok(Kept(kept))
    }
}

/// Sums as blocks, each with the place of its day among the wanted ones.
fn blocks(
    wanted: &Wanted,
    sums: &mut dyn Sums,
) -> impl Iterator<Item = Result<(usize, CountsBlock), Failure>> {
    let mut sorted = SortedSums::of(wanted);
    let mut next = move || -> Result<Option<(usize, CountsBlock)>, Failure> {
        while let Some((group, product, counters)) = sums.next_sum().map_err(Failure::of)? {
            let block = sorted.push(group, product, counters).map_err(not_gathered)?;
            if block.is_some() {
                return Ok(block);
            }
        }
        Ok(sorted.rest())
    };
    iter::from_fn(move || next().transpose())
}

impl Worker for CountingWorker {
    fn work(&self, shared: &[u8], task: &[u8], room: Room, give: &mut Give<'_>) -> io::Result<Vec<u8>> {
        let report = match self.count(shared, task, room, give) {
            Ok(report) => report,
            // What may pass is tried again by the engine, on this executor or another.
            Err(Unable { failure, .. }) if failure.is_transient() => return Err(self.told(&failure)),
            Err(Unable { object, failure }) => {
                let help = failure.help_text().map(ToOwned::to_owned);
                let is_input = failure.exit == Exit::Refused;
                // An object that is refused would be refused anywhere.
                let message = if is_input { failure.chain() } else { self.named(&failure) };
                TaskReport::Refused { object, is_input, message, help }
            }
        };
        Ok(packed(&report).to_vec())
    }

    fn keep(&self, shared: &[u8], sums: &mut dyn Sums, give: &mut Give<'_>) -> io::Result<Vec<u8>> {
        match self.put(shared, sums, give) {
            Ok(kept) => Ok(packed(&kept).to_vec()),
            Err(failure) => Err(self.told(&failure)),
        }
    }
}

/// Why a task could not be counted, and at which of the job's objects.
struct Unable {
    object: Option<usize>,
    failure: Box<Failure>,
}

impl From<Failure> for Unable {
    fn from(failure: Failure) -> Self {
        Self { object: None, failure: failure.into() }
    }
}

/// Why counting failed; the task's objects have these numbers in the job. That this executor has no memory or disk left may
/// pass, or be otherwise elsewhere.
fn explain_task(numbers: &[usize], error: CountError) -> Unable {
    match error {
        CountError::Read { object, source, .. } => {
            Unable { object: numbers.get(object).copied(), failure: explain_object(source).into() }
        }
        error @ (CountError::Memory(_) | CountError::Spill(_)) => {
            Failure::of(error).transient_if(true).into()
        }
        error => Failure::of(error).into(),
    }
}

/// A failed read. What the night saw and is not here may have changed since, or never have been here.
fn explain_object(error: io::Error) -> Failure {
    let source = error.get_ref().and_then(|error| error.downcast_ref::<SourceError>());
    let is_another = matches!(source, Some(SourceError::Changed { .. }));
    let failure = explain_read(error);
    match failure.help_text().map(|help| format!("as that executor's user, where it runs: {help}")) {
        _ if is_another => failure.help(ELSEWHERE),
        Some(help) if failure.exit != Exit::Refused => failure.help(help),
        _ => failure,
    }
}

const ELSEWHERE: &str = "are the logs the same for all executors? A folder must be the same on all machines, at the same path, and a bucket at the same endpoint; if they are, run the day again when nothing writes to its logs";
