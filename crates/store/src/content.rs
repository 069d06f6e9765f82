//! What a run publishes, checked and named by a digest before a database sees any of it.
//!
//! Rankings go in; the same rankings come out with their digest, or the reason why no database could
//! give them back as they are. Nothing here does I/O.

use crate::{
    columns::from_columns,
    error::StoreError,
    holds::{Hold, Holds},
    moves::TAKEN_BACK,
    packed::{self, first_twice},
};
use domain::{AdvertiserId, Counts, DayRankings, ModelRankings, RankedProduct, Ranking};
use sha2::{Digest, Sha256};
use std::{borrow::Cow, collections::HashSet};

/// What a run made of a day.
#[derive(Debug, Clone, Copy)]
pub struct NewPublication<'a> {
    /// Its rankings.
    pub rankings: &'a DayRankings,
    /// What each active advertiser's events came to, in the order of `rankings.active`.
    pub totals: &'a [Counts],
    /// What of it readers must not see.
    pub holds: &'a Holds,
}

/// Rankings that can be stored, with the digest that tells whether readers see them already.
#[derive(Debug, Clone)]
pub(crate) struct Content<'a> {
    rankings: &'a DayRankings,
    totals: &'a [Counts],
    holds: Cow<'a, Holds>,
    digest: [u8; 32],
}

impl<'a> Content<'a> {
    /// Checks what is `new` and computes the digest of its rankings.
    pub(crate) fn new(new: NewPublication<'a>) -> Result<Self, StoreError> {
        let NewPublication { rankings, totals, holds } = new;
        check(rankings)?;
        let inconsistent = |what: String| StoreError::Inconsistent { day: rankings.day, what };
        if totals.len() != rankings.active.len() {
            return Err(inconsistent("there are not as many totals as active advertisers".into()));
        }
        let is_active = |advertiser| rankings.active.binary_search(advertiser).is_ok();
        if let Some(advertiser) = holds.advertisers.keys().find(|advertiser| !is_active(*advertiser)) {
            return Err(inconsistent(format!("advertiser {advertiser:?} is held and not active")));
        }
        Ok(Self { rankings, totals, holds: Cow::Borrowed(holds), digest: digest(rankings) })
    }

    /// What is held back.
    pub(crate) fn holds(&self) -> &Holds {
        &self.holds
    }

    /// What is held back, when all else is done.
    pub(crate) fn into_holds(self) -> Holds {
        self.holds.into_owned()
    }

    /// The same, without the holds of advertisers of whom readers see exactly this already: someone has
    /// accepted it.
    pub(crate) fn without_accepted(mut self, seen: &[String]) -> Self {
        let is_held = |advertiser: &String| self.holds.advertisers.contains_key(advertiser.as_str());
        if seen.iter().any(is_held) {
            let holds = self.holds.to_mut();
            seen.iter().for_each(|advertiser| drop(holds.advertisers.remove(advertiser.as_str())));
        }
        self
    }

    /// The same, with the holds of what someone has taken back that was exactly this: of advertisers, or of all
    /// by an empty id.
    pub(crate) fn with_taken_back(mut self, taken_back: Vec<(String, String)>) -> Self {
        for (advertiser, message) in taken_back {
            let hold = Hold { check: TAKEN_BACK.to_owned(), message };
            if advertiser.is_empty() {
                // Each is held by what holds all.
                self.holds = Cow::Owned(Holds { all: Some(hold), ..Holds::default() });
                break;
            }
            let active = &self.rankings.active;
            if let Ok(index) = active.binary_search_by(|active| active.as_str().cmp(&advertiser)) {
                self.holds.to_mut().advertisers.insert(active[index].clone(), hold);
            }
        }
        self
    }

    /// The advertiser's ranking by each model, as rows of the database; no row when there is none.
    pub(crate) fn rankings_of(&self, advertiser: &str) -> impl Iterator<Item = (&'a str, Vec<RankedRow>)> {
        self.rankings.models.iter().map(move |of| {
            let found =
                of.rankings.binary_search_by(|ranking| ranking.advertiser_id.as_str().cmp(advertiser));
            let ranking = found.ok().map(|index| &of.rankings[index]);
            let rows = ranking.into_iter().flat_map(|ranking| ranking_rows(of.model.as_str(), ranking));
            (of.model.as_str(), rows.map(RankedRow::of).collect())
        })
    }

    /// The active advertisers whose rankings readers shall see.
    pub(crate) fn seen(&self) -> impl Iterator<Item = &AdvertiserId> {
        self.rankings.active.iter().filter(|advertiser| self.holds.lets(advertiser))
    }

    /// The rows of `advertiser_totals`: the advertiser, with impressions, clicks and views.
    pub(crate) fn totals(&self) -> impl Iterator<Item = (&'a str, [i64; 3])> + use<'a> {
        self.rankings.active.iter().zip(self.totals).map(|(advertiser, totals)| {
            let Counts { impressions, clicks, views } = *totals;
            // More than a column holds is more than any machine counts in a day.
            let counts = [impressions, clicks, views].map(|count| i64::try_from(count).unwrap_or(i64::MAX));
            (advertiser.as_str(), counts)
        })
    }

    pub(crate) fn rankings(&self) -> &'a DayRankings {
        self.rankings
    }

    /// SHA-256 of the whole content, in hexadecimal.
    pub(crate) fn digest(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// The names of the models computed, as a JSON array.
    pub(crate) fn models_json(&self) -> String {
        let names: Vec<_> = self.rankings.models.iter().map(|model| model.model.as_str()).collect();
        serde_json::Value::from(names).to_string()
    }

    /// The rankings by each model in parts, as `packed_rankings` keeps them.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'a str, Vec<Vec<u8>>)> + use<'a> {
        self.rankings.models.iter().map(|of| (of.model.as_str(), packed::parts(&of.rankings)))
    }

    /// The rows of `rankings`, in the order of their key.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row<'a>> + use<'a> {
        self.rankings.models.iter().flat_map(|of| {
            let model = of.model.as_str();
            of.rankings.iter().flat_map(move |ranking| ranking_rows(model, ranking))
        })
    }
}

/// A row of `rankings`, without its run and day.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row<'a> {
    pub(crate) model: &'a str,
    pub(crate) advertiser_id: &'a str,
    pub(crate) rank: i32,
    pub(crate) product_id: &'a str,
    pub(crate) score: f64,
    pub(crate) impressions: i64,
    pub(crate) clicks: i64,
    pub(crate) views: i64,
}

/// A ranked product as it is read, to be compared.
#[derive(Debug, PartialEq)]
pub(crate) struct RankedRow {
    product_id: String,
    score: f64,
    impressions: i64,
    clicks: i64,
    views: i64,
}

impl RankedRow {
    fn of(row: Row<'_>) -> Self {
        let Row { score, impressions, clicks, views, .. } = row;
        Self { product_id: row.product_id.to_owned(), score, impressions, clicks, views }
    }
}

impl<'r, R: sqlx::Row> sqlx::FromRow<'r, R> for RankedRow
where
    &'static str: sqlx::ColumnIndex<R>,
    String: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    i64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
    f64: sqlx::Decode<'r, R::Database> + sqlx::Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self {
            product_id: row.try_get("product_id")?,
            score: row.try_get("score")?,
            impressions: row.try_get("impressions")?,
            clicks: row.try_get("clicks")?,
            views: row.try_get("views")?,
        })
    }
}

/// A ranking of one advertiser that was taken back, as it is read.
#[derive(Debug)]
pub(crate) struct TakenBack {
    pub(crate) advertiser_id: String,
    pub(crate) run_id: String,
    pub(crate) message: String,
    /// The run that readers see of the advertiser.
    pub(crate) seen_run_id: Option<String>,
    /// How often they have come to see the run again since.
    pub(crate) seen_again: i64,
}

from_columns!(TakenBack { advertiser_id, run_id, message, seen_run_id, seen_again });

/// What was taken back and not seen again. The same comes back by several runs, each held with the same words: once
/// readers have seen it by one of them, it is seen.
pub(crate) fn remembered(taken_back: Vec<TakenBack>) -> impl Iterator<Item = TakenBack> {
    let words = |of: &TakenBack| (of.advertiser_id.clone(), of.message.clone());
    let seen: HashSet<_> = taken_back.iter().filter(|of| of.seen_again > 0).map(words).collect();
    taken_back.into_iter().filter(move |of| !seen.contains(&words(of)))
}

fn ranking_rows<'a>(model: &'a str, ranking: &'a Ranking) -> impl Iterator<Item = Row<'a>> {
    (1..).zip(&ranking.products).map(move |(rank, product)| Row {
        model,
        advertiser_id: ranking.advertiser_id.as_str(),
        rank,
        product_id: product.product_id.as_str(),
        score: score(product),
        impressions: product.counts.impressions.cast_signed(),
        clicks: product.counts.clicks.cast_signed(),
        views: product.counts.views.cast_signed(),
    })
}

/// The score without a negative zero, which SQLite does not keep and which equals zero.
fn score(product: &RankedProduct) -> f64 {
    product.score + 0.0
}

fn check(rankings: &DayRankings) -> Result<(), StoreError> {
    let day = rankings.day;
    let inconsistent = |what: String| StoreError::Inconsistent { day, what };
    if !rankings.active.is_sorted_by(|a, b| a < b) {
        return Err(inconsistent("the active advertisers are not in byte order, once each".into()));
    }
    if !rankings.models.is_sorted_by(|a, b| a.model < b.model) {
        return Err(inconsistent("the models are not in byte order, once each".into()));
    }
    for advertiser in &rankings.active {
        refuse_nul(advertiser.as_str(), || format!("advertiser {advertiser:?}"))?;
    }
    for model in &rankings.models {
        if model.day != day {
            return Err(inconsistent(format!("{} ranked {}", model.model, model.day)));
        }
        refuse_nul(model.model.as_str(), || format!("model {:?}", model.model.as_str()))?;
        check_model(rankings, model)?;
    }
    Ok(())
}

fn check_model(rankings: &DayRankings, model: &ModelRankings) -> Result<(), StoreError> {
    let inconsistent = |what: String| {
        let what = format!("{} {what}", model.model);
        StoreError::Inconsistent { day: rankings.day, what }
    };
    if !model.rankings.is_sorted_by(|a, b| a.advertiser_id < b.advertiser_id) {
        return Err(inconsistent("does not rank advertisers in byte order, once each".into()));
    }
    let mut active = rankings.active.iter();
    for ranking in &model.rankings {
        let advertiser = &ranking.advertiser_id;
        // Both are in byte order, so one walk over the active finds every ranked advertiser.
        if !active.any(|active| active == advertiser) {
            return Err(inconsistent(format!("ranks advertiser {advertiser:?}, which is not active")));
        }
        if ranking.products.is_empty() {
            return Err(inconsistent(format!("has an empty ranking for advertiser {advertiser:?}")));
        }
        if let Some(twice) = first_twice(ranking.products.iter().map(|product| product.product_id.as_str())) {
            return Err(inconsistent(format!("ranks product {twice:?} of advertiser {advertiser:?} twice")));
        }
        for product in &ranking.products {
            if !product.score.is_finite() {
                let id = &product.product_id;
                return Err(inconsistent(format!(
                    "scores product {id:?} of {advertiser:?} {}",
                    product.score
                )));
            }
            check_product(ranking, product)?;
        }
    }
    Ok(())
}

fn check_product(ranking: &Ranking, product: &RankedProduct) -> Result<(), StoreError> {
    let (advertiser, id) = (&ranking.advertiser_id, &product.product_id);
    refuse_nul(id.as_str(), || format!("product {id:?} of advertiser {advertiser:?}"))?;
    let counts = product.counts;
    for (column, count) in
        [("impressions", counts.impressions), ("clicks", counts.clicks), ("views", counts.views)]
    {
        if i64::try_from(count).is_err() {
            let (advertiser_id, product_id) = (advertiser.clone(), id.to_string());
            return Err(StoreError::CountTooLarge { column, count, advertiser_id, product_id });
        }
    }
    Ok(())
}

fn refuse_nul(id: &str, what: impl FnOnce() -> String) -> Result<(), StoreError> {
    if id.contains('\0') { Err(StoreError::NulCharacter { what: what() }) } else { Ok(()) }
}

/// SHA-256 over every field, each text after its length and each list after its number of items, so
/// that no two contents give the same bytes.
fn digest(rankings: &DayRankings) -> [u8; 32] {
    let mut hash = Fields(Sha256::new());
    hash.text("topshelf rankings 1");
    hash.text(&rankings.day.to_string());
    hash.length(rankings.active.len());
    rankings.active.iter().for_each(|advertiser| hash.text(advertiser.as_str()));
    hash.length(rankings.models.len());
    for model in &rankings.models {
        hash.text(model.model.as_str());
        hash.length(model.rankings.len());
        model.rankings.iter().for_each(|ranking| hash.ranking(ranking));
    }
    hash.0.finalize().into()
}

struct Fields(Sha256);

impl Fields {
    fn ranking(&mut self, ranking: &Ranking) {
        self.text(ranking.advertiser_id.as_str());
        self.length(ranking.products.len());
        for product in &ranking.products {
            self.text(product.product_id.as_str());
            self.number(score(product).to_bits());
            self.number(product.counts.impressions);
            self.number(product.counts.clicks);
            self.number(product.counts.views);
        }
    }

    fn text(&mut self, text: &str) {
        self.length(text.len());
        self.0.update(text);
    }

    fn length(&mut self, length: usize) {
        self.number(length as u64);
    }

    fn number(&mut self, number: u64) {
        self.0.update(number.to_le_bytes());
    }
}
