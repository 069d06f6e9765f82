//! Nights that begin by themselves: each once, on the right day, however many schedulers there are.

use crate::{
    place::{Database, Objects, Place},
    s3,
    simulated::Time,
};
use domain::Day;
use jiff::Timestamp;
use serde_json::Value;
use sqlx::{Connection, Executor, SqliteConnection};
use std::{
    fs,
    sync::{Arc, Mutex},
    time::Duration,
};
use store::{NewRun, Outcome, RunEnd, RunRecord, Store};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    runtime::Builder,
    sync::oneshot,
};
use topshelf::{
    checks::Checks,
    config::{Config, Webhook},
    halt::Halt,
    pipeline::{self, Night, StartedBy, Wait},
    scheduler::run_nightly,
};

const DIRECTORY: Objects = Objects::Directory;

/// A place whose logs are named after their days.
async fn place(database: Database) -> Place {
    Place::new((DIRECTORY, database)).await.configured(daily)
}

fn daily(config: &mut Config) {
    config.input.advertiser_ids = "advertiser_ids.csv".into();
    config.input.ads_views = "{day}/ads*.csv".into();
    config.input.product_views = "{day}/views*.csv".into();
}

/// A day on which the shoe was viewed so many times.
fn write_day(place: &Place, day: &str, views: usize) {
    fs::write(place.input().join("advertiser_ids.csv"), "advertiser_id\nacme\n").unwrap();
    let folder = place.input().join(day);
    fs::create_dir_all(&folder).unwrap();
    let ads = format!("advertiser_id,product_id,type,date\nacme,shoe,impression,{day}\n");
    fs::write(folder.join("ads.csv"), ads).unwrap();
    write_views(place, day, "views.csv", views);
}

fn write_views(place: &Place, day: &str, name: &str, views: usize) {
    let lines = format!("acme,shoe,{day}\n").repeat(views);
    let text = format!("advertiser_id,product_id,date\n{lines}");
    fs::write(place.input().join(day).join(name), text).unwrap();
}

fn days(first: &str, number: usize) -> Vec<String> {
    let first: Day = first.parse().unwrap();
    std::iter::successors(Some(first), |day| Some(day.tomorrow()))
        .take(number)
        .map(|day| day.to_string())
        .collect()
}

/// A scheduler under way, with a runtime of its own as in the program. Dropped, it is told to stop.
struct Scheduler {
    halt: Halt,
    ended: Option<oneshot::Receiver<()>>,
}

impl Scheduler {
    fn start(place: &Place, time: &Time) -> Self {
        Self::of(Night { clock: time.clock(), halt: Halt::new(), ..place.night() })
    }

    fn of(night: Night) -> Self {
        let halt = night.halt.clone();
        let (ending, ended) = oneshot::channel();
        std::thread::spawn(move || {
            let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
            runtime.block_on(run_nightly(night));
            // A test that failed waits no more.
            let _ = ending.send(());
        });
        Self { halt, ended: Some(ended) }
    }

    async fn stop(mut self) {
        self.halt.stop("the test");
        self.ended.take().unwrap().await.unwrap();
    }
}

impl Drop for Scheduler {
    fn drop(&mut self) {
        self.halt.stop("the test");
    }
}

async fn store(place: &Place) -> Store {
    let store = Store::open(&place.night().config.store.url).await.unwrap();
    store.migrate().await.unwrap();
    store
}

/// All runs, in the order in which they began.
async fn runs(place: &Place) -> Vec<RunRecord> {
    let mut runs = store(place).await.runs(10_000, None).await.unwrap();
    // Of those that began at the same simulated moment, names tell the order.
    runs.sort_by(|one, other| one.run_id.as_str().cmp(other.run_id.as_str()));
    runs
}

/// Each run in a line.
async fn told(place: &Place) -> Vec<String> {
    let told =
        |run: &RunRecord| format!("{} {} by {} at {}", run.day, run.status, run.started_by, run.started_at);
    runs(place).await.iter().map(told).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_hold_each_of_fifty_nights_once_in_sqlite() {
    hold_fifty_nights(Database::Sqlite).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_schedulers_hold_each_of_fifty_nights_once_in_postgres() {
    hold_fifty_nights(Database::Postgres).await;
}

async fn hold_fifty_nights(database: Database) {
    let place = place(database).await;
    let days = days("2024-11-20", 50);
    days.iter().enumerate().for_each(|(number, day)| write_day(&place, day, number + 1));
    let time = Time::at("2024-11-20T12:00:00Z");
    let schedulers = [Scheduler::start(&place, &time), Scheduler::start(&place, &time)];
    time.pass_until("2025-01-09T12:00:00Z", schedulers.len()).await;
    for scheduler in schedulers {
        scheduler.stop().await;
    }
    let expected: Vec<_> = days
        .iter()
        .map(|day| {
            let due = day.parse::<Day>().unwrap().tomorrow();
            format!("{day} succeeded by schedule at {due}T02:30:00Z")
        })
        .collect();
    assert_eq!(told(&place).await, expected);
    assert!(runs(&place).await.iter().all(|run| run.due_at == Some(run.started_at)));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_clocks_change_each_day_is_made_once() {
    // Hours that are left out or come twice, at the hour of the night, in both directions of two zones.
    for (zone, cron, first, from, to) in [
        ("America/New_York", "30 2 * * *", "2025-03-07", "2025-03-07T12:00:00Z", "2025-03-11T12:00:00Z"),
        ("America/New_York", "30 1 * * *", "2025-10-31", "2025-10-31T12:00:00Z", "2025-11-04T12:00:00Z"),
        ("Africa/Cairo", "15 0 * * *", "2025-04-23", "2025-04-23T12:00:00Z", "2025-04-27T12:00:00Z"),
        ("Africa/Cairo", "30 23 * * *", "2025-10-29", "2025-10-29T22:00:00Z", "2025-11-02T22:00:00Z"),
    ] {
        let place = place(Database::Sqlite).await.configured(|config| {
            (config.schedule.timezone, config.schedule.cron) = (zone.into(), cron.into());
        });
        let days = days(first, 4);
        days.iter().for_each(|day| write_day(&place, day, 1));
        let time = Time::at(from);
        let schedulers = [Scheduler::start(&place, &time), Scheduler::start(&place, &time)];
        time.pass_until(to, schedulers.len()).await;
        let made: Vec<_> = runs(&place).await.iter().map(|run| run.day.to_string()).collect();
        assert_eq!(made, days, "{zone} {cron}: {:?}", told(&place).await);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_missed_is_caught_up_newest_first() {
    for (catch_up_days, caught_up) in [(7, 7), (3, 3), (30, 8), (0, 0)] {
        let place =
            place(Database::Sqlite).await.configured(|config| config.schedule.catch_up_days = catch_up_days);
        let days = days("2024-11-18", 14);
        days.iter().for_each(|day| write_day(&place, day, 1));
        // Nothing is caught up of the time before the first night.
        let time = Time::at("2024-11-21T02:00:00Z");
        let scheduler = Scheduler::start(&place, &time);
        time.pass_until("2024-11-22T02:00:00Z", 1).await;
        scheduler.stop().await;
        assert_eq!(told(&place).await, ["2024-11-20 succeeded by schedule at 2024-11-21T02:30:00Z"]);

        let later = Time::at("2024-11-29T12:00:00Z");
        let scheduler = Scheduler::start(&place, &later);
        later.until_waiting(1).await;
        let made: Vec<_> = runs(&place).await.iter().skip(1).map(|run| run.day.to_string()).collect();
        let missed: Vec<_> = days[3..11].iter().rev().take(caught_up).cloned().collect();
        assert_eq!(made, missed, "of {catch_up_days} days");
        scheduler.stop().await;
        // It is caught up once.
        let scheduler = Scheduler::start(&place, &later);
        later.until_waiting(1).await;
        assert_eq!(runs(&place).await.len(), 1 + caught_up);
        scheduler.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_very_first_night_is_caught_up_when_nobody_was_there_at_its_time() {
    for database in [Database::Sqlite, Database::Postgres] {
        let place = place(database).await;
        days("2024-11-18", 3).iter().for_each(|day| write_day(&place, day, 1));
        let time = Time::at("2024-11-20T12:00:00Z");
        let scheduler = Scheduler::start(&place, &time);
        time.until_waiting(1).await;
        scheduler.stop().await;
        let time = Time::at("2024-11-21T03:00:00Z");
        let scheduler = Scheduler::start(&place, &time);
        time.until_waiting(1).await;
        scheduler.stop().await;
        assert_eq!(told(&place).await, ["2024-11-20 succeeded by schedule at 2024-11-21T03:00:00Z"]);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_that_is_caught_up_makes_way_for_the_next() {
    let place = Place::new((Objects::Bucket, Database::Sqlite)).await.configured(|config| {
        daily(config);
        (config.schedule.retries, config.schedule.retry_seconds) = (1_000, 30);
    });
    days("2024-11-18", 4).iter().for_each(|day| write_day(&place, day, 1));
    let time = Time::at("2024-11-19T02:00:00Z");
    let scheduler = Scheduler::start(&place, &time);
    time.pass_until("2024-11-19T12:00:00Z", 1).await;
    scheduler.stop().await;

    // Whoever reads the logs of the 19th gets no answer, for a while.
    let (opened, is_open) = tokio::sync::watch::channel(false);
    let root = place.input().parent().unwrap().parent().unwrap().to_owned();
    let environment = s3::start_behind(&root, move |_, path| {
        let is_stuck = path.contains("/2024-11-19/");
        let wait = move |is_stuck: bool, mut is_open: tokio::sync::watch::Receiver<bool>| async move {
            if is_stuck {
                let _ = is_open.wait_for(|is_open| *is_open).await;
            }
        };
        (wait(is_stuck, is_open.clone()), wait(false, is_open.clone()))
    })
    .await;
    let time = Time::at("2024-11-22T02:00:00Z");
    let aws = source::AwsSettings::from_pairs(environment).with_patience(Duration::from_secs(1));
    let scheduler = Scheduler::of(Night { clock: time.clock(), aws, halt: Halt::new(), ..place.night() });
    time.pass_until("2024-11-22T02:30:00Z", 1).await;
    let is_held = async {
        while !told(&place).await.iter().any(|run| run.starts_with("2024-11-21 succeeded")) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), is_held).await.expect("the night begins when it is due");
    opened.send(true).unwrap();
    time.pass_until("2024-11-22T12:00:00Z", 1).await;
    scheduler.stop().await;
    assert_eq!(
        told(&place).await[1..],
        [
            "2024-11-20 succeeded by schedule at 2024-11-22T02:00:00Z",
            "2024-11-19 stopped by schedule at 2024-11-22T02:00:00Z",
            "2024-11-21 succeeded by schedule at 2024-11-22T02:30:00Z",
            "2024-11-19 succeeded by schedule at 2024-11-22T02:30:00Z",
        ]
    );
    let stopped = runs(&place).await.remove(2);
    assert_eq!(stopped.error.as_deref(), Some("stopped: the next night is due, and goes first"));
    assert!(stopped.report.unwrap()["retries"].as_array().unwrap().len() > 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_day_is_left_to_whoever_works_on_it() {
    let place = place(Database::Sqlite).await;
    write_day(&place, "2024-11-20", 1);
    let time = Time::at("2024-11-21T02:30:01Z");
    let theirs = run_elsewhere(&time);
    store(&place).await.begin_runs(std::slice::from_ref(&theirs)).await.unwrap();
    let night = Night { clock: time.clock(), wait: Wait::Leave, ..place.night() };
    let night_of = StartedBy::Schedule(theirs.due_at.unwrap());
    assert_eq!(pipeline::run(&night, &[theirs.day], night_of).await.unwrap().len(), 0);
    assert_eq!(runs(&place).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_that_was_cut_short_is_taken_over_but_not_for_ever() {
    for (outcome, times, is_taken_over) in
        [(Outcome::Stopped, 5, true), (Outcome::Died, 2, true), (Outcome::Died, 3, false)]
    {
        let place = place(Database::Sqlite).await;
        write_day(&place, "2024-11-20", 1);
        let time = Time::at("2024-11-21T02:30:01Z");
        let store = store(&place).await;
        for _ in 0..times {
            cut_short(&store, &time, outcome).await;
        }
        let scheduler = Scheduler::start(&place, &time);
        time.until_waiting(1).await;
        scheduler.stop().await;
        let runs = runs(&place).await;
        assert_eq!(runs.len(), times + 1, "after {times} that {}", outcome.name());
        let last = runs.last().unwrap();
        let expected = if is_taken_over { "succeeded" } else { "failed" };
        assert_eq!(last.status.name(), expected, "after {times} that {}", outcome.name());
        let why = "3 runs of the night of 2024-11-20 died before they ended";
        assert_eq!(last.error.as_deref() == Some(why), !is_taken_over, "{:?}", last.error);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_that_somebody_made_is_not_made_again() {
    let place = place(Database::Sqlite).await;
    write_day(&place, "2024-11-20", 1);
    let time = Time::at("2024-11-20T12:00:00Z");
    let scheduler = Scheduler::start(&place, &time);
    // Before the night was due, a day was not over: what was made of it then is not the night's.
    let hand = Night { clock: time.clock(), ..place.night() };
    let day: Day = "2024-11-20".parse().unwrap();
    pipeline::run(&hand, &[day], StartedBy::Hand).await.unwrap();
    time.pass_until("2024-11-21T12:00:00Z", 1).await;
    scheduler.stop().await;
    let by: Vec<_> = runs(&place).await.iter().map(|run| run.started_by.clone()).collect();
    assert_eq!(by, ["hand", "schedule"]);
    // One made after it was, by whomever, is.
    let time = Time::at("2024-11-22T02:30:30Z");
    write_day(&place, "2024-11-21", 1);
    let hand = Night { clock: time.clock(), ..place.night() };
    let day: Day = "2024-11-21".parse().unwrap();
    pipeline::run(&hand, &[day], StartedBy::Hand).await.unwrap();
    let scheduler = Scheduler::start(&place, &time);
    time.until_waiting(1).await;
    scheduler.stop().await;
    assert_eq!(runs(&place).await.len(), 3);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn late_input_is_waited_for() {
    let place = place(Database::Sqlite).await.configured(|config| {
        config.schedule.wait_for_input = true;
        config.schedule.input_deadline_minutes = 90;
    });
    write_day(&place, "2024-11-19", 1);
    let time = Time::at("2024-11-21T02:00:00Z");
    let _schedulers = [Scheduler::start(&place, &time), Scheduler::start(&place, &time)];
    time.pass_until("2024-11-21T03:10:10Z", 2).await;
    assert_eq!(told(&place).await, Vec::<String>::new());
    write_day(&place, "2024-11-20", 1);
    time.pass_until("2024-11-21T12:00:00Z", 2).await;
    assert_eq!(told(&place).await, ["2024-11-20 succeeded by schedule at 2024-11-21T03:11:00Z"]);

    // What never comes fails the night when it is too late, once.
    time.pass_until("2024-11-22T12:00:00Z", 2).await;
    let run = runs(&place).await.remove(1);
    assert_eq!(told(&place).await[1..], ["2024-11-21 failed by schedule at 2024-11-22T04:00:00Z"]);
    let error = run.error.unwrap();
    assert!(error.starts_with("the input of 2024-11-21 was not there by 2024-11-22T04:00:00Z: no object of ads_views matches \"2024-11-21/ads*.csv\""), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_marker_says_that_the_input_is_whole() {
    for marker in ["{day}/_SUCCESS", "_SUCCESS"] {
        let place = place(Database::Sqlite).await.configured(|config| {
            config.schedule.wait_for_input = true;
            config.schedule.input_marker = marker.into();
        });
        // By its own time, the file is of today: the night is about yesterday.
        let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
        let (day, name) = (Day::from_date(today).yesterday(), place.input());
        write_day(&place, &day.to_string(), 1);
        let time = Time::at(&format!("{today}T02:30:00Z"));
        let scheduler = Scheduler::start(&place, &time);
        let name = name.join(marker.replace("{day}", &day.to_string()));
        if marker == "_SUCCESS" {
            // The one that was written for the day before.
            let before = std::time::SystemTime::now() - Duration::from_secs(2 * 86_400);
            fs::File::create(&name).unwrap().set_modified(before).unwrap();
        }
        time.pass_until(&format!("{today}T05:00:30Z"), 1).await;
        assert_eq!(told(&place).await, Vec::<String>::new(), "{marker}");
        fs::write(&name, "").unwrap();
        time.pass_until(&format!("{today}T06:00:00Z"), 1).await;
        let expected = format!("{day} succeeded by schedule at {today}T05:01:00Z");
        assert_eq!(told(&place).await, [expected], "{marker}");
        scheduler.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_whose_names_tell_no_day_are_waited_for_until_each_is_written() {
    let place = Place::new((DIRECTORY, Database::Sqlite)).await.configured(|config| {
        config.schedule.wait_for_input = true;
    });
    // By their own time, the files are of today: the night is about yesterday.
    let today = Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let day = Day::from_date(today).yesterday();
    let before = std::time::SystemTime::now() - Duration::from_secs(2 * 86_400);
    let write = |name: &str, text: String| {
        let path = place.input().join(name);
        fs::write(&path, text).unwrap();
        fs::File::options().write(true).open(path).unwrap()
    };
    write("advertiser_ids.csv", "advertiser_id\nacme\n".into()).set_modified(before).unwrap();
    let ads = || {
        write("ads_views.csv", format!("advertiser_id,product_id,type,date\nacme,shoe,impression,{day}\n"))
    };
    let views = || write("product_views.csv", format!("advertiser_id,product_id,date\nacme,shoe,{day}\n"));
    ads().set_modified(before).unwrap();
    views().set_modified(before).unwrap();
    let time = Time::at(&format!("{today}T02:30:00Z"));
    let scheduler = Scheduler::start(&place, &time);
    time.pass_until(&format!("{today}T03:00:30Z"), 1).await;
    views();
    time.pass_until(&format!("{today}T03:10:30Z"), 1).await;
    assert_eq!(told(&place).await, Vec::<String>::new(), "the ads are those of before");
    ads();
    time.pass_until(&format!("{today}T06:00:00Z"), 1).await;
    scheduler.stop().await;
    // The list of advertisers may be as old as it likes.
    assert_eq!(told(&place).await, [format!("{day} succeeded by schedule at {today}T03:11:00Z")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_comes_late_is_added_the_night_after() {
    let place = place(Database::Sqlite).await.configured(|config| config.schedule.refresh_days = 2);
    for day in days("2024-11-18", 5) {
        write_day(&place, &day, 1);
    }
    let time = Time::at("2024-11-20T02:00:00Z");
    let scheduler = Scheduler::start(&place, &time);
    time.pass_until("2024-11-21T02:00:00Z", 1).await;
    write_views(&place, "2024-11-19", "views-late.csv", 3);
    time.pass_until("2024-11-23T02:00:00Z", 1).await;
    scheduler.stop().await;
    let told = |run: &RunRecord| {
        let verdict = run.report.as_ref().unwrap()["verdict"].as_str().unwrap().to_owned();
        format!("{} {verdict} by {}", run.day, run.started_by)
    };
    let runs: Vec<_> = runs(&place).await.iter().map(told).collect();
    assert_eq!(
        runs,
        [
            "2024-11-19 published by schedule",
            "2024-11-20 published by schedule",
            // Nobody has run the 18th, so it is nobody's to add to.
            "2024-11-19 published by refresh",
            "2024-11-21 published by schedule",
            "2024-11-19 unchanged by refresh",
            "2024-11-20 unchanged by refresh",
        ]
    );
    let rankings = store(&place).await.rankings_of_day("2024-11-19".parse().unwrap()).await.unwrap().unwrap();
    let views = rankings.models.iter().find(|model| model.model.as_str() == "TopProduct").unwrap();
    assert_eq!(views.rankings[0].products[0].counts.views, 4);
}

/// A door at one port: closed until it is opened, then the way to another.
async fn open(listener: TcpListener, upstream: String) {
    while let Ok((mut socket, _)) = listener.accept().await {
        let upstream = upstream.clone();
        tokio::spawn(async move {
            let mut server = TcpStream::connect(upstream).await.unwrap();
            // A client that hangs up is no failure.
            let _ = tokio::io::copy_bidirectional(&mut socket, &mut server).await;
        });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    let place = Place::new((Objects::Bucket, Database::Sqlite)).await.configured(daily);
    write_day(&place, "2024-11-20", 1);
    write_day(&place, "2024-11-21", 1);
    fs::write(place.input().join("2024-11-21/ads.csv"), "these,are,no,ads\n").unwrap();
    let night = place.night();
    let settings = place.environment();
    let upstream = settings.iter().find(|(name, _)| name == "AWS_ENDPOINT_URL").unwrap().1.clone();
    // Nobody listens there yet.
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let behind = settings.iter().map(|(name, value)| match name.as_str() {
        "AWS_ENDPOINT_URL" => (name.clone(), format!("http://{door}")),
        _ => (name.clone(), value.clone()),
    });
    let aws = source::AwsSettings::from_pairs(behind).with_patience(Duration::from_secs(2));
    let time = Time::at("2024-11-21T02:00:00Z");
    let scheduler = Scheduler::of(Night { clock: time.clock(), aws, ..night });
    // The night has failed twice, and waits before it tries once more: 30 seconds at most, then 60.
    time.pass_until("2024-11-21T02:30:31Z", 1).await;
    let listener = TcpListener::bind(door).await.unwrap();
    let opened = tokio::spawn(open(listener, upstream.trim_start_matches("http://").to_owned()));
    time.pass_until("2024-11-21T12:00:00Z", 1).await;
    let run = runs(&place).await.remove(0);
    assert_eq!(
        told(&place).await,
        ["2024-11-20 succeeded by schedule at 2024-11-21T02:30:00Z"],
        "{:?}",
        run.error
    );
    let retries = run.report.unwrap()["retries"].as_array().unwrap().clone();
    assert_eq!(retries.len(), 2, "{retries:?}");
    assert!(
        retries[0]["error"].as_str().unwrap().contains("could not list s3://bucket/input"),
        "{retries:?}"
    );

    // A bad file stays one, however often it is read.
    time.pass_until("2024-11-22T12:00:00Z", 1).await;
    let run = runs(&place).await.remove(1);
    assert_eq!(told(&place).await[1..], ["2024-11-21 failed by schedule at 2024-11-22T02:30:00Z"]);
    assert_eq!(run.report.unwrap_or_default().get("retries"), None);
    scheduler.stop().await;
    opened.abort();
}

/// Gives the credentials of the bucket to whoever asks.
async fn give_credentials(listener: TcpListener, keys: [String; 2]) {
    let [key, secret] = keys;
    let body = serde_json::json!({
        "AccessKeyId": key,
        "SecretAccessKey": secret,
        "Token": "session",
        "Expiration": "2999-01-01T00:00:00Z",
    })
    .to_string();
    let length = body.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    while let Ok((mut socket, _)) = listener.accept().await {
        let mut request = [0; 4096];
        let _ = socket.read(&mut request).await.unwrap();
        socket.write_all(answer.as_bytes()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_role_that_does_not_answer_for_a_while_is_waited_for() {
    let place = Place::new((Objects::Bucket, Database::Sqlite)).await.configured(daily);
    write_day(&place, "2024-11-20", 1);
    let value = |name: &str| place.environment().iter().find(|(known, _)| known == name).unwrap().1.clone();
    let token = place.input().join("token");
    fs::write(&token, "of the pod").unwrap();
    // Nobody listens there yet. The path is of those that a machine without a role has not.
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let settings = [
        ("AWS_ENDPOINT_URL", value("AWS_ENDPOINT_URL")),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", format!("http://{door}/latest/meta-data/credentials")),
        ("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE", token.display().to_string()),
    ];
    let aws = source::AwsSettings::from_pairs(settings).with_patience(Duration::from_secs(2));
    let time = Time::at("2024-11-21T02:00:00Z");
    let scheduler = Scheduler::of(Night { clock: time.clock(), aws, ..place.night() });
    time.pass_until("2024-11-21T02:30:31Z", 1).await;
    let listener = TcpListener::bind(door).await.unwrap();
    let keys = ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].map(value);
    let giving = tokio::spawn(give_credentials(listener, keys));
    time.pass_until("2024-11-21T12:00:00Z", 1).await;
    scheduler.stop().await;
    giving.abort();
    let run = runs(&place).await.remove(0);
    assert_eq!(run.status.name(), "succeeded", "{:?}", run.error);
    let retries = run.report.unwrap()["retries"].as_array().unwrap().clone();
    let error = retries[0]["error"].as_str().unwrap();
    assert_eq!(retries.len(), 2, "{retries:?}");
    assert!(error.contains("no credentials came from the role: "), "{error}");
}

/// A server that takes what is posted to it; the first it refuses.
async fn webhook() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/services/T0/SECRET", listener.local_addr().unwrap());
    let posted = Arc::new(Mutex::new(Vec::new()));
    let taken = posted.clone();
    tokio::spawn(async move {
        let mut is_first = true;
        while let Ok((mut socket, _)) = listener.accept().await {
            let mut request = Vec::new();
            let body = loop {
                let mut bytes = [0; 4096];
                let read = socket.read(&mut bytes).await.unwrap();
                request.extend_from_slice(&bytes[..read]);
                let text = String::from_utf8(request.clone()).unwrap();
                let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                assert!(head.starts_with("POST /services/T0/SECRET HTTP/1.1"), "{head}");
                let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
                if body.len() == length.parse::<usize>().unwrap() {
                    break body.to_owned();
                }
            };
            let status = if std::mem::take(&mut is_first) { "503 Busy" } else { "200 OK" };
            if status == "200 OK" {
                taken.lock().unwrap().push(serde_json::from_str(&body).unwrap());
            }
            let answer = format!("HTTP/1.1 {status}\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
            socket.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    (url, posted)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn people_are_told_of_failures_holds_and_recovery() {
    let (url, posted) = webhook().await;
    let place = place(Database::Sqlite).await.configured(|config| {
        config.schedule.webhook = Webhook(url);
        config.checks = Checks { clicks: Checks::default().clicks, ..Checks::off() };
        config.checks.clicks.min = 1;
    });
    // The first night is well, the second lacks its logs, the third has clicks of nothing shown, the rest are well.
    for day in ["2024-11-20", "2024-11-22", "2024-11-23", "2024-11-24"] {
        write_day(&place, day, 1);
    }
    let clicks = "advertiser_id,product_id,type,date\nacme,shoe,click,2024-11-22\n";
    fs::write(place.input().join("2024-11-22/ads.csv"), clicks).unwrap();
    let time = Time::at("2024-11-21T02:00:00Z");
    let scheduler = Scheduler::start(&place, &time);
    time.pass_until("2024-11-25T12:00:00Z", 1).await;
    scheduler.stop().await;
    let posted = posted.lock().unwrap().clone();
    let events: Vec<_> = posted.iter().map(|alert| format!("{} {}", alert["event"], alert["day"])).collect();
    assert_eq!(
        events,
        ["\"failure\" \"2024-11-21\"", "\"hold\" \"2024-11-22\"", "\"recovery\" \"2024-11-23\""]
    );
    let [failure, hold, recovery] = &posted[..] else { unreachable!("there are three") };
    let text = |alert: &Value| alert["text"].as_str().unwrap().to_owned();
    let started = "The night of 2024-11-21 failed: no object of ads_views matches \"2024-11-21/ads*.csv\"";
    assert!(text(failure).starts_with(started), "{}", text(failure));
    assert!(text(failure).contains("\nWhat to do: set input.ads_views"), "{}", text(failure));
    assert!(
        text(hold).starts_with(
            "Checks hold back the rankings of 1 advertiser of 2024-11-22.\n• clicks of advertiser acme: "
        ),
        "{}",
        text(hold)
    );
    let run = hold["run_id"].as_str().unwrap();
    assert!(text(hold).contains(&format!("topshelf publish --accept {run} --reason")), "{}", text(hold));
    assert_eq!(
        text(recovery),
        "The night of 2024-11-23 is published; the one before, of 2024-11-22, was not."
    );
    assert_eq!(
        failure["error"].as_str().map(|error| error.starts_with("no object of ads_views")),
        Some(true)
    );
}

/// A run of the night of 2024-11-20 somewhere else.
fn run_elsewhere(time: &Time) -> NewRun {
    let (run_id, started_at) = time.clock().new_run();
    NewRun {
        run_id,
        day: "2024-11-20".parse().unwrap(),
        started_by: "schedule".into(),
        orchestrator: None,
        program_version: "0.1.0".into(),
        config_hash: "c0ffee".into(),
        started_at,
        process: "elsewhere".into(),
        host: "elsewhere".into(),
        due_at: Some("2024-11-21T02:30:00Z".parse().unwrap()),
    }
}

/// The same, which was cut short.
async fn cut_short(store: &Store, time: &Time, outcome: Outcome) {
    let run = run_elsewhere(time);
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    let end = RunEnd { ended_at: run.started_at, outcome, error: None, report: Value::Null };
    store.end_run(&run.run_id, &end).await.unwrap();
}

/// Lets no run be entered in the ledger, or lets it again.
async fn refuse_runs(place: &Place, are_refused: bool) {
    let url = place.night().config.store.url;
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    let sql = match are_refused {
        true => "CREATE TRIGGER refuse BEFORE INSERT ON runs BEGIN SELECT RAISE(ABORT, 'no room'); END",
        false => "DROP TRIGGER refuse",
    };
    connection.execute(sql).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_that_takes_no_note_is_told_once_and_tried_until_it_does() {
    let (url, posted) = webhook().await;
    let place = place(Database::Sqlite).await.configured(|config| config.schedule.webhook = Webhook(url));
    write_day(&place, "2024-11-20", 1);
    // That an earlier run of the night died tells nothing of this one.
    cut_short(&store(&place).await, &Time::at("2024-11-21T02:30:00Z"), Outcome::Died).await;
    refuse_runs(&place, true).await;
    let time = Time::at("2024-11-21T02:00:00Z");
    let scheduler = Scheduler::start(&place, &time);
    time.pass_until("2024-11-21T02:45:15Z", 1).await;
    refuse_runs(&place, false).await;
    time.pass_until("2024-11-21T12:00:00Z", 1).await;
    scheduler.stop().await;
    assert_eq!(told(&place).await[1..], ["2024-11-20 succeeded by schedule at 2024-11-21T02:45:30Z"]);
    let posted = posted.lock().unwrap().clone();
    let events: Vec<_> = posted.iter().map(|alert| alert["event"].as_str().unwrap()).collect();
    assert_eq!(events, ["failure", "recovery"], "{posted:#?}");
    let text = posted[0]["text"].as_str().unwrap();
    assert!(text.starts_with("The ledger took no note of the night of 2024-11-20: "), "{text}");
    assert!(text.contains("no room") && posted[0]["run_id"].is_null(), "{text}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_schedule_that_is_changed_makes_no_old_night_again() {
    let place = place(Database::Sqlite).await;
    days("2024-11-18", 6).iter().for_each(|day| write_day(&place, day, 1));
    let time = Time::at("2024-11-19T02:00:00Z");
    let scheduler = Scheduler::start(&place, &time);
    time.pass_until("2024-11-22T02:00:00Z", 1).await;
    scheduler.stop().await;
    let place = place.configured(|config| config.schedule.cron = "30 4 * * *".into());
    let time = Time::at("2024-11-22T12:00:00Z");
    let scheduler = Scheduler::start(&place, &time);
    time.until_waiting(1).await;
    scheduler.stop().await;
    let made: Vec<_> = runs(&place).await.iter().map(|run| run.day.to_string()).collect();
    assert_eq!(made, days("2024-11-18", 4));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_that_is_told_to_stop_is_noted_and_made_again() {
    let place = Place::new((Objects::Bucket, Database::Sqlite)).await.configured(daily);
    write_day(&place, "2024-11-20", 1);
    // The first object of the lake is never written to its end.
    let (reached, mut is_reached) = tokio::sync::mpsc::unbounded_channel();
    let root = place.input().parent().unwrap().parent().unwrap().to_owned();
    let environment = s3::start_behind(&root, move |method, path| {
        let is_stuck = method == "PUT" && path.contains("/lake/");
        let reached = reached.clone();
        let wait = move |is_stuck: bool| {
            let reached = reached.clone();
            async move {
                if is_stuck {
                    let _ = reached.send(());
                    std::future::pending().await
                }
            }
        };
        (wait(is_stuck), wait(false))
    })
    .await;
    let time = Time::at("2024-11-21T02:30:00Z");
    let aws = source::AwsSettings::from_pairs(environment);
    let scheduler = Scheduler::of(Night { clock: time.clock(), aws, halt: Halt::new(), ..place.night() });
    is_reached.recv().await.unwrap();
    let stopping = std::time::Instant::now();
    scheduler.stop().await;
    assert!(stopping.elapsed() < Duration::from_secs(20), "{:?}", stopping.elapsed());
    let run = runs(&place).await.remove(0);
    assert_eq!((run.status.name(), run.error.as_deref()), ("stopped", Some("stopped: the test")));
    // Whoever comes next makes the night.
    let scheduler = Scheduler::start(&place, &time);
    time.until_waiting(1).await;
    scheduler.stop().await;
    let ended: Vec<_> = runs(&place).await.iter().map(|run| run.status.to_string()).collect();
    assert_eq!(ended, ["stopped", "succeeded"]);
}
