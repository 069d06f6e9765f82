//! Partial counts of all threads become the counts of each day, part by part.
//!
//! The keys of a day, (group, product), are cut into ranges of a bounded number of entries. A part
//! gathers what every table, or every run on disk, holds of its range, sorts it and adds it up, apart from
//! all other parts: so that any number of threads can do it, and nobody needs to hold a day.

use crate::{
    count::CountError,
    memory::{Share, SpillError},
    run::{BlockStart, Run},
    table::{COUNTERS, Counter, Entries, INLINE_BYTES_MAX, Product, Table},
    wanted::Wanted,
};
use domain::{Counts, CountsBlock, Day};
use std::{io, ops::Range, sync::Arc};

/// Entries of tables that a part gathers, roughly and at most.
const PART_ENTRIES: usize = 64 << 10;

/// The counts of one day, not yet merged.
#[derive(Debug, Clone)]
pub struct DayCounts {
    day: Day,
    /// Where parts begin, and where the last one ends.
    cuts: Arc<[Place]>,
    partials: Arc<Partials>,
    groups: DayGroups,
}

/// What part of a day's counts is made of: a range of keys, and every table that may hold some.
#[derive(Debug, Clone)]
pub struct CountsPart {
    counts: DayCounts,
    /// The place in `cuts` where it begins.
    cut: usize,
}

/// The groups of a day.
#[derive(Debug, Clone)]
pub(crate) struct DayGroups {
    first: u32,
    /// The index among the day's active advertisers of each group's; none when it is the group's place.
    indices: Option<Arc<[u32]>>,
}

/// Just before a product of a group; with an empty id just before the group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) group: usize,
    pub(crate) id: Box<[u8]>,
}

/// What was counted, in order: in tables, or, when they were not large enough, all of it in runs.
#[derive(Debug)]
pub(crate) struct Partials {
    tables: Vec<Table>,
    runs: Vec<Run>,
    /// Entries that a part gathers.
    part_entries: usize,
    spilled_bytes: u64,
}

impl Partials {
    /// What the threads' tables hold, and what they have left on disk; each is put in order on a thread of
    /// its own.
    ///
    /// # Errors
    /// [`CountError::Spill`].
    pub(crate) fn of(mut tables: Vec<Table>, share: &Share) -> Result<Self, CountError> {
        let has_spilled = tables.iter().any(Table::has_spilled);
        let finish = |table: &mut Table| {
            if has_spilled {
                return table.spill();
            }
            table.put_in_order();
            Ok(())
        };
        on_threads(tables.iter_mut().map(|table| || finish(table))).map_err(CountError::spill)?;
        if !has_spilled {
            return Ok(Self { tables, runs: Vec::new(), part_entries: PART_ENTRIES, spilled_bytes: 0 });
        }
        let threads = tables.len();
        Self::of_runs(tables.into_iter().flat_map(Table::into_runs).collect(), threads, share)
    }

    /// What runs hold, made few by `threads` threads.
    ///
    /// # Errors
    /// [`CountError::Spill`].
    pub(crate) fn of_runs(runs: Vec<Run>, threads: usize, share: &Share) -> Result<Self, CountError> {
        let spilled_bytes = runs.iter().map(Run::bytes).sum();
        let runs = few(runs, threads, share).map_err(CountError::spill)?;
        Ok(Self { tables: Vec::new(), runs, part_entries: share.part_entries(), spilled_bytes })
    }

    /// Bytes that the threads have written to disk.
    pub(crate) fn spilled_bytes(&self) -> u64 {
        self.spilled_bytes
    }

    /// The counts of each wanted day, oldest first.
    pub(crate) fn days(self, wanted: &Wanted) -> Vec<DayCounts> {
        let partials = Arc::new(self);
        let advertisers = wanted.advertisers();
        let day = |(slot, day): (usize, &Day)| {
            let groups = slot * advertisers..(slot + 1) * advertisers;
            let cuts = partials.cuts(groups, partials.part_entries).into();
            let groups = DayGroups::of(wanted, slot);
            DayCounts { day: *day, cuts, partials: Arc::clone(&partials), groups }
        };
        wanted.days().iter().enumerate().map(day).collect()
    }

    /// Cuts groups into ranges of about `entries_max` entries.
    fn cuts(&self, groups: Range<usize>, entries_max: usize) -> Vec<Place> {
        if self.runs.is_empty() {
            self.cuts_of_tables(groups, entries_max)
        } else {
            cuts_of_runs(&self.runs, groups, entries_max)
        }
    }

    fn cuts_of_tables(&self, groups: Range<usize>, entries_max: usize) -> Vec<Place> {
        let mut cuts = vec![Place::before(groups.start)];
        let mut taken = 0;
        for group in groups.clone() {
            let entries = self.tables.iter().map(|table| table.products(group)).sum::<usize>();
            if taken > 0 && taken + entries > entries_max {
                cuts.push(Place::before(group));
                taken = 0;
            }
            taken += entries;
            if entries > entries_max {
                cuts.extend(self.cuts_within(group, entries_max));
            }
        }
        cuts.push(Place::before(groups.end));
        cuts
    }

    /// Cuts a group into ranges of at most `entries_max` entries, as far as equal products allow.
    fn cuts_within(&self, group: usize, entries_max: usize) -> Vec<Place> {
        // Of the products between two neighbours among all samples, a source — a table has two — holds
        // fewer than `step`: so a range of as many samples as there are sources holds twice that at most.
        let sources = 2 * self.tables.len();
        let step = (entries_max / (2 * sources)).max(1);
        let samples = self.tables.iter().flat_map(|table| table.samples(group, step));
        let mut samples: Vec<_> = samples.collect();
        samples.sort_unstable();
        let cuts = samples.into_iter().skip(sources).step_by(sources);
        let mut cuts: Vec<_> = cuts.map(|product| Place::before_product(group, product)).collect();
        cuts.dedup();
        cuts
    }
}

/// Cuts groups into ranges in which blocks of at most `entries_max` entries begin; those of blocks that
/// begin before, one for each run, come on top.
fn cuts_of_runs(runs: &[Run], groups: Range<usize>, entries_max: usize) -> Vec<Place> {
    let is_in = |start: &BlockStart<'_>| groups.contains(&(start.group as usize));
    let mut starts: Vec<_> = runs.iter().flat_map(Run::starts).filter(is_in).collect();
    starts.sort_unstable();
    let mut cuts = vec![Place::before(groups.start)];
    let mut taken = 0;
    for BlockStart { group, id, entries } in starts {
        let place = Place { group: group as usize, id: id.into() };
        if taken > 0 && taken + entries as usize > entries_max && cuts.last() != Some(&place) {
            cuts.push(place);
            taken = 0;
        }
        taken += entries as usize;
    }
    cuts.push(Place::before(groups.end));
    cuts
}

/// The same partial counts in so few runs that they can be merged at once.
fn few(mut runs: Vec<Run>, threads: usize, share: &Share) -> io::Result<Vec<Run>> {
    while runs.len() > share.runs_max() {
        let mut merged = Vec::new();
        let mut rest = runs.into_iter().peekable();
        while rest.peek().is_some() {
            let some: Vec<Vec<Run>> =
                (0..threads).map(|_| rest.by_ref().take(share.runs_max()).collect()).collect();
            let some = some.into_iter().filter(|runs| !runs.is_empty());
            merged.extend(on_threads(some.map(|runs| || one(runs, share)))?);
        }
        runs = merged;
    }
    Ok(runs)
}

/// One run of several.
fn one(runs: Vec<Run>, share: &Share) -> io::Result<Run> {
    let mut file = share.create().map_err(SpillError)?;
    let mut writer = file.begin();
    for cut in cuts_of_runs(&runs, 0..1 << 32, share.part_entries()).windows(2) {
        let mut gathered = Gathered::default();
        runs.iter().try_for_each(|run| gathered.add_run(run, &cut[0], &cut[1])).map_err(SpillError)?;
        gathered
            .add_up(|group, product, counters| writer.push(group, product, counters))
            .map_err(SpillError)?;
    }
    Ok(writer.end().map_err(SpillError)?)
}

/// What each piece of work gives, all done at the same time, or the first error.
fn on_threads<T: Send, W: FnOnce() -> io::Result<T> + Send>(
    work: impl Iterator<Item = W>,
) -> io::Result<Vec<T>> {
    std::thread::scope(|scope| {
        let threads: Vec<_> = work.map(|work| scope.spawn(work)).collect();
        threads.into_iter().map(|thread| thread.join().expect("merging does not panic")).collect()
    })
}

impl Place {
    pub(crate) fn before(group: usize) -> Self {
        Self { group, id: Box::default() }
    }

    fn before_product(group: usize, product: Product<'_>) -> Self {
        Self { group, id: product.bytes(&mut [0; INLINE_BYTES_MAX]).into() }
    }
}

impl DayCounts {
    /// The day.
    #[must_use]
    pub fn day(&self) -> Day {
        self.day
    }

    /// The parts, in order: the blocks that they give are the day's counts, one behind the other.
    pub fn parts(&self) -> impl ExactSizeIterator<Item = CountsPart> + Send + use<> {
        let counts = self.clone();
        (0..self.cuts.len() - 1).map(move |cut| CountsPart { counts: counts.clone(), cut })
    }
}

impl CountsPart {
    /// Merges the part; of a bounded size, whatever the day's.
    ///
    /// # Errors
    /// [`CountError::Changed`], when an object held other bytes as its slice was taken back;
    /// [`CountError::Spill`].
    pub fn merge(&self) -> Result<CountsBlock, CountError> {
        let (gathered, groups) = (self.gather()?, &self.counts.groups);
        let mut block = CountsBlock::with_capacity(gathered.entries.len(), 8 * gathered.entries.len());
        gathered.add_up(|group, product, counters| {
            let counts = counts(counters)?;
            let mut inline = [0; INLINE_BYTES_MAX];
            let id = std::str::from_utf8(product.bytes(&mut inline));
            block.push(groups.index(group), id.expect("ids were checked when they were read"), counts);
            Ok(())
        })?;
        Ok(block)
    }

    /// Merges the part, and calls `take` with the group, the product's id and the counters of each of its products,
    /// in order: as a [`Gathering`](crate::Gathering) takes them.
    ///
    /// # Errors
    /// What `take` says, or [`CountError::Spill`].
    pub fn entries<E: From<CountError>>(
        &self,
        mut take: impl FnMut(u32, &[u8], [i64; COUNTERS]) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut inline = [0; INLINE_BYTES_MAX];
        self.gather()?.add_up(|group, product, counters| take(group, product.bytes(&mut inline), counters))
    }

    /// Everything that is held of the part.
    fn gather(&self) -> Result<Gathered, CountError> {
        let DayCounts { cuts, partials, .. } = &self.counts;
        let (from, to) = (&cuts[self.cut], &cuts[self.cut + 1]);
        let mut gathered = Gathered::default();
        partials.tables.iter().for_each(|table| gathered.add_table(table, from, to));
        let read = partials.runs.iter().try_for_each(|run| gathered.add_run(run, from, to));
        read.map_err(CountError::Spill)?;
        Ok(gathered)
    }
}

impl DayGroups {
    /// Those of the day at this place among the wanted ones.
    pub(crate) fn of(wanted: &Wanted, slot: usize) -> Self {
        let first = u32::try_from(slot * wanted.advertisers()).expect("groups fit in 32 bits");
        Self { first, indices: wanted.active_indices(slot).map(Arc::from) }
    }

    /// The index of a group's advertiser among the day's active ones.
    pub(crate) fn index(&self, group: u32) -> u32 {
        let place = group - self.first;
        self.indices.as_ref().map_or(place, |indices| indices[place as usize])
    }
}

/// Entries of several tables.
#[derive(Debug, Default)]
pub(crate) struct Gathered {
    /// Of each table in order.
    entries: Vec<Entry>,
    /// Long ids, each behind a byte that says its length; the first byte is of none.
    text: Vec<u8>,
}

/// What one source holds of a product.
#[derive(Debug, Clone, Copy)]
struct Entry {
    group: u32,
    /// Where in the text the id is, when it is long; else 0.
    text_at: u32,
    sort_key: u128,
    counters: [i64; COUNTERS],
}

impl Gathered {
    /// Adds what a table holds between two places.
    fn add_table(&mut self, table: &Table, from: &Place, to: &Place) {
        let (first, last) = (Product::of(&from.id), Product::of(&to.id));
        for group in from.group..to.group {
            let first = if group == from.group { first } else { Product::default() };
            self.add_group(group, table.in_order(group, first, None));
        }
        if !to.id.is_empty() {
            let first = if to.group == from.group { first } else { Product::default() };
            self.add_group(to.group, table.in_order(to.group, first, Some(last)));
        }
    }

    fn add_group(&mut self, group: usize, entries: Entries<'_>) {
        let group = u32::try_from(group).expect("groups fit in 32 bits");
        entries.for_each(|(product, counters)| self.push(group, product, counters));
    }

    /// Adds what a run holds between two places.
    fn add_run(&mut self, run: &Run, from: &Place, to: &Place) -> io::Result<()> {
        run.read(from, to, |group, product, counters| self.push(group, product, counters))
    }

    /// Adds one entry.
    pub(crate) fn push(&mut self, group: u32, product: Product<'_>, counters: [i64; COUNTERS]) {
        let text_at = self.keep(product.long);
        self.entries.push(Entry { group, text_at, sort_key: product.sort_key, counters });
    }

    /// Bytes that the entries take.
    pub(crate) fn bytes(&self) -> usize {
        self.entries.len() * size_of::<Entry>() + self.text.len()
    }

    /// The entries, in order and added up, on disk.
    pub(crate) fn into_run(self, share: &Share) -> io::Result<Run> {
        let mut file = share.create()?;
        let mut writer = file.begin();
        self.add_up(|group, product, counters| writer.push(group, product, counters))?;
        writer.end()
    }

    /// Keeps a long id.
    fn keep(&mut self, long: &[u8]) -> u32 {
        if long.is_empty() {
            return 0;
        }
        if self.text.is_empty() {
            self.text.push(0);
        }
        let at = u32::try_from(self.text.len()).expect("a part is small");
        self.text.push(u8::try_from(long.len()).expect("an id has at most 255 bytes"));
        self.text.extend_from_slice(long);
        at
    }

    /// Calls `take` with each product, in order, and what the sources hold of it together; not with those of
    /// which everything was taken back.
    fn add_up<E>(
        mut self,
        mut take: impl FnMut(u32, Product<'_>, [i64; COUNTERS]) -> Result<(), E>,
    ) -> Result<(), E> {
        let text = &self.text;
        // A stable sort: it merges what is in order already.
        self.entries.sort_by(|left, right| left.key(text).cmp(&right.key(text)));
        for same in self.entries.chunk_by(|left, right| left.key(text).cmp(&right.key(text)).is_eq()) {
            let mut sums = [0; COUNTERS];
            for entry in same {
                sums.iter_mut().zip(entry.counters).for_each(|(sum, counter)| *sum += counter);
            }
            if sums != [0; COUNTERS] {
                let (group, product) = same[0].key(text);
                take(group, product, sums)?;
            }
        }
        Ok(())
    }
}

impl Entry {
    #[inline(always)]
    fn key<'a>(&self, text: &'a [u8]) -> (u32, Product<'a>) {
        let long = match self.text_at as usize {
            0 => &[][..],
            at => &text[at + 1..][..usize::from(text[at])],
        };
        (self.group, Product { sort_key: self.sort_key, long })
    }
}

/// The counts of a product, of which no more events were taken back than had been added.
pub(crate) fn counts(counters: [i64; COUNTERS]) -> Result<Counts, CountError> {
    let count = |counter: Counter| u64::try_from(counters[counter as usize]).map_err(|_| CountError::Changed);
    Ok(Counts {
        impressions: count(Counter::Impressions)?,
        clicks: count(Counter::Clicks)?,
        views: count(Counter::Views)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{padded::PaddedCopy, run::tests::InMemory};
    use domain::AdvertiserId;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn share(bytes: usize) -> Share {
        Share { bytes, place: Some(Arc::new(InMemory)) }
    }

    fn tables(tables: usize, groups: usize, share_bytes: usize) -> Vec<Table> {
        (0..tables).map(|_| Table::new(groups, share(share_bytes)).unwrap()).collect()
    }

    fn wanted(advertisers: usize) -> Wanted {
        let day: Day = "2024-11-20".parse().unwrap();
        let ids = (0..advertisers).map(|number| AdvertiserId::new(format!("{number:03}")).unwrap());
        Wanted::new(vec![(day, ids.collect())])
    }

    fn add(table: &mut Table, group: u32, id: &str, is_undo: bool) {
        let id = PaddedCopy::of(id.as_bytes());
        let key = table.key(group, id.text());
        table.take_back(is_undo);
        table.add(&key, Counter::Clicks, id.text()).unwrap();
    }

    #[test]
    fn taking_back_what_was_never_added_is_an_error() {
        for is_spilled in [false, true] {
            let mut tables = tables(1, 1, 1 << 20);
            add(&mut tables[0], 0, "p", true);
            if is_spilled {
                tables[0].spill().unwrap();
            }
            let days = Partials::of(tables, &share(1 << 20)).unwrap().days(&wanted(1));
            let merged = days[0].parts().next().unwrap().merge();
            assert!(matches!(merged, Err(CountError::Changed)));
        }
    }

    proptest! {
        #[test]
        fn parts_of_any_size_add_up_as_a_map_does(
            events in proptest::collection::vec(
                (0usize..3, 0u32..4, "[a-c]{1,2}|[ab]{8,9}|x{14,16}[a-c]{0,3}"),
                0..300,
            ),
            entries_max in 1usize..40,
            // From what holds everything to what holds next to nothing.
            share_bytes in prop_oneof![Just(1 << 20), 2000usize..8000, 1300usize..2000],
        ) {
            let mut tables = tables(3, 4, share_bytes);
            let mut map = BTreeMap::<_, u64>::new();
            for (table, group, id) in &events {
                add(&mut tables[*table], *group, id, false);
                *map.entry((*group, id.as_str())).or_default() += 1;
            }
            // What is added and taken back by another leaves nothing.
            add(&mut tables[0], 2, "gone", false);
            add(&mut tables[1], 2, "gone", true);
            let partials = Arc::new(Partials::of(tables, &share(share_bytes)).unwrap());
            prop_assert!(partials.runs.len() <= share(share_bytes).runs_max());
            let cuts = partials.cuts(0..4, entries_max);
            prop_assert!(cuts.is_sorted_by(|left, right| left < right));
            let day = wanted(4).days()[0];
            let groups = DayGroups { first: 0, indices: None };
            let counts = DayCounts { day, cuts: cuts.into(), partials, groups };
            let mut told = Vec::new();
            for part in counts.parts() {
                let block = part.merge().unwrap();
                told.extend(block.rows().map(|(group, id, counts)| ((group, id.to_owned()), counts.clicks)));
            }
            let map: Vec<_> = map.into_iter().map(|((group, id), clicks)| ((group, id.to_owned()), clicks)).collect();
            prop_assert_eq!(told, map);
        }

        #[test]
        fn no_part_of_a_large_group_is_large(products in 100usize..3000, sources in 1usize..4) {
            let mut tables = tables(sources, 1, 1 << 20);
            for product in 0..products {
                add(&mut tables[product % sources], 0, &format!("{:x}", product * 7919 % 10_007), false);
            }
            let partials = Partials::of(tables, &share(1 << 20)).unwrap();
            let cuts = partials.cuts(0..1, 100);
            for cut in cuts.windows(2) {
                let mut gathered = Gathered::default();
                partials.tables.iter().for_each(|table| gathered.add_table(table, &cut[0], &cut[1]));
                prop_assert!(gathered.entries.len() <= 100, "{} entries", gathered.entries.len());
            }
        }
    }
}
