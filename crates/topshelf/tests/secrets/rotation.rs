//! A password in a file that is changed on both sides, one after the other.

use crate::{
    database::{Database, NIGHT, SERVE, add_to_logs, doctor, other_night, served_run, until_other_run},
    scene::Scene,
    service::{Service, get_until},
};

/// Nights and servers that take the role's password from a file, which holds `first`.
fn scene(database: &Database) -> Scene {
    let mut scene = Scene::new();
    scene.write("password", "hunter2-first\n");
    let url = format!("postgres://night@{}/shelf?sslmode=disable", database.address());
    scene.environment("TOPSHELF_STORE__URL", &url);
    scene.environment("TOPSHELF_STORE__SECRET", "./password");
    scene
}

#[test]
fn a_server_goes_on_with_the_new_password() {
    let database = Database::new("hunter2-first");
    let scene = scene(&database);
    scene.end_well(&NIGHT);
    let mut server = Service::start(&scene, &SERVE);
    let address = server.address();
    get_until(&address, crate::database::PATH, 200);
    let first = served_run(&address);
    let refused = database.refusals();
    database.set_password("hunter2-second");
    database.cut();
    database.until_refused_after(refused);
    assert_eq!(served_run(&address), first);
    scene.write("password", "hunter2-second\n");
    other_night(&scene);
    until_other_run(&address, &first);
    assert_eq!(server.stop("INT"), Some(0));
}

#[test]
fn a_night_goes_on_with_the_new_password() {
    let database = Database::new("hunter2-first");
    let scene = scene(&database);
    scene.end_well(&NIGHT);
    add_to_logs(&scene);
    let lock = database.lock();
    let night = Service::start(&scene, &NIGHT);
    database.until_waiting();
    let refused = database.refusals();
    database.set_password("hunter2-second");
    database.cut();
    database.until_refused_after(refused);
    // The secret's time comes after the role's, as when AWS rotates it.
    scene.write("password", "{\"username\": \"night\", \"password\": \"hunter2-second\"}");
    database.unlock(lock);
    assert_eq!(night.end(), Some(0));
}

#[test]
fn a_password_that_stays_wrong_is_told_once_patience_is_over() {
    let database = Database::new("hunter2-other");
    let mut scene = scene(&database);
    scene.environment("TOPSHELF_STORE__PATIENCE_SECONDS", "1");
    let ended = scene.call(&NIGHT);
    assert_eq!(ended.exit, 1, "{ended:?}");
    for text in [
        "could not log in to postgres://night@",
        "password authentication failed for user \"night\"",
        "what store.secret holds is not what the database takes",
    ] {
        assert!(ended.stderr.contains(text) && !ended.stderr.contains("hunter2"), "{text}: {ended:?}");
    }
    assert!(database.refusals() > 2, "it was tried again");
    let (ended, step) = doctor(&scene);
    assert!(step("database", "password").contains("read the file ./password"));
    let told = step("database", "login");
    assert!(
        told.contains("the password of the file ./password") && told.contains("not that of night"),
        "{told}"
    );
    assert!(!ended.stdout.contains("hunter2"));
    scene.remove("password");
    let (_, step) = doctor(&scene);
    let told = step("database", "password");
    assert!(told.contains("failed") && told.contains("check store.secret"), "{told}");
}

#[test]
fn where_a_password_is_kept_goes_with_the_url() {
    let check = |url: &str, secret: &str, expected: &[&str]| {
        let mut scene = Scene::new();
        scene.environment("TOPSHELF_STORE__URL", url);
        scene.environment("TOPSHELF_STORE__SECRET", secret);
        let ended = scene.call(&NIGHT);
        assert_eq!(ended.exit, 2, "{ended:?}");
        for text in expected {
            assert!(ended.stderr.contains(text) && !ended.stderr.contains("hunter2"), "{text}: {ended:?}");
        }
    };
    check(
        "postgres://u@db/x",
        "hunter2",
        &["store.secret is neither an ARN nor the path", "where the secret is kept"],
    );
    check(
        "postgres://u@db/x",
        "{\"password\": \"hunter2\"}",
        &["store.secret is neither an ARN nor the path"],
    );
    check("sqlite:x.db", "./password", &["store.url is an SQLite file"]);
    check("postgres://u:hunter2@db/x", "./password", &["store.url has a password", "take the password out"]);
    check(
        "postgres://u@db/x",
        "arn:aws:ssm:eu-west-1:1:x",
        &["store.secret is \"arn:aws:ssm", "list-secrets"],
    );
    check(
        "postgres://u@db/x?auth=iam&sslmode=verify-full",
        "./password",
        &["store.url says auth=iam", "one of them"],
    );
}
