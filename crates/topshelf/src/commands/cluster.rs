//! `topshelf cluster`: the processes of a cluster.

use crate::{
    cli::{Executor, Scheduler},
    failure::{Exit, Failure},
    pipeline::CountingWorker,
};
use cluster::{ExecutorSettings, SchedulerSettings, run_executor, run_scheduler};
use std::{sync::Arc, thread};
use tokio::runtime::Handle;

pub(super) async fn scheduler(flags: &Scheduler) -> Result<(), Failure> {
    let settings = SchedulerSettings {
        listen: flags.bind,
        host: flags.host.clone().unwrap_or_else(|| flags.bind.ip().to_string()),
        executor_timeout: flags.executor_timeout,
    };
    run_scheduler(&settings).await.map_err(|error| {
        Failure::explained(Exit::Failed, error)
            .within(format!("no scheduler could be run on {}", flags.bind))
            .help("is the port free, and the address one of this machine?")
    })
}

pub(super) async fn executor(flags: Executor) -> Result<(), Failure> {
    let work_dir = std::path::absolute(&flags.work_dir).map_err(Failure::of)?;
    std::fs::create_dir_all(&work_dir).map_err(|error| {
        Failure::of(error)
            .within(format!("{} cannot be made", work_dir.display()))
            .help("name a folder on a disk with room by --work-dir")
    })?;
    let scheduler = format!("{}:{}", flags.scheduler.0, flags.scheduler.1);
    let settings = ExecutorSettings {
        listen: flags.bind,
        host: flags.host.or_else(|| (!flags.bind.ip().is_unspecified()).then(|| flags.bind.ip().to_string())),
        scheduler: flags.scheduler,
        slots: flags.slots.unwrap_or_else(|| thread::available_parallelism().map_or(1, usize::from)),
        memory_bytes: flags.memory.bytes(),
        work_dir: work_dir.clone(),
    };
    let worker = CountingWorker::new(Handle::current(), work_dir.join("spill"));
    run_executor(&settings, Arc::new(worker)).await.map_err(|error| {
        Failure::explained(Exit::Failed, error)
            .within(format!("no executor of {scheduler} could be run on {}", flags.bind))
            .help("is the scheduler there and may this machine reach it; is the port free?")
    })
}
