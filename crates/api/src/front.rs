//! The service of a connection: who asks, what is refused, the route that is asked thousands of times a second, and a
//! door to all others.
//!
//! Whoever asks too often or for too much is told so before anything is looked up. A request for one ranking is answered
//! at once, from the snapshot in service: no routing, no waiting, no future on the heap. The answer is what the router
//! would have given. Every answer, refusals too, is counted, logged and named on its way out.

use crate::{
    access::{Asker, LastKey},
    access_log::Line,
    body::{Owner, Sliced, with_room},
    caller::{Caller, Peer},
    limits::Limits,
    problem::Problem,
    pulse::Pulse,
    request_id::{self, REQUEST_ID},
    routes::{Route, operator_router, panicked, recommend, router},
    serving::Serving,
    telemetry::RECOMMENDATIONS,
};
use axum::{
    Router,
    body::{Body, Bytes},
    http::{HeaderValue, Method, Request, Response, Uri, header},
};
use futures::future::{BoxFuture, Either, FutureExt, Ready, ready};
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
use store::KeyId;
use tower::ServiceExt;

/// Whole bytes, or what a route makes of it.
pub(crate) type FrontBody = http_body_util::Either<Sliced, Body>;

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
    last_key: LastKey,
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
        Visit { front: self.clone(), peer, owner, pulse, last_key: LastKey::default() }
    }

    /// Whether the request may be answered, as far as its head tells.
    fn check(&self, asked: &Asked, request: &Request<Incoming>) -> Result<(), Problem> {
        let Limits { path_bytes_max, headers_max, .. } = self.serving.options.limits;
        let (uri, headers) = (request.uri(), request.headers());
        if let Some(rates) = &self.serving.rates
            && !self.is_for_operators
            && !is_probe(uri)
        {
            rates.count(asked.caller(), asked.started).map_err(Problem::too_many_requests)?;
        }
        if uri.path().len() + uri.query().map_or(0, |query| 1 + query.len()) > path_bytes_max {
            return Err(Problem::PathTooLong { bytes_max: path_bytes_max });
        }
        if headers.len() > headers_max {
            return Err(Problem::TooManyHeaders { headers_max });
        }
        Ok(())
    }

    /// The answer to a request for one ranking.
    fn recommend(
        &self,
        asker: &Asker,
        owner: &Owner,
        ids: [&str; 2],
        request: &Request<Incoming>,
    ) -> Response<Bytes> {
        // A panic is a defect; this keeps it to its request, as the router's layer does.
        let answer = catch_unwind(AssertUnwindSafe(|| {
            let scope = asker.scope()?;
            match &*self.serving.glance() {
                Some(view) => recommend(view, scope, ids, request.uri(), request.headers()),
                None => Err(Problem::SnapshotUnavailable),
            }
        }));
        let answer = answer.unwrap_or_else(|panic| Err(panicked(&*panic)));
        let answer = answer.and_then(|response| with_room(&self.serving, owner, response));
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
        let line = Line {
            method,
            path: uri.path(),
            route,
            status: response.status(),
            bytes: response.body().size_hint().exact(),
            elapsed,
            request_id: asked.request_id.to_str().unwrap_or_default(),
            client: asked.client,
            key_id: asked.key_id.as_ref().map(KeyId::as_str),
        };
        self.serving.access_log.answered(&line);
        #[cfg(feature = "otel")]
        if let Some(tracer) = &self.serving.options.tracer {
            crate::trace::answered(tracer, &asked.parent, &line);
        }
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
    client: IpAddr,
    key_id: Option<KeyId>,
    /// The span that it is a child of.
    #[cfg(feature = "otel")]
    parent: opentelemetry::Context,
}

impl Asked {
    /// As whom the request is counted.
    fn caller(&self) -> Caller {
        self.key_id.map_or_else(|| Caller::at(self.client), Caller::Key)
    }
}

impl Visit {
    /// Who asks. Operators show no key on the listener that is theirs.
    fn asker(&self, request: &Request<Incoming>) -> Asker {
        match self.front.is_for_operators {
            true => Asker::Anyone,
            false => self.front.serving.access.asker(request.headers(), &self.last_key),
        }
    }

    /// What is known of a request by its head.
    fn asked(&self, asker: &Asker, request: &Request<Incoming>) -> Asked {
        let headers = request.headers();
        Asked {
            started: Instant::now(),
            request_id: request_id::of(headers),
            client: self.peer.address_of(headers, &self.front.serving.options.trusted_proxies),
            key_id: asker.key_id(),
            #[cfg(feature = "otel")]
            parent: crate::trace::parent(self.front.serving.options.tracer.as_ref(), headers),
        }
    }

    /// An answer that is there.
    fn at_once(
        &self,
        asked: Asked,
        route: &str,
        request: &Request<Incoming>,
        response: Response<Bytes>,
    ) -> <Self as Service<Request<Incoming>>>::Future {
        let response = response.map(|body| FrontBody::Left(body.into()));
        let response = self.front.told(asked, route, (request.method(), request.uri()), response);
        self.pulse.answered();
        Either::Left(ready(Ok(response)))
    }
}

impl Service<Request<Incoming>> for Visit {
    type Response = Response<FrontBody>;
    type Error = Infallible;
    type Future = Either<Ready<Answered>, BoxFuture<'static, Answered>>;

    fn call(&self, request: Request<Incoming>) -> Self::Future {
        self.pulse.asked();
        let front = &self.front;
        let has_body = !request.body().is_end_stream();
        let asker = self.asker(&request);
        let asked = self.asked(&asker, &request);
        let ranking = ids_of_one_ranking(request.uri());
        if let Err(problem) = front.check(&asked, &request) {
            if has_body {
                self.pulse.lingers();
            }
            let route = ranking.map_or("none", |_| RECOMMENDATIONS);
            return self.at_once(asked, route, &request, problem.answer());
        }
        if let Some(ids) = ranking
            && request.method() == Method::GET
            && !front.is_for_operators
        {
            let response = front.recommend(&asker, &self.owner, ids, &request);
            if has_body && !response.status().is_success() {
                self.pulse.lingers();
            }
            return self.at_once(asked, RECOMMENDATIONS, &request, response);
        }
        let (front, pulse) = (front.clone(), self.pulse.clone());
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(asker);
        request.extensions_mut().insert(self.owner.clone());
        request.extensions_mut().insert(asked.caller());
        Either::Right(
            async move {
                let (method, uri) = (request.method().clone(), request.uri().clone());
                let Ok(mut response) = front.router.clone().oneshot(request).await;
                if has_body && !response.status().is_success() {
                    pulse.lingers();
                }
                pulse.answered();
                let route = response.extensions_mut().remove::<Route>();
                let route = route.as_ref().map_or("none", Route::name);
                Ok(front.told(asked, route, (&method, &uri), response.map(FrontBody::Right)))
            }
            .boxed(),
        )
    }
}

/// The ids of a path that is `/recommendations/{advertiser}/{model}`, with a slash at the end or without, as they were sent.
pub(crate) fn ids_of_one_ranking(uri: &Uri) -> Option<[&str; 2]> {
    let rest = uri.path().strip_prefix("/recommendations/")?;
    let (advertiser, model) = rest.strip_suffix('/').unwrap_or(rest).split_once('/')?;
    let is_one = !advertiser.is_empty() && !model.is_empty() && !model.contains('/');
    is_one.then_some([advertiser, model])
}

/// Whether it is asked by load balancers, which are told how this server is whatever else they have asked.
fn is_probe(uri: &Uri) -> bool {
    let path = uri.path();
    matches!(path.strip_suffix('/').unwrap_or(path), "/health/live" | "/health/ready")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_of_one_ranking_go_past_the_router() {
        let is = |path: &str| ids_of_one_ranking(&path.parse().unwrap()).is_some();
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
