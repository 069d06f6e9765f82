//! Certificate and key from files: how they are used, replaced, and refused.

use crate::harness::{Connection, Site, within};
use api::TlsFiles;
use rcgen::{CertificateParams, KeyPair};
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName},
};
use std::{
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

/// A certificate for localhost and its key, in PEM.
struct Made {
    certificate: String,
    key: String,
    der: CertificateDer<'static>,
}

fn made(change: impl FnOnce(&mut CertificateParams)) -> Made {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    change(&mut params);
    let certificate = params.self_signed(&key).unwrap();
    Made { certificate: certificate.pem(), key: key.serialize_pem(), der: certificate.der().clone() }
}

/// A directory with both files.
struct Files {
    directory: TempDir,
}

impl Files {
    fn of(made: &Made) -> Self {
        let files = Self { directory: tempfile::tempdir().unwrap() };
        files.write(&made.certificate, &made.key);
        files
    }

    /// Puts each in its place whole.
    fn write(&self, certificate: &str, key: &str) {
        for (path, text) in [(self.certificate(), certificate), (self.key(), key)] {
            let new = path.with_extension("new");
            std::fs::write(&new, text).unwrap();
            std::fs::rename(new, path).unwrap();
        }
    }

    fn certificate(&self) -> PathBuf {
        self.directory.path().join("tls.crt")
    }

    fn key(&self) -> PathBuf {
        self.directory.path().join("tls.key")
    }

    fn tls(&self) -> Option<TlsFiles> {
        let look_every = Duration::from_millis(10);
        Some(TlsFiles { look_every, ..TlsFiles::new(self.certificate(), self.key()) })
    }
}

async fn site(files: &Files) -> Site {
    let tls = files.tls();
    Site::start_with(|options| {
        options.tls = tls;
        // Its probes need no certificate.
        options.operator_listen = Some("127.0.0.1:0".to_owned());
    })
    .await
}

/// A connection that trusts `root` alone and speaks a version of TLS.
async fn connect(
    site: &Site,
    root: &CertificateDer<'static>,
    version: &'static rustls::SupportedProtocolVersion,
) -> std::io::Result<TlsStream<TcpStream>> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider).with_protocol_versions(&[version]).unwrap();
    let mut config = config.with_root_certificates(roots).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connection = TcpStream::connect(site.address).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    within(TlsConnector::from(Arc::new(config)).connect(name, connection)).await
}

/// The answer on such a connection, with a request to close it.
async fn get(stream: &mut TlsStream<TcpStream>, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within(stream.read_to_string(&mut answer)).await.unwrap();
    answer
}

async fn answers_under(site: &Site, root: &CertificateDer<'static>) -> bool {
    match connect(site, root, &rustls::version::TLS13).await {
        Ok(mut stream) => get(&mut stream, "/health/live").await.starts_with("HTTP/1.1 200 OK\r\n"),
        Err(_) => false,
    }
}

async fn until_answers_under(site: &Site, root: &CertificateDer<'static>) {
    within(async {
        while !answers_under(site, root).await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn both_versions_of_tls_carry_http_1_1() {
    let made = made(|_| ());
    let files = Files::of(&made);
    let site = site(&files).await;
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut stream = connect(&site, &made.der, version).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"http/1.1"[..]));
        let answer = get(&mut stream, "/openapi.json").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(answer.ends_with('}'), "a long answer comes whole, and its end is told");
    }
}

#[tokio::test]
async fn a_new_certificate_is_taken_without_a_restart_and_open_connections_go_on() {
    let (old, new) = (made(|_| ()), made(|params| params.not_after = rcgen::date_time_ymd(2100, 1, 1)));
    let files = Files::of(&old);
    let site = site(&files).await;
    let mut open = connect(&site, &old.der, &rustls::version::TLS13).await.unwrap();
    files.write(&new.certificate, &new.key);
    until_answers_under(&site, &new.der).await;
    assert!(!answers_under(&site, &old.der).await);
    assert!(get(&mut open, "/health/live").await.starts_with("HTTP/1.1 200 OK\r\n"));
    site.until_metric("topshelf_tls_reloads_total{outcome=\"loaded\"}", 1.0).await;
    assert_eq!(site.metric("topshelf_tls_certificate_expires_at_seconds").await, 4_102_444_800.0);
}

#[tokio::test]
async fn a_symbolic_link_that_is_put_elsewhere_is_followed() {
    let (old, new) = (made(|_| ()), made(|_| ()));
    // As Kubernetes mounts secrets: files are links through a link to a directory, which is swapped.
    let files = Files { directory: tempfile::tempdir().unwrap() };
    let at = |name: &str| files.directory.path().join(name);
    let put = |name: &str, made: &Made| {
        std::fs::create_dir(at(name)).unwrap();
        std::fs::write(at(name).join("tls.crt"), &made.certificate).unwrap();
        std::fs::write(at(name).join("tls.key"), &made.key).unwrap();
        symlink(name, at("..data_tmp")).unwrap();
        std::fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    put("first", &old);
    for file in ["tls.crt", "tls.key"] {
        symlink(Path::new("..data").join(file), at(file)).unwrap();
    }
    let site = site(&files).await;
    assert!(answers_under(&site, &old.der).await);
    put("second", &new);
    until_answers_under(&site, &new.der).await;
}

#[tokio::test]
async fn what_does_not_fit_leaves_the_last_in_service() {
    let (old, new) = (made(|_| ()), made(|_| ()));
    let files = Files::of(&old);
    let site = site(&files).await;
    let failed = "topshelf_tls_reloads_total{outcome=\"failed\"}";
    let mut count = 0.0;
    let broken: [(&str, &str); 4] =
        [(&new.certificate, &old.key), ("no certificate", &new.key), (&new.certificate, "no key"), ("", "")];
    for (certificate, key) in broken {
        files.write(certificate, key);
        count += 1.0;
        site.until_metric(failed, count).await;
        // Between the two renames a look may have seen a pair that does not fit either.
        count = site.metric(failed).await;
        assert!(answers_under(&site, &old.der).await);
    }
    std::fs::remove_file(files.key()).unwrap();
    site.until_metric(failed, count + 1.0).await;
    let count = site.metric(failed).await;
    tokio::time::sleep(Duration::from_millis(100)).await; // ten looks
    assert_eq!(site.metric(failed).await, count, "what was seen is not told again");
    assert!(answers_under(&site, &old.der).await);
    files.write(&new.certificate, &new.key);
    until_answers_under(&site, &new.der).await;
}

#[tokio::test]
async fn a_client_that_says_nothing_or_something_else_is_let_go() {
    let made = made(|_| ());
    let files = Files::of(&made);
    let tls = files.tls();
    let site = Site::start_with(|options| {
        options.tls = tls;
        options.operator_listen = Some("127.0.0.1:0".to_owned());
        options.limits.head_time = Duration::from_millis(50);
    })
    .await;
    assert_eq!(Connection::open(site.address).await.rest().await, "");
    site.until_metric("topshelf_connections_cut_total{reason=\"handshake\"}", 1.0).await;
    let mut plain = Connection::open(site.address).await;
    plain.send("GET / HTTP/1.1\r\nHost: t\r\n\r\n").await;
    let mut told = Vec::new();
    let _ = within(plain.0.read_to_end(&mut told)).await; // a reset ends a connection too
    assert!(!told.starts_with(b"HTTP"), "{told:?}");
    // After the handshake a head has its time, too.
    let mut slow = connect(&site, &made.der, &rustls::version::TLS13).await.unwrap();
    slow.write_all(b"GET / HT").await.unwrap();
    let mut told = Vec::new();
    let _ = within(slow.read_to_end(&mut told)).await; // it ends without a farewell
    assert_eq!(told, b"");
    assert!(answers_under(&site, &made.der).await);
}

#[tokio::test]
async fn a_server_that_ends_answers_who_has_connected() {
    let made = made(|_| ());
    let files = Files::of(&made);
    let mut site = site(&files).await;
    let mut before = connect(&site, &made.der, &rustls::version::TLS13).await.unwrap();
    site.end(Duration::from_millis(300));
    tokio::time::sleep(Duration::from_millis(50)).await; // so that it has heard
    let answer = get(&mut before, "/health/ready").await;
    assert!(answer.starts_with("HTTP/1.1 503 "), "{answer}");
    assert!(answer.contains("connection: close\r\n"), "{answer}");
    let mut during = connect(&site, &made.der, &rustls::version::TLS12).await.unwrap();
    assert!(get(&mut during, "/health/live").await.starts_with("HTTP/1.1 200 "));
    site.ended().await;
}

#[tokio::test]
async fn at_the_start_it_is_said_which_file_is_wrong_and_how() {
    let (good, other) = (made(|_| ()), made(|_| ()));
    let cases: [(&str, &str, &str); 5] = [
        ("nothing", &good.key, "serve.tls_certificate CERTIFICATE holds no certificate"),
        (&good.key, &good.key, "serve.tls_certificate CERTIFICATE holds no certificate"),
        (&good.certificate, "nothing", "serve.tls_key KEY holds no private key"),
        (&good.certificate, &good.certificate, "serve.tls_key KEY holds no private key"),
        (
            &good.certificate,
            &other.key,
            "serve.tls_key KEY is not the key of the first certificate in CERTIFICATE",
        ),
    ];
    for (certificate, key, expected) in cases {
        let files = Files::of(&good);
        files.write(certificate, key);
        let error = Site::refused(|options| options.tls = files.tls()).await.to_string();
        let (certificate, key) = (files.certificate(), files.key());
        let expected = expected.replace("CERTIFICATE", &certificate.display().to_string());
        let expected = expected.replace("KEY", &key.display().to_string());
        assert!(error.starts_with(&expected), "{error}");
        assert!(!error.contains("PRIVATE KEY-----\nM"), "no key is told");
    }
    let files = Files::of(&good);
    std::fs::remove_file(files.key()).unwrap();
    let error = Site::refused(|options| options.tls = files.tls()).await.to_string();
    assert_eq!(error, format!("could not read serve.tls_key {}", files.key().display()));
}

#[tokio::test]
async fn a_certificate_that_has_expired_is_served_all_the_same() {
    let expired = made(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let files = Files::of(&expired);
    let site = site(&files).await;
    assert_eq!(site.metric("topshelf_tls_certificate_expires_at_seconds").await, 1_577_836_800.0);
}
