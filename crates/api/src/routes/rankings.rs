//! Recommendations, history and statistics: what bidders and people come for.

use super::Shared;
use crate::{
    problem::{Problem, ProblemBody},
    request::{Parameters, segment},
    response::cacheable,
    stats::LIMIT_MAX,
    wire::{History, Recommendations, Stats},
};
use axum::{
    extract::State,
    http::{HeaderMap, Uri},
    response::Response,
};
use jiff::Timestamp;

/// Published days that a history reaches back unless asked otherwise.
const HISTORY_DAYS: usize = 7;

/// Entries that a list of the statistics has unless asked otherwise.
const STATS_LIMIT: usize = 20;

/// An advertiser's top products by one model
///
/// The ranking of the newest published day, or of `day`, best product first.
#[utoipa::path(
    get,
    path = "/recommendations/{advertiser}/{model}",
    tag = "rankings",
    params(
        ("advertiser" = String, Path, description = "The advertiser's id, percent-encoded once: a slash is %2F"),
        ("model" = String, Path, description = "The model, letters in either case", example = "TopCTR"),
        ("day" = Option<String>, Query, description = "A published day instead of the newest, YYYY-MM-DD"),
    ),
    responses(
        (status = 200, description = "The ranking, never empty", body = Recommendations,
            headers(("ETag" = String), ("Cache-Control" = String, description = "until the next run"))),
        (status = 304, description = "If-None-Match names this answer"),
        (status = 400, description = "bad_day, bad_parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "unknown_advertiser, inactive_advertiser, held_back, unknown_model, model_not_computed, \
            no_publication_yet, no_publication_for_day, insufficient_data",
            body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "snapshot_unavailable", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn recommendations(
    State(serving): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (advertiser, model) = (segment(&uri, 1)?, segment(&uri, 2)?);
    let day = Parameters::of(&uri, &["day"])?.day("day")?;
    let view = serving.view()?;
    let answer = view.snapshot.recommendations(&advertiser, &model, day, view.promise.newest_day)?;
    Ok(cacheable(&answer, view.max_age(Timestamp::now(), answer.held.is_some()), &headers))
}

/// An advertiser's top products on the last published days
///
/// All models, newest day first; the days on which the advertiser was active.
#[utoipa::path(
    get,
    path = "/history/{advertiser}/",
    tag = "rankings",
    params(
        ("advertiser" = String, Path, description = "The advertiser's id, percent-encoded once: a slash is %2F"),
        ("days" = Option<usize>, Query, description = "How many of the last published days to look at, 7 unless said \
            otherwise, at most what the server keeps", minimum = 1),
        ("model" = Option<String>, Query, description = "This model alone, letters in either case"),
    ),
    responses(
        (status = 200, description = "The history, with at least one product", body = History,
            headers(("ETag" = String), ("Cache-Control" = String, description = "until the next run"))),
        (status = 304, description = "If-None-Match names this answer"),
        (status = 400, description = "bad_parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "unknown_advertiser, inactive_advertiser, held_back, unknown_model, model_not_computed, \
            no_publication_yet, insufficient_data", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "snapshot_unavailable", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn history(
    State(serving): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let advertiser = segment(&uri, 1)?;
    let parameters = Parameters::of(&uri, &["days", "model"])?;
    let days = parameters.number("days", HISTORY_DAYS, serving.options.history_days_kept)?;
    let view = serving.view()?;
    let answer = view.snapshot.history(&advertiser, parameters.get("model"), days)?;
    Ok(cacheable(&answer, view.max_age(Timestamp::now(), false), &headers))
}

/// What is published, in numbers
///
/// Counts of the newest published day, the advertisers whose products change most, and how far
/// TopCTR and TopProduct agree.
#[utoipa::path(
    get,
    path = "/stats/",
    tag = "rankings",
    params(
        ("limit" = Option<usize>, Query, description = "The most entries in each list of advertisers, 20 unless said otherwise",
            minimum = 1, maximum = 1000),
    ),
    responses(
        (status = 200, description = "The numbers", body = Stats,
            headers(("ETag" = String), ("Cache-Control" = String, description = "until the next run"))),
        (status = 304, description = "If-None-Match names this answer"),
        (status = 400, description = "bad_parameter", body = ProblemBody, content_type = "application/problem+json"),
        (status = 404, description = "no_publication_yet", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "snapshot_unavailable", body = ProblemBody, content_type = "application/problem+json"),
    )
)]
pub(super) async fn stats(
    State(serving): State<Shared>,
    uri: Uri,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let limit = Parameters::of(&uri, &["limit"])?.number("limit", STATS_LIMIT, LIMIT_MAX)?;
    let view = serving.view()?;
    let answer = view.snapshot.stats(limit)?;
    Ok(cacheable(&answer, view.max_age(Timestamp::now(), false), &headers))
}
