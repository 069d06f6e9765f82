//! Whoever publishes, straight into the database: new days, days made again, days taken back and given back.

use crate::{
    publication::{ADVERTISERS, Publication},
    record::{DAYS, Record},
};
use domain::{Counts, Day};
use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use store::{Back, Decision, Holds, NewPublication, NewRun, Outcome, RunEnd, Store, StoreError};
use tokio::runtime::{Builder, Runtime};

/// Longer than a database is away.
const PATIENCE: Duration = Duration::from_secs(120);

const PERIOD: Duration = Duration::from_secs(1);

/// Published days that are kept: retention deletes what is older.
const DAYS_KEPT: usize = DAYS + 3;

/// What is done to the newest day.
#[derive(Debug, Clone, Copy)]
enum Action {
    NewDay,
    Again,
    RollBack,
    Undo,
}

/// What is done over and over.
const ACTIONS: [Action; 7] = [
    Action::NewDay,
    Action::Again,
    Action::RollBack,
    Action::Undo,
    Action::Again,
    Action::RollBack,
    Action::Again,
];

pub(crate) struct Publisher {
    runtime: Runtime,
    store: Store,
    record: Arc<Record>,
    /// Newest first, as readers see them.
    days: Vec<(Day, Publication)>,
    /// What readers saw of the newest day before, the last at the end.
    before: Vec<Publication>,
    /// What was taken back last.
    taken_back: Option<Publication>,
    made: u32,
    actions: usize,
}

impl Publisher {
    /// Prepares the database and publishes as many days as servers keep.
    pub(crate) fn new(url: &str, record: Arc<Record>) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let store = runtime.block_on(Store::open_patiently(url, PATIENCE)).unwrap();
        runtime.block_on(store.migrate()).unwrap();
        let (days, before) = (Vec::new(), Vec::new());
        let mut publisher =
            Self { runtime, store, record, days, before, taken_back: None, made: 0, actions: 0 };
        for _ in 0..DAYS_KEPT {
            publisher.do_next(Action::NewDay);
        }
        publisher
    }

    /// Does the next thing to what is published.
    pub(crate) fn go_on(&mut self) {
        self.do_next(ACTIONS[self.actions % ACTIONS.len()]);
        self.actions += 1;
    }

    fn do_next(&mut self, action: Action) {
        match action {
            Action::NewDay => self.begin_day(),
            Action::Again => {
                let (day, seen) = self.days[0];
                self.before.push(seen);
                self.publish(day);
            }
            Action::RollBack => {
                let (day, seen) = self.days[0];
                self.taken_back = Some(seen);
                let earlier = self.before.pop().unwrap();
                self.decide(day, earlier, async |store, decision| {
                    store.roll_back(Back::Before(day), decision).await.map(drop)
                });
            }
            Action::Undo => {
                let (day, seen) = self.days[0];
                self.before.push(seen);
                let later = self.taken_back.take().unwrap();
                self.decide(day, later, async |store, decision| {
                    store.undo_rollback(Some(day), decision.reason, decision.at).await.map(drop)
                });
            }
        }
        let version = self.runtime.block_on(self.store.publication_version());
        // The database may go between a publication and this question, which has no patience.
        if let Ok(version) = version {
            self.record.published(version);
        }
    }

    fn begin_day(&mut self) {
        let first: Day = "2024-11-01".parse().unwrap();
        let day = self.days.first().map_or(first, |(day, _)| day.tomorrow());
        self.days.insert(0, (day, Publication(self.made + 1)));
        self.before.clear();
        self.publish(day);
        if self.days.len() > DAYS_KEPT {
            let (oldest, publication) = self.days.pop().unwrap();
            self.runtime.block_on(self.store.trim_day(oldest, publication.at())).unwrap();
        }
    }

    /// The next publication, of a day.
    fn publish(&mut self, day: Day) {
        self.made += 1;
        let publication = Publication(self.made);
        self.days[0].1 = publication;
        self.record.may_see(&self.days);
        let (run_id, at) = (publication.run_id(), publication.at());
        let run = NewRun {
            run_id: run_id.clone(),
            day,
            started_by: "hand".into(),
            orchestrator: None,
            program_version: "0.1.0".into(),
            config_hash: "c0ffee".into(),
            started_at: at,
            process: "here 1 2".into(),
            host: "here".into(),
            due_at: None,
        };
        let rankings = publication.rankings(day);
        let totals = vec![Counts::default(); ADVERTISERS as usize];
        let new = NewPublication { rankings: &rankings, totals: &totals, holds: &Holds::default() };
        let end = RunEnd {
            ended_at: at,
            outcome: Outcome::Succeeded,
            error: None,
            report: serde_json::Value::Null,
        };
        self.runtime.block_on(async {
            self.store.begin_runs(&[run]).await.unwrap();
            self.store.publish(&run_id, new, at).await.unwrap();
            self.store.end_run(&run_id, &end).await.unwrap();
        });
    }

    /// Moves the newest day to a publication of it, by a decision. One whose outcome is not known is looked up.
    fn decide(
        &mut self,
        day: Day,
        to: Publication,
        decide: impl AsyncFn(&Store, Decision<'_>) -> Result<(), StoreError>,
    ) {
        self.days[0].1 = to;
        self.record.may_see(&self.days);
        let reason = format!("action {}", self.actions);
        let decision = Decision { advertiser: None, reason: &reason, at: Publication(self.made).at() };
        self.runtime.block_on(async {
            while let Err(error) = decide(&self.store, decision).await {
                assert!(matches!(error, StoreError::OutcomeUnknown { .. }), "{error}");
                let moves = self.store.moves(1, Some(day)).await.unwrap();
                if moves[0].reason.as_ref() == Some(&reason) {
                    break;
                }
            }
        });
    }
}

/// A publisher at work, a publication a second.
pub(crate) struct Publishing {
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Publisher>,
}

impl Publishing {
    pub(crate) fn start(mut publisher: Publisher) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let is_over_there = is_over.clone();
        let thread = thread::spawn(move || {
            while !is_over_there.load(SeqCst) {
                let began = Instant::now();
                publisher.go_on();
                thread::sleep(PERIOD.saturating_sub(began.elapsed()));
            }
            publisher
        });
        Self { is_over, thread }
    }

    /// Waits until what is under way is published.
    pub(crate) fn stop(self) -> Publisher {
        self.is_over.store(true, SeqCst);
        self.thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
