//! What travels between whoever runs the night and executors: tasks, and what became of them.

use crate::config::{Input, Lake as LakeSettings};
use cluster::Bytes;
use counting::{Columns, CountedObject, Part, Report};
use domain::{AdvertiserId, Day};
use lake::CountsThere;
use serde::{Deserialize, Serialize};
use source::{Compression, ObjectInfo};
use std::sync::Arc;

/// What all tasks of a job have in common.
#[derive(Serialize, Deserialize)]
pub(super) struct Shared {
    pub(super) input: Input,
    pub(super) lake: LakeSettings,
    pub(super) timezone: String,
    /// The lists of active advertisers; days with the same one behind each other share it.
    pub(super) lists: Vec<Arc<[AdvertiserId]>>,
    /// The days, each with the index of its list.
    pub(super) days: Vec<(Day, usize)>,
}

/// What an executor counts at a time.
#[derive(Serialize, Deserialize)]
pub(super) struct Task {
    pub(super) objects: Vec<TaskObject>,
    /// The parts, by the indices of these objects.
    pub(super) parts: Vec<Part>,
    /// The index of each part among those of the job.
    pub(super) indices: Vec<usize>,
}

#[derive(Clone, Serialize, Deserialize)]
pub(super) struct TaskObject {
    /// Its index among those of the job.
    pub(super) index: usize,
    pub(super) counted: CountedObject,
    pub(super) info: ObjectInfo,
    pub(super) stored: Stored,
}

/// How an object is stored.
#[derive(Clone, Serialize, Deserialize)]
pub(super) enum Stored {
    Text(Compression),
    /// With the names of the columns, as the executor reads the footer by itself.
    Parquet(Columns),
}

/// What became of a task.
#[derive(Serialize, Deserialize)]
pub(super) enum TaskReport {
    /// The parts, by their indices among those of the job.
    Counted { parts: Vec<(usize, Report)>, partial_rows: u64, spilled_bytes: u64 },
    /// It never can be counted: at which of the job's objects, why, and what to do about it.
    Refused { object: Option<usize>, is_input: bool, message: String, help: Option<String> },
}

/// What was put in the lake of a range of products: the place of the day among the wanted ones, and the objects.
#[derive(Serialize, Deserialize)]
pub(super) struct Kept(pub(super) Vec<(usize, CountsThere)>);

/// What travels: JSON, packed by zstd.
pub(super) fn packed(content: &impl Serialize) -> Bytes {
    let json = serde_json::to_vec(content).expect("tasks are plain data");
    zstd::bulk::compress(&json, 3).expect("memory takes it").into()
}

pub(super) fn unpacked<'b, T: for<'d> Deserialize<'d>>(bytes: &'b [u8]) -> Result<T, serde_json::Error> {
    let mut json = Vec::new();
    zstd::stream::copy_decode(bytes, &mut json).map_err(serde_json::Error::io)?;
    serde_json::from_slice(&json)
}
