//! Whole nights through a proxy that cuts: at messages and at moments drawn by chance, and again and again at the same.

use crate::{
    database::{Database, Kind},
    dump,
    place::Place,
    proxy::{Fate, Message, Proxy},
    readers::views_sql,
};
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore, SeedableRng},
};
use std::{
    path::Path,
    sync::atomic::{AtomicBool, Ordering::SeqCst},
    thread,
    time::{Duration, Instant},
};
use topshelf::pipeline::Verdict;

/// So many nights are cut by chance in each way; the environment may ask for more or fewer.
const CUTS: u32 = 20;
const CUTS_VARIABLE: &str = "TOPSHELF_TEST_CUTS";

/// Seconds that are longer than a cut connection takes to be made anew, and too short for anything else.
const LONG: u64 = 30;
const SHORT: u64 = 1;

const SEED: u64 = 7;

/// A database, a proxy before it, and nights that publish there.
struct Faults {
    place: Place,
    database: Database,
    proxy: Proxy,
}

impl Faults {
    fn new() -> Self {
        let database = Database::new(Kind::Postgres, Path::new("unused"));
        let proxy = Proxy::before(&database.url);
        Self { place: Place::new(), database, proxy }
    }

    /// A night that nothing disturbs.
    fn undisturbed(&mut self) {
        let outcome = self.place.run_next(&self.database.url, SHORT).unwrap();
        assert_eq!(outcome.ended.unwrap().verdict(), Verdict::Published);
    }

    /// A night through the proxy that must publish all the same.
    #[track_caller]
    fn published_in_spite_of(&mut self, what: &str) {
        let outcome = self.place.run_next(&self.proxy.url(&self.database.url), LONG);
        let outcome = outcome.unwrap_or_else(|failure| panic!("{what}: {}", failure.chain()));
        let report = outcome.ended.unwrap_or_else(|failure| panic!("{what}: {}", failure.chain()));
        assert_eq!(report.verdict(), Verdict::Published, "{what}");
        assert_eq!(self.seen(), self.place.version.views(), "{what}");
    }

    /// A night through the proxy that must fail; what it says.
    #[track_caller]
    fn failed(&mut self) -> String {
        let failure = match self.place.run_next(&self.proxy.url(&self.database.url), SHORT) {
            Ok(outcome) => outcome.ended.unwrap_err(),
            Err(failure) => failure,
        };
        self.proxy.rule(|_| Fate::Passes);
        failure.chain()
    }

    /// What readers see.
    fn seen(&self) -> Vec<String> {
        self.database.prompt().rows(&views_sql())
    }

    /// The status of each run with why, the newest last.
    fn ledger(&self) -> Vec<String> {
        let runs = "SELECT status || coalesce(': ' || error, '') FROM runs ORDER BY started_at";
        self.database.prompt().rows(runs)
    }

    fn moves(&self) -> usize {
        self.database.prompt().rows("SELECT kind FROM publication_events").len()
    }
}

fn cuts() -> u32 {
    let asked = std::env::var(CUTS_VARIABLE);
    asked.map_or(CUTS, |cuts| cuts.parse().unwrap_or_else(|_| panic!("{CUTS_VARIABLE}={cuts}")))
}

/// The database must hold what it holds after so many nights that nothing disturbed.
#[track_caller]
fn is_as_undisturbed(faults: &Faults, nights: u32) {
    let mut undisturbed = Faults::new();
    (0..nights).for_each(|_| undisturbed.undisturbed());
    dump::are_alike(&faults.database, &undisturbed.database);
}

#[test]
fn nights_cut_at_random_messages_publish_as_if_nothing_had_been() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut faults = Faults::new();
    faults.proxy.rule(|_| Fate::Passes);
    faults.published_in_spite_of("nothing");
    let messages = faults.proxy.messages();
    for cut in 0..cuts() {
        let number = random.next_u64() as usize % messages;
        let fate =
            [Fate::IsLost, Fate::IsNotAnswered, Fate::IsLate(Duration::from_millis(20))][cut as usize % 3];
        faults.proxy.once(fate, move |message| message.number == number);
        faults.published_in_spite_of(&format!("message {number} of {messages} {fate:?}"));
    }
    println!("{messages} messages a night");
    is_as_undisturbed(&faults, cuts() + 1);
}

#[test]
fn nights_cut_at_random_moments_publish_as_if_nothing_had_been() {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut faults = Faults::new();
    let began = Instant::now();
    faults.published_in_spite_of("nothing");
    let longest = began.elapsed();
    for cut in 0..cuts() {
        // Two cuts, the second of which often meets what is made good after the first.
        let moments = [(); 2].map(|()| longest.mul_f64(random.next_u64() as f64 / u64::MAX as f64));
        let (proxy, is_over) = (faults.proxy.clone(), AtomicBool::new(false));
        thread::scope(|scope| {
            scope.spawn(|| {
                for moment in moments {
                    thread::sleep(moment / 2);
                    if !is_over.load(SeqCst) {
                        proxy.cut();
                    }
                }
            });
            faults.published_in_spite_of(&format!("cut {cut} at {moments:?}"));
            is_over.store(true, SeqCst);
        });
    }
    is_as_undisturbed(&faults, cuts() + 1);
}

#[test]
fn a_night_whose_rows_never_arrive_fails_and_is_recorded() {
    let mut faults = Faults::new();
    faults.undisturbed();
    let before = faults.seen();
    faults.proxy.rule(|message| if message.is_copied_rows() { Fate::IsLost } else { Fate::Passes });
    let told = faults.failed();
    assert!(told.starts_with("could not publish 2024-11-20 of run "), "{told}");
    assert_eq!(faults.ledger(), ["succeeded".to_owned(), format!("failed: {told}")]);
    assert_eq!(faults.seen(), before);
    faults.undisturbed();
    assert_eq!((faults.seen(), faults.moves()), (faults.place.version.views(), 2));
}

fn lose_commits(message: &Message<'_>) -> Fate {
    if message.is_commit_of_publication() { Fate::IsLost } else { Fate::Passes }
}

#[test]
fn a_night_whose_commits_never_arrive_looks_and_is_recorded() {
    let mut faults = Faults::new();
    faults.undisturbed();
    let before = faults.seen();
    faults.proxy.rule(lose_commits);
    let told = faults.failed();
    assert!(told.starts_with("it is not known whether "), "{told}");
    // By then it is: the ledger could be asked.
    assert_eq!(faults.ledger(), ["succeeded".to_owned(), format!("failed: {told}")]);
    assert_eq!((faults.seen(), faults.moves()), (before, 1));
    faults.undisturbed();
    assert_eq!((faults.seen(), faults.moves()), (faults.place.version.views(), 2));
}

#[test]
fn a_night_that_cannot_look_in_time_is_recorded_by_what_it_finds_later() {
    let mut faults = Faults::new();
    faults.undisturbed();
    let mut has_committed = false;
    faults.proxy.rule(move |message| {
        let is_first = message.is_commit_of_publication() && !has_committed;
        has_committed |= is_first;
        match is_first {
            true => Fate::IsNotAnswered,
            // What would look takes the day's lock first.
            false if has_committed && message.says("pg_advisory_xact_lock") => Fate::IsLost,
            false => Fate::Passes,
        }
    });
    let told = faults.failed();
    assert!(told.starts_with("it is not known whether "), "{told}");
    assert_eq!(faults.ledger(), ["succeeded".to_owned(), format!("died: {told}; it had published")]);
    assert_eq!((faults.seen(), faults.moves()), (faults.place.version.views(), 2));
}

#[test]
fn a_night_that_is_cut_off_once_it_committed_is_buried_by_the_next() {
    let mut faults = Faults::new();
    faults.undisturbed();
    let mut is_cut_off = false;
    faults.proxy.rule(move |message| match is_cut_off {
        true => Fate::IsLost,
        false if message.is_commit_of_publication() => {
            is_cut_off = true;
            Fate::IsNotAnswered
        }
        false => Fate::Passes,
    });
    let told = faults.failed();
    assert!(told.contains("failed, and its end could not be written into the ledger"), "{told}");
    assert!(told.contains("it is not known whether "), "{told}");
    assert_eq!(faults.ledger()[1], "running");
    assert_eq!((faults.seen(), faults.moves()), (faults.place.version.views(), 2));
    faults.undisturbed();
    let buried = &faults.ledger()[1];
    assert!(buried.starts_with("died: ") && buried.contains("after it had published"), "{buried}");
    assert_eq!((faults.seen(), faults.moves()), (faults.place.version.views(), 3));
}

#[test]
fn a_night_that_cannot_write_its_end_says_what_readers_see() {
    let mut faults = Faults::new();
    faults.undisturbed();
    let (mut has_committed, mut is_cut_off) = (false, false);
    faults.proxy.rule(move |message| {
        // What comes after the answer to the COMMIT.
        is_cut_off |= has_committed;
        has_committed |= message.is_commit_of_publication();
        if is_cut_off { Fate::IsLost } else { Fate::Passes }
    });
    let told = faults.failed();
    let expected = format!("readers see 2024-11-20 by run {}", newest_run(&faults));
    assert!(
        told.starts_with(&format!("{expected}, but its end could not be written into the ledger")),
        "{told}"
    );
    assert_eq!(faults.seen(), faults.place.version.views());
    // The next run buries it, whether it publishes anything or not.
    let again = faults.place.run(&faults.database.url, SHORT).unwrap();
    assert_eq!(again.ended.unwrap().verdict(), Verdict::Unchanged);
    let buried = &faults.ledger()[1];
    assert!(buried.starts_with("died: ") && buried.contains("after it had published"), "{buried}");
    assert_eq!(faults.moves(), 2);
}

fn newest_run(faults: &Faults) -> String {
    faults.database.prompt().rows("SELECT run_id FROM runs ORDER BY started_at DESC LIMIT 1").remove(0)
}

#[test]
fn a_night_that_never_gets_through_leaves_no_trace() {
    let mut faults = Faults::new();
    faults.undisturbed();
    let before = dump::dump(&mut faults.database.prompt());
    faults.proxy.rule(|_| Fate::IsLost);
    let told = faults.failed();
    assert!(told.starts_with("could not connect to postgres://"), "{told}");
    assert_eq!(dump::dump(&mut faults.database.prompt()), before);
    faults.undisturbed();
}
