//! Traces: what a run's stages took, and what was asked of the server, for OpenTelemetry.
//!
//! The pipeline makes spans of `tracing` under one target, which no log shows. Built with the feature `otel`, and told
//! of a collector by the environment, the program hands them to [`export`], as it does those that the server makes of
//! requests; otherwise they are never made. The environment's names are OpenTelemetry's own, so that whoever runs
//! other services runs this one. Nothing here fails a run: what cannot be exported is said in the log.

#[cfg(feature = "otel")]
mod collector;
#[cfg(feature = "otel")]
mod export;

use crate::failure::Failure;
#[cfg(feature = "otel")]
pub(crate) use export::{end, layer, start, tracer};
use std::pin::Pin;
use tracing::{Instrument, Metadata, Span};

/// The target of the pipeline's spans.
pub(crate) const TARGET: &str = "topshelf::trace";

/// Where spans go: of its own, or with all that OpenTelemetry collects.
const ENDPOINTS: [&str; 2] = ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"];

/// A span of the pipeline, with the attributes that may be known later.
macro_rules! span {
    ($name:literal, $($field:tt)*) => {
        tracing::info_span!(
            target: $crate::traces::TARGET,
            $name,
            otel.status_code = tracing::field::Empty,
            otel.status_description = tracing::field::Empty,
            $($field)*
        )
    };
}
pub(crate) use span;

/// Whether it is of the target that is for traces alone, or what OpenTelemetry's libraries say of themselves that is
/// said better here.
pub(crate) fn are_for(metadata: &Metadata<'_>) -> bool {
    let is_of_libraries = metadata.target().starts_with("opentelemetry");
    metadata.target() == TARGET || is_of_libraries && !metadata.name().starts_with("BatchSpanProcessor.Span")
}

/// Does the work inside the span, which tells why it failed. The work's state is on the heap, as a stack has no room for
/// that of a night in that of a span in that of a night.
pub(crate) fn inside<T>(
    span: Span,
    work: impl Future<Output = Result<T, Failure>>,
) -> Pin<Box<impl Future<Output = Result<T, Failure>>>> {
    let work = Box::pin(work);
    Box::pin(async move {
        let done = work.instrument(span.clone()).await;
        if let Err(failure) = &done {
            failed(&span, failure);
        }
        done
    })
}

/// Marks the span as failed.
pub(crate) fn failed(span: &Span, failure: &Failure) {
    if !span.is_disabled() {
        span.record("otel.status_code", "ERROR").record("otel.status_description", failure.chain());
    }
}

/// The collector that the environment names, when anything is to go there.
fn endpoint() -> Option<String> {
    let of = |name| std::env::var(name).ok().filter(|value: &String| !value.is_empty());
    let is_off = of("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
        || of("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
    if is_off { None } else { ENDPOINTS.into_iter().find_map(of) }
}

/// What is to be said of the environment, which may ask for traces that this program cannot make.
#[cfg(not(feature = "otel"))]
pub(crate) fn start() -> Option<String> {
    endpoint().map(|_| {
        "the environment names an OpenTelemetry collector, and this build has no OpenTelemetry (feature `otel`): \
         no traces are exported"
            .to_owned()
    })
}

#[cfg(not(feature = "otel"))]
pub(crate) fn layer() -> Option<Box<dyn tracing_subscriber::Layer<tracing_subscriber::Registry> + Send + Sync>>
{
    None
}

#[cfg(not(feature = "otel"))]
pub(crate) fn end() {}
