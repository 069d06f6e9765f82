//! What those who run a server see of it: metrics and the names of requests.

use crate::harness::{Answer, NewDay, Site, day, run_id, within};
use jiff::ToSpan;
use std::collections::BTreeSet;
use store::{Outcome, RunEnd};

async fn site() -> Site {
    let new = NewDay::new(&["TopCTR", "TopProduct"]).ctr("acme", &[("a", 1, 2)]).views("acme", &[("a", 3)]);
    Site::publishing(vec![("2024-11-20", new)]).await
}

/// The lines of the metrics that begin so.
async fn lines(site: &Site, start: &str) -> Vec<String> {
    let Answer { body, .. } = site.ask("GET /metrics").await;
    body.lines().filter(|line| line.starts_with(start)).map(str::to_owned).collect()
}

#[tokio::test]
async fn whatever_is_asked_for_metrics_have_as_many_lines_as_before() {
    let site = site().await;
    let methods = ["GET", "PURGE", "X-Y_Z", "POST"];
    for number in 0..1000 {
        let method = methods[number % methods.len()];
        let path = ["nothing", "%00", "recommendations/a/b/c", "docs", "recommendations/nobody"][number % 5];
        site.ask(&format!("{method} /{path}/{number}\nContent-Length: 0")).await;
    }
    let requests = lines(&site, "topshelf_http_requests_total{").await;
    let label = |line: &str, name: &str| {
        line.split_once(&format!("{name}=\"")).unwrap().1.split_once('"').unwrap().0.to_owned()
    };
    let routes: BTreeSet<_> = requests.iter().map(|line| label(line, "route")).collect();
    let of_topshelf: BTreeSet<_> =
        ["none", "/docs/{file}", "/health/ready", "/metrics", "/recommendations/{advertiser}/{model}"]
            .map(str::to_owned)
            .into();
    assert!(routes.is_subset(&of_topshelf), "{routes:?}");
    let statuses: BTreeSet<_> = requests.iter().map(|line| label(line, "status")).collect();
    assert!(statuses.len() < 6, "{statuses:?}");
    let all = lines(&site, "topshelf_").await.len();
    site.ask("GET /one/more").await;
    assert_eq!(lines(&site, "topshelf_").await.len(), all);
}

#[tokio::test]
async fn the_newest_day_of_each_model_and_the_size_are_told() {
    let site = site().await;
    site.publish("2024-11-21", 1, NewDay::new(&["TopCTR"]).ctr("acme", &[("a", 1, 2)])).await;
    site.until_served().await;
    let day_of = async |model: &str| {
        let start = format!("topshelf_published_day_seconds{{model=\"{model}\"}} ");
        lines(&site, &start).await[0].strip_prefix(&start).unwrap().to_owned()
    };
    assert_eq!(day_of("TopCTR").await, "1732147200");
    assert_eq!(day_of("TopProduct").await, "1732060800");
    assert_ne!(lines(&site, "topshelf_snapshot_bytes ").await, ["topshelf_snapshot_bytes 0"]);
    assert_eq!(
        lines(&site, "topshelf_snapshot_loads_total{outcome=\"refused\"}").await,
        ["topshelf_snapshot_loads_total{outcome=\"refused\"} 0"]
    );
    let version = format!("topshelf_build_info{{version=\"{}\"}} 1", env!("CARGO_PKG_VERSION"));
    assert_eq!(lines(&site, "topshelf_build_info").await, [version]);
}

#[tokio::test]
async fn the_report_of_the_last_run_is_told_in_numbers() {
    let site = site().await;
    let run = site.store.run(&run_id(day("2024-11-20"), 1)).await.unwrap().unwrap();
    let report = serde_json::json!({
        "stages": [{ "stage": "rank", "elapsed_ms": 1500 }],
        "active_advertisers": 3,
        "held_advertisers": 1,
        "verdict": "partly_held",
        "logs": { "ads_views": { "tally": { "read": 200, "rejected": { "bad_date": 2 } } } },
        "retries": [{ "at": "2024-11-21T02:31:00Z", "error": "busy" }],
    });
    let (ended_at, outcome) = (run.started_at + 90.seconds(), Outcome::Held);
    site.store.end_run(&run.run_id, &RunEnd { ended_at, outcome, error: None, report }).await.unwrap();
    site.until("/metrics", "topshelf_last_run_duration_seconds 90").await;
    for told in [
        "topshelf_last_run_stage_duration_seconds{stage=\"rank\"} 1.5",
        "topshelf_last_run_stage_duration_seconds{stage=\"count\"} 0",
        "topshelf_last_run_lines_read{log=\"ads_views\"} 200",
        "topshelf_last_run_lines_rejected{log=\"ads_views\"} 2",
        "topshelf_last_run_advertisers{outcome=\"published\"} 2",
        "topshelf_last_run_advertisers{outcome=\"held\"} 1",
        "topshelf_last_run_retries 1",
        "topshelf_last_run_succeeded 0",
    ] {
        let (start, _) = told.rsplit_once(' ').unwrap();
        assert_eq!(lines(&site, start).await, [told]);
    }
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn the_process_is_told_as_linux_knows_it() {
    let site = site().await;
    let number = async |name: &str| {
        let line = lines(&site, &format!("{name} ")).await.remove(0);
        line.rsplit_once(' ').unwrap().1.parse::<f64>().unwrap()
    };
    assert!(number("process_resident_memory_bytes").await > 1e6);
    let open = number("process_open_fds").await;
    assert!((4.0..number("process_max_fds").await).contains(&open), "{open}");
    let age = jiff::Timestamp::now().as_second() as f64 - number("process_start_time_seconds").await;
    assert!((-2.0..600.0).contains(&age), "{age}");
    let begun = number("process_cpu_seconds_total").await;
    // To ask takes time of it too, however little a busy machine leaves.
    within(async { while number("process_cpu_seconds_total").await <= begun {} }).await;
}

#[tokio::test]
async fn every_answer_has_the_name_of_its_request() {
    let site = site().await;
    let mut made = BTreeSet::new();
    let requests = [
        "GET /recommendations/acme/TopCTR",
        "GET /recommendations/nobody/TopCTR",
        "GET /recommendations/acme/TopCTR?day=never",
        "HEAD /recommendations/acme/TopCTR",
        "GET /history/acme",
        "GET /stats",
        "GET /",
        "GET /docs",
        "GET /docs/index.html",
        "GET /openapi.json",
        "GET /health",
        "GET /health/live",
        "GET /health/ready",
        "GET /metrics",
        "GET /nothing",
        "PURGE /stats",
        "OPTIONS *",
    ];
    for request in requests {
        let own = site.ask(&format!("{request}\nX-Request-Id: 7f9c/a:b")).await;
        assert_eq!(own.headers["x-request-id"], "7f9c/a:b", "{request}");
        for unfit in
            ["", "\nX-Request-Id: a b", "\nX-Request-Id: é", &format!("\nX-Request-Id: {}", "x".repeat(129))]
        {
            let answer = site.ask(&format!("{request}{unfit}")).await;
            let id = &answer.headers["x-request-id"];
            assert_eq!((answer.status, id.len()), (own.status, 20), "{request}{unfit}");
            assert!(made.insert(id.clone()), "{id} twice");
        }
    }
}

#[tokio::test]
async fn the_name_of_a_request_changes_no_body() {
    let site = site().await;
    for path in ["/recommendations/nobody/TopCTR", "/nothing", "/stats?limit=0"] {
        let bodies = [
            site.ask(&format!("GET {path}\nX-Request-Id: a")).await.body,
            site.ask(&format!("GET {path}")).await.body,
        ];
        assert_eq!(bodies[0], bodies[1]);
    }
}
