//! Every metric: its name, kind, labels and meaning, as `docs/metrics.md` tells them.
//!
//! A name that is here keeps its meaning. Labels take values from a list that is known beforehand or follows from what
//! is published, never from what clients send.

/// A metric.
#[derive(Debug)]
pub(super) struct Metric {
    pub(super) name: &'static str,
    pub(super) kind: Kind,
    #[cfg_attr(not(test), expect(dead_code, reason = "the page tells them, and a test compares them"))]
    pub(super) labels: &'static [&'static str],
    pub(super) says: &'static str,
}

/// What Prometheus makes of a metric's numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Only grows, but for restarts.
    Counter,
    /// Any number.
    Gauge,
    /// Counts below bounds.
    Histogram,
}

impl Kind {
    /// The kind in Prometheus' text format.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

macro_rules! catalog {
    ($(#[$doc:meta])* $list:ident: $($variable:ident = $kind:ident $name:literal [$($label:literal),*] $says:literal;)*) => {
        $(pub(crate) const $variable: &str = $name;)*

        $(#[$doc])*
        pub(super) const $list: &[Metric] = &[
            $(Metric { name: $name, kind: Kind::$kind, labels: &[$($label),*], says: $says },)*
        ];
    };
}

catalog! {
    /// The metrics that are always there, or as soon as there is something to tell.
    METRICS:
    REQUESTS = Counter "topshelf_http_requests_total" ["route", "status"] "Requests answered, by route and status; `none` are all paths without a route";
    REQUEST_DURATION = Histogram "topshelf_http_request_duration_seconds" ["route"] "Time from a request to its answer, without the time that sending takes, by route";
    ACCESS_LOG_DROPPED = Counter "topshelf_access_log_dropped_total" [] "Lines of the access log that were dropped, as stderr was not read fast enough";
    LOG_DROPPED = Counter "topshelf_log_dropped_total" [] "The same of all other lines of the log";
    SNAPSHOT_VERSION = Gauge "topshelf_snapshot_version" [] "Version of what is published that is served";
    SNAPSHOT_LOADED_AT = Gauge "topshelf_snapshot_loaded_at_seconds" [] "When the served snapshot was loaded, in Unix time";
    SNAPSHOT_CONFIRMED_AT = Gauge "topshelf_snapshot_confirmed_at_seconds" [] "When the database last said that what is served is what is published, in Unix time";
    SNAPSHOT_NEWEST_DAY = Gauge "topshelf_snapshot_newest_day_seconds" [] "Start of the newest published day (UTC), in Unix time; 0 without";
    PUBLISHED_DAY = Gauge "topshelf_published_day_seconds" ["model"] "Start of the newest served day (UTC) for which the model was computed, in Unix time; 0 without";
    SNAPSHOT_DAYS = Gauge "topshelf_snapshot_days" [] "Published days served";
    SNAPSHOT_ADVERTISERS = Gauge "topshelf_snapshot_advertisers" [] "Advertisers active on the newest published day";
    SNAPSHOT_BYTES = Gauge "topshelf_snapshot_bytes" [] "Memory of the rankings that are served, without the answers kept ready";
    SNAPSHOT_STALE = Gauge "topshelf_snapshot_stale" [] "1 when the newest published day is older than the schedule promises";
    SNAPSHOT_LOADS = Counter "topshelf_snapshot_loads_total" ["outcome"] "Attempts to load what is published, by outcome: `loaded` and served in the place of what was before, `failed`, or `refused` as invalid";
    SNAPSHOT_REFUSED = Gauge "topshelf_snapshot_refused" [] "1 while what is published, or a day of it, is refused as invalid";
    SNAPSHOT_FROM_DISK = Gauge "topshelf_snapshot_from_disk" [] "1 while what was kept on disk is served";
    SNAPSHOT_KEPT_AT = Gauge "topshelf_snapshot_kept_at_seconds" [] "When what is served was last kept on disk, in Unix time";
    SNAPSHOT_KEEPS = Counter "topshelf_snapshot_keeps_total" ["outcome"] "Attempts to keep what is served on disk, by outcome: `kept` or `failed`";
    KEYS_VALID = Gauge "topshelf_keys_valid" [] "API keys that are valid; absent where none are asked for";
    KEYS_CONFIRMED_AT = Gauge "topshelf_keys_confirmed_at_seconds" [] "When the database last told which API keys are valid, in Unix time; 0 before it did, absent where none are asked for";
    NEXT_RUN_AT = Gauge "topshelf_next_run_at_seconds" [] "When the next night begins, in Unix time";
    LEDGER_SEEN_AT = Gauge "topshelf_ledger_seen_at_seconds" [] "When the database last told of the runs, in Unix time: old when it cannot be read";
    RUNS_UNDER_WAY = Gauge "topshelf_runs_under_way" [] "Runs that have not ended, as the ledger tells";
    LAST_RUN_ENDED_AT = Gauge "topshelf_last_run_ended_at_seconds" [] "When the last run of the newest day ended, in Unix time";
    LAST_RUN_SUCCEEDED = Gauge "topshelf_last_run_succeeded" [] "1 when the last run of the newest day succeeded; 0 when it failed, was held, was stopped or died";
    LAST_RUN_DURATION = Gauge "topshelf_last_run_duration_seconds" [] "How long that run took";
    LAST_RUN_STAGE_DURATION = Gauge "topshelf_last_run_stage_duration_seconds" ["stage"] "How long its stages took: `count`, `rank`, `publish`; 0 of what it did not come to";
    LAST_RUN_LINES_READ = Gauge "topshelf_last_run_lines_read" ["log"] "Lines that it read of each log for its day";
    LAST_RUN_LINES_REJECTED = Gauge "topshelf_last_run_lines_rejected" ["log"] "Lines of each log that it could not understand";
    LAST_RUN_ADVERTISERS = Gauge "topshelf_last_run_advertisers" ["outcome"] "Active advertisers that readers see by it, or as they were already (`published`), and those that checks held back (`held`)";
    LAST_RUN_RETRIES = Gauge "topshelf_last_run_retries" [] "How often it was tried again after a failure that might pass";
    LAST_SUCCESS_ENDED_AT = Gauge "topshelf_last_success_ended_at_seconds" [] "When the last run of the newest day that succeeded ended, in Unix time";
    LAST_SUCCESS_DAY = Gauge "topshelf_last_success_day_seconds" [] "Start of the newest day (UTC) of which a run succeeded, in Unix time";
    BUILD_INFO = Gauge "topshelf_build_info" ["version"] "1, with the version of the program";
    CPU_SECONDS = Counter "process_cpu_seconds_total" [] "Processor time of the process, in seconds (Linux)";
    RESIDENT_MEMORY = Gauge "process_resident_memory_bytes" [] "Memory of the process (Linux)";
    OPEN_FDS = Gauge "process_open_fds" [] "Open files and connections of the process (Linux)";
    MAX_FDS = Gauge "process_max_fds" [] "As many as it may have (Linux)";
    START_TIME = Gauge "process_start_time_seconds" [] "When the process began, in Unix time (Linux)";
}

catalog! {
    /// Those of listeners, which tell them themselves.
    METRICS_OF_LISTENERS:
    CONNECTIONS = Gauge "topshelf_connections" [] "Connections open";
    CONNECTIONS_REFUSED = Counter "topshelf_connections_refused_total" ["reason"] "Connections closed at once, by reason: `total` (too many in all) or `address` (too many from one)";
    CONNECTIONS_CUT = Counter "topshelf_connections_cut_total" ["reason"] "Connections ended for what their client did not do in time, by reason: `handshake`, `head`, `idle` (no request), `write` (an answer not taken)";
    CERTIFICATE_EXPIRES_AT = Gauge "topshelf_tls_certificate_expires_at_seconds" [] "When the TLS certificate in use expires, in Unix time; absent without TLS";
    TLS_RELOADS = Counter "topshelf_tls_reloads_total" ["outcome"] "Changes of the TLS certificate or key that were seen, by outcome: `loaded`, or `failed` and the last ones used on; absent without TLS";
}
