//! Partial counts of all threads become the counts of each day, in order.

use crate::{
    table::{Counter, Entry, Table},
    wanted::Wanted,
};
use domain::{Counts, DayCounts, DayCountsBuilder};
use std::ops::Range;

/// Merges the tables. A group is (day slot × advertisers + advertiser); groups are shared out among
/// `threads` threads, each sorts its groups' products and adds up what the tables hold of them.
///
/// # Errors
/// [`TakenBackTooMuch`], when an object held other bytes as its slice was taken back.
pub(crate) fn merge(
    wanted: &Wanted,
    tables: &[&Table],
    threads: usize,
) -> Result<Vec<DayCounts>, TakenBackTooMuch> {
    let shares = shares(tables, wanted.groups(), threads);
    let segments: Result<Vec<Segment>, _> = std::thread::scope(|scope| {
        let workers: Vec<_> =
            shares.into_iter().map(|groups| scope.spawn(|| Segment::of(tables, groups))).collect();
        workers.into_iter().map(|worker| worker.join().expect("a merging thread does not panic")).collect()
    });
    Ok(by_day(wanted, &segments?))
}

/// More events of a product were taken back than had been added.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TakenBackTooMuch;

/// Cuts `0..groups` into at most `threads` ranges with about equally many products.
fn shares(tables: &[&Table], groups: usize, threads: usize) -> Vec<Range<usize>> {
    let products = |group| tables.iter().map(|table| table.products(group)).sum::<usize>();
    let all: usize = (0..groups).map(products).sum();
    let (mut end, mut taken) = (0, 0);
    let mut shares = Vec::new();
    for share in 1..=threads {
        let start = end;
        while end < groups && (share == threads || taken * threads < all * share) {
            taken += products(end);
            end += 1;
        }
        shares.push(start..end);
    }
    shares.retain(|share| !share.is_empty());
    shares
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

impl Segment {
    fn of(tables: &[&Table], groups: Range<usize>) -> Result<Self, TakenBackTooMuch> {
        let mut segment = Self::default();
        let mut entries = Vec::new();
        for group in groups {
            entries.clear();
            entries.extend(tables.iter().flat_map(|table| table.entries(group)));
            entries.sort_unstable_by(|a, b| a.product.order(&b.product));
            for same in entries.chunk_by(|a, b| a.product.order(&b.product).is_eq()) {
                segment.push(same)?;
            }
            segment.group_ends.push(segment.counts.len());
        }
        Ok(segment)
    }

    fn push(&mut self, entries: &[Entry<'_>]) -> Result<(), TakenBackTooMuch> {
        let sum = |counter: Counter| {
            let sum: i64 = entries.iter().map(|entry| entry.counters[counter as usize]).sum();
            u64::try_from(sum).map_err(|_| TakenBackTooMuch)
        };
        let counts = Counts {
            impressions: sum(Counter::Impressions)?,
            clicks: sum(Counter::Clicks)?,
            views: sum(Counter::Views)?,
        };
        // Products of slices that were taken back leave a place without events.
        if counts != Counts::default() {
            let mut inline = [0; 16];
            let id = entries[0].product.bytes(&mut inline);
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
    use crate::padded::PaddedCopy;
    use domain::{AdvertiserId, Day};

    #[test]
    fn taking_back_what_was_never_added_is_an_error() {
        let day: Day = "2024-11-20".parse().unwrap();
        let wanted = Wanted::new(vec![(day, [AdvertiserId::new("a").unwrap()].into())]);
        let mut table = Table::new(1).unwrap();
        table.take_back(true);
        let id = PaddedCopy::of(b"p");
        let key = table.key(0, id.text());
        table.add(&key, Counter::Clicks, id.text()).unwrap();
        assert!(merge(&wanted, &[&table], 1).is_err());
    }
}
