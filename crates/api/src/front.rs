//! The service of a connection: the route that is asked thousands of times a second, and a door to all others.
//!
//! A request for one ranking is answered at once, from the snapshot in service: no routing, no waiting, no future on the
//! heap. The answer is what the router would have given.

use crate::{
    access_log::Line,
    problem::Problem,
    request_id::{self, REQUEST_ID},
    routes::{Route, panicked, recommend},
    serving::Serving,
    telemetry::RECOMMENDATIONS,
};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderValue, Method, Request, Response, Uri, header},
};
use futures::future::{BoxFuture, Either, FutureExt, Ready, ready};
use http_body_util::Full;
use hyper::{
    body::{Body as _, Incoming},
    service::Service,
};
use std::{
    convert::Infallible,
    net::IpAddr,
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
        // A panic is a defect; this keeps it to its request, as the router's layer does.
        let answer = catch_unwind(AssertUnwindSafe(|| match &*self.serving.glance() {
            Some(view) => recommend(view, request.uri(), request.headers()),
            None => Err(Problem::SnapshotUnavailable),
        }));
        let answer = answer.unwrap_or_else(|panic| Err(panicked(&*panic)));
        answer.unwrap_or_else(|problem| problem.answer())
    }

    /// Counts, times and logs an answer, and makes it ready to be sent: with the request's name, and asking the client
    /// to come back on another connection, to another server, when this one ends.
    fn told(
        &self,
        asked: Asked,
        route: &str,
        (method, uri): (&Method, &Uri),
        mut response: Response<FrontBody>,
    ) -> Response<FrontBody> {
        let elapsed = asked.started.elapsed();
        self.serving.telemetry.answered(route, response.status(), elapsed);
        self.serving.access_log.answered(&Line {
            method,
            path: uri.path(),
            route,
            status: response.status(),
            bytes: response.body().size_hint().exact(),
            elapsed,
            request_id: asked.request_id.to_str().unwrap_or_default(),
            client: asked.client,
            key_id: asked.key_id.as_deref(),
        });
        let headers = response.headers_mut();
        headers.insert(REQUEST_ID, asked.request_id);
        if self.serving.is_ending() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }
}

/// What is known of a request before it is answered.
struct Asked {
    started: Instant,
    request_id: HeaderValue,
    client: Option<IpAddr>,
    key_id: Option<Box<str>>,
}

impl Asked {
    fn now(request: &Request<Incoming>) -> Self {
        let request_id = request_id::of(request.headers());
        Self { started: Instant::now(), request_id, client: None, key_id: None }
    }
}

impl Service<Request<Incoming>> for Front {
    type Response = Response<FrontBody>;
    type Error = Infallible;
    type Future = Either<Ready<Answered>, BoxFuture<'static, Answered>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let asked = Asked::now(&request);
        if request.method() == Method::GET && is_of_one_ranking(request.uri()) {
            let response = self.recommend(&request).map(|body| FrontBody::Left(Full::new(body)));
            let of = (request.method(), request.uri());
            return Either::Left(ready(Ok(self.told(asked, RECOMMENDATIONS, of, response))));
        }
        let front = self.clone();
        Either::Right(
            async move {
                let (method, uri) = (request.method().clone(), request.uri().clone());
                let Ok(mut response) = front.router.clone().oneshot(request.map(Body::new)).await;
                let route = response.extensions_mut().remove::<Route>();
                let route = route.as_ref().map_or("none", Route::name);
                Ok(front.told(asked, route, (&method, &uri), response.map(FrontBody::Right)))
            }
            .boxed(),
        )
    }
}

/// Whether the path is `/recommendations/{advertiser}/{model}`, with a slash at the end or without.
fn is_of_one_ranking(uri: &Uri) -> bool {
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
