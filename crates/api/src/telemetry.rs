//! What a server tells Prometheus and the log of its requests and its snapshot.
//!
//! Each server has a recorder of its own, so several live in one process without a global one.

use crate::{
    serving::Serving,
    snapshot::Snapshot,
    wire::{RunSeen, RunsSeen},
};
use axum::{
    extract::{MatchedPath, Request, State},
    http::{Method, StatusCode, Uri},
    middleware::Next,
    response::Response,
};
use domain::Day;
use jiff::{Timestamp, tz::TimeZone};
use metrics::{Counter, Histogram, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::{
    sync::Arc,
    time::{Duration, Instant},
};

const REQUESTS: &str = "topshelf_http_requests_total";
const REQUEST_DURATION: &str = "topshelf_http_request_duration_seconds";
const SNAPSHOT_VERSION: &str = "topshelf_snapshot_version";
const SNAPSHOT_LOADED_AT: &str = "topshelf_snapshot_loaded_at_seconds";
const SNAPSHOT_NEWEST_DAY: &str = "topshelf_snapshot_newest_day_seconds";
const SNAPSHOT_DAYS: &str = "topshelf_snapshot_days";
const SNAPSHOT_ADVERTISERS: &str = "topshelf_snapshot_advertisers";
const SNAPSHOT_STALE: &str = "topshelf_snapshot_stale";
const NEXT_RUN_AT: &str = "topshelf_next_run_at_seconds";
const LEDGER_SEEN_AT: &str = "topshelf_ledger_seen_at_seconds";
const RUNS_UNDER_WAY: &str = "topshelf_runs_under_way";
const LAST_RUN_ENDED_AT: &str = "topshelf_last_run_ended_at_seconds";
const LAST_RUN_SUCCEEDED: &str = "topshelf_last_run_succeeded";
const LAST_SUCCESS_ENDED_AT: &str = "topshelf_last_success_ended_at_seconds";
const LAST_SUCCESS_DAY: &str = "topshelf_last_success_day_seconds";
const SNAPSHOT_LOADS: &str = "topshelf_snapshot_loads_total";
const SNAPSHOT_REFUSED: &str = "topshelf_snapshot_refused";
const SNAPSHOT_CONFIRMED_AT: &str = "topshelf_snapshot_confirmed_at_seconds";
const SNAPSHOT_FROM_DISK: &str = "topshelf_snapshot_from_disk";
const SNAPSHOT_KEPT_AT: &str = "topshelf_snapshot_kept_at_seconds";
const KEYS_VALID: &str = "topshelf_keys_valid";
const KEYS_CONFIRMED_AT: &str = "topshelf_keys_confirmed_at_seconds";
const SNAPSHOT_KEEPS: &str = "topshelf_snapshot_keeps_total";

/// Upper bounds of the latency histogram: answers come from memory, so they begin at 50 µs.
const DURATION_BOUNDS_SECONDS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/// The metrics of one server.
pub(crate) struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    recommended: Recommended,
}

/// The metrics of the route that is asked most, at hand.
struct Recommended {
    ok: Counter,
    not_modified: Counter,
    duration: Histogram,
}

/// The route that is asked most.
pub(crate) const RECOMMENDATIONS: &str = "/recommendations/{advertiser}/{model}";

impl Telemetry {
    pub(crate) fn new() -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&DURATION_BOUNDS_SECONDS);
        let recorder = builder.expect("the bounds are not empty").build_recorder();
        let handle = recorder.handle();
        let recommended = with_local_recorder(&recorder, || {
            describe();
            Recommended {
                ok: counter!(REQUESTS, "route" => RECOMMENDATIONS, "status" => "200"),
                not_modified: counter!(REQUESTS, "route" => RECOMMENDATIONS, "status" => "304"),
                duration: histogram!(REQUEST_DURATION, "route" => RECOMMENDATIONS),
            }
        });
        Self { recorder, handle, recommended }
    }

    /// Records what does not stand in this module.
    pub(crate) fn with<T>(&self, record: impl FnOnce() -> T) -> T {
        with_local_recorder(&self.recorder, record)
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
            gauge!(SNAPSHOT_REFUSED).set(f64::from(u8::from(!snapshot.refused().is_empty())));
            gauge!(SNAPSHOT_FROM_DISK).set(0.0);
        });
        self.serves(snapshot);
    }

    /// Notes that what was kept on disk is served.
    pub(crate) fn serves_kept(&self, snapshot: &Snapshot) {
        with_local_recorder(&self.recorder, || gauge!(SNAPSHOT_FROM_DISK).set(1.0));
        self.serves(snapshot);
    }

    fn serves(&self, snapshot: &Snapshot) {
        with_local_recorder(&self.recorder, || {
            gauge!(SNAPSHOT_VERSION).set(approximately(snapshot.version()));
            gauge!(SNAPSHOT_LOADED_AT).set(approximately(snapshot.loaded_at().as_second()));
            gauge!(SNAPSHOT_DAYS).set(approximately(snapshot.days().count()));
            gauge!(SNAPSHOT_ADVERTISERS).set(approximately(snapshot.active_advertiser_count()));
            gauge!(SNAPSHOT_NEWEST_DAY).set(snapshot.newest_day().map_or(0.0, start_of));
        });
    }

    pub(crate) fn load_failed(&self) {
        with_local_recorder(&self.recorder, || counter!(SNAPSHOT_LOADS, "outcome" => "failed").increment(1));
    }

    pub(crate) fn load_refused(&self) {
        with_local_recorder(&self.recorder, || {
            counter!(SNAPSHOT_LOADS, "outcome" => "refused").increment(1);
            gauge!(SNAPSHOT_REFUSED).set(1.0);
        });
    }

    /// Notes that the database said that what is served is what is published.
    pub(crate) fn confirmed(&self, at: Timestamp) {
        with_local_recorder(&self.recorder, || {
            gauge!(SNAPSHOT_CONFIRMED_AT).set(approximately(at.as_second()));
        });
    }

    /// Notes whether what is served could be kept on disk.
    pub(crate) fn kept(&self, is_kept: bool) {
        with_local_recorder(&self.recorder, || {
            let outcome = if is_kept { "kept" } else { "failed" };
            counter!(SNAPSHOT_KEEPS, "outcome" => outcome).increment(1);
            if is_kept {
                gauge!(SNAPSHOT_KEPT_AT).set(approximately(Timestamp::now().as_second()));
            }
        });
    }

    /// Notes how many API keys are valid.
    pub(crate) fn keys(&self, valid: usize) {
        with_local_recorder(&self.recorder, || gauge!(KEYS_VALID).set(approximately(valid)));
    }

    /// Notes that the database said which API keys are valid.
    pub(crate) fn keys_confirmed(&self, at: Timestamp) {
        with_local_recorder(&self.recorder, || {
            gauge!(KEYS_CONFIRMED_AT).set(approximately(at.as_second()));
        });
    }

    pub(crate) fn stale(&self, is_stale: bool) {
        with_local_recorder(&self.recorder, || gauge!(SNAPSHOT_STALE).set(f64::from(u8::from(is_stale))));
    }

    pub(crate) fn next_run_at(&self, next_run_at: Timestamp) {
        with_local_recorder(&self.recorder, || {
            gauge!(NEXT_RUN_AT).set(approximately(next_run_at.as_second()));
        });
    }

    pub(crate) fn runs(&self, runs: &RunsSeen) {
        with_local_recorder(&self.recorder, || {
            gauge!(LEDGER_SEEN_AT).set(approximately(runs.seen_at.as_second()));
            gauge!(RUNS_UNDER_WAY).set(approximately(runs.under_way.len()));
            let ended_at = |run: &RunSeen| run.ended_at.map_or(0.0, |at| approximately(at.as_second()));
            if let Some(last) = &runs.last {
                gauge!(LAST_RUN_ENDED_AT).set(ended_at(last));
                gauge!(LAST_RUN_SUCCEEDED).set(f64::from(u8::from(last.status == "succeeded")));
            }
            if let Some(last) = &runs.last_succeeded {
                gauge!(LAST_SUCCESS_ENDED_AT).set(ended_at(last));
                gauge!(LAST_SUCCESS_DAY).set(start_of(last.day));
            }
        });
    }

    /// Counts and times an answer.
    pub(crate) fn answered(&self, route: &str, status: StatusCode, elapsed: Duration) {
        let at_hand = match (route, status) {
            (RECOMMENDATIONS, StatusCode::OK) => Some(&self.recommended.ok),
            (RECOMMENDATIONS, StatusCode::NOT_MODIFIED) => Some(&self.recommended.not_modified),
            _ => None,
        };
        if let Some(counter) = at_hand {
            counter.increment(1);
            self.recommended.duration.record(elapsed);
            return;
        }
        with_local_recorder(&self.recorder, || {
            let route = route.to_owned();
            counter!(REQUESTS, "route" => route.clone(), "status" => status.as_str().to_owned()).increment(1);
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
    tell(&serving, route, &method, &uri, response.status(), started);
    response
}

/// Counts and times an answer, and writes its line of the access log.
pub(crate) fn tell(
    serving: &Serving,
    route: &str,
    method: &Method,
    uri: &Uri,
    status: StatusCode,
    started: Instant,
) {
    let elapsed = started.elapsed();
    serving.telemetry.answered(route, status, elapsed);
    tracing::debug!(%method, %uri, status = status.as_u16(), elapsed_us = elapsed.as_micros(), "request answered");
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
    metrics::describe_gauge!(KEYS_VALID, "API keys that are valid; absent where none are asked for");
    metrics::describe_gauge!(
        KEYS_CONFIRMED_AT,
        "When the database last told which API keys are valid, in Unix time"
    );
    metrics::describe_gauge!(NEXT_RUN_AT, "When the next night begins, in Unix time");
    metrics::describe_gauge!(
        LEDGER_SEEN_AT,
        "When the database last told of the runs, in Unix time: old when it cannot be read"
    );
    metrics::describe_gauge!(RUNS_UNDER_WAY, "Runs that have not ended, as the ledger tells");
    metrics::describe_gauge!(LAST_RUN_ENDED_AT, "When the last run of the newest day ended, in Unix time");
    metrics::describe_gauge!(
        LAST_RUN_SUCCEEDED,
        "1 when the last run of the newest day succeeded; 0 when it failed, was held, was stopped or died"
    );
    metrics::describe_gauge!(
        LAST_SUCCESS_ENDED_AT,
        "When the last run of the newest day that succeeded ended, in Unix time"
    );
    metrics::describe_gauge!(
        LAST_SUCCESS_DAY,
        "Start of the newest day (UTC) of which a run succeeded, in Unix time"
    );
    metrics::describe_counter!(
        SNAPSHOT_LOADS,
        "Attempts to load what is published, by outcome: loaded, failed, or refused as invalid"
    );
    metrics::describe_gauge!(
        SNAPSHOT_REFUSED,
        "1 while what is published, or a day of it, is refused as invalid"
    );
    metrics::describe_gauge!(
        SNAPSHOT_CONFIRMED_AT,
        "When the database last said that what is served is what is published, in Unix time"
    );
    metrics::describe_gauge!(SNAPSHOT_FROM_DISK, "1 while what was kept on disk is served");
    metrics::describe_gauge!(SNAPSHOT_KEPT_AT, "When what is served was last kept on disk, in Unix time");
    metrics::describe_counter!(SNAPSHOT_KEEPS, "Attempts to keep what is served on disk, by outcome");
}

/// The start of the day (UTC), in Unix time.
fn start_of(day: Day) -> f64 {
    let start = day.date().to_zoned(TimeZone::UTC);
    start.map_or(0.0, |start| approximately(start.timestamp().as_second()))
}

/// Prometheus knows only `f64`.
fn approximately(number: impl TryInto<i64>) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a gauge is read by people and alarms")]
    number.try_into().map_or(f64::NAN, |number| number as f64)
}
