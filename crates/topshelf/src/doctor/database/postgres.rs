//! PostgreSQL: name, connection, encryption, login, database, version, writes, migrations, privileges, clock.

use super::{login, rights};
use crate::doctor::{
    clock,
    network::{self, Peer},
    step::{Answer, Examined, Section, Tell, Tried},
    tls::{self, Flaw, Handshake, Trust, Unshaken},
};
use std::{
    io,
    sync::Arc,
    time::{Instant, SystemTime},
};
use store::probe::{Address, Pem, PostgresSession, PostgresTarget, Refusal, Server, TlsMode};
use tokio::{
    fs,
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpStream, UnixStream},
};

/// The oldest version whose SQL is that of the store.
const VERSION_MIN: i32 = 130_000;

/// `SSLRequest` of PostgreSQL's protocol: its length, and the code that stands for it.
const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Authorities of RDS, which no machine trusts by itself.
const RDS_BUNDLE: &str = "https://truststore.pki.rds.amazonaws.com/global/global-bundle.pem";

const STEPS: [&str; 10] = [
    "resolve",
    "connect",
    "tls",
    "login",
    "database",
    "version",
    "writes",
    "migrations",
    "privileges",
    "clock",
];

/// A session that steps hand on to each other.
type Session = Arc<tokio::sync::Mutex<PostgresSession>>;

pub(super) async fn examine(target: PostgresTarget, about: String, tell: Tell<'_>) -> (Section, bool) {
    let is_socket = matches!(target.address, Address::Socket(_));
    let mut steps = STEPS.to_vec();
    steps.retain(|step| !is_socket || !["resolve", "tls"].contains(step));
    let mut examined = Examined::begin("database", about, steps, tell);
    look(&mut examined, Arc::new(target)).await;
    examined.end()
}

async fn look(examined: &mut Examined<'_>, target: Arc<PostgresTarget>) -> Option<()> {
    reach(examined, &target).await?;
    let session = log_in(examined, &target).await?;
    let server = examined.step("version", "ask what it is", version(Arc::clone(&session))).await?;
    examined.step("writes", "ask whether it takes writes", writes(server)).await;
    let who = rights::Who { user: target.user.clone(), database: target.database.clone() };
    let work = rights::migrations(Arc::clone(&session), who.clone());
    let is_current =
        examined.step("migrations", "compare those applied with those of this program", work).await;
    if let Some(true) = is_current {
        let work = rights::privileges(Arc::clone(&session), who);
        examined.step("privileges", "ask what this role may do to each table", work).await;
    } else if is_current.is_some() {
        let told = "whoever makes the tables may do all with them".to_owned();
        let work = async { Answer::ok(told).alone() };
        examined.step("privileges", "ask what this role may do to each table", work).await;
    }
    examined.step("clock", "ask for the server's time", time(session)).await
}

/// Resolves, connects and looks at the encryption.
async fn reach(examined: &mut Examined<'_>, target: &Arc<PostgresTarget>) -> Option<()> {
    let (host, port) = match &target.address {
        Address::Host(host, port) => (host.clone(), *port),
        Address::Socket(path) => {
            let work = socket(path.clone());
            return examined.step("connect", format!("connect to {}", path.display()), work).await;
        }
    };
    let peer = Peer { host: host.clone(), port, named_by: "store.url".to_owned(), what: "PostgreSQL" };
    let addresses =
        examined.step("resolve", format!("look up {host}"), network::resolve(peer.clone())).await?;
    let work = network::connect(peer, addresses);
    let socket = examined.step("connect", format!("connect to port {port}"), work).await?;
    let tried = format!("ask for TLS, as sslmode={} wants it", target.tls.name());
    examined.step("tls", tried, encryption(socket, host, Arc::clone(target))).await
}

async fn socket(path: std::path::PathBuf) -> Tried<()> {
    match UnixStream::connect(&path).await {
        Ok(_) => Answer::ok("connected").alone(),
        Err(error) => Err(Answer::failed(
            error.to_string(),
            "no server of this machine listens there: it is down, or its sockets lie elsewhere",
            "start it, or name its folder in store.url (host=/run/postgresql) or PGHOST; a server elsewhere is named by its host",
        )),
    }
}

/// What the driver will do about encryption, done before it.
async fn encryption(mut socket: TcpStream, host: String, target: Arc<PostgresTarget>) -> Tried<()> {
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
        Ok(handshake) => judge(&handshake, &host, mode, is_here),
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
fn judge(handshake: &Handshake, host: &str, mode: TlsMode, is_here: bool) -> Tried<()> {
    let told = format!("{}: {}", handshake.protocol, handshake.chain_in_words());
    let is_checked = match (&handshake.flaw, mode) {
        (None, _) | (Some(Flaw::OtherName(_)), TlsMode::VerifyCa) => return Answer::ok(told).alone(),
        (Some(_), mode) => matches!(mode, TlsMode::VerifyCa | TlsMode::VerifyFull),
    };
    let flaw = handshake.flaw.as_ref().expect("it has one");
    let (text, cause) = tls::flaw_in_words(flaw, handshake, host);
    let is_rds = host.ends_with(".rds.amazonaws.com");
    if is_checked {
        let (cause, remedy) = unbelieved(flaw, cause, is_rds);
        return Err(Answer::failed(format!("{text}; shown: {told}"), cause, remedy));
    }
    if is_here {
        return Answer::ok(format!("{told}; sslmode={} does not check it", mode.name())).alone();
    }
    let (_, remedy) = unbelieved(flaw, String::new(), is_rds);
    Answer::warning(
        format!("{told}; encrypted, but sslmode={} believes whoever answers", mode.name()),
        format!("nobody has asked for a check, which would find: {text}"),
        format!("set sslmode=verify-full; for that: {remedy}"),
    )
    .alone()
}

fn unbelieved(flaw: &Flaw, cause: String, is_rds: bool) -> (String, String) {
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

/// Logs in; a server tells first whether it believes us, then whether the database is there.
async fn log_in(examined: &mut Examined<'_>, target: &Arc<PostgresTarget>) -> Option<Session> {
    let tried = format!("log in as {}, with {}", target.user, login::password_in_words(target));
    let work = {
        let target = Arc::clone(target);
        async move {
            match target.log_in().await {
                Ok(session) => Ok((Answer::ok("accepted"), Ok(session))),
                Err(refusal) if login::is_about_database(&refusal) => {
                    Ok((Answer::ok("accepted"), Err(refusal)))
                }
                Err(refusal) => Err(login::refused(&target, &refusal)),
            }
        }
    };
    let accepted: Result<PostgresSession, Refusal> = examined.step("login", tried, work).await?;
    let tried = format!("open the database {}", target.database);
    let work = {
        let target = Arc::clone(target);
        async move {
            match accepted {
                Ok(session) => Ok((Answer::ok("it is there"), Arc::new(tokio::sync::Mutex::new(session)))),
                Err(refusal) => Err(login::no_database(&target, &refusal)),
            }
        }
    };
    examined.step("database", tried, work).await
}

/// A question that the server did not answer.
pub(super) fn unanswered(refusal: &Refusal) -> Answer {
    Answer::failed(
        refusal.message.clone(),
        "the server broke off, or refuses this role the question",
        "look at the server's log",
    )
}

async fn version(session: Session) -> Tried<Server> {
    let server = session.lock().await.server().await.map_err(|refusal| unanswered(&refusal))?;
    let told = format!("PostgreSQL {}", server.version);
    // An old one is asked the rest all the same: whoever updates it wants to know.
    let answer = match server.version_number {
        VERSION_MIN.. => Answer::ok(told),
        _ => Answer::failed(
            told,
            "this program needs version 13 or newer",
            "update the server, or use another",
        ),
    };
    Ok((answer, server))
}

async fn writes(server: Server) -> Tried<()> {
    if server.is_replica {
        return Err(Answer::failed(
            "it is a replica, which takes no writes",
            "store.url names a reader: on RDS and Aurora a name with `-ro`, or an instance that is no longer the writer",
            "name the writer's endpoint in store.url; a server of the API alone (`topshelf serve`) may use this one",
        ));
    }
    if server.is_read_only {
        return Err(Answer::failed(
            "transactions may only read",
            "default_transaction_read_only is on for this role, this database or the server (which does so when its disk is full, on some services)",
            "ALTER ROLE … RESET default_transaction_read_only, or the same of the database; check the server's disk",
        ));
    }
    Answer::ok("it is the primary, and takes writes").alone()
}

async fn time(session: Session) -> Tried<()> {
    let (asked, began) = (SystemTime::now(), Instant::now());
    let theirs = session.lock().await.clock().await.map_err(|refusal| unanswered(&refusal))?;
    let reading = clock::Reading { theirs, coarseness: 0., asked, took: began.elapsed() };
    clock::judge("the database", reading).alone()
}
