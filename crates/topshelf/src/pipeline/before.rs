//! What the lake holds already of the days: counts that were made of objects that are there now, as they
//! are now, by the same settings and the same version of the program.
//!
//! What was planned enters, the manifests of such days leave. No object of the input is opened; of
//! the lake's objects each byte is, since counts that were damaged must be made again.

use super::{
    Night,
    count::settings,
    input::{PlannedLog, object_input},
};
use domain::{AdvertiserId, Day, Log, Tally};
use lake::{CountsManifest, Lake, LogInput};
use source::PlannedObject;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::Arc,
};
use tracing::info;

/// The counts in the lake that are of use, by day.
#[derive(Default)]
pub(super) struct Before {
    /// Of all planned objects: such a day need not be counted.
    pub(super) whole: BTreeMap<Day, CountsManifest>,
    /// Of some of them: the others can be counted alone, and added.
    pub(super) part: BTreeMap<Day, PartCounted>,
}

/// A day of which some objects are counted.
pub(super) struct PartCounted {
    pub(super) manifest: CountsManifest,
    /// Who was active, and is.
    pub(super) advertisers: Arc<[AdvertiserId]>,
    objects: BTreeMap<Log, HashSet<String>>,
}

impl PartCounted {
    fn of(manifest: CountsManifest) -> Self {
        let names = |input: &LogInput| input.objects.iter().map(|object| object.name.clone()).collect();
        let objects = manifest.logs.iter().map(|(log, input)| (*log, names(input))).collect();
        Self { manifest, advertisers: Arc::default(), objects }
    }

    fn holds(&self, log: Log, object: &PlannedObject) -> bool {
        self.objects.get(&log).is_some_and(|names| names.contains(&object.object.name))
    }

    /// How many objects of events are counted.
    pub(super) fn events(&self) -> usize {
        let events = self.objects.iter().filter(|(log, _)| **log != Log::AdvertiserIds);
        events.map(|(_, names)| names.len()).sum()
    }
}

impl Before {
    /// Looks into the lake.
    pub(super) async fn find(night: &Night, lake: &Lake, logs: &[PlannedLog], days: &[Day]) -> Self {
        let mut before = Self::default();
        for day in days.iter().filter(|_| !night.recount) {
            // What cannot be read is counted again; if it cannot be written either, that will be told.
            let Ok(Some(manifest)) = lake.counts_manifest(*day).await else { continue };
            match in_common(&manifest, night, logs) {
                Some(InCommon::All) => drop(before.whole.insert(*day, manifest)),
                Some(InCommon::AllCounted) => drop(before.part.insert(*day, PartCounted::of(manifest))),
                None => (),
            }
        }
        before.keep_apart(logs, days);
        before.verify(lake).await;
        before.keep_apart(logs, days);
        for day in before.whole.keys() {
            info!(%day, "the input is unchanged since it was counted, and not read again");
        }
        for (day, part) in &before.part {
            let objects = part.events();
            info!(%day, objects, "these objects are unchanged since they were counted, and only others are read");
        }
        before
    }

    /// Gives up counts that are not in the lake as they were committed.
    async fn verify(&mut self, lake: &Lake) {
        for manifest in std::mem::take(&mut self.whole).into_values() {
            if lake.verify_counts(&manifest).await.is_ok() {
                self.whole.insert(manifest.day, manifest);
            }
        }
        let mut last: Option<Arc<[AdvertiserId]>> = None;
        for (day, mut part) in std::mem::take(&mut self.part) {
            if lake.verify_counts(&part.manifest).await.is_err() {
                continue;
            }
            let Ok(advertisers) = lake.active(&part.manifest).await else { continue };
            // Days that share their list share the copy too.
            part.advertisers = match &last {
                Some(last) if **last == advertisers[..] => Arc::clone(last),
                _ => advertisers.into(),
            };
            last = Some(Arc::clone(&part.advertisers));
            self.part.insert(day, part);
        }
    }

    /// Gives up counts that cannot be kept apart from what must be read: an object is counted for all days of
    /// a pass at once, also for those that counted it before.
    fn keep_apart(&mut self, logs: &[PlannedLog], days: &[Day]) {
        loop {
            let unread = self.unread(logs, days);
            let is_read_again =
                |part: &PartCounted| events(&unread).any(|(log, object)| part.holds(log, object));
            let parts = self.part.len();
            self.part.retain(|_, part| !is_read_again(part));
            if self.part.len() == parts {
                return;
            }
        }
    }

    /// The planned objects that must be read for the days.
    pub(super) fn unread(&self, logs: &[PlannedLog], days: &[Day]) -> Vec<PlannedLog> {
        let lacks = |day: &Day, log: Log, object: &PlannedObject| {
            object.days.may_hold(*day)
                && !self.whole.contains_key(day)
                && self.part.get(day).is_none_or(|part| !part.holds(log, object))
        };
        let unread = |planned: &PlannedLog| {
            let objects = planned.objects.iter();
            let objects = objects.filter(|object| days.iter().any(|day| lacks(day, planned.log, object)));
            PlannedLog { log: planned.log, objects: objects.cloned().collect() }
        };
        logs.iter().map(unread).collect()
    }
}

fn events(logs: &[PlannedLog]) -> impl Iterator<Item = (Log, &PlannedObject)> {
    let events = logs.iter().filter(|planned| planned.log != Log::AdvertiserIds);
    events.flat_map(|planned| planned.objects.iter().map(|object| (planned.log, object)))
}

/// What counts and a plan have in common.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InCommon {
    /// All objects.
    All,
    /// All that were counted; others, of events, are there besides.
    AllCounted,
}

/// None when counts are of anything that is not there any more, or not as it was.
fn in_common(manifest: &CountsManifest, night: &Night, logs: &[PlannedLog]) -> Option<InCommon> {
    let is_of_this_program = manifest.program_version == env!("CARGO_PKG_VERSION")
        && manifest.settings == settings(night)
        && manifest.logs.len() == logs.len();
    if !is_of_this_program {
        return None;
    }
    let mut common = InCommon::All;
    for planned in logs {
        let objects = planned.objects.iter().filter(|object| object.days.may_hold(manifest.day));
        let mut there: HashMap<_, _> = objects.map(|object| (object.object.name.as_str(), object)).collect();
        for counted in &manifest.logs.get(&planned.log)?.objects {
            let object = there.remove(counted.name.as_str())?;
            if !object_input(object, Tally::default()).is_same_as(counted) {
                return None;
            }
        }
        match (planned.log, there.is_empty()) {
            (_, true) => (),
            // Who is active on the day is another question now.
            (Log::AdvertiserIds, false) => return None,
            (_, false) => common = InCommon::AllCounted,
        }
    }
    Some(common)
}
