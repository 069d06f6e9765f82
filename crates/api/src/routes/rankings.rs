//! Recommendations, history and statistics: what bidders and people come for.

use super::Shared;
use crate::{
    access::Asker,
    answer::{Found, json},
    body::{self, Growing, Owner, RoomSeenTo},
    caller::Caller,
    coding::Coding,
    problem::Problem,
    request::{Parameters, raw_segment, segment},
    response::{Coded, cacheable, no_store, tagged, tagged_as, with_type},
    room::Taken,
    serving::View,
    stats::LIMIT_MAX,
    wire::{Answers, History, Questions, Recommendations, Stats, Unanswered},
};
use axum::{
    body::{Body, Bytes},
    extract::{Extension, State},
    http::{HeaderMap, Response, StatusCode, Uri},
};
use std::time::Instant;
use store::KeyScope;

/// Published days that a history reaches back unless asked otherwise.
const HISTORY_DAYS: usize = 7;

/// Entries that a list of the statistics has unless asked otherwise.
const STATS_LIMIT: usize = 20;

/// The most entries that can come before a list's: JSON's numbers are exact so far.
pub(super) const OFFSET_MAX: usize = (1 << 53) - 1;

/// The most products that a ranking can be asked for.
const PRODUCTS_MAX: usize = 1000;

/// The most questions that can be asked at once.
const QUESTIONS_MAX: usize = 1000;

/// The longest body of questions: as many as can be asked, with the longest ids, each byte escaped.
pub(super) const QUESTIONS_BYTES_MAX: usize = 2 << 20;

/// An advertiser's top products by one model
///
/// The ranking of the newest published day, or of `day`, best product first.
#[utoipa::path(
    get,
    path = "/recommendations/{advertiser}/{model}",
    operation_id = "get_recommendations",
    tag = "rankings",
    params(
        ("advertiser" = String, Path, description = "The advertiser's id, percent-encoded once: a slash is %2F",
            min_length = 1, example = "acme"),
        ("model" = String, Path, description = "The model, letters in either case", min_length = 1, example = "TopCTR"),
        ("day" = Option<String>, Query, description = "A published day instead of the newest, YYYY-MM-DD",
            format = Date, example = "2024-11-20"),
        ("limit" = Option<usize>, Query, description = "The most products, best first; all of the ranking without",
            minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, description = "The ranking, never empty", body = Recommendations),
    )
)]
pub(super) async fn recommendations(
    State(serving): State<Shared>,
    Extension(asker): Extension<Asker>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let scope = asker.scope()?;
    let ids = [1, 2].map(|index| raw_segment(&uri, index));
    recommend(&*serving.view()?, scope, ids, &uri, &headers).map(|response| response.map(Body::from))
}

/// The answer to a GET of `/recommendations/{advertiser}/{model}`, whose path holds `ids`, by whom `scope` exists for.
pub(crate) fn recommend(
    view: &View,
    scope: &KeyScope,
    [advertiser, model]: [&str; 2],
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Response<Bytes>, Problem> {
    let (advertiser, model) = (segment(advertiser)?, segment(model)?);
    let parameters = Parameters::of(uri, &["day", "limit"])?;
    let limit = parameters.number("limit", 1..=PRODUCTS_MAX)?;
    let found = view.find(scope, &advertiser, &model, parameters.day("day")?)?;
    let keeping = view.keeping(found.held.is_some());
    if limit.is_none()
        && let Some(ready) = view.prepared.ready(&found)
    {
        let coding = Coding::of(headers);
        return Ok(tagged_as(ready.tag(coding), keeping, headers, || view.prepared.coded(ready, coding)));
    }
    let write = |coding| Coded::once(found.to_bytes(limit.unwrap_or(usize::MAX)), coding);
    Ok(tagged(found.tag(limit), keeping, headers, write))
}

/// Several rankings at once
///
/// Up to 1000 (advertiser, model), answered in their order and all from one snapshot: a ranking as if it had been
/// asked for alone, or why there is none. Where requests are limited, each pair counts as one: they are answered, and the
/// next request waits for them.
#[utoipa::path(
    post,
    path = "/recommendations",
    operation_id = "post_recommendations",
    tag = "rankings",
    request_body(content = Questions, content_type = "application/json"),
    responses(
        (status = 200, description = "An answer to each question", body = Answers),
    )
)]
pub(super) async fn recommend_several(
    State(serving): State<Shared>,
    Extension(asker): Extension<Asker>,
    Extension(owner): Extension<Owner>,
    Extension(caller): Extension<Caller>,
    uri: Uri,
    body: Body,
) -> Result<Response<Body>, Problem> {
    let scope = asker.scope()?;
    Parameters::of(&uri, &[])?;
    let (body, room) = body::read(&serving, &owner, body, QUESTIONS_BYTES_MAX).await?;
    let questions: Questions<'_> =
        serde_json::from_slice(&body).map_err(|error| Problem::BadBody(error.to_string()))?;
    let count = questions.requests.len();
    if !(1..=QUESTIONS_MAX).contains(&count) {
        return Err(Problem::BadBody(format!("there are {count} requests: expected 1 to {QUESTIONS_MAX}")));
    }
    if let Some(limit) = questions.limit.filter(|limit| !(1..=PRODUCTS_MAX).contains(limit)) {
        return Err(Problem::BadBody(format!(
            "limit is {limit}: expected a number from 1 to {PRODUCTS_MAX}"
        )));
    }
    let answers = answer_each(&*serving.view()?, scope, &questions, room)?;
    if let Some(rates) = &serving.rates {
        // The request itself was counted before its body was read.
        rates.owe(caller, Instant::now(), count - 1);
    }
    Ok(RoomSeenTo::mark(no_store(with_type(StatusCode::OK, "application/json", answers))))
}

/// The answers to questions, in their order.
fn answer_each(
    view: &View,
    scope: &KeyScope,
    questions: &Questions<'_>,
    room: Taken,
) -> Result<Body, Problem> {
    let found: Vec<_> = questions
        .requests
        .iter()
        .map(|question| view.find(scope, &question.advertiser_id, &question.model, None))
        .collect();
    let length: usize = found.iter().flatten().map(Found::length).sum();
    let mut answers = Growing::new(room, 64 + length);
    answers.bytes.extend_from_slice(br#"{"results":["#);
    for (index, (question, found)) in questions.requests.iter().zip(found).enumerate() {
        if index > 0 {
            answers.bytes.push(b',');
        }
        match found {
            Ok(found) => view.prepared.write(&found, questions.limit, &mut answers.bytes),
            Err(problem) => answers.bytes.extend_from_slice(&json(&Unanswered {
                advertiser_id: &question.advertiser_id,
                model: &question.model,
                problem: problem.body(),
            })),
        }
        answers = answers.take_room()?;
    }
    answers.bytes.extend_from_slice(b"]}");
    Ok(answers.finish())
}

/// An advertiser's top products on the last published days
///
/// All models, newest day first; the days on which the advertiser was active.
#[utoipa::path(
    get,
    path = "/history/{advertiser}/",
    operation_id = "get_history",
    tag = "rankings",
    params(
        ("advertiser" = String, Path, description = "The advertiser's id, percent-encoded once: a slash is %2F",
            min_length = 1, example = "acme"),
        ("days" = Option<usize>, Query, description = "How many of the last published days to look at, 7 unless said \
            otherwise, at most what the server keeps", minimum = 1),
        ("model" = Option<String>, Query, description = "This model alone, letters in either case"),
    ),
    responses(
        (status = 200, description = "The history, with at least one product", body = History),
    )
)]
pub(super) async fn history(
    State(serving): State<Shared>,
    Extension(asker): Extension<Asker>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    let scope = asker.scope()?;
    let advertiser = segment(raw_segment(&uri, 1))?;
    let parameters = Parameters::of(&uri, &["days", "model"])?;
    let days_max = serving.options.history_days_kept;
    let days = parameters.number("days", 1..=days_max)?.unwrap_or(HISTORY_DAYS.min(days_max));
    let view = serving.view()?;
    let found = view.find_history(scope, &advertiser, parameters.get("model"), days)?;
    let write = |coding| {
        let mut body = Vec::with_capacity(found.length());
        found.write(&mut body);
        Coded::once(body, coding)
    };
    Ok(tagged(found.tag(), view.keeping(false), &headers, write).map(Body::from))
}

/// What is published, in numbers
///
/// Counts of the newest published day, the advertisers whose products change most, and how far
/// TopCTR and TopProduct agree. The lists of advertisers come in parts: `page.next_offset` is the `offset` of the next.
#[utoipa::path(
    get,
    path = "/stats/",
    operation_id = "get_stats",
    tag = "rankings",
    params(
        ("limit" = Option<usize>, Query, description = "The most entries in each list of advertisers, 20 unless said otherwise",
            minimum = 1, maximum = 1000),
        ("offset" = Option<usize>, Query, description = "How many entries of each list come before", minimum = 0),
    ),
    responses(
        (status = 200, description = "The numbers", body = Stats),
    )
)]
pub(super) async fn stats(
    State(serving): State<Shared>,
    Extension(asker): Extension<Asker>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response<Body>, Problem> {
    asker.sees_all()?;
    let parameters = Parameters::of(&uri, &["limit", "offset"])?;
    let limit = parameters.number("limit", 1..=LIMIT_MAX)?.unwrap_or(STATS_LIMIT);
    let offset = parameters.number("offset", 0..=OFFSET_MAX)?.unwrap_or(0);
    let view = serving.view()?;
    if !view.snapshot.has_statistics() {
        // It was published a moment ago, and its numbers are being computed.
        let snapshot = view.snapshot.clone();
        let computed = tokio::task::spawn_blocking(move || snapshot.statistics().is_some());
        computed.await.map_err(|_| Problem::Internal)?;
    }
    let answer = view.snapshot.stats(offset, limit)?;
    Ok(cacheable(&answer, view.keeping(false), &headers).map(Body::from))
}
