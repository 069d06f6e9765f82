//! Full load, a publication a second, and whatever can happen to the database.

use crate::{
    faults::{Cutting, Random, faults},
    load::Load,
    memory::Memory,
    place::Place,
    publisher::Publishing,
    snapshot_files::outlive_a_start_without_database,
};
use std::{
    env,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering::SeqCst},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

/// Connections that ask without pause.
const CLIENTS: u64 = 8;

const SECONDS: u64 = 60;

const SEED: u64 = 6;

/// From a publication, or from the end of what kept the server from it, until it must be shown. A server looks each second, and
/// waits up to ten seconds between attempts after several have failed; the rest is for a busy machine.
const SHOWN_WITHIN: Duration = Duration::from_secs(30);

const PROGRESS_PERIOD: Duration = Duration::from_secs(10);

const SAMPLE_PERIOD: Duration = Duration::from_millis(250);

#[test]
fn readers_see_whole_answers_whatever_happens_to_the_database() {
    let [seconds, seed] = [("SECONDS", SECONDS), ("SEED", SEED)]
        .map(|(name, usual)| number_in(&format!("TOPSHELF_TEST_SOAK_{name}"), usual));
    println!("{seconds} seconds, TOPSHELF_TEST_SOAK_SEED={seed}");
    let mut random = Random::new(seed);
    let (mut place, publisher) = Place::new();
    let (service, server) = place.serve();
    let load = Load::start(&place.fleet, &place.tally, CLIENTS, seed);
    let publishing = Publishing::start(publisher);
    let watch = Watch::start(&place, service.id());
    let cutting = Cutting::start(place.proxy.clone(), Random::new(seed + 1));
    place.record.is_calm(true);

    let began = Instant::now();
    for (moment, fault) in faults(seconds, &mut random) {
        wait_until(began + moment, &place);
        println!("{:4} s: {fault:?}", began.elapsed().as_secs());
        fault.happen(&mut place, &mut random);
        watch.faults.fetch_add(1, SeqCst);
    }
    wait_until(began + Duration::from_secs(seconds), &place);

    println!("{} cuts of connections to the database", cutting.cuts());
    cutting.stop();
    publishing.stop();
    place.until_all_shown();
    let memory = watch.stop();
    load.stop();
    place.all_is_current(&server);
    service.stop("TERM");
    outlive_a_start_without_database(&mut place);

    let (publications, worst_delay) = (place.record.publications(), place.record.worst_delay());
    println!("{}", place.tally.summary());
    println!("{publications} publications, the last to be shown after {worst_delay:?}");
    println!("memory in MiB, by quarters: {:?}", memory.quarters().map(|bytes| bytes >> 20));
    place.tally.is_well();
    assert!(worst_delay < SHOWN_WITHIN, "{worst_delay:?}");
    assert!(memory.is_flat(), "{:?}", memory.quarters());
}

/// Fails as soon as an answer does.
fn wait_until(moment: Instant, place: &Place) {
    while Instant::now() < moment {
        place.tally.is_well();
        thread::sleep(SAMPLE_PERIOD.min(moment.saturating_duration_since(Instant::now())));
    }
}

/// Looks at the server's memory, and tells now and then how far all is.
struct Watch {
    faults: Arc<AtomicU32>,
    is_over: Arc<AtomicBool>,
    thread: JoinHandle<Memory>,
}

impl Watch {
    fn start(place: &Place, pid: u32) -> Self {
        let (faults, is_over) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicBool::new(false)));
        let (faults_there, is_over_there) = (faults.clone(), is_over.clone());
        let (tally, record) = (place.tally.clone(), place.record.clone());
        let thread = thread::spawn(move || {
            let (began, mut told, mut memory) = (Instant::now(), Instant::now(), Memory::default());
            while !is_over_there.load(SeqCst) {
                memory.sample(pid);
                if told.elapsed() >= PROGRESS_PERIOD {
                    told = Instant::now();
                    let [seconds, publications] = [began.elapsed().as_secs(), record.publications().into()];
                    let faults = faults_there.load(SeqCst);
                    println!(
                        "{seconds:4} s: {}, {publications} publications, {faults} faults",
                        tally.summary()
                    );
                }
                thread::sleep(SAMPLE_PERIOD);
            }
            memory
        });
        Self { faults, is_over, thread }
    }

    fn stop(self) -> Memory {
        self.is_over.store(true, SeqCst);
        self.thread.join().unwrap()
    }
}

fn number_in(variable: &str, usual: u64) -> u64 {
    env::var(variable).map_or(usual, |value| value.parse().unwrap())
}
