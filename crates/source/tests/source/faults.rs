//! Buckets behind networks and servers that fail: what passes is tried again, what stays is told.

use crate::support::{Asked, Fate, Place};
use object_store::{ObjectStoreExt, path::Path};
use source::{Location, ObjectInfo, ReadLimits, ReadStats, Reading, SourceError};
use std::{
    io::Read,
    sync::atomic::{AtomicUsize, Ordering::SeqCst},
    time::Duration,
};
use tokio::runtime::Handle;

const PART: u64 = 4 << 20;

fn content(length: u64) -> Vec<u8> {
    (0..length).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// How long failing requests are tried again, where a test does not wait for that to end.
const LONG: Duration = Duration::from_secs(60);

/// A bucket with one object of two and a half parts.
async fn bucket() -> (Place, ObjectInfo, Vec<u8>) {
    let place = Place::bucket().await;
    let bytes = content(2 * PART + PART / 2);
    place.put("ads.csv", bytes.clone()).await;
    let object = place.object("ads.csv").await;
    (place, object, bytes)
}

async fn read(location: &Location, object: &ObjectInfo) -> (Result<Vec<u8>, String>, ReadStats) {
    let reading = Reading::new(location, ReadLimits::for_threads(1), &Handle::current());
    let object = object.clone();
    let read = move || {
        let mut bytes = Vec::new();
        let read = reading.open(&object, 0..object.size).unwrap().read_to_end(&mut bytes);
        let read = read.map(|_| bytes).map_err(|error| SourceError::of_read(&error).unwrap().to_string());
        (read, reading.stats())
    };
    tokio::task::spawn_blocking(read).await.unwrap()
}

/// The first `times` requests for the object's first part fare so.
fn at_first(times: usize, fate: Fate) -> impl Fn(&Asked) -> Fate + Send + Sync + 'static {
    let left = AtomicUsize::new(times);
    move |asked| {
        let is_first = asked.range.as_ref().is_some_and(|range| range.start == 0);
        let is_hit = is_first && left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_hit { fate } else { Fate::Passes }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_breaks_off_goes_on_where_it_broke() {
    let (place, object, bytes) = bucket().await;
    for fate in [Fate::Ends(1_000_000), Fate::Ends(0), Fate::Reset(1_000_000), Fate::Reset(0)] {
        let (location, proxy) = place.through(Duration::ZERO, LONG, at_first(1, fate)).await;
        let (read, stats) = read(&location, &object).await;
        assert!(read.unwrap() == bytes, "{fate:?}");
        assert_eq!((stats.requests, stats.refusals), (3, 1), "{fate:?}");
        let again: Vec<_> = proxy.ranges().into_iter().filter(|range| range.end == PART).collect();
        let [first, second] = &again[..] else { panic!("{fate:?}: {again:?}") };
        assert_eq!(*first, 0..PART);
        // What a reset catches on its way is lost; what came is not asked for again.
        let expected = match fate {
            Fate::Ends(passed) => passed..=passed,
            _ => 0..=1_000_000,
        };
        assert!(expected.contains(&second.start), "{fate:?}: {second:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_body_that_stalls_goes_on_in_another_request() {
    let (place, object, bytes) = bucket().await;
    for passed in [0, 1_000_000] {
        // A sixth of it without a byte is a stall.
        let patience = Duration::from_secs(3);
        let rule = at_first(1, Fate::Stalls(passed));
        let (location, proxy) = place.through(Duration::ZERO, patience, rule).await;
        let (read, stats) = read(&location, &object).await;
        assert!(read.unwrap() == bytes);
        assert_eq!(stats.refusals, 1);
        assert!(proxy.ranges().contains(&(passed..PART)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_store_is_asked_again() {
    let (place, object, bytes) = bucket().await;
    for status in ["503 SlowDown", "500 InternalError", "429 TooManyRequests", "408 RequestTimeout"] {
        let rule = at_first(2, Fate::Refused(status));
        let (location, proxy) = place.through(Duration::ZERO, LONG, rule).await;
        let (read, stats) = read(&location, &object).await;
        assert!(read.unwrap() == bytes, "{status}");
        assert_eq!((stats.requests, stats.refusals), (3, 2), "{status}");
        assert_eq!(proxy.ranges().len(), 5, "{status}");
    }
}

/// What is said when the fate of all requests for the object is the same.
async fn told(patience: Duration, fate: Fate) -> (String, usize) {
    let (place, object, _) = bucket().await;
    let rule = move |asked: &Asked| if asked.range.is_some() { fate } else { Fate::Passes };
    let (location, proxy) = place.through(Duration::ZERO, patience, rule).await;
    let message = read(&location, &object).await.0.unwrap_err();
    let first = proxy.ranges().into_iter().filter(|range| range.start == 0).count();
    (message.replace(place.location.url(), "…"), first)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_pass_is_told_when_patience_ends() {
    let patience = Duration::from_millis(900);
    let (message, tries) = told(patience, Fate::Refused("503 SlowDown")).await;
    assert_eq!(message, "could not read …/ads.csv: the server answered SlowDown");
    assert!(tries > 1, "{tries}");
    let (message, tries) = told(patience, Fate::Stalls(0)).await;
    assert_eq!(message, "could not read …/ads.csv: nothing came for 150ms");
    assert!(tries > 1, "{tries}");
    let (message, tries) = told(Duration::ZERO, Fate::Refused("503 SlowDown")).await;
    assert_eq!(message, "could not read …/ads.csv: the server answered SlowDown");
    assert_eq!(tries, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waiting_does_not_mend_is_told_at_once() {
    let (message, tries) = told(LONG, Fate::Refused("403 AccessDenied")).await;
    assert_eq!(message, "could not read …/ads.csv: the server answered AccessDenied");
    assert_eq!(tries, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_object_replaced_between_two_tries_is_told() {
    let (place, object, mut bytes) = bucket().await;
    bytes.reverse();
    let (location, proxy) = place.through(Duration::ZERO, LONG, at_first(1, Fate::Stalls(1_000_000))).await;
    let reading = tokio::spawn(async move { read(&location, &object).await.0 });
    while proxy.ranges().is_empty() {
        tokio::task::yield_now().await;
    }
    let key = Path::parse(format!("{}/ads.csv", place.location.prefix())).unwrap();
    place.location.object_store().put(&key, bytes.into()).await.unwrap();
    let message = reading.await.unwrap().unwrap_err();
    assert!(message.contains("/ads.csv changed after the run began: its ETag was "), "{message}");
}
