//! What someone decides that readers see: `rollback`, its undo, `pin`, `moves`; and what the ledger says of it.

use crate::scene::{DAY, Ended, Scene};
use serde_json::Value;

const NEXT_DAY: &str = "2024-11-21";

/// A scene in which readers have seen two runs of a day and one of the next; the runs, in that order.
fn scene_with_three_runs() -> (Scene, [String; 3]) {
    let scene = Scene::new();
    let run = |day: &str| {
        let ended = scene.end_well(&["run", "--day", day, "--input", "logs", "--json"]);
        ended.json()["runs"][0]["run_id"].as_str().unwrap().to_owned()
    };
    let lines = |product: &str, day: &str| format!("acme,{product},{day}\n").repeat(3);
    scene.ads(["impression", "click"].map(|kind| format!("acme,sock,{kind},{NEXT_DAY}\n")).concat());
    scene.views(lines("boot", DAY));
    let first = run(DAY);
    scene.views([lines("boot", DAY), lines("sock", DAY), lines("sock", NEXT_DAY)].concat());
    let second = run(DAY);
    let third = run(NEXT_DAY);
    (scene, [first, second, third])
}

/// The day and the run that readers of the advertiser see, and whether that is stale.
fn seen(scene: &Scene) -> (String, String, bool) {
    let shown = scene.end_well(&["show", "acme", "topproduct", "--json"]).json();
    let text = |key: &str| shown[key].as_str().unwrap().to_owned();
    let is_held = shown.get("held").is_some();
    (text("day"), text("run_id"), is_held)
}

fn fail(scene: &Scene, args: &[&str], exit: i32, told: &[&str]) -> Ended {
    let ended = scene.call(args);
    assert_eq!(ended.exit, exit, "{args:?}: {ended:?}");
    for told in told {
        assert!(ended.stderr.contains(told), "{args:?} does not say {told:?}: {}", ended.stderr);
    }
    ended
}

#[test]
fn readers_go_back_a_day_and_a_run_and_forth_again() {
    let (scene, [first, second, third]) = scene_with_three_runs();
    let told = scene.end_well(&["rollback", "--day", NEXT_DAY, "--reason", "wrong prices"]);
    assert_eq!(
        told.stdout.trim(),
        format!("{NEXT_DAY}, the rankings of 1 advertiser: readers see nothing, no longer run {third}")
    );
    assert!(told.stderr.contains(&format!("readers who ask for no day see {DAY}")), "{told:?}");
    assert!(told.stderr.contains("`topshelf rollback --undo` undoes it"), "{told:?}");
    assert_eq!(seen(&scene), (DAY.into(), second.clone(), true));

    let told = scene.end_well(&["rollback", "--to", &first, "--json"]).json();
    assert_eq!((&told["from_run"], &told["to_run"]), (&Value::from(second), &Value::from(first.clone())));
    assert_eq!((&told["day"], &told["newest_day"]), (&Value::from(DAY), &Value::from(DAY)));
    assert_eq!(seen(&scene), (DAY.into(), first.clone(), true));
    fail(&scene, &["rollback", "--to", &first], 1, &["see run", "already", "nothing moved"]);

    scene.end_well(&["rollback", "--undo"]);
    scene.end_well(&["rollback", "--undo"]);
    assert_eq!(seen(&scene), (NEXT_DAY.into(), third.clone(), false));
    fail(&scene, &["rollback", "--undo"], 1, &["there is no rollback to undo", "--to RUN"]);

    let run = scene.end_well(&["runs", &third]).stdout;
    for told in
        ["publish: readers came to see it", "rollback: readers see it no more", "(wrong prices)", "undo:"]
    {
        assert!(run.contains(told), "{run}");
    }
    let moves = scene.end_well(&["moves"]).stdout;
    assert_eq!(moves.lines().filter(|line| line.contains(" all ")).count(), 7, "{moves}");
    let json = scene.end_well(&["moves", "--day", NEXT_DAY, "--json"]).json();
    let kinds: Vec<_> = json["moves"].as_array().unwrap().iter().map(|of| of["kind"].clone()).collect();
    assert_eq!(kinds, ["undo", "rollback", "publish"]);
}

#[test]
fn what_was_taken_back_stays_back_until_someone_decides() {
    let (scene, [_, second, third]) = scene_with_three_runs();
    scene.end_well(&["rollback", "--day", NEXT_DAY, "--reason", "wrong prices"]);
    let again = ["run", "--day", NEXT_DAY, "--input", "logs"];
    let told = fail(&scene, &again, 4, &["all rankings of 2024-11-21 are held back", "wrong prices", &third]);
    assert!(told.stderr.contains("rollback holds all advertisers: taken back by hand at"), "{told:?}");
    assert_eq!(seen(&scene), (DAY.into(), second, true));
    scene.end_well(&["publish", "--accept", &third, "--reason", "the prices are right"]);
    assert_eq!(seen(&scene), (NEXT_DAY.into(), third, false));
}

#[test]
fn a_pinned_advertiser_stays_where_it_is() {
    let (scene, [first, second, third]) = scene_with_three_runs();
    scene.end_well(&["pin", "acme", &first, "--reason", "audit"]);
    assert_eq!(seen(&scene), (DAY.into(), first.clone(), true));
    let shown = scene.end_well(&["show", "acme", "topproduct"]).stdout;
    assert!(shown.contains(&format!("pinned to run {first} of {DAY}: audit")), "{shown}");
    let pins = scene.end_well(&["pins"]).stdout;
    assert!(pins.contains("acme") && pins.contains(&first) && pins.contains("audit"), "{pins}");
    // A night goes on as ever: that someone has pinned an advertiser is no hold.
    scene.views(format!("acme,hat,{NEXT_DAY}\n"));
    scene.end_well(&["run", "--day", NEXT_DAY, "--input", "logs"]);
    assert_eq!(seen(&scene), (DAY.into(), first.clone(), true));
    let told = scene.end_well(&["unpin", "acme"]).stdout;
    assert!(told.contains(&format!("no longer run {first}")), "{told}");
    let (day, run, is_held) = seen(&scene);
    assert!(day == NEXT_DAY && ![first.clone(), second, third].contains(&run) && !is_held);
    assert_eq!(scene.end_well(&["pins"]).stdout.trim(), "no advertiser is pinned");
    fail(&scene, &["unpin", "acme"], 1, &["\"acme\" is not pinned", "topshelf pins"]);
    fail(&scene, &["pin", "nobody", &first], 1, &["readers never saw run", "\"nobody\""]);
}

#[test]
fn what_cannot_be_asked_is_told() {
    let (scene, [first, ..]) = scene_with_three_runs();
    fail(&scene, &["rollback"], 2, &["--day", "--to", "--undo"]);
    fail(&scene, &["rollback", "--day", DAY, "--to", &first], 2, &["cannot be used with"]);
    fail(&scene, &["rollback", "--undo", "--advertiser", "acme"], 2, &["cannot be used with"]);
    fail(&scene, &["rollback", "--day", "2024-02-30"], 2, &["a date that exists"]);
    fail(&scene, &["rollback", "--day", "2023-01-01"], 1, &["readers see nothing of 2023-01-01"]);
    fail(
        &scene,
        &["rollback", "--to", "20990101T000000Z-00000000"],
        1,
        &["is not in the ledger", "topshelf runs"],
    );
    fail(&scene, &["rollback", "--day", DAY, "--store", "sqlite:elsewhere.db"], 1, &["there is no database"]);
    assert!(!scene.path("elsewhere.db").exists(), "a mistyped path makes no database");
}

/// Products that came, went or moved: advertiser, model, product, rank before and now.
fn diff(scene: &Scene, args: &[&str]) -> Vec<String> {
    let json = scene.end_well(&[&["diff", "--json"], args].concat()).json();
    let mut told = Vec::new();
    for change in json["changes"].as_array().unwrap() {
        let head =
            format!("{} {}", change["advertiser_id"].as_str().unwrap(), change["model"].as_str().unwrap());
        for (what, before, now) in
            [("came", "", "rank"), ("went", "rank", ""), ("moved", "from_rank", "to_rank")]
        {
            for of in change[what].as_array().unwrap() {
                let product = of["product_id"].as_str().unwrap();
                told.push(format!("{head} {product} {}>{}", of[before], of[now]));
            }
        }
    }
    told
}

#[test]
fn two_runs_and_two_days_are_compared() {
    let (scene, [first, second, third]) = scene_with_three_runs();
    assert_eq!(diff(&scene, &[&first, &second]), ["acme TopProduct sock null>3"]);
    assert_eq!(diff(&scene, &[&second, &second]), [""; 0]);
    assert_eq!(
        diff(&scene, &[DAY, NEXT_DAY]),
        diff(&scene, &[&second, &third]),
        "days are as readers see them"
    );
    let text = scene.end_well(&["diff", DAY, NEXT_DAY, "--limit", "1"]).stdout;
    assert!(text.contains("more lines") && text.contains("rankings changed"), "{text}");
    let same = scene.end_well(&["diff", DAY, DAY]).stdout;
    assert_eq!(same.trim(), "all 2 rankings are the same");
    fail(&scene, &["diff", DAY, "2023-01-01"], 1, &["readers see nothing of 2023-01-01", "topshelf moves"]);
    fail(&scene, &["diff", DAY, "yesterday"], 2, &["neither a day (YYYY-MM-DD) nor a run"]);
    fail(
        &scene,
        &["diff", DAY, NEXT_DAY, "--model", "best"],
        2,
        &["no model \"best\"", "TopCTR, TopProduct"],
    );
    fail(&scene, &["diff", DAY, NEXT_DAY, "--advertiser", "x"], 1, &["active on neither side"]);
}

#[test]
fn what_is_older_than_it_need_be_kept_goes() {
    let mut scene = Scene::new();
    let days: Vec<_> = (11..21).map(|day| format!("2024-11-{day}")).collect();
    let views: String = days.iter().map(|day| format!("acme,boot,{day}\n")).collect();
    scene.views(&views);
    scene.environment("TOPSHELF_RETENTION__KEEP_DAYS", "8");
    scene.environment("TOPSHELF_CHECKS__MIN_DAYS", "100");
    scene.end_well(&["backfill", "--from", &days[0], "--to", DAY, "--input", "logs"]);
    let kept = |scene: &Scene| {
        let is_counted = |day: &&String| scene.path(&format!("topshelf-data/lake/counts/day={day}")).exists();
        days.iter().filter(is_counted).count()
    };
    assert_eq!(kept(&scene), 10, "days that were asked for are kept");
    let told = scene.end_well(&["trim"]).stdout;
    assert!(told.starts_with("2024-11-11 to 2024-11-12 deleted"), "{told}");
    assert_eq!(kept(&scene), 8);
    assert!(!scene.path("topshelf-data/lake/rankings/day=2024-11-12").exists());
    assert_eq!(scene.end_well(&["trim"]).stdout.trim(), "nothing is older than 2024-11-13");
    let history = scene.end_well(&["show", "acme", "--days", "30", "--json"]).json();
    assert_eq!((&history["from"], &history["to"]), (&Value::from("2024-11-13"), &Value::from(DAY)));
    // A night does it by itself, but for what stages may still be at work on; the ledger stays.
    scene.views(format!("{views}acme,boot,{NEXT_DAY}\n"));
    scene.end_well(&["run", "--day", NEXT_DAY, "--input", "logs"]);
    fail(&scene, &["diff", "2024-11-13", DAY], 1, &["readers see nothing of 2024-11-13"]);
    assert_eq!(kept(&scene), 8);
    assert!(scene.end_well(&["moves", "--day", "2024-11-13"]).stdout.contains("trim"));
    let runs = scene.end_well(&["runs", "--json"]).json();
    assert_eq!(runs["runs"].as_array().unwrap().len(), 11);
    fail(
        &scene,
        &["diff", runs["runs"][10]["run_id"].as_str().unwrap(), DAY],
        1,
        &["there are no rankings of run"],
    );
    scene.environment("TOPSHELF_RETENTION__KEEP_DAYS", "6");
    fail(&scene, &["trim"], 2, &["retention.keep_days", "7 days"]);
}
