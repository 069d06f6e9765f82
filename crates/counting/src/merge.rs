//! Partial counts of all threads become the counts of each day, in order.

use crate::{
    table::{Product, Table},
    wanted::Wanted,
};
use domain::{Counts, DayCounts, DayCountsBuilder, Log};
use std::ops::Range;

/// Merges the tables. A group is (day slot × advertisers + advertiser); groups are shared out among
/// `threads` threads, each sorts its groups' products and adds up what the tables hold of them.
///
/// # Errors
/// [`TakenBackTooMuch`], when an object held other bytes as its slice was taken back.
pub(crate) fn merge(
    wanted: &Wanted,
    tables: &[(Log, &Table)],
    threads: usize,
) -> Result<Vec<DayCounts>, TakenBackTooMuch> {
    let places = Places::of(tables, wanted.days().len() * wanted.advertisers());
    let shares = places.shares(threads);
    let segments: Result<Vec<Segment>, _> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            shares.into_iter().map(|groups| scope.spawn(|| Segment::of(tables, &places, groups))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a merging thread does not panic")).collect()
    });
    Ok(by_day(wanted, &segments?))
}

/// More events of a product were taken back than had been added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakenBackTooMuch;

/// Where the products of each group lie in the tables.
struct Places {
    /// `starts[g]..starts[g + 1]` are the places of group `g`.
    starts: Vec<usize>,
    /// (table, slot) of each product.
    places: Vec<(u32, u32)>,
}

impl Places {
    fn of(tables: &[(Log, &Table)], groups: usize) -> Self {
        let occupied = || {
            tables.iter().enumerate().flat_map(|(number, (_, table))| {
                (0..table.slot_count())
                    .filter_map(move |slot| Some((table.group_at(slot)? as usize, number, slot)))
            })
        };
        let mut starts = vec![0; groups + 1];
        for (group, _, _) in occupied() {
            starts[group + 1] += 1;
        }
        for group in 0..groups {
            starts[group + 1] += starts[group];
        }
        let mut ends = starts.clone();
        let mut places = vec![(0, 0); starts[groups]];
        for (group, table, slot) in occupied() {
            let slot = u32::try_from(slot).expect("a table has fewer than 2^32 slots");
            places[ends[group]] = (u32::try_from(table).expect("threads fit in 32 bits"), slot);
            ends[group] += 1;
        }
        Self { starts, places }
    }

    /// Ranges of groups with about equally many products, at most `threads` of them.
    fn shares(&self, threads: usize) -> Vec<Range<usize>> {
        let groups = self.starts.len() - 1;
        let mut shares = Vec::new();
        let mut start = 0;
        for share in 1..=threads {
            let target = self.places.len() * share / threads;
            let end = if share == threads {
                groups
            } else {
                self.starts.partition_point(|at| *at < target).min(groups)
            };
            if end > start {
                shares.push(start..end);
                start = end;
            }
        }
        shares
    }
}

/// The merged products of consecutive groups.
#[derive(Default)]
struct Segment {
    /// One past the last product of each group.
    group_ends: Vec<usize>,
    text: String,
    text_ends: Vec<usize>,
    counts: Vec<Counts>,
}

/// What one table holds of one product.
struct Part<'a> {
    product: Product<'a>,
    log: Log,
    counters: [i64; 2],
}

impl Segment {
    fn of(tables: &[(Log, &Table)], places: &Places, groups: Range<usize>) -> Result<Self, TakenBackTooMuch> {
        let mut segment = Self::default();
        let mut parts = Vec::new();
        for group in groups {
            parts.clear();
            parts.extend(places.places[places.starts[group]..places.starts[group + 1]].iter().map(
                |(table, slot)| {
                    let (log, table) = tables[*table as usize];
                    let entry = table.entry_at(*slot as usize);
                    Part { product: entry.product, log, counters: entry.counters }
                },
            ));
            parts.sort_unstable_by(|a, b| a.product.order(&b.product));
            for same in parts.chunk_by(|a, b| a.product.order(&b.product).is_eq()) {
                segment.push(same)?;
            }
            segment.group_ends.push(segment.counts.len());
        }
        Ok(segment)
    }

    fn push(&mut self, parts: &[Part<'_>]) -> Result<(), TakenBackTooMuch> {
        let sum = |log: Log, counter: usize| {
            let sum: i64 =
                parts.iter().filter(|part| part.log == log).map(|part| part.counters[counter]).sum();
            u64::try_from(sum).map_err(|_| TakenBackTooMuch)
        };
        let counts = Counts {
            impressions: sum(Log::AdsViews, 0)?,
            clicks: sum(Log::AdsViews, 1)?,
            views: sum(Log::ProductViews, 0)?,
        };
        // Products of slices that were taken back leave a place without events.
        if counts != Counts::default() {
            let mut inline = [0; 16];
            let id = parts[0].product.bytes(&mut inline);
            self.text.push_str(std::str::from_utf8(id).expect("ids were checked when they were read"));
            self.text_ends.push(self.text.len());
            self.counts.push(counts);
        }
        Ok(())
    }

    /// The products of each group, in order.
    fn groups(&self) -> impl Iterator<Item = impl Iterator<Item = (&str, Counts)>> {
        let starts = [0].into_iter().chain(self.group_ends.iter().copied());
        starts.zip(&self.group_ends).map(move |(start, end)| {
            (start..*end).map(move |product| {
                let text_start = if product == 0 { 0 } else { self.text_ends[product - 1] };
                (&self.text[text_start..self.text_ends[product]], self.counts[product])
            })
        })
    }
}

fn by_day(wanted: &Wanted, segments: &[Segment]) -> Vec<DayCounts> {
    let mut groups = segments.iter().flat_map(Segment::groups);
    let mut days = Vec::new();
    for (slot, day) in wanted.days().iter().enumerate() {
        let mut builder = DayCountsBuilder::new(*day);
        let mut active = wanted.active(slot).iter().peekable();
        for advertiser in wanted.table.ids() {
            let products = groups.next();
            // The table knows the advertisers of all days; this day's list decides.
            if active.next_if_eq(&advertiser).is_some() {
                builder.advertiser(advertiser.clone());
                for (product, counts) in products.into_iter().flatten() {
                    builder.product(product, counts);
                }
            }
        }
        days.push(builder.finish());
    }
    days
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bytes16::PADDING_BYTES;
    use domain::{AdvertiserId, Day};

    #[test]
    fn taking_back_what_was_never_added_is_an_error() {
        let day: Day = "2024-11-20".parse().unwrap();
        let wanted = Wanted::new(vec![(day, [AdvertiserId::new("a").unwrap()].into())]);
        let mut table = Table::new().unwrap();
        table.take_back(true);
        let key = table.key(0, &[b'p'; 1 + PADDING_BYTES], 0, 1);
        table.reserve(1).unwrap();
        table.add(&key, 0, || b"p");
        assert!(merge(&wanted, &[(Log::AdsViews, &table)], 1).is_err());
    }
}
