//! `keys`: made and shown once, listed, revoked for good.

use crate::{
    postgres,
    scene::{DAY, Ended, Scene},
};
use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};
use std::{fs, process::Stdio};

/// A scene whose database is there; `acme` is published in it.
fn published() -> Scene {
    let scene = Scene::new();
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    scene
}

/// A key that was just made: `tsk_<id>_<secret>`.
struct Made {
    text: String,
    id: String,
    secret: String,
    stderr: String,
}

fn create(scene: &Scene, args: &[&str]) -> Made {
    let ended = scene.end_well(&[&["keys", "create"], args].concat());
    let text = ended.stdout.strip_suffix('\n').expect("the key is a line").to_owned();
    let [_, id, secret] = text.splitn(3, '_').collect::<Vec<_>>()[..] else { panic!("no key: {text}") };
    assert_eq!((&text[..4], id.len(), secret.len()), ("tsk_", 12, 43), "{text}");
    Made { id: id.to_owned(), secret: secret.to_owned(), stderr: ended.stderr, text: text.clone() }
}

fn fail(scene: &Scene, args: &[&str], exit: i32, told: &[&str]) -> Ended {
    let ended = scene.call(args);
    assert_eq!((ended.exit, ended.stdout.as_str()), (exit, ""), "{args:?}: {ended:?}");
    for told in told {
        assert!(ended.stderr.contains(told), "{args:?} does not say {told:?}: {}", ended.stderr);
    }
    ended
}

fn listed(scene: &Scene) -> Vec<Value> {
    scene.end_well(&["keys", "list", "--json"]).json()["keys"].as_array().unwrap().clone()
}

/// The line of the table that tells of the key.
fn line(scene: &Scene, id: &str) -> String {
    let table = scene.end_well(&["keys", "list"]).stdout;
    let line = table.lines().find(|line| line.contains(id)).unwrap_or_else(|| panic!("no {id} in {table}"));
    line.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn a_key_is_shown_once_and_kept_as_its_digest() {
    let scene = published();
    let key = create(&scene, &["--name", "acme shop", "--advertiser", "acme"]);
    for told in [
        &format!("the key \"acme shop\" (id {}), for 1 advertiser: acme", key.id),
        "it is shown this once",
        "curl -H 'Authorization: Bearer KEY'",
        "servers take it within 2 s (serve.poll_seconds)",
        &format!("`topshelf keys revoke {}` ends it", key.id),
    ] {
        assert!(key.stderr.contains(told), "{told:?} is not in {}", key.stderr);
    }
    assert!(
        !key.stderr.contains(&key.secret) && !key.stderr.contains("nothing is published"),
        "{}",
        key.stderr
    );
    // Neither a command nor a file has the secret.
    let told = scene.end_well(&["keys", "list", "--json"]).stdout + &scene.end_well(&["keys", "list"]).stdout;
    assert!(told.contains(&key.id) && !told.contains(&key.secret), "{told}");
    for file in fs::read_dir(scene.path("topshelf-data")).unwrap().map(|file| file.unwrap().path()) {
        if file.is_file() {
            let bytes = fs::read(&file).unwrap();
            let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
            assert!(!holds(&key.secret) && !holds(&key.text), "{} holds the key", file.display());
        }
    }
}

#[test]
fn keys_are_listed_with_whose_rankings_they_are_for() {
    let scene = published();
    assert!(scene.end_well(&["keys", "list"]).stdout.contains("`topshelf keys create` makes one"));
    let one = create(&scene, &["--name", "one", "--advertiser", "acme"]);
    let many: Vec<_> = (0..300).map(|number| format!("advertiser-{number:03}")).collect();
    let args = ["--name", "many", "--advertiser"].into_iter().chain(many.iter().map(String::as_str));
    let many_key = create(&scene, &args.collect::<Vec<_>>());
    let told = "of advertisers \"advertiser-000\", \"advertiser-001\", \"advertiser-002\" and 297 more";
    assert!(many_key.stderr.contains(told), "{}", many_key.stderr);
    let all = create(&scene, &["--name", "all", "--all"]);
    assert!(all.stderr.contains("for all advertisers"), "{}", all.stderr);
    let starts = |id: &str, start: &str| {
        let line = line(&scene, id);
        assert!(line.starts_with(&format!("{id} {start} 20")) && line.ends_with(" never"), "{line}");
    };
    starts(&one.id, "one acme");
    starts(&many_key.id, "many advertiser-000, advertiser-001, advertiser-002 and 297 more");
    starts(&all.id, "all all");
    let told = listed(&scene);
    let names: Vec<_> = told.iter().map(|key| key["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["one", "many", "all"]);
    assert_eq!((&told[0]["scope"], &told[0]["advertisers"]), (&json!("advertisers"), &json!(["acme"])));
    assert_eq!(told[1]["advertisers"], json!(many));
    assert_eq!((&told[2]["scope"], &told[2]["advertisers"]), (&json!("all"), &Value::Null));
}

#[test]
fn an_advertiser_that_is_not_known_yet_is_allowed_and_told() {
    let scene = published();
    let key =
        create(&scene, &["--name", "soon", "--advertiser", "acme", "--advertiser", "Acme \"2\"", "acme"]);
    assert!(
        key.stderr.contains(r#"nothing is published yet of advertiser "Acme \"2\"": if that is its"#),
        "{}",
        key.stderr
    );
    assert!(!key.stderr.contains("\"acme\""), "{}", key.stderr);
    assert_eq!(listed(&scene)[0]["advertisers"], json!(["Acme \"2\"", "acme"]));
    let args = ["keys", "create", "--name", "json", "--advertiser", "acme", "nobody", "--json"];
    let ended = scene.end_well(&args);
    let told = ended.json();
    assert_eq!((ended.stderr.as_str(), &told["unknown_advertisers"]), ("", &json!(["nobody"])));
    let key = told["key"].as_str().unwrap();
    assert_eq!(key[4..16], told["key_id"].as_str().unwrap()[..]);
}

#[test]
fn a_key_is_revoked_by_name_or_id_and_stays_revoked() {
    let scene = published();
    let first = create(&scene, &["--name", "web", "--all"]);
    let told = fail(
        &scene,
        &["keys", "create", "--name", "web", "--all"],
        1,
        &[&format!("the name \"web\" is taken by API key {}", first.id), "`topshelf keys revoke NAME`"],
    );
    assert!(!told.stderr.contains("tsk_"), "{told:?}");
    let told = scene.end_well(&["keys", "revoke", "web"]).stdout;
    let expected = format!("API key \"web\" (id {}) is revoked; servers refuse it within 2 s", first.id);
    assert!(told.starts_with(&expected) && told.contains("no use of it was noted"), "{told}");
    let revoked_at = listed(&scene)[0]["revoked_at"].as_str().unwrap().to_owned();
    let again = scene.end_well(&["keys", "revoke", "web"]).stdout;
    assert!(again.contains(&format!("was revoked already, at {revoked_at}")), "{again}");
    // Two keys at once, as when one takes the place of the other.
    let second = create(&scene, &["--name", "web", "--all"]);
    let json = scene.end_well(&["keys", "revoke", &second.id, "--json"]).json();
    assert_eq!((&json["name"], &json["was_revoked_before"]), (&json!("web"), &json!(false)));
    let json = scene.end_well(&["keys", "revoke", &first.id, "--json"]).json();
    assert_eq!((&json["revoked_at"], &json["was_revoked_before"]), (&json!(revoked_at), &json!(true)));
    assert!(line(&scene, &first.id).contains("never 20"), "the table tells when");
    fail(
        &scene,
        &["keys", "revoke", "nobody"],
        1,
        &["there is no API key \"nobody\"", "`topshelf keys list`"],
    );
}

/// Where nothing can be printed: nobody reads it, or the disk is full.
fn lost_outputs() -> [Stdio; 2] {
    let (reader, closed) = std::io::pipe().unwrap();
    drop(reader);
    [closed.into(), fs::File::options().write(true).open("/dev/full").unwrap().into()]
}

/// What is said when a key is made and its text cannot be printed.
fn create_unread(scene: &Scene, args: &[&str], stdout: Stdio) -> String {
    let ended = scene.command(args).stdout(stdout).stderr(Stdio::piped()).output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.code() == Some(1) && told.contains("could not write to stdout"), "{told}");
    assert!(!told.contains("tsk_"), "{told}");
    told
}

#[test]
fn a_key_that_could_not_be_printed_is_not_in_force() {
    let scene = published();
    for json in [&["--json"][..], &[]] {
        let args = [&["keys", "create", "--name", "lost", "--all"], json].concat();
        for stdout in lost_outputs() {
            let told = create_unread(&scene, &args, stdout);
            let last = listed(&scene).pop().unwrap();
            assert!(last["revoked_at"].is_string(), "{last}");
            assert!(
                told.contains(&format!("(id {}) is revoked", last["key_id"].as_str().unwrap())),
                "{told}"
            );
        }
    }
    assert_eq!(listed(&scene).len(), 4);
    create(&scene, &["--name", "lost", "--all"]);
}

#[test]
fn a_key_that_can_neither_be_printed_nor_revoked_is_named() {
    let scene = published();
    let url = format!("sqlite:{}", scene.path("topshelf-data/topshelf.db").display());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let refused = "CREATE TRIGGER kept BEFORE UPDATE ON api_keys BEGIN SELECT RAISE(ABORT, 'kept'); END";
        connection.execute(refused).await.unwrap();
        connection.close().await.unwrap();
    });
    let [closed, _] = lost_outputs();
    let told = create_unread(&scene, &["keys", "create", "--name", "lost", "--all", "--json"], closed);
    let key = &listed(&scene)[0];
    assert_eq!(key["revoked_at"], Value::Null);
    let id = key["key_id"].as_str().unwrap();
    for part in [&format!("API key {id} is made"), "kept", &format!("`topshelf keys revoke {id}`")] {
        assert!(told.contains(part), "{part:?} is not in {told}");
    }
}

#[test]
fn a_mistyped_path_makes_no_database_and_a_mistyped_call_no_key() {
    let scene = Scene::new();
    for args in [&["list"][..], &["create", "--name", "x", "--all"], &["revoke", "x"]] {
        let args = [&["keys"], args, &["--store", "sqlite:elsewhere.db"]].concat();
        fail(&scene, &args, 1, &["there is no database sqlite:elsewhere.db", "`topshelf migrate`"]);
        assert!(!scene.path("elsewhere.db").exists(), "{args:?}");
    }
    scene.end_well(&["migrate"]);
    let create = ["keys", "create"];
    for (args, told) in [
        (&["--name", "x"][..], "<--advertiser <ADVERTISER>...|--all>"),
        (&["--all"], "--name <NAME>"),
        (&["--name", "x", "--all", "--advertiser", "a"], "cannot be used with"),
        (&["--name", "", "--all"], "a key's name is not empty"),
        (&["--name", "a\nb", "--all"], "one line"),
        (&["--name", "x", "--advertiser", ""], "the id is empty"),
        (&["--name", "x", "--advertiser"], "a value is required"),
    ] {
        fail(&scene, &[&create, args].concat(), 2, &[told]);
    }
    assert_eq!(listed(&scene), [] as [Value; 0]);
}

#[test]
fn a_database_of_an_earlier_version_has_no_keys_until_one_is_made() {
    let scene = published();
    let url = format!("sqlite:{}", scene.path("topshelf-data/topshelf.db").display());
    tokio::runtime::Runtime::new().unwrap().block_on(async {
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let before = "DROP TABLE api_keys; DROP TABLE api_keys_version; DELETE FROM topshelf_migrations WHERE version = 7";
        connection.execute(before).await.unwrap();
        connection.close().await.unwrap();
    });
    assert_eq!(listed(&scene), [] as [Value; 0]);
    create(&scene, &["--name", "first", "--all"]);
    assert_eq!(listed(&scene).len(), 1);
}

#[test]
fn on_postgresql_it_is_the_same() {
    let mut scene = Scene::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    scene.environment("TOPSHELF_STORE__URL", &runtime.block_on(postgres::new_database("topshelf_keys")));
    // Nothing is made before something is asked for that writes.
    assert_eq!(listed(&scene), [] as [Value; 0]);
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    let key = create(&scene, &["--name", "acme shop", "--advertiser", "acme", "nobody"]);
    assert!(key.stderr.contains("nothing is published yet of advertiser \"nobody\":"), "{}", key.stderr);
    assert!(!key.stderr.contains("\"acme\""), "{}", key.stderr);
    assert!(line(&scene, &key.id).starts_with(&format!("{} acme shop acme, nobody 20", key.id)));
    fail(&scene, &["keys", "create", "--name", "acme shop", "--all"], 1, &["is taken by API key", &key.id]);
    scene.end_well(&["keys", "revoke", "acme shop"]);
    assert_ne!(listed(&scene)[0]["revoked_at"], Value::Null);
}
