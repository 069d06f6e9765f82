//! The first stage: logs become the counts of each day, in the lake.

use super::{
    ClusterFigures, Night, StageReport,
    assumed::NotAsAssumed,
    before::{Before, PartCounted},
    input::{
        ActiveDay, Beginnings, Failures, Found, PlannedLog, active_days, all_or_failures, counted_objects,
        explain_read, log_input, object_input, of_object, plan,
    },
    limits::{explain_spill, limits, read_limits},
    of_days,
    parquet::Rows,
    visible,
};
use crate::{
    failure::{Exit, Failure},
    halt::Halt,
    traces::{self, span},
};
use counting::{CountError, Counted, CountedDay, Limits, ObjectDay, Objects, RowBatches, Wanted};
use domain::{AdvertiserId, Day, Log, RejectExample, Tally};
use futures::{StreamExt, stream};
use indicatif::ProgressBar;
use lake::{
    CountsInput, CountsManifest, CountsThere, Lake, LakeError, LogInput, NewCounts, ObjectInput,
    WriteCountsError,
};
use source::{Location, PlannedObject, Reading, RowGroups};
use std::{
    collections::{BTreeMap, HashSet},
    io::{self, Read},
    ops::Range,
    sync::Arc,
    time::Instant,
};
use tokio::runtime::Handle;
use tracing::{field::Empty, warn};

/// Objects that are looked at again at a time, to see that they did not change.
const LOOKS_AT_A_TIME: usize = 32;

/// What counting made of each day: what it left in the lake, or why the day is refused.
pub(super) type CountedDays = Vec<Result<(CountsManifest, StageReport), Failure>>;

/// Counts the days, which come oldest first, in one pass over the objects they share and leaves each
/// day's counts in the lake. Days that objects of their own fail are left out, and the pass is made
/// again for the others.
///
/// # Errors
/// What fails all days: the input cannot be found or read, or the lake cannot be written.
pub async fn count(night: &Night, days: &[Day]) -> Result<CountedDays, Failure> {
    assert!(days.is_sorted_by(|a, b| a < b), "days come oldest first, each once");
    let span = span!("count", topshelf.day = of_days(days), topshelf.reused = Empty);
    let counted = traces::inside(span.clone(), count_days(night, days)).await?;
    match counted.iter().find_map(|day| day.as_ref().err()) {
        Some(failure) => traces::failed(&span, failure),
        None => drop(span.record("topshelf.reused", counted.iter().flatten().all(|(_, stage)| stage.reused))),
    }
    Ok(counted)
}

async fn count_days(night: &Night, days: &[Day]) -> Result<CountedDays, Failure> {
    let mut ended = BTreeMap::new();
    loop {
        let rest: Vec<Day> = days.iter().copied().filter(|day| !ended.contains_key(day)).collect();
        if rest.is_empty() {
            return Ok(ended.into_values().collect());
        }
        match count_in_one_pass(night, &rest).await {
            Ok(counted) => ended.extend(rest.into_iter().zip(counted)),
            Err(failures) => {
                for failure in failures {
                    let fails = |day: &&Day| failure.days().is_none_or(|days| days.contains(day));
                    let failed: Vec<_> = rest.iter().filter(fails).collect();
                    assert!(!failed.is_empty(), "a failure is of a day that was asked for");
                    // What fails all of the days asked for is the answer to the whole.
                    if failed.len() == days.len() {
                        return Err(failure);
                    }
                    for day in failed {
                        ended.entry(*day).or_insert_with(|| Err(failure.again()));
                    }
                }
            }
        }
    }
}

async fn count_in_one_pass(night: &Night, days: &[Day]) -> Result<CountedDays, Failures> {
    let started = Instant::now();
    let location = night.input()?;
    let lake = night.lake()?;
    let logs = plan(night, &location, days).await?;
    let before = Before::find(night, &lake, &logs, days).await;
    let logs = before.unread(&logs, days);
    let Before { whole, mut part } = before;
    let mut results = BTreeMap::new();
    for (day, manifest) in whole {
        let checked = check(night, day, &manifest.logs);
        results.insert(day, checked.map(|()| (manifest, StageReport::since("count", started).reused())));
    }
    let days: Vec<Day> = days.iter().copied().filter(|day| !results.contains_key(day)).collect();
    if days.is_empty() {
        return Ok(results.into_values().collect());
    }
    let reading = reading(night, &location);
    let active = who_is_active(night, &reading, &logs, &days, &part).await?;
    // What is added to other counts must come back: only then is it known what stands in the lake's objects.
    let may_keep = part.is_empty();
    let (counted, on_cluster) = count_objects(night, &reading, &logs, &days, (&active, may_keep)).await?;
    let (by_cluster, there) = on_cluster.map(|on| (on.figures, on.there)).unzip();
    let there = there.unwrap_or_else(|| vec![Vec::new(); days.len()]);
    let (examples, spilled_bytes) = (counted.examples, counted.spilled_bytes);
    let mut gone = Vec::new();
    for ((counted, there), active) in counted.days.into_iter().zip(there).zip(active) {
        let day = counted.counts.day();
        let earlier = part.remove(&day);
        let kept_objects = earlier.as_ref().map_or(0, PartCounted::events);
        let added_to = earlier.map(|earlier| earlier.manifest);
        let is_added = added_to.is_some();
        let advertisers = Arc::clone(&active.advertisers);
        let inputs = inputs(&logs, &counted, &examples, active, added_to.as_ref());
        let written = match check(night, day, &inputs) {
            Ok(()) => write(night, &lake, (&counted, there), advertisers, inputs, added_to).await,
            Err(failure) => Err(NotWritten::Failed(failure)),
        };
        let report = || {
            let report = StageReport::since("count", started).spilled(spilled_bytes).kept(kept_objects);
            report.by_cluster(by_cluster.clone())
        };
        match written {
            Ok(manifest) => drop(results.insert(day, Ok((manifest, report())))),
            // Another run may have replaced them meanwhile.
            Err(NotWritten::Damaged(_)) if is_added => gone.push(day),
            Err(NotWritten::Damaged(failure) | NotWritten::Failed(failure)) => {
                results.insert(day, Err(failure));
            }
        }
    }
    if !gone.is_empty() {
        warn!(days = ?gone, "the counts to add to are not in the lake any more, and all objects are read");
        let night = Night { recount: true, ..night.clone() };
        results.extend(gone.iter().copied().zip(Box::pin(count_in_one_pass(&night, &gone)).await?));
    }
    Ok(results.into_values().collect())
}

/// Why the counts of a day are not in the lake.
enum NotWritten {
    /// What the lake held before is not what it should be.
    Damaged(Failure),
    /// Anything else.
    Failed(Failure),
}

/// Who is active on each of the days: as they were counted before, or as the lists say.
async fn who_is_active(
    night: &Night,
    reading: &Reading,
    logs: &[PlannedLog],
    days: &[Day],
    before: &BTreeMap<Day, PartCounted>,
) -> Result<Vec<ActiveDay>, Failures> {
    let new: Vec<Day> = days.iter().copied().filter(|day| !before.contains_key(day)).collect();
    let mut listed = active_days(night, reading, logs, &new).await?.into_iter();
    let active = days.iter().map(|day| match before.get(day) {
        None => listed.next().expect("the lists were read for the day"),
        Some(PartCounted { manifest, advertisers, .. }) => ActiveDay {
            advertisers: Arc::clone(advertisers),
            input: manifest.logs[&Log::AdvertiserIds].clone(),
        },
    });
    Ok(active.collect())
}

async fn count_objects(
    night: &Night,
    reading: &Reading,
    logs: &[PlannedLog],
    days: &[Day],
    (active, may_keep): (&[ActiveDay], bool),
) -> Result<(Counted, Option<OnCluster>), Failures> {
    let advertisers = active.iter().flat_map(|day| day.advertisers.iter()).collect::<HashSet<_>>().len();
    if days.len().saturating_mul(advertisers) > u32::MAX as usize {
        let message =
            format!("{} days of {advertisers} advertisers are too many to count in one pass", days.len());
        return Err(Failure::new(Exit::Usage, message).help("backfill a shorter range at a time").into());
    }
    let limits = limits(night, days.len() * advertisers, reading)?;
    let days = days.iter().zip(active).map(|(day, active)| (*day, Arc::clone(&active.advertisers)));
    let lists: Vec<_> = days.collect();
    let wanted = Arc::new(Wanted::new(lists.clone()));
    let (counted, on_cluster) = if night.config.cluster.url.is_empty() {
        (count_here(night, reading, logs, &wanted, &limits).await?, None)
    } else {
        let of = (&wanted, lists, may_keep);
        let (counted, on_cluster) = count_on_cluster(night, reading, logs, of, &limits).await?;
        (counted, Some(on_cluster))
    };
    let counted = counted.map_err(|error| explain_count(night, error, logs))?;
    let all = logs.iter().flat_map(|planned| &planned.objects);
    let unchanged = all.map(|planned| async {
        let unchanged = reading.location().verify_read(&planned.object).await;
        unchanged.map_err(|error| of_object(error.into(), planned.days))
    });
    all_or_failures(stream::iter(unchanged).buffered(LOOKS_AT_A_TIME).collect().await)?;
    Ok((counted, on_cluster))
}

/// Each day with its active advertisers.
pub(super) type DayLists = Vec<(Day, Arc<[AdvertiserId]>)>;

/// What a cluster did.
pub(super) struct OnCluster {
    /// What executors have put in the lake of each wanted day.
    pub(super) there: Vec<Vec<CountsThere>>,
    pub(super) figures: ClusterFigures,
}

/// Counts on this machine.
async fn count_here(
    night: &Night,
    reading: &Reading,
    logs: &[PlannedLog],
    wanted: &Arc<Wanted>,
    limits: &Limits,
) -> Result<Result<Counted, CountError>, Failures> {
    match count_found(night, reading, logs, wanted, limits, Beginnings::Assumed).await? {
        Err(CountError::Read { source, .. }) if NotAsAssumed::is(&source) => {
            let again = self::reading(night, reading.location());
            count_found(night, &again, logs, wanted, limits, Beginnings::All).await
        }
        counted => Ok(counted),
    }
}

/// Counts on the cluster of the configuration.
#[cfg(feature = "cluster")]
async fn count_on_cluster(
    night: &Night,
    reading: &Reading,
    logs: &[PlannedLog],
    (wanted, lists, may_keep): (&Arc<Wanted>, DayLists, bool),
    limits: &Limits,
) -> Result<(Result<Counted, CountError>, OnCluster), Failures> {
    let found = counted_objects(night, reading, logs, wanted.days(), Beginnings::All).await?;
    let objects: Vec<_> = found.iter().map(|found| found.counted.clone()).collect();
    let events = logs.iter().filter(|planned| planned.log != Log::AdvertiserIds);
    let columns = events.flat_map(|planned| {
        planned.objects.iter().map(|object| super::input::columns(night, planned.log, object.days))
    });
    let columns = columns.collect();
    let (bar, row_groups) = (ProgressBar::hidden(), RowGroups::new(reading));
    let (reading, halt) = (reading.clone(), night.halt.clone());
    let opened = Opened { reading, row_groups, found, bar, halt };
    let spread = super::cluster::Spread { night, wanted, lists, limits };
    Ok(super::cluster::count(spread, objects, columns, opened, may_keep).await?)
}

/// There is none.
#[cfg(not(feature = "cluster"))]
async fn count_on_cluster(
    night: &Night,
    _: &Reading,
    _: &[PlannedLog],
    _: (&Arc<Wanted>, DayLists, bool),
    _: &Limits,
) -> Result<(Result<Counted, CountError>, OnCluster), Failures> {
    let message = format!("{} is to count, and this program cannot ask it", night.config.cluster.url);
    Err(Failure::new(Exit::Usage, message)
        .help(format!("it was built without the feature `cluster`: {}", crate::config::Cluster::WITH_FEATURE))
        .into())
}

async fn count_found(
    night: &Night,
    reading: &Reading,
    logs: &[PlannedLog],
    wanted: &Arc<Wanted>,
    limits: &Limits,
    beginnings: Beginnings,
) -> Result<Result<Counted, CountError>, Failures> {
    let format = night.config.input.date_format()?;
    let found = counted_objects(night, reading, logs, wanted.days(), beginnings).await?;
    let objects: Vec<_> = found.iter().map(|found| found.counted.clone()).collect();
    let bar = night.progress.bytes("counting", found.iter().map(Found::bytes_to_read).sum());
    let row_groups = RowGroups::new(reading);
    let (reading, halt) = (reading.clone(), night.halt.clone());
    let opened = Opened { reading, row_groups, found, bar: bar.clone(), halt };
    opened.expect(counting::ranges(&objects, limits));
    let (wanted, zone, limits) = (Arc::clone(wanted), night.schedule.zone().clone(), limits.clone());
    let counted = tokio::task::spawn_blocking(move || {
        counting::count(&wanted, &objects, &opened, (&format, &zone), limits)
    });
    let counted = counted.await.expect("counting does not panic");
    bar.finish_and_clear();
    Ok(counted)
}

pub(super) fn reading(night: &Night, location: &Location) -> Reading {
    Reading::new(location, read_limits(night), &Handle::current())
}

fn event_objects(logs: &[PlannedLog]) -> impl Iterator<Item = &PlannedObject> {
    logs.iter().filter(|planned| planned.log != Log::AdvertiserIds).flat_map(|planned| &planned.objects)
}

/// The objects that were found, opened where counting asks.
pub(super) struct Opened {
    pub(super) reading: Reading,
    pub(super) row_groups: RowGroups,
    pub(super) found: Vec<Found>,
    /// Moves as bytes are read.
    pub(super) bar: ProgressBar,
    /// Asked before each read.
    pub(super) halt: Halt,
}

impl Opened {
    /// Lets what counting will read be fetched ahead: the ranges of text, then row groups.
    fn expect(&self, ranges: impl Iterator<Item = (usize, Range<u64>)>) {
        let text = ranges.map(|(object, range)| {
            let found = &self.found[object];
            (&found.info, found.text().stored(&found.info, &range))
        });
        let row_groups = self.found.iter().flat_map(|found| {
            let ranges = found.row_groups().flat_map(|(log, row_group)| log.object.expected(row_group));
            ranges.map(|range| (&found.info, range))
        });
        self.reading.expect(text.chain(row_groups));
    }
}

impl Objects for Opened {
    fn open(&self, object: usize, range: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
        let info = &self.found[object].info;
        let text = self.found[object].text();
        let stored = text.stored(info, &range);
        let to_skip = range.start - stored.start;
        let is_from_start = stored.start == 0;
        let (reader, bar, halt) = (self.reading.open(info, stored)?, self.bar.clone(), self.halt.clone());
        let reader = Watched { reader, bar, halt };
        let reader: Box<dyn Read + Send> = match &text.assumed {
            Some(assumed) if is_from_start => Box::new(assumed.check(info, reader)?),
            _ => Box::new(reader),
        };
        let mut text = self.reading.location().decompressed(info, text.compression, reader)?;
        let skipped = io::copy(&mut text.by_ref().take(to_skip), &mut io::sink())?;
        if skipped < to_skip {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the header was longer a moment ago"));
        }
        Ok(text)
    }

    fn rows(&self, object: usize, row_group: usize) -> io::Result<Box<dyn RowBatches + '_>> {
        self.halt.check()?;
        let log = self.found[object].parquet();
        let reader = self.row_groups.open(&log.object, row_group)?;
        self.bar.inc(log.object.stored_bytes(row_group));
        Ok(Box::new(Rows { reader, places: log.places }))
    }
}

/// Moves a bar as bytes are read, whichever thread reads them, and reads no more when told to stop.
struct Watched<R> {
    reader: R,
    bar: ProgressBar,
    halt: Halt,
}

impl<R: Read> Read for Watched<R> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        self.halt.check()?;
        self.reader.read(out).inspect(|read| self.bar.inc(*read as u64))
    }
}

fn explain_count(night: &Night, error: CountError, logs: &[PlannedLog]) -> Failure {
    match error {
        CountError::Read { object, source, .. } => {
            let planned = event_objects(logs).nth(object).expect("the object was planned");
            of_object(explain_read(source), planned.days)
        }
        error => explain_merge(night, error),
    }
}

/// A failure that is of no single object.
fn explain_merge(night: &Night, error: CountError) -> Failure {
    match error {
        CountError::Changed => {
            Failure::of(error).help("nothing was published; run again once the logs are written whole")
        }
        CountError::Spill(error) => explain_spill(night, error),
        error => Failure::of(error),
    }
}

/// What the day's counts were made of, log by log.
fn inputs(
    logs: &[PlannedLog],
    counted: &CountedDay,
    examples: &[Vec<RejectExample>],
    active: ActiveDay,
    earlier: Option<&CountsManifest>,
) -> BTreeMap<Log, LogInput> {
    let numbered: Vec<_> = logs
        .iter()
        .filter(|planned| planned.log != Log::AdvertiserIds)
        .flat_map(|planned| planned.objects.iter().map(|object| (planned.log, object)))
        .collect();
    let mut inputs = BTreeMap::from([(Log::AdvertiserIds, active.input)]);
    for log in logs.iter().map(|planned| planned.log).filter(|log| *log != Log::AdvertiserIds) {
        let parts = counted.objects.iter().filter(|part| numbered[part.object].0 == log);
        let object = |part: &ObjectDay| {
            let object = object_input(numbered[part.object].1, part.tally);
            (ObjectInput { last_time: part.last_time, ..object }, &examples[part.object][..])
        };
        let mut objects: Vec<_> = parts.map(object).collect();
        if let Some(earlier) = earlier {
            objects.extend(earlier.logs[&log].with_examples());
            objects.sort_by(|(one, _), (other, _)| one.name.cmp(&other.name));
        }
        let (objects, examples): (Vec<_>, Vec<_>) = objects.into_iter().unzip();
        inputs.insert(log, log_input(objects, examples.concat()));
    }
    inputs
}

/// Whether the day's input is good enough to be ranked and published; if not, its failure tells the ledger what
/// became of the lines.
fn check(night: &Night, day: Day, inputs: &BTreeMap<Log, LogInput>) -> Result<(), Failure> {
    let refused = refuse(night, day, inputs);
    refused.map_err(|failure| failure.with_report(serde_json::json!({ "logs": inputs })))
}

fn refuse(night: &Night, day: Day, inputs: &BTreeMap<Log, LogInput>) -> Result<(), Failure> {
    let allowed = night.config.input.max_rejected_ratio;
    for (log, input) in inputs {
        if input.tally.rejected_ratio() > allowed {
            return Err(too_many_rejects(*log, day, input, allowed));
        }
    }
    let events = || inputs.iter().filter(|(log, _)| **log != Log::AdvertiserIds);
    if events().all(|(_, input)| input.tally.kept == 0) {
        let mut total = Tally::default();
        events().for_each(|(_, input)| total += input.tally);
        let Tally { read, other_days, inactive, .. } = total;
        let message = format!(
            "no event of {day} by an active advertiser: {read} lines were read, {other_days} of other days, {inactive} of inactive advertisers, {} rejected",
            total.rejected.total()
        );
        return Err(Failure::new(Exit::Refused, message)
            .help("nothing is published for such a day, readers keep what they have; check --day and schedule.timezone, and that the day's logs have arrived"));
    }
    Ok(())
}

fn too_many_rejects(log: Log, day: Day, input: &LogInput, allowed: f64) -> Failure {
    let tally = &input.tally;
    let reasons: Vec<_> = tally.rejected.iter().map(|(reason, lines)| format!("{reason}: {lines}")).collect();
    let message = format!(
        "too many bad lines in {log} for {day}: {} of {} rejected ({:.2} %, at most {:.2} % are allowed); {}",
        tally.rejected.total(),
        tally.read,
        tally.rejected_ratio() * 100.0,
        allowed * 100.0,
        reasons.join(", ")
    );
    let examples = input.examples.iter().take(5).map(|example| {
        format!("\n  {}:{} {}: {}", example.object, example.line, example.reason, visible(&example.text))
    });
    let help = format!(
        "mend the log, or allow more with input.max_rejected_ratio; for example{}",
        examples.collect::<String>()
    );
    Failure::new(Exit::Refused, message).help(help)
}

async fn write(
    night: &Night,
    lake: &Lake,
    (counted, there): (&CountedDay, Vec<CountsThere>),
    active: Arc<[AdvertiserId]>,
    logs: BTreeMap<Log, LogInput>,
    added_to: Option<CountsManifest>,
) -> Result<CountsManifest, NotWritten> {
    let input = CountsInput {
        program_version: env!("CARGO_PKG_VERSION").to_owned(),
        settings: settings(night),
        logs,
    };
    let new = NewCounts { day: counted.counts.day(), active, input, added_to, there };
    let halt = night.halt.clone();
    let parts = counted.counts.parts().map(move |part| {
        let halt = halt.clone();
        move || {
            // Whoever stopped it tells why: it is no matter how this is called.
            halt.check().map_err(CountError::Spill)?;
            part.merge()
        }
    });
    let written = lake.write_counts(new, parts, night.config.counting.threads()).await;
    written.map_err(|error| match error {
        WriteCountsError::Lake(error @ LakeError::Damaged { .. }) => NotWritten::Damaged(error.into()),
        WriteCountsError::Lake(error) => NotWritten::Failed(error.into()),
        WriteCountsError::Counts(error) => NotWritten::Failed(explain_merge(night, error)),
    })
}

/// The settings that the counts depend on, beside the objects' bytes.
pub(super) fn settings(night: &Night) -> BTreeMap<String, String> {
    let input = &night.config.input;
    let columns = &input.columns;
    let settings = [
        ("columns.advertiser_id", &columns.advertiser_id),
        ("columns.product_id", &columns.product_id),
        ("columns.type", &columns.r#type),
        ("columns.date", &columns.date),
        ("date_format", &input.date_format),
        ("delimiter", &input.delimiter),
        ("advertiser_ids", &input.advertiser_ids),
        ("ads_views", &input.ads_views),
        ("product_views", &input.product_views),
        ("timezone", &night.config.schedule.timezone),
    ];
    settings.into_iter().map(|(key, value)| (key.to_owned(), value.clone())).collect()
}
