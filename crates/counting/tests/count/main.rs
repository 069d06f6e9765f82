//! Counting against a naive reading of the same bytes: record by record, into ordered maps.

#![allow(clippy::unwrap_used, reason = "a test panics where it fails")]

mod columns;
mod corpus;
mod delimited;
mod generated;
mod heads;
mod json;
mod readings;
mod resources;
mod spread;

use counting::{Instructions, ObjectDays};
use domain::{AdvertiserId, Day, Log};
use jiff::tz::TimeZone;
use readings::{
    Active, LogObject,
    naive::naive,
    ours::{How, ours},
};
use std::slice::from_ref;

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

fn advertiser(text: &str) -> AdvertiserId {
    AdvertiserId::new(text).unwrap()
}

/// Two days with the same active advertisers.
fn days() -> Vec<(Day, Vec<AdvertiserId>)> {
    let ids = ["12", "a", "an advertiser of more than thirty-two bytes", "b, \"c\"\n", &"é".repeat(20)];
    let list: Vec<_> = ids.into_iter().map(advertiser).collect();
    vec![(day("2024-11-20"), list.clone()), (day("2024-11-22"), list)]
}

/// An object of `product_views` or `ads_views` that can be cut.
fn log_object(log: Log, bytes: &[u8]) -> LogObject {
    LogObject { log, days: ObjectDays::Any, bytes: bytes.to_vec(), delimiter: None, is_stream: false }
}

/// What one thread says of the object.
fn told(log: &LogObject, slice_bytes: u64) -> String {
    ours(&days(), from_ref(log), &How::new(1, slice_bytes))
}

/// Checks that both readings of the object agree, cut or as a stream, and with any instructions.
fn check(active: &Active, log: &LogObject, threads: usize, slice_bytes: u64) {
    let naive = naive(active, from_ref(log), &TimeZone::UTC);
    for (is_stream, instructions) in
        [(false, Instructions::Best), (false, Instructions::Portable), (true, Instructions::Best)]
    {
        let log = LogObject { is_stream, ..log.clone() };
        let how = How { instructions, ..How::new(threads, slice_bytes) };
        let ours = ours(active, &[log], &how);
        let different = ours.lines().zip(naive.lines()).find(|(ours, naive)| ours != naive);
        assert_eq!(different, None, "{how:?}, stream: {is_stream}");
        assert_eq!(ours.lines().count(), naive.lines().count());
    }
}
