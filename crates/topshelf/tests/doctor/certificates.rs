//! Certificates that are not to be believed, each for a reason of its own.

use crate::{
    authority::{Authority, Signed},
    call::{Said, doctor},
    scene::Scene,
    servers::{Before, tls},
};

/// What the doctor says of a server that shows this certificate, reached by `host` with these parameters.
fn shown(signed: &Signed, authority: &Authority, host: &str, parameters: &str) -> Said {
    let mut scene = Scene::new();
    scene.write("ca.pem", authority.pem());
    let port = tls(&mut scene, signed, Before::Postgres);
    doctor(&scene, &["--store", &format!("postgres://night:hunter2@{host}:{port}/top?{parameters}")])
}

const FULL: &str = "sslmode=verify-full&sslrootcert=ca.pem";

#[test]
fn an_expired_certificate_is_told_with_its_last_day() {
    let authority = Authority::new();
    let said = shown(&authority.sign("localhost", 2024), &authority, "localhost", FULL);
    let words = ["a certificate expired on 2024-01-01", "renew the server's certificate"];
    said.fails_only("database tls", &words);
    said.holds("database login", &["not tried: tls failed"]);
}

#[test]
fn an_unknown_authority_is_told_with_the_whole_chain() {
    let authority = Authority::new();
    let signed = authority.sign("localhost", 2040);
    let said = shown(&signed, &authority, "localhost", "sslmode=verify-full");
    let words = [
        "the issuer \\\"Authority of the Tests\\\" is unknown",
        "server localhost (issued by Authority of the Tests, good until 2040-01-01)",
        "sslrootcert=/path/ca.pem",
    ];
    said.fails_only("database tls", &words);
    let said = shown(&signed, &authority, "localhost", "sslmode=verify-ca");
    said.fails_only("database tls", &["is unknown"]);
}

/// As Debian's packages make one for each machine.
#[test]
fn a_certificate_that_signed_itself_is_told() {
    let authority = Authority::new();
    let said = shown(&authority.as_server(), &authority, "localhost", "sslmode=verify-full");
    said.fails_only("database tls", &["is unknown", "issued by itself"]);
}

#[test]
fn a_certificate_of_another_host_is_told_with_its_names() {
    let authority = Authority::new();
    let signed = authority.sign("db.example", 2040);
    let said = shown(&signed, &authority, "localhost", FULL);
    said.fails_only(
        "database tls",
        &["of db.example, not of localhost", "use a host in store.url that the certificate has"],
    );
    // This mode does not compare names: what fails is the login, as the server knows none.
    let said = shown(&signed, &authority, "localhost", "sslmode=verify-ca&sslrootcert=ca.pem");
    said.fails_only("database login", &[]);
}

#[test]
fn a_certificate_that_is_good_passes_as_does_any_that_nobody_checks() {
    let authority = Authority::new();
    let signed = authority.sign("localhost", 2040);
    for parameters in [FULL, "sslmode=require", "sslmode=prefer"] {
        let said = shown(&signed, &authority, "localhost", parameters);
        said.fails_only("database login", &[]);
        assert_eq!(said.step("database tls")["outcome"], "ok", "{parameters}: {said:#?}");
        said.holds("database tls", &["TLS 1.3", "server localhost"]);
    }
}

#[test]
fn a_file_of_authorities_that_is_none_is_told() {
    let authority = Authority::new();
    let signed = authority.sign("localhost", 2040);
    let said = shown(&signed, &authority, "localhost", "sslmode=verify-full&sslrootcert=missing.pem");
    said.fails_only("database tls", &["missing.pem: No such file", "truststore.pki.rds.amazonaws.com"]);
    let said = shown(&signed, &authority, "localhost", "sslmode=verify-full&sslrootcert=logs/ads_views.csv");
    said.fails_only("database tls", &["no certificate is in it"]);
}

#[test]
fn the_endpoint_of_a_bucket_must_show_a_good_certificate() {
    let authority = Authority::new();
    let say = |signed: &Signed, trusted: bool| {
        let mut scene = Scene::new();
        scene.write("ca.pem", authority.pem());
        let port = tls(&mut scene, signed, Before::Https);
        scene.environment("AWS_ENDPOINT_URL", &format!("https://localhost:{port}"));
        scene.environment("AWS_ACCESS_KEY_ID", "AKID");
        scene.environment("AWS_SECRET_ACCESS_KEY", "hunter2");
        if trusted {
            let path = scene.path("ca.pem").display().to_string();
            scene.environment("SSL_CERT_FILE", &path);
        }
        doctor(&scene, &["--input", "s3://logs/night"])
    };
    let (good, old) = (authority.sign("localhost", 2040), authority.sign("localhost", 2024));
    say(&good, false).fails_only("input tls", &["is unknown", "SSL_CERT_FILE"]);
    say(&old, true).fails_only("input tls", &["expired on 2024-01-01"]);
    // The night's client trusts what the doctor trusts; the server then has nothing to say.
    let said = say(&good, true);
    assert_eq!(said.step("input tls")["outcome"], "ok");
    said.fails_only("input bucket", &[]);
}
