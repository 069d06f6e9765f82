//! Waiting for a scheduler that is not reached, and saying so.

use crate::{
    ended::ProcessError,
    transport::{Peer, TRY_EVERY, Unreachable},
};
use ballista_executor::health::ExecutorHealth;
use std::{
    error::Error,
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

/// Who waits for a scheduler.
pub(crate) struct Patience {
    scheduler: Peer,
    give_up_after: Option<Duration>,
    /// Since when it is waited for, and when that was told last; none while it is there.
    lost: Option<(Instant, Option<Instant>)>,
}

impl Patience {
    pub(crate) fn new(scheduler: Peer, give_up_after: Option<Duration>) -> Self {
        Self { scheduler, give_up_after, lost: None }
    }

    /// Connects, as soon as there is somebody who may be talked to; by which address of this machine.
    pub(crate) async fn reach(&mut self) -> Result<(IpAddr, Channel), ProcessError> {
        let scheduler = self.scheduler.clone();
        loop {
            let attempt = async {
                let ours = scheduler.greet().await?;
                let channel = scheduler.connect().await;
                let channel = channel.map_err(|error| Unreachable::Connection(io::Error::other(error)))?;
                Ok((ours, channel))
            };
            match self.while_patient(attempt).await {
                Ok(reached) => {
                    self.found();
                    return Ok(reached);
                }
                Err(unreachable) => self.not_reached(Some(unreachable))?,
            }
            tokio::time::sleep(TRY_EVERY).await;
        }
    }

    /// Looks whether the scheduler answers, until it is waited for too long.
    pub(crate) async fn watch(&mut self, health: &ExecutorHealth) -> ProcessError {
        let mut unanswered_since = Instant::now();
        loop {
            tokio::time::sleep(TRY_EVERY).await;
            if health.is_ready() {
                self.found();
                unanswered_since = Instant::now();
            } else if unanswered_since.elapsed() > UNANSWERED_FOR {
                let scheduler = self.scheduler.clone();
                let unreachable = self.while_patient(scheduler.greet()).await.err();
                if let Err(given_up) = self.not_reached(unreachable) {
                    return given_up;
                }
            }
        }
    }

    /// An attempt, which is given up when patience is at its end.
    async fn while_patient<T>(
        &mut self,
        attempt: impl Future<Output = Result<T, Unreachable>>,
    ) -> Result<T, Unreachable> {
        let (since, _) = self.lost.get_or_insert_with(|| (Instant::now(), None));
        let Some(after) = self.give_up_after else { return attempt.await };
        timeout(after.saturating_sub(since.elapsed()), attempt).await.unwrap_or(Err(Unreachable::Silent))
    }

    fn found(&mut self) {
        if let Some((_, Some(_))) = self.lost.take() {
            tracing::info!(scheduler = %self.scheduler, "the scheduler is reached");
        }
    }

    /// Tells it, now and then.
    fn not_reached(&mut self, unreachable: Option<Unreachable>) -> Result<(), ProcessError> {
        let (since, told) = self.lost.get_or_insert_with(|| (Instant::now(), None));
        if self.give_up_after.is_some_and(|after| since.elapsed() >= after) {
            let (scheduler, after) = (self.scheduler.to_string(), since.elapsed());
            return Err(ProcessError::GivenUp { scheduler, after, source: unreachable });
        }
        if told.is_none_or(|told| told.elapsed() >= TELL_EVERY) {
            *told = Some(Instant::now());
            let reason = match &unreachable {
                Some(unreachable) => chain(unreachable),
                None => "it answers, but gives this executor no tasks; its log tells why".to_owned(),
            };
            let waited_s = since.elapsed().as_secs();
            tracing::warn!(scheduler = %self.scheduler, reason, waited_s, "waiting for the scheduler");
        }
        Ok(())
    }
}

/// An error and its sources in one line.
fn chain(error: &dyn Error) -> String {
    let mut chain = error.to_string();
    let mut source = error.source();
    while let Some(error) = source {
        chain.push_str(&format!(": {error}"));
        source = error.source();
    }
    chain
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
