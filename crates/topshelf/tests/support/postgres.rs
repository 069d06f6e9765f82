//! A PostgreSQL database of its own for each test.

use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// The URL of a new, empty database whose name begins so.
pub(crate) async fn new_database(name: &str) -> String {
    static DATABASES: AtomicU32 = AtomicU32::new(0);
    let server = std::env::var("TOPSHELF_TEST_POSTGRES").unwrap_or_else(|_| {
        panic!("TOPSHELF_TEST_POSTGRES is not set: run `cargo xtask test`, which starts a PostgreSQL")
    });
    let name = format!("{name}_{}_{}", std::process::id(), DATABASES.fetch_add(1, Relaxed));
    let mut connection = PgConnection::connect(&server).await.unwrap();
    connection.execute(AssertSqlSafe(format!("CREATE DATABASE {name}"))).await.unwrap();
    connection.close().await.unwrap();
    let (address, _) = server.rsplit_once('/').unwrap();
    format!("{address}/{name}")
}
