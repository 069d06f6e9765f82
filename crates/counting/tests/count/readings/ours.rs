//! Counting's reading.

use super::{
    Active, LogObject,
    told::{Told, ToldTally, tell_counts, tell_example, tell_tally},
};
use counting::{
    Content, Counted, CountedObject, DateFormat, Gathering, Instructions, Limits, Memory, ObjectDay, Objects,
    SpillFile, SpillPlace, Wanted, count, count_parts, parts,
};
use jiff::tz::TimeZone;
use std::{
    fmt::Write as _,
    io::{self, Read},
    ops::Range,
    sync::{Arc, Mutex},
};

/// How the objects are read.
#[derive(Debug, Clone)]
pub(crate) struct How {
    pub(crate) threads: usize,
    pub(crate) slice_bytes: u64,
    pub(crate) instructions: Instructions,
    pub(crate) zone: TimeZone,
    /// Not 0 when readers give a few bytes at a time and are interrupted in between: then where.
    pub(crate) chop_seed: u64,
    /// The memory of a thread's tables; without it, as much as there is.
    pub(crate) share_bytes: Option<u64>,
    /// Over how many machines the parts are spread; 0 when this one counts all.
    pub(crate) machines: usize,
}

impl How {
    pub(crate) fn new(threads: usize, slice_bytes: u64) -> Self {
        let (instructions, zone) = (Instructions::Best, TimeZone::UTC);
        Self { threads, slice_bytes, instructions, zone, chop_seed: 0, share_bytes: None, machines: 0 }
    }
}

/// Counts the objects, each of which must have a layout.
pub(crate) fn ours(active: &Active, logs: &[LogObject], how: &How) -> Told {
    let wanted = Wanted::new(active.iter().map(|(day, list)| (*day, list.clone().into())).collect());
    let objects: Vec<_> = logs.iter().enumerate().map(|(number, log)| counted_object(number, log)).collect();
    let How { threads, slice_bytes, instructions, .. } = *how;
    let memory = |share| Memory { table_bytes: share * threads as u64, spill: Arc::new(InMemorySpill) };
    let limits = Limits { threads, slice_bytes, instructions, memory: how.share_bytes.map(memory) };
    let bytes = InMemory { logs, chop_seed: how.chop_seed };
    let date = (&DateFormat::Iso, &how.zone);
    let counted = match how.machines {
        0 => count(&wanted, &objects, &bytes, date, limits).unwrap(),
        machines => spread(wanted, objects, &bytes, date, limits, machines),
    };
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
            let rejected = tally.rejected.iter().collect();
            let domain::Tally { read, kept, inactive, blank, .. } = tally;
            let ObjectDay { object, last_time, .. } = *part;
            let tally = ToldTally { object, read, kept, inactive, blank, rejected, last_time };
            tell_tally(&mut told, &tally);
        }
    }
    for example in counted.examples.iter().flatten() {
        tell_example(&mut told, &example.object, example.line, example.reason, &example.text);
    }
    told
}

/// Counts on several machines, each of which gets every so many parts and has its partial counts told as text.
fn spread(
    wanted: Wanted,
    objects: Vec<CountedObject>,
    bytes: &InMemory<'_>,
    date: (&DateFormat, &TimeZone),
    limits: Limits,
    machines: usize,
) -> Counted {
    let all = parts(&objects, limits.slice_bytes);
    let memory = limits.memory.clone();
    let memory = memory.unwrap_or_else(|| Memory { table_bytes: 1 << 20, spill: Arc::new(InMemorySpill) });
    let (wanted, limits) = (Arc::new(wanted), Limits { memory: Some(memory), ..limits });
    let mut gathering =
        Gathering::new(Arc::clone(&wanted), objects.clone().into(), all.clone(), limits.clone());
    for machine in 0..machines {
        let indices: Vec<_> = (machine..all.len()).step_by(machines).collect();
        let mine: Vec<_> = indices.iter().map(|index| all[*index].clone()).collect();
        let counted = count_parts(&wanted, &objects, &mine, bytes, date, &limits).unwrap();
        for part in counted.days.iter().flat_map(|day| day.parts()) {
            part.entries(|group, product, counters| gathering.add(group, product, counters)).unwrap();
        }
        for (index, report) in indices.into_iter().zip(counted.reports) {
            let report = serde_json::to_string(&report).unwrap();
            gathering.report(index, serde_json::from_str(&report).unwrap()).unwrap();
        }
    }
    gathering.finish(bytes, date).unwrap()
}

fn counted_object(number: usize, log: &LogObject) -> CountedObject {
    let (name, size) = (number.to_string(), log.bytes.len() as u64);
    let layout = log.layout().expect("the object is a log");
    let size = (!log.is_stream).then_some(size);
    CountedObject { name, days: log.days, content: Content::Text { size, layout } }
}

struct InMemory<'a> {
    logs: &'a [LogObject],
    chop_seed: u64,
}

impl Objects for InMemory<'_> {
    fn open(&self, object: usize, range: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
        let bytes = &self.logs[object].bytes[usize::try_from(range.start).unwrap()..];
        if self.chop_seed == 0 {
            return Ok(Box::new(bytes));
        }
        Ok(Box::new(Chopped { bytes, state: self.chop_seed ^ (range.start << 8) | 1 }))
    }
}

/// A reader that gives some of the bytes asked for, and is interrupted now and then.
struct Chopped<'a> {
    bytes: &'a [u8],
    /// Of xorshift64 (Marsaglia, 2003); not 0.
    state: u64,
}

impl Read for Chopped<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        if self.state.is_multiple_of(8) {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let most = 1 + usize::try_from(self.state >> 32).unwrap() % 100;
        let room = buffer.len().min(most);
        self.bytes.read(&mut buffer[..room])
    }
}

/// Files of partial counts, in memory.
#[derive(Debug)]
pub(crate) struct InMemorySpill;

#[derive(Debug)]
struct MemoryFile(Mutex<Vec<u8>>);

impl SpillPlace for InMemorySpill {
    fn create(&self) -> io::Result<Box<dyn SpillFile>> {
        Ok(Box::new(MemoryFile(Mutex::default())))
    }
}

impl SpillFile for MemoryFile {
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut file = self.0.lock().unwrap();
        assert_eq!(file.len() as u64, offset, "runs are written one behind the other");
        file.extend_from_slice(bytes);
        Ok(())
    }

    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let file = self.0.lock().unwrap();
        bytes.copy_from_slice(&file[usize::try_from(offset).unwrap()..][..bytes.len()]);
        Ok(())
    }
}
