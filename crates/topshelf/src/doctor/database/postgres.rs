//! PostgreSQL: name, connection, encryption, login, database, version, writes, migrations, privileges, clock.

use super::{encryption::encryption, keeper::Keeper, login, rights};
use crate::doctor::{
    clock,
    network::{self, Peer},
    step::{Answer, Examined, Section, Tell, Tried},
};
use std::{
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};
use store::probe::{Address, PostgresSession, PostgresTarget, Refusal, Server};
use tokio::{net::UnixStream, sync::Mutex};

/// The oldest version whose SQL is that of the store.
const VERSION_MIN: i32 = 130_000;

/// A night waits no longer for a statement. The largest publications come to a few minutes.
const STATEMENT_TIME_MAX: Duration = Duration::from_secs(15 * 60);

const STEPS: [&str; 11] = [
    "resolve",
    "connect",
    "tls",
    "password",
    "login",
    "database",
    "version",
    "writes",
    "migrations",
    "privileges",
    "clock",
];

/// A session that steps hand on to each other.
type Session = Arc<Mutex<PostgresSession>>;

pub(super) async fn examine(
    target: PostgresTarget,
    keeper: Option<Keeper>,
    about: String,
    tell: Tell<'_>,
) -> (Section, bool) {
    let is_socket = matches!(target.address, Address::Socket(_));
    let mut steps = STEPS.to_vec();
    steps.retain(|step| !is_socket || !["resolve", "tls"].contains(step));
    steps.retain(|step| keeper.is_some() || *step != "password");
    let mut examined = Examined::begin("database", about, steps, tell);
    look(&mut examined, target, keeper).await;
    examined.end()
}

async fn look(examined: &mut Examined<'_>, target: PostgresTarget, keeper: Option<Keeper>) -> Option<()> {
    let target = Arc::new(target);
    reach(examined, &target).await?;
    let mut target = Arc::into_inner(target)?;
    if let Some(keeper) = keeper {
        let login =
            examined.step("password", keeper.tried.clone(), Keeper::ask(keeper.credentials())).await?;
        target = target.with_login(&login, keeper.kept);
    }
    let target = Arc::new(target);
    let session = log_in(examined, &target).await?;
    let server = examined.step("version", "ask what it is", version(Arc::clone(&session))).await?;
    let user = target.user.clone();
    examined.step("writes", "ask whether it takes writes, and for how long", writes(server, user)).await;
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

async fn socket(path: PathBuf) -> Tried<()> {
    match UnixStream::connect(&path).await {
        Ok(_) => Answer::ok("connected").alone(),
        Err(error) => Err(Answer::failed(
            error.to_string(),
            "no server of this machine listens there: it is down, or its sockets lie elsewhere",
            "start it, or name its folder in store.url (host=/run/postgresql) or PGHOST; a server elsewhere is named by its host",
        )),
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
                Ok(session) => Ok((Answer::ok("it is there"), Arc::new(Mutex::new(session)))),
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

async fn writes(server: Server, user: String) -> Tried<()> {
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
    let told = "it is the primary, and takes writes";
    match server.statement_timeout.filter(|timeout| *timeout < STATEMENT_TIME_MAX) {
        None => Answer::ok(told).alone(),
        Some(timeout) => Answer::warning(
            format!("{told}, but ends a statement after {timeout:?}"),
            "statement_timeout is set for this role, this database or the server; a large day is copied in by one statement, \
             which takes minutes, and a night that is ended so fails",
            format!("ALTER ROLE {} SET statement_timeout = 0", login::quoted(&user)),
        )
        .alone(),
    }
}

async fn time(session: Session) -> Tried<()> {
    let (asked, began) = (SystemTime::now(), Instant::now());
    let theirs = session.lock().await.clock().await.map_err(|refusal| unanswered(&refusal))?;
    let reading = clock::Reading { theirs, coarseness: 0., asked, took: began.elapsed() };
    clock::judge("the database", reading).alone()
}
