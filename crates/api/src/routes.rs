//! The routes: each with and without a trailing slash, each answer and each refusal in our own form.

mod docs;
mod health;
mod home;
mod rankings;

use crate::{problem::Problem, serving::Serving, telemetry::observe};
use axum::{
    Router,
    handler::Handler,
    http::{Method, Uri},
    middleware::from_fn_with_state,
    response::{IntoResponse, Response},
    routing::get,
};
pub use docs::openapi_json;
use std::{any::Any, sync::Arc};
use tower_http::catch_panic::CatchPanicLayer;

type Shared = Arc<Serving>;

/// Everything that is served.
pub(crate) fn router(serving: Shared) -> Router {
    let router = Router::new().route("/", get(home::home)).route("/docs", get(docs::to_docs));
    let router = router.route("/docs/", get(docs::docs)).route("/docs/{file}", get(docs::docs));
    let router = both(router, "/recommendations/{advertiser}/{model}", rankings::recommendations);
    let router = both(router, "/history/{advertiser}", rankings::history);
    let router = both(router, "/stats", rankings::stats);
    let router = both(router, "/health", health::health);
    let router = both(router, "/health/live", health::live);
    let router = both(router, "/health/ready", health::ready);
    let router = both(router, "/metrics", health::metrics);
    let router = both(router, "/openapi.json", docs::openapi);
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(from_fn_with_state(serving.clone(), observe))
        .with_state(serving)
}

/// Adds `handler` at `path` with and without a trailing slash.
fn both<H, T>(router: Router<Shared>, path: &str, handler: H) -> Router<Shared>
where
    H: Handler<T, Shared>,
    T: 'static,
{
    router.route(path, get(handler.clone())).route(&format!("{path}/"), get(handler))
}

async fn not_found(uri: Uri) -> Problem {
    Problem::NotFound { path: uri.path().to_owned() }
}

async fn method_not_allowed(method: Method) -> Problem {
    Problem::MethodNotAllowed { method: method.to_string() }
}

#[expect(clippy::needless_pass_by_value, reason = "the layer hands the panic over")]
fn panicked(panic: Box<dyn Any + Send>) -> Response {
    let text = panic.downcast_ref::<&str>().copied();
    let text = text.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = text.unwrap_or("no text"), "a request failed on a broken invariant");
    Problem::Internal.into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_answered_as_a_problem() {
        let response = panicked(Box::new("rows out of order"));
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
    }
}
