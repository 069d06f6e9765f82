//! The stages one by one, the ledger, and what people see of both.

use crate::{
    parquet_file,
    scene::{DAY, Ended, Scene},
};
use arrow_array::{ArrayRef, Date32Array, StringArray};
use std::{fs::File, process::Stdio, sync::Arc};

fn shown(scene: &Scene) -> serde_json::Value {
    scene.end_well(&["show", "acme", "TopProduct", "--json"]).json()["recommendations"].clone()
}

#[test]
fn stages_one_by_one_end_where_a_run_ends() {
    let (staged, run) = (Scene::new(), Scene::new());
    staged.end_well(&["count", "--day", DAY, "--input", "logs"]);
    staged.end_well(&["rank", "--day", DAY]);
    staged.end_well(&["publish", "--day", DAY]);
    run.end_well(&["run", "--day", DAY, "--input", "logs"]);
    assert_eq!(shown(&staged), shown(&run));
}

#[test]
fn rankings_older_than_their_counts_are_not_published_and_readers_keep_theirs() {
    let scene = Scene::new();
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    let before = shown(&scene);
    scene.views("acme,hat,2024-11-20\n");
    scene.end_well(&["count", "--day", DAY, "--input", "logs"]);
    let ended = scene.call(&["publish", "--day", DAY]);
    assert_eq!((ended.exit, ended.stdout.as_str()), (1, ""), "{ended:?}");
    assert_eq!(shown(&scene), before);
    scene.end_well(&["rank", "--day", DAY]);
    scene.end_well(&["publish", "--day", DAY]);
    assert_eq!(shown(&scene).as_array().unwrap().len(), 2);
}

#[test]
fn the_ledger_tells_of_good_and_bad_runs_newest_first() {
    let scene = Scene::new();
    scene.end_well(&["migrate"]);
    let empty = scene.end_well(&["runs"]).stdout;
    assert_eq!(empty, "no such runs in sqlite:topshelf-data/topshelf.db; `topshelf run` makes one\n");
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    scene.write("logs/ads_views.csv", "");
    assert_eq!(scene.call(&["run", "--day", DAY, "--input", "logs"]).exit, 3);
    let ledger = scene.end_well(&["runs"]).stdout;
    let rows: Vec<_> = ledger.lines().skip(2).collect();
    assert!(rows[0].contains("failed") && rows[0].contains("the object is empty"), "{ledger}");
    assert!(rows[1].contains("succeeded") && rows[1].contains("published"), "{ledger}");
    assert_eq!(rows.len(), 2, "{ledger}");
    assert_eq!(scene.end_well(&["runs", "--limit", "1"]).stdout.lines().count(), 3);
    assert_eq!(
        scene.end_well(&["runs", "--day", "2024-11-21", "--json"]).json()["runs"].as_array().unwrap().len(),
        0
    );

    let whole = scene.end_well(&["runs", rows[1].split_whitespace().next().unwrap()]).stdout;
    for line in [
        "status     succeeded published",
        "log        ads_views: 100 read, 100 kept",
        "model      TopCTR: 1 advertisers",
    ] {
        assert!(whole.contains(line), "{line} is not in {whole}");
    }
}

#[test]
fn a_failure_is_told_once_and_names_what_to_do() {
    let scene = Scene::new();
    scene.write("logs/ads_views.csv", "");
    let Ended { exit, stdout, stderr } = scene.call(&["run", "--day", DAY, "--input", "logs"]);
    assert_eq!((exit, stdout.as_str()), (3, ""));
    assert_eq!(stderr.matches("the object is empty").count(), 1, "{stderr}");
    assert!(stderr.contains("help: an object without any event still has its header line"), "{stderr}");
}

#[test]
fn the_default_day_is_yesterday_in_the_configured_zone() {
    let mut scene = Scene::new();
    // No two of these zones are ever on the same day.
    let zones = ["Etc/GMT+12", "Etc/GMT-14"];
    let days = zones.map(|zone| {
        scene.environment("TOPSHELF_SCHEDULE__TIMEZONE", zone);
        let ended = scene.call(&["rank"]);
        assert_eq!(ended.exit, 1, "{ended:?}");
        ended.stderr.split_whitespace().find(|word| word.starts_with("20")).unwrap().to_owned()
    });
    assert!(days[0] < days[1], "{days:?}");
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure_and_a_full_disk_is() {
    let scene = Scene::new();
    let mut child =
        scene.command(&["openapi"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), output.stderr.as_slice()), (Some(0), &b""[..]));

    let full = File::options().write(true).open("/dev/full").unwrap();
    let output = scene
        .command(&["openapi"])
        .stdout(full)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
        .wait_with_output()
        .unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{told}");
    assert!(told.contains("could not write to stdout: No space left on device"), "{told}");
}

#[test]
fn a_day_whose_objects_are_missing_or_bad_fails_alone() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_INPUT__PRODUCT_VIEWS", "views/{day}.csv");
    scene.environment("TOPSHELF_INPUT__ADVERTISER_IDS", "active/date={day}/*.csv");
    scene.environment("TOPSHELF_INPUT__ADS_VIEWS", "");
    for day in 20..=25 {
        let day = format!("2024-11-{day}");
        let views = format!("advertiser_id,product_id,date\nacme,shoe,{day}\n");
        scene.write(&format!("logs/views/{day}.csv"), views);
        scene.write(&format!("logs/active/date={day}/ids.csv"), "advertiser_id\nacme\n");
    }
    scene.remove("logs/views/2024-11-21.csv");
    scene.write("logs/views/2024-11-22.csv", "advertiser,product\nacme,shoe\n");
    scene.write("logs/active/date=2024-11-23/ids.csv", "advertiser_id\n");
    scene.write("logs/active/date=2024-11-24/ids.csv", "");
    let args = ["backfill", "--from", "2024-11-20", "--to", "2024-11-25", "--input", "logs"];
    let ended = scene.call(&args);
    assert_eq!(ended.exit, 1, "{ended:?}");
    for (day, said) in [
        ("2024-11-21", "no object of product_views matches \"views/2024-11-21.csv\""),
        ("2024-11-22", "views/2024-11-22.csv cannot be read as product_views"),
        ("2024-11-23", "no active advertiser of 2024-11-23"),
        ("2024-11-24", "ids.csv cannot be read as advertiser_ids: the object is empty"),
    ] {
        let notice = ended.stderr.lines().find(|line| line.starts_with(&format!("{day}: ")));
        assert!(notice.is_some_and(|notice| notice.contains(said)), "{day}: {ended:?}");
    }
    assert!(ended.stderr.contains("4 of 6 days failed, the first is 2024-11-21"), "{ended:?}");
    let runs = scene.end_well(&["runs", "--json"]).json()["runs"].clone();
    let of_day = |day: &str| {
        let mut runs = runs.as_array().unwrap().iter().filter(|run| run["day"] == day);
        runs.next().unwrap()["status"].as_str().unwrap().to_owned()
    };
    let statuses = [20, 21, 22, 23, 24, 25].map(|day| of_day(&format!("2024-11-{day}")));
    assert_eq!(statuses, ["succeeded", "failed", "failed", "failed", "failed", "succeeded"]);
    assert_eq!(
        scene.call(&["backfill", "--from", "2024-11-21", "--to", "2024-11-21", "--input", "logs"]).exit,
        1
    );
}

/// The log's columns, by name, from its CSV.
fn columns_of(scene: &Scene, log: &str) -> Vec<(String, ArrayRef)> {
    let text = std::fs::read_to_string(scene.path(&format!("logs/{log}.csv"))).unwrap();
    let mut lines = text.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let names = lines.next().unwrap();
    let rows: Vec<_> = lines.collect();
    let column = |(place, name): (usize, &&str)| {
        let texts = rows.iter().map(|row| row[place]);
        let array: ArrayRef = match *name {
            // 2024-11-20 is day 20047.
            "date" => Arc::new(Date32Array::from_iter_values(texts.map(|_| 20_047))),
            _ => Arc::new(StringArray::from_iter_values(texts)),
        };
        ((*name).to_owned(), array)
    };
    names.iter().enumerate().map(column).collect()
}

#[test]
fn logs_as_parquet_and_as_csv_give_the_same() {
    let (csv, parquet) = (Scene::new(), Scene::new());
    for log in ["advertiser_ids", "ads_views", "product_views"] {
        let columns = columns_of(&parquet, log);
        let named: Vec<_> = columns.iter().map(|(name, array)| (name.as_str(), Arc::clone(array))).collect();
        parquet.write(&format!("logs/{log}.parquet"), parquet_file::written(&named, 30, true));
        parquet.remove(&format!("logs/{log}.csv"));
    }
    let runs = [&csv, &parquet].map(|scene| {
        let counted = scene.end_well(&["count", "--day", DAY, "--input", "logs", "--json"]).json();
        scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
        (counted["counts_digest"].as_str().unwrap().to_owned(), shown(scene))
    });
    assert_eq!(runs[0], runs[1]);
    // Row groups of another day are not read, and all their lines are of it.
    let other = parquet.call(&["count", "--day", "2024-11-21", "--input", "logs"]);
    assert_eq!(other.exit, 3);
    assert!(other.stderr.contains("200 lines were read, 200 of other days"), "{}", other.stderr);
}

#[test]
fn logs_as_json_lines_and_as_csv_give_the_same() {
    let (csv, json) = (Scene::new(), Scene::new());
    let line = |line: &str, names: &[&str]| {
        let members = names.iter().zip(line.split(',')).map(|(name, value)| format!("{name:?}: {value:?}"));
        format!("{{{}}}\n", members.collect::<Vec<_>>().join(", "))
    };
    for log in ["advertiser_ids", "ads_views", "product_views"] {
        let text = std::fs::read_to_string(json.path(&format!("logs/{log}.csv"))).unwrap();
        let mut lines = text.lines();
        let names: Vec<_> = lines.next().unwrap().split(',').collect();
        json.write(&format!("logs/{log}.jsonl"), lines.map(|text| line(text, &names)).collect::<String>());
        std::fs::remove_file(json.path(&format!("logs/{log}.csv"))).unwrap();
    }
    for scene in [&csv, &json] {
        scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    }
    assert_eq!(shown(&csv), shown(&json));
    // One log may be written in both ways.
    json.write("logs/product_views-more.csv", "advertiser_id,product_id,date\nacme,hat,2024-11-20\n");
    json.end_well(&["run", "--day", DAY, "--input", "logs"]);
    assert_eq!(shown(&json).as_array().unwrap().len(), 2);
}

#[test]
fn the_ledger_tells_which_workflow_began_a_run() {
    let mut scene = Scene::new();
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    let workflow = "airflow: dag topshelf 1.0.0, run scheduled__2024-11-20T02:30:00+00:00, try 1";
    scene.environment("TOPSHELF_ORCHESTRATOR", &format!(" {workflow}\n"));
    scene.environment("AIRFLOW_CTX_DAG_ID", "topshelf");
    scene.end_well(&["publish", "--day", DAY]);
    let runs = scene.end_well(&["runs", "--json"]).json()["runs"].clone();
    let told: Vec<_> = [&runs[0], &runs[1]].map(|run| (&run["started_by"], &run["orchestrator"])).into();
    assert_eq!(told, [(&"airflow".into(), &workflow.into()), (&"hand".into(), &serde_json::Value::Null)]);
    let whole = scene.end_well(&["runs", runs[0]["run_id"].as_str().unwrap()]).stdout;
    assert!(whole.contains(&format!(" by airflow ({workflow})\n")), "{whole}");
    // A list of runs is for looking through.
    assert!(!scene.end_well(&["runs"]).stdout.contains(workflow));
}
