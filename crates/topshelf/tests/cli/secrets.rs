//! Nothing that the program prints has a secret in it, however much it is asked to tell.

use crate::{
    scene::{DAY, Scene},
    service::get,
};
use std::{
    fs::File,
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Stdio},
    time::{Duration, Instant},
};

/// Longer than anything that is waited for takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

const PASSWORD: &str = "hunter2-of-the-database";
const HOOK: &str = "B00000-the-webhooks-path";
const KEYS: [&str; 3] =
    ["tsk_abcdefghijkl_secretofbearer", "tsk_abcdefghijkl_secretofheader", "tsk_abcdefghijkl_secretofquery"];

/// Starts a service that writes all it says into files.
fn started(scene: &Scene, args: &[&str]) -> Child {
    let file = |name: &str| Stdio::from(File::create(scene.path(name)).unwrap());
    scene.command(args).stdout(file("stdout")).stderr(file("stderr")).spawn().unwrap()
}

fn printed(scene: &Scene) -> String {
    ["stdout", "stderr"].map(|name| std::fs::read_to_string(scene.path(name)).unwrap()).concat()
}

/// Waits until it has printed `text`.
fn until_printed(scene: &Scene, text: &str) {
    let began = Instant::now();
    while !printed(scene).contains(text) {
        assert!(began.elapsed() < PATIENCE, "no {text:?} in {}", printed(scene));
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn end(mut child: Child) {
    // Which may have ended by itself.
    let _ = child.kill();
    child.wait().unwrap();
}

fn check(scene: &Scene, secrets: &[&str]) {
    let printed = printed(scene);
    for secret in secrets {
        let line = printed.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

/// The address that it says it listens on.
fn address(scene: &Scene) -> String {
    until_printed(scene, "\"address\":\"");
    let printed = printed(scene);
    let (_, address) = printed.split_once("\"address\":\"").unwrap();
    address.split_once('"').unwrap().0.to_owned()
}

/// Asks `path` with keys in every place where somebody may put one.
fn ask(address: &str, method: &str, path: &str) {
    let [bearer, header, query] = KEYS;
    let separator = if path.contains('?') { '&' } else { '?' };
    let mut stream = TcpStream::connect(address).unwrap();
    write!(
        stream,
        "{method} {path}{separator}key={query}&api_key={query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
         Authorization: Bearer {bearer}\r\nX-Api-Key: {header}\r\nCookie: key={header}\r\nContent-Length: 0\r\n\r\n"
    )
    .unwrap();
    // What is answered to whoever has sent them does not matter here.
    drop(stream.read_to_end(&mut Vec::new()));
}

fn ask_all(address: &str) {
    for path in [
        "/",
        "/docs/",
        "/recommendations/acme/TopCTR",
        "/recommendations/%/TopCTR",
        "/history/acme?days=x",
        "/stats",
        "/health",
        "/health/ready",
        "/metrics",
        "/nothing",
    ] {
        for method in ["GET", "POST", "PURGE"] {
            ask(address, method, path);
        }
    }
    ask(address, "POST", "/recommendations");
    // No HTTP at all.
    for garbage in
        [format!("{}\r\n\r\n", KEYS[0]), format!("GET / HTTP/9.9\r\nX-Api-Key: {}\r\n\r\n", KEYS[1])]
    {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(garbage.as_bytes()).unwrap();
        drop(stream.read_to_end(&mut Vec::new()));
    }
}

/// A scene in which everything is told.
fn loud() -> Scene {
    let mut scene = Scene::new();
    scene.environment("TOPSHELF_LOG", "trace");
    scene.environment("RUST_BACKTRACE", "full");
    scene.environment("TOPSHELF_SERVE__ACCESS_LOG", "1");
    scene
}

const JSON: [&str; 2] = ["--log-format", "json"];

#[test]
fn a_server_that_tells_all_tells_no_key_and_nothing_of_its_configuration() {
    let mut scene = loud();
    scene.environment("TOPSHELF_SCHEDULE__WEBHOOK", &format!("http://127.0.0.1:1/services/{HOOK}"));
    scene.end_well(&["run", "--day", DAY, "--input", "logs"]);
    let server = started(&scene, &[&["serve", "--listen", "127.0.0.1:0"], &JSON[..]].concat());
    let address = address(&scene);
    ask_all(&address);
    until_printed(&scene, "topshelf::access");
    end(server);
    check(&scene, &[&KEYS[..], &[HOOK]].concat());
}

#[test]
fn a_database_that_fails_is_told_without_its_password() {
    // A server that answers, but no PostgreSQL; and one that is not there.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let wrong = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            drop(stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n"));
        }
    });
    for host in [wrong.to_string(), "127.0.0.1:1".to_owned()] {
        for url in [
            format!("postgres://u:{PASSWORD}@{host}/x?sslmode=disable"),
            format!("postgres://u@{host}/x?password={PASSWORD}"),
        ] {
            let mut scene = loud();
            scene.environment("TOPSHELF_STORE__URL", &url);
            scene.environment("TOPSHELF_SCHEDULE__WEBHOOK", &format!("http://127.0.0.1:1/services/{HOOK}"));
            scene.environment("TOPSHELF_STORE__PATIENCE_SECONDS", "0");
            // The server may refuse to start.
            let mut server = started(&scene, &[&["up", "--listen", "127.0.0.1:0"], &JSON[..]].concat());
            let began = Instant::now();
            while server.try_wait().unwrap().is_none() && began.elapsed() < Duration::from_secs(3) {
                if printed(&scene).contains("trying again") && printed(&scene).contains("\"address\":\"") {
                    let address = address(&scene);
                    ask_all(&address);
                    assert!(!get(&address, "/health").1.contains(PASSWORD));
                    break;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            end(server);
            assert!(!printed(&scene).is_empty());
            check(&scene, &[&KEYS[..], &[PASSWORD, HOOK]].concat());
            for args in [
                &["run", "--day", DAY, "--input", "logs"][..],
                &["runs"],
                &["doctor"],
                &["config"],
                &["config", "--json"],
                &["migrate"],
            ] {
                let ended = scene.call(args);
                for secret in [PASSWORD, HOOK] {
                    assert!(
                        !(ended.stdout.contains(secret) || ended.stderr.contains(secret)),
                        "{args:?}: {ended:#?}"
                    );
                }
            }
        }
    }
}

#[test]
fn a_webhook_that_fails_is_told_without_its_path() {
    let mut scene = loud();
    scene.environment(
        "TOPSHELF_SCHEDULE__WEBHOOK",
        &format!("http://u:{PASSWORD}@127.0.0.1:1/services/{HOOK}?token={HOOK}"),
    );
    miss_a_night(&scene.path("topshelf-data"));
    // Its input is not there.
    let scheduler = started(&scene, &[&["schedule", "--input", "nowhere"], &JSON[..]].concat());
    until_printed(&scene, "the night failed");
    // The connection is refused at once, and told by those who make it.
    until_printed(&scene, "127.0.0.1:1");
    end(scheduler);
    check(&scene, &[PASSWORD, HOOK]);
}

/// A ledger by which a scheduler held a night long ago, and none since.
fn miss_a_night(folder: &Path) {
    std::fs::create_dir_all(folder).unwrap();
    let url = format!("sqlite:{}", folder.join("topshelf.db").display());
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let store = store::Store::open(&url).await.unwrap();
        store.migrate().await.unwrap();
        let started_at = "2024-11-21T02:30:00Z".parse().unwrap();
        let run = store::NewRun {
            run_id: "20241121T023000Z-3f9a1c2e".parse().unwrap(),
            day: DAY.parse().unwrap(),
            started_by: "schedule".to_owned(),
            orchestrator: None,
            program_version: String::new(),
            config_hash: String::new(),
            started_at,
            process: String::new(),
            host: String::new(),
            due_at: Some(started_at),
        };
        store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
        let (outcome, report) = (store::Outcome::Succeeded, serde_json::Value::Null);
        let end = store::RunEnd { ended_at: started_at, outcome, error: None, report };
        store.end_run(&run.run_id, &end).await.unwrap();
    });
}
