//! The server's immutable copy of what is published, and what is found in it.
//!
//! Published days go in; recommendations, history and statistics come out. Days that did not change since the last
//! snapshot are shared with it. Nothing here waits, locks or looks at a clock.

use crate::{
    answer::{Found, FoundHistory},
    held::Holds,
    prepared::Slot,
    problem::Problem,
    served_day::ServedDay,
    stats::{Changes, Statistics},
    wire::{History, HistoryDay, Recommendation, Recommendations, Stats},
};
use domain::{AdvertiserId, Counts, Day, ModelName};
use jiff::Timestamp;
use std::{
    collections::{BTreeSet, HashMap},
    sync::{Arc, Mutex, OnceLock, PoisonError},
};
use store::{DayStamp, PackedDay, PackedRanking, Pin, Published, PublishedDay, PublishedHold, Row};

/// What was published at one moment.
#[derive(Debug)]
pub struct Snapshot {
    version: i64,
    loaded_at: Timestamp,
    models: Vec<ModelName>,
    /// Newest first.
    days: Vec<Arc<ServedDay>>,
    /// Other days, newest first, of those alone who are held back on all of `days` or pinned elsewhere: what is seen
    /// of them last.
    older: Vec<Arc<ServedDay>>,
    pins: Vec<Pin>,
    /// The days of those who are pinned.
    pinned_days: HashMap<AdvertiserId, Day>,
    holds: Holds,
    refused: Vec<Refusal>,
    /// Advertisers that are held of the newest day, and those of them of whom nothing of it is seen.
    held: usize,
    unseen: usize,
    statistics: OnceLock<Statistics>,
    /// What the last snapshot's statistics were made of, until this one's are.
    known_changes: Mutex<Vec<Arc<Changes>>>,
}

/// A snapshot as it was kept on disk.
#[derive(Debug)]
pub(crate) struct Kept {
    pub(crate) version: i64,
    pub(crate) loaded_at: Timestamp,
    pub(crate) days: Vec<PackedDay>,
    pub(crate) older: Vec<PackedDay>,
    pub(crate) pins: Vec<Pin>,
    pub(crate) holds: Vec<PublishedHold>,
}

/// Why what is published is not served in the place of what was before.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// Nothing is published, and nobody took it back.
    #[error(
        "the database publishes nothing, at version {version}, where it published {days} days at version {last_version}: it was emptied, or another took its place"
    )]
    Emptied {
        /// Of what is published.
        version: i64,
        /// Of what was published before.
        last_version: i64,
        /// Published before.
        days: usize,
    },
    /// What is published of a day could not be served as it is.
    #[error("what is published of {day} cannot be served: {what}")]
    Day {
        /// The day.
        day: Day,
        /// What is wrong with it, with names, and what to do about it.
        what: String,
    },
    /// The newest day is published without any ranking, where there were some, and nothing of it is held or pinned.
    #[error(
        "no advertiser has any ranking of {day}, where {rankings} were published of {last_day}: `topshelf rollback` takes readers back to what they saw before"
    )]
    EmptyDay {
        /// The day.
        day: Day,
        /// The rankings published before.
        rankings: usize,
        /// Of which day.
        last_day: Day,
    },
}

impl Snapshot {
    /// Makes a snapshot of what was kept; `models` are known beside those found.
    pub(crate) fn of_kept(kept: Kept, models: &[ModelName]) -> Self {
        let Kept { version, loaded_at, days, older, pins, holds } = kept;
        let days = days.into_iter().map(PublishedDay::Read).collect();
        let published = Published { version, days, older, pins, holds };
        Self::build(published, None, models, loaded_at).expect("days that were read are not refused")
    }

    /// The same, when it may take the place of `last`.
    ///
    /// # Errors
    /// A [`Refusal`] when it is empty where there was something.
    pub(crate) fn accepted_after(self, last: &Self) -> Result<Self, Refusal> {
        // Whoever takes a day back moves the version on.
        if self.days.is_empty() && !last.days.is_empty() && self.version <= last.version {
            let (version, last_version, days) = (self.version, last.version, last.days.len());
            return Err(Refusal::Emptied { version, last_version, days });
        }
        let Some(newest) = self.days.first().filter(|newest| newest.ranking_count() == 0) else {
            return Ok(self);
        };
        // What is held back, taken back or hidden by a pin is missing because somebody or something said so.
        let is_meant = !self.pins.is_empty() || self.holds.all().iter().any(|hold| hold.day == newest.day());
        let before = last.days.iter().find(|before| before.day() <= newest.day());
        if let Some(before) = before.filter(|before| !is_meant && before.ranking_count() > 0) {
            let (day, rankings, last_day) = (newest.day(), before.ranking_count(), before.day());
            return Err(Refusal::EmptyDay { day, rankings, last_day });
        }
        Ok(self)
    }

    /// Makes a snapshot of `published`, loaded at `loaded_at`, with the days of `last` that did not change. `models`
    /// are known beside those found. In the place of a day that is refused comes what `last` has of it, or nothing.
    ///
    /// # Errors
    /// A [`Refusal`] when the newest day is refused and there is a `last` that can stay, or when there is no other day.
    ///
    /// # Panics
    /// When a day is said to be known and is not in `last`.
    pub fn build(
        published: Published,
        last: Option<&Self>,
        models: &[ModelName],
        loaded_at: Timestamp,
    ) -> Result<Self, Refusal> {
        let last_days = last.map_or(&[][..], |last| &last.days);
        let (mut days, mut refused) = (Vec::new(), Vec::new());
        for (age, published) in published.days.into_iter().enumerate() {
            let day = published.day();
            match published {
                PublishedDay::Read(read) => days.push(Arc::new(ServedDay::new(read))),
                PublishedDay::Known(stamp) => {
                    let known = last_days.iter().find(|day| *day.stamp() == stamp);
                    days.push(known.expect("only days of the last snapshot are known").clone());
                }
                PublishedDay::Refused { what, .. } if age == 0 && !last_days.is_empty() => {
                    return Err(Refusal::Day { day, what });
                }
                PublishedDay::Refused { what, .. } => {
                    days.extend(last_days.iter().find(|before| before.day() == day).cloned());
                    refused.push(Refusal::Day { day, what });
                }
            }
        }
        if let Some(refusal) = refused.first().filter(|_| days.is_empty()) {
            return Err(refusal.clone());
        }
        let older = published.older.into_iter().map(|day| Arc::new(ServedDay::new(day))).collect();
        let mut snapshot = Self {
            version: published.version,
            loaded_at,
            models: Vec::new(),
            days,
            older,
            pinned_days: published.pins.iter().map(|pin| (pin.advertiser_id.clone(), pin.day)).collect(),
            pins: published.pins,
            holds: Holds::new(published.holds),
            refused,
            held: 0,
            unseen: 0,
            statistics: OnceLock::new(),
            known_changes: Mutex::new(last.map_or_else(Vec::new, Self::changes)),
        };
        snapshot.models = snapshot.known_models(models);
        if let Some(newest) = snapshot.days.first() {
            let held: Vec<_> = snapshot.holds.advertisers(newest.day()).collect();
            let is_unseen = |advertiser: &&&AdvertiserId| newest.place(advertiser.as_str()).is_none();
            (snapshot.held, snapshot.unseen) = (held.len(), held.iter().filter(is_unseen).count());
        }
        Ok(snapshot)
    }

    /// Why days are missing, or are served as they were before.
    #[must_use]
    pub fn refused(&self) -> &[Refusal] {
        &self.refused
    }

    /// What was computed for the statistics, or would be used for them.
    fn changes(&self) -> Vec<Arc<Changes>> {
        match self.statistics.get() {
            Some(statistics) => statistics.changes().to_vec(),
            None => self.known_changes.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    /// Whether the statistics can be told at once.
    pub(crate) fn has_statistics(&self) -> bool {
        self.days.is_empty() || self.statistics.get().is_some()
    }

    /// The statistics, computed when they are first asked for; none when nothing is published.
    pub(crate) fn statistics(&self) -> Option<&Statistics> {
        if self.days.is_empty() {
            return None;
        }
        let compute = || {
            let statistics = Statistics::of(&self.days, &self.changes());
            self.known_changes.lock().unwrap_or_else(PoisonError::into_inner).clear();
            statistics.with_held(self.held, self.unseen)
        };
        Some(self.statistics.get_or_init(compute))
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
        self.days.first().map(|day| day.day())
    }

    /// The published days kept, newest first.
    pub fn days(&self) -> impl Iterator<Item = Day> {
        self.days.iter().map(|day| day.day())
    }

    /// What the kept days were made of.
    #[must_use]
    pub fn stamps(&self) -> Vec<DayStamp> {
        self.days.iter().map(|day| day.stamp().clone()).collect()
    }

    /// The memory that its days take, in bytes.
    pub(crate) fn memory_bytes(&self) -> usize {
        self.days.iter().chain(&self.older).map(|day| day.packed().memory_bytes()).sum()
    }

    /// Each model that is known, with the newest day for which it was computed.
    pub(crate) fn newest_day_by_model(&self) -> impl Iterator<Item = (&ModelName, Option<Day>)> {
        let newest = |model| self.days.iter().find(|day| day.rankings_by(model).is_some());
        self.models.iter().map(move |model| (model, newest(model).map(|day| day.day())))
    }

    pub(crate) fn served_days(&self) -> &[Arc<ServedDay>] {
        &self.days
    }

    pub(crate) fn older_days(&self) -> &[Arc<ServedDay>] {
        &self.older
    }

    pub(crate) fn pins(&self) -> &[Pin] {
        &self.pins
    }

    pub(crate) fn holds(&self) -> &[PublishedHold] {
        self.holds.all()
    }

    /// How many advertisers are active on the newest published day.
    #[must_use]
    pub fn active_advertiser_count(&self) -> usize {
        self.days.first().map_or(0, |newest| newest.active() + self.unseen)
    }

    /// Whether the newest published day is older than `promised_day`, or nothing is published.
    #[must_use]
    pub fn is_stale(&self, promised_day: Day) -> bool {
        self.newest_day().is_none_or(|newest| newest < promised_day)
    }

    /// An advertiser and a model with recommendations on the newest published day, to show as an example.
    #[must_use]
    pub fn example(&self) -> Option<(&str, &ModelName)> {
        let newest = self.days.first()?;
        newest.rankings().iter().find_map(|(model, rankings)| {
            let place = (0..newest.active()).find(|place| !rankings.ranking(*place).is_empty())?;
            Some((newest.advertiser(place), model))
        })
    }

    /// Finds what `model` recommends of `advertiser` on `day`, or on the newest published day.
    ///
    /// # Errors
    /// A [`Problem`] that says why there is nothing.
    pub(crate) fn find(
        &self,
        advertiser: &str,
        model: &str,
        day: Option<Day>,
        is_stale: bool,
    ) -> Result<Found<'_>, Problem> {
        let model = self.model(model)?;
        let asked = self.served_day(day)?;
        let served = if day.is_none() { self.day_seen(advertiser, asked) } else { asked };
        let place = served.place(advertiser).ok_or_else(|| self.absent(advertiser, served.day()))?;
        let seen = served.seen(place);
        let held = match day {
            None => self.holds.after(advertiser, served.day(), &seen.run_id),
            Some(_) => None,
        };
        let index = served.model_index(model).ok_or_else(|| not_computed(model, &[served]))?;
        let ranking = served.rankings()[index].1.ranking(place);
        let advertiser_id = served.advertiser(place);
        if ranking.is_empty() {
            return Err(insufficient(advertiser_id, vec![model.clone()], &[served]));
        }
        let is_stale = is_stale || held.is_some();
        let is_asked_most = day.is_none() && held.is_none() && served.day() == asked.day();
        let slot = is_asked_most.then_some(Slot { model: index, place });
        Ok(Found { advertiser_id, model, seen, day: served, is_stale, held, ranking, slot })
    }

    /// The day of which readers see the advertiser, when none is asked for: the newest, unless it is pinned to
    /// another, or held back on the newest.
    fn day_seen<'a>(&'a self, advertiser: &str, newest: &'a ServedDay) -> &'a ServedDay {
        let mut days = self.all_days();
        if let Some(pinned_day) = self.pinned_day(advertiser) {
            return days.find(|served| served.day() == pinned_day).unwrap_or(newest);
        }
        if self.holds.of_day(advertiser, newest.day()).is_some() {
            return days.find(|served| served.place(advertiser).is_some()).unwrap_or(newest);
        }
        newest
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
        let Found { advertiser_id, model, seen, day, is_stale, held, ranking, .. } =
            self.find(advertiser, model, day, self.is_stale(promised_day))?;
        Ok(Recommendations {
            advertiser_id,
            model,
            day: day.day(),
            run_id: &seen.run_id,
            published_at: seen.published_at,
            stale: is_stale,
            held,
            recommendations: wire_rows(ranking),
        })
    }

    /// Finds what all models, or `model` alone, recommended of `advertiser` on the last `days_max` published days.
    ///
    /// # Errors
    /// A [`Problem`] that says why there is nothing.
    pub(crate) fn find_history(
        &self,
        advertiser: &str,
        model: Option<&str>,
        days_max: usize,
    ) -> Result<FoundHistory<'_>, Problem> {
        let model = model.map(|model| self.model(model)).transpose()?;
        let newest = self.served_day(None)?;
        let pinned_day = self.pinned_day(advertiser);
        let pinned = self.older.iter().filter(|day| Some(day.day()) == pinned_day);
        let last = self.days.iter().take(days_max).chain(pinned);
        let mut days: Vec<_> = last.filter_map(|day| Some((&**day, day.place(advertiser)?))).collect();
        days.sort_by_key(|(day, _)| std::cmp::Reverse(day.day()));
        let Some((day, place)) = days.first() else { return Err(self.absent(advertiser, newest.day())) };
        let advertiser_id = day.advertiser(*place);
        let served: Vec<_> = days.iter().map(|(day, _)| *day).collect();
        if let Some(model) = model.filter(|model| served.iter().all(|day| day.rankings_by(model).is_none())) {
            return Err(not_computed(model, &served));
        }
        let mut rankings = days.iter().flat_map(|(day, place)| day.rankings_of(*place, model));
        if rankings.all(|(_, ranking)| ranking.is_empty()) {
            let models = model.map_or_else(|| computed_models(&served), |model| vec![model.clone()]);
            return Err(insufficient(advertiser_id, models, &served));
        }
        Ok(FoundHistory { advertiser_id, days, model })
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
        let FoundHistory { advertiser_id, days, model } = self.find_history(advertiser, model, days_max)?;
        let [to, from] = [days.first(), days.last()].map(|end| end.expect("at least one day").0.day());
        let days = days.into_iter().map(|(day, place)| HistoryDay {
            day: day.day(),
            models: day
                .rankings_of(place, model)
                .map(|(model, ranking)| (model, wire_rows(ranking)))
                .collect(),
        });
        Ok(History { advertiser_id, from, to, days: days.collect() })
    }

    /// What is published, in numbers; each list holds at most `limit` entries, from the one after the first `offset`.
    ///
    /// # Errors
    /// [`Problem::NoPublicationYet`] when nothing is published.
    pub fn stats(&self, offset: usize, limit: usize) -> Result<Stats<'_>, Problem> {
        let statistics = self.statistics().ok_or(Problem::NoPublicationYet)?;
        Ok(statistics.answer(offset, limit))
    }

    fn all_days(&self) -> impl Iterator<Item = &ServedDay> {
        self.days.iter().chain(&self.older).map(|day| &**day)
    }

    fn known_models(&self, models: &[ModelName]) -> Vec<ModelName> {
        let known: BTreeSet<_> = models.iter().chain(self.all_days().flat_map(ServedDay::models)).collect();
        known.into_iter().cloned().collect()
    }

    fn pinned_day(&self, advertiser: &str) -> Option<Day> {
        self.pinned_days.get(advertiser).copied()
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
        let found = self.days.iter().find(|served| served.day() == wanted);
        found.map(|day| &**day).ok_or(Problem::NoPublicationForDay { day: wanted, oldest_day, newest_day })
    }

    fn ends(&self) -> Result<(Day, Day), Problem> {
        let (Some(newest), Some(oldest)) = (self.days.first(), self.days.last()) else {
            return Err(Problem::NoPublicationYet);
        };
        Ok((oldest.day(), newest.day()))
    }

    /// Why nothing is published of the advertiser on `day`.
    fn absent(&self, advertiser: &str, day: Day) -> Problem {
        let advertiser_id = advertiser.to_owned();
        let Some(last_active) = self.all_days().find(|served| served.place(advertiser).is_some()) else {
            return match (self.holds.own(advertiser), self.ends()) {
                (Some(held), _) => Problem::held_back(advertiser, held),
                (None, Ok((oldest_day, newest_day))) => {
                    Problem::UnknownAdvertiser { advertiser_id, oldest_day, newest_day }
                }
                (None, Err(problem)) => problem,
            };
        };
        match self.holds.of_day(advertiser, day) {
            Some(held) => Problem::held_back(advertiser, held),
            None => Problem::InactiveAdvertiser { advertiser_id, day, last_active_day: last_active.day() },
        }
    }
}

/// Rows as they are sent, with their ranks.
fn wire_rows(ranking: PackedRanking<'_>) -> Vec<Recommendation<'_>> {
    let rows = ranking.rows().zip(1..);
    rows.map(|(Row { product_id, score, counts: Counts { impressions, clicks, views } }, rank)| {
        Recommendation { rank, product_id, score, impressions, clicks, views }
    })
    .collect()
}

fn insufficient(advertiser: &str, models: Vec<ModelName>, days: &[&ServedDay]) -> Problem {
    let when = match days {
        [day] => format!("on {}", day.day()),
        days => format!("from {}", span(days)),
    };
    Problem::InsufficientData { advertiser_id: advertiser.to_owned(), models, when }
}

fn not_computed(model: &ModelName, days: &[&ServedDay]) -> Problem {
    Problem::ModelNotComputed { model: model.clone(), when: span(days), computed: computed_models(days) }
}

fn computed_models(days: &[&ServedDay]) -> Vec<ModelName> {
    let models: BTreeSet<_> = days.iter().flat_map(|day| day.models()).collect();
    models.into_iter().cloned().collect()
}

/// Days that come newest first, in words.
fn span(days: &[&ServedDay]) -> String {
    match days {
        [] => "no day".to_owned(),
        [day] => day.day().to_string(),
        [newest, .., oldest] => format!("{} to {}", oldest.day(), newest.day()),
    }
}
