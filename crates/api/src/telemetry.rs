//! What a server tells Prometheus and the log of its requests and its snapshot.
//!
//! Each server has a recorder of its own, so several live in one process without a global one.

mod catalog;
mod last_run;
#[cfg(test)]
mod page;
mod proc_files;

use crate::{
    options::DroppedLines,
    snapshot::Snapshot,
    wire::{RunSeen, RunsSeen},
};
use axum::http::StatusCode;
use catalog::{
    ACCESS_LOG_DROPPED, BUILD_INFO, KEYS_CONFIRMED_AT, KEYS_VALID, Kind, LAST_RUN_ADVERTISERS,
    LAST_RUN_DURATION, LAST_RUN_ENDED_AT, LAST_RUN_LINES_READ, LAST_RUN_LINES_REJECTED, LAST_RUN_RETRIES,
    LAST_RUN_STAGE_DURATION, LAST_RUN_SUCCEEDED, LAST_SUCCESS_DAY, LAST_SUCCESS_ENDED_AT, LEDGER_SEEN_AT,
    LOG_DROPPED, METRICS, METRICS_OF_LISTENERS, Metric, NEXT_RUN_AT, PUBLISHED_DAY, REQUEST_DURATION,
    REQUESTS, RUNS_UNDER_WAY, SNAPSHOT_ADVERTISERS, SNAPSHOT_BYTES, SNAPSHOT_CONFIRMED_AT, SNAPSHOT_DAYS,
    SNAPSHOT_FROM_DISK, SNAPSHOT_KEEPS, SNAPSHOT_KEPT_AT, SNAPSHOT_LOADED_AT, SNAPSHOT_LOADS,
    SNAPSHOT_NEWEST_DAY, SNAPSHOT_REFUSED, SNAPSHOT_STALE, SNAPSHOT_VERSION,
};
pub(crate) use catalog::{
    CERTIFICATE_EXPIRES_AT, CONNECTIONS, CONNECTIONS_CUT, CONNECTIONS_REFUSED, TLS_RELOADS,
};
use domain::Day;
use jiff::{Timestamp, tz::TimeZone};
use last_run::{LOGS, LastRun, STAGES};
use metrics::{Counter, Histogram, counter, gauge, histogram, with_local_recorder};
use metrics_exporter_prometheus::{PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use std::{fmt::Write, sync::atomic::Ordering, time::Duration};
use store::RunRecord;

/// Upper bounds of the latency histogram: answers come from memory, so they begin at 50 µs.
const DURATION_BOUNDS_SECONDS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 2.5];

/// The metrics of one server.
pub(crate) struct Telemetry {
    recorder: PrometheusRecorder,
    handle: PrometheusHandle,
    recommended: Recommended,
    dropped_lines: DroppedLines,
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
    /// No request yet, and nothing served; `dropped_lines` are told with the rest.
    pub(crate) fn new(dropped_lines: DroppedLines) -> Self {
        let builder = PrometheusBuilder::new().set_buckets(&DURATION_BOUNDS_SECONDS);
        let recorder = builder.expect("the bounds are not empty").build_recorder();
        let handle = recorder.handle();
        let recommended = with_local_recorder(&recorder, || {
            describe();
            begin();
            Recommended {
                ok: counter!(REQUESTS, "route" => RECOMMENDATIONS, "status" => "200"),
                not_modified: counter!(REQUESTS, "route" => RECOMMENDATIONS, "status" => "304"),
                duration: histogram!(REQUEST_DURATION, "route" => RECOMMENDATIONS),
            }
        });
        Self { recorder, handle, recommended, dropped_lines }
    }

    /// Records what does not stand in this module.
    pub(crate) fn with<T>(&self, record: impl FnOnce() -> T) -> T {
        with_local_recorder(&self.recorder, record)
    }

    /// The metrics in Prometheus' text format.
    pub(crate) fn render(&self) -> String {
        with_local_recorder(&self.recorder, || {
            counter!(ACCESS_LOG_DROPPED).absolute(self.dropped_lines.of_access.load(Ordering::Relaxed));
            counter!(LOG_DROPPED).absolute(self.dropped_lines.of_others.load(Ordering::Relaxed));
        });
        let mut text = self.handle.render();
        for (name, number) in proc_files::metrics() {
            let metric = METRICS.iter().find(|metric| metric.name == name);
            let (kind, says) = metric.map_or(("untyped", ""), |metric| (metric.kind.name(), metric.says));
            writeln!(text, "# HELP {name} {says}\n# TYPE {name} {kind}\n{name} {number}\n")
                .expect("a string takes any text");
        }
        text
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
            gauge!(SNAPSHOT_BYTES).set(approximately(snapshot.memory_bytes()));
            gauge!(SNAPSHOT_NEWEST_DAY).set(snapshot.newest_day().map_or(0.0, start_of));
            for (model, day) in snapshot.newest_day_by_model() {
                gauge!(PUBLISHED_DAY, "model" => model.to_string()).set(day.map_or(0.0, start_of));
            }
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

    /// Notes what the report of the last run that ended tells.
    pub(crate) fn last_run(&self, run: &RunRecord) {
        let last = LastRun::of(run);
        with_local_recorder(&self.recorder, || {
            gauge!(LAST_RUN_DURATION).set(last.duration_seconds);
            for (stage, seconds) in STAGES.into_iter().zip(last.stages) {
                gauge!(LAST_RUN_STAGE_DURATION, "stage" => stage).set(seconds);
            }
            for (log, (read, rejected)) in LOGS.into_iter().zip(last.lines) {
                gauge!(LAST_RUN_LINES_READ, "log" => log).set(approximately(read));
                gauge!(LAST_RUN_LINES_REJECTED, "log" => log).set(approximately(rejected));
            }
            gauge!(LAST_RUN_ADVERTISERS, "outcome" => "published").set(approximately(last.published));
            gauge!(LAST_RUN_ADVERTISERS, "outcome" => "held").set(approximately(last.held));
            gauge!(LAST_RUN_RETRIES).set(approximately(last.retries));
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

fn all_metrics() -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().chain(METRICS_OF_LISTENERS)
}

/// Says what each metric means.
fn describe() {
    for metric in all_metrics() {
        match metric.kind {
            Kind::Counter => metrics::describe_counter!(metric.name, metric.says),
            Kind::Gauge => metrics::describe_gauge!(metric.name, metric.says),
            Kind::Histogram => metrics::describe_histogram!(metric.name, metric.says),
        }
    }
}

/// What has not happened yet is 0, so that alarms see the first time.
fn begin() {
    gauge!(BUILD_INFO, "version" => env!("CARGO_PKG_VERSION")).set(1.0);
    gauge!(SNAPSHOT_REFUSED).set(0.0);
    gauge!(SNAPSHOT_FROM_DISK).set(0.0);
    for outcome in ["loaded", "failed", "refused"] {
        counter!(SNAPSHOT_LOADS, "outcome" => outcome).increment(0);
    }
    for outcome in ["kept", "failed"] {
        counter!(SNAPSHOT_KEEPS, "outcome" => outcome).increment(0);
    }
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
