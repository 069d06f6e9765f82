//! Answers kept ready: written once, sent as often as they are asked for.
//!
//! What is asked of the newest day, with all its products, has one answer as long as a snapshot is served and nothing
//! turns stale. When all such answers fit into the room there is, they are written ahead; else each is written when it
//! is first asked for, until the room is used up, and from then on anew for each request.

use crate::{answer::Found, coding::Coding, entity_tag::EntityTag, response::Coded, snapshot::Snapshot};
use axum::http::HeaderValue;
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
pub(crate) struct Ready {
    tag: EntityTag,
    identity: Kept,
    /// Compressed, once somebody has asked for it so.
    gzip: OnceLock<Kept>,
}

/// An answer with the tag of its coding behind it, in one piece.
#[derive(Debug)]
struct Kept {
    both: Bytes,
    answer_length: usize,
}

impl Ready {
    /// The value of `ETag` of the answer in that coding.
    pub(crate) fn tag(&self, coding: Coding) -> HeaderValue {
        match coding {
            Coding::Identity => self.identity.tag(),
            Coding::Gzip => self.gzip.get().map_or_else(|| self.tag.header(coding), Kept::tag),
        }
    }
}

impl Kept {
    fn new(mut answer: Vec<u8>, tag: &HeaderValue) -> Self {
        let answer_length = answer.len();
        answer.reserve_exact(tag.len());
        answer.extend_from_slice(tag.as_bytes());
        answer.shrink_to_fit();
        Self { both: answer.into(), answer_length }
    }

    fn answer(&self) -> Bytes {
        self.both.slice(..self.answer_length)
    }

    fn tag(&self) -> HeaderValue {
        HeaderValue::from_maybe_shared(self.both.slice(self.answer_length..)).expect("a tag is visible ASCII")
    }
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
                    self.ready(&found);
                }
            }
        }
    }

    /// Writes the answer to what was found, with at most `limit` products.
    pub(crate) fn write(&self, found: &Found<'_>, limit: Option<usize>, out: &mut Vec<u8>) {
        match limit {
            Some(limit) => found.write(out, limit),
            None => match self.ready(found) {
                Some(ready) => out.extend_from_slice(&ready.identity.both[..ready.identity.answer_length]),
                None => found.write(out, usize::MAX),
            },
        }
    }

    /// What is kept of the whole answer to what was found; it is written when there is room for it.
    pub(crate) fn ready(&self, found: &Found<'_>) -> Option<&Ready> {
        let Slot { model, place } = found.slot.filter(|_| found.is_stale == self.is_stale)?;
        let slot = self.models.get(model)?.get(place)?;
        if let Some(ready) = slot.get() {
            return Some(ready);
        }
        if found.length() > self.room.load(Ordering::Relaxed) {
            return None;
        }
        let tag = found.tag(None);
        let identity = Kept::new(found.to_bytes(usize::MAX), &tag.header(Coding::Identity));
        let ready = Ready { tag, identity, gzip: OnceLock::new() };
        // Another request may have written the same meanwhile.
        self.take_room(ready.identity.both.len()).then(|| &**slot.get_or_init(|| Box::new(ready)))
    }

    /// The answer in that coding, if it is worth it; compressed once, when there is room for it.
    pub(crate) fn coded(&self, ready: &Ready, coding: Coding) -> Coded {
        let identity = || Coded { bytes: ready.identity.answer(), coding: Coding::Identity };
        if coding == Coding::Identity {
            return identity();
        }
        if let Some(gzip) = ready.gzip.get() {
            return Coded { bytes: gzip.answer(), coding };
        }
        let Some(bytes) = coding.encode(&ready.identity.answer()) else { return identity() };
        let tag = ready.tag.header(coding);
        if !self.take_room(bytes.len() + tag.len()) {
            return Coded { bytes: bytes.into(), coding };
        }
        // Another request may have set the same.
        Coded { bytes: ready.gzip.get_or_init(|| Kept::new(bytes, &tag)).answer(), coding }
    }

    fn take_room(&self, bytes: usize) -> bool {
        let take = |room: usize| room.checked_sub(bytes);
        self.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}
