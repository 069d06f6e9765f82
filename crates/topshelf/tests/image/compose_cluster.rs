//! `deploy/compose/compose.cluster.yaml`: a night that the executors of the file count, by the image's variant.

use crate::{
    compose::{environment, is_confined, prepared, words},
    engine::{Container, Engine, PATIENCE},
    files::files,
    network,
};
use serde_json::Value;
use std::{
    fs,
    net::TcpStream,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{self, Command},
    thread,
    time::{Duration, Instant},
};

/// What the file gives its executors and its night to end in.
const GRACE_SECONDS: u32 = 40;

/// Hosts on one bridge, each a network namespace; who reaches the bridge is in the test's own.
struct Hosts(Vec<String>);

impl Hosts {
    /// With addresses from 10.89.0.2 on, in this order.
    fn new(names: &[&str]) -> Self {
        ip("link add bridge type bridge");
        ip("address add 10.89.0.1/24 dev bridge");
        ip("link set bridge up");
        let mut hosts = Self(Vec::new());
        for (number, name) in names.iter().enumerate() {
            let space = format!("topshelf-{}-{name}", process::id());
            ip(&format!("netns add {space}"));
            hosts.0.push(space.clone());
            ip(&format!("link add port{number} master bridge type veth peer name eth0 netns {space}"));
            ip(&format!("link set port{number} up"));
            ip(&format!("-n {space} link set lo up"));
            ip(&format!("-n {space} address add 10.89.0.{}/24 dev eth0", number + 2));
            ip(&format!("-n {space} link set eth0 up"));
        }
        hosts
    }

    /// podman's flag for a container of the host.
    fn flag(&self, host: usize) -> String {
        format!("--network=ns:/run/netns/{}", self.0[host])
    }
}

impl Drop for Hosts {
    fn drop(&mut self) {
        for space in &self.0 {
            let _ = Command::new("ip").args(["netns", "delete", space]).status();
        }
    }
}

fn ip(arguments: &str) {
    assert!(Command::new("ip").args(arguments.split(' ')).status().unwrap().success(), "ip {arguments}");
}

/// The file, and where its folder of data lies here.
struct File {
    services: Value,
    data: PathBuf,
}

impl File {
    fn command(&self, service: &str) -> Vec<String> {
        words(&self.services[service]["command"])
    }

    /// podman's flags for the service on a host.
    fn settings(&self, service: &str, network: String) -> Vec<String> {
        let service = &self.services[service];
        is_confined(service);
        let mut settings = environment(service);
        settings.extend([network, "--add-host=scheduler:10.89.0.2".to_owned()]);
        settings.extend(words(&service["tmpfs"]).into_iter().map(|folder| format!("--tmpfs={folder}")));
        for volume in service["volumes"].as_array().into_iter().flatten() {
            settings.push(match volume.as_str() {
                Some(volume) => format!("--volume={volume}"),
                None => {
                    assert!(volume["source"].as_str().unwrap().ends_with("../../data"), "{volume}");
                    format!("--volume={}:{}", self.data.display(), volume["target"].as_str().unwrap())
                }
            });
        }
        settings
    }
}

fn flags(words: &[String]) -> Vec<&str> {
    words.iter().map(String::as_str).collect()
}

#[test]
#[ignore = "needs the image's variant: TOPSHELF_FEATURES=cluster cargo xtask image --test"]
fn the_executors_of_the_file_count_what_one_machine_counts() {
    network::enter();
    let hosts = Hosts::new(&["scheduler", "executor-1", "executor-2", "night"]);
    let engine = Engine::new();
    let file: Value =
        serde_json::from_slice(&fs::read(prepared("TOPSHELF_TEST_COMPOSE_CLUSTER")).unwrap()).unwrap();
    let file = File { services: file["services"].clone(), data: engine.path("data") };
    fs::create_dir(&file.data).unwrap();
    fs::set_permissions(&file.data, fs::Permissions::from_mode(0o777)).unwrap();
    let here = || file.settings("night", hosts.flag(3));
    engine.end_well(&flags(&file.settings("samples", hosts.flag(3))), &flags(&file.command("samples")));

    let start = |name: &str, service: &str, host: usize| -> Container<'_> {
        let settings = file.settings(service, hosts.flag(host));
        engine.start(
            name,
            &[&flags(&settings)[..], &["--no-healthcheck"]].concat(),
            &flags(&file.command(service)),
        )
    };
    let scheduler = start("scheduler", "scheduler", 0);
    let began = Instant::now();
    while TcpStream::connect("10.89.0.2:50050").is_err() {
        assert!(began.elapsed() < PATIENCE, "{}", scheduler.log());
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(file.services["executor"]["deploy"]["replicas"], 2);
    let executors = [start("executor-1", "executor", 1), start("executor-2", "executor", 2)];
    let mut night = here();
    night.push("--env=TOPSHELF_CLUSTER__TASK_MIB=1".to_owned());
    engine.end_well(&flags(&night), &flags(&file.command("night")));

    let runs: Value = serde_json::from_str(&engine.end_well(&flags(&here()), &["runs", "--json"])).unwrap();
    let run = &runs["runs"][0];
    assert_eq!(run["status"], "succeeded", "{run}");
    let cluster = &run["report"]["stages"][0]["cluster"];
    assert!(cluster["tasks"].as_u64().unwrap() > 1, "{cluster}");
    let worked = cluster["executors"].as_array().unwrap();
    assert!(!worked.is_empty(), "{cluster}");
    for executor in worked {
        let address = executor["address"].as_str().unwrap();
        assert!(["10.89.0.3:50051", "10.89.0.4:50051"].contains(&address), "{cluster}");
    }
    let outside = Command::new(env!("CARGO_BIN_EXE_topshelf"))
        .args(["count", "--day", "2024-11-20", "--input"])
        .arg(file.data.join("logs"))
        .arg("--lake")
        .arg(engine.path("outside"))
        .current_dir(engine.path(""))
        .env_clear()
        .output()
        .unwrap();
    assert!(outside.status.success(), "{}", String::from_utf8_lossy(&outside.stderr));
    let counts = |lake: &Path| files(&lake.join("counts"));
    let (there, here) = (counts(&file.data.join("lake")), counts(&engine.path("outside")));
    assert!(!here.is_empty() && there == here, "{:?} {:?}", there.keys(), here.keys());

    for ended in executors.iter().chain([&scheduler]) {
        let (elapsed, code) = ended.stop(GRACE_SECONDS);
        assert_eq!(code, 0, "{}", ended.log());
        assert!(elapsed < Duration::from_secs(GRACE_SECONDS.into()), "{elapsed:?}");
    }
}
