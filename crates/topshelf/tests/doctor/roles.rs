//! Databases and roles of a test's own, on the tests' PostgreSQL.

use crate::{postgres, servers::runtime};
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};

/// A database that no other test knows, and how to be one of several roles in it.
pub(crate) struct Database {
    /// As a superuser.
    pub(crate) url: String,
    pub(crate) name: String,
}

impl Database {
    /// An empty one.
    pub(crate) fn new() -> Self {
        let url = runtime().block_on(postgres::new_database("topshelf_doctor"));
        let name = url.rsplit('/').next().unwrap().to_owned();
        Self { url, name }
    }

    /// Carries out statements as a superuser.
    pub(crate) fn execute(&self, sql: &str) {
        execute(&self.url, sql);
    }

    /// Makes a role with a password that may log in and nothing else; its name, and its URL.
    pub(crate) fn role(&self, name: &str) -> (String, String) {
        let role = format!("{name}_{}", self.name);
        self.execute(&format!("CREATE ROLE {role} LOGIN PASSWORD 'hunter2'"));
        let url = self.as_user(&role, "hunter2");
        (role, url)
    }

    /// The URL of a user.
    pub(crate) fn as_user(&self, user: &str, password: &str) -> String {
        let (_, address) = self.url.rsplit_once('@').unwrap();
        format!("postgres://{user}:{password}@{address}")
    }

    /// What is in every table, and which tables there are.
    pub(crate) fn content(&self) -> Vec<(String, String)> {
        runtime().block_on(async {
            let mut connection = PgConnection::connect(&self.url).await.unwrap();
            let tables: Vec<String> = sqlx::query_scalar(
                "SELECT relname::text FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v') ORDER BY 1",
            )
            .fetch_all(&mut connection)
            .await
            .unwrap();
            let mut content = Vec::new();
            for table in tables {
                let sql = format!("SELECT coalesce(string_agg(t::text, '|' ORDER BY t::text), '') FROM {table} t");
                let rows = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
                content.push((table, rows));
            }
            content
        })
    }
}

/// Carries out statements at a URL.
pub(crate) fn execute(url: &str, sql: &str) {
    runtime().block_on(async {
        let mut connection = PgConnection::connect(url).await.unwrap();
        connection.execute(AssertSqlSafe(sql.to_owned())).await.unwrap();
        connection.close().await.unwrap();
    });
}
