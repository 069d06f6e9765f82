//! Before, during and after migration.

use crate::{
    database::{Database, new_run, on_both, server_url},
    notation::{check, publish, rankings},
};
use domain::RunId;
use jiff::Timestamp;
use sqlx::{AssertSqlSafe, Connection, Executor, PgConnection};
use store::{Published, Store, StoreError};

on_both!(
    before_migration_a_database_reads_as_empty,
    many_may_migrate_at_once,
    a_database_of_a_newer_version_is_left_alone,
    what_an_earlier_version_published_is_read_before_migration,
);

async fn before_migration_a_database_reads_as_empty(database: Database) {
    let store = database.open().await;
    assert_eq!(store.published(30, &[]).await.unwrap(), Published::default());
    assert_eq!(store.publication_version().await.unwrap(), 0);
    assert_eq!(store.runs(10, None).await.unwrap(), []);
    assert_eq!(store.run(&RunId::new(Timestamp::UNIX_EPOCH, 1)).await.unwrap(), None);
    // Writing needs tables, and says so.
    let run = new_run("2024-11-20".parse().unwrap());
    let error = store.begin_runs(std::slice::from_ref(&run)).await.unwrap_err().to_string();
    assert_eq!(error, format!("could not begin run {} in {}", run.run_id, store.description()));

    // The server that was there first sees what is published once another process has migrated.
    publish(&database.migrated().await, &rankings("2024-11-20: a\n TopCTR a: x=0.5")).await;
    check(&store.published(30, &[]).await.unwrap(), "2024-11-20: a\n TopCTR a: x=0.5");
}

async fn many_may_migrate_at_once(database: Database) {
    let migrations: Vec<_> = (0..8)
        .map(|_| {
            let url = database.url.clone();
            tokio::spawn(async move { Store::open(&url).await.unwrap().migrate().await })
        })
        .collect();
    for migration in migrations {
        migration.await.unwrap().unwrap();
    }
    publish(&database.open().await, &rankings("2024-11-20: a\n TopCTR a: x=0.5")).await;
    database.migrated().await;
    check(&database.open().await.published(30, &[]).await.unwrap(), "2024-11-20: a\n TopCTR a: x=0.5");
}

async fn a_database_of_a_newer_version_is_left_alone(database: Database) {
    database.migrated().await;
    let newer = "INSERT INTO topshelf_migrations (version, description, success, checksum, execution_time)
                 SELECT 9999, 'of a newer version', success, checksum, 0 FROM topshelf_migrations WHERE version = 1";
    database.sql(newer).await;
    database.sql("ALTER TABLE runs ADD COLUMN of_a_newer_version TEXT").await;
    let store = database.migrated().await;
    publish(&store, &rankings("2024-11-20: a\n TopCTR a: x=0.5")).await;
    assert_eq!(store.runs(10, None).await.unwrap().len(), 1);
}

async fn what_an_earlier_version_published_is_read_before_migration(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings("2024-11-20: a\n TopCTR a: x=0.5")).await;
    let version = store.publication_version().await.unwrap();
    // What the sixth migration added, then what the fourth and the third did.
    let moves = ["VIEW top_ctr", "VIEW top_product", "VIEW seen_publications", "TABLE pins"];
    for dropped in [&["TABLE packed_rankings"][..], &moves, &["TABLE holds", "TABLE advertiser_totals"]] {
        for dropped in dropped {
            database.sql(&format!("DROP {dropped}")).await;
        }
        let store = database.open().await;
        check(&store.published(30, &[]).await.unwrap(), "2024-11-20: a\n TopCTR a: x=0.5");
        assert_eq!(store.publication_version().await.unwrap(), version);
        let is_older = dropped[0] != "TABLE packed_rankings";
        assert_eq!(matches!(store.moves(9, None).await, Err(StoreError::Older { .. })), is_older);
        assert_eq!(store.pins().await.unwrap(), []);
    }
}

/// A server's role that may only read: it finds nothing to migrate and reads what is there.
#[tokio::test]
async fn a_role_that_may_only_read_serves() {
    let database = Database::postgres().await;
    let name = database.url.rsplit('/').next().unwrap();
    let reader = format!("{name}_reader");
    let mut admin = PgConnection::connect(&database.url).await.unwrap();
    admin.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC").await.unwrap();
    admin.execute(AssertSqlSafe(format!("CREATE ROLE {reader} LOGIN PASSWORD 'reads'"))).await.unwrap();
    let (_, address) =
        server_url().rsplit_once('@').map(|(user, rest)| (user.to_owned(), rest.to_owned())).unwrap();
    let address = address.rsplit_once('/').unwrap().0;
    let store = Store::open(&format!("postgres://{reader}:reads@{address}/{name}")).await.unwrap();

    assert_eq!(store.published(30, &[]).await.unwrap().version, 0);
    let error = store.migrate().await.unwrap_err();
    let error = crate::database::chain(&error);
    assert!(error.starts_with(&format!("could not migrate postgres://{reader}@")), "{error}");
    assert!(error.contains("permission denied"), "{error}");

    publish(&database.migrated().await, &rankings("2024-11-20: a\n TopCTR a: x=0.5")).await;
    let grant = format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {reader}");
    admin.execute(AssertSqlSafe(grant)).await.unwrap();
    store.migrate().await.unwrap();
    check(&store.published(30, &[]).await.unwrap(), "2024-11-20: a\n TopCTR a: x=0.5");
}
