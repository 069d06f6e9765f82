//! Kills at each step of the transactions of a run: a trigger of the test's own makes the run wait there.

use crate::{
    accept::{accept, checked_night, run_held},
    database::{Kind, Prompt},
    night::{Night, Running},
};
use std::time::{Duration, Instant};

/// A run whose lock for writing stays where it is for so long waits at the step, in SQLite. Were it only slow,
/// it would be killed a little earlier.
const STEADY: Duration = Duration::from_millis(250);

/// What a run is about to do, or has just done.
struct Step {
    name: &'static str,
    /// When its trigger fires, and for which rows.
    event: &'static str,
    condition: &'static str,
    /// Whether readers see what the run published.
    is_published: bool,
}

const fn step(name: &'static str, event: &'static str, condition: &'static str) -> Step {
    Step { name, event, condition, is_published: false }
}

const NOTES: &str = "NEW.rankings_digest IS NOT NULL AND OLD.rankings_digest IS NULL";

const STEPS: [Step; 10] = [
    step("it enters itself in the ledger", "BEFORE INSERT ON runs", "1 = 1"),
    step("it has written half a ranking", "BEFORE INSERT ON rankings", "NEW.rank = 3"),
    step(
        "it has packed half of its rankings",
        "BEFORE INSERT ON packed_rankings",
        "NEW.model = 'TopProduct'",
    ),
    step("it has written its rankings", "BEFORE INSERT ON advertiser_totals", "NEW.advertiser_id = 'a0'"),
    step("it has removed what readers see", "AFTER DELETE ON publications", "OLD.advertiser_id = 'a2'"),
    step(
        "it has put one advertiser in the place",
        "BEFORE INSERT ON publications",
        "NEW.advertiser_id = 'a1'",
    ),
    step("it has put all in the place", "BEFORE INSERT ON publication_events", "1 = 1"),
    step("it tells the ledger what it publishes", "BEFORE UPDATE ON runs", NOTES),
    step("it has only to commit", "AFTER UPDATE ON runs", NOTES),
    Step {
        is_published: true,
        ..step("it has published, and ends", "BEFORE UPDATE ON runs", "NEW.status = 'succeeded'")
    },
];

const HOLDS: Step =
    step("it writes what it holds back", "BEFORE INSERT ON holds", "NEW.advertiser_id = 'a1'");

/// What holds a run at a step.
trait Hold {
    /// Makes runs wait at the step from now on.
    fn close(&mut self, step: &Step);
    /// Waits until the run is there.
    fn await_arrival(&mut self, run: &mut Running);
    /// Lets runs pass.
    fn open(&mut self, step: &Step);
}

fn kill_at_each_step(night: &mut Night, hold: &mut dyn Hold) {
    for step in &STEPS {
        println!("killed when {}", step.name);
        let before = night.version;
        night.change_logs();
        hold.close(step);
        let mut run = night.start();
        run.wait_until(|_| night.is_published(before) == step.is_published);
        hold.await_arrival(&mut run);
        assert!(run.kill(), "it waits to be killed");
        assert_eq!(night.is_published(before), step.is_published);
        hold.open(step);
        night.recover();
    }
    night.is_as_undisturbed();
}

fn kill_while_it_holds_back(night: &mut Night, hold: &mut dyn Hold) {
    let before = night.version;
    night.change_logs_to_be_held();
    hold.close(&HOLDS);
    let mut run = night.start();
    hold.await_arrival(&mut run);
    assert!(run.kill(), "it waits to be killed");
    assert!(!night.is_published(before));
    hold.open(&HOLDS);
    let held = run_held(night);
    assert!(!night.is_published(before), "it is held");
    accept(night, &held).ends_well();
    night.has_recovered();
}

/// In PostgreSQL a trigger waits for a lock that the test holds.
struct LockHold {
    holder: Prompt,
    looker: Prompt,
}

/// The key of the lock.
const LOCK: &str = "20241120";

impl LockHold {
    fn new(night: &Night) -> Self {
        let [mut holder, looker] = [(), ()].map(|()| night.database.prompt());
        holder.run(&format!(
            "CREATE FUNCTION wait_to_be_killed() RETURNS trigger LANGUAGE plpgsql AS $$
             BEGIN PERFORM pg_advisory_xact_lock({LOCK}); RETURN coalesce(NEW, OLD); END $$"
        ));
        Self { holder, looker }
    }

    /// Whether someone waits for such a lock.
    fn is_awaited(&mut self, lock: &str) -> bool {
        let waiting = "SELECT pid::text FROM pg_locks JOIN pg_stat_activity USING (pid)
                       WHERE datname = current_database() AND NOT granted";
        !self.looker.rows(&format!("{waiting} AND {lock}")).is_empty()
    }
}

impl Hold for LockHold {
    fn close(&mut self, Step { event, condition, .. }: &Step) {
        self.holder.run(&format!(
            "CREATE TRIGGER wait_to_be_killed {event} FOR EACH ROW WHEN ({condition})
             EXECUTE FUNCTION wait_to_be_killed();
             SELECT pg_advisory_lock({LOCK})"
        ));
    }

    fn await_arrival(&mut self, run: &mut Running) {
        run.wait_until(|_| self.is_awaited(&format!("locktype = 'advisory' AND objid = {LOCK}")));
    }

    fn open(&mut self, Step { event, .. }: &Step) {
        let (_, table) = event.rsplit_once(' ').unwrap();
        // What the server did for the run that was killed ends before the trigger goes.
        self.holder
            .run(&format!("SELECT pg_advisory_unlock({LOCK}); DROP TRIGGER wait_to_be_killed ON {table}"));
    }
}

/// In SQLite a trigger counts for ever.
struct EndlessHold {
    holder: Prompt,
    /// Waits for no lock.
    looker: Prompt,
}

impl EndlessHold {
    fn new(night: &Night) -> Self {
        let [mut holder, mut looker] = [(), ()].map(|()| night.database.prompt());
        // Triggers may not say WITH, but views may.
        holder.run(
            "CREATE VIEW endless AS WITH RECURSIVE counted(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counted)
             SELECT n FROM counted",
        );
        looker.run("PRAGMA busy_timeout = 0");
        Self { holder, looker }
    }
}

impl Hold for EndlessHold {
    fn close(&mut self, Step { event, condition, .. }: &Step) {
        self.holder.run(&format!(
            "CREATE TRIGGER wait_to_be_killed {event} WHEN {condition}
             BEGIN SELECT count(*) FROM endless; END"
        ));
    }

    fn await_arrival(&mut self, run: &mut Running) {
        let mut free = Instant::now();
        run.wait_until(|_| {
            if self.looker.try_run("BEGIN IMMEDIATE").is_ok() {
                self.looker.run("ROLLBACK");
                free = Instant::now();
            }
            free.elapsed() > STEADY
        });
    }

    fn open(&mut self, _: &Step) {
        self.holder.run("DROP TRIGGER wait_to_be_killed");
    }
}

#[test]
fn a_run_killed_at_a_step_leaves_sqlite_whole() {
    let mut night = Night::new(Kind::Sqlite);
    let mut hold = EndlessHold::new(&night);
    kill_at_each_step(&mut night, &mut hold);
}

#[test]
fn a_run_killed_at_a_step_leaves_postgresql_whole() {
    let mut night = Night::new(Kind::Postgres);
    let mut hold = LockHold::new(&night);
    kill_at_each_step(&mut night, &mut hold);
}

#[test]
fn a_run_killed_while_it_holds_back_leaves_sqlite_whole() {
    let mut night = checked_night(Kind::Sqlite);
    let mut hold = EndlessHold::new(&night);
    kill_while_it_holds_back(&mut night, &mut hold);
}

#[test]
fn a_run_killed_while_it_holds_back_leaves_postgresql_whole() {
    let mut night = checked_night(Kind::Postgres);
    let mut hold = LockHold::new(&night);
    kill_while_it_holds_back(&mut night, &mut hold);
}

#[test]
fn a_run_killed_while_another_writes_sqlite_leaves_it_whole() {
    let mut night = Night::new(Kind::Sqlite);
    let mut writer = night.database.prompt();
    let before = night.version;
    night.change_logs();
    writer.run("BEGIN IMMEDIATE");
    let mut run = night.start();
    // It waits for its turn from its first statement on.
    let database = night.scene.path("topshelf.db");
    run.wait_until(|run| run.has_open(&database));
    assert!(run.kill(), "it waits for its turn");
    assert!(!night.is_published(before));
    writer.run("ROLLBACK");
    night.recover();
    night.is_as_undisturbed();
}

#[test]
fn a_run_waits_until_postgresql_has_noticed_that_the_one_before_is_gone() {
    let mut night = Night::new(Kind::Postgres);
    let mut hold = LockHold::new(&night);
    let half = &STEPS[1];
    let before = night.version;
    night.change_logs();
    hold.close(half);
    let mut run = night.start();
    hold.await_arrival(&mut run);
    assert!(run.kill(), "it waits to be killed");
    // The server goes on with what it was told, and with the locks that it took for it.
    let mut next = night.start();
    next.wait_until(|_| hold.is_awaited("locktype = 'transactionid'"));
    assert!(!night.is_published(before));
    hold.open(half);
    next.ends_well();
    night.has_recovered();
    night.is_as_undisturbed();
}
