//! The service of a connection: the route that is asked thousands of times a second, and a door to all others.
//!
//! A request for one ranking is answered at once, from the snapshot in service: no routing, no waiting, no future on the
//! heap. The answer is what the router would have given.

use crate::{
    problem::Problem,
    routes::{panicked, recommend},
    serving::Serving,
    telemetry::{RECOMMENDATIONS, tell},
};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderValue, Method, Request, Response, Uri, header},
};
use futures::future::{BoxFuture, Either, FutureExt, Ready, ready};
use http_body_util::Full;
use hyper::{body::Incoming, service::Service};
use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::Arc,
    time::Instant,
};
use tower::ServiceExt;

/// Whole bytes, or what a route makes of it.
pub(crate) type FrontBody = http_body_util::Either<Full<Bytes>, Body>;

type Answered = Result<Response<FrontBody>, Infallible>;

/// The service of one connection.
#[derive(Clone)]
pub(crate) struct Front {
    serving: Arc<Serving>,
    router: Router,
}

impl Front {
    pub(crate) fn new(serving: Arc<Serving>, router: Router) -> Self {
        Self { serving, router }
    }

    /// The answer to a request for one ranking.
    fn recommend(&self, request: &Request<Incoming>) -> Response<Bytes> {
        let started = Instant::now();
        let uri = request.uri();
        // A panic is a defect; this keeps it to its request, as the router's layer does.
        let answer = catch_unwind(AssertUnwindSafe(|| match &*self.serving.glance() {
            Some(view) => recommend(view, uri, request.headers()),
            None => Err(Problem::SnapshotUnavailable),
        }));
        let answer = answer.unwrap_or_else(|panic| Err(panicked(&*panic)));
        let response = answer.unwrap_or_else(|problem| problem.answer());
        tell(&self.serving, RECOMMENDATIONS, request.method(), uri, response.status(), started);
        response
    }

    /// Asks the client to come back on another connection, to another server.
    fn with_farewell<B>(&self, mut response: Response<B>) -> Response<B> {
        if self.serving.is_ending() {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<FrontBody>;
    type Error = Infallible;
    type Future = Either<Ready<Answered>, BoxFuture<'static, Answered>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        if request.method() == Method::GET && is_of_one_ranking(request.uri()) {
            let response = self.with_farewell(self.recommend(&request));
            return Either::Left(ready(Ok(response.map(|body| FrontBody::Left(Full::new(body))))));
        }
        let front = self.clone();
        Either::Right(
            async move {
                let Ok(response) = front.router.clone().oneshot(request.map(Body::new)).await;
                Ok(front.with_farewell(response).map(FrontBody::Right))
            }
            .boxed(),
        )
    }
}

/// Whether the path is `/recommendations/{advertiser}/{model}`, with a slash at the end or without.
pub(crate) fn is_of_one_ranking(uri: &Uri) -> bool {
    let Some(rest) = uri.path().strip_prefix("/recommendations/") else { return false };
    let mut segments = rest.strip_suffix('/').unwrap_or(rest).split('/');
    let is_id = |segment: Option<&str>| segment.is_some_and(|segment| !segment.is_empty());
    is_id(segments.next()) && is_id(segments.next()) && segments.next().is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_one_ranking_go_past_the_router() {
        let is = |path: &str| is_of_one_ranking(&path.parse().unwrap());
        assert!(is("/recommendations/a/TopCTR"));
        assert!(is("/recommendations/a%2Fb/TopCTR/?day=2024-11-20"));
        for other in [
            "/recommendations",
            "/recommendations/a",
            "/recommendations/a/",
            "/recommendations//TopCTR",
            "/recommendations/a//",
            "/recommendations/a/TopCTR/more",
            "/recommendations/a/TopCTR//",
            "/history/a/TopCTR",
            "//recommendations/a/TopCTR",
        ] {
            assert!(!is(other), "{other}");
        }
    }
}
