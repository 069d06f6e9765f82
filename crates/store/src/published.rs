//! What readers see, put together from rows.
//!
//! Rows go in, in the order of their keys; days with their advertisers and rankings come out. Nothing
//! here asks a database.

use crate::{
    columns::from_columns,
    error::Failure,
    holds::{Hold, HoldRow},
};
use domain::{AdvertiserId, Counts, Day, ModelName, ModelRankings, ProductId, RankedProduct, Ranking, RunId};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What is published at one moment: never a part of one publication and a part of another.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Published {
    /// Grows with every publication that moved; 0 before any.
    pub version: i64,
    /// The newest days, newest first.
    pub days: Vec<PublishedDay>,
    /// What is held back of these days and of later ones, in order of day and advertiser.
    pub holds: Vec<PublishedHold>,
}

/// Something of a day that readers do not see, because a check held it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedHold {
    /// The day.
    pub day: Day,
    /// Whose rankings; none for all advertisers.
    pub advertiser_id: Option<AdvertiserId>,
    /// The run that made them.
    pub run_id: RunId,
    /// Why.
    pub hold: Hold,
}

impl TryFrom<HoldRow> for PublishedHold {
    type Error = Failure;

    fn try_from(row: HoldRow) -> Result<Self, Failure> {
        let id = &row.advertiser_id;
        Ok(Self {
            day: crate::ledger::day(&row.day)?,
            advertiser_id: if id.is_empty() { None } else { Some(advertiser(id)?) },
            run_id: crate::ledger::run_id(&row.run_id)?,
            hold: Hold { check: row.check_name, message: row.message },
        })
    }
}

/// What is published of one day.
#[derive(Debug, Clone, PartialEq)]
pub struct PublishedDay {
    /// The day.
    pub day: Day,
    /// The advertisers active on that day, in byte order.
    pub advertisers: Vec<PublishedAdvertiser>,
    /// What each computed model says, in byte order of its name; also a model that ranked nothing.
    pub models: Vec<ModelRankings>,
}

/// An active advertiser, and whose rankings readers see of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PublishedAdvertiser {
    /// The advertiser.
    pub advertiser_id: AdvertiserId,
    /// The run whose rankings are seen.
    pub run_id: RunId,
    /// Since when.
    pub published_at: Timestamp,
}

/// A publication as it is read.
#[derive(Debug)]
pub(crate) struct AdvertiserRow {
    pub(crate) advertiser_id: String,
    pub(crate) run_id: String,
    pub(crate) published_at: String,
}

from_columns!(AdvertiserRow { advertiser_id, run_id, published_at });

/// Builds the advertisers of a day from rows in byte order; what repeats is parsed once.
#[derive(Debug, Default)]
pub(crate) struct AdvertisersBuilder {
    advertisers: Vec<PublishedAdvertiser>,
    last: Option<(String, RunId, String, Timestamp)>,
}

impl AdvertisersBuilder {
    pub(crate) fn push(&mut self, row: AdvertiserRow) -> Result<(), Failure> {
        let is_repeated =
            self.last.as_ref().is_some_and(|last| last.0 == row.run_id && last.2 == row.published_at);
        if !is_repeated {
            let run_id = crate::ledger::run_id(&row.run_id)?;
            let published_at = crate::time::from_text(&row.published_at)?;
            self.last = Some((row.run_id, run_id, row.published_at, published_at));
        }
        let (_, run_id, _, published_at) = self.last.as_ref().expect("set just above");
        let (run_id, published_at) = (run_id.clone(), *published_at);
        let advertiser_id = advertiser(&row.advertiser_id)?;
        self.advertisers.push(PublishedAdvertiser { advertiser_id, run_id, published_at });
        Ok(())
    }

    pub(crate) fn finish(self) -> Vec<PublishedAdvertiser> {
        self.advertisers
    }
}

/// Builds a day from the rankings of the runs that its advertisers point to.
#[derive(Debug)]
pub(crate) struct DayBuilder {
    day: Day,
    advertisers: Vec<PublishedAdvertiser>,
    models: BTreeMap<ModelName, Vec<Ranking>>,
    run: Option<RunId>,
    model: Option<ModelName>,
    /// The advertiser of the last row, and whether readers see its rankings from this run.
    last: Option<(AdvertiserId, bool)>,
}

impl DayBuilder {
    pub(crate) fn new(day: Day, advertisers: Vec<PublishedAdvertiser>) -> Self {
        Self { day, advertisers, models: BTreeMap::new(), run: None, model: None, last: None }
    }

    /// The runs that the day's advertisers point to, each once.
    pub(crate) fn runs(&self) -> BTreeSet<RunId> {
        let mut runs = BTreeSet::new();
        for group in self.advertisers.chunk_by(|a, b| a.run_id == b.run_id) {
            if !runs.contains(&group[0].run_id) {
                runs.insert(group[0].run_id.clone());
            }
        }
        runs
    }

    /// Begins the rankings of `run`, which computed `models`.
    pub(crate) fn run(&mut self, run: RunId, models: Vec<ModelName>) {
        for model in models {
            self.models.entry(model).or_default();
        }
        (self.run, self.model, self.last) = (Some(run), None, None);
    }

    /// Takes a row of the run begun last; rows come by model, advertiser and rank.
    pub(crate) fn rank(
        &mut self,
        model: &str,
        advertiser_id: &str,
        product_id: &str,
        score: f64,
        counts: Counts,
    ) -> Result<(), Failure> {
        let is_next_model = self.model.as_ref().is_none_or(|last| last.as_str() != model);
        if is_next_model {
            self.model = Some(ModelName::new(model));
        }
        if is_next_model || self.last.as_ref().is_none_or(|(last, _)| last.as_str() != advertiser_id) {
            self.begin_ranking(advertiser_id)?;
        }
        let Some((_, true)) = self.last else { return Ok(()) };
        let product_id =
            ProductId::new(product_id).map_err(|_| Failure::corrupt("a product id", product_id))?;
        let model = self.model.as_ref().expect("set by the first row");
        let ranking = self.models.get_mut(model).and_then(|rankings| rankings.last_mut());
        let ranking = ranking.expect("begun by the advertiser's first row");
        ranking.products.push(RankedProduct { product_id, score, counts });
        Ok(())
    }

    fn begin_ranking(&mut self, advertiser_id: &str) -> Result<(), Failure> {
        let advertiser_id = advertiser(advertiser_id)?;
        let found = self.advertisers.binary_search_by(|known| known.advertiser_id.cmp(&advertiser_id));
        let is_seen = found.is_ok_and(|at| Some(&self.advertisers[at].run_id) == self.run.as_ref());
        if is_seen {
            let model = self.model.clone().expect("set by the first row");
            let ranking = Ranking { advertiser_id: advertiser_id.clone(), products: Vec::new() };
            self.models.entry(model).or_default().push(ranking);
        }
        self.last = Some((advertiser_id, is_seen));
        Ok(())
    }

    pub(crate) fn finish(self) -> PublishedDay {
        let day = self.day;
        let models = self.models.into_iter().map(|(model, mut rankings)| {
            // Each run came in order; several runs of one day do not come in order of each other.
            rankings.sort_by(|a, b| a.advertiser_id.cmp(&b.advertiser_id));
            ModelRankings { day, model, rankings }
        });
        PublishedDay { day, models: models.collect(), advertisers: self.advertisers }
    }
}

pub(crate) fn advertiser(text: &str) -> Result<AdvertiserId, Failure> {
    AdvertiserId::new(text).map_err(|_| Failure::corrupt("an advertiser id", text))
}
