//! The input: can it be reached, is each log of the day there, can it be read, and has it the columns that it should.

use super::{
    bucket,
    step::{Answer, Examined, LISTING_TIME_MAX, Section, Tell, Tried},
};
use crate::{
    config::without_password,
    failure::Failure,
    pipeline::{self, LookedLog, Night},
};
use domain::{Day, Log};
use source::{Location, probe::Endpoint};
use std::{fs, sync::Arc};

/// Objects of a log whose beginnings are read.
const BEGINNINGS_MAX: usize = 20;
/// Names that are spelled out.
const NAMES_MAX: usize = 3;

/// What later sections want to know of the input.
#[derive(Debug, Default)]
pub(super) struct Input {
    /// The endpoint, if it is a bucket's and the bucket answered.
    pub(super) endpoint: Option<Endpoint>,
    /// The bytes of the day's objects, as far as they were found.
    pub(super) bytes: u64,
}

/// Looks at the input of a day.
pub(super) async fn examine(night: &Night, day: Day, tell: Tell<'_>) -> (Section, bool, Input) {
    let url = &night.config.input.url;
    let target = night.aws.target(url);
    let logs = pipeline::configured_logs(night);
    let mut planned = target.as_ref().map_or_else(|| vec!["directory"], |target| bucket::steps(target, None));
    planned.extend(logs.iter().map(|log| log.name()));
    planned.extend(pipeline::has_marker(night).then_some("marker"));
    planned.extend(["read", "columns"]);
    let mut examined = Examined::begin("input", without_password(url), planned, tell);
    let mut input = Input::default();
    let location = match &target {
        Some(target) => bucket::reach(&mut examined, url, target, None, &night.aws).await,
        None => examined.step("directory", format!("open {url}"), directory(night.clone())).await,
    };
    if let Some(location) = location {
        input.endpoint = target.map(|target| target.endpoint);
        look(&mut examined, night, &location, &logs, day, &mut input).await;
    }
    let (section, has_hung) = examined.end();
    (section, has_hung, input)
}

async fn directory(night: Night) -> Tried<Location> {
    let failed = |failure: Failure| Answer::of(&failure, "it was never made, or is called otherwise");
    let location = night.input().map_err(failed)?;
    let path = location.directory().unwrap_or_else(|| location.url().as_ref()).to_owned();
    match fs::read_dir(&path) {
        Ok(_) => Ok((Answer::ok(format!("{} is there, and may be listed", path.display())), location)),
        Err(error) => Err(Answer::failed(
            error.to_string(),
            "the directory belongs to another user, and its mode keeps this one out",
            format!(
                "let this user read and search {0} (`chmod o+rx {0}`), or run as one who may",
                path.display()
            ),
        )),
    }
}

/// Each log by itself: that one is not there says nothing about the others.
async fn look(
    examined: &mut Examined<'_>,
    night: &Night,
    location: &Location,
    logs: &[Log],
    day: Day,
    input: &mut Input,
) {
    let mut found = Vec::new();
    for log in logs {
        let tried = format!("look for the objects of {day}");
        let work = find(night.clone(), location.clone(), *log, day);
        found.extend(examined.step_within(LISTING_TIME_MAX, log.name(), tried, work).await);
    }
    if pipeline::has_marker(night) {
        let tried = format!("look for schedule.input_marker of {day}");
        let work = marker(night.clone(), location.clone(), day);
        examined.step_within(LISTING_TIME_MAX, "marker", tried, work).await;
    }
    if found.is_empty() {
        return;
    }
    input.bytes = found.iter().map(|log| log.bytes()).sum();
    let tried = "read a byte of the first object of each log";
    if examined.step("read", tried, read(found.clone())).await.is_none() {
        return;
    }
    examined.step("columns", "read how the objects begin, as a night does", columns(found)).await;
}

async fn marker(night: Night, location: Location, day: Day) -> Tried<()> {
    let cause = "whoever writes the day's logs has not ended yet, or writes another marker";
    match pipeline::find_marker(&night, &location, day).await {
        Ok(name) => Answer::ok(format!("{name} is there")).alone(),
        Err(failure) => Err(Answer::of(&failure, cause)),
    }
}

async fn find(night: Night, location: Location, log: Log, day: Day) -> Tried<Arc<LookedLog>> {
    let cause = "nobody has written the log of that day yet, or its objects are called otherwise";
    let found = pipeline::find_log(&night, &location, log, day).await;
    let found = found.map_err(|failure| Answer::of(&failure, cause))?;
    let names: Vec<_> = found.names().take(NAMES_MAX).collect();
    let more = if found.objects() > NAMES_MAX { ", …" } else { "" };
    let objects = if found.objects() == 1 { "object" } else { "objects" };
    let told =
        format!("{} {objects}, {} ({}{more})", found.objects(), in_units(found.bytes()), names.join(", "));
    Ok((Answer::ok(told), Arc::new(found)))
}

async fn read(found: Vec<Arc<LookedLog>>) -> Tried<()> {
    let cause = "the objects may be listed but not read: they belong to another user, or a policy lacks s3:GetObject \
                 (or kms:Decrypt, where they are encrypted)";
    let mut names = Vec::new();
    for log in &found {
        names.push(log.read_a_byte().await.map_err(|failure| Answer::of(&failure, cause))?);
    }
    Answer::ok(format!("{} can be read", names.join(", "))).alone()
}

async fn columns(found: Vec<Arc<LookedLog>>) -> Tried<()> {
    let cause =
        "whoever writes the log has changed its form, or the pattern takes objects that are something else";
    let mut told = Vec::new();
    for log in &found {
        let read = log.read_beginnings(BEGINNINGS_MAX).await;
        let read = read.map_err(|failure| Answer::of(&failure, cause))?;
        told.push(match log.objects() {
            objects if objects == read => log.log().to_string(),
            objects => format!("{} ({read} of {objects} objects read)", log.log()),
        });
    }
    Answer::ok(format!("the columns are there in {}", told.join(", "))).alone()
}

/// Bytes as people say them.
pub(super) fn in_units(bytes: u64) -> String {
    #[expect(clippy::cast_precision_loss, reason = "three digits are shown")]
    let size = bytes as f64;
    match bytes {
        0..1024 => format!("{bytes} B"),
        1024..1_048_576 => format!("{:.1} KiB", size / 1024.),
        1_048_576..1_073_741_824 => format!("{:.1} MiB", size / 1_048_576.),
        _ => format!("{:.1} GiB", size / 1_073_741_824.),
    }
}
