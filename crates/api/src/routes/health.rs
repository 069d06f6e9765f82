//! What load balancers, orchestrators and Prometheus ask.

use super::Shared;
use crate::{
    response::{fresh, no_store, with_type},
    wire::{Health, Liveness, LivenessStatus, Readiness, ReadinessStatus},
};
use axum::{extract::State, http::StatusCode, response::Response};

/// Whether the process answers
#[utoipa::path(
    get,
    path = "/health/live",
    operation_id = "get_liveness",
    tag = "health",
    responses((status = 200, description = "It does", body = Liveness))
)]
pub(super) async fn live() -> Response {
    fresh(StatusCode::OK, &Liveness { status: LivenessStatus::Live })
}

/// Whether this server can answer
///
/// Ready means that the store was read, even when it publishes nothing yet: sending traffic elsewhere
/// would not help.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "get_readiness",
    tag = "health",
    responses(
        (status = 200, description = "ready, no_publication_yet", body = Readiness),
        (status = 503, description = "snapshot_unavailable, shutting_down", body = Readiness),
    )
)]
pub(super) async fn ready(State(serving): State<Shared>) -> Response {
    let readiness = serving.readiness();
    fresh(status_of(readiness.status), &readiness)
}

/// How the server is, and how the nights go
///
/// The readiness of this server, when the next night begins, and which runs are under way and ended last,
/// whoever runs them.
#[utoipa::path(
    get,
    path = "/health",
    operation_id = "get_health",
    tag = "health",
    responses(
        (status = 200, description = "ready, no_publication_yet", body = Health),
        (status = 503, description = "snapshot_unavailable, shutting_down", body = Health),
    )
)]
pub(super) async fn health(State(serving): State<Shared>) -> Response {
    let health = serving.health();
    fresh(status_of(health.readiness.status), &health)
}

fn status_of(readiness: ReadinessStatus) -> StatusCode {
    match readiness {
        ReadinessStatus::Ready | ReadinessStatus::NoPublicationYet => StatusCode::OK,
        ReadinessStatus::SnapshotUnavailable | ReadinessStatus::ShuttingDown => {
            StatusCode::SERVICE_UNAVAILABLE
        }
    }
}

/// Metrics for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    operation_id = "get_metrics",
    tag = "health",
    responses((status = 200, description = "Prometheus' text format", body = String, content_type = "text/plain"))
)]
pub(super) async fn metrics(State(serving): State<Shared>) -> Response {
    no_store(with_type(
        StatusCode::OK,
        "text/plain; version=0.0.4; charset=utf-8",
        serving.telemetry.render(),
    ))
}
