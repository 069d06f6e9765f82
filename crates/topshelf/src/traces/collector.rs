//! The collector, as an HTTP server that may be away: asked by the thread that exports, and by no other.
//!
//! Neither the path and user of its URL nor what it is sent gets into the log.

use flate2::{Compression, write::GzEncoder};
use futures::future::BoxFuture;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use reqwest::header::{CONTENT_ENCODING, HeaderValue};
use std::{
    env, error,
    io::{self, Write},
    iter,
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
    is_gzipped: bool,
    /// Why the last post was not taken.
    refusal: Mutex<Option<String>>,
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
            is_gzipped: said("COMPRESSION").is_some_and(|compression| compression == "gzip"),
            refusal: Mutex::default(),
            is_away: AtomicBool::new(false),
        })))
    }

    /// Says whether traces are taken, when that has changed.
    pub(super) fn tell(&self, are_taken: bool) {
        let Inner { place, is_away, refusal, .. } = &*self.0;
        let was_away = is_away.swap(!are_taken, Ordering::Relaxed);
        if was_away && are_taken {
            info!(collector = place, "the OpenTelemetry collector takes traces again");
        } else if !was_away && !are_taken {
            let refusal = refusal.lock().unwrap_or_else(PoisonError::into_inner).take();
            let error = refusal.as_deref().unwrap_or("no answer in time");
            warn!(
                collector = place,
                error, "the OpenTelemetry collector does not take traces, which are dropped"
            );
        }
    }
}

impl Inner {
    async fn post(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, reqwest::Error> {
        if self.is_gzipped {
            let body = gzipped(request.body()).expect("memory takes any bytes");
            *request.body_mut() = body.into();
            request.headers_mut().insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
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
            let refusal = match &answered {
                Ok(answer) if answer.status().is_success() => None,
                Ok(answer) => Some(format!("it answers {}", answer.status())),
                Err(error) => Some(chain(error)),
            };
            *inner.refusal.lock().unwrap_or_else(PoisonError::into_inner) = refusal;
            answered.map_err(HttpError::from)
        })
    }
}

/// What the environment says of the export of traces, or else of all that is exported.
pub(super) fn said(name: &str) -> Option<String> {
    let names = [format!("OTEL_EXPORTER_OTLP_TRACES_{name}"), format!("OTEL_EXPORTER_OTLP_{name}")];
    names.into_iter().find_map(|name| env::var(name).ok().filter(|value| !value.is_empty()))
}

/// How long a post may take, as the environment has it in milliseconds.
fn answer_time() -> Duration {
    said("TIMEOUT").and_then(|time| time.parse().ok()).map_or(ANSWER_TIME, Duration::from_millis)
}

fn gzipped(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes)?;
    gzip.finish()
}

fn chain(error: &dyn error::Error) -> String {
    let causes = iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
