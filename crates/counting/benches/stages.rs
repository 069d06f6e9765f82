//! The steps of counting one at a time: `cargo xtask bench micro`.
//!
//! The rows are of the shape of the sample logs: 20 characters of advertiser, 6 of product, 1,600 active
//! advertisers × 100 products, some far more popular than others, each seen several times.

use counting::{
    Columns, Content, CountedObject, DateFormat, Header, Instructions, Limits, ObjectDays, Objects, Wanted,
    count,
    stages::{BLOCK_BYTES, Intern, Probe, Split, Text, merged},
};
use divan::{Bencher, counter::BytesCount, counter::ItemsCount};
use domain::{AdvertiserId, Day};
use jiff::tz::TimeZone;
use rand_xoshiro::{
    SplitMix64,
    rand_core::{RngCore, SeedableRng},
};
use std::{
    io::{self, Read},
    ops::Range,
};

const ACTIVE: u32 = 1_600;
const INACTIVE: u32 = 400;
const PRODUCTS: u32 = 100;
const ROWS: usize = 1_000_000;
const DAY: &str = "2024-11-20";

fn main() {
    divan::main();
}

/// Numbers below the bounds, half of them drawn alike, half of them more often small.
struct Draws(SplitMix64);

impl Draws {
    fn new() -> Self {
        Self(SplitMix64::seed_from_u64(1))
    }

    fn below(&mut self, bound: u32) -> u32 {
        let bits = self.0.next_u64();
        let (even, more) = (bits >> 32, bits & 0xFFFF_FFFF);
        let drawn = if bits & 1 == 0 { even } else { (((even * more) >> 32) * more) >> 32 };
        u32::try_from((drawn * u64::from(bound)) >> 32).expect("it is below the bound")
    }
}

fn advertiser(number: u32) -> String {
    format!("ADVERTISER{number:010}")
}

fn product(number: u32) -> String {
    format!("p{number:05}")
}

/// Lines of an ad log, of active advertisers and others.
fn ad_lines(rows: usize) -> String {
    let mut draws = Draws::new();
    let mut line = |_| {
        let kind = if draws.below(50) == 49 { "click" } else { "impression" };
        let advertiser = advertiser(draws.below(ACTIVE + INACTIVE));
        format!("{advertiser},{},{kind},{DAY}\n", product(draws.below(PRODUCTS)))
    };
    (0..rows).map(&mut line).collect()
}

fn active() -> Vec<AdvertiserId> {
    (0..ACTIVE).map(|number| AdvertiserId::new(advertiser(number)).expect("it is an id")).collect()
}

fn wanted(day: &str, active: Vec<AdvertiserId>) -> Wanted {
    let day: Day = day.parse().expect("it is a day");
    Wanted::new(vec![(day, active.into())])
}

/// Positions of separators, block by block.
#[divan::bench]
fn split(bencher: Bencher) {
    let lines = ad_lines(BLOCK_BYTES / 40);
    let text = Text::new(&lines.as_bytes()[..BLOCK_BYTES]);
    let mut split = Split::new(Instructions::Best);
    bencher.counter(BytesCount::new(BLOCK_BYTES)).bench_local(|| split.index(&text, b','));
}

/// Lines split and judged; as none is of the wanted day, that is all.
#[divan::bench]
fn split_and_judge(bencher: Bencher) {
    bench_count(bencher, &wanted("2024-11-21", active()));
}

/// The same, and each line's advertiser looked up; as none is active, that is all.
#[divan::bench]
fn split_judge_and_intern(bencher: Bencher) {
    let stranger = AdvertiserId::new("stranger").expect("it is an id");
    bench_count(bencher, &wanted(DAY, vec![stranger]));
}

/// All of it, on one thread.
#[divan::bench]
fn count_all(bencher: Bencher) {
    bench_count(bencher, &wanted(DAY, active()));
}

/// Advertisers looked up, four fifths of them active.
#[divan::bench]
fn intern(bencher: Bencher) {
    let mut draws = Draws::new();
    let mut text = String::new();
    let ids: Vec<Range<usize>> = (0..ROWS)
        .map(|_| {
            let start = text.len();
            text += &advertiser(draws.below(ACTIVE + INACTIVE));
            start..text.len()
        })
        .collect();
    let (text, active) = (Text::new(text.as_bytes()), Intern::new(active()));
    bencher.counter(ItemsCount::new(ids.len())).bench(|| active.find(&text, &ids));
}

/// Products looked up and added to, in tables that hold nearly all of them.
#[divan::bench]
fn probe(bencher: Bencher) {
    let (text, events) = events();
    let mut probe = Probe::new(ACTIVE as usize);
    probe.add(&text, &events);
    bencher.counter(ItemsCount::new(events.len())).bench_local(|| probe.add(&text, &events));
}

/// The counts of two threads merged, on two threads.
#[divan::bench]
fn merge(bencher: Bencher) {
    let (text, events) = events();
    let probes = || {
        let probe = |_| {
            let mut probe = Probe::new(ACTIVE as usize);
            probe.add(&text, &events);
            probe
        };
        (0..2).map(probe).collect()
    };
    let wanted = wanted(DAY, active());
    let products = merged(&wanted, probes());
    assert!(products > 100_000, "only {products} are merged");
    bencher
        .counter(ItemsCount::new(products))
        .with_inputs(probes)
        .bench_values(|probes| merged(&wanted, probes));
}

/// (Group, product) of all events, and the text of the products.
fn events() -> (Text, Vec<(u32, Range<usize>)>) {
    let text: String = (0..PRODUCTS).map(product).collect();
    let mut draws = Draws::new();
    let length = product(0).len();
    let mut event = |_| {
        let start = draws.below(PRODUCTS) as usize * length;
        (draws.below(ACTIVE), start..start + length)
    };
    (Text::new(text.as_bytes()), (0..ROWS).map(&mut event).collect())
}

/// An object in memory.
struct InMemory<'t>(&'t [u8]);

impl Objects for InMemory<'_> {
    fn open(&self, _object: usize, range: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(&self.0[usize::try_from(range.start).expect("it is in memory")..]))
    }
}

fn bench_count(bencher: Bencher, wanted: &Wanted) {
    let log = format!("advertiser_id,product_id,type,date\n{}", ad_lines(ROWS));
    let columns = Columns {
        advertiser_id: "advertiser_id".to_owned(),
        product_id: Some("product_id".to_owned()),
        kind: Some("type".to_owned()),
        date: Some("date".to_owned()),
        date_is_optional: false,
    };
    let header = Header::read(log.as_bytes(), true, None).expect("the header is good").expect("it is whole");
    let object = CountedObject {
        name: "ads_views.csv".to_owned(),
        days: ObjectDays::Any,
        content: Content::Text {
            size: Some(log.len() as u64),
            layout: header.layout(&columns).expect("the header has the columns"),
        },
    };
    let (objects, bytes) = ([object], InMemory(log.as_bytes()));
    let limits = Limits { threads: 1, slice_bytes: 16 << 20, instructions: Instructions::Best, memory: None };
    bencher.counter(ItemsCount::new(ROWS)).counter(BytesCount::new(log.len())).bench(|| {
        count(wanted, &objects, &bytes, (&DateFormat::Iso, &TimeZone::UTC), limits.clone())
            .expect("all is in memory")
    });
}
