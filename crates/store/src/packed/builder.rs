//! Builds a packed day from what a database has of it, row by row or part by part.
//!
//! Publications go in, in byte order of the advertiser; then each run that they point to, its rankings in the order of
//! model, advertiser and rank. Both being in order, one walk over the advertisers finds every ranking's place. What
//! could not be served is refused with the run, the model and the advertiser.

use super::{
    Advertisers, Corrupt, DayStamp, PackedDay, PackedRankings, PartsOfModel, Row, SeenRun,
    day::Publications,
    parts::Entries,
    ranking::{Checker, RankingBuffer},
};
use crate::{Pin, error::Failure, ledger, time};
use domain::{Day, ModelName, RunId};
use std::collections::BTreeSet;

/// A run of whom at most so many advertisers are seen is not read whole, unless that is a hundredth of the day or more.
const FEW: usize = 64;

const PARTS_ADVICE: &str =
    "delete the run's rows from the table packed_rankings, and its rankings are read from the table rankings";

/// Each of the advertisers by each of the models, in the order in which rankings are taken.
pub(crate) fn each_of<'a>(
    models: &'a [ModelName],
    advertisers: &'a [String],
) -> impl Iterator<Item = (&'a ModelName, &'a str)> {
    models.iter().flat_map(|model| advertisers.iter().map(move |advertiser| (model, advertiser.as_str())))
}

/// A day under way.
#[derive(Debug)]
pub(crate) struct DayBuilder<'p> {
    day: Day,
    pins: &'p [Pin],
    /// The pins of the day itself that are not among the advertisers yet, in byte order.
    pins_to_come: Vec<&'p Pin>,
    advertisers: Advertisers,
    publications: Publications,
    /// The run and time of the last publication, as they were read: most say the same.
    last: Option<(String, i64)>,
    models: Vec<(ModelName, PackedRankings)>,
    run: Option<RunUnderWay>,
}

/// The run whose rankings are being taken.
#[derive(Debug)]
struct RunUnderWay {
    run_id: RunId,
    models: Vec<ModelName>,
    /// By the index of a publication, whether it is of this run.
    is_of_run: Vec<bool>,
    /// The model of the last row or part, by its index.
    model: Option<usize>,
    /// The next part of it.
    part: i64,
    /// The advertiser of the last row or entry of it; empty before any.
    advertiser: Vec<u8>,
    /// The first place that may be that of an advertiser to come.
    place: usize,
    /// Where the rows under way go; nowhere when readers see another run of the advertiser.
    place_of_rows: Option<usize>,
    rows: RankingBuffer,
    checker: Checker,
}

impl<'p> DayBuilder<'p> {
    /// A day with those of `pins`, in byte order, that bear on it.
    pub(crate) fn new(day: Day, pins: &'p [Pin]) -> Self {
        let mut pins_to_come: Vec<_> = pins.iter().filter(|pin| pin.day == day).collect();
        pins_to_come.reverse();
        Self {
            day,
            pins,
            pins_to_come,
            advertisers: Advertisers::default(),
            publications: Publications::default(),
            last: None,
            models: Vec::new(),
            run: None,
        }
    }

    /// Takes what is published of the next advertiser, the time in milliseconds since 1970.
    pub(crate) fn publication(
        &mut self,
        advertiser: &str,
        run_id: &str,
        published_at: i64,
    ) -> Result<(), Failure> {
        while let Some(pin) = self.pins_to_come.pop_if(|pin| pin.advertiser_id.as_str() < advertiser) {
            self.pinned(pin)?;
        }
        let pin = self.pins.binary_search_by(|pin| pin.advertiser_id.as_str().cmp(advertiser));
        if pin.is_ok_and(|index| self.pins[index].day <= self.day) {
            return Ok(());
        }
        self.advertiser(advertiser)?;
        if let Some((last_run, last_time)) = &self.last
            && *last_time == published_at
            && last_run == run_id
        {
            self.publications.repeat();
            return Ok(());
        }
        self.last = Some((run_id.to_owned(), published_at));
        self.publications.push(seen_run(run_id, published_at)?);
        Ok(())
    }

    /// Ends the publications.
    pub(crate) fn end_publications(&mut self) -> Result<(), Failure> {
        while let Some(pin) = self.pins_to_come.pop() {
            self.pinned(pin)?;
        }
        self.advertisers.shrink();
        Ok(())
    }

    fn pinned(&mut self, pin: &Pin) -> Result<(), Failure> {
        self.advertiser(pin.advertiser_id.as_str())?;
        self.publications.push(SeenRun { run_id: pin.run_id.clone(), published_at: pin.pinned_at });
        self.last = None;
        Ok(())
    }

    fn advertiser(&mut self, advertiser: &str) -> Result<(), Failure> {
        let pushed = self.advertisers.push(advertiser);
        pushed.map_err(|Corrupt(what)| self.invalid(format!("in the table publications, {what}")))
    }

    /// The runs that the day's advertisers point to, each once.
    pub(crate) fn runs(&self) -> BTreeSet<RunId> {
        self.publications.publications.iter().map(|seen| seen.run_id.clone()).collect()
    }

    /// The advertisers that point to the run, when they are so few that their rankings are better asked for one by one.
    pub(crate) fn few_of(&self, run_id: &RunId) -> Option<Vec<String>> {
        let few: Vec<_> = self.places_of(run_id).take(FEW + 1).collect();
        let is_few = few.is_empty() || (few.len() <= FEW && few.len() * 100 < self.advertisers.len());
        is_few.then(|| few.into_iter().map(|place| self.advertisers.get(place).to_owned()).collect())
    }

    /// The advertisers that point to the run.
    pub(crate) fn advertisers_of(&self, run_id: &RunId) -> Vec<String> {
        self.places_of(run_id).map(|place| self.advertisers.get(place).to_owned()).collect()
    }

    fn places_of(&self, run_id: &RunId) -> impl Iterator<Item = usize> {
        let is_of_run = self.is_of_run(run_id);
        let places = self.publications.indexes.iter().enumerate();
        places.filter(move |(_, index)| is_of_run[**index as usize]).map(|(place, _)| place)
    }

    /// Begins the rankings of `run_id`, which computed `models`.
    pub(crate) fn begin_run(&mut self, run_id: RunId, models: Vec<ModelName>) {
        for model in &models {
            if let Err(index) = self.index_of(model.as_str()) {
                self.models.insert(index, (model.clone(), PackedRankings::new(self.advertisers.len())));
            }
        }
        self.run = Some(RunUnderWay {
            is_of_run: self.is_of_run(&run_id),
            run_id,
            models,
            model: None,
            part: 0,
            advertiser: Vec::new(),
            place: 0,
            place_of_rows: None,
            rows: RankingBuffer::default(),
            checker: Checker::default(),
        });
    }

    fn is_of_run(&self, run_id: &RunId) -> Vec<bool> {
        self.publications.publications.iter().map(|seen| seen.run_id == *run_id).collect()
    }

    fn index_of(&self, model: &str) -> Result<usize, usize> {
        self.models.binary_search_by(|(name, _)| name.as_str().cmp(model))
    }

    /// Whether the run under way is kept in parts, all of them there; makes room for what they hold.
    pub(crate) fn expect_parts(&mut self, parts: &[PartsOfModel]) -> bool {
        let run = self.run.as_ref().expect("a run is under way");
        let has = |model: &ModelName| parts.iter().any(|of| of.model == model.as_str() && of.is_whole());
        if parts.is_empty() || !run.models.iter().all(has) {
            return false;
        }
        for of in parts {
            if let Ok(index) = self.index_of(&of.model) {
                self.models[index].1.reserve(usize::try_from(of.bytes).unwrap_or_default());
            }
        }
        true
    }

    /// Takes a part of the run under way; they come by model and number.
    pub(crate) fn part(&mut self, model: &str, part: i64, bytes: &[u8]) -> Result<(), Failure> {
        self.begin_model(model)?;
        let index = self.run_mut().model.expect("begun just above");
        let run = self.run.as_mut().expect("a run is under way");
        if part != run.part {
            let what = format!("part {} of run {} by {model} is not there", run.part, run.run_id);
            return Err(self.invalid(format!("{what}: {PARTS_ADVICE}")));
        }
        run.part += 1;
        let (_, rankings) = &mut self.models[index];
        for entry in Entries(bytes) {
            let taken = entry.map_err(str::to_owned).and_then(|(id, ranking)| {
                let of = |what| format!("has a ranking of {:?} that {what}", String::from_utf8_lossy(id));
                let Some(place) = run.place(id, &self.advertisers, &self.publications.indexes)? else {
                    return Ok(());
                };
                run.checker.check(ranking).map_err(of)?;
                let put = rankings.put(place, |bytes| {
                    bytes.extend_from_slice(ranking);
                    Ok(())
                });
                put.map_err(|Corrupt(what)| of(what))
            });
            if let Err(what) = taken {
                let of = format!("part {part} of run {} by {model} {what}", run.run_id);
                return Err(self.invalid(format!("{of}: {PARTS_ADVICE}")));
            }
        }
        Ok(())
    }

    /// Takes a row of the run under way; they come by model, advertiser and rank.
    pub(crate) fn row(
        &mut self,
        model: &str,
        advertiser: &str,
        rank: i64,
        row: Row<'_>,
    ) -> Result<(), Failure> {
        self.begin_model(model)?;
        if self.run_mut().advertiser != advertiser.as_bytes() {
            self.end_ranking()?;
            let run = self.run.as_mut().expect("a run is under way");
            let place = run.place(advertiser.as_bytes(), &self.advertisers, &self.publications.indexes);
            run.place_of_rows = match place {
                Ok(place) => place,
                Err(what) => {
                    let what = format!("run {} by {model} {what}", run.run_id);
                    return Err(self.invalid(format!("in the table rankings, {what}")));
                }
            };
        }
        let run = self.run_mut();
        if run.place_of_rows.is_none() {
            return Ok(());
        }
        run.rows.push(rank, row).map_err(|what| self.invalid_ranking(&what))
    }

    /// Ends the run under way.
    pub(crate) fn end_run(&mut self) -> Result<(), Failure> {
        self.end_ranking()?;
        self.run = None;
        Ok(())
    }

    pub(crate) fn finish(mut self, stamp: DayStamp) -> PackedDay {
        self.models.iter_mut().for_each(|(_, rankings)| rankings.shrink());
        let Publications { publications, indexes, .. } = self.publications;
        PackedDay {
            stamp,
            day: self.day,
            advertisers: self.advertisers,
            publications,
            publication_indexes: indexes,
            models: self.models,
        }
    }

    fn run_mut(&mut self) -> &mut RunUnderWay {
        self.run.as_mut().expect("a run is under way")
    }

    fn begin_model(&mut self, model: &str) -> Result<(), Failure> {
        let current = self.run_mut().model;
        if current.is_some_and(|index| self.models[index].0.as_str() == model) {
            return Ok(());
        }
        self.end_ranking()?;
        let run = self.run.as_mut().expect("a run is under way");
        if !run.models.iter().any(|known| known.as_str() == model) {
            let what = format!("run {} has rankings by {model:?}, which it did not compute", run.run_id);
            return Err(
                self.invalid(format!("{what}: delete them, or take readers back with topshelf rollback"))
            );
        }
        let index = self.index_of(model).expect("the run's models are among the day's");
        let run = self.run_mut();
        (run.model, run.part, run.place, run.place_of_rows) = (Some(index), 0, 0, None);
        run.advertiser.clear();
        Ok(())
    }

    /// Packs the rows since the last advertiser.
    fn end_ranking(&mut self) -> Result<(), Failure> {
        let run = self.run.as_mut().expect("a run is under way");
        let Some(place) = run.place_of_rows.take() else { return Ok(()) };
        let (_, rankings) = &mut self.models[run.model.expect("rows are of a model")];
        let put = rankings.put(place, |bytes| run.rows.pack(bytes).map_err(Corrupt));
        put.map_err(|Corrupt(what)| self.invalid_ranking(&what))
    }

    fn invalid_ranking(&self, what: &str) -> Failure {
        let run = self.run.as_ref().expect("a run is under way");
        let model = run.model.map_or("no model", |index| self.models[index].0.as_str());
        let advertiser = String::from_utf8_lossy(&run.advertiser);
        self.invalid(format!(
            "the ranking of {advertiser:?} by {model} of run {} {what}: correct it in the table rankings, or take \
             readers back with topshelf rollback",
            run.run_id
        ))
    }

    fn invalid(&self, what: String) -> Failure {
        Failure::Invalid { day: self.day, what }
    }
}

impl RunUnderWay {
    /// Where the rankings of the next advertiser go; nowhere when readers see another run of it.
    fn place(
        &mut self,
        id: &[u8],
        advertisers: &Advertisers,
        publications: &[u32],
    ) -> Result<Option<usize>, String> {
        if !self.advertiser.is_empty() && self.advertiser.as_slice() >= id {
            let last = String::from_utf8_lossy(&self.advertiser);
            return Err(format!("has an advertiser that does not come after {last:?}"));
        }
        self.advertiser.clear();
        self.advertiser.extend_from_slice(id);
        while self.place < advertisers.len() && advertisers.bytes_at(self.place) < id {
            self.place += 1;
        }
        let is_there = self.place < advertisers.len() && advertisers.bytes_at(self.place) == id;
        let is_seen = |place: &usize| self.is_of_run[publications[*place] as usize];
        Ok(Some(self.place).filter(|place| is_there && is_seen(place)))
    }
}

fn seen_run(run_id: &str, published_at: i64) -> Result<SeenRun, Failure> {
    let published_at = time::from_millisecond(published_at)?;
    Ok(SeenRun { run_id: ledger::run_id(run_id)?, published_at })
}
