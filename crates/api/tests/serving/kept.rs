//! What is served is kept on disk, and served at a start without the database.

use crate::harness::{NewDay, PATIENCE, Site};
use api::ServedStore;
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};
use store::Store;
use tempfile::TempDir;

const ROUTES: &[&str] =
    &["/recommendations/acme/TopCTR", "/history/acme", "/stats?limit=5", "/history/beta?days=1"];

fn new_day(product: &str) -> NewDay {
    NewDay::new(&["TopCTR", "TopProduct"])
        .ctr("acme", &[(product, 1, 3), ("b", 1, 4)])
        .views("acme", &[(product, 9)])
        .views("beta", &[("x", 2)])
        .active("idle")
}

/// Makes a file another than it was.
type Spoil = fn(&mut Vec<u8>);

/// A database, and a server on it that keeps what it serves; both in one directory.
struct Place {
    directory: TempDir,
}

impl Place {
    fn new() -> Self {
        Self { directory: tempfile::tempdir().unwrap() }
    }

    fn database(&self) -> PathBuf {
        self.directory.path().join("kept.db")
    }

    fn snapshot(&self) -> PathBuf {
        self.directory.path().join("snapshot")
    }

    fn url(&self) -> String {
        format!("sqlite:{}", self.database().display())
    }

    /// A server on the database's URL, which may lead nowhere.
    async fn start(&self) -> Site {
        // What the harness itself publishes to is another database when this one is gone.
        let url = if self.database().is_dir() { "sqlite::memory:".to_owned() } else { self.url() };
        let store = match Store::open(&url).await {
            Ok(store) => store,
            Err(_) => Store::open(&format!("sqlite:{}", self.directory.path().join("other.db").display()))
                .await
                .unwrap(),
        };
        let snapshot = self.snapshot();
        let change = |options: &mut api::Options| options.snapshot_dir = Some(snapshot);
        Site::serve(ServedStore::Closed(self.url().into()), store, tempfile::tempdir().unwrap(), change).await
    }

    /// Puts a folder in the database's place.
    fn lose_database(&self) {
        fs::rename(self.database(), self.directory.path().join("lost.db")).unwrap();
        fs::create_dir(self.database()).unwrap();
    }

    fn find_database(&self) {
        fs::remove_dir(self.database()).unwrap();
        fs::rename(self.directory.path().join("lost.db"), self.database()).unwrap();
    }

    /// Publishes two days, and waits until they are kept; what the routes answered.
    async fn kept(&self) -> Vec<String> {
        let mut site = self.start().await;
        site.store.migrate().await.unwrap();
        site.publish("2024-11-19", 1, new_day("a")).await;
        site.publish("2024-11-20", 1, new_day("c")).await;
        site.until_served().await;
        let answers = answers(&site).await;
        self.until_kept(&site).await;
        site.end(std::time::Duration::ZERO);
        site.ended().await;
        self.lose_database();
        answers
    }

    /// Waits until the manifest tells the version that is published.
    async fn until_kept(&self, site: &Site) {
        let version = format!("\"version\": {},", site.store.publication_version().await.unwrap());
        let manifest = self.snapshot().join("manifest");
        while !fs::read_to_string(&manifest).is_ok_and(|text| text.contains(&version)) {
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    }

    fn files(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.snapshot()).unwrap();
        let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
        files.retain(|file| file.file_name().unwrap() != "lock");
        files.sort();
        files
    }
}

async fn answers(site: &Site) -> Vec<String> {
    let mut answers = Vec::new();
    for route in ROUTES {
        let answer = site.ask(&format!("GET {route}")).await;
        answers.push(format!("{} {} {}", answer.status, answer.headers["etag"], answer.body));
    }
    answers
}

fn change(path: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(path).unwrap();
    change(&mut bytes);
    fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn without_the_database_what_was_kept_is_served_until_it_is_back() {
    let place = Place::new();
    let answers_before = place.kept().await;
    let site = place.start().await;
    let ready = site.until("/health/ready", "\"source\":\"disk\"").await;
    assert!(ready.starts_with("200"), "{ready}");
    for told in [
        "\"status\":\"ready\"",
        "\"newest_day\":\"2024-11-20\"",
        "\"confirmed_at\":null",
        "\"last_load_error\":\"could not connect",
    ] {
        assert!(ready.contains(told), "{told}: {ready}");
    }
    let metrics = site.check("GET /metrics").await;
    assert!(metrics.contains("\ntopshelf_snapshot_from_disk 1\n"), "{metrics}");
    assert_eq!(answers(&site).await, answers_before);
    place.find_database();
    let ready = site.until("/health/ready", "\"source\":\"database\"").await;
    assert!(
        ready.contains("\"last_load_error\":null") && !ready.contains("\"confirmed_at\":null"),
        "{ready}"
    );
    let metrics = site.check("GET /metrics").await;
    assert!(metrics.contains("\ntopshelf_snapshot_from_disk 0\n"), "{metrics}");
    assert_eq!(answers(&site).await, answers_before);
}

#[tokio::test]
async fn only_the_day_that_changed_is_written() {
    let place = Place::new();
    let mut site = place.start().await;
    site.store.migrate().await.unwrap();
    site.publish("2024-11-19", 1, new_day("a")).await;
    site.publish("2024-11-20", 1, new_day("c")).await;
    site.until_served().await;
    place.until_kept(&site).await;
    let written_at = |path: &PathBuf| (path.clone(), fs::metadata(path).unwrap().modified().unwrap());
    let before: Vec<_> = place.files().iter().map(written_at).collect();
    assert_eq!(before.len(), 3, "{before:?}");
    site.publish("2024-11-20", 2, new_day("d")).await;
    site.until_served().await;
    place.until_kept(&site).await;
    site.end(std::time::Duration::ZERO);
    site.ended().await;
    let after: Vec<_> = place.files().iter().map(written_at).collect();
    assert_eq!(after.len(), 3, "{after:?}");
    assert_eq!(before[0], after[0], "the older day stays as it is");
    assert_ne!(before[1].0, after[1].0);
    assert_ne!(before[2].1, after[2].1);
}

#[tokio::test]
async fn what_was_kept_and_is_corrupt_is_ignored() {
    let place = Place::new();
    place.kept().await;
    for file in place.files() {
        let whole = fs::read(&file).unwrap();
        let spoilt: [(&str, Spoil); 4] = [
            ("a bit flipped in the middle", |bytes| {
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
            }),
            ("cut short", |bytes| bytes.truncate(bytes.len() - 1)),
            ("longer", |bytes| bytes.push(b' ')),
            ("empty", Vec::clear),
        ];
        for (how, spoil) in spoilt {
            change(&file, spoil);
            let site = place.start().await;
            let ready = site.until("/health/ready", "could not connect").await;
            assert!(ready.starts_with("503"), "{how}, {}: {ready}", file.display());
            assert!(ready.contains("snapshot_unavailable") && ready.contains("\"source\":null"), "{ready}");
            fs::write(&file, &whole).unwrap();
        }
        fs::remove_file(&file).unwrap();
        let ready = place.start().await.until("/health/ready", "could not connect").await;
        assert!(ready.starts_with("503"), "without {}: {ready}", file.display());
        fs::write(&file, whole).unwrap();
    }
    let ready = place.start().await.until("/health/ready", "\"source\":\"disk\"").await;
    assert!(ready.starts_with("200"), "{ready}");
}

#[tokio::test]
async fn what_was_kept_in_another_format_is_ignored_and_replaced() {
    let place = Place::new();
    let answers_before = place.kept().await;
    let manifest = place.snapshot().join("manifest");
    change(&manifest, |text| {
        *text = String::from_utf8(text.clone()).unwrap().replacen("format 1,", "format 0,", 1).into_bytes();
    });
    let site = place.start().await;
    let ready = site.until("/health/ready", "could not connect").await;
    assert!(ready.starts_with("503"), "{ready}");
    place.find_database();
    site.until("/health/ready", "\"source\":\"database\"").await;
    assert_eq!(answers(&site).await, answers_before);
    while !fs::read_to_string(&manifest).unwrap().contains("format 1,") {
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn what_was_kept_of_another_database_is_ignored() {
    let place = Place::new();
    place.kept().await;
    let manifest = fs::read_to_string(place.snapshot().join("manifest")).unwrap();
    let (first, json) = manifest.split_once('\n').unwrap();
    assert!(first.starts_with("topshelf snapshot, format 1, crc32 "), "{first}");
    let json = json.replace("kept.db", "theirs.db");
    let first = format!("topshelf snapshot, format 1, crc32 {:08x}", crc32fast::hash(json.as_bytes()));
    fs::write(place.snapshot().join("manifest"), format!("{first}\n{json}")).unwrap();
    let ready = place.start().await.until("/health/ready", "could not connect").await;
    assert!(ready.starts_with("503"), "{ready}");
}

#[tokio::test]
async fn a_place_that_cannot_be_written_is_told_and_keeps_nobody_from_serving() {
    let place = Place::new();
    fs::write(place.snapshot(), "a file where a folder should be").unwrap();
    let site = place.start().await;
    site.store.migrate().await.unwrap();
    site.publish("2024-11-20", 1, new_day("a")).await;
    site.until_served().await;
    // What was served before the day was published could not be kept either.
    let failed = "topshelf_snapshot_keeps_total{outcome=\"failed\"} ";
    let began = Instant::now();
    let metrics = loop {
        let metrics = site.ask("GET /metrics").await.body;
        if !metrics.contains(&format!("{failed}0")) {
            break metrics;
        }
        assert!(began.elapsed() < PATIENCE, "{metrics}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert!(metrics.contains(failed), "{metrics}");
    assert!(metrics.contains("topshelf_snapshot_keeps_total{outcome=\"kept\"} 0"), "{metrics}");
    assert_eq!(site.ask("GET /recommendations/acme/TopCTR").await.status, 200);
}
