//! The same counting on a cluster: objects cut into tasks, what executors counted gathered again.
//!
//! Whoever runs the night plans it, looks at the objects before and after, judges the lines and commits to the lake, as
//! always; only counting is done elsewhere. A task is some parts of some objects, which its executor reads by itself,
//! with credentials of its own: none travel. The sums of a range of products are written to the lake where they were
//! added up: objects of them, which mean nothing until the night's manifest names them.

mod figures;
mod progress;
mod sample;
mod task;
mod worker;

use super::{
    ClusterFigures, Night, StageReport,
    count::{DayLists, OnCluster, Opened},
    input::{Form, Found},
};
use crate::{
    config::{self, Input, Lake as LakeSettings},
    failure::{Exit, Failure},
    halt::Halt,
};
use cluster::{ClusterError, Job, JobFigures, Peer, Ranges, Row, TlsFiles, Transport, Unreachable, run_job};
use counting::{
    Columns, CountError, Counted, CountedObject, Gathering, Limits, ObjectDays, Part, Piece, Wanted, parts,
};
use domain::Counts;
use figures::Given;
use lake::CountsThere;
use progress::ShownJob;
use source::Location;
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};
use task::{Kept, Shared, Stored, Task, TaskObject, TaskReport, packed, unpacked};
use tracing::{info, warn};

pub use worker::CountingWorker;

/// Tasks that add up, when nobody says how many.
const ADDERS_MAX: usize = 32;

/// How long a scheduler that was lost with a job may take to come back.
const BACK_WITHIN: Duration = Duration::from_secs(60);

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
    let started = Instant::now();
    let settings = &night.config.cluster;
    let scheduler = scheduler(settings)?;
    scheduler.reach(Duration::ZERO).await.map_err(|source| not_reached(&scheduler, source))?;
    let task_bytes = settings.task_mib << 20;
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
    let job = Job {
        name: format!("topshelf {}", super::of_days(wanted.days())),
        shared: packed(&shared(night, lists)?),
        tasks: tasks.iter().map(packed).collect(),
        ranges: Ranges::cut_at(cuts),
        keeps: may_keep && settings.executors_write,
        deadline: Duration::from_secs(settings.deadline_seconds),
    };
    let gather = || Gathered {
        counts: Gathering::new(Arc::clone(wanted), Arc::clone(&objects), parts.clone(), limits.clone()),
        objects: Arc::clone(&objects),
        there: vec![Vec::new(); wanted.days().len()],
        given: Given::default(),
    };
    let mut last = None;
    let gathered = jobs(night, &scheduler, job, gather, &mut last).await.map_err(|failure| {
        let Some(figures) = last.take() else { return failure };
        let stage = StageReport::since("count", started).by_cluster(Some(figures));
        failure.with_report(serde_json::json!({ "stages": [stage] }))
    })?;
    let figures = last.expect("a job has counted");
    let Gathered { counts, there, .. } = gathered;
    let ClusterFigures { job, elapsed_ms, rows, rows_kept, .. } = &figures;
    info!(job, tasks = count, elapsed_ms, rows, rows_kept, "the cluster has counted");
    let finish = move || counts.finish(&*opened, (&date.0, &date.1));
    let counted = tokio::task::spawn_blocking(finish).await.expect("gathering does not panic");
    Ok((counted, OnCluster { there, figures }))
}

/// What was gathered of the first job that has counted; `last` is what the last one did that came to anything.
async fn jobs(
    night: &Night,
    scheduler: &Peer,
    mut job: Job,
    gather: impl Fn() -> Gathered,
    last: &mut Option<ClusterFigures>,
) -> Result<Gathered, Failure> {
    let shown = ShownJob::new(&night.progress);
    let (mut jobs, mut failed) = (0, 0);
    loop {
        jobs += 1;
        let (gathered, figures, done) =
            attempt(scheduler, job.clone(), (&night.halt, &shown), gather()).await;
        if !figures.job.is_empty() {
            *last = Some(ClusterFigures::new(figures, gathered.given(), job.tasks.len(), jobs));
        }
        match done {
            Ok(()) if !job.keeps || gathered.counts.is_as_guessed() => return Ok(gathered),
            Ok(()) => {
                warn!("a task began amid a record, and what was written of it is of no use: counting again");
                job.keeps = false;
            }
            Err(failure) if failure.is_transient() && failed < night.config.cluster.retries => {
                warn!(error = failure.chain(), "the cluster did not count, trying again with a new job");
                failed += 1;
                if night.halt.unless_stopped(scheduler.reach(BACK_WITHIN)).await?.is_err() {
                    return Err(failure);
                }
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// The scheduler, and how it is connected to.
fn scheduler(cluster: &config::Cluster) -> Result<Peer, Failure> {
    let (host, port) = cluster.scheduler()?.expect("a cluster is asked that has a URL");
    Ok(Peer::new(format!("{host}:{port}"), transport(cluster)?))
}

/// What this side shows, and the authority of all.
pub(crate) const TLS_KEYS: [&str; 3] = ["cluster.tls_cert", "cluster.tls_key", "cluster.tls_ca"];

/// How all of the cluster is connected to.
pub(crate) fn transport(cluster: &config::Cluster) -> Result<Transport, Failure> {
    if cluster.tls_cert.is_empty() {
        return Ok(Transport::default());
    }
    let [certificate, key, authority] =
        [&cluster.tls_cert, &cluster.tls_key, &cluster.tls_ca].map(PathBuf::from);
    Transport::tls(&TlsFiles { certificate, key, authority }).map_err(|error| {
        let help = error.remedy(TLS_KEYS);
        Failure::explained(Exit::Usage, error).help(help)
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
    /// What the tasks that have reported said of themselves.
    fn given(&self) -> Given {
        let rows_kept = self.there.iter().flatten().map(|there| there.rows).sum();
        Given { rows_kept, ..self.given }
    }

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

/// One job, from its first task to what was gathered of it, and how it went.
async fn attempt(
    scheduler: &Peer,
    job: Job,
    (halt, shown): (&Halt, &ShownJob),
    mut gathered: Gathered,
) -> (Gathered, JobFigures, Result<(), Failure>) {
    let stop = async { Failure::from(halt.until_stopped().await) };
    let (figures, done) =
        run_job(scheduler, job, stop, |seen| shown.see(seen), |row| gathered.take(row)).await;
    let done = match done {
        Ok(()) => gathered.counts.check().map_err(not_gathered),
        Err(ClusterError::Taken(failure)) => Err(failure),
        Err(error) => Err(explain(scheduler, error)),
    };
    (gathered, figures, done)
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

/// Why a scheduler cannot be asked for anything, and what to do about it.
pub(crate) fn not_reached(scheduler: &Peer, source: Unreachable) -> Failure {
    explain(scheduler, ClusterError::Unreachable { scheduler: scheduler.to_string(), source })
}

fn explain(scheduler: &Peer, error: ClusterError<Failure>) -> Failure {
    let start = format!("start `topshelf cluster executor --scheduler {scheduler}`");
    let help = match &error {
        ClusterError::Unreachable { source, .. } => source.remedy_of_tls(TLS_KEYS).unwrap_or_else(|| format!(
            "is `topshelf cluster scheduler` running there, and may this machine reach {scheduler}? With `--cluster=` this machine counts"
        )),
        ClusterError::Lost { .. } => "is it running? Start it at this address, and run the day again; nothing was published".to_owned(),
        ClusterError::Deadline { executors: Some(0), .. } | ClusterError::NoExecutors { .. } => {
            format!("{start}, and run the day again: the scheduler's log names executors that were lost; nothing was published")
        }
        ClusterError::NotFetched { source, .. } => source.remedy_of_tls(TLS_KEYS).unwrap_or_else(|| {
            "has it ended? Then run the day again. If not: whoever runs the night fetches from executors, so let this machine reach that port of each, and let executors call themselves by a host that it knows (--host); nothing was published".to_owned()
        }),
        ClusterError::Deadline { .. } => "are there executors, and do they have work? The scheduler's log tells; cluster.deadline_seconds gives more time".to_owned(),
        ClusterError::Failed { remedy: Some(remedy), .. } => format!("{remedy}; nothing was published"),
        ClusterError::Failed { .. } => "the executors' logs tell more; nothing was published".to_owned(),
        ClusterError::Wrong { .. } => NOTHING_PUBLISHED.to_owned(),
        ClusterError::Taken(_) => unreachable!("told before"),
    };
    Failure::of(error).help(help).transient_if(true)
}
