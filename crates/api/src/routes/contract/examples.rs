//! Examples of answers, made of the types that are sent.
//!
//! All are of one server: `crates/api/tests/serving/contract.rs` publishes what they tell of, and asks for each.

use crate::{
    limits::Limits,
    problem::{Code, Problem},
    wire::{
        Advertisers, AgreeingAdvertiser, Answer, Answers, Health, Held, History, HistoryDay, Liveness,
        LivenessStatus, ModelAgreement, ModelStats, Page, Readiness, ReadinessStatus, Recommendation,
        Recommendations, RunSeen, RunsSeen, SnapshotSource, Stats, Unanswered, VariableAdvertiser,
    },
};
use domain::{Day, ModelName, RunId};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use std::collections::BTreeMap;

const CHECK: &str = "advertiser_volume";
const MESSAGE: &str = "clicks: 900, which is 9.0 times the typical 100";

/// The examples of an operation's answers: status, name, body.
pub(super) fn of_answers(operation_id: &str) -> Vec<(u16, &'static str, Value)> {
    match operation_id {
        "get_recommendations" => {
            vec![(200, "ranking", sent(&ranking())), (200, "held", sent(&older_ranking()))]
        }
        "post_recommendations" => vec![(200, "answers", answers())],
        "get_history" => vec![(200, "history", history())],
        "get_stats" => vec![(200, "stats", stats())],
        "get_health" => {
            vec![(200, "ready", health(ready())), (503, "shutting_down", health(shutting_down()))]
        }
        "get_liveness" => vec![(200, "live", sent(&Liveness { status: LivenessStatus::Live }))],
        "get_readiness" => {
            vec![(200, "ready", sent(&ready())), (503, "shutting_down", sent(&shutting_down()))]
        }
        "get_metrics" => vec![(200, "metrics", METRICS.into())],
        "get_openapi" => vec![(
            200,
            "start",
            json!({"openapi": "3.1.0", "info": {"title": "topshelf", "version": env!("CARGO_PKG_VERSION")}, "paths": {}}),
        )],
        // Pages for people.
        _ => Vec::new(),
    }
}

/// The example of what an operation is asked in a body.
pub(super) fn of_question(operation_id: &str) -> Option<Value> {
    (operation_id == "post_recommendations").then(|| {
        json!({"requests": [
            {"advertiser_id": "acme", "model": "TopCTR"},
            {"advertiser_id": "nobody", "model": "TopCTR"},
        ]})
    })
}

/// The example of a refusal.
pub(super) fn of_problem(code: Code) -> Problem {
    let (oldest_day, newest_day) = (first_day(), second_day());
    let limits = Limits::default();
    match code {
        Code::UnknownAdvertiser => unknown(),
        Code::InactiveAdvertiser => Problem::InactiveAdvertiser {
            advertiser_id: "gone".to_owned(),
            day: newest_day,
            last_active_day: oldest_day,
        },
        Code::HeldBack => Problem::HeldBack {
            advertiser_id: "new".to_owned(),
            day: newest_day,
            check: CHECK.to_owned(),
            message: MESSAGE.to_owned(),
        },
        Code::UnknownModel => {
            Problem::UnknownModel { model: "TopSeller".to_owned(), models: vec![top_ctr(), top_product()] }
        }
        Code::ModelNotComputed => Problem::ModelNotComputed {
            model: top_product(),
            when: oldest_day.to_string(),
            computed: vec![top_ctr()],
        },
        Code::NoPublicationYet => Problem::NoPublicationYet,
        Code::NoPublicationForDay => {
            Problem::NoPublicationForDay { day: day("2024-11-01"), oldest_day, newest_day }
        }
        Code::InsufficientData => Problem::InsufficientData {
            advertiser_id: "quiet".to_owned(),
            models: vec![top_ctr()],
            when: format!("on {newest_day}"),
        },
        Code::BadDay => Problem::BadDay("2024-11-31".to_owned()),
        Code::BadParameter => {
            Problem::BadParameter("parameter limit is \"0\": expected a number from 1 to 1000".to_owned())
        }
        Code::BadBody => Problem::BadBody("missing field `requests` at line 1 column 2".to_owned()),
        Code::BodyTooLarge => {
            Problem::BodyTooLarge { bytes_max: crate::routes::rankings::QUESTIONS_BYTES_MAX }
        }
        Code::PathTooLong => Problem::PathTooLong { bytes_max: limits.path_bytes_max },
        Code::TooManyHeaders => Problem::TooManyHeaders { headers_max: limits.headers_max },
        Code::BodyTooSlow => Problem::BodyTooSlow { time: limits.body_time },
        Code::TooManyRequests => Problem::TooManyRequests { retry_after_seconds: 1 },
        Code::Overloaded => Problem::Overloaded,
        Code::TookTooLong => Problem::TookTooLong { time: limits.request_time },
        Code::Unauthorized => Problem::Unauthorized,
        Code::Forbidden => Problem::Forbidden,
        Code::KeysUnavailable => Problem::KeysUnavailable,
        Code::NotFound => Problem::NotFound { path: "/nothing".to_owned() },
        Code::MethodNotAllowed => {
            Problem::MethodNotAllowed { method: "DELETE".to_owned(), allowed: "GET, HEAD" }
        }
        Code::SnapshotUnavailable => Problem::SnapshotUnavailable,
        Code::Internal => Problem::Internal,
    }
}

const METRICS: &str = "# HELP topshelf_http_requests_total Requests answered, by route and status; `none` are all paths without a route\n\
    # TYPE topshelf_http_requests_total counter\n\
    topshelf_http_requests_total{route=\"/stats\",status=\"200\"} 1\n";

fn sent(answer: &impl Serialize) -> Value {
    serde_json::to_value(answer).expect("answers are made of text, numbers and lists")
}

fn ranking() -> Recommendations<'static> {
    recommendations("acme", second_day(), [clicked(1, "sku-4711", 5), clicked(2, "sku-0815", 3)].into())
}

/// What is served while the ranking of the newest day is held back.
fn older_ranking() -> Recommendations<'static> {
    let held = Held { day: second_day(), run_id: run_of(second_day()), check: CHECK, message: MESSAGE };
    let products = vec![clicked(1, "sku-1138", 1)];
    Recommendations { stale: true, held: Some(held), ..recommendations("late", first_day(), products) }
}

fn recommendations(
    advertiser_id: &'static str,
    day: Day,
    products: Vec<Recommendation<'static>>,
) -> Recommendations<'static> {
    Recommendations {
        advertiser_id,
        model: kept(top_ctr()),
        day,
        run_id: run_of(day),
        published_at: published_at(day),
        stale: false,
        held: None,
        recommendations: products,
    }
}

fn clicked(rank: u32, product_id: &str, clicks: u32) -> Recommendation<'_> {
    let score = f64::from(clicks) / 40.0;
    Recommendation { rank, product_id, score, impressions: 40, clicks: clicks.into(), views: 0 }
}

fn viewed(rank: u32, product_id: &str, views: u32) -> Recommendation<'_> {
    Recommendation { rank, product_id, score: views.into(), impressions: 0, clicks: 0, views: views.into() }
}

fn answers() -> Value {
    let unanswered = Unanswered { advertiser_id: "nobody", model: "TopCTR", problem: unknown().body() };
    sent(&Answers { results: vec![Answer::Ranking(ranking()), Answer::Unanswered(unanswered)] })
}

fn unknown() -> Problem {
    Problem::UnknownAdvertiser {
        advertiser_id: "nobody".to_owned(),
        oldest_day: first_day(),
        newest_day: second_day(),
    }
}

fn history() -> Value {
    let [ctr, product] = [top_ctr(), top_product()];
    let viewed = vec![viewed(1, "sku-4711", 12), viewed(2, "sku-1138", 7)];
    let newest = BTreeMap::from([(&ctr, ranking().recommendations), (&product, viewed)]);
    let oldest = BTreeMap::from([(&ctr, vec![clicked(1, "sku-4711", 4)])]);
    let days = [(second_day(), newest), (first_day(), oldest)];
    let days = days.map(|(day, models)| HistoryDay { day, models });
    sent(&History { advertiser_id: "acme", from: first_day(), to: second_day(), days: days.into() })
}

fn stats() -> Value {
    let [ctr, product] = [top_ctr(), top_product()];
    let counted = |model: &ModelName, advertisers, recommendations| ModelStats {
        model: model.clone(),
        advertisers,
        recommendations,
    };
    let variable =
        |advertiser_id, model, mean_change| VariableAdvertiser { advertiser_id, model, mean_change, days: 1 };
    sent(&Stats {
        day: second_day(),
        advertisers: Advertisers { active: 4, with_recommendations: 1, held: 2 },
        models: &[counted(&ctr, 1, 2), counted(&product, 1, 2)],
        most_variable_advertisers: vec![variable("acme", &ctr, 0.5)],
        model_agreement: ModelAgreement {
            mean_overlap: Some(1.0),
            advertisers: vec![AgreeingAdvertiser { advertiser_id: "acme", common: 1, jaccard: 1.0 / 3.0 }],
        },
        page: Page {
            offset: 0,
            limit: 20,
            next_offset: None,
            most_variable_advertisers: 1,
            model_agreement: 1,
        },
    })
}

fn ready() -> Readiness {
    Readiness {
        status: ReadinessStatus::Ready,
        newest_day: Some(second_day()),
        snapshot_version: Some(2),
        loaded_at: Some(moment("2024-11-21T02:30:31.25Z")),
        advertisers: 4,
        stale: false,
        source: Some(SnapshotSource::Database),
        confirmed_at: Some(moment("2024-11-21T09:00:00.5Z")),
        last_load_error: None,
    }
}

fn shutting_down() -> Readiness {
    Readiness { status: ReadinessStatus::ShuttingDown, ..ready() }
}

fn health(readiness: Readiness) -> Value {
    let run = RunSeen {
        run_id: run_of(second_day()).clone(),
        day: second_day(),
        status: "succeeded".to_owned(),
        started_by: "schedule".to_owned(),
        started_at: moment("2024-11-21T02:30:00Z"),
        ended_at: Some(moment("2024-11-21T02:31:00Z")),
    };
    let runs = RunsSeen {
        seen_at: moment("2024-11-21T09:00:00.5Z"),
        under_way: Vec::new(),
        last: Some(run.clone()),
        last_succeeded: Some(run),
    };
    sent(&Health { readiness, next_run_at: moment("2024-11-22T02:30:00Z"), runs: Some(runs) })
}

fn top_ctr() -> ModelName {
    ModelName::new("TopCTR")
}

fn top_product() -> ModelName {
    ModelName::new("TopProduct")
}

fn first_day() -> Day {
    day("2024-11-19")
}

fn second_day() -> Day {
    day("2024-11-20")
}

/// The run that published a day.
fn run_of(day: Day) -> &'static RunId {
    let begun = day.tomorrow().to_string().replace('-', "");
    kept(format!("{begun}T023000Z-00000001").parse().expect("it is the name of a run"))
}

fn published_at(day: Day) -> Timestamp {
    moment(&format!("{}T02:30:30Z", day.tomorrow()))
}

fn day(text: &str) -> Day {
    text.parse().expect("an example's day is one")
}

fn moment(text: &str) -> Timestamp {
    text.parse().expect("an example's moment is one")
}

/// Answers borrow what they tell; the few examples are made once and kept.
fn kept<T>(thing: T) -> &'static T {
    Box::leak(Box::new(thing))
}
