//! Watches a job while it runs, for whoever waits for it.
//!
//! Enters: a connection to the scheduler, and the job's name. Leaves: how the job stands, about once a second. What is waited
//! for never depends on it: a scheduler that does not answer, or not in time, is asked again, and nobody is told.

use crate::{answers, overview::Overview};
use std::{convert::Infallible, time::Duration};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tonic::{Code, Status, transport::Channel};

/// Time from one question to the next.
const EVERY: Duration = Duration::from_secs(1);

/// Who has not answered by then is asked again.
const PATIENCE: Duration = Duration::from_secs(5);

/// The same of a job that has no result: whoever waits for it is to hear so soon.
const STANDS_WITHIN: Duration = Duration::from_secs(2);

/// How a job stands: the stage that is under way, or the last.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// The stage, from 1.
    pub stage: usize,
    /// All of the job's.
    pub stages: usize,
    /// Tasks of the stage.
    pub tasks: u32,
    /// Those that are done.
    pub tasks_done: u32,
    /// Those that are under way.
    pub tasks_running: u32,
    /// Executors that there are, whatever they do.
    pub executors: u32,
}

impl Seen {
    /// What is to be seen; nothing before the job has stages.
    pub(crate) fn of(overview: &Overview) -> Option<Self> {
        let stages = &overview.stages;
        let at = stages.iter().position(|stage| !stage.is_done()).or(stages.len().checked_sub(1))?;
        Some(Self {
            stage: at + 1,
            stages: stages.len(),
            tasks: stages[at].tasks,
            tasks_done: stages[at].tasks_done,
            tasks_running: stages[at].tasks_running,
            executors: overview.executors,
        })
    }
}

/// Calls `seen` about once a second, from when the job has a name until nobody waits any more.
pub(crate) async fn watch(scheduler: &Channel, job: impl Fn() -> String, seen: &impl Fn(Seen)) -> Infallible {
    let mut tick = interval(EVERY);
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tick.tick().await;
        let job = job();
        if job.is_empty() {
            continue;
        }
        match ask(scheduler, &job).await {
            Ok(overview) => Seen::of(&overview).into_iter().for_each(seen),
            Err(error) => tracing::trace!(%error, job, "the scheduler did not tell how the job stands"),
        }
    }
}

/// How a job that has ended stands; none when the scheduler does not tell.
pub(crate) async fn ended(scheduler: &Channel, job: &str) -> Option<Overview> {
    let told = async {
        loop {
            match ask(scheduler, job).await {
                Ok(overview) if overview.is_done() => return Ok(overview),
                Err(error) if error.code() != Code::NotFound => return Err(error),
                // Between running and ended it is neither, for a moment.
                Ok(_) | Err(_) => sleep(Duration::from_millis(50)).await,
            }
        }
    };
    let told = timeout(PATIENCE, told).await.unwrap_or_else(|_| Err(late()));
    told.inspect_err(|error| tracing::debug!(%error, job, "the scheduler did not tell what the job did")).ok()
}

/// How a job stands that has no result; none when the scheduler does not tell.
pub(crate) async fn stands(scheduler: &Channel, job: &str) -> Option<Overview> {
    let told = async {
        loop {
            match ask(scheduler, job).await {
                Err(error) if error.code() == Code::NotFound => sleep(Duration::from_millis(50)).await,
                told => return told,
            }
        }
    };
    let told = timeout(STANDS_WITHIN, told).await.unwrap_or_else(|_| Err(late()));
    told.inspect_err(|error| tracing::debug!(%error, job, "the scheduler did not tell how far the job came"))
        .ok()
}

async fn ask(scheduler: &Channel, job: &str) -> Result<Overview, Status> {
    timeout(PATIENCE, answers::overview(scheduler, job)).await.unwrap_or_else(|_| Err(late()))
}

fn late() -> Status {
    Status::deadline_exceeded("no answer in time")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::overview::StageOverview;
    use tokio::net::TcpListener;
    use tonic::transport::Endpoint;

    fn stage(tasks: u32, tasks_done: u32) -> StageOverview {
        StageOverview { tasks, tasks_done, ..StageOverview::default() }
    }

    #[test]
    fn the_stage_that_is_under_way_is_seen() {
        let seen = |stages: &[StageOverview]| {
            let seen = Seen::of(&Overview { stages: stages.to_vec(), executors: 2 })?;
            Some((seen.stage, seen.tasks_done, seen.tasks))
        };
        assert_eq!(seen(&[]), None);
        assert_eq!(seen(&[stage(3, 0), stage(2, 0)]), Some((1, 0, 3)));
        assert_eq!(seen(&[stage(3, 3), stage(2, 0)]), Some((2, 0, 2)));
        assert_eq!(seen(&[stage(3, 3), stage(2, 2)]), Some((2, 2, 2)));
        assert_eq!(seen(&[stage(3, 2), stage(2, 1)]), Some((1, 2, 3)), "results of the first were lost");
    }

    #[tokio::test]
    async fn a_scheduler_that_does_not_answer_is_asked_again_and_nobody_is_told() {
        let id = std::process::id();
        let address = format!("127.{}.{}.200:7040", 1 + id / 250 % 250, 1 + id % 250);
        let scheduler = Endpoint::from_shared(format!("http://{address}")).unwrap().connect_lazy();
        assert_eq!(ended(&scheduler, "job").await, None, "nobody listens");
        let listener = TcpListener::bind(&address).await.unwrap();
        let hangs_up = async {
            for _ in 0..2 {
                drop(listener.accept().await.unwrap());
            }
        };
        tokio::select! {
            never = watch(&scheduler, || "job".to_owned(), &|seen| panic!("{seen:?}")) => match never {},
            () = hangs_up => {}
        }
    }
}
