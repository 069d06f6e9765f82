//! Tokens of IAM for passwords.

use crate::{
    authority::Authority,
    aws::{Answer, Aws},
    database::{Database, NIGHT, PATIENCE, SERVE, doctor, other_night, served_run, until_other_run},
    rds::Rds,
    scene::Scene,
    service::{Service, get_until},
};
use jiff::SignedDuration;
use std::{collections::BTreeSet, time::Instant};

/// A database that wants tokens, and a scene that knows how to make them.
struct Place {
    database: Database,
    rds: Rds,
    aws: Aws,
    scene: Scene,
    /// The authority of the database's certificate.
    authority: String,
}

impl Place {
    fn new() -> Self {
        let (database, authority) = (Database::new("hunter2-of-nobody"), Authority::new());
        database.trust();
        let rds = Rds::before(database.address(), &authority.sign("localhost", 2040));
        let (aws, mut scene) = (Aws::new(Answer::Nothing), Scene::new());
        let authority = authority.pem();
        scene.write("ca.pem", &authority);
        scene.environment("AWS_REGION", "eu-west-1");
        scene.environment("TOPSHELF_STORE__URL", &url(rds.port, "verify-full&sslrootcert=ca.pem"));
        Self { database, rds, aws, scene, authority }
    }

    fn with_keys() -> Self {
        let mut place = Self::new();
        place.aws.known_to(&mut place.scene);
        place
    }
}

fn url(port: u16, sslmode: &str) -> String {
    format!("postgres://night@localhost:{port}/shelf?auth=iam&sslmode={sslmode}")
}

#[test]
fn a_night_and_a_server_log_in_by_tokens() {
    let Place { database, rds, scene, .. } = Place::with_keys();
    scene.end_well(&NIGHT);
    let mut server = Service::start(&scene, &SERVE);
    let address = server.address();
    get_until(&address, crate::database::PATH, 200);
    let first = served_run(&address);
    assert_eq!(rds.refused(), 0);
    // RDS takes them for longer.
    rds.takes_tokens_for(SignedDuration::from_secs(8));
    let began = Instant::now();
    while rds.refused() == 0 {
        assert!(began.elapsed() < PATIENCE, "the old token was not sent");
        database.cut();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    other_night(&scene);
    until_other_run(&address, &first);
}

#[test]
fn tokens_are_signed_with_the_credentials_that_are_given_last() {
    let mut place = Place::new();
    place.aws.gives_credentials_to(&mut place.scene);
    let Place { database, rds, scene, .. } = place;
    scene.end_well(&NIGHT);
    let mut server = Service::start(&scene, &SERVE);
    let address = server.address();
    get_until(&address, crate::database::PATH, 200);
    let before = rds.tokens().len();
    let keys = || -> BTreeSet<String> {
        let of =
            |token: &String| token.split_once("Credential=").unwrap().1.split('%').next().unwrap().to_owned();
        rds.tokens()[before..].iter().map(of).collect()
    };
    let began = Instant::now();
    while keys().len() < 2 {
        assert!(began.elapsed() < PATIENCE, "{:?}", keys());
        database.cut();
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(rds.refused(), 0);
}

#[test]
fn a_token_that_is_refused_is_explained_at_once() {
    let Place { rds, scene, .. } = Place::with_keys();
    rds.takes_tokens_for(SignedDuration::from_secs(-60));
    let began = Instant::now();
    let ended = scene.call(&NIGHT);
    assert!(began.elapsed().as_secs() < 30, "patience is no help");
    assert_eq!(ended.exit, 1, "{ended:?}");
    for text in ["PAM authentication failed", "GRANT rds_iam TO ROLE", "rds-db:connect"] {
        assert!(ended.stderr.contains(text), "{text}: {ended:?}");
    }
    let (ended, step) = doctor(&scene);
    let told = step("database", "password");
    assert!(told.contains("make an IAM token for eu-west-1") && told.contains("AWS_SESSION_TOKEN"), "{told}");
    let told = step("database", "login");
    for text in ["an IAM token for eu-west-1", "GRANT rds_iam TO night", "rds-db:connect", "clock"] {
        assert!(told.contains(text), "{text}: {told}");
    }
    for text in ["hunter2", "X-Amz-Signature"] {
        assert!(!ended.stdout.contains(text) && !ended.stderr.contains(text), "{ended:?}");
    }
}

#[test]
fn no_token_is_sent_to_a_server_that_is_not_who_it_should_be() {
    let Place { rds, mut scene, authority, .. } = Place::with_keys();
    scene.write("ca.pem", Authority::new().pem());
    let ended = scene.call(&NIGHT);
    assert!(ended.exit == 1 && ended.stderr.contains("invalid peer certificate"), "{ended:?}");
    let (_, step) = doctor(&scene);
    assert!(step("database", "tls").contains("\"failed\""));
    scene.write("ca.pem", authority);
    scene.environment(
        "TOPSHELF_STORE__URL",
        &url(rds.port, "verify-full&sslrootcert=ca.pem").replace("localhost", "127.0.0.1"),
    );
    let ended = scene.call(&NIGHT);
    assert!(ended.exit == 1 && ended.stderr.contains("not valid for name"), "{ended:?}");
    assert_eq!(rds.tokens(), Vec::<String>::new());
}

#[test]
fn what_a_token_needs_is_asked_for_before_anybody_is() {
    let check = |url: &str, region: Option<&str>, expected: &[&str]| {
        let mut scene = Scene::new();
        scene.environment("TOPSHELF_STORE__URL", url);
        region.into_iter().for_each(|region| scene.environment("AWS_REGION", region));
        let ended = scene.call(&NIGHT);
        assert_eq!(ended.exit, 2, "{ended:?}");
        for text in expected {
            assert!(ended.stderr.contains(text) && !ended.stderr.contains("hunter2"), "{text}: {ended:?}");
        }
    };
    let region = Some("eu-west-1");
    check(
        &url(1, "require"),
        region,
        &["auth=iam with sslmode=require", "sslmode=verify-full", "must be who it is for"],
    );
    check("postgres://night@localhost/shelf?auth=iam", region, &["sslmode=prefer"]);
    let full = "auth=iam&sslmode=verify-full";
    check(&format!("postgres://night:hunter2@localhost/shelf?{full}"), region, &["has a password"]);
    check(
        &format!("postgres:///shelf?user=night&host=/run/pg&{full}"),
        region,
        &["a socket of this machine"],
    );
    check(&url(1, "verify-full"), None, &["the region is not known", "AWS_REGION"]);
    check("postgres://night@localhost/shelf?auth=gss", region, &["auth is \"iam\", or is left out"]);
    check(&format!("postgres://localhost/shelf?{full}"), region, &["names no user"]);
}

#[test]
fn without_credentials_no_server_is_asked_for_long() {
    let Place { mut scene, rds, .. } = Place::new();
    scene.environment("AWS_ACCESS_KEY_ID", "AKID0");
    let (_, step) = doctor(&scene);
    let told = step("database", "password");
    assert!(
        told.contains("set without the other") && told.contains("where a role gives credentials"),
        "{told}"
    );
    assert_eq!(rds.tokens(), Vec::<String>::new());
}

#[test]
fn nothing_of_a_token_is_told_however_much_is() {
    let mut place = Place::with_keys();
    place.scene.environment("TOPSHELF_LOG", "trace");
    let ended = place.scene.end_well(&NIGHT);
    for text in ["hunter2", "X-Amz-Signature"] {
        let line = ended.stderr.lines().find(|line| line.contains(text));
        assert_eq!(line, None, "{text}");
    }
    assert!(ended.stderr.contains("DEBUG"));
}
