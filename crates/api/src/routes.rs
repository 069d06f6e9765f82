//! The routes: each with and without a trailing slash, each answer and each refusal in our own form.

mod contract;
mod docs;
mod health;
mod home;
mod rankings;

use crate::{
    problem::Problem,
    serving::Serving,
    telemetry::{RECOMMENDATIONS, observe},
};
use axum::{
    Router,
    body::Bytes,
    extract::DefaultBodyLimit,
    http::{Method, Uri},
    middleware::from_fn_with_state,
    response::IntoResponse,
    routing::{MethodRouter, get, post},
};
pub use docs::openapi_json;
pub(crate) use rankings::recommend;
use std::{any::Any, sync::Arc};
use tower_http::catch_panic::CatchPanicLayer;

type Shared = Arc<Serving>;

/// Everything that is served.
pub(crate) fn router(serving: Shared) -> Router {
    let router = Router::new().route("/", get(home::home)).route("/docs", get(docs::to_docs));
    let router = router.route("/docs/", get(docs::docs_page)).route("/docs/{file}", get(docs::docs));
    let router = both(router, RECOMMENDATIONS, &get(rankings::recommendations));
    let questions = post(rankings::recommend_several).fallback(only_post);
    let questions = questions.layer(DefaultBodyLimit::max(rankings::QUESTIONS_BYTES_MAX));
    let router = both(router, "/recommendations", &questions);
    let router = both(router, "/history/{advertiser}", &get(rankings::history));
    let router = both(router, "/stats", &get(rankings::stats));
    let router = both(router, "/health", &get(health::health));
    let router = both(router, "/health/live", &get(health::live));
    let router = both(router, "/health/ready", &get(health::ready));
    let router = both(router, "/metrics", &get(health::metrics));
    let document = Bytes::from(openapi_json(serving.options.history_days_kept));
    let router = both(router, "/openapi.json", &get(move || docs::openapi(document.clone())));
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| panicked(&*panic).into_response()))
        .layer(from_fn_with_state(serving.clone(), observe))
        .with_state(serving)
}

/// Adds `methods` at `path` with and without a trailing slash.
fn both(router: Router<Shared>, path: &str, methods: &MethodRouter<Shared>) -> Router<Shared> {
    router.route(path, methods.clone()).route(&format!("{path}/"), methods.clone())
}

async fn not_found(uri: Uri) -> Problem {
    Problem::NotFound { path: uri.path().to_owned() }
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::MethodNotAllowed { method: method.to_string(), allowed: "GET, HEAD" }
}

async fn only_post(method: Method) -> Problem {
    Problem::MethodNotAllowed { method: method.to_string(), allowed: "POST" }
}

/// What becomes of a request that failed on a broken invariant.
pub(crate) fn panicked(panic: &(dyn Any + Send)) -> Problem {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no text"), "a request failed on a broken invariant");
    Problem::Internal
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_answered_as_a_problem() {
        let response = panicked(&"rows out of order").into_response();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
