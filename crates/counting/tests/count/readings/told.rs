//! What a reading found, as text: for each day its counts in order and its tallies, then the examples.

use counting::RECORD_BYTES_MAX;
use domain::{Counts, RejectReason};
use jiff::civil::Time;
use std::fmt::Write as _;

/// The text.
pub(crate) type Told = String;

/// The most bytes of a rejected line that an example shows.
pub(crate) const EXAMPLE_BYTES_MAX: usize = 120;

const _: () = assert!(EXAMPLE_BYTES_MAX < RECORD_BYTES_MAX, "an example shows part of a line");

/// What became of an object's lines on one day.
#[derive(Debug, Default)]
pub(crate) struct ToldTally {
    pub(crate) object: usize,
    pub(crate) read: u64,
    pub(crate) kept: u64,
    pub(crate) inactive: u64,
    pub(crate) blank: u64,
    /// In the order of the reasons.
    pub(crate) rejected: Vec<(RejectReason, u64)>,
    pub(crate) last_time: Option<Time>,
}

pub(crate) fn tell_counts(told: &mut Told, advertiser: &str, product: &str, counts: Counts) {
    let Counts { impressions, clicks, views } = counts;
    writeln!(told, "  {advertiser:?} {product:?} {impressions} {clicks} {views}").unwrap();
}

pub(crate) fn tell_tally(told: &mut Told, tally: &ToldTally) {
    let ToldTally { object, read, kept, inactive, blank, rejected, last_time } = tally;
    write!(told, "  object {object}: {read} read {kept} kept {inactive} inactive {blank} blank {rejected:?}")
        .unwrap();
    last_time.iter().for_each(|time| write!(told, " until {time}").unwrap());
    told.push('\n');
}

pub(crate) fn tell_example(told: &mut Told, object: &str, line: u64, reason: RejectReason, text: &str) {
    writeln!(told, "{object}:{line} {reason} {text:?}").unwrap();
}
