//! A job that is given up is given up by its executors, too.

use crate::group::Group;
use cluster::{
    Bytes, ClusterError, ExecutorSettings, Give, Job, Peer, Ranges, Room, SchedulerSettings, Sums, Transport,
    Worker, run_executor, run_job, run_scheduler,
};
use std::{
    convert::Infallible,
    future::pending,
    io,
    sync::{Arc, Mutex, mpsc},
    time::Duration,
};

/// Gives counts for as long as somebody takes them.
#[derive(Debug)]
struct Endless(Mutex<mpsc::Sender<()>>);

impl Worker for Endless {
    fn work(&self, _: &[u8], _: &[u8], _: Room, give: &mut Give<'_>) -> io::Result<Vec<u8>> {
        loop {
            if let Err(error) = give(0, b"product", [1, 0, 0]) {
                self.0.lock().unwrap().send(()).unwrap();
                return Err(error);
            }
        }
    }

    fn keep(&self, _: &[u8], _: &mut dyn Sums, _: &mut Give<'_>) -> io::Result<Vec<u8>> {
        unreachable!("nothing is kept")
    }
}

#[test]
fn tasks_of_a_job_that_is_given_up_end() {
    let group = Group::new();
    let transport = Transport::default();
    let scheduler = Peer::new(group.scheduler_address(), transport.clone());
    let settings = SchedulerSettings {
        listen: group.scheduler_address().parse().unwrap(),
        host: group.address.clone(),
        executor_timeout: Duration::from_secs(20),
        transport,
    };
    let of_executor = ExecutorSettings {
        listen: group.executor_address(0).parse().unwrap(),
        host: Some(group.address.clone()),
        scheduler: scheduler.clone(),
        slots: 1,
        memory_bytes: 64 << 20,
        shuffle_dir: group.scene.path("shuffle"),
        give_up_after: None,
    };
    let (sender, ended) = mpsc::channel();
    let worker = Arc::new(Endless(Mutex::new(sender)));
    let job = Job {
        name: "endless".to_owned(),
        shared: Bytes::new(),
        // Two of each, so that rows are shuffled.
        tasks: vec![Bytes::from_static(b"one"), Bytes::from_static(b"another")],
        ranges: Ranges::cut_at(vec![(1, Bytes::new())]),
        keeps: false,
        deadline: Duration::from_secs(3),
    };
    let runtime =
        tokio::runtime::Builder::new_multi_thread().thread_stack_size(32 << 20).enable_all().build();
    let runtime = runtime.unwrap();
    runtime.spawn(async move { run_scheduler(&settings, pending()).await.unwrap() });
    runtime.spawn(async move { run_executor(&of_executor, worker, pending()).await.unwrap() });
    let done = runtime.block_on(async {
        // The scheduler may need a moment to be there.
        loop {
            match run_job(&scheduler, job.clone(), |_| Ok::<_, Infallible>(())).await {
                Err(ClusterError::Unreachable { .. }) => tokio::time::sleep(Duration::from_millis(20)).await,
                done => break done,
            }
        }
    });
    assert!(matches!(done, Err(ClusterError::Deadline { .. })), "{done:?}");
    ended.recv_timeout(Duration::from_secs(20)).expect("the task has ended");
    runtime.shutdown_background();
}
