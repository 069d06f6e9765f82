//! `serve`, `schedule` and `up`: the API, the nightly scheduler, or one beside the other.

use super::stop;
#[cfg(feature = "otel")]
use crate::traces;
use crate::{
    config::{self, Schedule, Serve},
    failure::{Exit, Failure},
    halt::Halt,
    logging,
    pipeline::Night,
    progress::Progress,
    scheduler,
};
use api::{Keys, Limits, Networks, Options, ServedStore, Server, ServerError, TlsFiles};
use domain::ModelName;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::{
    path::{Path, PathBuf},
    time::Duration,
};
use store::Store;
use tokio::{runtime::Builder, sync::oneshot, time::timeout};
use tracing::{info, warn};

/// How long a night under way may take to end when all does: less than what container services wait.
const NIGHT_ENDS_WITHIN: Duration = Duration::from_secs(25);

/// Files beside those of connections: operators' connections, the database's, what is kept on disk.
const FILES_BESIDE_CONNECTIONS: u64 = 356;

/// How long a server waits for its database before it listens without.
const DATABASE_TIME: Duration = Duration::from_secs(2);

/// How long a server waits for its database to be migrated before it listens all the same.
const MIGRATION_TIME: Duration = Duration::from_secs(10);

/// How the configuration says to serve.
pub(super) fn options(night: &Night) -> Options {
    let models = ranking::MODELS.iter().map(|model| ModelName::new(model.name())).collect();
    let serve = &night.config.serve;
    Options {
        history_days_kept: serve.history_days,
        poll: Duration::from_secs(serve.poll_seconds),
        prepared_bytes_max: serve.prepared_mib.saturating_mul(1 << 20),
        keys: match serve.keys {
            config::Keys::Auto => Keys::Auto,
            config::Keys::Required => Keys::Required,
            config::Keys::Off => Keys::Off,
        },
        operator_listen: Some(serve.operator_listen.clone()).filter(|listen| !listen.is_empty()),
        tls: (!serve.tls_certificate.is_empty())
            .then(|| TlsFiles::new(&serve.tls_certificate, &serve.tls_key)),
        limits: limits(serve),
        trusted_proxies: Networks::parse(&serve.trusted_proxies).expect("they were checked when read"),
        snapshot_dir: Some(PathBuf::from(&serve.snapshot_dir)).filter(|dir| !dir.as_os_str().is_empty()),
        access_log: serve.access_log,
        dropped_lines: logging::dropped_lines(),
        #[cfg(feature = "otel")]
        tracer: traces::tracer(),
        ..Options::new(serve.listen.clone(), models)
    }
}

fn limits(serve: &Serve) -> Limits {
    Limits {
        connections_max: serve.connections_max,
        connections_per_address_max: serve.connections_per_address_max,
        head_bytes_max: serve.head_kib_max << 10,
        path_bytes_max: serve.path_bytes_max,
        headers_max: serve.headers_max,
        head_time: Duration::from_secs(serve.head_seconds),
        idle_time: Duration::from_secs(serve.idle_seconds),
        body_time: Duration::from_secs(serve.body_seconds),
        request_time: Duration::from_secs(serve.request_seconds),
        write_time: Duration::from_secs(serve.write_seconds),
        bodies_bytes_max: serve.bodies_mib << 20,
        requests_per_second: serve.requests_per_second,
        requests_burst: serve.requests_burst,
    }
}

/// Serves what is published until a stop signal.
pub(super) async fn serve(night: Night) -> Result<(), Failure> {
    let Some(server) = listening(&night).await? else { return Ok(()) };
    let drain = drain(&night);
    server.run(stopped(night.halt, drain)).await;
    Ok(())
}

/// Runs every night at the scheduled time, until a stop signal.
pub(super) async fn schedule(night: Night) -> Result<(), Failure> {
    check_marker(&night.config.schedule)?;
    stop::at_signal(night.halt.clone());
    // What is no database is told at once; one that does not answer yet is waited for.
    let Some(_) = unless_stopped(&night.halt, store(&night)).await? else { return Ok(()) };
    let halt = night.halt.clone();
    held(nights(night)?, &halt).await
}

/// Serves, and runs every night at the scheduled time, until a stop signal.
pub(super) async fn up(night: Night) -> Result<(), Failure> {
    check_marker(&night.config.schedule)?;
    let Some(server) = listening(&night).await? else { return Ok(()) };
    let (halt, drain) = (night.halt.clone(), drain(&night));
    let nights = nights(night)?;
    let ((), held) = tokio::join!(server.run(stopped(halt.clone(), drain)), held(nights, &halt));
    held
}

/// Whoever names a marker means nights to wait for it.
fn check_marker(schedule: &Schedule) -> Result<(), Failure> {
    if schedule.input_marker.is_empty() || schedule.wait_for_input {
        return Ok(());
    }
    let message = "schedule.input_marker is set, but the scheduler does not wait for it";
    Err(Failure::new(Exit::Usage, message)
        .help("set schedule.wait_for_input = true, or take the marker away"))
}

/// A server that listens and is told of; none when it was told to stop before.
async fn listening(night: &Night) -> Result<Option<Server>, Failure> {
    // First of all: process number 1 of a container knows no signal that it does not listen to.
    stop::at_signal(night.halt.clone());
    let server = unless_stopped(&night.halt, bind(night)).await?;
    server.iter().for_each(tell);
    Ok(server)
}

/// What comes out of `starting`; nothing when the work is told to stop meanwhile.
async fn unless_stopped<T>(
    halt: &Halt,
    starting: impl Future<Output = Result<T, Failure>>,
) -> Result<Option<T>, Failure> {
    tokio::select! {
        started = starting => started.map(Some),
        _ = halt.until_stopped() => Ok(None),
    }
}

/// Waits until the nights have ended, for so long when they are told to.
async fn held(mut nights: oneshot::Receiver<()>, halt: &Halt) -> Result<(), Failure> {
    tokio::select! {
        ended = &mut nights => {
            // Nobody told them to.
            halt.stop("the scheduler has ended");
            return match ended {
                Ok(()) => Ok(()),
                Err(_) => Err(Failure::new(Exit::Failed, "the scheduler broke off: this is a defect, its message is above")),
            };
        }
        _ = halt.until_stopped() => (),
    }
    if timeout(NIGHT_ENDS_WITHIN, nights).await.is_err() {
        warn!(
            "the scheduler did not end in time; a run that is still under way is told as died by the next one"
        );
    }
    Ok(())
}

/// Completes when the work is told to stop, with the time for which requests are still accepted: `drain`, but none for
/// somebody who waits at a terminal.
pub(super) async fn stopped(halt: Halt, drain: Duration) -> Duration {
    let stopped = halt.until_stopped().await;
    if stopped.is_by(stop::CTRL_C) { Duration::ZERO } else { drain }
}

fn drain(night: &Night) -> Duration {
    Duration::from_secs(night.config.serve.drain_seconds)
}

/// Begins the nights, each at its time; what is returned completes when they have ended.
fn nights(night: Night) -> Result<oneshot::Receiver<()>, Failure> {
    // What the night will need is better missed in the evening.
    if let Err(failure) = night.input() {
        warn!(error = failure.chain(), "the logs cannot be read; the next night fails if this stays so");
    }
    // Nights count and encode for seconds on end: a runtime of their own keeps them out of the server's way.
    let nights = Builder::new_multi_thread().enable_all().worker_threads(2).build().map_err(Failure::of)?;
    let (ending, ended) = oneshot::channel();
    // The thread is never joined and the runtime never shut down, which would panic under a timer.
    std::thread::spawn(move || {
        nights.block_on(scheduler::run_nightly(Night { progress: Progress::none(), ..night }));
        let _ = ending.send(()); // nobody waits when the process ends for another reason
        std::mem::forget(nights);
    });
    Ok(ended)
}

/// Lets the process have as many open files as it may: each connection is one. Warns when that is too few.
fn take_files(serve: &Serve) {
    let limit = getrlimit(Resource::Nofile);
    let most = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if let Err(error) = setrlimit(Resource::Nofile, most) {
        warn!(%error, "could not raise the number of files that may be open");
    }
    let files = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let needed = serve.connections_max as u64 + FILES_BESIDE_CONNECTIONS;
    if files < needed {
        warn!(
            files,
            needed,
            "there may be fewer files open than serve.connections_max needs: raise `ulimit -n` or LimitNOFILE="
        );
    }
}

/// A server of what is published, listening already.
pub(super) async fn bind(night: &Night) -> Result<Server, Failure> {
    take_files(&night.config.serve);
    let schedule = night.schedule.clone();
    let store = store(night).await?;
    Server::bind(options(night), store, move |now| schedule.promise(now)).await.map_err(|error| {
        let help = match &error {
            ServerError::Listen { .. } => "--listen 127.0.0.1:0 takes a free port",
            ServerError::Tls(_) => {
                "`openssl x509 -in FILE -noout -subject -enddate` tells what a certificate is"
            }
        };
        Failure::of(error).help(help)
    })
}

/// Says where.
fn tell(server: &Server) {
    if let Some(address) = server.operator_address() {
        info!(%address, "listening for operators");
    }
    info!(url = server.url(), address = %server.address(), "serving");
}

/// The store, migrated if that can be. A database server that does not answer yet keeps no API from
/// starting: it is tried again and again.
async fn store(night: &Night) -> Result<ServedStore, Failure> {
    let database = night.database()?;
    let opened = timeout(DATABASE_TIME, Store::open(&database)).await;
    let Ok(opened) = opened else {
        warn!("the database does not answer; trying again");
        return Ok(ServedStore::Closed(database));
    };
    match opened {
        Ok(store) => {
            match timeout(MIGRATION_TIME, store.migrate()).await {
                Ok(Ok(())) => (),
                Ok(Err(error)) => warn!(%error, "could not migrate the database; serving what is there"),
                Err(_) => warn!("migrating the database takes long; serving what is there"),
            }
            Ok(store.into())
        }
        Err(error) if error.is_permanent() && !has_kept(night) => Err(error.into()),
        Err(error) => {
            let failure = Failure::of(error);
            warn!(error = failure.chain(), "the database does not answer; trying again");
            Ok(ServedStore::Closed(database))
        }
    }
}

/// Whether something was kept on disk that may be served without the database.
fn has_kept(night: &Night) -> bool {
    let directory = &night.config.serve.snapshot_dir;
    !directory.is_empty() && Path::new(directory).join("manifest").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each has a value of its own here, so that none is taken for another.
    #[test]
    fn each_limit_of_the_configuration_is_the_servers() {
        let limits = limits(&Serve {
            connections_max: 1,
            connections_per_address_max: 2,
            head_kib_max: 3,
            path_bytes_max: 4,
            headers_max: 5,
            head_seconds: 6,
            idle_seconds: 7,
            body_seconds: 8,
            request_seconds: 9,
            write_seconds: 10,
            bodies_mib: 11,
            requests_per_second: 12,
            requests_burst: 13,
            ..Serve::default()
        });
        assert_eq!((limits.connections_max, limits.connections_per_address_max), (1, 2));
        assert_eq!((limits.head_bytes_max, limits.path_bytes_max, limits.headers_max), (3 << 10, 4, 5));
        let Limits { head_time, idle_time, body_time, request_time, write_time, .. } = limits;
        let times = [head_time, idle_time, body_time, request_time, write_time];
        assert_eq!(times.map(|time| time.as_secs()), [6, 7, 8, 9, 10]);
        assert_eq!(limits.bodies_bytes_max, 11 << 20);
        assert_eq!((limits.requests_per_second, limits.requests_burst), (12, 13));
    }

    #[test]
    fn the_usual_limits_are_those_that_the_apis_document_tells_of() {
        assert_eq!(format!("{:?}", limits(&Serve::default())), format!("{:?}", Limits::default()));
    }
}
