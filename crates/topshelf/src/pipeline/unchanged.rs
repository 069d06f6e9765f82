//! Which days need not be counted: those whose counts in the lake were made of the very objects that
//! are there now, by the same settings and the same version of the program.
//!
//! What was planned enters, the manifests of such days leave. No object of the input is opened; of
//! the lake's objects each byte is, since counts that were damaged must be made again.

use super::{
    Night,
    count::settings,
    input::{PlannedLog, object_input},
};
use domain::{Day, Tally};
use lake::{CountsManifest, Lake};
use std::collections::BTreeMap;
use tracing::info;

/// The counts in the lake that are of the planned input, by day.
pub(super) async fn unchanged(
    night: &Night,
    lake: &Lake,
    logs: &[PlannedLog],
    days: &[Day],
) -> BTreeMap<Day, CountsManifest> {
    let mut unchanged = BTreeMap::new();
    for day in days.iter().filter(|_| !night.recount) {
        // What cannot be read is counted again; if it cannot be written either, that will be told.
        let Ok(Some(manifest)) = lake.counts_manifest(*day).await else { continue };
        if is_of(&manifest, night, logs) && lake.verify_counts(&manifest).await.is_ok() {
            info!(%day, "the input is unchanged since it was counted, and not read again");
            unchanged.insert(*day, manifest);
        }
    }
    unchanged
}

fn is_of(manifest: &CountsManifest, night: &Night, logs: &[PlannedLog]) -> bool {
    let has_same_objects = |planned: &PlannedLog| {
        let counted = manifest.logs.get(&planned.log).map(|input| &input.objects[..]).unwrap_or_default();
        let planned = planned.objects.iter().filter(|object| object.days.may_hold(manifest.day));
        let planned: Vec<_> = planned.map(|object| object_input(object, Tally::default())).collect();
        planned.len() == counted.len()
            && planned.iter().zip(counted).all(|(one, other)| one.is_same_as(other))
    };
    manifest.program_version == env!("CARGO_PKG_VERSION")
        && manifest.settings == settings(night)
        && manifest.logs.len() == logs.len()
        && logs.iter().all(has_same_objects)
}
