//! `topshelf cluster`: the processes of a cluster.

use super::stop;
use crate::{
    cli::{Cluster, Executor, Global, Scheduler, Tls},
    failure::{Exit, Failure},
    halt::Halt,
    pipeline::CountingWorker,
};
use cluster::{
    ExecutorSettings, Peer, ProcessError, SchedulerSettings, TlsFiles, Transport, run_executor, run_scheduler,
};
use std::{
    fs::{self, File, TryLockError},
    path::Path,
    sync::Arc,
    thread,
};
use tokio::runtime::Handle;

pub(super) async fn cluster(command: Cluster, global: &Global) -> Result<(), Failure> {
    refuse_keys(&command, global)?;
    match command {
        Cluster::Scheduler(flags) => scheduler(&flags).await,
        Cluster::Executor(flags) => executor(flags).await,
    }
}

/// Whoever gives a flag that means nothing here believes that it does.
fn refuse_keys(command: &Cluster, global: &Global) -> Result<(), Failure> {
    let flags = [
        ("--config", global.config.is_some()),
        ("--input", global.input.is_some()),
        ("--store", global.store.is_some()),
        ("--lake", global.lake.is_some()),
        ("--cluster", global.cluster.is_some()),
        ("--listen", global.listen.is_some()),
        ("--json", global.json),
    ];
    let Some((flag, _)) = flags.into_iter().find(|(_, is_given)| *is_given) else { return Ok(()) };
    let (name, help) = match command {
        Cluster::Scheduler(_) => ("scheduler", "the address to listen on is --bind"),
        Cluster::Executor(_) => ("executor", "its scheduler is --scheduler, the address to listen on --bind"),
    };
    let message = format!("{flag} means nothing to `topshelf cluster {name}`");
    Err(Failure::new(Exit::Usage, message).help(format!(
        "logs, lake and configuration are those of the night that counts, which tells executors of them; {help}"
    )))
}

async fn scheduler(flags: &Scheduler) -> Result<(), Failure> {
    let settings = SchedulerSettings {
        listen: flags.bind,
        host: flags.host.clone().unwrap_or_else(|| flags.bind.ip().to_string()),
        executor_timeout: flags.executor_timeout,
        transport: transport(&flags.tls)?,
    };
    let halt = Halt::new();
    stop::at_signal(halt.clone());
    run_scheduler(&settings, stopped(&halt)).await.map_err(|error| explain(error, "scheduler"))
}

async fn executor(flags: Executor) -> Result<(), Failure> {
    let halt = Halt::new();
    stop::at_signal(halt.clone());
    let transport = transport(&flags.tls)?;
    let slots = flags.slots.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from));
    let memory_bytes = enough_memory(flags.memory.bytes(), slots)?;
    let work_dir = std::path::absolute(&flags.work_dir).map_err(Failure::of)?;
    let _lock = lock(&work_dir)?;
    let (host, port) = &flags.scheduler;
    let settings = ExecutorSettings {
        listen: flags.bind,
        host: flags.host.or_else(|| (!flags.bind.ip().is_unspecified()).then(|| flags.bind.ip().to_string())),
        scheduler: Peer::new(format!("{host}:{port}"), transport),
        slots,
        memory_bytes,
        // All in it is deleted: it is called as nothing of others is.
        shuffle_dir: work_dir.join("topshelf-shuffle"),
        give_up_after: flags.give_up_after,
    };
    let spill = work_dir.join("spill");
    let worker = |name: &str| Arc::new(CountingWorker::new(name, Handle::current(), spill)) as _;
    let done = run_executor(&settings, worker, stopped(&halt)).await;
    done.map_err(|error| explain(error, "executor"))
}

/// With less for each slot the engine cannot sort, whatever there is to sort.
const SLOT_MEMORY_MIN_BYTES: u64 = 16 << 20;

fn enough_memory(memory_bytes: u64, slots: usize) -> Result<u64, Failure> {
    let share = memory_bytes / slots.max(1) as u64;
    if share >= SLOT_MEMORY_MIN_BYTES {
        return Ok(memory_bytes);
    }
    let message = format!(
        "{memory_bytes} bytes of memory are {share} for each of {slots} slots, which is too little for any task"
    );
    Err(Failure::new(Exit::Usage, message)
        .help("give each slot 16MiB at least, and better a gibibyte: more `--memory`, or fewer `--slots`"))
}

async fn stopped(halt: &Halt) {
    drop(halt.until_stopped().await);
}

/// What a process shows, and the authority of all.
const TLS_FLAGS: [&str; 3] = ["--tls-cert", "--tls-key", "--tls-ca"];

fn transport(flags: &Tls) -> Result<Transport, Failure> {
    let (Some(certificate), Some(key), Some(authority)) = (&flags.tls_cert, &flags.tls_key, &flags.tls_ca)
    else {
        return Ok(Transport::default());
    };
    let (certificate, key, authority) = (certificate.clone(), key.clone(), authority.clone());
    Transport::tls(&TlsFiles { certificate, key, authority }).map_err(|error| {
        let help = error.remedy(TLS_FLAGS);
        Failure::explained(Exit::Usage, error).help(help)
    })
}

/// The folder is this process' own for as long as the file is open.
fn lock(work_dir: &Path) -> Result<File, Failure> {
    let unusable = |error| {
        Failure::of(error)
            .within(format!("{} cannot be used", work_dir.display()))
            .help("name a folder on a disk with room by --work-dir")
    };
    fs::create_dir_all(work_dir).map_err(unusable)?;
    let file = File::create(work_dir.join("topshelf-executor.lock")).map_err(unusable)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            let message = format!("another executor works in {}", work_dir.display());
            Err(Failure::new(Exit::Failed, message).help("give each a folder of its own by --work-dir"))
        }
        Err(TryLockError::Error(error)) => Err(unusable(error)),
    }
}

fn explain(error: ProcessError, process: &str) -> Failure {
    let of_tls = match &error {
        ProcessError::GivenUp { source: Some(source), .. } => source.remedy_of_tls(TLS_FLAGS),
        _ => None,
    };
    let help = match &error {
        ProcessError::Listen { .. } | ProcessError::Server { .. } => {
            "is the port free, and the address one of this machine?"
        }
        ProcessError::GivenUp { .. } => {
            "is `topshelf cluster scheduler` running there, and may this machine reach it?"
        }
        ProcessError::Certificate { .. } => {
            "--tls-cert needs one for the host by which others call it: that of --host, or of --bind"
        }
        ProcessError::Folder(_) => "name a folder on a disk with room by --work-dir",
        ProcessError::Engine(_) => "the log tells more",
    };
    let help = of_tls.unwrap_or_else(|| help.to_owned());
    Failure::explained(Exit::Failed, error).within(format!("the {process} has ended")).help(help)
}
