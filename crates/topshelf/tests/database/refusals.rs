//! A PostgreSQL that is there and refuses: by a timeout, because it is read-only, has no connection left, or no room.
//! What passes is waited for, what does not is told at once, and both with what to do.

use crate::{
    cluster::{Cluster, own},
    database::{Database, Kind, Prompt},
    readers::views_sql,
    small_disk::{SmallDisk, with_own_mounts},
    stage::Stage,
};
use std::{fs, path::Path};

const TOLD: &str = "trying again";

/// A stage before a database of its own on the server of all tests.
fn staged() -> (Stage, Prompt, String, String) {
    let database = Database::new(Kind::Postgres, Path::new("unused"));
    let (_, name) = database.url.rsplit_once('/').unwrap();
    (Stage::unserved(&database.url), database.prompt(), name.to_owned(), database.url.clone())
}

fn ledger(prompt: &mut Prompt) -> Vec<String> {
    prompt.rows("SELECT status || coalesce(': ' || error, '') FROM runs ORDER BY started_at, run_id")
}

/// The user and the password of a URL.
fn login_in(url: &str) -> String {
    url.split_once("://").unwrap().1.split_once('@').unwrap().0.to_owned()
}

#[track_caller]
fn tells(told: &str, texts: &[&str]) {
    for text in texts {
        assert!(told.contains(text), "{text:?} is not in {told}");
    }
}

#[test]
fn a_statement_timeout_fails_the_run_at_once() {
    let (mut stage, mut prompt, name, _) = staged();
    let before = prompt.rows(&views_sql());
    prompt.run(
        "CREATE FUNCTION take_long() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN PERFORM pg_sleep(60); RETURN NULL; END $$;
         CREATE TRIGGER take_long BEFORE INSERT ON rankings EXECUTE FUNCTION take_long()",
    );
    prompt.run(&format!("ALTER DATABASE {name} SET statement_timeout = '2s'"));
    stage.change_logs();
    let told = stage.start().ends_with(1);
    tells(
        &told,
        &["could not publish 2024-11-20", "statement timeout", "ALTER ROLE … SET statement_timeout = 0"],
    );
    assert!(!told.contains(TOLD), "{told}");
    let recorded = ledger(&mut prompt).pop().unwrap();
    assert!(recorded.starts_with("failed: could not publish 2024-11-20"), "{recorded}");
    assert_eq!(prompt.rows(&views_sql()), before);
    prompt.run("DROP TRIGGER take_long ON rankings");
    stage.start().ends_with(0);
    assert_eq!(prompt.rows(&views_sql()), stage.version.views());
}

#[test]
fn a_read_only_postgresql_is_waited_for_and_told() {
    let (mut stage, mut prompt, name, _) = staged();
    let before = prompt.rows(&views_sql());
    let set = |is_on| format!("ALTER DATABASE {name} SET default_transaction_read_only = {is_on}");
    prompt.run(&set("on"));
    stage.change_logs();
    // As it is after a failover, until names lead to the new primary.
    let mut run = stage.start();
    run.until_told(TOLD);
    prompt.run(&format!("SET default_transaction_read_only = off; {}", set("off")));
    run.ends_with(0);
    assert_eq!(prompt.rows(&views_sql()), stage.version.views());
    assert_ne!(prompt.rows(&views_sql()), before);
    // As it is by somebody's wish.
    prompt.run(&set("on"));
    stage.scene.environment("TOPSHELF_STORE__PATIENCE_SECONDS", "1");
    let told = stage.start().ends_with(1);
    tells(&told, &["read-only transaction", "must lead to the primary, not to a standby"]);
    assert!(ledger(&mut prompt).iter().all(|run| run == "succeeded"), "{:?}", ledger(&mut prompt));
}

#[test]
fn a_role_without_connections_or_rights_is_told_and_only_connections_are_waited_for() {
    let (mut stage, mut prompt, name, url) = staged();
    prompt.run(&format!("CREATE ROLE {name} LOGIN PASSWORD 'of the test' CONNECTION LIMIT 0"));
    let url = url.replacen(&login_in(&url), &format!("{name}:of%20the%20test"), 1);
    stage.scene.environment("TOPSHELF_STORE__URL", &url);
    stage.change_logs();
    let mut run = stage.start();
    run.until_told(TOLD);
    prompt.run(&format!("ALTER ROLE {name} CONNECTION LIMIT -1"));
    let told = run.ends_with(1);
    tells(&told, &["permission denied"]);
    let told = stage.start().ends_with(1);
    assert!(!told.contains(TOLD), "{told}");
    prompt.run(&format!("GRANT ALL ON ALL TABLES IN SCHEMA public TO {name}"));
    stage.start().ends_with(0);
    assert_eq!(prompt.rows(&views_sql()), stage.version.views());
    prompt.run(&format!("ALTER ROLE {name} CONNECTION LIMIT 0"));
    stage.scene.environment("TOPSHELF_STORE__PATIENCE_SECONDS", "1");
    let told = stage.start().ends_with(1);
    tells(&told, &["too many connections", "max_connections", "CONNECTION LIMIT"]);
    prompt.run(&format!("DROP OWNED BY {name}; DROP ROLE {name}"));
}

#[test]
fn a_full_disk_is_waited_for_and_told() {
    with_own_mounts("refusals::a_full_disk_is_waited_for_and_told", full_disk);
}

fn full_disk() {
    let disk = SmallDisk::new(32);
    let cluster = Cluster::new();
    let place = disk.path().join("tablespace");
    own(disk.path());
    fs::create_dir(&place).unwrap();
    own(&place);
    let mut administrator = Database { kind: Kind::Postgres, url: cluster.url("postgres") }.prompt();
    administrator.run(&format!("CREATE TABLESPACE small LOCATION '{}'", place.display()));
    administrator.run("CREATE DATABASE shelf TABLESPACE small");
    let database = Database { kind: Kind::Postgres, url: cluster.url("shelf") };
    let mut stage = Stage::unserved(&database.url);
    let mut prompt = database.prompt();
    let before = prompt.rows(&views_sql());
    // The pages that there are have no room for another row of these.
    for table in ["rankings", "publications", "advertiser_totals"] {
        prompt.run(&format!("ALTER TABLE {table} SET (fillfactor = 10)"));
    }
    // Whoever connects first after that writes a file.
    drop(database.prompt());

    stage.change_logs();
    disk.fill();
    let mut run = stage.start();
    run.until_told(TOLD);
    assert_eq!(prompt.rows(&views_sql()), before);
    disk.free();
    run.ends_with(0);
    assert_eq!(prompt.rows(&views_sql()), stage.version.views());

    let before = prompt.rows(&views_sql());
    stage.change_logs();
    stage.scene.environment("TOPSHELF_STORE__PATIENCE_SECONDS", "1");
    disk.fill();
    let told = stage.start().ends_with(1);
    tells(&told, &["No space left on device", "make room on the disk of the database"]);
    assert_eq!(prompt.rows(&views_sql()), before);
    disk.free();
    stage.start().ends_with(0);
    assert_eq!(prompt.rows(&views_sql()), stage.version.views());
    let ledger = ledger(&mut prompt);
    assert!(ledger.iter().all(|run| !run.starts_with("running")), "{ledger:?}");
}
