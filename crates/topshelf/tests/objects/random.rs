//! A thousand nights at random: whatever they meet, each ends with exactly the right counts and rankings, or as
//! a failed run that names the object; and the next night is well.

use crate::{
    asked::{Asked, Deed, Side},
    fate::Fate,
    input::{Form, Prepared, VERSIONS, days, large, many, small_forms},
    proxy::Proxy,
    scene::{Ended, LONG, Left, Scene},
    server::S3Server,
    weather::{Weather, one_of, share},
};
use domain::Day;
use std::{
    collections::BTreeMap,
    fs,
    panic::resume_unwind,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering::SeqCst},
    },
    time::{Duration, Instant},
};
use tokio::runtime::Handle;
use topshelf::failure::{Exit, Failure};

/// So many nights meet a fault; the environment may ask for more or fewer, and for another seed.
const NIGHTS: u32 = 1000;
const NIGHTS_VARIABLE: &str = "TOPSHELF_TEST_FAULTS";
const SEED_VARIABLE: &str = "TOPSHELF_TEST_FAULTS_SEED";

/// Scenes whose nights happen beside each other: most of a night is waiting.
const SCENES: usize = 20;

/// The share of nights in which an object of the input is replaced or deleted, and nothing else happens.
const CHANGING: f64 = 0.1;

/// Of both ways to end there must be so many, of this many nights at least.
const SHARE_MIN: f64 = 0.2;
const NIGHTS_MIN: u32 = 100;

fn number(variable: &str, default: u32) -> u32 {
    let asked = std::env::var(variable);
    asked.map_or(default, |number| number.parse().unwrap_or_else(|_| panic!("{variable}={number}")))
}

/// A form's versions, and what a night without faults leaves of each.
struct Known {
    form: Form,
    versions: Vec<(Prepared, Left)>,
}

impl Known {
    async fn new(server: &S3Server, form: Form) -> Self {
        let mut versions = Vec::new();
        for version in 0..VERSIONS {
            let name = format!("{}-{version}", form.name.to_ascii_lowercase().replace(' ', "-"));
            let logs = Prepared::new(server.beside().join(&name), &form, version);
            let mut scene = Scene::new(server, &name);
            scene.take(&logs);
            scene.run_undisturbed(&days()).await;
            let left = scene.left(&days()).await;
            assert!(left.rows.values().all(|rows| rows.len() > 6) && left.lake.len() >= 14, "{left:?}");
            versions.push((logs, left));
        }
        for (index, (_, left)) in versions.iter().enumerate() {
            let is_unlike = |(_, other): &(Prepared, Left)| left.rows != other.rows;
            assert!(versions[..index].iter().all(is_unlike), "{}: no version is like another", form.name);
        }
        Self { form, versions }
    }
}

/// How nights ended.
#[derive(Debug, Default)]
struct Tally {
    published: u32,
    failed: u32,
    transient: u32,
    /// Why nights failed, without the objects.
    causes: BTreeMap<String, u32>,
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.published += other.published;
        self.failed += other.failed;
        self.transient += other.transient;
        for (cause, nights) in other.causes {
            *self.causes.entry(cause).or_default() += nights;
        }
    }
}

/// An object of the input is changed when so many reads of the input were asked for.
struct Change {
    victim: PathBuf,
    at_read: u32,
    how: How,
}

#[derive(Debug, Clone, Copy)]
enum How {
    Deleted,
    SameSize,
    OtherSize,
}

impl Change {
    fn of(seed: u64, input: &Path) -> Self {
        let mut objects = files(input);
        objects.sort();
        let victim =
            objects[((share(seed, "victim") * objects.len() as f64) as usize).min(objects.len() - 1)].clone();
        let at_read = one_of(seed, "read", &[0, 1, 2, 4]);
        Self { victim, at_read, how: one_of(seed, "how", &[How::Deleted, How::SameSize, How::OtherSize]) }
    }

    /// Whoever has opened the old object still reads it: it is another file by then.
    fn happen(&self) {
        let size = fs::metadata(&self.victim).unwrap().len() as usize;
        let size = match self.how {
            How::Deleted => return fs::remove_file(&self.victim).unwrap(),
            How::SameSize => size,
            How::OtherSize => size + 1,
        };
        let next = self.victim.with_extension("next");
        fs::write(&next, vec![b'x'; size]).unwrap();
        fs::rename(next, &self.victim).unwrap();
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

/// A scene, and what readers should see there of each day.
struct Place {
    known: Arc<Known>,
    scene: Scene,
    seen: BTreeMap<Day, usize>,
}

impl Place {
    /// One night, and a night without faults behind it if it failed. None when it met no fault.
    async fn night(&mut self, server: &S3Server, seed: u64, name: String) -> Option<Tally> {
        let days = days();
        let days = one_of(seed, "days", &[&days[..1], &days[1..], &days]);
        let unseen: Vec<usize> =
            (0..VERSIONS).filter(|version| !self.seen.values().any(|seen| seen == version)).collect();
        let version = one_of(seed, "version", &unseen);
        let known = Arc::clone(&self.known);
        let (logs, _) = &known.versions[version];
        self.scene.take(logs);
        let mut before = BTreeMap::new();
        for day in days {
            before.insert(*day, self.scene.rows(*day, true).await);
        }

        let mut telling = Telling { form: known.form.name, night: name, met: Vec::new() };
        let (proxy, change) = self.proxy(server, seed).await;
        let short = one_of(seed, "patience", &[Duration::from_millis(250), Duration::from_millis(500)]);
        let patience = if change.is_some() { LONG } else { short };
        let ended = self.scene.run(proxy.address, patience, days).await;
        proxy.until_settled().await;
        telling.met = proxy.asked().into_iter().filter(|(_, fate)| *fate != Fate::Passes).collect();
        let met = &telling.met;
        let has_changed = change.as_ref().is_some_and(|change| reads(&proxy) > change.at_read);

        let mut tally = Tally::default();
        for (day, ended) in &ended {
            match ended {
                Ok(_) => {
                    self.seen.insert(*day, version);
                    self.is_exact(*day).await;
                }
                Err(failure) => {
                    assert_eq!(self.scene.rows(*day, true).await, before[day], "readers keep what they had");
                    let told = self.scene.last_run(*day).await;
                    assert_eq!(told, format!("failed {}", failure.chain()), "the ledger tells why");
                    let changed = change.as_ref().filter(|_| has_changed);
                    self.is_told(failure, met, changed.map(|change| change.victim.as_path()));
                }
            }
        }
        if let Some(failure) = ended.values().find_map(|ended| ended.as_ref().err()) {
            tally.failed += 1;
            tally.transient += u32::from(failure.is_transient());
            tally.causes.insert(cause(failure), 1);
            self.scene.take(logs);
            self.next_night_is_well(&ended, version).await;
        } else {
            tally.published += 1;
        }
        (has_changed || !met.is_empty()).then_some(tally)
    }

    async fn proxy(&self, server: &S3Server, seed: u64) -> (Proxy, Option<Arc<Change>>) {
        let page_names = one_of(seed, "page", &[3, 7, 1000]);
        if share(seed, "changing") < CHANGING {
            let change = Arc::new(Change::of(seed, &self.scene.input()));
            let (happening, reads) = (Arc::clone(&change), AtomicU32::new(0));
            let rule = move |asked: &Asked| {
                let is_read = asked.side == Side::Input && asked.deed == Deed::Read;
                if is_read && reads.fetch_add(1, SeqCst) == happening.at_read {
                    happening.happen();
                }
                Fate::Passes
            };
            return (Proxy::start(server.address(), page_names, rule).await, Some(change));
        }
        let weather = Weather::of(seed);
        (Proxy::start(server.address(), page_names, move |asked| weather.fate(asked)).await, None)
    }

    /// What readers see of the day, and what the lake tells of it, is what a night without faults leaves.
    async fn is_exact(&self, day: Day) {
        let (_, left) = &self.known.versions[self.seen[&day]];
        assert_eq!(self.scene.rows(day, false).await, left.rows[&day], "{day}");
        let lake = self.scene.lake();
        let of_day = left.lake.iter().filter(|(name, _)| name.contains(&format!("/day={day}/")));
        for (name, bytes) in of_day {
            assert!(lake.get(name) == Some(bytes), "{name} is not as it should be: {:?}", lake.keys());
        }
    }

    /// A failure names what failed, and says why; whether it may pass is told rightly.
    fn is_told(&self, failure: &Failure, met: &[(Asked, Fate)], changed: Option<&Path>) {
        let chain = failure.chain();
        assert_eq!(failure.exit, Exit::Failed, "{chain}");
        let names = |url: &str| chain.contains(url) && !chain.ends_with(url);
        let has = |texts: &[&str]| texts.iter().any(|text| chain.contains(text));
        if let Some(victim) = changed {
            let name = victim.strip_prefix(self.scene.input()).unwrap().display();
            let url = format!("s3://{}/input/{name}", self.scene.bucket_name);
            assert!(names(&url) && has(&[" changed after the run began: "]), "{chain}");
            assert!(failure.is_transient(), "{chain}");
            return;
        }
        // A machine with much else to do may be too slow for so little patience.
        let is_late = has(&["nothing came for", "timed out"]);
        let is_named = met.iter().any(|(asked, _)| names(&asked.url()));
        let is_in_bucket = chain.contains(&format!("s3://{}/", self.scene.bucket_name));
        assert!(is_named || is_late && is_in_bucket, "it names nothing that failed: {chain}");
        if has(&["AccessDenied"]) {
            assert!(!failure.is_transient(), "{chain}");
            let help = miette::Diagnostic::help(failure).unwrap().to_string();
            assert!(help.contains("s3:GetObject") && help.contains("s3:PutObject"), "{help}");
        }
        if is_late || has(&["SlowDown", "InternalError", "TooManyRequests", "ServiceUnavailable"]) {
            assert!(failure.is_transient(), "{chain}");
        }
    }

    /// Without faults the days that failed end well, through the same lake.
    async fn next_night_is_well(&mut self, ended: &Ended, version: usize) {
        let failed: Vec<Day> =
            ended.iter().filter(|(_, ended)| ended.is_err()).map(|(day, _)| *day).collect();
        self.scene.run_undisturbed(&failed).await;
        for day in failed {
            self.seen.insert(day, version);
            self.is_exact(day).await;
        }
    }
}

fn reads(proxy: &Proxy) -> u32 {
    let is_read = |(asked, _): &&(Asked, Fate)| asked.side == Side::Input && asked.deed == Deed::Read;
    proxy.asked().iter().filter(is_read).count() as u32
}

/// The failure without what differs from night to night.
fn cause(failure: &Failure) -> String {
    let chain = failure.chain();
    let words = chain.split(' ').map(|word| match word {
        _ if word.contains("s3://") => "…",
        _ if word.starts_with("2024-") => "…",
        _ if word.bytes().any(|byte| byte.is_ascii_digit()) => "#",
        _ => word,
    });
    words.collect::<Vec<_>>().join(" ")
}

/// Says which night it was, and what it met, if what follows fails.
struct Telling {
    form: &'static str,
    night: String,
    met: Vec<(Asked, Fate)>,
}

impl Drop for Telling {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let met = self
                .met
                .iter()
                .map(|(asked, fate)| format!("\n{fate:?} at try {} of {}", asked.tries + 1, asked.target()));
            eprintln!("{} with {} went wrong; it met:{}", self.night, self.form, met.collect::<String>());
        }
    }
}

/// The logs of a scene, and how many of its nights there are at most: of the two forms that are not small there is
/// one scene each, whose nights take longer.
fn known_of(known: &[Arc<Known>], scene: usize, nights: u32) -> (Arc<Known>, u32) {
    let small = known.len() - 2;
    let is_small = scene + 2 < SCENES;
    let known = &known[if is_small { scene % small } else { small + scene + 2 - SCENES }];
    (Arc::clone(known), if is_small { u32::MAX } else { nights / 40 })
}

/// Nights of one scene, as long as some are left.
async fn nights_of_scene(
    server: &S3Server,
    number: usize,
    (known, most): (Arc<Known>, u32),
    seed: u64,
    left: &AtomicU32,
) -> Tally {
    let scene = Scene::new(server, &format!("scene-{number}"));
    let mut place = Place { known, scene, seen: BTreeMap::new() };
    let mut tally = Tally::default();
    let mut night = 0;
    while left.load(SeqCst) > 0 && night < most {
        night += 1;
        let seed = (seed << 40) + ((number as u64) << 20) + u64::from(night);
        let name = format!("night {night} of scene {number} of seed {}", seed >> 40);
        if let Some(met) = place.night(server, seed, name).await {
            tally.add(met);
            let _ = left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1));
        }
    }
    tally
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_nights_are_exact_or_say_what_failed() {
    let begun = Instant::now();
    let (nights, seed) = (number(NIGHTS_VARIABLE, NIGHTS), u64::from(number(SEED_VARIABLE, 0)));
    let server = Arc::new(S3Server::start().await);
    let mut forms = small_forms();
    forms.extend([many(), large()]);
    let known = futures::future::join_all(forms.into_iter().map(|form| Known::new(&server, form))).await;
    let known: Vec<_> = known.into_iter().map(Arc::new).collect();
    println!("what to expect is known after {:.1} s", begun.elapsed().as_secs_f64());

    let left = Arc::new(AtomicU32::new(nights));
    let places = (0..SCENES).map(|number| {
        let (server, left, known) =
            (Arc::clone(&server), Arc::clone(&left), known_of(&known, number, nights));
        // A night may not move from thread to thread.
        tokio::task::spawn_blocking(move || {
            Handle::current().block_on(nights_of_scene(&server, number, known, seed, &left))
        })
    });
    let mut tally = Tally::default();
    for place in places.collect::<Vec<_>>() {
        tally.add(place.await.unwrap_or_else(|error| resume_unwind(error.into_panic())));
    }
    println!("{tally:#?} in {:.1} s", begun.elapsed().as_secs_f64());
    let all = tally.published + tally.failed;
    assert!(all >= nights);
    let rarer = f64::from(tally.published.min(tally.failed));
    assert!(all < NIGHTS_MIN || rarer >= SHARE_MIN * f64::from(all), "one way to end is too rare: {tally:?}");
}
