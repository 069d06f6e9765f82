//! A PostgreSQL server that stops, restarts, crashes, or is not there yet.

use crate::{
    cluster::{Cluster, Stop},
    database::{Database, Kind, Prompt},
    readers::views_sql,
    stage::{Run, Stage},
};
use std::{
    thread,
    time::{Duration, Instant},
};

/// Longer than a run takes to come to where it waits.
const PATIENCE: Duration = Duration::from_secs(60);

/// What a run is told when it meets a server that is not there.
const TOLD: &str = "trying again";

/// The key of the lock at which runs wait.
const LOCK: &str = "20241120";

/// Where a run waits, by a trigger of the test's own.
struct Step {
    name: &'static str,
    trigger: &'static str,
    table: &'static str,
    condition: &'static str,
}

const STEPS: [Step; 3] = [
    Step {
        name: "it has written half a ranking",
        trigger: "CREATE TRIGGER wait_for_the_test BEFORE INSERT",
        table: "rankings",
        condition: "FOR EACH ROW WHEN (NEW.rank = 3)",
    },
    Step {
        name: "it has only to commit",
        trigger: "CREATE TRIGGER wait_for_the_test AFTER UPDATE",
        table: "runs",
        condition: "FOR EACH ROW WHEN (NEW.rankings_digest IS NOT NULL AND OLD.rankings_digest IS NULL)",
    },
    Step {
        name: "it commits",
        trigger: "CREATE CONSTRAINT TRIGGER wait_for_the_test AFTER INSERT",
        table: "publication_events",
        condition: "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW",
    },
];

/// A server of its own, and a stage before it.
struct Theatre {
    stage: Stage,
    database: Database,
    cluster: Cluster,
}

impl Theatre {
    fn new() -> Self {
        let cluster = Cluster::new();
        let url = cluster.url("postgres");
        let database = Database { kind: Kind::Postgres, url: url.clone() };
        let stage = Stage::new(&url);
        let wait = "CREATE FUNCTION wait_for_the_test() RETURNS trigger LANGUAGE plpgsql AS
                    $$ BEGIN PERFORM pg_advisory_xact_lock(20241120); RETURN NEW; END $$";
        database.prompt().run(wait);
        Self { stage, database, cluster }
    }

    /// Makes runs wait at the step, for as long as the prompt is there.
    fn hold(&self, step: &Step) -> Prompt {
        let mut holder = self.database.prompt();
        let Step { trigger, table, condition, .. } = step;
        holder.run(&format!(
            "{trigger} ON {table} {condition} EXECUTE FUNCTION wait_for_the_test();
             SELECT pg_advisory_lock({LOCK})"
        ));
        holder
    }

    /// Waits until the run is there; the server's process that works for it.
    fn until_held(&self, run: &mut Run) -> u32 {
        let mut looker = self.database.prompt();
        let waiting = format!(
            "SELECT pid::text FROM pg_locks WHERE locktype = 'advisory' AND objid = {LOCK} AND NOT granted"
        );
        let began = Instant::now();
        loop {
            if let Some(pid) = looker.rows(&waiting).pop() {
                return pid.parse().unwrap();
            }
            assert!(!run.has_ended() && began.elapsed() < PATIENCE, "it never came to the step");
            thread::sleep(Duration::from_millis(2));
        }
    }

    /// Whether readers see what the logs say.
    fn is_published(&self) -> bool {
        self.database.prompt().rows(&views_sql()) == self.stage.version.views()
    }

    fn ledger(&self) -> Vec<String> {
        let runs = "SELECT status || coalesce(': ' || error, '') FROM runs ORDER BY started_at, run_id";
        self.database.prompt().rows(runs)
    }

    /// A run in whose middle this happens to the server publishes all the same.
    fn survives(&mut self, what: &str, step: &Step, happens: impl FnOnce(&mut Cluster, u32)) {
        let what = format!("{what} when {}", step.name);
        println!("{what}");
        let runs = self.ledger().len();
        self.stage.change_logs();
        let holder = self.hold(step);
        let mut run = self.stage.start();
        let pid = self.until_held(&mut run);
        assert!(!self.is_published());
        happens(&mut self.cluster, pid);
        drop(holder);
        let told = run.ends_with(0);
        assert_eq!(told.matches(TOLD).count(), 1, "{what}: {told}");
        assert!(self.is_published(), "{what}");
        self.stage.until_all_see();
        let ledger = self.ledger();
        assert_eq!((ledger.len(), ledger.last().unwrap().as_str()), (runs + 1, "succeeded"), "{what}");
        let events = self.database.prompt().rows("SELECT seq::text FROM publication_events ORDER BY seq");
        assert_eq!(events.len(), runs + 1, "{what}");
        self.database.prompt().run(&format!("DROP TRIGGER wait_for_the_test ON {}", step.table));
    }
}

#[test]
fn a_run_outlives_restarts_and_crashes_of_postgresql() {
    let mut theatre = Theatre::new();
    for step in &STEPS {
        for how in [Stop::Fast, Stop::Immediate] {
            theatre.survives(&format!("stopped ({how:?})"), step, |cluster, _| {
                cluster.stop(how);
                cluster.start();
            });
        }
        theatre.survives("killed", step, |cluster, pid| cluster.kill(pid));
    }
}

#[test]
fn a_run_waits_for_a_postgresql_that_starts_later() {
    let mut theatre = Theatre::new();
    theatre.stage.change_logs();
    theatre.cluster.stop(Stop::Fast);
    let mut run = theatre.stage.start();
    run.until_told(TOLD);
    theatre.cluster.start();
    run.ends_with(0);
    assert!(theatre.is_published());
    theatre.stage.until_all_see();
}

#[test]
fn a_run_whose_postgresql_stays_away_fails_and_the_next_buries_it() {
    let mut theatre = Theatre::new();
    theatre.stage.scene.environment("TOPSHELF_STORE__PATIENCE_SECONDS", "1");
    theatre.stage.change_logs();
    let holder = theatre.hold(&STEPS[0]);
    let mut run = theatre.stage.start();
    theatre.until_held(&mut run);
    theatre.cluster.stop(Stop::Immediate);
    drop(holder);
    let told = run.ends_with(1);
    for text in [
        TOLD,
        "its end could not be written into the ledger",
        "could not publish 2024-11-20 of run ",
        "help: check that the database server is up and can be reached",
        "store.patience_seconds",
    ] {
        assert!(told.contains(text), "{text:?} is not in {told}");
    }
    // A server that is not there is no reason for one who only looks to wait.
    let began = Instant::now();
    let looked = theatre.stage.scene.call(&["runs"]);
    assert_eq!(looked.exit, 1, "{looked:?}");
    assert!(!looked.stderr.contains(TOLD) && began.elapsed() < Duration::from_secs(10), "{looked:?}");

    theatre.cluster.start();
    assert!(!theatre.is_published());
    assert_eq!(theatre.ledger().last().unwrap(), "running");
    theatre.stage.start().ends_with(0);
    assert!(theatre.is_published());
    theatre.stage.until_all_see();
    let [.., buried, last] = &theatre.ledger()[..] else { panic!("there are four runs") };
    assert!(buried.starts_with("died: ") && buried.contains("before it published"), "{buried}");
    assert_eq!(last, "succeeded");
}
