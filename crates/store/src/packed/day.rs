//! A published day, packed, and the same in trees.

use super::{Advertisers, Corrupt, DayStamp, PackedRankings, parts::row, ranking, ranking::Checker};
use crate::PublishedAdvertiser;
use domain::{
    AdvertiserId, Day, DayRankings, ModelName, ModelRankings, ProductId, RankedProduct, Ranking, RunId,
};
use jiff::Timestamp;
use std::collections::HashMap;

/// A run whose rankings readers see, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SeenRun {
    /// The run.
    pub run_id: RunId,
    /// Since when.
    pub published_at: Timestamp,
}

/// What is published of one day. An advertiser is a place in `advertisers`.
#[derive(Debug, Clone, PartialEq)]
pub struct PackedDay {
    /// What it was made of.
    pub stamp: DayStamp,
    /// The day.
    pub day: Day,
    /// The advertisers active on that day.
    pub advertisers: Advertisers,
    /// What readers see of some advertiser, each distinct one once.
    pub publications: Vec<SeenRun>,
    /// By place, the index into `publications`.
    pub publication_indexes: Vec<u32>,
    /// What each computed model says, in byte order of its name; also a model that ranked nothing.
    pub models: Vec<(ModelName, PackedRankings)>,
}

/// What is published of one day, in trees.
#[derive(Debug, Clone, PartialEq)]
pub struct UnpackedDay {
    /// The day.
    pub day: Day,
    /// The advertisers active on that day, in byte order.
    pub advertisers: Vec<PublishedAdvertiser>,
    /// What each computed model says, in byte order of its name; also a model that ranked nothing.
    pub models: Vec<ModelRankings>,
}

impl PackedDay {
    /// Packs a day of trees. A ranking of an advertiser that was not active is left out: nobody could ask for it.
    ///
    /// # Errors
    /// When advertisers or models are not in byte order, once each, or a ranking could not be served.
    pub fn pack(
        day: Day,
        advertisers: &[PublishedAdvertiser],
        models: &[ModelRankings],
        stamp: DayStamp,
    ) -> Result<Self, Corrupt> {
        let mut packed = Advertisers::with_capacity(advertisers.len());
        let mut publications = Publications::default();
        for of in advertisers {
            packed.push(of.advertiser_id.as_str())?;
            publications.push(SeenRun { run_id: of.run_id.clone(), published_at: of.published_at });
        }
        if !models.is_sorted_by(|one, other| one.model < other.model) {
            return Err("the models are not in byte order, once each".into());
        }
        let models = models.iter().map(|of| Ok((of.model.clone(), pack_model(of, &packed)?)));
        let models = models.collect::<Result<_, Corrupt>>()?;
        let Publications { publications, indexes, .. } = publications;
        Ok(Self { stamp, day, advertisers: packed, publications, publication_indexes: indexes, models })
    }

    /// The same in trees.
    #[must_use]
    pub fn unpack(&self) -> UnpackedDay {
        let advertisers = self.advertisers.iter().zip(&self.publication_indexes).map(|(id, index)| {
            let SeenRun { run_id, published_at } = self.publications[*index as usize].clone();
            PublishedAdvertiser { advertiser_id: advertiser(id), run_id, published_at }
        });
        let models = self.models.iter().map(|(model, packed)| {
            let rankings = self.advertisers.iter().enumerate().filter_map(|(place, id)| {
                let products: Vec<_> = packed.ranking(place).rows().map(product).collect();
                (!products.is_empty()).then(|| Ranking { advertiser_id: advertiser(id), products })
            });
            ModelRankings { day: self.day, model: model.clone(), rankings: rankings.collect() }
        });
        UnpackedDay { day: self.day, advertisers: advertisers.collect(), models: models.collect() }
    }

    /// What `model` ranked; none when it was not computed.
    #[must_use]
    pub fn rankings(&self, model: &ModelName) -> Option<&PackedRankings> {
        let found = self.models.binary_search_by(|(name, _)| name.cmp(model));
        found.ok().map(|index| &self.models[index].1)
    }

    /// What readers see of the advertiser at `place`.
    ///
    /// # Panics
    /// When there are not so many.
    #[must_use]
    pub fn publication(&self, place: usize) -> &SeenRun {
        &self.publications[self.publication_indexes[place] as usize]
    }

    /// The bytes of memory that it takes, but for a few names.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let models = self.models.iter().map(|(_, rankings)| rankings.memory_bytes());
        self.advertisers.memory_bytes()
            + self.publication_indexes.capacity() * size_of::<u32>()
            + models.sum::<usize>()
    }
}

impl UnpackedDay {
    /// Its rankings, whoever made them.
    #[must_use]
    pub fn into_rankings(self) -> DayRankings {
        let active = self.advertisers.into_iter().map(|of| of.advertiser_id).collect();
        DayRankings { day: self.day, active, models: self.models }
    }
}

/// Publications of advertisers in the order of their places, each distinct one once.
#[derive(Debug, Default)]
pub(super) struct Publications {
    pub(super) publications: Vec<SeenRun>,
    pub(super) indexes: Vec<u32>,
    index_of: HashMap<SeenRun, u32>,
}

impl Publications {
    /// Adds that of the next advertiser.
    pub(super) fn push(&mut self, seen: SeenRun) {
        let index = *self.index_of.entry(seen).or_insert_with_key(|seen| {
            self.publications.push(seen.clone());
            u32::try_from(self.publications.len() - 1).expect("advertisers have less than 4 GiB of ids")
        });
        self.indexes.push(index);
    }

    /// The next advertiser has the same as the last.
    pub(super) fn repeat(&mut self) {
        self.indexes.extend(self.indexes.last().copied());
    }
}

fn pack_model(of: &ModelRankings, advertisers: &Advertisers) -> Result<PackedRankings, Corrupt> {
    let (mut packed, mut checker) = (PackedRankings::new(advertisers.len()), Checker::default());
    for ranking in &of.rankings {
        let advertiser = &ranking.advertiser_id;
        let Some(place) = advertisers.find(advertiser.as_str()) else { continue };
        let wrong = |what: &dyn std::fmt::Display| {
            Corrupt::new(format!("the ranking of {advertiser:?} by {} {what}", of.model))
        };
        packed
            .put(place, |bytes| {
                let start = bytes.len();
                ranking::pack(ranking.products.iter().map(row), bytes);
                checker.check(&bytes[start..]).map_err(Corrupt::new)
            })
            .map_err(|error: Corrupt| wrong(&error))?;
    }
    packed.shrink();
    Ok(packed)
}

fn advertiser(id: &str) -> AdvertiserId {
    AdvertiserId::new(id).expect("advertisers have ids")
}

fn product(row: super::Row<'_>) -> RankedProduct {
    let product_id = ProductId::new(row.product_id).expect("a ranking was checked when it was packed");
    RankedProduct { product_id, score: row.score, counts: row.counts }
}
