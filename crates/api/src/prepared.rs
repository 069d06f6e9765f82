//! Answers kept ready: written once, sent as often as they are asked for.
//!
//! What is asked of the newest day, with all its products, has one answer as long as a snapshot is served and nothing
//! turns stale. When all such answers fit into the room there is, they are written ahead; else each is written when it
//! is first asked for, until the room is used up, and from then on anew for each request.

use crate::{answer::Found, coding::Coding, response::Coded, snapshot::Snapshot};
use bytes::Bytes;
use std::sync::{
    OnceLock,
    atomic::{AtomicUsize, Ordering},
};

/// The answers of one snapshot, stale or not.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) is_stale: bool,
    /// Of each model of the newest day, by the advertiser's place.
    models: Vec<Box<[OnceLock<Box<Ready>>]>>,
    /// Bytes that may still be taken.
    room: AtomicUsize,
}

/// An answer that is ready to be sent.
#[derive(Debug)]
struct Ready {
    identity: Bytes,
    /// Compressed, once somebody has asked for it so.
    gzip: OnceLock<Bytes>,
}

/// The answer to a question that is asked most: of one ranking of the newest day, whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Slot {
    /// The model's index on the newest day.
    pub(crate) model: usize,
    pub(crate) place: usize,
}

impl Prepared {
    /// Room of so many bytes for answers of `snapshot`, none of them written yet.
    pub(crate) fn new(snapshot: &Snapshot, is_stale: bool, room: usize) -> Self {
        let newest = snapshot.served_days().first().filter(|_| room > 0);
        let slots = |active: usize| (0..active).map(|_| OnceLock::new()).collect();
        let models = newest.map_or_else(Vec::new, |day| day.models().map(|_| slots(day.active())).collect());
        Self { is_stale, models, room: AtomicUsize::new(room) }
    }

    /// Writes all answers, when there is room for them.
    pub(crate) fn fill(&self, snapshot: &Snapshot) {
        let Some(newest) = snapshot.served_days().first() else { return };
        let all = newest
            .rankings()
            .iter()
            .flat_map(|(_, rankings)| (0..newest.active()).map(|place| rankings.ranking(place)));
        let about: usize =
            all.filter(|ranking| !ranking.is_empty()).map(|ranking| Found::length_of(ranking)).sum();
        if about > self.room.load(Ordering::Relaxed) {
            return;
        }
        for place in 0..newest.active() {
            for (model, _) in newest.rankings() {
                if let Ok(found) =
                    snapshot.find(newest.advertiser(place), model.as_str(), None, self.is_stale)
                {
                    self.whole(&found, Coding::Identity);
                }
            }
        }
    }

    /// The whole answer to what was found.
    pub(crate) fn whole(&self, found: &Found<'_>, coding: Coding) -> Coded {
        let slot = found.slot.and_then(|Slot { model, place }| self.models.get(model)?.get(place));
        let slot = slot.filter(|_| found.is_stale == self.is_stale);
        if let Some(ready) = slot.and_then(OnceLock::get) {
            return self.coded(ready, coding);
        }
        let mut answer = found.to_bytes(usize::MAX);
        match slot.filter(|_| self.take_room(answer.len())) {
            None => Coded::once(answer, coding),
            Some(slot) => {
                answer.shrink_to_fit();
                let ready = Ready { identity: answer.into(), gzip: OnceLock::new() };
                // Another request may have written the same meanwhile.
                self.coded(slot.get_or_init(|| Box::new(ready)), coding)
            }
        }
    }

    fn coded(&self, ready: &Ready, coding: Coding) -> Coded {
        if coding == Coding::Identity {
            return Coded { bytes: ready.identity.clone(), coding };
        }
        if let Some(bytes) = ready.gzip.get() {
            return Coded { bytes: bytes.clone(), coding };
        }
        match coding.encode(&ready.identity) {
            None => Coded { bytes: ready.identity.clone(), coding: Coding::Identity },
            Some(bytes) => {
                if self.take_room(bytes.len()) {
                    let _ = ready.gzip.set(bytes.clone()); // another request may have set the same
                }
                Coded { bytes, coding }
            }
        }
    }

    fn take_room(&self, bytes: usize) -> bool {
        let take = |room: usize| room.checked_sub(bytes);
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}
