//! What a server tells Prometheus and the log of its requests and its snapshot.
//!
//! Each server has a recorder of its own, so several live in one process without a global one.

use crate::{serving::Serving, snapshot::Snapshot};
use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::Response,
};
use jiff::tz::TimeZone;
use metrics::{counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::{sync::Arc, time::Instant};

const REQUESTS: &str = "topshelf_http_requests_total";
const REQUEST_DURATION: &str = "topshelf_http_request_duration_seconds";
const SNAPSHOT_VERSION: &str = "topshelf_snapshot_version";
const SNAPSHOT_LOADED_AT: &str = "topshelf_snapshot_loaded_at_seconds";
const SNAPSHOT_NEWEST_DAY: &str = "topshelf_snapshot_newest_day_seconds";
const SNAPSHOT_DAYS: &str = "topshelf_snapshot_days";
const SNAPSHOT_ADVERTISERS: &str = "topshelf_snapshot_advertisers";
const SNAPSHOT_STALE: &str = "topshelf_snapshot_stale";
const SNAPSHOT_LOADS: &str = "topshelf_snapshot_loads_total";

/// Upper bounds of the latency histogram: answers come from memory, so they begin at 50 µs.
const DURATION_BOUNDS_SECONDS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/// The metrics of one server.
pub(crate) struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
}

impl Telemetry {
    pub(crate) fn new() -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&DURATION_BOUNDS_SECONDS);
        let recorder = builder.expect("the bounds are not empty").build_recorder();
        let handle = recorder.handle();
        let telemetry = Self { recorder, handle };
        with_local_recorder(&telemetry.recorder, describe);
        telemetry
    }

    /// The metrics in Prometheus' text format.
    pub(crate) fn render(&self) -> String {
        self.handle.render()
    }

    /// Folds the latencies recorded since the last time; without it they pile up until a scrape.
    pub(crate) fn fold(&self) {
        self.handle.run_upkeep();
    }

    pub(crate) fn loaded(&self, snapshot: &Snapshot) {
        with_local_recorder(&self.recorder, || {
            counter!(SNAPSHOT_LOADS, "outcome" => "loaded").increment(1);
            gauge!(SNAPSHOT_VERSION).set(approximately(snapshot.version()));
            gauge!(SNAPSHOT_LOADED_AT).set(approximately(snapshot.loaded_at().as_second()));
            gauge!(SNAPSHOT_DAYS).set(approximately(snapshot.days().count()));
            gauge!(SNAPSHOT_ADVERTISERS).set(approximately(snapshot.active_advertiser_count()));
            let newest = snapshot.newest_day().and_then(|day| day.date().to_zoned(TimeZone::UTC).ok());
            gauge!(SNAPSHOT_NEWEST_DAY)
                .set(newest.map_or(0.0, |day| approximately(day.timestamp().as_second())));
        });
    }

    pub(crate) fn load_failed(&self) {
        with_local_recorder(&self.recorder, || counter!(SNAPSHOT_LOADS, "outcome" => "failed").increment(1));
    }

    pub(crate) fn stale(&self, is_stale: bool) {
        with_local_recorder(&self.recorder, || gauge!(SNAPSHOT_STALE).set(f64::from(u8::from(is_stale))));
    }

    fn answered(&self, route: &str, status: u16, elapsed: std::time::Duration) {
        with_local_recorder(&self.recorder, || {
            let route = route.to_owned();
            counter!(REQUESTS, "route" => route.clone(), "status" => status.to_string()).increment(1);
            histogram!(REQUEST_DURATION, "route" => route).record(elapsed);
        });
    }
}

impl std::fmt::Debug for Telemetry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Telemetry").finish_non_exhaustive()
    }
}

/// Counts and times a request, and writes its line of the access log.
pub(crate) async fn observe(State(serving): State<Arc<Serving>>, request: Request, next: Next) -> Response {
    let started = Instant::now();
    let (method, uri) = (request.method().clone(), request.uri().clone());
    // Unmatched paths share one label: their number has no bound.
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("none", |route| match route.as_str() {
        "/" => "/",
        route => route.trim_end_matches('/'),
    });
    let response = next.run(request).await;
    let (status, elapsed) = (response.status().as_u16(), started.elapsed());
    serving.telemetry.answered(route, status, elapsed);
    tracing::debug!(%method, %uri, status, elapsed_us = elapsed.as_micros(), "request answered");
    response
}

fn describe() {
    metrics::describe_counter!(REQUESTS, "Requests answered, by route and status");
    metrics::describe_histogram!(REQUEST_DURATION, "Time from request to answer, by route");
    metrics::describe_gauge!(SNAPSHOT_VERSION, "Version of what is published that is served");
    metrics::describe_gauge!(SNAPSHOT_LOADED_AT, "When the served snapshot was loaded, in Unix time");
    metrics::describe_gauge!(
        SNAPSHOT_NEWEST_DAY,
        "Start of the newest published day (UTC), in Unix time; 0 without"
    );
    metrics::describe_gauge!(SNAPSHOT_DAYS, "Published days served");
    metrics::describe_gauge!(SNAPSHOT_ADVERTISERS, "Advertisers active on the newest published day");
    metrics::describe_gauge!(
        SNAPSHOT_STALE,
        "1 when the newest published day is older than the schedule promises"
    );
    metrics::describe_counter!(SNAPSHOT_LOADS, "Attempts to load what is published, by outcome");
}

/// Prometheus knows only `f64`.
fn approximately(number: impl TryInto<i64>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is read by people and alarms")]
    number.try_into().map_or(f64::NAN, |number| number as f64)
}
