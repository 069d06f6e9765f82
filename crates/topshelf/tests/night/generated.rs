//! Logs that nobody would write by hand, but that the rules allow: the whole night says of them what the
//! naive computation says.

use crate::{
    check::check,
    logs::{self, Compression, Format, Layout, Line, Style},
    naive::{Kind, Naive},
    place::{Database, Objects, Place},
};
use csv::QuoteStyle;
use domain::{Day, Log};
use jiff::{SignedDuration, civil::Time};
use proptest::{array::uniform3, collection::vec, prelude::*, sample::select, test_runner::Config};
use std::{
    cell::Cell,
    fs,
    path::{Path, PathBuf},
};
use tokio::runtime::Runtime;
use topshelf::pipeline::{self, Night, StartedBy};

const DAYS: [&str; 3] = ["2024-02-28", "2024-02-29", "2024-03-01"];

/// A night's logs, and how they are written.
#[derive(Debug, Clone)]
struct Case {
    /// Each with whether it is listed on each day.
    advertisers: Vec<(String, [bool; 3])>,
    products: Vec<String>,
    events: Vec<Event>,
    /// Whether dates have times.
    has_times: bool,
    /// Lines that are none, at most one of a kind.
    bad: Vec<Bad>,
    /// A log that is not configured.
    without: Option<Log>,
    styles: [Style; 3],
    k: [usize; 2],
    way: (Objects, Database),
    /// For each file of events in turn, whether it arrives when the night has been done already.
    late: Vec<bool>,
}

/// The same event some times over: advertiser and product count round the lists.
#[derive(Debug, Clone)]
struct Event {
    day: usize,
    advertiser: usize,
    product: usize,
    kind: Kind,
    times: usize,
    /// Of the day, before the last one.
    second: i64,
}

/// When lines come that are rejected: none that counts is as late.
const LAST_SECOND: i64 = 86_399;

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bad {
    EmptyId,
    LongId,
    NulInId,
    UnknownType,
    NoSuchDate,
}

/// Ids that trip programs up.
const IDS: &[&str] = &[
    "plain",
    "a,b",
    "\"",
    "say \"hi\"",
    "\"quoted\"",
    "two\nlines",
    "two\r\nlines",
    "bare\rreturn",
    "a/b",
    "..",
    "%2F",
    "a+b",
    "a b",
    " edges ",
    "\t",
    "商品",
    "عربى",
    "Ärger",
    "A\u{308}rger",
    "😀",
    "\u{FEFF}mark",
    "null",
    "{}",
    "[1]",
    "advertiser_id",
    "0",
    "-0",
    "007",
    "1234567890123",
    "#",
    "'; DROP TABLE rankings; --",
    "\\N",
    "\\",
    "back\\slash\ttab",
];

fn id() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => select(IDS).prop_map(str::to_owned),
        1 => Just("x".repeat(255)),
        1 => Just(format!("{}é", "é".repeat(126))),
        3 => vec(any::<char>().prop_filter("NUL is no text", |c| *c != '\0'), 1..12)
            .prop_map(String::from_iter),
    ]
}

fn layout() -> impl Strategy<Value = Layout> {
    let layouts = [Layout::Single, Layout::Parts, Layout::Daily, Layout::Template];
    let hive = [false, true].map(|has_date| Layout::Hive { has_date });
    select([&layouts[..], &hive[..]].concat())
}

fn style() -> impl Strategy<Value = Style> {
    let quotes = select(&[QuoteStyle::Necessary, QuoteStyle::Always, QuoteStyle::NonNumeric][..]);
    let order = Just([0, 1, 2, 3, 4, 5]).prop_shuffle();
    let delimiter = select(&b",,,,\t;|"[..]);
    let compressions = [Compression::None, Compression::None, Compression::Gzip, Compression::Zstd];
    let formats = [Format::Delimited, Format::JsonLines, Format::Parquet];
    let formats = prop_oneof![Just([Format::Delimited; 3]), uniform3(select(formats.to_vec()))];
    (layout(), quotes, order, any::<[bool; 4]>(), delimiter, formats, select(compressions.to_vec())).prop_map(
        |(layout, quotes, order, flags, delimiter, formats, compression)| {
            let [has_crlf, has_bom, ends_with_newline, has_extras] = flags;
            Style {
                layout,
                quotes,
                has_crlf,
                has_bom,
                ends_with_newline,
                order,
                has_extras,
                delimiter,
                formats,
                compression,
            }
        },
    )
}

fn event() -> impl Strategy<Value = Event> {
    let kind = select(&[Kind::Impression, Kind::Impression, Kind::Click, Kind::View, Kind::View][..]);
    (0..3usize, 0..6usize, 0..9usize, kind, 1..4usize, 0..LAST_SECOND).prop_map(
        |(day, advertiser, product, kind, times, second)| Event {
            day,
            advertiser,
            product,
            kind,
            times,
            second,
        },
    )
}

fn case() -> impl Strategy<Value = Case> {
    let bad = [Bad::EmptyId, Bad::LongId, Bad::NulInId, Bad::UnknownType, Bad::NoSuchDate];
    let bad = proptest::sample::subsequence(bad.to_vec(), 0..=5);
    let without =
        prop_oneof![4 => Just(None), 1 => Just(Some(Log::AdsViews)), 1 => Just(Some(Log::ProductViews))];
    let objects = prop_oneof![5 => Just(Objects::Directory), 1 => Just(Objects::Bucket)];
    let database = prop_oneof![5 => Just(Database::Sqlite), 1 => Just(Database::Postgres)];
    (
        vec((id(), any::<[bool; 3]>()), 1..6),
        vec(id(), 1..9),
        (vec(event(), 0..80), any::<bool>()),
        (bad, without),
        [style(), style(), style()],
        [1..9usize, 1..9usize],
        (objects, database),
        vec(any::<bool>(), 0..4),
    )
        .prop_map(
            |(advertisers, products, (events, has_times), (bad, without), styles, k, way, late)| Case {
                advertisers,
                products,
                events,
                has_times,
                bad,
                without,
                styles,
                k,
                way,
                late,
            },
        )
}

impl Case {
    fn days() -> Vec<String> {
        DAYS.map(str::to_owned).to_vec()
    }

    fn has(&self, log: Log) -> bool {
        self.without != Some(log)
    }

    fn ids(&self, event: &Event) -> [&str; 2] {
        let (advertiser, _) = &self.advertisers[event.advertiser % self.advertisers.len()];
        [advertiser, &self.products[event.product % self.products.len()]]
    }

    /// Who is listed when. The first advertiser always is: a day without any is refused as a whole.
    fn listed(&self) -> Vec<Line> {
        let listed = |(index, (id, listed)): (usize, &(String, [bool; 3]))| {
            let days = DAYS.into_iter().zip(*listed).filter(move |(_, is_listed)| index == 0 || *is_listed);
            let id = id.clone();
            days.map(move |(day, _)| Line { day: day.to_owned(), fields: vec![id.clone()] })
                .collect::<Vec<_>>()
        };
        self.advertisers.iter().enumerate().flat_map(listed).collect()
    }

    fn lines(&self, log: Log) -> Vec<Line> {
        let mut lines = Vec::new();
        for event in self.events.iter().filter(|event| log_of(event.kind) == log) {
            let line = self.line(self.ids(event), event.kind, event.day, event.second);
            lines.extend(std::iter::repeat_n(line, event.times));
        }
        // In the middle, so that lines that count follow.
        let bad: Vec<_> = self.bad.iter().filter_map(|bad| self.bad_line(*bad, log)).collect();
        let middle = lines.len() / 2;
        lines.splice(middle..middle, bad);
        lines
    }

    fn bad_line(&self, bad: Bad, log: Log) -> Option<Line> {
        let kind = if log == Log::AdsViews { Kind::Impression } else { Kind::View };
        let (advertiser, product) = (&self.advertisers[0].0, &self.products[0]);
        let long = "x".repeat(256);
        let line = |ids| self.line(ids, kind, 1, LAST_SECOND);
        let mut line = match bad {
            Bad::EmptyId => line(["", product]),
            Bad::LongId => line([advertiser, &long]),
            Bad::NulInId => line([advertiser, "a\0b"]),
            Bad::UnknownType | Bad::NoSuchDate => line([advertiser, product]),
        };
        let last = line.fields.len() - 1;
        match bad {
            Bad::UnknownType if log == Log::AdsViews => line.fields[2] = "view".to_owned(),
            Bad::UnknownType => return None,
            Bad::NoSuchDate if self.style(log).layout == (Layout::Hive { has_date: false }) => return None,
            Bad::NoSuchDate => line.fields[last] = "2024-02-30".to_owned(),
            _ => (),
        }
        Some(line)
    }

    fn line(&self, ids: [&str; 2], kind: Kind, day: usize, second: i64) -> Line {
        let kind = match kind {
            Kind::Impression => vec!["impression"],
            Kind::Click => vec!["click"],
            Kind::View => vec![],
        };
        let day = DAYS[day];
        let date = if self.has_times { format!("{day} {}", time(second)) } else { day.to_owned() };
        let fields = [&ids[..], &kind, &[&date]].concat();
        Line { day: day.to_owned(), fields: fields.into_iter().map(str::to_owned).collect() }
    }

    /// The last time of the log on the day, if its lines have any.
    fn last_time(&self, log: Log, day: &str) -> Option<Time> {
        let is_told = self.has_times && self.style(log).layout != (Layout::Hive { has_date: false });
        let is_of = |event: &&Event| is_told && log_of(event.kind) == log && DAYS[event.day] == day;
        self.events.iter().filter(is_of).map(|event| time(event.second)).max()
    }

    fn style(&self, log: Log) -> &Style {
        &self.styles[log as usize]
    }

    fn naive(&self) -> Naive {
        let models = [(Log::AdsViews, "TopCTR"), (Log::ProductViews, "TopProduct")];
        let models: Vec<_> =
            models.into_iter().filter(|(log, _)| self.has(*log)).map(|(_, model)| model).collect();
        let mut naive = Naive::new(Self::days(), &models);
        naive.k = self.k;
        let is_of_day = self.style(Log::AdvertiserIds).layout.tells_day();
        for line in self.listed() {
            for day in DAYS.into_iter().filter(|day| !is_of_day || line.day == *day) {
                naive.activate(day, &line.fields[0]);
            }
        }
        for event in self.events.iter().filter(|event| self.has(log_of(event.kind))) {
            let [advertiser, product] = self.ids(event);
            (0..event.times).for_each(|_| naive.add(DAYS[event.day], advertiser, product, event.kind));
        }
        naive
    }

    /// The place with the logs written.
    async fn place(&self) -> Place {
        let place = Place::new(self.way).await;
        let write = |log: Log, columns: &[&str], lines: &[Line]| {
            if !self.has(log) {
                return String::new();
            }
            logs::write(&place.input(), log.name(), columns, lines, &Self::days(), self.style(log))
        };
        let mut style = self.style(Log::AdvertiserIds).clone();
        if let Layout::Hive { has_date } = &mut style.layout {
            *has_date = true; // there is no such column to leave out
        }
        let active = logs::write(
            &place.input(),
            "advertiser_ids",
            &["advertiser_id"],
            &self.listed(),
            &Self::days(),
            &style,
        );
        let ads = ["advertiser_id", "product_id", "type", "date"];
        let ads = write(Log::AdsViews, &ads, &self.lines(Log::AdsViews));
        let views = write(
            Log::ProductViews,
            &["advertiser_id", "product_id", "date"],
            &self.lines(Log::ProductViews),
        );
        place.configured(|config| {
            let input = &mut config.input;
            (input.advertiser_ids, input.ads_views, input.product_views) = (active, ads, views);
            input.max_rejected_ratio = 1.0;
            let k = ["TopCTR", "TopProduct"].map(str::to_owned).into_iter().zip(self.k);
            config.ranking.k_per_model = k.collect();
        })
    }
}

fn log_of(kind: Kind) -> Log {
    if kind == Kind::View { Log::ProductViews } else { Log::AdsViews }
}

fn time(second: i64) -> Time {
    Time::midnight() + SignedDuration::from_secs(second)
}

/// Runs the days, as far as they can be, without the files that come late: some of those beside which there
/// are others. Returns with these in place.
async fn run_without_late(case: &Case, place: &Place, days: &[Day]) {
    let has_others = |file: &PathBuf| {
        let name = file.strip_prefix(place.input()).unwrap().display().to_string();
        !name.starts_with("advertiser_ids") && (name.contains("-1.") || name.contains("views-2024"))
    };
    let files = files(&place.input()).into_iter().filter(has_others);
    let late = files.zip(case.late.iter().cycle()).filter(|(_, is_late)| **is_late);
    let elsewhere = tempfile::tempdir().unwrap();
    let moved: Vec<_> = late
        .enumerate()
        .map(|(index, (file, _))| {
            let to = elsewhere.path().join(index.to_string());
            fs::rename(&file, &to).unwrap();
            (to, file)
        })
        .collect();
    if !moved.is_empty() {
        let _ = pipeline::run(&place.night(), days, StartedBy::Hand).await;
    }
    moved.iter().for_each(|(from, to)| fs::rename(from, to).unwrap());
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    paths.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// Every answer is the naive one, and each day's report counts the same events; how many objects were
/// counted in the first run, and not again in the second.
async fn check_case(case: &Case) -> u64 {
    let naive = case.naive();
    let place = case.place().await;
    let days = DAYS.map(|day| day.parse().unwrap());
    run_without_late(case, &place, &days).await;
    let (mut published, mut kept_objects) = (Vec::new(), 0);
    for outcome in place.run(&days).await {
        let day = outcome.day.to_string();
        match outcome.ended {
            Ok(report) => {
                let logs = report.logs().iter().filter(|(log, _)| **log != Log::AdvertiserIds);
                kept_objects += report.kept_objects();
                let mut kept = 0;
                for (log, input) in logs {
                    kept += input.tally.kept;
                    assert_eq!(input.last_time, case.last_time(*log, &day), "{log} of {day}");
                }
                assert_eq!(kept, naive.kept(&day), "{day}");
                published.insert(0, day);
            }
            Err(failure) => {
                let told = failure.chain();
                assert!(told.starts_with(&format!("no event of {day} by an active advertiser")), "{told}");
            }
        }
    }
    assert_eq!(published, naive.published());
    check(&place.serve().await, &naive).await;
    let lake = place.lake();
    let _ = pipeline::run(&Night { recount: true, ..place.night() }, &days, StartedBy::Hand).await;
    assert!(lake == place.lake(), "counting anew leaves other bytes");
    kept_objects
}

#[test]
fn generated_logs_are_answered_as_the_naive_way_does() {
    let runtime = Runtime::new().unwrap();
    let config = Config { cases: 40, max_shrink_iters: 200, failure_persistence: None, ..Config::default() };
    let kept_objects = Cell::new(0);
    proptest!(config, |(case in case())| kept_objects.update(|kept| kept + runtime.block_on(check_case(&case))));
    assert!(kept_objects.get() > 0, "some nights add to what was counted before");
}
