//! What load balancers, orchestrators and Prometheus ask.

use super::Shared;
use crate::{
    access::Asker,
    body::RoomSeenTo,
    problem::Problem,
    response::{fresh, no_store, with_type},
    wire::{Health, Liveness, LivenessStatus, ReadinessStatus, ReadinessTold, ReadinessWord},
};
use axum::{Extension, extract::State, http::StatusCode, response::Response};

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
/// would not help. Where keys are asked for, only who holds one for all advertisers is told more than the status.
#[utoipa::path(
    get,
    path = "/health/ready",
    operation_id = "get_readiness",
    tag = "health",
    responses(
        (status = 200, description = "ready, no_publication_yet", body = ReadinessTold),
        (status = 503, description = "snapshot_unavailable, shutting_down", body = ReadinessTold),
    )
)]
pub(super) async fn ready(State(serving): State<Shared>, Extension(asker): Extension<Asker>) -> Response {
    let readiness = serving.readiness();
    let status = readiness.status;
    let told = match asker.sees_all() {
        Ok(()) => ReadinessTold::Whole(readiness),
        Err(_) => ReadinessTold::Word(ReadinessWord { status }),
    };
    fresh(status_of(status), &told)
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
pub(super) async fn health(
    State(serving): State<Shared>,
    Extension(asker): Extension<Asker>,
) -> Result<Response, Problem> {
    asker.sees_all()?;
    let health = serving.health();
    Ok(RoomSeenTo::mark(fresh(status_of(health.readiness.status), &health)))
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
pub(super) async fn metrics(
    State(serving): State<Shared>,
    Extension(asker): Extension<Asker>,
) -> Result<Response, Problem> {
    asker.sees_all()?;
    let text = serving.telemetry.render();
    let answer = with_type(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", text);
    Ok(RoomSeenTo::mark(no_store(answer)))
}
