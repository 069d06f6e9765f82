//! Every answer is looked at here: whether it is one, of what it is, and whether it could be so by then.

use crate::{
    answers::Question,
    client::Answer,
    record::{Record, Sight},
};
use std::{
    collections::{BTreeSet, HashMap, hash_map::Entry},
    hash::{DefaultHasher, Hash, Hasher},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst},
    },
};

/// How many of the things that went wrong are told.
const TOLD: usize = 10;

/// How much of a body is told.
const BODY_CHARACTERS: usize = 500;

/// What is known of a server.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) address: String,
    /// The newest state that an answer of it was of: it must not go back.
    floor: AtomicUsize,
}

/// What an answer said, for the question to be asked again.
#[derive(Debug, Clone)]
pub(crate) struct Known {
    pub(crate) etag: String,
    sight: Arc<Sight>,
}

#[derive(Debug)]
pub(crate) struct Tally {
    pub(crate) record: Arc<Record>,
    answers: AtomicU64,
    unchanged: AtomicU64,
    connections: AtomicU64,
    bodies: Mutex<Bodies>,
    failed: Mutex<Vec<String>>,
    wrong: Mutex<Vec<String>>,
}

/// What was read already in answers to each question. Of a body only its hash is kept, of 64 bits.
#[derive(Debug, Default)]
struct Bodies {
    read: HashMap<(Question, u64), Body>,
    by_etag: HashMap<(Question, String), u64>,
}

#[derive(Debug)]
struct Body {
    sight: Arc<Sight>,
    etags: BTreeSet<String>,
}

impl Server {
    pub(crate) fn new(address: String) -> Arc<Self> {
        Arc::new(Self { address, floor: AtomicUsize::new(0) })
    }

    /// No answer to a question that is asked from now on may be of a state before this.
    pub(crate) fn floor(&self) -> usize {
        self.floor.load(SeqCst)
    }
}

impl Tally {
    pub(crate) fn new(record: Arc<Record>) -> Arc<Self> {
        Arc::new(Self {
            record,
            answers: AtomicU64::new(0),
            unchanged: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            bodies: Mutex::default(),
            failed: Mutex::default(),
            wrong: Mutex::default(),
        })
    }

    /// Looks at an answer to a question that was asked when the server's floor was this.
    pub(crate) fn take(
        &self,
        server: &Server,
        floor: usize,
        question: Question,
        known: Option<&Known>,
        answer: &Answer,
    ) -> Option<Known> {
        if !matches!(answer.status, 200 | 304) {
            self.failed(format!("{}: {}: {}", question.path(), answer.status, beginning(&answer.body)));
            return None;
        }
        match self.look_at(server, floor, question, known, answer) {
            Ok(known) => {
                self.answers.fetch_add(1, SeqCst);
                Some(known)
            }
            Err(wrong) => {
                self.note(&self.wrong, "wrong", format!("{} at {floor}: {wrong}", question.path()));
                None
            }
        }
    }

    fn look_at(
        &self,
        server: &Server,
        floor: usize,
        question: Question,
        known: Option<&Known>,
        answer: &Answer,
    ) -> Result<Known, String> {
        let etag = answer.etag.clone().ok_or("it has no ETag")?;
        let is_known = known.is_some_and(|known| known.etag == etag);
        if is_known != (answer.status == 304) {
            return Err(format!("{} with {etag}, and {known:?} was known", answer.status));
        }
        let sight = match known.filter(|_| is_known) {
            Some(known) => {
                self.unchanged.fetch_add(1, SeqCst);
                known.sight.clone()
            }
            None => self.bodies.lock().unwrap().read(&self.record, question, &etag, &answer.body)?,
        };
        let found = self.record.find(&sight, floor);
        let found = found.ok_or_else(|| {
            let before = self.record.find(&sight, 0);
            format!("{sight:?} is of no state from {floor} to {}, but of {before:?}", self.record.last())
        })?;
        server.floor.fetch_max(found, SeqCst);
        Ok(Known { etag, sight })
    }

    /// A question has got no answer, or none that is one.
    pub(crate) fn failed(&self, what: String) {
        self.note(&self.failed, "failed", what);
    }

    pub(crate) fn connected(&self) {
        self.connections.fetch_add(1, SeqCst);
    }

    pub(crate) fn answers(&self) -> u64 {
        self.answers.load(SeqCst)
    }

    /// Nothing has failed and nothing was wrong so far.
    #[track_caller]
    pub(crate) fn is_well(&self) {
        let [failed, wrong] = [&self.failed, &self.wrong].map(|what| what.lock().unwrap().len());
        let told = format!("{failed} failed and {wrong} wrong of {} answers", self.answers());
        let first =
            |what: &Mutex<Vec<String>>| what.lock().unwrap().iter().take(TOLD).cloned().collect::<Vec<_>>();
        assert!(failed + wrong == 0, "{told}: {:#?} {:#?}", first(&self.failed), first(&self.wrong));
    }

    /// In a line.
    pub(crate) fn summary(&self) -> String {
        format!(
            "{} answers ({} unchanged) on {} connections, {} failed, {} wrong",
            self.answers(),
            self.unchanged.load(SeqCst),
            self.connections.load(SeqCst),
            self.failed.lock().unwrap().len(),
            self.wrong.lock().unwrap().len(),
        )
    }

    fn note(&self, of: &Mutex<Vec<String>>, kind: &str, what: String) {
        let mut of = of.lock().unwrap();
        if of.len() < TOLD {
            println!("{kind}: {what}");
        }
        of.push(what);
    }
}

impl Bodies {
    /// What the body shows. Its tag must be that of no other answer to the question; it has as many tags as states that show it,
    /// since a tag may follow from the state.
    fn read(
        &mut self,
        record: &Record,
        question: Question,
        etag: &str,
        body: &[u8],
    ) -> Result<Arc<Sight>, String> {
        let mut hasher = DefaultHasher::new();
        body.hash(&mut hasher);
        let hash = hasher.finish();
        if *self.by_etag.entry((question, etag.to_owned())).or_insert(hash) != hash {
            return Err(format!("another body had {etag}"));
        }
        let body = match self.read.entry((question, hash)) {
            Entry::Occupied(read) => read.into_mut(),
            Entry::Vacant(vacant) => {
                let sight = question.read(body).map_err(|wrong| format!("{wrong}: {}", beginning(body)))?;
                vacant.insert(Body { sight: Arc::new(sight), etags: BTreeSet::new() })
            }
        };
        if body.etags.insert(etag.to_owned()) && body.etags.len() > record.times(&body.sight) {
            return Err(format!("the same body had other tags, and has {etag}: {:?}", body.etags));
        }
        Ok(body.sight.clone())
    }
}

fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(body).chars().take(BODY_CHARACTERS).collect()
}
