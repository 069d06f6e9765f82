//! Kills at random moments while what checks held back is accepted.

use crate::{
    database::Kind,
    night::{LAKE, Night, Running},
    scene::Scene,
};
use rand_xoshiro::{
    Xoshiro256PlusPlus,
    rand_core::{RngCore, SeedableRng},
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// So many times it is killed on each database.
const KILLS: u32 = 20;

/// Moments are drawn from this on.
const SEED: u64 = 20;

/// A night whose checks hold back who has any clicks on ads that were never shown.
pub(crate) fn checked_night(kind: Kind) -> Night {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_CHECKS__CLICKS__MIN", "1");
    Night::in_scene(scene, kind, LAKE)
}

/// Runs the day to the end, which checks hold back of all advertisers; the run.
pub(crate) fn run_held(night: &mut Night) -> String {
    night.start().ends_held();
    let held = "SELECT run_id FROM runs WHERE status = 'held' ORDER BY started_at DESC LIMIT 1";
    night.prompt.rows(held).pop().unwrap()
}

pub(crate) fn accept(night: &mut Night, run: &str) -> Running {
    night.start_command(&["publish", "--accept", run, "--reason", "they are right"])
}

/// How long accepting takes when nobody disturbs it.
fn accept_undisturbed(night: &mut Night) -> Duration {
    night.change_logs_to_be_held();
    let run = run_held(night);
    let begun = Instant::now();
    accept(night, &run).ends_well();
    begun.elapsed()
}

fn kill_while_accepting(kind: Kind) {
    let mut random = Xoshiro256PlusPlus::seed_from_u64(SEED);
    let mut night = checked_night(kind);
    let duration = (0..3).map(|_| accept_undisturbed(&mut night)).min().unwrap();
    let mut killed = 0;
    let mut published = 0;
    while killed < KILLS {
        let before = night.version;
        night.change_logs_to_be_held();
        let run = run_held(&mut night);
        assert!(!night.is_published(before), "it is held");
        let moment: Duration = duration.mul_f64(random.next_u64() as f64 / u64::MAX as f64);
        let accepting = accept(&mut night, &run);
        thread::sleep(moment);
        killed += u32::from(accepting.kill());
        println!("kill {killed} of seed {SEED} after {moment:?} of {duration:?}");
        // A commit that had reached the server is carried out; then there is nothing left to accept.
        night.until_nothing_is_locked();
        if night.is_published(before) {
            published += 1;
        } else {
            accept(&mut night, &run).ends_well();
        }
        night.has_recovered();
    }
    println!("{kind:?}: {killed} were killed while they accepted; {published} times that was done by then");
}

#[test]
fn accepting_killed_at_a_random_moment_leaves_sqlite_whole() {
    kill_while_accepting(Kind::Sqlite);
}

#[test]
fn accepting_killed_at_a_random_moment_leaves_postgresql_whole() {
    kill_while_accepting(Kind::Postgres);
}
