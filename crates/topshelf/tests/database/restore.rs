//! A database that is lost, and what comes back from a backup and from the lake.

use crate::{
    cluster,
    database::{Database, Kind},
    scene::{DAY, Scene},
    service::{Service, get_until},
    stage::Stage,
    version::DAY_BEFORE,
};
use std::{path::Path, process::Command};

/// What readers see of an advertiser and of all.
const PAGES: [&str; 4] =
    ["/recommendations/a0/TopCTR", "/recommendations/a0/TopProduct", "/history/a0/", "/stats/"];

/// Each ranking that readers see, whichever run made it.
const RANKINGS: &str = "SELECT concat_ws(' ', model, day, advertiser_id, rank, product_id, score) FROM
    (SELECT 'TopCTR' AS model, * FROM top_ctr UNION ALL SELECT 'TopProduct', * FROM top_product) AS seen ORDER BY 1";

#[test]
fn a_backup_brings_back_what_readers_saw_and_the_lake_the_days_since() {
    let lost = Database::new(Kind::Postgres, Path::new("unused"));
    let mut stage = Stage::unserved(&lost.url);
    let backup = stage.scene.path("backup");
    let at_backup = answers(&stage.scene);
    back_up(&lost, &backup);
    stage.change_logs();
    stage.scene.end_well(&["run", "--day", DAY]);
    let since = answers(&stage.scene);
    assert_ne!(since, at_backup);

    let restored = Database::new(Kind::Postgres, Path::new("unused"));
    stage.scene.environment("TOPSHELF_STORE__URL", &restored.url);
    restore(&restored, &backup);
    assert_eq!(answers(&stage.scene), at_backup);
    stage.scene.end_well(&["backfill", "--from", DAY, "--to", DAY]);
    assert_eq!(restored.prompt().rows(RANKINGS), lost.prompt().rows(RANKINGS));
}

#[test]
fn without_a_backup_the_lake_brings_all_rankings_back() {
    let lost = Database::new(Kind::Postgres, Path::new("unused"));
    let mut stage = Stage::unserved(&lost.url);
    let empty = Database::new(Kind::Postgres, Path::new("unused"));
    stage.scene.environment("TOPSHELF_STORE__URL", &empty.url);
    stage.scene.remove("logs");
    for day in [DAY_BEFORE, DAY] {
        stage.scene.end_well(&["publish", "--day", day]);
    }
    assert_eq!(empty.prompt().rows(RANKINGS), lost.prompt().rows(RANKINGS));
}

/// What a server that starts now answers.
fn answers(scene: &Scene) -> Vec<String> {
    let mut server = Service::start(scene, &["serve", "--listen", "127.0.0.1:0"]);
    let address = server.address();
    get_until(&address, "/health/ready", 200);
    PAGES.map(|page| get_until(&address, page, 200)).into()
}

fn back_up(database: &Database, file: &Path) {
    call("pg_dump", &["--format", "custom", "--file"], file, &[&database.url]);
}

fn restore(database: &Database, file: &Path) {
    call("pg_restore", &["--exit-on-error", "--dbname", &database.url], file, &[]);
}

fn call(program: &str, before: &[&str], file: &Path, after: &[&str]) {
    let mut command = Command::new(cluster::programs().join(program));
    let ended = command.args(before).arg(file).args(after).output().unwrap();
    assert!(ended.status.success(), "{program}: {}", String::from_utf8_lossy(&ended.stderr));
}
