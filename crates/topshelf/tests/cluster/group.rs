//! A scheduler and its executors, as processes on loopback addresses of their own.

use crate::{scene::Scene, service::Service};
use std::{
    process,
    sync::atomic::{AtomicU8, Ordering},
};

/// Ports are the same for all: each group has an address of its own.
pub(crate) const SCHEDULER_PORT: u16 = 7050;
const EXECUTOR_PORT: u16 = 7060;

/// Rows for some tasks of a mebibyte.
pub(crate) const ROWS: &str = "120000";

pub(crate) struct Group {
    pub(crate) scene: Scene,
    pub(crate) address: String,
    /// Of each process that is started.
    flags: Vec<String>,
    scheduler: Option<Service>,
    executors: Vec<Option<Service>>,
}

impl Group {
    /// A group that is not there yet, in a scene whose nights it is to count.
    pub(crate) fn new() -> Self {
        static GROUPS: AtomicU8 = AtomicU8::new(1);
        let id = process::id();
        let address =
            format!("127.{}.{}.{}", 1 + id / 250 % 250, 1 + id % 250, GROUPS.fetch_add(1, Ordering::Relaxed));
        let mut scene = Scene::new();
        scene.environment("TOPSHELF_CLUSTER__TASK_MIB", "1");
        Self { scene, address, flags: Vec::new(), scheduler: None, executors: Vec::new() }
    }

    /// A scheduler, and so many executors of one slot.
    pub(crate) fn of(executors: usize) -> Self {
        let mut group = Self::new();
        group.start_scheduler();
        (0..executors).for_each(|_| group.start_executor());
        group
    }

    /// Starts each process with these flags, too.
    pub(crate) fn flags(&mut self, flags: &[&str]) {
        self.flags = flags.iter().map(|flag| (*flag).to_owned()).collect();
    }

    pub(crate) fn scheduler_address(&self) -> String {
        format!("{}:{SCHEDULER_PORT}", self.address)
    }

    pub(crate) fn executor_address(&self, number: u16) -> String {
        format!("{}:{}", self.address, EXECUTOR_PORT + number)
    }

    pub(crate) fn start_scheduler(&mut self) {
        self.start_scheduler_of("10s");
    }

    /// A scheduler that takes an executor for lost after such a time.
    pub(crate) fn start_scheduler_of(&mut self, executor_timeout: &str) {
        let bind = self.scheduler_address();
        let args = ["cluster", "scheduler", "--bind", &bind, "--executor-timeout", executor_timeout];
        let mut scheduler = Service::start(&self.scene, &[&args[..], &self.flags_of_all()].concat());
        scheduler.line_with("the scheduler listens");
        self.scheduler = Some(scheduler);
    }

    fn flags_of_all(&self) -> Vec<&str> {
        self.flags.iter().map(String::as_str).collect()
    }

    pub(crate) fn start_executor(&mut self) {
        self.start_executor_of("256MiB");
    }

    /// An executor of so much memory.
    pub(crate) fn start_executor_of(&mut self, memory: &str) {
        self.start_executor_of_slots("1", memory);
    }

    /// An executor of so many slots, and so much memory for all of them.
    pub(crate) fn start_executor_of_slots(&mut self, slots: &str, memory: &str) {
        let mut executor = self.executor_of((slots, memory), &self.flags_of_all());
        executor.line_with("the executor listens");
        self.executors.push(Some(executor));
    }

    /// The next executor, which may not come far.
    pub(crate) fn executor(&self, flags: &[&str]) -> Service {
        self.executor_of(("1", "256MiB"), flags)
    }

    fn executor_of(&self, (slots, memory): (&str, &str), flags: &[&str]) -> Service {
        let number = u16::try_from(self.executors.len()).unwrap();
        let (scheduler, bind) = (self.scheduler_address(), self.executor_address(number));
        let folder = format!("executor-{number}");
        let always = ["cluster", "executor", "--scheduler", &scheduler, "--bind", &bind];
        let sizes = ["--work-dir", &folder, "--slots", slots, "--memory", memory];
        Service::start(&self.scene, &[&always[..], &sizes, flags].concat())
    }

    /// Tells a process to end, and gives its exit code.
    pub(crate) fn stop_executor(&mut self, number: usize, signal: &str) -> Option<i32> {
        self.executors[number].take().unwrap().stop(signal)
    }

    pub(crate) fn stop_scheduler(&mut self, signal: &str) -> Option<i32> {
        self.scheduler.take().unwrap().stop(signal)
    }

    /// Ends a process as a machine that is lost ends it.
    pub(crate) fn kill_executor(&mut self, number: usize) {
        self.executors[number].take().unwrap().signal("KILL");
    }

    /// Lets a process be there and do nothing.
    pub(crate) fn executor_stands_still(&mut self, number: usize) {
        self.executors[number].as_mut().unwrap().signal("STOP");
    }

    pub(crate) fn scheduler_stands_still(&mut self) {
        self.scheduler.as_mut().unwrap().signal("STOP");
    }

    /// The scheduler says a line that holds the text.
    pub(crate) fn scheduler_says(&mut self, text: &str) -> String {
        self.scheduler.as_mut().unwrap().line_with(text)
    }

    pub(crate) fn kill_scheduler(&mut self) {
        self.scheduler.take().unwrap().signal("KILL");
    }

    /// The executor says a line that holds the text.
    pub(crate) fn executor_says(&mut self, number: usize, text: &str) {
        self.executors[number].as_mut().unwrap().line_with(text);
    }

    pub(crate) fn url(&self) -> String {
        format!("df://{}:{SCHEDULER_PORT}", self.address)
    }

    /// Reproducible logs of a day.
    pub(crate) fn generate(&self, more: &[&str]) {
        self.scene.remove("logs");
        let args = [
            "generate",
            "--out",
            "logs",
            "--rows",
            ROWS,
            "--advertisers",
            "30",
            "--products",
            "400",
            "--first-day",
            "2024-11-20",
        ];
        self.scene.end_well(&[&args[..], more].concat());
    }
}
