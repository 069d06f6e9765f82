//! `serve` and `up`: the API, alone or with the nightly scheduler beside it.

use crate::{failure::Failure, pipeline::Night, progress::Progress, scheduler};
use api::{Options, ServedStore, Server};
use domain::ModelName;
use std::time::Duration;
use store::Store;
use tokio::{
    runtime::Builder,
    signal::unix::{SignalKind, signal},
};
use tracing::{info, warn};

/// How the configuration says to serve.
pub(super) fn options(night: &Night) -> Options {
    let models = ranking::MODELS.iter().map(|model| ModelName::new(model.name())).collect();
    let serve = &night.config.serve;
    Options {
        history_days_kept: serve.history_days,
        poll: Duration::from_secs(serve.poll_seconds),
        ..Options::new(serve.listen.clone(), models)
    }
}

/// Serves what is published until a stop signal.
pub(super) async fn serve(night: Night) -> Result<(), Failure> {
    let server = bind(&night).await?;
    let stopped = stopped();
    info!(address = %server.address(), "serving");
    server.run(stopped).await.map_err(Failure::of)
}

/// Serves, and runs every night at the scheduled time, until a stop signal.
pub(super) async fn up(night: Night) -> Result<(), Failure> {
    let server = bind(&night).await?;
    let stopped = stopped();
    info!(address = %server.address(), "serving");
    // What the night will need is better missed in the evening.
    if let Err(failure) = night.input() {
        warn!(error = failure.chain(), "the logs cannot be read; the next night fails if this stays so");
    }
    // Nights count and encode for seconds on end: a runtime of their own keeps them out of the server's way.
    let nights = Builder::new_multi_thread().enable_all().worker_threads(2).build().map_err(Failure::of)?;
    // The thread is never joined and the runtime never shut down, which would panic under a timer. A run
    // under way ends with the process: what it has not published by then, readers never see.
    std::thread::spawn(move || {
        nights.block_on(scheduler::run_nightly(Night { progress: Progress::none(), ..night }))
    });
    server.run(stopped).await.map_err(Failure::of)
}

/// A server of what is published, listening already.
pub(super) async fn bind(night: &Night) -> Result<Server, Failure> {
    let schedule = night.schedule.clone();
    let store = store(night).await?;
    Server::bind(options(night), store, move |now| schedule.promise(now))
        .await
        .map_err(|error| Failure::of(error).help("--listen 127.0.0.1:0 takes a free port"))
}

/// The store, migrated if that can be. A database server that does not answer yet keeps no API from
/// starting: it is tried again and again.
async fn store(night: &Night) -> Result<ServedStore, Failure> {
    let url = &night.config.store.url;
    match Store::open(url).await {
        Ok(store) => {
            if let Err(error) = store.migrate().await {
                warn!(%error, "could not migrate the database; serving what is there");
            }
            Ok(store.into())
        }
        Err(error) if error.is_permanent() => Err(error.into()),
        Err(error) => {
            let failure = Failure::of(error);
            warn!(error = failure.chain(), "the database does not answer; trying again");
            Ok(ServedStore::Url(url.clone()))
        }
    }
}

/// Completes at SIGTERM or at Ctrl-C, from the call on: a signal that comes before it is awaited counts.
pub(super) fn stopped() -> impl Future<Output = ()> + Send + 'static {
    let listen = |kind| signal(kind).expect("the runtime has signals");
    let (mut terminated, mut interrupted) =
        (listen(SignalKind::terminate()), listen(SignalKind::interrupt()));
    async move {
        tokio::select! {
            _ = interrupted.recv() => {}
            _ = terminated.recv() => {}
        }
        info!("stopping");
    }
}
