//! `--json`: the result as JSON on stdout, and nothing else there.

use crate::scene::{DAY, Scene};
use serde_json::{Value, json};

/// The keys of an object, as a list for comparing.
fn keys(value: &Value) -> Vec<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

fn result(scene: &Scene, args: &[&str]) -> Value {
    let ended = scene.end_well(&[args, &["--json"]].concat());
    assert_eq!(ended.stderr, "", "{args:?}");
    ended.json()
}

#[test]
fn a_run_tells_of_each_day() {
    let scene = Scene::new();
    let told = result(&scene, &["run", "--day", DAY, "--input", "logs"]);
    let run = &told["runs"][0];
    assert_eq!(keys(run), ["day", "error", "outcome", "report", "run_id"]);
    assert_eq!(
        (&run["day"], &run["outcome"], &run["error"]),
        (&json!(DAY), &json!("published"), &Value::Null)
    );
    assert_eq!(run["report"]["models"][0]["model"], "TopCTR");
    assert_eq!(run["report"]["logs"]["ads_views"]["tally"]["kept"], 100);

    let again = result(&scene, &["backfill", "--from", DAY, "--to", DAY, "--input", "logs"]);
    assert_eq!(again["runs"][0]["outcome"], "unchanged");
    assert_eq!(again["runs"][0]["report"]["published_run"], run["run_id"]);
}

#[test]
fn a_refused_run_is_told_on_stdout_too() {
    let scene = Scene::new();
    scene.write("logs/ads_views.csv", "");
    scene.end_well(&["migrate"]);
    let ended = scene.call(&["backfill", "--from", DAY, "--to", "2024-11-21", "--input", "logs", "--json"]);
    assert_eq!(ended.exit, 3, "{ended:?}");
    scene.ads("");
    let ended = scene.call(&["backfill", "--from", DAY, "--to", "2024-11-21", "--input", "logs", "--json"]);
    assert_eq!(ended.exit, 3, "{ended:?}");
    let outcomes: Vec<_> =
        ended.json()["runs"].as_array().unwrap().iter().map(|run| run["outcome"].clone()).collect();
    assert_eq!(outcomes, ["published", "refused"]);
}

#[test]
fn each_stage_tells_what_it_did() {
    let scene = Scene::new();
    let counted = result(&scene, &["count", "--day", DAY, "--input", "logs"]);
    assert_eq!(
        (&counted["day"], &counted["products"], &counted["active_advertisers"]),
        (&json!(DAY), &json!(1), &json!(1))
    );
    let ranked = result(&scene, &["rank", "--day", DAY, "--model", "topctr"]);
    assert_eq!(ranked["models"], json!([{ "model": "TopCTR", "k": 20, "advertisers": 1, "products": 1 }]));
    result(&scene, &["rank", "--day", DAY]);
    let published = result(&scene, &["publish", "--day", DAY]);
    assert_eq!(published["runs"][0]["outcome"], "published");
}

#[test]
fn the_ledger_and_the_rankings_are_told_as_by_the_api() {
    let scene = Scene::new();
    scene.end_well(&["migrate"]);
    assert_eq!(result(&scene, &["runs"]), json!({ "runs": [] }));
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    let run = result(&scene, &["runs", "--day", DAY])["runs"][0].clone();
    assert_eq!((&run["status"], &run["started_by"]), (&json!("succeeded"), &json!("hand")));
    let mut whole = result(&scene, &["runs", run["run_id"].as_str().unwrap()]);
    let moves = whole.as_object_mut().unwrap().remove("moves").unwrap();
    assert_eq!(moves, result(&scene, &["moves"])["moves"]);
    assert_eq!(whole, run);

    let answer = result(&scene, &["show", "acme", "TOPCTR"]);
    assert_eq!(
        (&answer["model"], &answer["run_id"], &answer["stale"]),
        (&json!("TopCTR"), &run["run_id"], &json!(true))
    );
    let shoe = json!([{ "rank": 1, "product_id": "shoe", "score": 1, "impressions": 50, "clicks": 50, "views": 100 }]);
    assert_eq!(answer["recommendations"], shoe);
    let history = result(&scene, &["show", "acme"]);
    assert_eq!(keys(&history["days"][0]["models"]), ["TopCTR", "TopProduct"]);
}

#[test]
fn what_is_not_published_is_a_problem_with_a_code() {
    let scene = Scene::new();
    let code = |args: &[&str]| {
        let ended = scene.call(&[args, &["--json"]].concat());
        assert_ne!(ended.exit, 0, "{ended:?}");
        ended.json()["code"].clone()
    };
    scene.end_well(&["migrate"]);
    assert_eq!(code(&["show", "acme"]), "no_publication_yet");
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    assert_eq!(code(&["show", "ACME"]), "unknown_advertiser");
    assert_eq!(code(&["show", "acme", "TopCRT"]), "unknown_model");
    assert_eq!(code(&["show", "acme", "TopCTR", "--day", "2024-11-21"]), "no_publication_for_day");
}

#[test]
fn the_other_commands_tell_what_they_made() {
    let scene = Scene::new();
    assert_eq!(result(&scene, &["migrate"]), json!({ "database": "sqlite:topshelf-data/topshelf.db" }));
    assert_eq!(result(&scene, &["config"])["ranking"]["k"], 20);
    assert!(result(&scene, &["openapi"])["paths"].get("/recommendations/{advertiser}/{model}").is_some());
    let generated = result(&scene, &["generate", "--out", "new", "--rows", "10", "--days", "1"]);
    assert_eq!(
        generated["files"],
        json!(["new/advertiser_ids.csv", "new/ads_views.csv", "new/product_views.csv"])
    );
}
