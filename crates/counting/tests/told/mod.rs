//! What ours and a naive reading of the same logs say, as text that can be compared.

use counting::{
    Columns, Content, CountedObject, DateFormat, Head, Instructions, Layout, Limits, ObjectDays, Objects,
    Wanted, count,
};
use domain::{AdvertiserId, Counts, Day, Log, RejectReason};
use jiff::tz::TimeZone;
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::{self, Read},
    ops::Range,
};

struct InMemory<'a>(&'a [Vec<u8>]);

impl Objects for InMemory<'_> {
    fn open(&self, object: usize, range: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(&self.0[object][usize::try_from(range.start).unwrap()..]))
    }
}

pub(crate) fn day(text: &str) -> Day {
    text.parse().unwrap()
}

pub(crate) fn advertiser(text: &str) -> AdvertiserId {
    AdvertiserId::new(text).unwrap()
}

fn columns(log: Log, days: ObjectDays) -> Columns {
    Columns {
        advertiser_id: "advertiser_id".into(),
        product_id: Some("product_id".into()),
        kind: (log == Log::AdsViews).then(|| "type".into()),
        date: Some("date".into()),
        date_is_optional: matches!(days, ObjectDays::Only(_)),
    }
}

/// What both readings say, as text: counts in order, tallies, examples.
pub(crate) type Told = String;

/// `is_stream` says which of the logs can only be read from the start to the end.
pub(crate) fn ours_of(
    active: &[(Day, Vec<AdvertiserId>)],
    logs: &[(Log, ObjectDays, Vec<u8>)],
    threads: usize,
    slice_bytes: u64,
    is_stream: impl Fn(usize) -> bool,
) -> Told {
    let wanted = Wanted::new(active.iter().map(|(day, list)| (*day, list.clone().into())).collect());
    let bytes: Vec<_> = logs.iter().map(|(_, _, bytes)| bytes.clone()).collect();
    let objects: Vec<_> = logs
        .iter()
        .enumerate()
        .map(|(number, (log, days, bytes))| {
            let (name, size) = (number.to_string(), bytes.len() as u64);
            let head = Head { name: &name, bytes, is_whole: true };
            let layout = Layout::read(&head, None, &columns(*log, *days)).unwrap().unwrap();
            let size = (!is_stream(number)).then_some(size);
            CountedObject { name, days: *days, content: Content::Text { size, layout } }
        })
        .collect();
    let date = (&DateFormat::Iso, &TimeZone::UTC);
    // Both paths are taken, one on an even and one on an odd number of threads.
    let instructions = if threads.is_multiple_of(2) { Instructions::Best } else { Instructions::Portable };
    let limits = Limits { threads, slice_bytes, instructions, memory: None };
    let counted = count(&wanted, &objects, &InMemory(&bytes), date, limits).unwrap();
    let mut told = String::new();
    for day in &counted.days {
        writeln!(told, "{}", day.counts.day()).unwrap();
        let (_, active) = active.iter().find(|(of, _)| *of == day.counts.day()).unwrap();
        for part in day.counts.parts() {
            for (advertiser, product, counts) in part.merge().unwrap().rows() {
                tell_counts(&mut told, active[advertiser as usize].as_str(), product, counts);
            }
        }
        for part in &day.objects {
            let tally = part.tally;
            assert_eq!(tally.read, tally.kept + tally.inactive + tally.other_days + tally.rejected.total());
            let rejected: Vec<_> = tally.rejected.iter().collect();
            let Range { start, end } = tally.kept..tally.inactive;
            tell_tally(&mut told, part.object, tally.read, (start, end), tally.blank, &rejected);
        }
    }
    for example in counted.examples.iter().flatten() {
        writeln!(told, "{}:{} {} {:?}", example.object, example.line, example.reason, example.text).unwrap();
    }
    told
}

fn tell_counts(told: &mut Told, advertiser: &str, product: &str, counts: Counts) {
    let Counts { impressions, clicks, views } = counts;
    writeln!(told, "  {advertiser:?} {product:?} {impressions} {clicks} {views}").unwrap();
}

fn tell_tally(
    told: &mut Told,
    object: usize,
    read: u64,
    (kept, inactive): (u64, u64),
    blank: u64,
    rejected: &[(RejectReason, u64)],
) {
    writeln!(
        told,
        "  object {object}: {read} read {kept} kept {inactive} inactive {blank} blank {rejected:?}"
    )
    .unwrap();
}

/// What a log's bytes say.
pub(crate) type Reading = fn(Log, ObjectDays, &[u8]) -> NaiveLog;

pub(crate) fn naive(
    active: &[(Day, Vec<AdvertiserId>)],
    logs: &[(Log, ObjectDays, Vec<u8>)],
    reading: Reading,
) -> Told {
    let mut told = String::new();
    let mut examples = String::new();
    let read: Vec<_> = logs.iter().map(|(log, days, bytes)| reading(*log, *days, bytes)).collect();
    for (day, list) in active {
        let active: BTreeSet<_> = list.iter().map(AdvertiserId::as_str).collect();
        let mut counts = BTreeMap::<_, Counts>::new();
        let mut tallies = String::new();
        for (object, ((_, days, _), log)) in logs.iter().zip(&read).enumerate() {
            if matches!(days, ObjectDays::Only(only) if only != day) {
                continue;
            }
            let (mut kept, mut inactive) = (0, 0);
            let mut rejected = BTreeMap::<RejectReason, u64>::new();
            for row in &log.rows {
                match row {
                    Err((reason, ..)) => *rejected.entry(*reason).or_default() += 1,
                    Ok(row) if row.day != *day => {}
                    Ok(row) if !active.contains(row.advertiser.as_str()) => inactive += 1,
                    Ok(row) => {
                        kept += 1;
                        *counts.entry((row.advertiser.clone(), row.product.clone())).or_default() +=
                            row.counts;
                    }
                }
            }
            let rejected: Vec<_> = rejected.into_iter().collect();
            tell_tally(&mut tallies, object, log.rows.len() as u64, (kept, inactive), log.blank, &rejected);
        }
        writeln!(told, "{day}").unwrap();
        for ((advertiser, product), counts) in counts {
            tell_counts(&mut told, &advertiser, &product, counts);
        }
        told += &tallies;
    }
    for (object, log) in read.iter().enumerate() {
        let mut shown = BTreeMap::<RejectReason, u32>::new();
        for (reason, line, text) in log.rows.iter().filter_map(|row| row.as_ref().err()) {
            let shown = shown.entry(*reason).or_default();
            *shown += 1;
            if *shown <= 3 {
                writeln!(examples, "{object}:{line} {reason} {text:?}").unwrap();
            }
        }
    }
    told + &examples
}

pub(crate) struct NaiveRow {
    pub(crate) day: Day,
    pub(crate) advertiser: String,
    pub(crate) product: String,
    pub(crate) counts: Counts,
}

pub(crate) struct NaiveLog {
    pub(crate) rows: Vec<Result<NaiveRow, (RejectReason, u64, String)>>,
    pub(crate) blank: u64,
}

pub(crate) fn check(
    active: &[(Day, Vec<AdvertiserId>)],
    logs: &[(Log, ObjectDays, Vec<u8>)],
    reading: Reading,
    (threads, slice_bytes): (usize, u64),
) {
    let naive = naive(active, logs, reading);
    for is_stream in [false, true] {
        let ours = ours_of(active, logs, threads, slice_bytes, |_| is_stream);
        let different = ours.lines().zip(naive.lines()).find(|(ours, naive)| ours != naive);
        assert_eq!(different, None, "{threads} threads, slices of {slice_bytes} bytes, stream: {is_stream}");
        assert_eq!(ours.lines().count(), naive.lines().count());
    }
}
