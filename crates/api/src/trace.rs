//! A span of OpenTelemetry for each request that is sampled; compiled with the feature `otel` alone.
//!
//! What the access log is told of an answer goes in, and whose trace the request belongs to (`traceparent`); a span goes
//! to the tracer that the binary gave, which queues it and never waits. Queries, bodies and other headers never get
//! here. A request that the sampler does not take costs two random numbers and no memory.

use crate::access_log::{Line, visible_path};
use axum::http::{HeaderMap, Method};
use opentelemetry::{
    Context, KeyValue,
    propagation::{Extractor, TextMapPropagator},
    trace::{Span, SpanBuilder, SpanKind, Status, Tracer},
};
use opentelemetry_sdk::{propagation::TraceContextPropagator, trace::SdkTracer};
use std::time::SystemTime;

/// The header that says whose trace a request belongs to, as the W3C has it.
const TRACEPARENT: &str = "traceparent";

/// The methods whose names are part of spans' names; a client can make up any number of others.
const KNOWN: [Method; 9] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::DELETE,
    Method::CONNECT,
    Method::OPTIONS,
    Method::TRACE,
    Method::PATCH,
];

/// The caller's span, of which the request is a child; none without `traceparent`, or when nobody takes spans.
pub(crate) fn parent(tracer: Option<&SdkTracer>, headers: &HeaderMap) -> Context {
    match tracer {
        Some(_) if headers.contains_key(TRACEPARENT) => {
            TraceContextPropagator::new().extract_with_context(&Context::new(), &Headers(headers))
        }
        _ => Context::new(),
    }
}

/// Hands on the span of a request that was answered just now, when it is sampled.
pub(crate) fn answered(tracer: &SdkTracer, parent: &Context, line: &Line<'_>) {
    let ended = SystemTime::now();
    let started = ended.checked_sub(line.elapsed).unwrap_or(ended);
    let span = SpanBuilder::from_name("HTTP").with_kind(SpanKind::Server).with_start_time(started);
    let mut span = tracer.build_with_context(span, parent);
    if !span.is_recording() {
        return;
    }
    let (method, route) = (known(line.method), Some(line.route).filter(|route| *route != "none"));
    let verb = method.unwrap_or("HTTP");
    span.update_name(route.map_or(verb.to_owned(), |route| format!("{verb} {route}")));
    span.set_attribute(KeyValue::new("http.request.method", method.unwrap_or("_OTHER").to_owned()));
    span.set_attribute(KeyValue::new("url.path", visible_path(line.path)));
    if let Some(route) = route {
        span.set_attribute(KeyValue::new("http.route", route.to_owned()));
    }
    span.set_attribute(KeyValue::new("http.response.status_code", i64::from(line.status.as_u16())));
    if let Some(bytes) = line.bytes.and_then(|bytes| i64::try_from(bytes).ok()) {
        span.set_attribute(KeyValue::new("http.response.body.size", bytes));
    }
    span.set_attribute(KeyValue::new("topshelf.request_id", line.request_id.to_owned()));
    if line.status.is_server_error() {
        span.set_attribute(KeyValue::new("error.type", line.status.as_str().to_owned()));
        span.set_status(Status::error(""));
    }
    span.end_with_timestamp(ended);
}

fn known(method: &Method) -> Option<&str> {
    KNOWN.contains(method).then(|| method.as_str())
}

/// Headers as the propagator reads them.
struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(|name| name.as_str()).collect()
    }
}
