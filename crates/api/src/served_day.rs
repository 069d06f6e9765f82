//! One published day in tables, where an advertiser is a place.
//!
//! A [`PublishedDay`] goes in; whether an advertiser was active, what is published of it and its rankings
//! come out, each without a search. Places are the snapshot's.

use crate::{
    packed::{PackedRankings, Row, Rows},
    wire::{HistoryDay, Recommendation},
};
use domain::{AdvertiserId, Counts, Day, ModelName, ModelRankings, Ranking, RunId};
use jiff::Timestamp;
use std::collections::HashMap;
use store::{PublishedAdvertiser, PublishedDay};

/// One published day, in tables by the advertiser's place.
#[derive(Debug)]
pub(crate) struct ServedDay {
    pub(crate) day: Day,
    /// In byte order of the model's name.
    pub(crate) models: Vec<(ModelName, PackedRankings)>,
    /// By place, the index into `publications` of what is published for the advertiser; none when it
    /// was not active.
    publication_indexes: Vec<Option<u32>>,
    /// Each publication once: a run publishes many advertisers at one time.
    publications: Vec<Publication>,
}

/// What readers see of an advertiser on a day.
#[derive(Debug, PartialEq, Eq, Hash, Clone)]
pub(crate) struct Publication {
    pub(crate) run_id: RunId,
    pub(crate) published_at: Timestamp,
}

impl ServedDay {
    /// Packs `day`, taking it apart; `places` has every advertiser of it.
    pub(crate) fn pack(day: PublishedDay, places: &HashMap<AdvertiserId, usize>) -> Self {
        let (publication_indexes, publications) = publications(&day.advertisers, places);
        let mut models: Vec<_> = day.models.into_iter().map(|model| pack_model(model, places)).collect();
        models.sort_by(|(left, _), (right, _)| left.cmp(right));
        Self { day: day.day, models, publication_indexes, publications }
    }

    /// What is published for the advertiser at `place`; none when it was not active.
    pub(crate) fn publication(&self, place: usize) -> Option<&Publication> {
        self.publication_indexes[place].map(|index| &self.publications[index as usize])
    }

    /// Whether the advertiser at `place` was active.
    pub(crate) fn is_active(&self, place: usize) -> bool {
        self.publication_indexes[place].is_some()
    }

    /// What `model` ranked; none when it was not computed.
    pub(crate) fn rankings(&self, model: &ModelName) -> Option<&PackedRankings> {
        self.models.iter().find(|(name, _)| name == model).map(|(_, rankings)| rankings)
    }

    /// What every model, or `only` one, ranked of the advertiser at `place`.
    pub(crate) fn history(&self, place: usize, only: Option<&ModelName>) -> HistoryDay<'_> {
        let models = self.models.iter().filter(|(model, _)| only.is_none_or(|only| only == model));
        let models = models.map(|(model, rankings)| (model, wire_rows(rankings.rows(place)))).collect();
        HistoryDay { day: self.day, models }
    }
}

/// Rows as they are sent, with their ranks.
pub(crate) fn wire_rows(rows: Rows<'_>) -> Vec<Recommendation<'_>> {
    rows.zip(1..)
        .map(|(Row { product_id, score, counts: Counts { impressions, clicks, views } }, rank)| {
            Recommendation { rank, product_id, score, impressions, clicks, views }
        })
        .collect()
}

fn publications(
    advertisers: &[PublishedAdvertiser],
    places: &HashMap<AdvertiserId, usize>,
) -> (Vec<Option<u32>>, Vec<Publication>) {
    let (mut indexes, mut publications) = (vec![None; places.len()], Vec::new());
    let mut index_of = HashMap::new();
    for advertiser in advertisers {
        let PublishedAdvertiser { run_id, published_at, .. } = advertiser;
        let publication = Publication { run_id: run_id.clone(), published_at: *published_at };
        let index = *index_of.entry(publication).or_insert_with_key(|publication| {
            publications.push(publication.clone());
            u32::try_from(publications.len() - 1).expect("a day has fewer than 2^32 advertisers")
        });
        indexes[places[&advertiser.advertiser_id]] = Some(index);
    }
    (indexes, publications)
}

fn pack_model(rankings: ModelRankings, places: &HashMap<AdvertiserId, usize>) -> (ModelName, PackedRankings) {
    // A ranking of an advertiser that is on no day's list of active ones could never be asked for.
    let place = |ranking: Ranking| Some((*places.get(&ranking.advertiser_id)?, ranking.products));
    let mut placed: Vec<_> = rankings.rankings.into_iter().filter_map(place).collect();
    placed.sort_by_key(|(place, _)| *place);
    let mut packed = PackedRankings::default();
    for (place, products) in placed {
        packed.push(place, &products);
    }
    packed.finish(places.len());
    (rankings.model, packed)
}
