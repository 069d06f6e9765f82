//! Manifests: what was made of what, as JSON for programs and people.

use domain::{Day, Log, ModelName, RejectExample, Tally};
use jiff::{Timestamp, civil::Time};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;

/// What says what lies in a folder.
pub(crate) trait Manifest: DeserializeOwned {
    /// The version of the form.
    const FORMAT_VERSION: u32;
}

impl Manifest for CountsManifest {
    const FORMAT_VERSION: u32 = 3;
}

impl Manifest for RankingsManifest {
    const FORMAT_VERSION: u32 = 1;
}

/// An object that a manifest names, below the manifest's folder.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DataObject {
    /// Its name in the folder.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// The SHA-256 of its bytes, in hexadecimal.
    pub sha256: String,
}

/// One object of a log, as it was read.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ObjectInput {
    /// Its name below the input's location.
    pub name: String,
    /// Its size in bytes.
    pub size: u64,
    /// Its entity tag, where the store gives one.
    pub etag: Option<String>,
    /// When it was written, where nothing better tells it from what lay there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified_at: Option<Timestamp>,
    /// What became of its lines for the day.
    pub tally: Tally,
    /// The latest time of day of its lines of the day; none when they have plain dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Time>,
}

impl ObjectInput {
    /// Whether `other` is the same object with the same content, as far as its name, its size and what
    /// marks its content can tell; no when nothing marks it.
    #[must_use]
    pub fn is_same_as(&self, other: &Self) -> bool {
        let marks = |object: &Self| (object.etag.clone(), object.modified_at);
        (&self.name, self.size) == (&other.name, other.size)
            && marks(self) == marks(other)
            && marks(self) != (None, None)
    }
}

/// One log, as it was read for a day.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LogInput {
    /// What became of its lines for the day, all objects together.
    pub tally: Tally,
    /// The latest time of day of its lines of the day; none when they have plain dates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_time: Option<Time>,
    /// The objects that may hold lines of the day, by name.
    pub objects: Vec<ObjectInput>,
    /// The first rejected lines of each object and reason.
    pub examples: Vec<RejectExample>,
}

impl LogInput {
    /// Each object, with the examples that are from it.
    pub fn with_examples(&self) -> impl Iterator<Item = (ObjectInput, &[RejectExample])> {
        let mut rest = &self.examples[..];
        self.objects.iter().map(move |object| {
            let own = rest.iter().take_while(|example| example.object == object.name).count();
            let (examples, behind) = rest.split_at(own);
            rest = behind;
            (object.clone(), examples)
        })
    }
}

/// What counts were made of.
#[derive(Debug, Clone, PartialEq)]
pub struct CountsInput {
    /// The version of the program that counted.
    pub program_version: String,
    /// The settings that the counts depend on.
    pub settings: BTreeMap<String, String>,
    /// The logs that were read; a log that is not configured is absent.
    pub logs: BTreeMap<Log, LogInput>,
}

/// The counts of a day: what they are made of, and where they lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CountsManifest {
    /// The version of this form.
    pub format_version: u32,
    /// The day.
    pub day: Day,
    /// The version of the program that counted.
    pub program_version: String,
    /// The settings that the counts depend on.
    pub settings: BTreeMap<String, String>,
    /// How many advertisers were active.
    pub active_advertisers: usize,
    /// How many (advertiser, product) had an event.
    pub products: u64,
    /// Names these counts and active advertisers: equal when they are the same.
    pub counts_digest: String,
    /// The counts, in order from one object to the next.
    pub counts: Vec<DataObject>,
    /// The active advertisers.
    pub advertisers: DataObject,
    /// The logs that were read.
    pub logs: BTreeMap<Log, LogInput>,
}

/// The rankings of a day by one model: what they are made of, and where they lie.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RankingsManifest {
    /// The version of this form.
    pub format_version: u32,
    /// The day.
    pub day: Day,
    /// The model.
    pub model: ModelName,
    /// How many products a ranking has at most.
    pub k: usize,
    /// How many advertisers have a ranking.
    pub advertisers: usize,
    /// How many products are ranked in all.
    pub products: usize,
    /// The counts that were ranked: [`CountsManifest::counts_digest`].
    pub counts_digest: String,
    /// The rankings.
    pub rankings: DataObject,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_without_a_last_time_is_read_and_stays_as_it_is() {
        let text = r#"{"name":"ads_views.csv","size":99,"etag":"\"a1\"","tally":{"read":1,"kept":1,"inactive":0,"other_days":0,"rejected":{},"blank":0}}"#;
        let mut object: ObjectInput = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&object).unwrap(), text);
        object.last_time = Some(jiff::civil::time(14, 10, 33, 0));
        let with_time = format!(r#"{},"last_time":"14:10:33"}}"#, text.strip_suffix('}').unwrap());
        assert_eq!(serde_json::to_string(&object).unwrap(), with_time);
    }
}
