//! Secrets of AWS Secrets Manager: of the database, and of the webhook.

use crate::{
    aws::{ARN, Answer, Aws, of_rds},
    database::{Database, NIGHT, PATIENCE, SERVE, doctor, other_night, served_run, until_other_run},
    scene::Scene,
    service::{Service, get_until},
};
use sqlx::{Connection, Executor, SqliteConnection};
use std::{
    io::{Read, Write},
    net::TcpListener,
    thread,
    time::Instant,
};
use tokio::runtime;

/// A scene whose database's user and password are the secret's; the URL names no user.
fn scene(database: &Database, aws: &Aws) -> Scene {
    let mut scene = Scene::new();
    scene.environment(
        "TOPSHELF_STORE__URL",
        &format!("postgres://{}/shelf?sslmode=disable", database.address()),
    );
    scene.environment("TOPSHELF_STORE__SECRET", ARN);
    aws.known_to(&mut scene);
    scene
}

#[test]
fn a_server_goes_on_with_what_the_secret_has_come_to_hold() {
    let (database, aws) = (Database::new("hunter2-first"), Aws::new(of_rds("hunter2-first")));
    let scene = scene(&database, &aws);
    scene.end_well(&NIGHT);
    let mut server = Service::start(&scene, &SERVE);
    let address = server.address();
    get_until(&address, crate::database::PATH, 200);
    let first = served_run(&address);
    let (asked, refused) = (aws.asked(), database.refusals());
    assert_eq!(asked, 2, "once by each process");
    database.set_password("hunter2-second");
    database.cut();
    database.until_refused_after(refused);
    aws.answers(of_rds("hunter2-second"));
    other_night(&scene);
    until_other_run(&address, &first);
    assert_eq!(server.stop("INT"), Some(0));
}

#[test]
fn a_server_goes_on_with_what_was_read_last_while_nobody_answers() {
    let (database, aws) = (Database::new("hunter2-first"), Aws::new(of_rds("hunter2-first")));
    let scene = scene(&database, &aws);
    scene.end_well(&NIGHT);
    let mut server = Service::start(&scene, &SERVE);
    let address = server.address();
    get_until(&address, crate::database::PATH, 200);
    let first = served_run(&address);
    let asked = aws.asked();
    aws.answers(Answer::Nothing);
    // It is asked again, as something is refused for a moment.
    database.set_password("hunter2-second");
    database.cut();
    assert!(server.line_with("using what was read before").contains("WARN"));
    assert!(aws.asked() > asked);
    database.set_password("hunter2-first");
    aws.answers(of_rds("hunter2-first"));
    other_night(&scene);
    aws.answers(Answer::Nothing);
    until_other_run(&address, &first);
}

#[test]
fn what_keeps_a_secret_from_being_read_is_explained() {
    let (database, aws) = (Database::new("hunter2-first"), Aws::new(of_rds("hunter2-first")));
    let mut scene = scene(&database, &aws);
    scene.environment("TOPSHELF_STORE__PATIENCE_SECONDS", "0");
    let (ended, step) = doctor(&scene);
    assert_eq!(ended.exit, 0, "{ended:#?}");
    let told = step("database", "password");
    assert!(told.contains(ARN) && told.contains("there is one, for night"), "{told}");
    assert!(step("database", "login").contains(&format!("the password of the secret {ARN}")));
    let check = |answer: Answer, expected: &[&str]| {
        aws.answers(answer);
        let (ended, step) = doctor(&scene);
        let told = step("database", "password");
        let night = scene.call(&NIGHT);
        assert_eq!((ended.exit, night.exit), (1, 1), "{told}");
        for text in expected {
            assert!(told.contains(text), "{text}: {told}");
        }
        let remedy = expected.last().unwrap();
        assert!(night.stderr.contains(remedy), "{remedy}: {night:?}");
        for text in [&ended.stdout, &ended.stderr, &night.stderr] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    };
    check(
        Answer::Error("ResourceNotFoundException", "Secrets Manager can't find the specified secret."),
        &["no such secret", "check store.secret"],
    );
    check(
        Answer::Error("AccessDeniedException", "User: arn:aws:sts::1:x is not authorized"),
        &["no policy allows", &format!("allow secretsmanager:GetSecretValue on {ARN}")],
    );
    check(Answer::Error("AccessDeniedException", "Access to KMS is not allowed"), &["allow kms:Decrypt"]);
    check(
        Answer::Error("UnrecognizedClientException", "The security token is invalid."),
        &["AWS_ACCESS_KEY_ID"],
    );
    check(Answer::Nothing, &["no way to Secrets Manager", "AWS_ENDPOINT_URL_SECRETS_MANAGER"]);
    check(
        Answer::Secret("{\"username\":\"night\",\"key\":\"hunter2-first\"}".to_owned()),
        &["is JSON without a \\\"password\\\"", "JSON as RDS keeps it"],
    );
    let printed = scene.end_well(&["config"]).stdout;
    assert!(printed.contains(ARN) && !printed.contains("hunter2"), "{printed}");
}

#[test]
fn nothing_of_a_secret_is_told_however_much_is() {
    let (database, aws) = (Database::new("hunter2-first"), Aws::new(of_rds("hunter2-first")));
    let mut scene = scene(&database, &aws);
    scene.environment("TOPSHELF_LOG", "trace");
    let ended = scene.end_well(&NIGHT);
    assert_eq!(ended.stderr.lines().find(|line| line.contains("hunter2")), None);
    assert!(ended.stderr.contains("TRACE"));
}

/// A server that takes one post; what it was sent.
fn one_post() -> (String, thread::JoinHandle<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/services/hunter2-path", listener.local_addr().unwrap());
    let post = thread::spawn(move || {
        loop {
            let (mut socket, _) = listener.accept().unwrap();
            let mut request = String::new();
            let began = Instant::now();
            while !request.contains("\r\n\r\n") || !request.contains("program_version") {
                assert!(began.elapsed() < PATIENCE);
                let mut bytes = [0; 4096];
                let length = socket.read(&mut bytes).unwrap();
                if length == 0 {
                    break;
                }
                request += std::str::from_utf8(&bytes[..length]).unwrap();
            }
            // The doctor only looks whether somebody listens.
            if !request.is_empty() {
                socket.write_all(b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n").unwrap();
                return request;
            }
        }
    });
    (url, post)
}

#[test]
fn a_webhook_may_be_a_secret() {
    for is_json in [false, true] {
        let (url, post) = one_post();
        let text = if is_json { serde_json::json!({ "url": url }).to_string() } else { url };
        let aws = Aws::new(Answer::Secret(text));
        let mut scene = Scene::new();
        aws.known_to(&mut scene);
        scene.environment("TOPSHELF_SCHEDULE__WEBHOOK", ARN);
        let (ended, step) = doctor(&scene);
        assert!(
            step("webhook", "secret").contains("it holds a URL")
                && step("webhook", "connect").contains("\"ok\"")
        );
        assert!(!ended.stdout.contains("hunter2"), "{ended:?}");
        if is_json {
            fails_a_night(&mut scene);
            let request = post.join().unwrap();
            let is_as_it_should = request.starts_with("POST /services/hunter2-path");
            assert!(is_as_it_should && request.contains("\"failure\""), "{request}");
        }
        aws.answers(Answer::Secret("hunter2-no-url".to_owned()));
        let (ended, step) = doctor(&scene);
        let told = step("webhook", "secret");
        assert!(told.contains("warning") && told.contains("holds no http:// or https:// URL"), "{told}");
        assert!(!ended.stdout.contains("hunter2"), "{ended:?}");
    }
}

/// Has a scheduler catch up a night that was missed, whose input is not there.
fn fails_a_night(scene: &mut Scene) {
    scene.end_well(&["migrate"]);
    let url = format!("sqlite:{}", scene.path("topshelf-data/topshelf.db").display());
    runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let mut connection = SqliteConnection::connect(&url).await.unwrap();
        let since = "INSERT INTO nights_held (only_row, since) VALUES (1, '2024-11-21T02:30:00.000Z')";
        connection.execute(since).await.unwrap();
        connection.close().await.unwrap();
    });
    scene.environment("TOPSHELF_SCHEDULE__RETRIES", "0");
    let mut scheduler = Service::start(scene, &["schedule", "--input", "nowhere"]);
    scheduler.line_with("told the webhook");
}
