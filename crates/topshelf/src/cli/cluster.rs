//! Flags of the commands that make a cluster.

use super::time;
use crate::{config, memory::MemoryLimit};
use clap::{Args, Subcommand};
use std::{
    net::{Ipv6Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

/// What a process shows of itself by TLS, and whom it lets in.
#[derive(Debug, Args)]
pub struct Tls {
    /// Certificate that this process shows, in PEM, for connections by mutual TLS; with it come the two below
    #[arg(long, value_name = "FILE", requires_all = ["tls_key", "tls_ca"])]
    pub tls_cert: Option<PathBuf>,
    /// The certificate's private key, in PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_ca"])]
    pub tls_key: Option<PathBuf>,
    /// Authority that has signed the certificates of all of the cluster, in PEM
    #[arg(long, value_name = "FILE", requires_all = ["tls_cert", "tls_key"])]
    pub tls_ca: Option<PathBuf>,
}

/// Commands that make a cluster.
#[derive(Debug, Subcommand)]
pub enum Cluster {
    /// Plan the jobs of nights and hand out their tasks; one of a cluster
    #[command(
        after_help = "Example:\n  topshelf cluster scheduler --bind 10.0.3.7:50050\n\nWhoever reaches the port may run jobs: leave it in a private network, or say --tls-cert, --tls-key and --tls-ca. What is\nunder way is in memory alone; a night whose scheduler is lost begins a new job."
    )]
    Scheduler(Scheduler),
    /// Count for nights; as many of a cluster as there are machines
    #[command(
        after_help = "Example:\n  topshelf cluster executor --scheduler 10.0.3.7:50050 --bind 10.0.3.8:50051\n\nIt reads the logs and writes counts to the lake itself, with credentials of its own. Other executors, and whoever runs the night, fetch from its port."
    )]
    Executor(Executor),
}

/// Flags of `cluster scheduler`.
#[derive(Debug, Args)]
pub struct Scheduler {
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50050", value_parser = address)]
    pub bind: SocketAddr,
    /// What executors and nights call this host [default: that of --bind]
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub host: Option<String>,
    /// For how long an executor may be silent before others do its tasks
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = silence)]
    pub executor_timeout: Duration,
    /// What it shows of itself, and whom it lets in.
    #[command(flatten)]
    pub tls: Tls,
}

/// Flags of `cluster executor`.
#[derive(Debug, Args)]
pub struct Executor {
    /// Host and port of the scheduler
    #[arg(long, value_name = "HOST:PORT", value_parser = host_and_port)]
    pub scheduler: (String, u16),
    /// Address to listen on
    #[arg(long, value_name = "ADDR", default_value = "127.0.0.1:50051", value_parser = address)]
    pub bind: SocketAddr,
    /// What others call this host [default: that of --bind, or the address by which it reaches the scheduler]
    #[arg(long, value_name = "HOST", value_parser = host)]
    pub host: Option<String>,
    /// Tasks at a time [default: the machine's processors]
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true, value_parser = slots)]
    pub slots: Option<usize>,
    /// Memory of all tasks together, such as 4GiB [default: half of the machine's]
    #[arg(long, value_name = "BYTES", default_value = "auto", value_parser = memory)]
    pub memory: MemoryLimit,
    /// Folder of its own for what tasks gave, and for what does not fit in memory
    #[arg(long, value_name = "DIR", default_value = "topshelf-data/executor")]
    pub work_dir: PathBuf,
    /// Ends, with exit code 1, once the scheduler was not reached for so long [default: waits for ever]
    #[arg(long, value_name = "TIME", value_parser = give_up)]
    pub give_up_after: Option<Duration>,
    /// What it shows of itself, and whom it lets in.
    #[command(flatten)]
    pub tls: Tls,
}

/// The engine's executors tell that they are there by asking for work, and while they have no room for more, every five
/// seconds.
const SILENCE_MIN: Duration = Duration::from_secs(10);

fn silence(text: &str) -> Result<Duration, String> {
    match time(text)? {
        silence if silence >= SILENCE_MIN => Ok(silence),
        _ => Err("an executor that works tells every 5 s that it is there: give it 10s at least".to_owned()),
    }
}

fn give_up(text: &str) -> Result<Duration, String> {
    match time(text)? {
        after if after >= Duration::from_secs(1) => Ok(after),
        _ => Err("nobody is reached at once: give it 1s at least".to_owned()),
    }
}

fn host_and_port(text: &str) -> Result<(String, u16), String> {
    let address = text.strip_prefix("df://").unwrap_or(text);
    let (host, port) = config::host_and_port(address)
        .ok_or("not HOST:PORT, such as 10.0.3.7:50050; an address of IPv6 stands in brackets")?;
    Ok((host.to_owned(), port))
}

fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        "not an address of this machine and a port, such as 10.0.3.7:50050; a name is for --host".to_owned()
    })
}

fn host(text: &str) -> Result<String, String> {
    let is_host = config::is_host(text) || text.parse::<Ipv6Addr>().is_ok();
    if is_host { Ok(text.to_owned()) } else { Err("not the name or the address of a host".to_owned()) }
}

/// More than any machine has processors.
const SLOTS_MAX: usize = 4096;

fn slots(text: &str) -> Result<usize, String> {
    let slots = text.parse().ok().filter(|slots| (1..=SLOTS_MAX).contains(slots));
    slots.ok_or_else(|| format!("not a number of tasks, 1 to {SLOTS_MAX}"))
}

fn memory(text: &str) -> Result<MemoryLimit, String> {
    text.parse().map_err(|()| "not a number of bytes, such as 512MiB or 4GiB".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_executor_that_works_has_time_to_tell() {
        assert_eq!(silence("10s"), Ok(SILENCE_MIN));
        assert!(silence("9s").unwrap_err().contains("every 5 s"));
        assert!(silence("soon").is_err());
    }

    #[test]
    fn what_no_executor_could_work_with_is_refused() {
        assert_eq!(slots("2"), Ok(2));
        assert!(["0", "-1", "100000", "many"].iter().all(|text| slots(text).is_err()));
        assert!(memory("1GiB").is_ok() && memory("auto").is_ok());
        assert!(memory("lots").is_err());
        assert!(give_up("0s").is_err() && give_up("1s").is_ok());
        assert!(["10.0.3.8", "executor-1.internal", "[::1]", "::1"].iter().all(|text| host(text).is_ok()));
        assert!(["", "bad host", "http://x", "x:1"].iter().all(|text| host(text).is_err()));
        assert!(address("[::1]:0").is_ok() && address("localhost:1").unwrap_err().contains("--host"));
    }
}
