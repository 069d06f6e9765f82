//! Whether the connection to PostgreSQL is encrypted, and with whom, as `sslmode` wants it.

use crate::doctor::{
    step::{Answer, Tried},
    tls::{self, Flaw, Shown, Trust, Unshaken},
};
use std::{io, sync::Arc};
use store::probe::{Pem, PostgresTarget, TlsMode};
use tokio::{
    fs,
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// `SSLRequest` of PostgreSQL's protocol: its length, and the code that stands for it.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Authorities of RDS, which no machine trusts by itself.
const RDS_BUNDLE: &str = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem";

/// What the driver will do about encryption, done before it.
pub(super) async fn encryption(
    mut socket: TcpStream,
    host: String,
    target: Arc<PostgresTarget>,
) -> Tried<()> {
    let mode = target.tls;
    let is_here = socket.peer_addr().is_ok_and(|address| address.ip().is_loopback());
    if matches!(mode, TlsMode::Disable | TlsMode::Allow) {
        return unencrypted("no TLS is asked for", is_here).alone();
    }
    if !speaks_tls(&mut socket).await.map_err(|error| no_postgres(&error))? {
        if mode == TlsMode::Prefer {
            return unencrypted("the server speaks no TLS", is_here).alone();
        }
        return Err(Answer::failed(
            "the server speaks no TLS",
            "its setting `ssl` is off, or something between here and it takes TLS away",
            format!(
                "turn `ssl` on at the server; on a network that nobody else is in: sslmode=disable instead of sslmode={}",
                mode.name()
            ),
        ));
    }
    let trust = trust(&target).await?;
    match tls::shake_hands(socket, &host, &trust).await {
        Ok(handshake) => judge(&handshake.shown, &host, mode, is_here).alone(),
        Err(Unshaken::Broken(error)) => Err(tls::broken(&error, "PostgreSQL")),
        Err(Unshaken::Pem(error)) => Err(bad_pem("sslrootcert, sslcert or sslkey", &error)),
    }
}

fn unencrypted(text: &str, is_here: bool) -> Answer {
    if is_here {
        return Answer::ok(format!("{text}, and nothing leaves this machine"));
    }
    Answer::warning(
        format!("{text}: what is published travels in the clear"),
        "neither side insists on encryption",
        "set sslmode=verify-full in store.url, with sslrootcert=FILE where the server's authority is not a public one",
    )
}

async fn speaks_tls(socket: &mut TcpStream) -> io::Result<bool> {
    socket.write_all(&SSL_REQUEST).await?;
    match socket.read_u8().await? {
        b'S' => Ok(true),
        b'N' => Ok(false),
        other => Err(io::Error::other(format!("it answered 0x{other:02x} to a request for TLS"))),
    }
}

fn no_postgres(error: &io::Error) -> Answer {
    let text = match error.kind() {
        io::ErrorKind::UnexpectedEof => "it hung up without an answer".to_owned(),
        _ => error.to_string(),
    };
    Answer::failed(
        text,
        "what listens there is not PostgreSQL, or it turns away whoever comes from this address",
        "check host and port in store.url; then the server's log",
    )
}

async fn trust(target: &PostgresTarget) -> Result<Trust, Answer> {
    let authorities = match (&target.root_certificates, target.tls) {
        (Some(pem), TlsMode::VerifyCa | TlsMode::VerifyFull) => content(pem, "sslrootcert").await?,
        _ => Vec::new(),
    };
    let own = match &target.client_certificate {
        Some((certificate, key)) => {
            Some((content(certificate, "sslcert").await?, content(key, "sslkey").await?))
        }
        None => None,
    };
    Ok(Trust { authorities, own })
}

async fn content(pem: &Pem, name: &str) -> Result<Vec<u8>, Answer> {
    match pem {
        Pem::Inline(text) => Ok(text.clone().into_bytes()),
        Pem::File(path) => {
            let read = fs::read(path).await;
            read.map_err(|error| bad_pem(name, &format!("{}: {error}", path.display())))
        }
    }
}

fn bad_pem(name: &str, error: &str) -> Answer {
    Answer::failed(
        error,
        format!("the file of {name} is not there, is not this user's to read, or holds no PEM"),
        format!("name a PEM file in {name} of store.url; for RDS: curl -o global-bundle.pem {RDS_BUNDLE}"),
    )
}

/// What the certificate is worth, to this `sslmode`.
fn judge(shown: &Shown, host: &str, mode: TlsMode, is_here: bool) -> Answer {
    let told = shown.in_words();
    let flaw = match (&shown.flaw, mode) {
        (None, _) | (Some(Flaw::OtherName(_)), TlsMode::VerifyCa) => return Answer::ok(told),
        (Some(flaw), _) => flaw,
    };
    let (text, cause) = flaw.in_words(&shown.chain, host);
    let (cause, remedy) = unbelieved(flaw, cause, host);
    if matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull) {
        return Answer::failed(format!("{text}; shown: {told}"), cause, remedy);
    }
    if is_here {
        return Answer::ok(format!("{told}; sslmode={} does not check it", mode.name()));
    }
    Answer::warning(
        format!("{told}; encrypted, but sslmode={} believes whoever answers", mode.name()),
        format!("nobody has asked for a check, which would find: {text}"),
        format!("set sslmode=verify-full; for that: {remedy}"),
    )
}

/// Why the certificate of the host is not to be believed, and what to do.
fn unbelieved(flaw: &Flaw, cause: String, host: &str) -> (String, String) {
    let is_rds = host.ends_with(".rds.amazonaws.com");
    match flaw {
        Flaw::UnknownIssuer | Flaw::NoAuthorities if is_rds => (
            "RDS has authorities of its own, which no machine trusts by itself; AWS publishes them as one file".to_owned(),
            format!("curl -o global-bundle.pem {RDS_BUNDLE}, and in store.url: sslmode=verify-full&sslrootcert=/path/global-bundle.pem"),
        ),
        Flaw::UnknownIssuer => (
            cause,
            "name the authority's certificate in store.url: sslmode=verify-full&sslrootcert=/path/ca.pem".to_owned(),
        ),
        Flaw::NoAuthorities => (
            cause,
            "install the package ca-certificates, or name the authority in store.url: sslrootcert=/path/ca.pem".to_owned(),
        ),
        Flaw::Expired => (
            cause,
            "renew the server's certificate and reload the server (on RDS: rotate it), or set the clock right".to_owned(),
        ),
        Flaw::NotYetValid => (cause, "set the clock right".to_owned()),
        Flaw::OtherName(_) => (
            cause,
            "use a host in store.url that the certificate has; sslmode=verify-ca does not compare names".to_owned(),
        ),
        Flaw::Other(_) => (cause, "look at it with `openssl s_client -starttls postgres -showcerts -connect HOST:PORT`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::step::Outcome;

    const RDS: &str = "top.abc.eu-west-1.rds.amazonaws.com";

    fn judged(flaw: Option<Flaw>, host: &str, mode: TlsMode) -> Answer {
        let shown = Shown { protocol: "TLS 1.3".into(), chain: Vec::new(), flaw };
        judge(&shown, host, mode, false)
    }

    #[test]
    fn the_authorities_of_rds_are_explained() {
        let answer = judged(Some(Flaw::UnknownIssuer), RDS, TlsMode::VerifyFull);
        assert_eq!(answer.outcome, Outcome::Failed);
        assert!(answer.cause.unwrap().starts_with("RDS has authorities of its own"));
        let remedy = answer.remedy.unwrap();
        assert!(
            remedy.contains("/global/global-bundle.pem, and in store.url: sslmode=verify-full&sslrootcert="),
            "{remedy}"
        );
        let answer = judged(Some(Flaw::UnknownIssuer), "db.example", TlsMode::VerifyFull);
        assert!(!answer.remedy.unwrap().contains("rds"));
    }

    #[test]
    fn what_nobody_checks_elsewhere_is_warned_of() {
        let answer = judged(Some(Flaw::UnknownIssuer), RDS, TlsMode::Require);
        assert_eq!(answer.outcome, Outcome::Warning);
        assert!(answer.text.contains("sslmode=require believes whoever answers"), "{}", answer.text);
        assert!(answer.remedy.unwrap().starts_with("set sslmode=verify-full; for that: curl"));
        assert_eq!(judged(None, RDS, TlsMode::Require).outcome, Outcome::Ok);
        assert_eq!(unencrypted("the server speaks no TLS", false).outcome, Outcome::Warning);
    }
}
