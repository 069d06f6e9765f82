//! Publications straight into a store, each of a run of its own, the same wherever they are made.

use crate::{
    database::{Database, Kind},
    proxy::Proxy,
};
use domain::{
    AdvertiserId, Counts, Day, DayRankings, ModelName, ModelRankings, ProductId, RankedProduct, Ranking,
    RunId,
};
use jiff::{Timestamp, ToSpan};
use std::{collections::BTreeMap, path::Path, time::Duration};
use store::{Hold, Holds, NewPublication, NewRun, Outcome, Publication, RunEnd, Store, StoreError};
use tokio::runtime::{Builder, Runtime};

/// Longer than a connection that was cut takes to be made anew.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) const DAY: &str = "2024-11-20";

/// What is held back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Held {
    Nobody,
    One,
    All,
}

/// Whoever publishes, through a proxy or not.
pub(crate) struct Publisher {
    runtime: Runtime,
    pub(crate) database: Database,
    pub(crate) proxy: Proxy,
    /// Straight to the database.
    pub(crate) direct: Store,
    /// Through the proxy, with patience.
    pub(crate) through: Store,
    /// Runs so far.
    runs: i32,
}

impl Publisher {
    pub(crate) fn new() -> Self {
        let database = Database::new(Kind::Postgres, Path::new("unused"));
        let proxy = Proxy::before(&database.url);
        let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let (direct, through) = runtime.block_on(async {
            let direct = Store::open(&database.url).await.unwrap();
            direct.migrate().await.unwrap();
            let through = Store::open_patiently(&proxy.url(&database.url), PATIENCE).await.unwrap();
            (direct, through)
        });
        Self { runtime, database, proxy, direct, through, runs: 0 }
    }

    /// Does something with a store.
    pub(crate) fn wait<T>(&self, doing: impl Future<Output = T>) -> T {
        self.runtime.block_on(doing)
    }

    /// Begins a run, publishes as it through the proxy under the rule that `prepare` makes, and ends the run.
    pub(crate) fn publish(
        &mut self,
        number: u32,
        held: Held,
        prepare: impl FnOnce(&Proxy),
    ) -> Result<(Publication, Holds), StoreError> {
        let at = self.begin();
        prepare(&self.proxy);
        let run = self.run_id();
        let rankings = rankings(number);
        let holds = holds(held);
        let totals = vec![Counts { impressions: 5, ..Counts::default() }; rankings.active.len()];
        let new = NewPublication { rankings: &rankings, totals: &totals, holds: &holds };
        let published = self.wait(self.through.publish(&run, new, at));
        self.proxy.rule(|_| crate::proxy::Fate::Passes);
        let outcome = if published.is_ok() { Outcome::Succeeded } else { Outcome::Failed };
        let end = RunEnd { ended_at: at, outcome, error: None, report: serde_json::Value::Null };
        self.wait(self.direct.end_run(&run, &end)).unwrap();
        published
    }

    /// The run that began last.
    pub(crate) fn run_id(&self) -> RunId {
        RunId::new(started_at(self.runs), self.runs.cast_unsigned())
    }

    fn begin(&mut self) -> Timestamp {
        self.runs += 1;
        let (run_id, started_at) = (self.run_id(), started_at(self.runs));
        let run = NewRun {
            run_id,
            day: DAY.parse().unwrap(),
            started_by: "hand".into(),
            orchestrator: None,
            program_version: "0.1.0".into(),
            config_hash: "c0ffee".into(),
            started_at,
            process: "here 1 2".into(),
            host: "here".into(),
            due_at: None,
        };
        self.wait(self.direct.begin_runs(&[run])).unwrap();
        started_at
    }
}

fn started_at(run: i32) -> Timestamp {
    "2024-11-21T02:30:00Z".parse::<Timestamp>().unwrap() + run.seconds()
}

fn holds(held: Held) -> Holds {
    let hold = || Hold { check: "volume".into(), message: "too few".into() };
    match held {
        Held::Nobody => Holds::default(),
        Held::One => Holds { all: None, advertisers: BTreeMap::from([(advertiser("a1"), hold())]) },
        Held::All => Holds { all: Some(hold()), ..Holds::default() },
    }
}

pub(crate) fn advertiser(id: &str) -> AdvertiserId {
    AdvertiserId::new(id).unwrap()
}

/// Rankings that no other number has.
fn rankings(number: u32) -> DayRankings {
    let day: Day = DAY.parse().unwrap();
    let active: Vec<_> = ["a0", "a1", "a2"].map(advertiser).into();
    let product = |place: u32| RankedProduct {
        product_id: ProductId::new(format!("p{number}-{place}")).unwrap(),
        score: 0.5,
        counts: Counts { impressions: 100, clicks: 50, views: 7 },
    };
    let ranking = |advertiser_id: &AdvertiserId| Ranking {
        advertiser_id: advertiser_id.clone(),
        products: (0..5).map(product).collect(),
    };
    let model = |name| ModelRankings {
        day,
        model: ModelName::new(name),
        rankings: active.iter().map(ranking).collect(),
    };
    DayRankings { day, models: ["TopCTR", "TopProduct"].map(model).into(), active }
}
