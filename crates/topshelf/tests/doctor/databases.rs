//! Databases that let nobody in, or let us do too little.

use crate::{
    call::doctor,
    cluster::{Cluster, Stop, own},
    roles::{Database, execute},
    scene::Scene,
};
use std::fs;

#[test]
fn a_wrong_password_is_told_with_its_source() {
    let (scene, database) = (Scene::new(), Database::new());
    let (role, url) = database.role("night");
    let said = doctor(&scene, &["--store", &url.replace("hunter2", "wrong")]);
    let alter = format!("ALTER ROLE {role} PASSWORD");
    let words = [
        "password authentication failed",
        "with the password in store.url",
        "correct it in store.url",
        &alter,
    ];
    said.fails_only("database login", &words);
    said.holds("database database", &["not tried: login failed"]);
    let mut scene = Scene::new();
    scene.environment("PGPASSWORD", "wrong");
    let said = doctor(&scene, &["--store", &url.replace(":hunter2", "")]);
    said.fails_only("database login", &["the password in PGPASSWORD", "correct it in PGPASSWORD"]);
    let said = doctor(&Scene::new(), &["--store", &url.replace(":hunter2", "")]);
    said.fails_only("database login", &["with no password", "none is given"]);
}

#[test]
fn a_password_of_iam_is_told_to_be_too_old() {
    let database = Database::new();
    let (_, url) = database.role("night");
    let token = "h%3A5432%2F%3FX-Amz-Date%3D20240101T000000Z%26X-Amz-Signature%3Dhunter2";
    let said = doctor(&Scene::new(), &["--store", &url.replace("hunter2", token)]);
    said.fails_only(
        "database login",
        &["the IAM token in store.url", "good for 15", "generate-db-auth-token"],
    );
}

#[test]
fn a_database_that_is_not_there_is_told_with_the_statement_that_makes_it() {
    let database = Database::new();
    let (role, url) = database.role("night");
    let said = doctor(
        &Scene::new(),
        &["--store", &url.replace(&format!("/{}", database.name), "/nobody_made_this")],
    );
    let create = format!("CREATE DATABASE nobody_made_this OWNER {role}");
    said.fails_only("database database", &["does not exist", &create]);
    assert_eq!(said.step("database login")["outcome"], "ok");
}

#[test]
fn a_database_that_is_not_ours_is_told_with_the_grant() {
    let database = Database::new();
    let (role, url) = database.role("night");
    database.execute(&format!("REVOKE CONNECT ON DATABASE {} FROM PUBLIC", database.name));
    let said = doctor(&Scene::new(), &["--store", &url]);
    let grant = format!("GRANT CONNECT ON DATABASE {} TO {role}", database.name);
    said.fails_only("database database", &["permission denied", &grant]);
    database.execute(&grant);
    assert_eq!(doctor(&Scene::new(), &["--store", &url]).step("database database")["outcome"], "ok");
}

#[test]
fn migrations_that_the_role_cannot_apply_fail_and_those_that_it_can_are_told() {
    let database = Database::new();
    let (role, url) = database.role("night");
    // As since PostgreSQL 15 by default.
    database.execute("REVOKE CREATE ON SCHEMA public FROM PUBLIC");
    let before = database.content();
    let said = doctor(&Scene::new(), &["--store", &url]);
    let grant = format!("GRANT CREATE ON SCHEMA public TO {role}");
    said.fails_only("database migrations", &["0 applied", "may not make tables", &grant]);
    assert_eq!(database.content(), before, "the doctor made something");
    database.execute(&grant);
    let said = doctor(&Scene::new(), &["--store", &url]);
    said.warns("database migrations", &["0 applied", "pending (1, 2, 3, 4", "the next run applies them"]);
    assert_eq!(database.content(), before, "the doctor made something");
    Scene::new().end_well(&["migrate", "--store", &url]);
    doctor(&Scene::new(), &["--store", &url]).is_well();
}

#[test]
fn tables_of_another_role_cannot_be_migrated() {
    let database = Database::new();
    let (role, url) = database.role("night");
    Scene::new().end_well(&["migrate", "--store", &database.url]);
    database.execute(&format!("GRANT CREATE ON SCHEMA public TO {role}; GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}; DELETE FROM topshelf_migrations WHERE version = 4"));
    let said = doctor(&Scene::new(), &["--store", &url]);
    said.fails_only("database migrations", &["pending (4", "does not own", "as their owner"]);
}

#[test]
fn a_role_that_only_reads_is_told_what_to_grant() {
    let database = Database::new();
    let (role, url) = database.role("reader");
    Scene::new().end_well(&["migrate", "--store", &database.url]);
    let said = doctor(&Scene::new(), &["--store", &url]);
    said.fails_only(
        "database migrations",
        &["permission denied", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES"],
    );
    database.execute(&format!("GRANT SELECT ON ALL TABLES IN SCHEMA public TO {role}"));
    let said = doctor(&Scene::new(), &["--store", &url]);
    said.fails_only("database privileges", &["it lacks INSERT, UPDATE on runs", "one that only reads"]);
    // The remedy is one that can be carried out, and cures.
    let remedy = said.step("database privileges")["remedy"].as_str().unwrap().to_owned();
    database.execute(&remedy);
    doctor(&Scene::new(), &["--store", &url]).is_well();
    let mut scene = Scene::new();
    scene.add_args(&["--store", &url]);
    assert_eq!(scene.end().exit, 0, "a night works with what the doctor told to grant");
}

#[test]
fn a_role_that_may_not_read_keys_is_told_and_its_nights_work() {
    let database = Database::new();
    let (role, url) = database.role("night");
    Scene::new().end_well(&["migrate", "--store", &database.url]);
    database.execute(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; REVOKE ALL ON api_keys, api_keys_version FROM {role}"));
    let said = doctor(&Scene::new(), &["--store", &url]);
    said.warns(
        "database privileges",
        &["it lacks SELECT on api_keys; SELECT on api_keys_version", "API keys"],
    );
    let remedy = said.step("database privileges")["remedy"].as_str().unwrap().to_owned();
    let grant =
        format!("when a server uses this role: GRANT SELECT ON api_keys, api_keys_version TO {role};");
    assert_eq!(remedy, grant);
    let mut scene = Scene::new();
    scene.add_args(&["--store", &url]);
    assert_eq!(scene.end().exit, 0, "a night works");
    database.execute(remedy.split_once(": ").unwrap().1);
    doctor(&Scene::new(), &["--store", &url]).is_well();
}

#[test]
fn a_standby_is_told_as_a_replica() {
    let mut cluster = Cluster::new();
    let url = cluster.url("postgres");
    Scene::new().end_well(&["migrate", "--store", &url]);
    doctor(&Scene::new(), &["--store", &url]).is_well();
    cluster.stop(Stop::Fast);
    let signal = cluster.data().join("standby.signal");
    fs::write(&signal, "").unwrap();
    own(&signal);
    cluster.start();
    let said = doctor(&Scene::new(), &["--store", &url]);
    said.fails_only("database writes", &["it is a replica", "`-ro`", "name the writer's endpoint"]);
}

#[test]
fn statements_that_are_ended_too_early_are_told_with_the_statement_that_lifts_it() {
    let database = Database::new();
    let (role, url) = database.role("night");
    Scene::new().end_well(&["migrate", "--store", &database.url]);
    database.execute(&format!(
        "GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; ALTER ROLE {role} SET statement_timeout = '30s'"
    ));
    let said = doctor(&Scene::new(), &["--store", &url]);
    let remedy = format!("ALTER ROLE {role} SET statement_timeout = 0");
    said.warns("database writes", &["takes writes, but ends a statement after 30s", "minutes", &remedy]);
    database.execute(&remedy);
    doctor(&Scene::new(), &["--store", &url]).is_well();
}

#[test]
fn a_role_whose_transactions_only_read_is_told() {
    let database = Database::new();
    let (role, url) = database.role("night");
    Scene::new().end_well(&["migrate", "--store", &database.url]);
    database.execute(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {role}; ALTER ROLE {role} SET default_transaction_read_only = on"));
    let said = doctor(&Scene::new(), &["--store", &url]);
    said.fails_only("database writes", &["transactions may only read", "default_transaction_read_only"]);
    assert_eq!(said.step("database privileges")["outcome"], "ok", "what does not depend on it is tried");
}

#[test]
fn tls_that_the_server_does_not_speak_is_told() {
    let database = Database::new();
    let (_, url) = database.role("night");
    let said = doctor(&Scene::new(), &["--store", &format!("{url}?sslmode=require")]);
    said.fails_only("database tls", &["speaks no TLS", "sslmode=disable instead of sslmode=require"]);
}

#[test]
fn a_newer_database_is_left_alone_and_an_altered_one_refused() {
    let database = Database::new();
    Scene::new().end_well(&["migrate", "--store", &database.url]);
    database.execute("INSERT INTO topshelf_migrations SELECT 900, 'newer', now(), true, checksum, 0 FROM topshelf_migrations WHERE version = 1");
    let said = doctor(&Scene::new(), &["--store", &database.url]);
    said.warns("database migrations", &["1 of a newer version (900)"]);
    database.execute("UPDATE topshelf_migrations SET checksum = '\\x00' WHERE version = 2");
    let said = doctor(&Scene::new(), &["--store", &database.url]);
    said.fails_only("database migrations", &["migration 2 is not the one"]);
}

#[test]
fn a_url_of_no_database_is_told_without_its_password() {
    let said = doctor(&Scene::new(), &["--store", "mysql://night:hunter2@127.0.0.1/top"]);
    said.fails_only("database url", &["neither sqlite: nor postgres:", "set store.url"]);
}

#[test]
fn an_sqlite_file_that_is_no_database_is_told() {
    let scene = Scene::new();
    scene.write("not.db", "this file is text".repeat(100));
    let said = doctor(&scene, &["--store", "sqlite:not.db"]);
    said.fails_only("database database", &["not a database", "name another file"]);
    let said = doctor(&scene, &["--store", "sqlite:logs"]);
    said.fails_only("database file", &["it is no file"]);
    // Its folder cannot be one.
    let said = doctor(&scene, &["--store", "sqlite:logs/ads_views.csv/top.db"]);
    said.fails_only("database folder", &["it is a file", "keep the database elsewhere"]);
}

#[test]
fn an_sqlite_file_of_an_earlier_version_is_told_and_left_alone() {
    let scene = Scene::new();
    scene.end_well(&["migrate", "--store", "sqlite:top.db"]);
    let runtime = crate::servers::runtime();
    runtime.block_on(async {
        use sqlx::{Connection, Executor, SqliteConnection};
        let mut connection = SqliteConnection::connect(
            "sqlite:top.db".replace("top.db", &scene.path("top.db").display().to_string()).as_str(),
        )
        .await
        .unwrap();
        connection.execute("DELETE FROM topshelf_migrations WHERE version = 4").await.unwrap();
        connection.close().await.unwrap();
    });
    let before = fs::read(scene.path("top.db")).unwrap();
    let said = doctor(&scene, &["--store", "sqlite:top.db"]);
    said.warns("database migrations", &["pending (4", "the next run applies them"]);
    assert!(fs::read(scene.path("top.db")).unwrap() == before, "the doctor wrote to the file");
    assert!(!scene.path("top.db-shm").exists(), "the doctor made an index");
}

#[test]
fn the_server_that_a_name_leads_to_may_be_a_socket() {
    let database = Database::new();
    let socket = {
        let runtime = crate::servers::runtime();
        runtime.block_on(async {
            use sqlx::{Connection, PgConnection};
            let mut connection = PgConnection::connect(&database.url).await.unwrap();
            let folder: String = sqlx::query_scalar("SELECT current_setting('unix_socket_directories')")
                .fetch_one(&mut connection)
                .await
                .unwrap();
            folder
        })
    };
    let (user, rest) = database.url.strip_prefix("postgres://").unwrap().split_once(':').unwrap();
    let (password, address) = rest.split_once('@').unwrap();
    let port = address.split_once(':').unwrap().1.split_once('/').unwrap().0;
    let url =
        format!("postgres:///{}?host={socket}&port={port}&user={user}&password={password}", database.name);
    let said = doctor(&Scene::new(), &["--store", &url]);
    said.warns("database migrations", &["0 applied"]);
    said.holds("database connect", &[".s.PGSQL."]);
    assert!(!said.json.to_string().contains(password));
    execute(&database.url, "SELECT 1");
    let said = doctor(&Scene::new(), &["--store", &url.replace(&socket, "/nowhere")]);
    said.fails_only("database connect", &["no server of this machine listens there"]);
}
