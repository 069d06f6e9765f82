//! The same counting on a cluster: objects cut into tasks, what executors counted gathered again.
//!
//! Whoever runs the night plans it, looks at the objects before and after, judges the lines and commits to the lake, as
//! always; only counting is done elsewhere. A task is some parts of some objects, which its executor reads by itself,
//! with credentials of its own: none travel. The sums of a range of products are written to the lake where they were
//! added up: objects of them, which mean nothing until the night's manifest names them.

mod figures;
mod progress;
mod sample;

use super::{
    ClusterFigures, Night,
    count::{DayLists, OnCluster, Opened},
    input::{Form, Found, Text},
    parquet::ParquetLog,
};
use crate::{
    config::{self, Config, Input, Lake as LakeSettings},
    failure::{Exit, Failure},
    halt::Halt,
    progress::Progress,
    spill::SpillFolder,
};
use cluster::{
    Bytes, ClusterError, Give, Job, JobFigures, Peer, Ranges, Room, Row, Sums, TlsFiles, Transport,
    Unreachable, Worker, run_job,
};
use counting::{
    Columns, Content, CountError, Counted, CountedObject, DateFormat, Gathering, Instructions, Limits,
    Memory, ObjectDays, Part, Piece, Report, SortedSums, Wanted, count_parts, parts, table_bytes_min,
};
use domain::{AdvertiserId, Counts, CountsBlock, CountsSlice, Day, Log};
use figures::Given;
use indicatif::ProgressBar;
use jiff::tz::TimeZone;
use lake::{CountsThere, Lake, WriteCountsError};
use progress::ShownJob;
use serde::{Deserialize, Serialize};
use source::{Compression, Location, ObjectInfo, ReadLimits, Reading, RowGroups};
use std::{
    io, iter,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::runtime::Handle;
use tracing::{info, warn};

/// Tasks that add up, when nobody says how many.
const ADDERS_MAX: usize = 32;

/// How long a scheduler that was lost with a job may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

/// What all tasks of a job have in common.
#[derive(Serialize, Deserialize)]
struct Shared {
    input: Input,
    lake: LakeSettings,
    timezone: String,
    /// The lists of active advertisers; days with the same one behind each other share it.
    lists: Vec<Arc<[AdvertiserId]>>,
    /// The days, each with the index of its list.
    days: Vec<(Day, usize)>,
}

/// What an executor counts at a time.
#[derive(Serialize, Deserialize)]
struct Task {
    objects: Vec<TaskObject>,
    /// The parts, by the indices of these objects.
    parts: Vec<Part>,
    /// The index of each part among those of the job.
    indices: Vec<usize>,
}

#[derive(Clone, Serialize, Deserialize)]
struct TaskObject {
    /// Its index among those of the job.
    index: usize,
    counted: CountedObject,
    info: ObjectInfo,
    stored: Stored,
}

/// How an object is stored.
#[derive(Clone, Serialize, Deserialize)]
enum Stored {
    Text(Compression),
    /// With the names of the columns, as the executor reads the footer by itself.
    Parquet(Columns),
}

/// What became of a task.
#[derive(Serialize, Deserialize)]
enum TaskReport {
    /// The parts, by their indices among those of the job.
    Counted { parts: Vec<(usize, Report)>, partial_rows: u64, spilled_bytes: u64 },
    /// It never can be counted: at which of the job's objects, why, and what to do about it.
    Refused { object: Option<usize>, is_input: bool, message: String, help: Option<String> },
}

/// What was put in the lake of a range of products: the place of the day among the wanted ones, and the objects.
#[derive(Serialize, Deserialize)]
struct Kept(Vec<(usize, CountsThere)>);

/// What counting on the cluster needs of the night.
pub(super) struct Spread<'n> {
    pub(super) night: &'n Night,
    pub(super) wanted: &'n Arc<Wanted>,
    pub(super) lists: DayLists,
    pub(super) limits: &'n Limits,
}

/// Counts the objects on the cluster of the configuration. Sums are kept where they were added up, if they may.
///
/// # Errors
/// When the cluster cannot do it, now or ever.
pub(super) async fn count(
    spread: Spread<'_>,
    objects: Vec<CountedObject>,
    columns: Vec<Columns>,
    opened: Opened,
    may_keep: bool,
) -> Result<(Result<Counted, CountError>, OnCluster), Failure> {
    let Spread { night, wanted, lists, limits } = spread;
    let settings = &night.config.cluster;
    let scheduler = scheduler(settings)?;
    scheduler.reach(Duration::ZERO).await.map_err(|source| not_reached(&scheduler, source))?;
    let task_bytes = settings.task_mib.max(1) << 20;
    let parts = parts(&objects, task_bytes);
    let tasks = tasks(&parts, &opened, &columns, task_bytes);
    let count = tasks.len();
    let date = (night.config.input.date_format()?, night.schedule.zone().clone());
    let objects: Arc<[CountedObject]> = objects.into();
    let opened = Arc::new(opened);
    let adders = if settings.adders == 0 { count.clamp(1, ADDERS_MAX) } else { settings.adders };
    let sample = {
        let (wanted, objects, opened) = (Arc::clone(wanted), Arc::clone(&objects), Arc::clone(&opened));
        let (parts, limits, date) = (parts.clone(), limits.clone(), date.clone());
        move || sample::cuts(&wanted, &objects, &parts, &*opened, (&date.0, &date.1), &limits, adders)
    };
    let cuts = tokio::task::spawn_blocking(sample).await.expect("a sample is taken without panic");
    let mut job = Job {
        name: format!("topshelf {}", super::of_days(wanted.days())),
        shared: packed(&shared(night, lists)?),
        tasks: tasks.iter().map(packed).collect(),
        ranges: Ranges::cut_at(cuts),
        keeps: may_keep && settings.executors_write,
        deadline: Duration::from_secs(settings.deadline_seconds.max(1)),
    };
    let shown = ShownJob::new(&night.progress);
    let (mut jobs, mut failed) = (1, 0);
    let (gathered, figures) = loop {
        let gathering =
            Gathering::new(Arc::clone(wanted), Arc::clone(&objects), parts.clone(), limits.clone());
        let gathered = Gathered {
            objects: Arc::clone(&objects),
            counts: gathering,
            there: vec![Vec::new(); wanted.days().len()],
            given: Given::default(),
        };
        match attempt(&scheduler, job.clone(), (&night.halt, &shown), gathered).await {
            Ok((gathered, figures)) if !job.keeps || gathered.counts.is_as_guessed() => {
                break (gathered, figures);
            }
            Ok(_) => {
                warn!("a task began amid a record, and what was written of it is of no use: counting again");
                job.keeps = false;
            }
            Err(failure) if failure.is_transient() && failed < settings.retries => {
                warn!(error = failure.chain(), "the cluster did not count, trying again with a new job");
                failed += 1;
                // The next job tells when it does not come back.
                let _ = night.halt.unless_stopped(scheduler.reach(BACK_WITHIN)).await?;
            }
            Err(failure) => return Err(failure),
        }
        jobs += 1;
    };
    drop(shown);
    let Gathered { counts, there, given, .. } = gathered;
    let rows_kept = there.iter().flatten().map(|there| there.rows).sum();
    let figures = ClusterFigures::new(figures, Given { rows_kept, ..given }, count, jobs);
    let ClusterFigures { job, elapsed_ms, rows, .. } = &figures;
    info!(job, tasks = count, elapsed_ms, rows, rows_kept, "the cluster has counted");
    let finish = move || counts.finish(&*opened, (&date.0, &date.1));
    let counted = tokio::task::spawn_blocking(finish).await.expect("gathering does not panic");
    Ok((counted, OnCluster { there, figures }))
}

/// The scheduler, and how it is connected to.
fn scheduler(cluster: &config::Cluster) -> Result<Peer, Failure> {
    let url = &cluster.url;
    let address = url.strip_prefix("df://").unwrap_or(url);
    let is_address =
        address.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
    if is_address {
        return Ok(Peer::new(address, transport(cluster)?));
    }
    Err(Failure::new(Exit::Usage, format!("cluster.url {url:?} is no scheduler's"))
        .help("say df://HOST:PORT of the machine where `topshelf cluster scheduler` runs"))
}

fn transport(cluster: &config::Cluster) -> Result<Transport, Failure> {
    if cluster.tls_cert.is_empty() {
        return Ok(Transport::default());
    }
    let [certificate, key, authority] =
        [&cluster.tls_cert, &cluster.tls_key, &cluster.tls_ca].map(PathBuf::from);
    Transport::tls(&TlsFiles { certificate, key, authority }).map_err(|error| {
        Failure::explained(Exit::Usage, error)
            .help("cluster.tls_cert, cluster.tls_key and cluster.tls_ca are files in PEM")
    })
}

fn shared(night: &Night, days: DayLists) -> Result<Shared, Failure> {
    let (input, lake) = (night.input()?, night.lake_location()?);
    let mut shared = Shared {
        input: Input { url: everywhere(&input)?, ..night.config.input.clone() },
        lake: LakeSettings { url: everywhere(&lake)? },
        timezone: night.config.schedule.timezone.clone(),
        lists: Vec::new(),
        days: Vec::new(),
    };
    for (day, list) in days {
        if shared.lists.last() != Some(&list) {
            shared.lists.push(list);
        }
        shared.days.push((day, shared.lists.len() - 1));
    }
    Ok(shared)
}

/// What a process that was started elsewhere calls a place.
fn everywhere(location: &Location) -> Result<String, Failure> {
    let Some(directory) = location.directory() else { return Ok(location.url().to_owned()) };
    Ok(std::path::absolute(directory).map_err(Failure::of)?.to_string_lossy().into_owned())
}

/// The parts in tasks of about so many stored bytes.
fn tasks(parts: &[Part], opened: &Opened, columns: &[Columns], task_bytes: u64) -> Vec<Task> {
    let mut tasks: Vec<Task> = Vec::new();
    let mut bytes = task_bytes;
    for (index, part) in parts.iter().enumerate() {
        let found = &opened.found[part.object];
        let part_bytes = match &part.piece {
            Piece::Bytes { start, end, .. } => end - start,
            Piece::All => found.info.size,
            Piece::RowGroup(row_group) => found.parquet().object.stored_bytes(*row_group),
        };
        if bytes + part_bytes > task_bytes {
            tasks.push(Task { objects: Vec::new(), parts: Vec::new(), indices: Vec::new() });
            bytes = 0;
        }
        bytes += part_bytes;
        let task = tasks.last_mut().expect("the first part begins a task");
        // Not by its name: an object may be of two logs, or be planned for two days.
        if task.objects.last().is_none_or(|object| object.index != part.object) {
            task.objects.push(task_object(part.object, found, &columns[part.object]));
        }
        task.parts.push(Part { object: task.objects.len() - 1, piece: part.piece.clone() });
        task.indices.push(index);
    }
    tasks
}

fn task_object(index: usize, found: &Found, columns: &Columns) -> TaskObject {
    let stored = match &found.form {
        Form::Text(text) => Stored::Text(text.compression),
        Form::Parquet(_) => Stored::Parquet(columns.clone()),
    };
    TaskObject { index, counted: found.counted.clone(), info: found.info.clone(), stored }
}

/// What has come of a job.
struct Gathered {
    objects: Arc<[CountedObject]>,
    counts: Gathering,
    there: Vec<Vec<CountsThere>>,
    given: Given,
}

impl Gathered {
    fn take(&mut self, row: Row<'_>) -> Result<(), Failure> {
        match row {
            Row::Counts(group, product, counters) => {
                self.counts.add(group, product, counters).map_err(not_gathered)
            }
            Row::Report(report) => match unpacked(report).map_err(unreadable)? {
                TaskReport::Counted { parts, partial_rows, spilled_bytes } => {
                    self.given.partial_rows += partial_rows;
                    self.given.spilled_bytes += spilled_bytes;
                    let report = |(part, report)| self.counts.report(part, report).map_err(not_gathered);
                    parts.into_iter().try_for_each(report)
                }
                TaskReport::Refused { object, is_input, message, help } => {
                    let failure = Failure::new(if is_input { Exit::Refused } else { Exit::Failed }, message);
                    let failure = help.into_iter().fold(failure, Failure::help);
                    let days = object.and_then(|object| self.objects.get(object)).map(|object| object.days);
                    Err(match days {
                        Some(ObjectDays::Only(day)) => failure.of_days([day]),
                        Some(ObjectDays::Any) | None => failure,
                    })
                }
            },
            Row::Kept(report) => {
                let Kept(days) = unpacked(report).map_err(unreadable)?;
                for (slot, there) in days {
                    let events = there.totals.iter().map(|(_, totals)| events(&totals.counts)).sum();
                    self.counts.add_elsewhere(slot, events).map_err(not_gathered)?;
                    self.there[slot].push(there);
                }
                Ok(())
            }
        }
    }
}

/// One job, from its first task to what was gathered of it.
async fn attempt(
    scheduler: &Peer,
    job: Job,
    (halt, shown): (&Halt, &ShownJob),
    mut gathered: Gathered,
) -> Result<(Gathered, JobFigures), Failure> {
    let stop = async { Failure::from(halt.until_stopped().await) };
    match run_job(scheduler, job, stop, |seen| shown.see(seen), |row| gathered.take(row)).await {
        Ok(figures) => {
            gathered.counts.check().map_err(not_gathered)?;
            Ok((gathered, figures))
        }
        Err(ClusterError::Taken(failure)) => Err(failure),
        Err(error) => Err(explain(scheduler, error)),
    }
}

/// How many events make these counts.
fn events(counts: &Counts) -> u64 {
    counts.impressions + counts.clicks + counts.views
}

fn not_gathered(error: CountError) -> Failure {
    let help = matches!(error, CountError::Unfounded(_)).then_some(NOTHING_PUBLISHED);
    help.into_iter().fold(Failure::of(error), Failure::help).transient_if(true)
}

fn unreadable(error: serde_json::Error) -> Failure {
    Failure::of(error).within("an executor's report cannot be read").help(NOTHING_PUBLISHED)
}

/// The remedy for what should not happen.
const NOTHING_PUBLISHED: &str = "nothing was published; this should not happen: keep the scheduler's log";

fn not_reached(scheduler: &Peer, source: Unreachable) -> Failure {
    explain(scheduler, ClusterError::Unreachable { scheduler: scheduler.to_string(), source })
}

fn explain(scheduler: &Peer, error: ClusterError<Failure>) -> Failure {
    let help = match &error {
        ClusterError::Unreachable { source, .. } if source.is_of_tls() => "all of a cluster speak TLS, or none does: cluster.tls_cert, cluster.tls_key and cluster.tls_ca name what this side shows, and the authority of all".to_owned(),
        ClusterError::Unreachable { .. } => format!(
            "is `topshelf cluster scheduler` running there, and may this machine reach {scheduler}? Without --cluster this machine counts"
        ),
        ClusterError::Deadline { .. } => "are there executors, and do they have work? The scheduler's log tells; cluster.deadline_seconds gives more time".to_owned(),
        ClusterError::Failed { .. } => "the executors' logs tell more; nothing was published".to_owned(),
        ClusterError::Wrong { .. } => NOTHING_PUBLISHED.to_owned(),
        ClusterError::Taken(_) => unreachable!("told before"),
    };
    Failure::of(error).help(help).transient_if(true)
}

/// What travels: JSON, packed by zstd.
fn packed(content: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(content).expect("tasks are plain data");
    zstd::bulk::compress(&json, 3).expect("memory takes it").into()
}

fn unpacked<'b, T: for<'d> Deserialize<'d>>(bytes: &'b [u8]) -> Result<T, serde_json::Error> {
    let mut json = Vec::new();
    zstd::stream::copy_decode(bytes, &mut json).map_err(serde_json::Error::io)?;
    serde_json::from_slice(&json)
}

/// Counts tasks on an executor.
#[derive(Debug)]
pub struct CountingWorker {
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
    pub fn new(runtime: Handle, spill: PathBuf) -> Self {
        Self { runtime, spill: Arc::new(SpillFolder::clean(spill)), job: Mutex::new(None) }
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
                let refused = |error| {
                    super::input::refuse_columns(reading.location(), Log::AdsViews, &info.name, &error)
                };
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
            Err(Unable { failure, .. }) if failure.is_transient() => return Err(told(&failure)),
            Err(Unable { object, failure }) => TaskReport::Refused {
                object,
                is_input: failure.exit == Exit::Refused,
                message: failure.chain(),
                help: failure.help_text().map(ToOwned::to_owned),
            },
        };
        Ok(packed(&report).to_vec())
    }

    fn keep(&self, shared: &[u8], sums: &mut dyn Sums, give: &mut Give<'_>) -> io::Result<Vec<u8>> {
        match self.put(shared, sums, give) {
            Ok(kept) => Ok(packed(&kept).to_vec()),
            Err(failure) => Err(told(&failure)),
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
        CountError::Read { object, source, .. } => Unable {
            object: numbers.get(object).copied(),
            failure: super::input::explain_read(source).into(),
        },
        error @ (CountError::Memory(_) | CountError::Spill(_)) => {
            Failure::of(error).transient_if(true).into()
        }
        error => Failure::of(error).into(),
    }
}

/// What the engine hears of a failure: all of it, as nothing else gets from here to whoever runs the night.
fn told(failure: &Failure) -> io::Error {
    let help = failure.help_text().map(|help| format!(" (help: {help})")).unwrap_or_default();
    io::Error::other(failure.chain() + &help)
}
