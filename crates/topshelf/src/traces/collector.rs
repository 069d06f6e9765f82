//! The collector, as an HTTP server that may be away: asked by the thread that exports, and by no other.
//!
//! Neither the path and user of its URL nor what it is sent gets into the log.

use futures::future::BoxFuture;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_sdk::error::OTelSdkError;
use std::{
    env, error, iter,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::runtime::{Builder, Runtime};
use tracing::{info, warn};

/// How long one post may take unless the environment says otherwise.
const ANSWER_TIME: Duration = Duration::from_secs(10);

/// More of an answer is not read: it says in a few words what was not taken.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// Where spans are posted.
#[derive(Debug, Clone)]
pub(super) struct Collector(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    client: reqwest::Client,
    /// Of the thread that exports, which has no other.
    runtime: Runtime,
    /// Scheme, host and port.
    place: String,
    /// Why the last post had no answer.
    no_answer: Mutex<Option<String>>,
    is_away: AtomicBool,
}

impl Collector {
    pub(super) fn new(endpoint: &str) -> Result<Self, String> {
        let url = reqwest::Url::parse(endpoint);
        let url = url.map_err(|error| format!("the collector's address is no URL: {error}"))?;
        let client = reqwest::Client::builder()
            .timeout(answer_time())
            // A connection that was idle since the last batch may be gone.
            .pool_max_idle_per_host(0)
            .redirect(reqwest::redirect::Policy::none())
            .build();
        let runtime = Builder::new_current_thread().enable_all().build();
        Ok(Self(Arc::new(Inner {
            client: client.map_err(|error| chain(&error))?,
            runtime: runtime.map_err(|error| error.to_string())?,
            place: url.origin().ascii_serialization(),
            no_answer: Mutex::default(),
            is_away: AtomicBool::new(false),
        })))
    }

    /// Says what came of a batch, when the one before it went otherwise.
    pub(super) fn tell(&self, failure: Option<&OTelSdkError>) {
        let Inner { place, is_away, no_answer, .. } = &*self.0;
        let was_away = is_away.swap(failure.is_some(), Ordering::Relaxed);
        let no_answer = no_answer.lock().unwrap_or_else(PoisonError::into_inner).take();
        match failure {
            Some(failure) if !was_away => {
                let error = no_answer.unwrap_or_else(|| failure.to_string());
                warn!(
                    collector = place,
                    error, "the OpenTelemetry collector does not take traces, and they are dropped"
                );
            }
            None if was_away => info!(collector = place, "the OpenTelemetry collector takes traces again"),
            _ => (),
        }
    }
}

impl Inner {
    async fn post(&self, request: Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
        let mut answer = self.client.execute(request.try_into()?).await?;
        let (status, headers) = (answer.status(), std::mem::take(answer.headers_mut()));
        let mut body = Vec::new();
        while body.len() < ANSWER_BYTES_MAX
            && let Some(more) = answer.chunk().await?
        {
            body.extend_from_slice(&more);
        }
        let mut answer = Response::new(body.into());
        (*answer.status_mut(), *answer.headers_mut()) = (status, headers);
        Ok(answer)
    }
}

impl HttpClient for Collector {
    fn send_bytes<'a: 'b, 'b>(
        &'a self,
        request: Request<Bytes>,
    ) -> BoxFuture<'b, Result<Response<Bytes>, HttpError>>
    where
        Self: 'b,
    {
        let inner = &*self.0;
        Box::pin(async move {
            // The thread that exports is no thread of a runtime, and may block.
            let answered = inner.runtime.block_on(inner.post(request)).map_err(reqwest::Error::without_url);
            let told = answered.as_ref().err().map(|error| chain(error));
            *inner.no_answer.lock().unwrap_or_else(PoisonError::into_inner) = told;
            answered.map_err(HttpError::from)
        })
    }
}

/// How long a post may take, as the environment has it in milliseconds.
fn answer_time() -> Duration {
    let names = ["OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT"];
    let said = names.into_iter().find_map(|name| env::var(name).ok()?.parse().ok());
    said.map_or(ANSWER_TIME, Duration::from_millis)
}

fn chain(error: &dyn error::Error) -> String {
    let causes = iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
