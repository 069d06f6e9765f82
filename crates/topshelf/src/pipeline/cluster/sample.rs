//! Where to cut a day's products into ranges of about as many: found by counting a little of its logs.

use cluster::Bytes;
use counting::{
    CountError, CountedObject, DateFormat, Limits, Objects, Part, Piece, RowBatches, Wanted, count_parts,
};
use jiff::tz::TimeZone;
use std::{
    io::{self, Read},
    ops::Range,
};

/// Parts that are looked at.
const PARTS: usize = 48;

/// Bytes of each that are read.
const PART_BYTES: u64 = 512 << 10;

/// Row groups that are looked at: they are read whole.
const ROW_GROUPS: usize = 4;

/// Where ranges begin, of which there are to be so many: fewer where there is little to cut. What cannot be read here is
/// told by whoever counts it.
pub(super) fn cuts(
    wanted: &Wanted,
    objects: &[CountedObject],
    parts: &[Part],
    bytes: &dyn Objects,
    date: (&DateFormat, &TimeZone),
    limits: &Limits,
    ranges: usize,
) -> Vec<(u32, Bytes)> {
    let (texts, row_groups): (Vec<_>, Vec<_>) =
        parts.iter().cloned().partition(|part| !matches!(part.piece, Piece::RowGroup(_)));
    let sampled = spread(&texts, PARTS).chain(spread(&row_groups, ROW_GROUPS));
    let mut keys = Vec::new();
    // One by one: what is wrong with one says nothing of others.
    for part in sampled.map(shortened) {
        let counted = count_parts(wanted, objects, &[part], &Beginnings(bytes), date, limits);
        let Ok(counted) = counted else { continue };
        for part in counted.days.iter().flat_map(|day| day.parts()) {
            let read = part.entries(|group, product, _| {
                keys.push((group, Bytes::copy_from_slice(product)));
                Ok::<_, CountError>(())
            });
            if read.is_err() {
                break;
            }
        }
    }
    keys.sort_unstable();
    keys.dedup();
    let cuts = (1..ranges).filter_map(|range| keys.get(keys.len() * range / ranges));
    cuts.cloned().collect()
}

/// So many of them, from all over.
fn spread(parts: &[Part], most: usize) -> impl Iterator<Item = Part> {
    let taken = parts.len().min(most);
    (0..taken).map(move |index| parts[index * parts.len() / taken].clone())
}

/// The beginning of a part.
fn shortened(part: Part) -> Part {
    let piece = match part.piece {
        Piece::Bytes { start, end, is_first } => {
            Piece::Bytes { start, end: end.min(start + PART_BYTES), is_first }
        }
        other => other,
    };
    Part { piece, ..part }
}

/// Objects that end soon, wherever they are opened.
struct Beginnings<'a>(&'a dyn Objects);

impl Objects for Beginnings<'_> {
    fn open(&self, object: usize, range: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(self.0.open(object, range)?.take(PART_BYTES)))
    }

    fn rows(&self, object: usize, row_group: usize) -> io::Result<Box<dyn RowBatches + '_>> {
        self.0.rows(object, row_group)
    }
}
