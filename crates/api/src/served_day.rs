//! One published day as it is served: what the store gave, an index of its advertisers, and what answers say of each
//! publication, spelled out.
//!
//! A [`PackedDay`] goes in; places, rankings and ready pieces of answers come out, each without a search. Days are
//! immutable and shared by all snapshots that serve them.

use crate::entity_tag::EntityTag;
use domain::{Day, ModelName, RunId};
use hashbrown::{DefaultHashBuilder, HashTable};
use jiff::Timestamp;
use std::hash::BuildHasher;
use store::{DayStamp, PackedDay, PackedRanking, PackedRankings};

/// One published day, ready to be read.
#[derive(Debug)]
pub(crate) struct ServedDay {
    packed: PackedDay,
    /// Places, by the advertiser.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// In the order of the day's publications.
    seen: Vec<Seen>,
}

/// What readers see of the advertisers that one run published at one moment.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) run_id: RunId,
    pub(crate) published_at: Timestamp,
    /// How an answer goes on after its model: the day, the run, when it was published, and `"stale":`.
    pub(crate) middle: String,
    /// Of answers that are not stale, and of those that are.
    pub(crate) tags: [EntityTag; 2],
    /// Of all that the day's models say of an advertiser.
    pub(crate) history_tag: [u8; 32],
}

impl ServedDay {
    /// Makes `packed` ready.
    pub(crate) fn new(packed: PackedDay) -> Self {
        let hasher = DefaultHashBuilder::default();
        let mut index = HashTable::with_capacity(packed.advertisers.len());
        for (place, advertiser) in (0..).zip(packed.advertisers.iter()) {
            let hash = |place: &u32| hasher.hash_one(packed.advertisers.get(*place as usize));
            index.insert_unique(hasher.hash_one(advertiser), place, hash);
        }
        let seen = packed.publications.iter().map(|seen| Seen::of(&packed, &seen.run_id, seen.published_at));
        let seen = seen.collect();
        Self { index, hasher, seen, packed }
    }

    pub(crate) fn day(&self) -> Day {
        self.packed.day
    }

    pub(crate) fn packed(&self) -> &PackedDay {
        &self.packed
    }

    pub(crate) fn stamp(&self) -> &DayStamp {
        &self.packed.stamp
    }

    /// How many advertisers were active.
    pub(crate) fn active(&self) -> usize {
        self.packed.advertisers.len()
    }

    /// How many rankings there are, of all models.
    pub(crate) fn ranking_count(&self) -> usize {
        self.rankings().iter().map(|(_, rankings)| rankings.ranking_count()).sum()
    }

    /// The place of an advertiser; none when it was not active, as far as readers see.
    pub(crate) fn place(&self, advertiser: &str) -> Option<usize> {
        let is_it = |place: &u32| self.advertiser(*place as usize) == advertiser;
        self.index.find(self.hasher.hash_one(advertiser), is_it).map(|place| *place as usize)
    }

    pub(crate) fn advertiser(&self, place: usize) -> &str {
        self.packed.advertisers.get(place)
    }

    /// What is published of the advertiser at `place`.
    pub(crate) fn seen(&self, place: usize) -> &Seen {
        &self.seen[self.packed.publication_indexes[place] as usize]
    }

    /// The models computed, in byte order of their names.
    pub(crate) fn models(&self) -> impl Iterator<Item = &ModelName> {
        self.packed.models.iter().map(|(model, _)| model)
    }

    /// Each model computed with what it ranked, in byte order of its name.
    pub(crate) fn rankings(&self) -> &[(ModelName, PackedRankings)] {
        &self.packed.models
    }

    /// What `model` ranked; none when it was not computed.
    pub(crate) fn rankings_by(&self, model: &ModelName) -> Option<&PackedRankings> {
        self.model_index(model).map(|index| &self.rankings()[index].1)
    }

    /// Where the rankings by `model` are; none when it was not computed.
    pub(crate) fn model_index(&self, model: &ModelName) -> Option<usize> {
        self.rankings().iter().position(|(name, _)| name == model)
    }

    /// What every model, or `only` one, ranked of the advertiser at `place`.
    pub(crate) fn rankings_of<'a>(
        &'a self,
        place: usize,
        only: Option<&'a ModelName>,
    ) -> impl Iterator<Item = (&'a ModelName, PackedRanking<'a>)> {
        let models = self.rankings().iter().filter(move |(model, _)| only.is_none_or(|only| only == model));
        models.map(move |(model, rankings)| (model, rankings.ranking(place)))
    }
}

impl Seen {
    fn of(packed: &PackedDay, run_id: &RunId, published_at: Timestamp) -> Self {
        let day = packed.day;
        let middle =
            format!(r#","day":"{day}","run_id":"{run_id}","published_at":"{published_at}","stale":"#);
        let tags = [false, true].map(|is_stale| EntityTag::of([&middle, &is_stale.to_string()]));
        let models = packed.models.iter().map(|(model, _)| model.as_str());
        let history_tag = EntityTag::digest([middle.as_str()].into_iter().chain(models));
        Self { run_id: run_id.clone(), published_at, middle, tags, history_tag }
    }
}
