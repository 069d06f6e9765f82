//! The same route, read from PostgreSQL on each request: what a careful server without a snapshot does.
//!
//! A pool of connections, one statement that each connection prepares once, answers as ours.

use axum::{
    Router,
    extract::{Path, State},
    http::{StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::get,
};
use bench_servers::{
    answers::{Row, body},
    listening::serve,
};
use clap::Parser;
use sqlx::{PgPool, postgres::PgPoolOptions};
use std::error::Error;

/// What is published for the newest day. Pins, which are rare, are not looked at: that spares a join.
const QUERY: &str = "
    SELECT r.rank, r.product_id, r.score, r.impressions, r.clicks, r.views, r.run_id,
           p.day - DATE '1970-01-01', date_part('epoch', p.published_at)
    FROM publications p
    JOIN rankings r ON r.run_id = p.run_id AND r.day = p.day AND r.advertiser_id = p.advertiser_id
    WHERE p.day = (SELECT max(day) FROM publications) AND p.advertiser_id = $1 AND r.model = $2
    ORDER BY r.rank";

/// Answers /recommendations/{advertiser}/{model} from PostgreSQL.
#[derive(Parser)]
struct Arguments {
    /// Host and port to listen on
    #[arg(long)]
    listen: String,
    /// The database
    #[arg(long)]
    store: String,
    /// Connections to it
    #[arg(long, default_value_t = 16)]
    connections: u32,
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let Arguments { listen, store, connections } = Arguments::parse();
    let pool = PgPoolOptions::new().min_connections(connections).max_connections(connections);
    // A connection that breaks is found out by its next query, which fails the benchmark anyway.
    let pool = pool.test_before_acquire(false).connect(&store).await?;
    let router = Router::new().route("/recommendations/{advertiser}/{model}", get(recommendations));
    Ok(serve(&listen, router.with_state(pool)).await?)
}

async fn recommendations(
    State(pool): State<PgPool>,
    Path((advertiser, model)): Path<(String, String)>,
) -> Response {
    let rows: Result<Vec<Row>, _> =
        sqlx::query_as(QUERY).bind(&advertiser).bind(&model).fetch_all(&pool).await;
    match rows.map(|rows| body(&advertiser, &model, &rows)) {
        Ok(Some(body)) => ([(CONTENT_TYPE, "application/json")], body).into_response(),
        Ok(None) => StatusCode::NOT_FOUND.into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
