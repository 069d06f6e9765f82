//! Waiting for a scheduler that is not reached, and saying so.

use crate::{
    ended::ProcessError,
    transport::{Peer, TRY_EVERY},
    unreachable::Unreachable,
};
use ballista_executor::health::ExecutorHealth;
use std::{
    io,
    net::IpAddr,
    pin::Pin,
    task::{Context, Poll},
    time::{Duration, Instant},
};
use tokio::time::timeout;
use tonic::{
    codegen::{Service, http},
    transport::Channel,
};

/// How often the log tells that it is still waited for.
const TELL_EVERY: Duration = Duration::from_secs(30);

/// For how long an executor may get no answer before that is worth a word.
const UNANSWERED_FOR: Duration = Duration::from_secs(5);

/// Whoever is asked has so long to answer, however late it is.
const ATTEMPT_MIN: Duration = Duration::from_secs(1);

/// Who waits for a scheduler.
pub(crate) struct Patience {
    scheduler: Peer,
    give_up_after: Option<Duration>,
    /// None while it is there.
    waiting: Option<Waiting>,
}

struct Waiting {
    since: Instant,
    /// When the log was told last.
    told: Option<Instant>,
    /// What was wrong the last time; none when it answers, and gives no tasks.
    why: Option<Unreachable>,
}

impl Patience {
    pub(crate) fn new(scheduler: Peer, give_up_after: Option<Duration>) -> Self {
        Self { scheduler, give_up_after, waiting: None }
    }

    /// Connects, as soon as there is somebody who may be talked to; by which address of this machine.
    pub(crate) async fn reach(&mut self) -> Result<(IpAddr, Channel), ProcessError> {
        let scheduler = self.scheduler.clone();
        let connect = async || {
            let ours = scheduler.greet().await?;
            let channel = scheduler.connect().await;
            let channel = channel.map_err(|error| Unreachable::Connection(io::Error::other(error)))?;
            Ok((ours, channel))
        };
        loop {
            match self.attempt(connect()).await {
                Some(Ok(reached)) => {
                    self.found();
                    return Ok(reached);
                }
                Some(Err(unreachable)) => self.not_reached(Some(unreachable))?,
                None => self.not_reached_again()?,
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// Looks whether the scheduler answers, until it is waited for too long.
    pub(crate) async fn watch(&mut self, health: &ExecutorHealth) -> ProcessError {
        let scheduler = self.scheduler.clone();
        let mut unanswered_since = Instant::now();
        loop {
            tokio::time::sleep(TRY_EVERY).await;
            if health.is_ready() {
                self.found();
                unanswered_since = Instant::now();
            } else if unanswered_since.elapsed() > UNANSWERED_FOR {
                self.waiting_since(unanswered_since);
                let told = match self.attempt(scheduler.greet()).await {
                    Some(greeted) => self.not_reached(greeted.err()),
                    None => self.not_reached_again(),
                };
                if let Err(given_up) = told {
                    return given_up;
                }
            }
        }
    }

    /// An attempt, for which there is time until patience is at its end, and a moment in any case; none when it was too long.
    async fn attempt<T>(&mut self, attempt: impl Future<Output = T>) -> Option<T> {
        let Some(after) = self.give_up_after else { return Some(attempt.await) };
        let left = after.saturating_sub(self.waiting().since.elapsed());
        timeout(left.max(ATTEMPT_MIN), attempt).await.ok()
    }

    fn waiting(&mut self) -> &mut Waiting {
        self.waiting_since(Instant::now())
    }

    /// The same, that began then if it did not before.
    fn waiting_since(&mut self, since: Instant) -> &mut Waiting {
        // Who was not asked for anything yet is silent.
        self.waiting.get_or_insert(Waiting { since, told: None, why: Some(Unreachable::Silent) })
    }

    fn found(&mut self) {
        if self.waiting.take().is_some_and(|waiting| waiting.told.is_some()) {
            tracing::info!(scheduler = %self.scheduler, "the scheduler is reached");
        }
    }

    fn not_reached(&mut self, why: Option<Unreachable>) -> Result<(), ProcessError> {
        self.waiting().why = why;
        self.not_reached_again()
    }

    /// Tells it, now and then; what is wrong is what was wrong before.
    fn not_reached_again(&mut self) -> Result<(), ProcessError> {
        let give_up_after = self.give_up_after;
        let waiting = self.waiting();
        let waited = waiting.since.elapsed();
        if waiting.told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            waiting.told = Some(Instant::now());
            let reason = match &waiting.why {
                Some(unreachable) => unreachable.chain(),
                None => "it answers, but gives this executor no tasks: its log tells why, or this one with TOPSHELF_LOG=debug".to_owned(),
            };
            tracing::warn!(scheduler = %self.scheduler, reason, waited_s = waited.as_secs(), "waiting for the scheduler");
        }
        if give_up_after.is_some_and(|after| waited >= after) {
            let source = self.waiting.take().and_then(|waiting| waiting.why);
            return Err(ProcessError::GivenUp {
                scheduler: self.scheduler.to_string(),
                after: waited,
                source,
            });
        }
        Ok(())
    }
}

/// A connection that takes its time with bad news: who asks again at once would fill the log.
#[derive(Clone)]
pub(crate) struct Slow {
    inner: Channel,
}

impl Slow {
    pub(crate) fn new(inner: Channel) -> Self {
        Self { inner }
    }
}

impl Service<http::Request<tonic::body::Body>> for Slow {
    type Response = http::Response<tonic::body::Body>;
    type Error = tonic::transport::Error;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let answer = self.inner.call(request);
        Box::pin(async {
            let answer = answer.await;
            if answer.is_err() {
                tokio::time::sleep(UNANSWERED_FOR / 2).await;
            }
            answer
        })
    }
}
