//! `--json`: the result as JSON on stdout, and nothing else there.

use crate::scene::{DAY, Scene};
use serde_json::{Value, json};
use std::process::Command;

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

/// What programs read is one line; what a person sees at a terminal has its members below each other.
#[test]
fn json_is_one_line_unless_a_terminal_shows_it() {
    let scene = Scene::new();
    assert_eq!(scene.end_well(&["config", "--json"]).stdout.lines().count(), 1);
    let at_a_terminal = Command::new("script")
        .args(["-q", "-e", "-c", &format!("{} config --json", env!("CARGO_BIN_EXE_topshelf")), "/dev/null"])
        .current_dir(scene.folder())
        .output()
        .unwrap();
    let shown = String::from_utf8(at_a_terminal.stdout).unwrap();
    assert!(at_a_terminal.status.success(), "{shown}");
    assert!(shown.lines().any(|line| line.trim() == "\"ranking\": {"), "{shown}");
}

/// Stdout and stderr as one, as who keeps a task's log has them.
fn together(scene: &Scene, args: &[&str]) -> String {
    let command = scene.command(args);
    let mut shell = Command::new("/bin/sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(command.get_program()).args(command.get_args());
    shell.current_dir(scene.folder()).env_clear();
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let output = shell.output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_result_is_the_last_line_of_all_that_a_stage_prints() {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_INPUT__PRODUCT_VIEWS", "");
    scene.write("logs/ads_views.more.csv", "advertiser_id,product_id,type,date\nacme,shoe,seen,2024-11-20\n");
    let input = ["input", "--day", DAY, "--input", "logs", "--json"];
    let count = ["count", "--day", DAY, "--input", "logs", "--json"];
    let [rank, publish] = ["rank", "publish"].map(|stage| [stage, "--day", DAY, "--json"]);
    for (args, is_noticed) in [(&input[..], false), (&count, false), (&rank, true), (&publish, true)] {
        let printed = together(&scene, args);
        let lines: Vec<_> = printed.lines().collect();
        let (last, before) = lines.split_last().unwrap();
        assert!(
            serde_json::from_str::<Value>(last).is_ok_and(|json| json.is_object()),
            "{args:?}: {printed}"
        );
        let notice = "TopProduct was not computed: it needs product_views";
        assert_eq!(before.iter().any(|line| line.starts_with(notice)), is_noticed, "{args:?}: {printed}");
    }
}
