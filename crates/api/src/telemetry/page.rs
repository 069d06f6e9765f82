//! `docs/metrics.md`, written from the catalog; and the catalog, checked against what is exposed.

use super::{
    CERTIFICATE_EXPIRES_AT, TLS_RELOADS, Telemetry, all_metrics,
    catalog::{Kind, Metric},
};
use crate::{
    door::DoorMetrics,
    options::DroppedLines,
    snapshot::Snapshot,
    wire::{RunSeen, RunsSeen},
};
use axum::http::StatusCode;
use domain::ModelName;
use jiff::Timestamp;
use metrics::{counter, gauge};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    path::Path,
    time::Duration,
};
use store::{DayStamp, Outcome, PackedDay, Published, PublishedDay, RunRecord, RunStatus};

const HEAD: &str = "\
# Metrics

What a server tells at `/metrics`, in Prometheus' text format. Names and meanings stay as they are from one version to the next; a change stands in
[CHANGELOG.md](../CHANGELOG.md). Labels take few values, whatever clients send: no path, address, key or advertiser is one. Times are in Unix time, so that
`time() - metric` is an age. What is told of the last run comes from the ledger, whichever process ran it.

A dashboard and alarms that use them lie in `deploy/grafana` and `deploy/prometheus`; [the runbook](runbook.md#alarms) says what to do about each alarm.

This page is written from the code: `UPDATE_DOCS=1 cargo xtask test --no-check -- -p topshelf-api -E 'test(the_page_tells)'`.

| metric | kind | labels | tells |
|---|---|---|---|
";

fn page() -> String {
    let mut page = HEAD.to_owned();
    for Metric { name, kind, labels, says } in all_metrics() {
        let labels: Vec<_> = labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = labels.join(", ");
        writeln!(page, "| `{name}` | {} | {labels} | {says} |", kind.name()).unwrap();
    }
    page
}

#[test]
fn the_page_tells_every_metric() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(path, page()).unwrap();
        return;
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert_eq!(written, page(), "docs/metrics.md is out of date: set UPDATE_DOCS=1");
}

/// A server's metrics to which everything has happened that they tell of.
fn told() -> Telemetry {
    let telemetry = Telemetry::new(DroppedLines::default());
    let day = "2024-11-20".parse().unwrap();
    let run_id: domain::RunId = "20241121T023000Z-3f9a1c2e".parse().unwrap();
    let seq = 1;
    let stamp = DayStamp {
        day,
        seq,
        run_id: run_id.clone(),
        published_at: Timestamp::UNIX_EPOCH,
        pins_digest: [0; 32],
    };
    let packed = PackedDay::pack(day, &[], &[], stamp);
    let days = vec![PublishedDay::Read(packed.unwrap())];
    let models = [ModelName::new("TopCTR")];
    let published = Published { version: 1, days, ..Published::default() };
    telemetry.loaded(&Snapshot::build(published, None, &models, Timestamp::UNIX_EPOCH).unwrap());
    telemetry.confirmed(Timestamp::UNIX_EPOCH);
    telemetry.kept(true);
    telemetry.stale(false);
    telemetry.next_run_at(Timestamp::UNIX_EPOCH);
    let run = RunRecord {
        run_id,
        day,
        status: RunStatus::Ended(Outcome::Succeeded),
        started_by: "hand".to_owned(),
        program_version: String::new(),
        config_hash: String::new(),
        started_at: Timestamp::UNIX_EPOCH,
        ended_at: Some(Timestamp::UNIX_EPOCH),
        process: None,
        host: None,
        due_at: None,
        orchestrator: None,
        seen_at: None,
        error: None,
        report: None,
        models: None,
        rankings_digest: None,
        rankings_run_id: None,
    };
    telemetry.last_run(&run);
    let seen = RunSeen {
        run_id: run.run_id,
        day,
        status: "succeeded".to_owned(),
        started_by: run.started_by,
        started_at: run.started_at,
        ended_at: run.ended_at,
    };
    let (under_way, last) = (Vec::new(), Some(seen));
    telemetry.runs(&RunsSeen { seen_at: run.started_at, under_way, last_succeeded: last.clone(), last });
    telemetry.answered("/stats", StatusCode::OK, Duration::ZERO);
    telemetry.keys(1);
    telemetry.keys_confirmed(run.started_at);
    DoorMetrics::new(&telemetry);
    telemetry.with(|| {
        gauge!(CERTIFICATE_EXPIRES_AT).set(0.0);
        counter!(TLS_RELOADS, "outcome" => "loaded").increment(1);
    });
    telemetry
}

/// The kind and the labels of each metric in Prometheus' text.
fn exposed(text: &str) -> BTreeMap<String, (String, BTreeSet<String>)> {
    let mut metrics = BTreeMap::new();
    let mut name = String::new();
    for line in text.lines().filter(|line| !line.is_empty()) {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            let (metric, kind) = typed.split_once(' ').unwrap();
            metric.clone_into(&mut name);
            assert!(
                metrics.insert(name.clone(), (kind.to_owned(), BTreeSet::new())).is_none(),
                "{name} twice"
            );
        } else if !line.starts_with('#') {
            assert!(line.starts_with(&name), "{line}");
            let labels = line.split_once('{').map_or("", |(_, labels)| labels.split_once('}').unwrap().0);
            let labels = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            // A bound of a histogram is no label of ours.
            metrics.get_mut(&name).unwrap().1.extend(labels.filter(|label| label != "le"));
        }
    }
    metrics
}

#[test]
fn what_is_exposed_is_what_the_catalog_has() {
    let catalog: BTreeMap<_, _> = all_metrics()
        .map(|Metric { name, kind, labels, .. }| {
            let labels = labels.iter().map(|label| (*label).to_owned()).collect();
            ((*name).to_owned(), (kind.name().to_owned(), labels))
        })
        .collect();
    assert_eq!(exposed(&told().render()), catalog);
}

#[test]
fn no_source_names_a_metric_that_the_catalog_has_not() {
    let names: BTreeSet<_> = all_metrics().map(|metric| metric.name).collect();
    assert_eq!(names.len(), all_metrics().count(), "a name stands twice in the catalog");
    let mut folders = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let source = std::fs::read_to_string(&path).unwrap();
            for quoted in source.split('"').filter(|quoted| quoted.starts_with("topshelf_")) {
                assert!(names.contains(quoted) || quoted == "topshelf_", "{quoted} of {}", path.display());
            }
        }
    }
}

#[test]
fn counters_end_as_prometheus_asks_and_nothing_else_does() {
    for metric in all_metrics() {
        assert_eq!(metric.name.ends_with("_total"), metric.kind == Kind::Counter, "{}", metric.name);
        assert!(!metric.says.contains('|') && !metric.says.ends_with('.'), "{}", metric.says);
    }
}
