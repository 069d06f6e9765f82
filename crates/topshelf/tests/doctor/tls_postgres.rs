//! A PostgreSQL that lets nobody in without TLS, with a certificate of the test's own authority.

use crate::{authority::Authority, call::doctor, scene::Scene, tls_cluster::TlsCluster};

#[test]
fn a_server_with_tls_is_believed_by_its_authority_alone() {
    let scene = Scene::new();
    let authority = Authority::new();
    scene.write("ca.pem", authority.pem());
    let server = TlsCluster::start(&authority.sign("localhost", 2040));
    let say = |host: &str, parameters: &str| doctor(&scene, &["--store", &server.url(host, parameters)]);
    let full = "sslmode=verify-full&sslrootcert=ca.pem";
    let said = say("localhost", full);
    said.warns("database migrations", &["0 applied"]);
    said.holds("database tls", &["TLS 1.3: server localhost (issued by Authority of the Tests"]);
    say("localhost", "sslmode=verify-full").fails_only("database tls", &["is unknown", "sslrootcert"]);
    say("127.0.0.1", full).fails_only("database tls", &["of localhost, not of 127.0.0.1"]);
    say("localhost", "sslmode=require").warns("database migrations", &[]);
    let said = say("localhost", "sslmode=disable");
    said.fails_only(
        "database login",
        &["no pg_hba.conf entry", "nobody in without TLS", "sslmode=verify-full"],
    );
    scene.end_well(&["migrate", "--store", &server.url("localhost", full)]);
    say("localhost", full).is_well();
}
