//! The service of a connection: what is refused, the route that is asked thousands of times a second, and a door to all
//! others.
//!
//! Whoever asks too often or for too much is told so before anything is looked up. A request for one ranking is answered at once, from the snapshot in service: no routing, no waiting, no future on the
//! heap. The answer is what the router would have given.

use crate::{
    body::{Owner, with_room},
    caller::{Caller, Peer},
    limits::Limits,
    problem::Problem,
    pulse::Pulse,
    routes::{operator_router, panicked, recommend, router},
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

/// What is behind a listener.
#[derive(Clone)]
pub(crate) struct Front {
    serving: Arc<Serving>,
    router: Router,
    is_for_operators: bool,
}

/// The service of one connection.
pub(crate) struct Visit {
    front: Front,
    peer: Peer,
    owner: Owner,
    pulse: Arc<Pulse>,
}

impl Front {
    /// What all may ask.
    pub(crate) fn public(serving: Arc<Serving>) -> Self {
        let router = router(serving.clone());
        Self { serving, router, is_for_operators: false }
    }

    /// What operators ask, on a listener of their own.
    pub(crate) fn for_operators(serving: Arc<Serving>) -> Self {
        let router = operator_router(serving.clone());
        Self { serving, router, is_for_operators: true }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.serving.options.limits
    }

    /// The other end of a connection from `address`.
    pub(crate) fn peer(&self, address: IpAddr) -> Peer {
        Peer::new(address, &self.serving.options.trusted_proxies)
    }

    /// The service of a connection from `peer`.
    pub(crate) fn visit(&self, peer: Peer, owner: Owner, pulse: Arc<Pulse>) -> Visit {
        Visit { front: self.clone(), peer, owner, pulse }
    }

    /// Whether the request may be answered, as far as its head tells.
    fn check(&self, request: &Request<Incoming>, peer: Peer, now: Instant) -> Result<(), Problem> {
        let Limits { path_bytes_max, headers_max, .. } = self.serving.options.limits;
        let (uri, headers) = (request.uri(), request.headers());
        if let Some(rates) = &self.serving.rates
            && !self.is_for_operators
            && !is_probe(uri)
        {
            let address = peer.address_of(headers, &self.serving.options.trusted_proxies);
            rates.count(Caller::at(address), now).map_err(Problem::too_many_requests)?;
        }
        if uri.path().len() + uri.query().map_or(0, |query| 1 + query.len()) > path_bytes_max {
            return Err(Problem::PathTooLong { bytes_max: path_bytes_max });
        }
        if headers.len() > headers_max {
            return Err(Problem::TooManyHeaders { headers_max });
        }
        Ok(())
    }

    /// Says why there is no answer.
    fn refuse(&self, problem: &Problem, request: &Request<Incoming>, started: Instant) -> Response<Bytes> {
        let response = problem.answer();
        let route = if is_of_one_ranking(request.uri()) { RECOMMENDATIONS } else { "none" };
        tell(&self.serving, route, request.method(), request.uri(), response.status(), started);
        response
    }

    /// The answer to a request for one ranking.
    fn recommend(&self, request: &Request<Incoming>, owner: &Owner, started: Instant) -> Response<Bytes> {
        let uri = request.uri();
        // A panic is a defect; this keeps it to its request, as the router's layer does.
        let answer = catch_unwind(AssertUnwindSafe(|| match &*self.serving.glance() {
            Some(view) => recommend(view, uri, request.headers()),
            None => Err(Problem::SnapshotUnavailable),
        }));
        let answer = answer.unwrap_or_else(|panic| Err(panicked(&*panic)));
        let answer = answer.and_then(|response| with_room(&self.serving, owner, response));
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

impl Visit {
    /// An answer that is there.
    fn at_once(&self, response: Response<Bytes>) -> <Self as Service<Request<Incoming>>>::Future {
        let response = self.front.with_farewell(response);
        self.pulse.answered();
        Either::Left(ready(Ok(response.map(|body| FrontBody::Left(Full::new(body))))))
    }
}

impl Service<Request<Incoming>> for Visit {
    type Response = Response<FrontBody>;
    type Error = Infallible;
    type Future = Either<Ready<Answered>, BoxFuture<'static, Answered>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        let started = Instant::now();
        self.pulse.asked();
        let front = &self.front;
        let has_body = !request.body().is_end_stream();
        if let Err(problem) = front.check(&request, self.peer, started) {
            if has_body {
                self.pulse.lingers();
            }
            return self.at_once(front.refuse(&problem, &request, started));
        }
        if request.method() == Method::GET && is_of_one_ranking(request.uri()) && !front.is_for_operators {
            return self.at_once(front.recommend(&request, &self.owner, started));
        }
        let (front, pulse) = (front.clone(), self.pulse.clone());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(self.owner.clone());
        Either::Right(
            async move {
                let Ok(response) = front.router.clone().oneshot(request).await;
                if has_body && !response.status().is_success() {
                    pulse.lingers();
                }
                pulse.answered();
                Ok(front.with_farewell(response).map(FrontBody::Right))
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

/// Whether it is asked by load balancers, which are told how this server is whatever else they have asked.
fn is_probe(uri: &Uri) -> bool {
    matches!(uri.path().trim_end_matches('/'), "/health/live" | "/health/ready")
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
