//! Kills at random moments of a run.

use crate::{database::Kind, night::Night};
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore, SeedableRng},
};
use std::{
    ops::AddAssign,
    thread,
    time::{Duration, Instant},
};

/// So many runs are killed on each database; the environment may ask for more or fewer.
const KILLS: u32 = 300;
const KILLS_VARIABLE: &str = "TOPSHELF_TEST_KILLS";

/// Nights that are killed beside each other: a run on PostgreSQL mostly waits.
const PLACES: u64 = 3;

/// The share of kills that are followed by another, of the run that would have recovered.
const AGAIN: f64 = 0.25;

/// The server looks for what is published in SQLite once a second, so it is waited for only so often.
const WAIT_EVERY: u32 = 25;

/// What happened to the runs of a night.
#[derive(Debug, Default)]
struct Killed {
    before_publishing: u32,
    after_publishing: u32,
    answers: u64,
}

impl Killed {
    fn all(&self) -> u32 {
        self.before_publishing + self.after_publishing
    }
}

impl AddAssign for Killed {
    fn add_assign(&mut self, other: Self) {
        self.before_publishing += other.before_publishing;
        self.after_publishing += other.after_publishing;
        self.answers += other.answers;
    }
}

fn kills() -> u32 {
    let asked = std::env::var(KILLS_VARIABLE);
    asked.map_or(KILLS, |kills| kills.parse().unwrap_or_else(|_| panic!("{KILLS_VARIABLE}={kills}")))
}

/// The longest of a few runs that nobody disturbs: what is killed is killed before that.
fn duration_max(night: &mut Night) -> Duration {
    (0..3).map(|_| night.run_undisturbed()).max().unwrap()
}

/// Kills so many runs of a night, at moments drawn from the seed.
fn kill_runs(kind: Kind, kills: u32, seed: u64) -> Killed {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
    let mut share = || random.next_u64() as f64 / u64::MAX as f64;
    let mut night = Night::new(kind);
    let mut killed = Killed::default();
    let mut longest = duration_max(&mut night);
    let mut before = night.version;
    night.change_logs();
    while killed.all() < kills {
        let moment = longest.mul_f64(share());
        let run = night.start();
        thread::sleep(moment);
        if run.kill() {
            // Told by the harness if what follows fails.
            println!("kill {} of seed {seed} after {moment:?} of at most {longest:?}", killed.all() + 1);
            match night.is_published(before) {
                false => killed.before_publishing += 1,
                true => killed.after_publishing += 1,
            }
            if share() < AGAIN {
                continue;
            }
            night.recover();
        } else {
            // It was faster than its moment.
            night.has_recovered();
        }
        if killed.all() % WAIT_EVERY == 0 {
            night.is_as_undisturbed();
            longest = duration_max(&mut night);
        }
        before = night.version;
        night.change_logs();
    }
    night.recover();
    night.is_as_undisturbed();
    killed.answers = night.answers();
    killed
}

fn kill_at_random_moments(kind: Kind) {
    let begun = Instant::now();
    let kills = kills();
    let of_place = |place| kills / PLACES as u32 + u32::from(place < u64::from(kills) % PLACES);
    let mut killed = Killed::default();
    thread::scope(|scope| {
        let places: Vec<_> =
            (0..PLACES).map(|place| scope.spawn(move || kill_runs(kind, of_place(place), place))).collect();
        places.into_iter().for_each(|place| killed += place.join().expect("the place has told what failed"));
    });
    assert_eq!(killed.all(), kills);
    println!("{kind:?}: {killed:?} in {:.1} s", begun.elapsed().as_secs_f64());
}

#[test]
fn a_run_killed_at_a_random_moment_leaves_sqlite_whole() {
    kill_at_random_moments(Kind::Sqlite);
}

#[test]
fn a_run_killed_at_a_random_moment_leaves_postgresql_whole() {
    kill_at_random_moments(Kind::Postgres);
}
