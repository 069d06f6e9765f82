//! The lake: can it be reached, and written.

use super::{
    bucket, machine,
    step::{Answer, Examined, STEP_TIME_MAX, Section, Tell, Tried},
};
use crate::{clock::Clock, config::without_password, failure::Failure, pipeline::Night};
use lake::{
    Lake,
    probe::{SecondPut, Trial},
};
use source::{
    Location,
    probe::{Endpoint, directory_of},
};
use std::{
    path::Path,
    sync::{Mutex, PoisonError},
};
use tokio::time::timeout;

/// What to do where a condition keeps nobody from overwriting. Nothing here relies on one: runs of a day take turns by
/// the database.
const ONE_WRITER: &str = "nothing for nights, which put without conditions and take turns by the database; `topshelf count` and `topshelf rank`, which take none, should be called by only one process a day at a time";

/// Held by whoever writes the trial.
static WRITING: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
/// The trial that is under way, so that it can be undone when the doctor is interrupted.
static UNDER_WAY: Mutex<Option<Trial>> = Mutex::new(None);

/// Looks at the lake; an endpoint that has answered before is not asked again.
pub(super) async fn examine(night: &Night, answered: Option<Endpoint>, tell: Tell<'_>) -> (Section, bool) {
    let url = &night.config.lake.url;
    let target = night.aws.target(url);
    let mut planned =
        target.as_ref().map_or_else(|| vec!["directory"], |target| bucket::steps(target, answered.as_ref()));
    planned.push("write");
    let mut examined = Examined::begin("lake", without_password(url), planned, tell);
    let location = match &target {
        Some(target) => {
            bucket::reach(&mut examined, url, target, answered.as_ref(), &night.aws).await.map(Some)
        }
        None => examined.step("directory", format!("look at {url}"), directory(night.clone())).await,
    };
    if let Some(location) = location {
        let trial = location.map(|location| trial(&location, &night.clock));
        let tried = match &trial {
            Some(trial) => format!("put {} twice, if it is not there, and delete it", trial.name()),
            None => "nothing".to_owned(),
        };
        examined.step("write", tried, write(trial)).await;
        // A step that was given up may have written all the same.
        undo().await;
    }
    examined.end()
}

/// Waits for a trial that is under way, and deletes what it has written when it did not do so itself; gives the
/// name of what may be left.
pub(super) async fn undo() -> Option<String> {
    let ended = timeout(STEP_TIME_MAX, WRITING.lock()).await;
    let trial = UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).take()?;
    let deleted = timeout(STEP_TIME_MAX, trial.delete()).await;
    let is_gone = ended.is_ok() && matches!(deleted, Ok(Ok(())));
    (!is_gone).then(|| trial.name().to_owned())
}

async fn directory(night: Night) -> Tried<Option<Location>> {
    let url = &night.config.lake.url;
    let path = directory_of(url).map_err(bucket::refused)?;
    let (answer, is_there) = machine::directory(&path)?;
    if !is_there {
        return Ok((answer, None));
    }
    let location = Location::open_with(url, false, &night.aws).map_err(bucket::refused)?;
    Ok((answer, Some(location)))
}

fn trial(location: &Location, clock: &Clock) -> Trial {
    let lake = Lake::new(location.object_store(), location.prefix(), location.url());
    let (run, _) = clock.new_run();
    lake.in_directory(location.directory().map(Path::to_owned)).trial(run.as_str())
}

async fn write(trial: Option<Trial>) -> Tried<()> {
    let Some(trial) = trial else {
        return Answer::skipped("the directory is not there yet").alone();
    };
    let _writing = WRITING.lock().await;
    trial.sweep().await;
    *UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner) = Some(trial.clone());
    let put = trial.put_twice().await;
    let deleted = trial.delete().await;
    let cause = "the place is full, is mounted to be read only, or a policy lacks s3:PutObject";
    let put = put.map_err(|error| Answer::of(&Failure::from(error), cause))?;
    deleted.map_err(|error| {
        let cause = "a policy lacks s3:DeleteObject, so that what is replaced or older than retention.keep_days would stay";
        Answer::of(&Failure::from(error), cause)
    })?;
    // Only now there is nothing left to undo.
    UNDER_WAY.lock().unwrap_or_else(PoisonError::into_inner).take();
    match put {
        SecondPut::Refused => Answer::ok("written, the second put refused, deleted").alone(),
        SecondPut::Unsupported(why) => Answer::warning(
            format!("written and deleted, but not on the condition that it is not there: {why}"),
            "the file system has no hard links, or the server does not know If-None-Match",
            ONE_WRITER,
        )
        .alone(),
        SecondPut::Accepted => Answer::warning(
            "written and deleted, but the second put replaced the first",
            "the server ignores the condition If-None-Match",
            ONE_WRITER,
        )
        .alone(),
    }
}
