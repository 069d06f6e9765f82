//! What a server keeps of its snapshot on local disk: damaged, lost, or with no room for it.
//!
//! A server whose database is away serves what lies there, wholly, or says that it has nothing to serve.

use crate::{
    answers::Question,
    client::Connection,
    cluster::Stop,
    faults::Random,
    load::Load,
    place::Place,
    publisher::Publishing,
    service::get_until,
    small_disk::{SmallDisk, with_own_mounts},
    tally::Server,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant, SystemTime},
};
use tokio::runtime::Builder;

/// The key of configuration that says where the files are.
const KEY: &str = "snapshot_dir";

const SEED: u64 = 8;

const CLIENTS: u64 = 4;

/// Longer than a server takes to write its files on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// For how long nothing is written once all is.
const QUIET: Duration = Duration::from_millis(500);

/// How often files are damaged and a server started with them.
const ROUNDS: u32 = 6;

/// How often the disk is full for a while.
const FULL: u32 = 3;

/// Publications that come while it is full, and while it is not.
const PUBLICATIONS: u32 = 3;

#[test]
fn a_server_without_database_serves_files_that_are_good_and_no_others() {
    let (mut place, mut publisher) = Place::new();
    let mut random = Random::new(SEED);
    for _ in 0..ROUNDS {
        let before = files(&place);
        publisher.go_on();
        let (service, server) = place.start();
        get_until(&server.address, "/health/ready", 200);
        place.all_is_current(&server);
        until_written(&place, &before);
        service.stop("TERM");

        place.cluster.stop(Stop::Fast);
        let (service, server) = place.start();
        get_until(&server.address, "/health/ready", 200);
        place.all_is_current(&server);
        service.stop("TERM");

        let damage = damage(&folder(&place), &mut random).unwrap();
        println!("{damage}");
        let (service, server) = place.start();
        is_whole_or_unavailable(&place, &server);
        place.cluster.start();
        get_until(&server.address, "/health/ready", 200);
        place.until_current(&server);
        service.stop("TERM");
    }
}

#[test]
fn a_full_disk_keeps_no_server_from_answering() {
    with_own_mounts("snapshot_files::a_full_disk_keeps_no_server_from_answering", || {
        let (mut place, publisher) = Place::new();
        let disk = SmallDisk::new(8);
        let folder = disk.path().join("snapshot");
        place.scene.environment("TOPSHELF_SERVE__SNAPSHOT_DIR", folder.to_str().unwrap());
        let (service, server) = place.serve();
        until_written(&place, &BTreeMap::new());
        let load = Load::start(&place.fleet, &place.tally, CLIENTS, SEED);
        let publishing = Publishing::start(publisher);
        for _ in 0..FULL {
            until_published(&place, PUBLICATIONS);
            disk.fill();
            until_published(&place, PUBLICATIONS);
            disk.free();
        }
        disk.fill();
        until_published(&place, PUBLICATIONS);
        publishing.stop();
        place.until_all_shown();
        load.stop();
        place.all_is_current(&server);
        service.stop("TERM");
        println!("{}", place.tally.summary());

        // What was written last before the disk was full is still good.
        place.cluster.stop(Stop::Fast);
        let (service, server) = place.start();
        get_until(&server.address, "/health/ready", 200);
        place.all_from(&server, 0);
        disk.free();
        place.cluster.start();
        place.until_current(&server);
        service.stop("TERM");
    });
}

/// With the database away, a server that starts serves what is good of its files, or says that it has nothing.
pub(crate) fn outlive_a_start_without_database(place: &mut Place) {
    place.cluster.stop(Stop::Fast);
    let (service, server) = place.start();
    is_whole_or_unavailable(place, &server);
    place.cluster.start();
    place.until_current(&server);
    service.stop("TERM");
}

/// Damages a file below the folder, if there is one; says how.
pub(crate) fn damage(folder: &Path, random: &mut Random) -> Option<String> {
    let files: Vec<_> = written(folder).into_keys().collect();
    let file = files.get(usize::try_from(random.below(files.len().max(1) as u64)).unwrap())?;
    // A server that writes may have removed it meanwhile.
    let mut bytes = fs::read(file).ok()?;
    let place = usize::try_from(random.below(bytes.len().max(1) as u64)).unwrap();
    let how = match random.below(4) {
        0 => {
            fs::remove_file(file).ok()?;
            return Some(format!("{} is lost", file.display()));
        }
        1 => {
            bytes.truncate(place);
            "ends early"
        }
        2 => {
            bytes.splice(place..place, [0]);
            "has a byte more"
        }
        _ => {
            let bit = 1 << random.below(8);
            if let Some(byte) = bytes.get_mut(place) {
                *byte ^= bit;
            }
            "has another bit"
        }
    };
    fs::write(file, bytes).unwrap();
    Some(format!("{} {how}, at byte {place}", file.display()))
}

pub(crate) fn folder(place: &Place) -> PathBuf {
    let shown = place.scene.end_well(&["config"]).stdout;
    let line = shown.lines().find(|line| line.trim_start().starts_with(KEY));
    place.scene.path(line.and_then(|line| line.split('"').nth(1)).unwrap())
}

fn files(place: &Place) -> BTreeMap<PathBuf, SystemTime> {
    written(&folder(place))
}

/// The files below a folder, and when each was written.
fn written(folder: &Path) -> BTreeMap<PathBuf, SystemTime> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(written(&path));
        } else if let Ok(modified) = entry.metadata().and_then(|of| of.modified()) {
            files.insert(path, modified);
        }
    }
    files
}

/// Waits until other files are there than before, and no more are written.
fn until_written(place: &Place, before: &BTreeMap<PathBuf, SystemTime>) {
    let began = Instant::now();
    let mut last = before.clone();
    loop {
        let now = files(place);
        if now != *before && now == last {
            return;
        }
        assert!(began.elapsed() < PATIENCE, "nothing is written");
        last = now;
        thread::sleep(QUIET);
    }
}

fn until_published(place: &Place, more: u32) {
    let before = place.record.publications();
    let began = Instant::now();
    while place.record.publications() < before + more {
        place.tally.is_well();
        assert!(began.elapsed() < PATIENCE, "nothing is published");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Every answer is of a state that was published once, or says that there is nothing to serve; for a while, since a
/// server may read its files after it listens.
fn is_whole_or_unavailable(place: &Place, server: &Server) {
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let mut random = rand_xoshiro::rand_core::SeedableRng::seed_from_u64(SEED);
    let began = Instant::now();
    let mut unavailable = 0;
    runtime.block_on(async {
        let mut connection = Connection::open(&server.address).await.unwrap();
        while began.elapsed() < QUIET {
            let question = Question::random(&mut random);
            let answer = connection.ask(&question.path(), None).await.unwrap();
            if answer.status == 503 {
                let problem: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
                assert_eq!(problem["code"], "snapshot_unavailable");
                unavailable += 1;
            } else {
                place.tally.take(server, server.floor(), question, None, &answer);
            }
        }
    });
    println!("{unavailable} answers said that there is nothing to serve");
    place.tally.is_well();
}
