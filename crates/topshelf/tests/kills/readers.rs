//! Readers that never stop asking: one the API, one the views. Each answer must be of one version, wholly,
//! and none older than the answer before.

use crate::{
    database::Database,
    scene::DAY,
    service::get,
    version::{ADVERTISERS, DAY_BEFORE, MODELS, Version, ranking_in},
};
use serde_json::Value;
use std::{
    panic::resume_unwind,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Longer than a server takes to follow a publication on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Between an answer and the next question: readers leave the processor to the run that they watch.
const PAUSE: Duration = Duration::from_millis(10);

/// Both rankings of all advertisers in one statement, a product a line.
pub(crate) fn views_sql() -> String {
    let of =
        |(model, view): (&str, &str)| format!("SELECT '{model}' AS model, * FROM {view} WHERE day = '{DAY}'");
    let [ctr, product] = [(MODELS[0], "top_ctr"), (MODELS[1], "top_product")].map(of);
    format!(
        "SELECT model || ' ' || advertiser_id || ' ' || rank || ' ' || product_id || ' ' || impressions
                || ' ' || clicks || ' ' || views
         FROM ({ctr} UNION ALL {product}) AS published ORDER BY model, advertiser_id, rank"
    )
}

/// The readers of what a night publishes.
pub(crate) struct Readers {
    latest: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
    readers: Vec<(Arc<Seen>, Option<JoinHandle<()>>)>,
}

/// What a reader has seen by now.
#[derive(Debug)]
struct Seen {
    newest: AtomicU32,
    answers: AtomicU64,
}

impl Readers {
    /// Readers at a server and at a database where `version` is published.
    pub(crate) fn start(address: &str, database: &Database, version: Version) -> Self {
        let mut readers = Self::of_server(address, version);
        let mut prompt = database.prompt();
        let sql = views_sql();
        readers.begin(version, move |sight| {
            let rows = prompt.rows(&sql);
            sight.is_of("the views", &rows, Version::views);
        });
        readers
    }

    /// Readers at a server alone, which goes on answering while its database is away.
    pub(crate) fn of_server(address: &str, version: Version) -> Self {
        let latest = Arc::new(AtomicU32::new(version.0));
        let mut readers = Self { latest, is_over: Arc::default(), readers: Vec::new() };
        let address = address.to_owned();
        readers.begin(version, move |sight| {
            read_api(&address, sight);
        });
        readers
    }

    fn begin(&mut self, version: Version, mut ask: impl FnMut(&mut Sight) + Send + 'static) {
        let seen = Arc::new(Seen { newest: version.0.into(), answers: 0.into() });
        let mut sight = Sight { latest: self.latest.clone(), oldest: version, seen: seen.clone() };
        let is_over = self.is_over.clone();
        let thread = thread::spawn(move || {
            while !is_over.load(SeqCst) {
                ask(&mut sight);
            }
        });
        self.readers.push((seen, Some(thread)));
    }

    /// From now on readers may see this version.
    pub(crate) fn may_see(&self, version: Version) {
        self.latest.store(version.0, SeqCst);
    }

    /// Fails when a reader did.
    pub(crate) fn are_content(&mut self) {
        for (_, thread) in &mut self.readers {
            if let Some(ended) = thread.take_if(|thread| thread.is_finished()) {
                ended.join().unwrap_or_else(|panic| resume_unwind(panic));
            }
        }
    }

    /// Waits until all see the version.
    pub(crate) fn until_all_see(&mut self, version: Version) {
        let begun = Instant::now();
        while self.readers.iter().any(|(seen, _)| seen.newest.load(SeqCst) != version.0) {
            self.are_content();
            let seen: Vec<_> = self.readers.iter().map(|(seen, _)| seen).collect();
            assert!(begun.elapsed() < PATIENCE, "not all see {version:?}: {seen:?}");
            thread::sleep(PAUSE);
        }
    }

    /// How many answers they got.
    pub(crate) fn answers(&self) -> u64 {
        self.readers.iter().map(|(seen, _)| seen.answers.load(SeqCst)).sum()
    }
}

impl Drop for Readers {
    fn drop(&mut self) {
        self.is_over.store(true, SeqCst);
        for (_, thread) in &mut self.readers {
            // Whether it failed was asked before; here the test may be failing already.
            thread.take().map(JoinHandle::join);
        }
    }
}

/// What a reader can see at the moment.
struct Sight {
    latest: Arc<AtomicU32>,
    oldest: Version,
    seen: Arc<Seen>,
}

impl Sight {
    /// Finds the version that the answer is of: not older than the answer before, not newer than there is. Then
    /// pauses.
    #[track_caller]
    fn is_of<T: PartialEq + std::fmt::Debug>(
        &mut self,
        question: &str,
        answer: &T,
        told: impl Fn(Version) -> T,
    ) {
        let latest = self.latest.load(SeqCst);
        let found = (self.oldest.0..=latest).map(Version).find(|version| told(*version) == *answer);
        self.oldest = found.unwrap_or_else(|| {
            panic!("{question}: of no version from {} to {latest}: {answer:#?}", self.oldest.0)
        });
        self.seen.newest.store(self.oldest.0, SeqCst);
        self.seen.answers.fetch_add(1, SeqCst);
        thread::sleep(PAUSE);
    }
}

/// Asks every question once.
fn read_api(address: &str, sight: &mut Sight) {
    let ask = |path: &str| {
        let (code, body) = get(address, path);
        assert_eq!(code, 200, "{path}: {body}");
        serde_json::from_str::<Value>(&body).unwrap()
    };
    for advertiser in 0..ADVERTISERS {
        for model in MODELS {
            let path = format!("/recommendations/a{advertiser}/{model}");
            let answer = ask(&path);
            assert_eq!(answer["day"], DAY, "{answer}");
            sight.is_of(&path, &ranking_in(&answer["recommendations"]), |version| version.ranking(model));
        }
        let path = format!("/history/a{advertiser}/");
        let answer = ask(&path);
        let [day, before] = &answer["days"].as_array().unwrap()[..] else { panic!("{path}: {answer}") };
        let rankings = |answer: &Value| MODELS.map(|model| ranking_in(&answer["models"][model]));
        let of = |version: Version| MODELS.map(|model| version.ranking(model));
        assert_eq!((&day["day"], &before["day"]), (&DAY.into(), &DAY_BEFORE.into()));
        assert_eq!(rankings(before), of(Version::OF_DAY_BEFORE), "{path}: the day before");
        sight.is_of(&path, &rankings(day), of);
    }
    let mut answer = ask("/stats/");
    // What waits to be accepted is of the next version while readers see the one before.
    answer["advertisers"].as_object_mut().unwrap().remove("held");
    sight.is_of("/stats/", &answer, Version::stats);
}
