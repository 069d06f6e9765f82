//! Reading ahead of several readers: what is asked for, how much at a time, and that no byte is lost.

use crate::support::{Fate, Place, Proxy};
use source::{Location, ObjectInfo, ReadLimits, ReadStats, Reading};
use std::{
    io::Read,
    ops::Range,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::runtime::Handle;

const PART: u64 = 4 << 20;
/// What a reader that waits may have beyond the bound.
const OVER_THE_BOUND: u64 = 5 << 20;

fn content(seed: u64, length: u64) -> Vec<u8> {
    (0..length).map(|at| ((at ^ seed << 40).wrapping_mul(2_654_435_761) >> 13) as u8).collect()
}

/// A bucket with `count` objects of `bytes` each, and their contents.
async fn bucket(count: u64, bytes: u64) -> (Place, Vec<ObjectInfo>, Vec<Vec<u8>>) {
    let place = Place::bucket().await;
    let contents: Vec<_> = (0..count).map(|number| content(number, bytes)).collect();
    for (number, content) in contents.iter().enumerate() {
        place.put(&format!("ads-{number:05}.csv"), content.clone()).await;
    }
    let planned = place.plan("ads-*", "2024-11-20").await.unwrap();
    (place, planned.into_iter().map(|planned| planned.object).collect(), contents)
}

async fn through(place: &Place, latency_ms: u64) -> (Location, Arc<Proxy>) {
    let latency = Duration::from_millis(latency_ms);
    let (location, proxy) = place.through(latency, Duration::from_secs(60), |_| Fate::Passes).await;
    (location, Arc::new(proxy))
}

/// Slices as counting opens them: all but an object's first begin a byte early.
fn slices(objects: &[ObjectInfo], slice_bytes: u64) -> Vec<(usize, Range<u64>)> {
    let of_object = |(number, object): (usize, &ObjectInfo)| {
        let size = object.size;
        let starts = (0..size).step_by(usize::try_from(slice_bytes).unwrap());
        let range = move |start: u64| start.saturating_sub(1)..(start + slice_bytes).min(size);
        starts.map(move |start| (number, range(start))).collect::<Vec<_>>()
    };
    objects.iter().enumerate().flat_map(of_object).collect()
}

/// Reads all slices on some threads, each `behind` bytes behind its end too, and compares every byte.
async fn read_slices(
    reading: &Reading,
    proxy: &Arc<Proxy>,
    (objects, contents): (&[ObjectInfo], &[Vec<u8>]),
    slices: Vec<(usize, Range<u64>)>,
    (threads, behind): (usize, u64),
) -> ReadStats {
    reading.expect(slices.iter().map(|(object, range)| (&objects[*object], range.clone())));
    let next = Arc::new(AtomicUsize::new(0));
    let shared = Arc::new((objects.to_vec(), contents.to_vec(), slices));
    let worker = || {
        let (reading, proxy, shared, next) =
            (reading.clone(), Arc::clone(proxy), Arc::clone(&shared), Arc::clone(&next));
        tokio::task::spawn_blocking(move || {
            let (objects, contents, slices) = &*shared;
            while let Some((object, range)) = slices.get(next.fetch_add(1, SeqCst)) {
                let expected = &contents[*object];
                let end = (range.end + behind).min(expected.len() as u64);
                let reader = reading.open(&objects[*object], range.clone()).unwrap();
                let mut reader = reader.take(end - range.start);
                let mut at = usize::try_from(range.start).unwrap();
                let mut buffer = vec![0; 64 << 10];
                loop {
                    let read = reader.read(&mut buffer).unwrap();
                    if read == 0 {
                        break;
                    }
                    assert!(buffer[..read] == expected[at..at + read], "{object} at {at}");
                    at += read;
                    proxy.used(read as u64);
                }
                assert_eq!(at as u64, end);
            }
        })
    };
    for worker in (0..threads).map(|_| worker()).collect::<Vec<_>>() {
        worker.await.unwrap();
    }
    reading.stats()
}

fn reading(location: &Location, bytes_max: u64) -> Reading {
    let limits = ReadLimits { bytes_max, ..ReadLimits::for_threads(2) };
    Reading::new(location, limits, &Handle::current())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn slices_are_read_ahead_within_the_bound_and_lines_end_in_the_next_one() {
    let (place, objects, contents) = bucket(3, 5 * PART + 12_345).await;
    let (location, proxy) = through(&place, 0).await;
    let bytes_max = 6 * PART;
    let reading = reading(&location, bytes_max);
    let slices = slices(&objects, 2 * PART);
    let stats = read_slices(&reading, &proxy, (&objects, &contents), slices, (2, 100_000)).await;
    // Five parts an object: two slices of two parts, and a third one that is little more than a part.
    assert_eq!(stats.requests, 3 * 5, "no byte behind a slice is asked for by itself: {:?}", proxy.ranges());
    assert_eq!(proxy.ranges().len(), 15);
    assert!(stats.bytes_at_once > 4 * PART, "{stats:?}");
    // Two readers may be over the bound; what is in use when it is told is not yet told.
    let bound = bytes_max + 2 * OVER_THE_BOUND + 2 * (64 << 10);
    assert!(stats.bytes_at_once <= bytes_max + 2 * OVER_THE_BOUND, "{stats:?}");
    assert!(proxy.ahead() <= bound, "{} bytes were on their way or unused", proxy.ahead());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bound_below_a_part_still_lets_everyone_read() {
    let (place, objects, contents) = bucket(2, 3 * PART).await;
    let (location, proxy) = through(&place, 0).await;
    let reading = reading(&location, 1000);
    let slices = slices(&objects, PART);
    let stats = read_slices(&reading, &proxy, (&objects, &contents), slices, (4, 300_000)).await;
    assert!(stats.bytes_at_once <= 4 * OVER_THE_BOUND, "{stats:?}");
    assert!(proxy.ahead() <= 4 * (OVER_THE_BOUND + (64 << 10)), "{}", proxy.ahead());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_reads_and_the_bound_is_kept() {
    let (place, objects, contents) = bucket(4, 4 * PART).await;
    let (location, proxy) = through(&place, 0).await;
    let reading = reading(&location, 5 * PART);
    reading.expect(objects.iter().map(|object| (object, 0..object.size)));
    while reading.stats().requests < 5 {
        tokio::task::yield_now().await;
    }
    // The last reader asks for its first part beyond the bound, and gets it.
    let (last, expected) = (objects[3].clone(), contents[3][0]);
    let first_byte = {
        let reading = reading.clone();
        move || {
            let mut byte = [0];
            reading.open(&last, 0..last.size).unwrap().read_exact(&mut byte).unwrap();
            byte[0]
        }
    };
    assert_eq!(tokio::task::spawn_blocking(first_byte).await.unwrap(), expected);
    assert!(proxy.ahead() <= 6 * PART, "{}", proxy.ahead());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_small_objects_are_fetched_once_each_and_do_not_wait_for_each_other() {
    let (place, objects, contents) = bucket(600, 20_000).await;
    let (location, proxy) = through(&place, 20).await;
    let reading = reading(&location, 4 * PART);
    let whole = objects.iter().map(|object| object.size);
    let slices = whole.enumerate().map(|(number, size)| (number, 0..size)).collect();
    let stats = read_slices(&reading, &proxy, (&objects, &contents), slices, (2, 0)).await;
    assert_eq!(proxy.tally(), [("part", 600)].into(), "one request an object, and none to verify it");
    for object in &objects {
        location.verify_read(object).await.unwrap();
    }
    assert_eq!(proxy.tally(), [("part", 600)].into());
    let most = ReadLimits::for_threads(2).requests_max;
    assert!(proxy.at_once() > 8, "it climbs where requests only wait: {}", proxy.at_once());
    assert!(stats.requests_at_once <= most, "{stats:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn small_objects_whose_beginnings_are_wanted_first_are_fetched_once() {
    let (place, objects, contents) = bucket(40, 50_000).await;
    let (location, proxy) = through(&place, 0).await;
    let reading = reading(&location, 32 * PART);
    let heads = objects.iter().map(|object| reading.head_bytes(object, 1000));
    for (head, content) in futures::future::join_all(heads).await.into_iter().zip(&contents) {
        assert!(head.unwrap() == content[..1000]);
    }
    let behind_header = objects.iter().map(|object| 123..object.size);
    let slices = behind_header.enumerate().collect();
    read_slices(&reading, &proxy, (&objects, &contents), slices, (2, 0)).await;
    assert_eq!(proxy.tally(), [("part", 40)].into());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beginnings_that_do_not_fit_in_memory_are_fetched_by_themselves() {
    let (place, objects, contents) = bucket(40, 50_000).await;
    let (location, proxy) = through(&place, 0).await;
    let reading = reading(&location, 1_000_000);
    let heads = objects.iter().map(|object| reading.head_bytes(object, 1000));
    for (head, content) in futures::future::join_all(heads).await.into_iter().zip(&contents) {
        assert!(head.unwrap() == content[..1000]);
    }
    let slices = objects.iter().map(|object| 123..object.size).enumerate().collect();
    read_slices(&reading, &proxy, (&objects, &contents), slices, (2, 0)).await;
    let parts = proxy.tally()["part"];
    assert!((41..80).contains(&parts), "some were kept, others not: {parts}");
    assert!(proxy.ahead() <= 1_000_000 + 2 * 60_000 + 40 * 1000, "{}", proxy.ahead());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_refuses_many_at_a_time_gets_fewer() {
    let (place, objects, contents) = bucket(300, 10_000).await;
    let now = Arc::new(Mutex::new(0_usize));
    let refusing = Arc::clone(&now);
    // Every second of the first hundred requests is refused.
    let rule = move |_: &crate::support::Asked| {
        let mut number = refusing.lock().unwrap();
        *number += 1;
        if *number <= 100 && number.is_multiple_of(2) { Fate::Refused("503 SlowDown") } else { Fate::Passes }
    };
    let (location, proxy) = place.through(Duration::from_millis(5), Duration::from_secs(60), rule).await;
    let proxy = Arc::new(proxy);
    let reading = reading(&location, 4 * PART);
    let slices = objects.iter().map(|object| 0..object.size).enumerate().collect();
    let stats = read_slices(&reading, &proxy, (&objects, &contents), slices, (2, 0)).await;
    assert_eq!(stats.requests, 300);
    assert_eq!(stats.refusals, 50);
    assert_eq!(proxy.ranges().len(), 350);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_not_read_to_its_end_is_not_requested_to_its_end() {
    let (place, objects, _) = bucket(1, 12 * PART).await;
    let (location, proxy) = through(&place, 0).await;
    let reading = reading(&location, 4 * PART);
    let object = objects[0].clone();
    let read = move || {
        let mut reader = reading.open(&object, 0..object.size).unwrap();
        reader.read_exact(&mut [0; 10]).unwrap();
    };
    tokio::task::spawn_blocking(read).await.unwrap();
    assert!(proxy.ranges().len() <= 4, "{:?}", proxy.ranges());
}
