//! With certificates, whoever shows none of the authority is refused, and told why.

use crate::{
    authority::{Authority, Signed},
    group::Group,
    same::is_the_same,
    scene::DAY,
};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    pki_types::{CertificateDer, ServerName},
};
use std::{
    io::{Read, Write},
    net::TcpStream,
    sync::Arc,
    time::Duration,
};

pub(crate) const GOOD: [&str; 3] = ["good.pem", "good.key", "ca.pem"];

/// Writes a certificate, its key and the authority that its owner trusts.
pub(crate) fn write(group: &Group, [certificate, key, ca]: [&str; 3], signed: &Signed, trusted: &Authority) {
    group.scene.write(certificate, &signed.certificate);
    group.scene.write(key, &signed.key);
    group.scene.write(ca, trusted.pem());
}

pub(crate) fn flags([certificate, key, ca]: [&str; 3]) -> [&str; 6] {
    ["--tls-cert", certificate, "--tls-key", key, "--tls-ca", ca]
}

/// Lets nights, and all else that is called in the scene, show these.
pub(crate) fn night_shows(group: &mut Group, files: [&str; 3]) {
    for (key, file) in ["CERT", "KEY", "CA"].iter().zip(files) {
        group.scene.environment(&format!("TOPSHELF_CLUSTER__TLS_{key}"), file);
    }
}

/// A group whose processes show certificates of the authority.
fn group(authority: &Authority) -> Group {
    let mut group = Group::new();
    let good = authority.sign(&group.address, 2100);
    write(&group, GOOD, &good, authority);
    group.flags(&flags(GOOD));
    group
}

/// What the night says whose configuration names these files.
fn night(group: &Group, files: Option<[&str; 3]>) -> String {
    let url = group.url();
    let args = ["run", "--day", DAY, "--input", "logs", "--lake", "lake", "--store", "sqlite:a.db"];
    let mut command = group.scene.command(&[&args[..], &["--cluster", &url]].concat());
    for (key, file) in ["CERT", "KEY", "CA"].iter().zip(files.into_iter().flatten()) {
        command.env(format!("TOPSHELF_CLUSTER__TLS_{key}"), file);
    }
    let ended = command.output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(1), "{told}");
    assert!(!group.scene.path("lake/counts").exists(), "something was left");
    told
}

#[test]
fn a_night_by_tls_is_the_night_of_one_machine() {
    let authority = Authority::new();
    let mut group = group(&authority);
    group.start_scheduler();
    group.start_executor();
    group.start_executor();
    night_shows(&mut group, GOOD);
    group.generate(&[]);
    let cluster = is_the_same(&group);
    assert!(cluster["tasks"].as_u64().unwrap() > 3, "{cluster}");
}

#[test]
fn a_night_that_shows_nothing_good_is_refused_and_told_why() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut group = group(&authority);
    group.start_scheduler();
    let told = night(&group, None);
    assert!(told.contains("it speaks TLS, and this side does not"), "{told}");
    assert!(told.contains("cluster.tls_cert"), "{told}");
    group.scheduler_says("it does not speak TLS");

    let files = ["bad.pem", "bad.key", "bad-ca.pem"];
    let cases = [
        (
            &other,
            &other,
            2100,
            "its certificate is not of our authority",
            "let cluster.tls_ca name the one that has signed its certificate",
        ),
        (
            &other,
            &authority,
            2100,
            "it does not take our certificate: it is of an authority that it does not know",
            "let cluster.tls_cert be signed by",
        ),
        (
            &authority,
            &authority,
            2021,
            "it does not take our certificate: it has expired",
            "renew cluster.tls_cert",
        ),
    ];
    for (signs, trusted, last_year, expected, remedy) in cases {
        write(&group, files, &signs.sign(&group.address, last_year), trusted);
        let told = night(&group, Some(files));
        assert!(told.contains(expected) && told.contains(remedy), "{expected}: {told}");
        assert!(told.contains(&group.scheduler_address()), "{told}");
    }
}

#[test]
fn a_scheduler_that_shows_nothing_good_is_told() {
    let authority = Authority::new();
    let mut group = group(&authority);
    let elsewhere = authority.sign("127.9.9.9", 2100);
    write(&group, ["else.pem", "else.key", "ca.pem"], &elsewhere, &authority);
    group.flags(&flags(["else.pem", "else.key", "ca.pem"]));
    group.start_scheduler();
    let told = night(&group, Some(GOOD));
    assert!(
        told.contains(&format!("its certificate is not for {}, but for 127.9.9.9", group.address)),
        "{told}"
    );
    assert_eq!(group.stop_scheduler("TERM"), Some(0));

    group.flags(&[]);
    group.start_scheduler();
    let told = night(&group, Some(GOOD));
    assert!(told.contains("it does not speak TLS, and this side does"), "{told}");
}

#[test]
fn an_executor_that_shows_nothing_good_gets_no_tasks() {
    let (authority, other) = (Authority::new(), Authority::new());
    let mut group = group(&authority);
    group.start_scheduler();
    let files = ["bad.pem", "bad.key", "bad-ca.pem"];
    write(&group, files, &other.sign(&group.address, 2100), &authority);
    let bad = flags(files);
    let cases: [(&[&str], &str, &str); 2] = [
        (&[], "it speaks TLS, and this side does not", "all of a cluster speak TLS, or none does"),
        (
            &bad,
            "it does not take our certificate: it is of an authority that it does not know",
            "let --tls-cert be signed by the one that the other side knows",
        ),
    ];
    for (flags, expected, remedy) in cases {
        let mut executor = group.executor(&[flags, &["--give-up-after", "5s"]].concat());
        let waiting = executor.line_with("waiting for the scheduler");
        assert!(waiting.contains(expected) && waiting.contains(&group.scheduler_address()), "{waiting}");
        executor.line_with("was not reached for");
        executor.line_with(remedy);
        assert_eq!(executor.end(), Some(1));
    }
}

/// It would get tasks, and nobody could fetch what they give.
#[test]
fn an_executor_whose_certificate_is_for_another_host_ends_and_says_so() {
    let authority = Authority::new();
    let mut group = group(&authority);
    group.start_scheduler();
    let files = ["else.pem", "else.key", "ca.pem"];
    write(&group, files, &authority.sign("127.9.9.9", 2100), &authority);
    let mut executor = group.executor(&flags(files));
    let told = executor.line_with("its certificate is not for");
    assert!(told.contains(&format!("{}, but for 127.9.9.9", group.address)), "{told}");
    assert_eq!(executor.end(), Some(1));
}

/// What who trusts the authority and shows nothing hears at an address.
fn alert(authority: &Authority, address: &str) -> Option<AlertDescription> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from(authority.as_server().der.0)).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let host = address.rsplit_once(':').unwrap().0.to_owned();
    let connection = ClientConnection::new(Arc::new(config), ServerName::try_from(host).unwrap()).unwrap();
    let socket = TcpStream::connect(address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    let mut stream = StreamOwned::new(connection, socket);
    let _ = stream.flush();
    let error = stream.read(&mut [0]).unwrap_err();
    match error.get_ref()?.downcast_ref()? {
        rustls::Error::AlertReceived(alert) => Some(*alert),
        other => panic!("{other}"),
    }
}

#[test]
fn who_shows_no_certificate_is_let_in_nowhere() {
    let authority = Authority::new();
    let mut group = group(&authority);
    group.start_scheduler();
    group.start_executor();
    for address in [group.scheduler_address(), group.executor_address(0)] {
        assert_eq!(alert(&authority, &address), Some(AlertDescription::CertificateRequired), "{address}");
        let mut plain = TcpStream::connect(&address).unwrap();
        plain.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        plain.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").unwrap();
        let mut heard = Vec::new();
        let _ = plain.read_to_end(&mut heard); // a reset ends a connection too
        assert!(heard.is_empty() || heard[0] == 0x15, "an alert, or nothing: {heard:?}");
    }
    group.scheduler_says("it shows no certificate");
    group.executor_says(0, "it shows no certificate");
}

#[test]
fn files_come_together_or_not_at_all() {
    let group = Group::new();
    let scheduler = ["cluster", "scheduler", "--bind", &group.scheduler_address()];
    let ended = group.scene.call(&[&scheduler[..], &["--tls-key", "a.key"]].concat());
    assert!(
        ended.exit == 2 && ended.stderr.contains("--tls-cert") && ended.stderr.contains("--tls-ca"),
        "{ended:#?}"
    );
    let ended = group.scene.call(&[&scheduler[..], &flags(GOOD)].concat());
    assert!(
        ended.exit == 2 && ended.stderr.contains("could not read the certificate good.pem"),
        "{ended:#?}"
    );
    let mut night = group.scene.command(&["run", "--day", DAY, "--input", "logs"]);
    let ended = night.env("TOPSHELF_CLUSTER__TLS_CA", "ca.pem").output().unwrap();
    let told = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(2), "{told}");
    assert!(told.contains("cluster.tls_ca is set, but cluster.tls_cert is not"), "{told}");
}
