//! The routes: each with and without a trailing slash, each answer and each refusal in our own form.

mod contract;
mod docs;
mod health;
mod home;
mod rankings;

use crate::{body, problem::Problem, serving::Serving, telemetry::RECOMMENDATIONS};
use axum::{
    Router,
    extract::{MatchedPath, Request},
    http::{Method, Uri},
    middleware::{Next, from_fn, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::{MethodRouter, get, post},
};
pub use docs::openapi_json;
pub(crate) use rankings::recommend;
use std::{any::Any, sync::Arc};
use tower_http::catch_panic::CatchPanicLayer;

type Shared = Arc<Serving>;

/// Everything that the public listener serves: without an operators' listener, what they ask too.
pub(crate) fn router(serving: Shared) -> Router {
    let router = Router::new().route("/", get(home::home)).route("/docs", get(docs::to_docs));
    let router = router.route("/docs/", get(docs::docs_page)).route("/docs/{file}", get(docs::docs));
    let router = both(router, RECOMMENDATIONS, &get(rankings::recommendations));
    let questions = post(rankings::recommend_several).fallback(only_post);
    let router = both(router, "/recommendations", &questions);
    let router = both(router, "/history/{advertiser}", &get(rankings::history));
    let router = both(router, "/stats", &get(rankings::stats));
    let [document, below] = docs::documents(serving.options.history_days_kept);
    let router = router.route("/openapi.json", get(move || docs::openapi(document.clone())));
    let router = router.route("/openapi.json/", get(move || docs::openapi(below.clone())));
    let router = match serving.options.operator_listen {
        Some(_) => probes(router),
        None => of_operators(probes(router)),
    };
    finished(router, serving)
}

/// Everything that the operators' listener serves.
pub(crate) fn operator_router(serving: Shared) -> Router {
    finished(of_operators(probes(Router::new())), serving)
}

/// What load balancers and orchestrators ask.
fn probes(router: Router<Shared>) -> Router<Shared> {
    let router = both(router, "/health/live", &get(health::live));
    both(router, "/health/ready", &get(health::ready))
}

/// What only operators ask.
fn of_operators(router: Router<Shared>) -> Router<Shared> {
    both(both(router, "/health", &get(health::health)), "/metrics", &get(health::metrics))
}

/// The same with an answer to everything else.
fn finished(router: Router<Shared>, serving: Shared) -> Router {
    router
        .method_not_allowed_fallback(method_not_allowed)
        .fallback(not_found)
        .layer(CatchPanicLayer::custom(|panic: Box<dyn Any + Send>| panicked(&*panic).into_response()))
        .layer(from_fn_with_state(serving.clone(), body::limit))
        .layer(from_fn(name_route))
        .with_state(serving)
}

/// The route that answered, as metrics and the access log call it.
#[derive(Debug, Clone)]
pub(crate) struct Route(MatchedPath);

impl Route {
    pub(crate) fn name(&self) -> &str {
        match self.0.as_str() {
            "/" => "/",
            route => route.trim_end_matches('/'),
        }
    }
}

/// Notes on an answer which route gave it; paths without one have no name, for their number has no bound.
async fn name_route(request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().cloned();
    let mut response = next.run(request).await;
    if let Some(route) = route {
        response.extensions_mut().insert(Route(route));
    }
    response
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

    #[tokio::test]
    async fn a_panic_is_answered_as_the_document_tells() {
        let response = panicked(&"rows out of order").into_response();
        assert_eq!(response.status(), 500);
        assert_eq!(response.headers()["content-type"], "application/problem+json");
        let body = axum::body::to_bytes(response.into_body(), 1 << 10).await.unwrap();
        let document: serde_json::Value = serde_json::from_str(&openapi_json(1)).unwrap();
        let example = &document["components"]["examples"]["internal"]["value"];
        assert_eq!(serde_json::from_slice::<serde_json::Value>(&body).unwrap(), *example);
    }
}
