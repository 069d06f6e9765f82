//! What readers see, put together from rows.
//!
//! Rows go in, in the order of their keys; days with their advertisers and rankings come out. Nothing
//! here asks a database.

use crate::{
    columns::from_columns,
    error::Failure,
    holds::{Hold, HoldRow},
    moves::PIN,
};
use domain::{
    AdvertiserId, Counts, Day, DayRankings, ModelName, ModelRankings, ProductId, RankedProduct, Ranking,
    RunId,
};
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};

/// What is published at one moment: never a part of one publication and a part of another.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Published {
    /// Grows with every publication that moved; 0 before any.
    pub version: i64,
    /// The newest days, newest first.
    pub days: Vec<PublishedDay>,
    /// Other days, newest first, with nothing but what is seen last of advertisers that are held back on the
    /// newest days and not seen on any of them, or that are pinned to another day.
    pub older: Vec<PublishedDay>,
    /// Who is pinned, in byte order; of each, what it is pinned to is in `days` or `older`.
    pub pins: Vec<Pin>,
    /// What is held back of these days and of later ones, in order of day and advertiser; also what a pin keeps
    /// from being seen.
    pub holds: Vec<PublishedHold>,
}

/// An advertiser of whom readers see what a run made of its day, and nothing of later days.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pin {
    /// The advertiser.
    pub advertiser_id: AdvertiserId,
    /// The day of the run.
    pub day: Day,
    /// The run.
    pub run_id: RunId,
    /// Why.
    pub reason: String,
    /// Since when.
    pub pinned_at: Timestamp,
}

/// A pin as it is read.
#[derive(Debug)]
pub(crate) struct PinRow {
    advertiser_id: String,
    day: String,
    run_id: String,
    reason: String,
    pinned_at: String,
}

from_columns!(PinRow { advertiser_id, day, run_id, reason, pinned_at });

impl TryFrom<PinRow> for Pin {
    type Error = Failure;

    fn try_from(row: PinRow) -> Result<Self, Failure> {
        Ok(Self {
            advertiser_id: advertiser(&row.advertiser_id)?,
            day: crate::ledger::day(&row.day)?,
            run_id: crate::ledger::run_id(&row.run_id)?,
            reason: row.reason,
            pinned_at: crate::time::from_text(&row.pinned_at)?,
        })
    }
}

/// Puts `pins`, in byte order of their advertisers, into what is published of `day`. What they keep from being
/// seen comes out as held back.
pub(crate) fn pinned(
    pins: &[Pin],
    day: Day,
    advertisers: Vec<PublishedAdvertiser>,
) -> (Vec<PublishedAdvertiser>, Vec<PublishedHold>) {
    let pin_of = |of: &PublishedAdvertiser| {
        let found = pins.binary_search_by(|pin| pin.advertiser_id.cmp(&of.advertiser_id));
        found.ok().map(|index| &pins[index]).filter(|pin| pin.day <= day)
    };
    let mut hidden = Vec::new();
    let mut seen = advertisers;
    seen.retain(|of| {
        let pin = pin_of(of);
        if let Some(pin) = pin.filter(|pin| pin.run_id != of.run_id) {
            hidden.push(pin.hides(day, &of.run_id));
        }
        pin.is_none()
    });
    seen.extend(pins.iter().filter(|pin| pin.day == day).map(Pin::seen));
    seen.sort_by(|a, b| a.advertiser_id.cmp(&b.advertiser_id));
    (seen, hidden)
}

impl Pin {
    /// What readers see by it.
    pub(crate) fn seen(&self) -> PublishedAdvertiser {
        let Self { advertiser_id, run_id, pinned_at, .. } = self.clone();
        PublishedAdvertiser { advertiser_id, run_id, published_at: pinned_at }
    }

    fn hides(&self, day: Day, run_id: &RunId) -> PublishedHold {
        let because = if self.reason.is_empty() { "" } else { ": " };
        let message = format!("pinned to run {} of {}{because}{}", self.run_id, self.day, self.reason);
        let hold = Hold { check: PIN.to_owned(), message };
        PublishedHold { day, advertiser_id: Some(self.advertiser_id.clone()), run_id: run_id.clone(), hold }
    }
}

/// What is held back, in order of day and advertiser. What is held of a pinned advertiser is kept from being seen by
/// the pin, whatever a check says of it besides.
pub(crate) fn holds(
    pins: &[Pin],
    hidden: Vec<PublishedHold>,
    held: Vec<PublishedHold>,
) -> Vec<PublishedHold> {
    let key = |hold: &PublishedHold| (hold.day, hold.advertiser_id.clone());
    let by_pin = |hold: PublishedHold| {
        let pin = pins.iter().find(|pin| Some(&pin.advertiser_id) == hold.advertiser_id.as_ref());
        match pin.filter(|pin| pin.day <= hold.day) {
            Some(pin) => pin.hides(hold.day, &hold.run_id),
            None => hold,
        }
    };
    let all = held.into_iter().map(by_pin).chain(hidden);
    let holds: BTreeMap<_, _> = all.map(|hold| (key(&hold), hold)).collect();
    holds.into_values().collect()
}

/// Advertisers whose last ranking is on none of the days: pinned to another, or held back by themselves.
pub(crate) fn unseen(days: &[PublishedDay], holds: &[PublishedHold], pins: &[Pin]) -> BTreeSet<AdvertiserId> {
    let is_seen_on = |day: &PublishedDay, advertiser: &AdvertiserId| {
        day.advertisers.binary_search_by(|of| of.advertiser_id.cmp(advertiser)).is_ok()
    };
    let held = holds.iter().filter_map(|hold| hold.advertiser_id.as_ref());
    let held = held.filter(|advertiser| !days.iter().any(|day| is_seen_on(day, advertiser)));
    let elsewhere = pins.iter().filter(|pin| days.iter().all(|day| day.day != pin.day));
    held.chain(elsewhere.map(|pin| &pin.advertiser_id)).cloned().collect()
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

/// What is seen last of advertisers, by day.
#[derive(Debug, Default)]
pub(crate) struct Last(BTreeMap<Day, Vec<PublishedAdvertiser>>);

impl Last {
    /// Adds what is seen of an advertiser; they come in byte order.
    pub(crate) fn add(&mut self, day: Day, of: PublishedAdvertiser) {
        self.0.entry(day).or_default().push(of);
    }

    /// The same, of a row: day, advertiser, run and when it was published.
    pub(crate) fn add_row(&mut self, row: Option<(String, String, String, String)>) -> Result<(), Failure> {
        let Some((day, advertiser_id, run_id, published_at)) = row else { return Ok(()) };
        let mut of = AdvertisersBuilder::default();
        of.push(AdvertiserRow { advertiser_id, run_id, published_at })?;
        let day = crate::ledger::day(&day)?;
        of.finish().into_iter().for_each(|of| self.add(day, of));
        Ok(())
    }

    /// The days, newest first.
    pub(crate) fn days(self) -> impl Iterator<Item = (Day, Vec<PublishedAdvertiser>)> {
        self.0.into_iter().rev()
    }
}

impl PublishedDay {
    /// Its rankings, whoever made them.
    pub(crate) fn into_rankings(self) -> DayRankings {
        let active = self.advertisers.into_iter().map(|of| of.advertiser_id).collect();
        DayRankings { day: self.day, active, models: self.models }
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

    /// A builder of the day as one run made it, of whom it found active.
    pub(crate) fn of_run(day: Day, run: &RunId, active: &[String]) -> Result<Self, Failure> {
        let of = |id: &String| {
            let published_at = Timestamp::UNIX_EPOCH;
            Ok(PublishedAdvertiser { advertiser_id: advertiser(id)?, run_id: run.clone(), published_at })
        };
        Ok(Self::new(day, active.iter().map(of).collect::<Result<_, Failure>>()?))
    }

    /// Which rankings of a run are looked for, in the order in which they are taken.
    pub(crate) fn wanted(&self, run: &RunId, models: &[ModelName]) -> Vec<(ModelName, AdvertiserId)> {
        let of_run = self.advertisers.iter().filter(|of| of.run_id == *run);
        let of_run: Vec<_> = of_run.map(|of| &of.advertiser_id).collect();
        let of_model = |model: &ModelName| {
            of_run.iter().map(|advertiser| (model.clone(), (*advertiser).clone())).collect::<Vec<_>>()
        };
        models.iter().flat_map(of_model).collect()
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
