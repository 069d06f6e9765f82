//! The server's immutable copy of what is published, and the answers read from it.
//!
//! Published days go in; recommendations, history and statistics come out. An advertiser is looked up
//! once, in a hash map, and is a place in every day's tables from then on. Nothing here waits, locks
//! or looks at a clock.

use crate::{
    held::Holds,
    problem::Problem,
    served_day::{ServedDay, wire_rows},
    stats::Statistics,
    wire::{History, Recommendations, Stats},
};
use domain::{AdvertiserId, Day, ModelName};
use jiff::Timestamp;
use std::collections::{BTreeSet, HashMap};
use store::{Published, PublishedDay};

/// What was published at one moment.
#[derive(Debug)]
pub struct Snapshot {
    version: i64,
    loaded_at: Timestamp,
    /// Every advertiser of the kept days, in byte order; its index is its place everywhere.
    advertisers: Vec<AdvertiserId>,
    places: HashMap<AdvertiserId, usize>,
    models: Vec<ModelName>,
    /// Newest first.
    days: Vec<ServedDay>,
    /// Other days, newest first, of those alone who are held back on all of `days` or pinned elsewhere: what is seen
    /// of them last.
    older: Vec<ServedDay>,
    /// By place, the days of those who are pinned.
    pinned_days: HashMap<usize, Day>,
    holds: Holds,
    statistics: Option<Statistics>,
}

impl Snapshot {
    /// Makes a snapshot of `published`, loaded at `loaded_at`. `models` are known beside those found.
    #[must_use]
    pub fn build(published: Published, models: &[ModelName], loaded_at: Timestamp) -> Self {
        let (mut source_days, older, pins) = (published.days, published.older, published.pins);
        source_days.sort_by_key(|day| std::cmp::Reverse(day.day));
        let models = known_models(models, source_days.iter().chain(&older));
        let advertisers = all_advertisers(source_days.iter().chain(&older));
        let places: HashMap<_, _> = advertisers.iter().cloned().zip(0..).collect();
        // Each day is packed and dropped before the next, so both copies are never whole in memory.
        let pack = |day| ServedDay::pack(day, &places);
        let days: Vec<_> = source_days.into_iter().map(pack).collect();
        let older = older.into_iter().map(pack).collect();
        let holds = Holds::new(published.holds);
        let is_unseen = |day: &ServedDay, advertiser| {
            places.get(advertiser).is_none_or(|place| day.publication(*place).is_none())
        };
        let statistics = Statistics::of(&days, &advertisers).map(|statistics| {
            let held: Vec<_> = holds.advertisers(days[0].day).collect();
            let unseen = held.iter().filter(|advertiser| is_unseen(&days[0], **advertiser)).count();
            statistics.with_held(held.len(), unseen)
        });
        let pinned = pins.iter().filter_map(|pin| Some((*places.get(&pin.advertiser_id)?, pin.day)));
        let (version, pinned_days) = (published.version, pinned.collect());
        Self { version, loaded_at, advertisers, places, models, days, older, pinned_days, holds, statistics }
    }

    /// The version of what is published that this is a copy of.
    #[must_use]
    pub fn version(&self) -> i64 {
        self.version
    }

    /// When it was loaded.
    #[must_use]
    pub fn loaded_at(&self) -> Timestamp {
        self.loaded_at
    }

    /// The newest published day; none when nothing is published.
    #[must_use]
    pub fn newest_day(&self) -> Option<Day> {
        self.days.first().map(|day| day.day)
    }

    /// The published days kept, newest first.
    pub fn days(&self) -> impl Iterator<Item = Day> {
        self.days.iter().map(|day| day.day)
    }

    /// How many advertisers are active on the newest published day.
    #[must_use]
    pub fn active_advertiser_count(&self) -> usize {
        self.statistics.as_ref().map_or(0, |statistics| statistics.advertisers.active)
    }

    /// Whether the newest published day is older than `promised_day`, or nothing is published.
    #[must_use]
    pub fn is_stale(&self, promised_day: Day) -> bool {
        self.newest_day().is_none_or(|newest| newest < promised_day)
    }

    /// An advertiser and a model with recommendations on the newest published day, to show as an example.
    pub(crate) fn example(&self) -> Option<(&AdvertiserId, &ModelName)> {
        let newest = self.days.first()?;
        newest.models.iter().find_map(|(model, rankings)| {
            let mut places = (0..self.advertisers.len()).filter(|place| newest.publication(*place).is_some());
            let place = places.find(|place| !rankings.rows(*place).is_empty())?;
            Some((&self.advertisers[place], model))
        })
    }

    /// What `model` recommends of `advertiser` on `day`, or on the newest published day.
    ///
    /// # Errors
    /// A [`Problem`] that says why there is nothing.
    pub fn recommendations(
        &self,
        advertiser: &str,
        model: &str,
        day: Option<Day>,
        promised_day: Day,
    ) -> Result<Recommendations<'_>, Problem> {
        let model = self.model(model)?;
        let asked = self.served_day(day)?;
        let place = self.place(advertiser)?;
        let mut served = asked;
        let mut days = self.days.iter().chain(&self.older);
        if let Some(pinned_day) = self.pinned_days.get(&place).filter(|_| day.is_none()) {
            served = days.find(|served| served.day == *pinned_day).unwrap_or(asked);
        } else if day.is_none() && self.holds.of_day(advertiser, asked.day).is_some() {
            // What was published last is served on.
            let last = days.find(|served| served.publication(place).is_some());
            served = last.unwrap_or(asked);
        }
        let publication = served.publication(place).ok_or_else(|| self.absent(place, served.day))?;
        let held =
            if day.is_none() { self.holds.after(advertiser, served.day, &publication.run_id) } else { None };
        let rankings = served.rankings(model).ok_or_else(|| not_computed(model, &[served]))?;
        let recommendations = wire_rows(rankings.rows(place));
        if recommendations.is_empty() {
            return Err(self.insufficient(place, vec![model.clone()], &[served]));
        }
        Ok(Recommendations {
            advertiser_id: &self.advertisers[place],
            model,
            day: served.day,
            run_id: &publication.run_id,
            published_at: publication.published_at,
            stale: self.is_stale(promised_day) || held.is_some(),
            held,
            recommendations,
        })
    }

    /// What all models, or `model` alone, recommended of `advertiser` on the last `days_max` published
    /// days.
    ///
    /// # Errors
    /// A [`Problem`] that says why there is nothing.
    pub fn history(
        &self,
        advertiser: &str,
        model: Option<&str>,
        days_max: usize,
    ) -> Result<History<'_>, Problem> {
        let model = model.map(|model| self.model(model)).transpose()?;
        let newest = self.served_day(None)?;
        let place = self.place(advertiser)?;
        let pinned_day = self.pinned_days.get(&place);
        let pinned = self.older.iter().filter(|day| Some(&day.day) == pinned_day);
        let last = self.days.iter().take(days_max).chain(pinned);
        let mut active: Vec<_> = last.filter(|day| day.publication(place).is_some()).collect();
        active.sort_by_key(|day| std::cmp::Reverse(day.day));
        let (Some(to), Some(from)) = (active.first(), active.last()) else {
            return Err(self.absent(place, newest.day));
        };
        if let Some(model) = model.filter(|model| active.iter().all(|day| day.rankings(model).is_none())) {
            return Err(not_computed(model, &active));
        }
        let days: Vec<_> = active.iter().map(|day| day.history(place, model)).collect();
        if days.iter().all(|day| day.models.values().all(Vec::is_empty)) {
            let models = model.map_or_else(|| computed_models(&active), |model| vec![model.clone()]);
            return Err(self.insufficient(place, models, &active));
        }
        Ok(History { advertiser_id: &self.advertisers[place], from: from.day, to: to.day, days })
    }

    /// What is published, in numbers; each list holds at most `limit` entries.
    ///
    /// # Errors
    /// [`Problem::NoPublicationYet`] when nothing is published.
    pub fn stats(&self, limit: usize) -> Result<Stats<'_>, Problem> {
        let statistics = self.statistics.as_ref().ok_or(Problem::NoPublicationYet)?;
        Ok(statistics.answer(limit))
    }

    fn model(&self, name: &str) -> Result<&ModelName, Problem> {
        if self.days.is_empty() {
            return Err(Problem::NoPublicationYet);
        }
        self.models
            .iter()
            .find(|model| model.matches(name))
            .ok_or_else(|| Problem::UnknownModel { model: name.to_owned(), models: self.models.clone() })
    }

    fn served_day(&self, day: Option<Day>) -> Result<&ServedDay, Problem> {
        let (oldest_day, newest_day) = self.ends()?;
        let wanted = day.unwrap_or(newest_day);
        let found = self.days.iter().find(|served| served.day == wanted);
        found.ok_or(Problem::NoPublicationForDay { day: wanted, oldest_day, newest_day })
    }

    fn place(&self, advertiser: &str) -> Result<usize, Problem> {
        let (oldest_day, newest_day) = self.ends()?;
        self.places.get(advertiser).copied().ok_or_else(|| match self.holds.own(advertiser) {
            Some(held) => Problem::held_back(advertiser, held),
            None => {
                Problem::UnknownAdvertiser { advertiser_id: advertiser.to_owned(), oldest_day, newest_day }
            }
        })
    }

    fn ends(&self) -> Result<(Day, Day), Problem> {
        let (Some(newest), Some(oldest)) = (self.days.first(), self.days.last()) else {
            return Err(Problem::NoPublicationYet);
        };
        Ok((oldest.day, newest.day))
    }

    /// Why nothing is published of the advertiser on `day`.
    fn absent(&self, place: usize, day: Day) -> Problem {
        if let Some(held) = self.holds.of_day(self.advertisers[place].as_str(), day) {
            return Problem::held_back(self.advertisers[place].as_str(), held);
        }
        let mut active = self.days.iter().chain(&self.older).filter(|day| day.publication(place).is_some());
        Problem::InactiveAdvertiser {
            advertiser_id: self.advertisers[place].as_str().to_owned(),
            day,
            last_active_day: active.next().expect("an advertiser has a place because of a day").day,
        }
    }

    fn insufficient(&self, place: usize, models: Vec<ModelName>, days: &[&ServedDay]) -> Problem {
        let advertiser_id = self.advertisers[place].as_str().to_owned();
        let when = match days {
            [day] => format!("on {}", day.day),
            days => format!("from {}", span(days)),
        };
        Problem::InsufficientData { advertiser_id, models, when }
    }
}

fn known_models<'a>(models: &[ModelName], days: impl Iterator<Item = &'a PublishedDay>) -> Vec<ModelName> {
    let found = days.flat_map(|day| &day.models).map(|rankings| &rankings.model);
    let known: BTreeSet<_> = models.iter().chain(found).cloned().collect();
    known.into_iter().collect()
}

fn all_advertisers<'a>(days: impl Iterator<Item = &'a PublishedDay>) -> Vec<AdvertiserId> {
    let mut all: Vec<_> = days.flat_map(|day| &day.advertisers).map(|a| &a.advertiser_id).collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().cloned().collect()
}

fn not_computed(model: &ModelName, days: &[&ServedDay]) -> Problem {
    Problem::ModelNotComputed { model: model.clone(), when: span(days), computed: computed_models(days) }
}

fn computed_models(days: &[&ServedDay]) -> Vec<ModelName> {
    let models: BTreeSet<_> = days.iter().flat_map(|day| &day.models).map(|(model, _)| model).collect();
    models.into_iter().cloned().collect()
}

/// Days that come newest first, in words.
fn span(days: &[&ServedDay]) -> String {
    match days {
        [] => "no day".to_owned(),
        [day] => day.day.to_string(),
        [newest, .., oldest] => format!("{} to {}", oldest.day, newest.day),
    }
}
