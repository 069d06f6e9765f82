//! Who may ask: only who holds a valid key, and of single advertisers only whom it is for.

use crate::harness::{Connection, NewDay, PATIENCE, Site, within};
use api::{Keys, ServedStore};
use domain::AdvertiserId;
use jiff::Timestamp;
use std::{
    fs,
    time::{Duration, Instant},
};
use store::{Hold, Holds, KeyScope, KeyText, NewApiKey, Store};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// What nobody sees without a key.
const CLOSED: &[&str] = &[
    "/recommendations/acme/TopCTR",
    "/recommendations/acme/TopCTR/?day=2024-11-20&limit=1",
    "/recommendations/acme/Nonsense",
    "/recommendations/%zz/TopCTR",
    "/history/acme",
    "/history/acme/?days=x",
    "/stats/",
    "/stats?limit=0",
    "/health",
    "/metrics",
];

const OPEN: &[&str] = &["/", "/docs/", "/openapi.json", "/health/live", "/health/ready"];

/// Makes a key; its text.
pub(crate) async fn key(store: &Store, name: &str, advertisers: &[&str]) -> String {
    let text = KeyText::random().unwrap();
    let ids = advertisers.iter().map(|id| AdvertiserId::new(*id).unwrap()).collect();
    let scope = KeyScope::of(ids).unwrap_or(KeyScope::All);
    let new = NewApiKey::new(&text, name.parse().unwrap(), scope, Timestamp::now());
    store.add_key(&new).await.unwrap();
    text.reveal().to_owned()
}

/// A server that asks for keys, with two days and every kind of advertiser.
async fn site() -> Site {
    site_with(|_| ()).await
}

async fn site_with(change: impl FnOnce(&mut api::Options)) -> Site {
    let site = Site::start_with(|options| {
        options.keys = Keys::Required;
        change(options);
    })
    .await;
    site.store.migrate().await.unwrap();
    let models = ["TopCTR", "TopProduct"];
    let older = NewDay::new(&models).ctr("acme", &[("a", 1, 3)]).ctr("gone", &[("g", 1, 3)]);
    site.publish("2024-11-19", 1, older).await;
    let newest = NewDay::new(&models)
        .ctr("acme", &[("a", 1, 3), ("b", 1, 4)])
        .views("acme", &[("a", 9)])
        .ctr("beta", &[("x", 1, 2), ("y", 1, 5)])
        .views("beta", &[("x", 2)])
        .ctr("held", &[("h", 1, 2)])
        .active("idle");
    let hold = Hold { check: "advertiser_volume".to_owned(), message: "fell by 90 %".to_owned() };
    let holds =
        Holds { advertisers: [(AdvertiserId::new("held").unwrap(), hold)].into(), ..Holds::default() };
    site.publish_held("2024-11-20", 1, newest, &holds).await;
    site
}

/// Waits until the key opens what it is for.
async fn until_known(site: &Site, key: &str, path: &str) {
    let began = Instant::now();
    while site.ask(&format!("GET {path}\nX-Api-Key: {key}")).await.status != 200 {
        assert!(began.elapsed() < PATIENCE, "{path} stays closed");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn nobody_is_answered_without_a_valid_key() {
    let site = site().await;
    let all = key(&site.store, "all", &[]).await;
    until_known(&site, &all, "/recommendations/beta/TopCTR?day=2024-11-20").await;
    let other = KeyText::random().unwrap();
    let wrong_secret = format!("{}{}", &all[..17], &other.reveal()[17..]);
    let headers = [
        String::new(),
        "Authorization: Bearer".to_owned(),
        format!("Authorization: Basic {all}"),
        format!("Authorization: {all}"),
        format!("Authorization: Bearer {}", other.reveal()),
        format!("Authorization: Bearer {wrong_secret}"),
        format!("X-Api-Key: {wrong_secret}"),
        format!("X-Api-Key: {}", &all[..all.len() - 1]),
        format!("X-Api-Key: {all}x"),
        format!("X-Api-Key: {}", all.to_uppercase()),
        format!("Cookie: key={all}"),
    ];
    for header in &headers {
        let mut bodies = Vec::new();
        for path in CLOSED {
            let answer = site.ask(&format!("GET {path}\n{header}")).await;
            assert_eq!(answer.status, 401, "{path} {header}");
            assert_eq!(answer.headers["www-authenticate"], "Bearer realm=\"topshelf\"");
            assert_eq!(answer.headers["cache-control"], "no-store");
            assert!(!answer.headers.contains_key("etag"));
            bodies.push(answer.body);
        }
        assert!(bodies[0].contains("\"code\":\"unauthorized\""), "{}", bodies[0]);
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
        for path in OPEN {
            assert_eq!(site.ask(&format!("GET {path}\n{header}")).await.status, 200, "{path} {header}");
        }
    }
    assert_eq!(site.post("/recommendations", "{").await.status, 401);
    for header in [format!("authorization: bearer {all}"), format!("x-api-key: {all}")] {
        for path in ["/recommendations/acme/TopCTR", "/history/beta", "/stats/", "/health", "/metrics"] {
            assert_eq!(site.ask(&format!("GET {path}\n{header}")).await.status, 200, "{path} {header}");
        }
    }
}

#[tokio::test]
async fn who_holds_no_key_for_all_is_told_nothing_of_the_whole() {
    let site = site().await;
    let (all, acme) = (key(&site.store, "all", &[]).await, key(&site.store, "acme", &["acme"]).await);
    until_known(&site, &acme, "/recommendations/acme/TopCTR?day=2024-11-20").await;
    for header in ["", &format!("X-Api-Key: {acme}")] {
        assert_eq!(site.ask(&format!("GET /health/ready\n{header}")).await.body, r#"{"status":"ready"}"#);
        let home = site.ask(&format!("GET /\n{header}")).await.body;
        for secret in ["2024-11", "acme", "beta", "sqlite"] {
            assert!(!home.contains(secret), "{secret}: {home}");
        }
    }
    let ready = site.ask(&format!("GET /health/ready\nX-Api-Key: {all}")).await.body;
    assert!(ready.contains("\"newest_day\":\"2024-11-20\""), "{ready}");
    for path in ["/stats/", "/stats?limit=0", "/health", "/metrics"] {
        let answer = site.ask(&format!("GET {path}\nX-Api-Key: {acme}")).await;
        assert_eq!(answer.status, 403, "{path}");
        assert!(answer.body.contains("\"code\":\"forbidden\""), "{}", answer.body);
    }
}

/// Whom a key for `acme` alone must not tell from who never was: each as long as the others, or the length would tell.
const OTHERS: &[&str] = &["beta", "gone", "held", "idle"];
const NOBODY: &str = "none";

#[tokio::test]
async fn another_advertiser_is_answered_as_one_that_never_was() {
    let site = site().await;
    let (all, acme) = (key(&site.store, "all", &[]).await, key(&site.store, "acme", &["acme"]).await);
    until_known(&site, &all, "/recommendations/beta/TopCTR?day=2024-11-20").await;
    until_known(&site, &acme, "/recommendations/acme/TopCTR?day=2024-11-20").await;
    let mut compared = 0;
    for other in OTHERS {
        let tag = site.ask(&format!("GET /recommendations/{other}/TopCTR\nX-Api-Key: {all}")).await;
        let tag = tag.headers.get("etag").cloned().unwrap_or_else(|| "\"x\"".to_owned());
        for path in [
            "/recommendations/ID/TopCTR",
            "/recommendations/ID/topproduct/",
            "/recommendations/ID/Trending",
            "/recommendations/ID/Nonsense",
            "/recommendations/ID/TopCTR?limit=1",
            "/recommendations/ID/TopCTR?day=2024-11-19",
            "/recommendations/ID/TopCTR?day=2024-11-20",
            "/recommendations/ID/TopCTR?day=1999-01-01",
            "/recommendations/ID/TopCTR?day=x",
            "/history/ID",
            "/history/ID/?days=1",
            "/history/ID/?model=TopCTR",
            "/history/ID/?model=Trending",
            "/history/ID/?days=0",
        ] {
            for header in [
                String::new(),
                format!("If-None-Match: {tag}"),
                "If-None-Match: *".to_owned(),
                "Accept-Encoding: gzip".to_owned(),
            ] {
                for method in ["GET", "HEAD"] {
                    let answer = |id: &str| {
                        let path = path.replace("ID", id);
                        let request = format!("{method} {path}\nX-Api-Key: {acme}\n{header}");
                        let site = &site;
                        async move { site.ask(&request).await }
                    };
                    let (theirs, nobodys) = (answer(other).await, answer(NOBODY).await);
                    assert_eq!(theirs.status, nobodys.status, "{path} {header}");
                    assert!(theirs.status >= 400, "{path} {header}");
                    let without_date = |mut answer: crate::harness::Answer| {
                        answer.headers.remove("date");
                        answer.headers.remove("x-request-id");
                        (answer.headers, answer.body.replace(other, NOBODY))
                    };
                    assert_eq!(without_date(theirs), without_date(nobodys), "{path} {header}");
                    compared += 1;
                }
            }
        }
        let ask = |id: &str| {
            format!(
                r#"{{"requests":[{{"advertiser_id":"{id}","model":"TopCTR"}},{{"advertiser_id":"{id}","model":"Trending"}}]}}"#
            )
        };
        let theirs = site.post_with("/recommendations", &format!("X-Api-Key: {acme}"), &ask(other)).await;
        let nobodys = site.post_with("/recommendations", &format!("X-Api-Key: {acme}"), &ask(NOBODY)).await;
        assert_eq!(theirs.status, 200);
        assert!(theirs.body.contains("unknown_advertiser"), "{}", theirs.body);
        assert_eq!(theirs.body.replace(other, NOBODY), nobodys.body);
    }
    assert_eq!(compared, OTHERS.len() * 14 * 4 * 2);
    let own = site.ask(&format!("GET /recommendations/acme/TopCTR\nX-Api-Key: {acme}")).await;
    let seen_by_all = site.ask(&format!("GET /recommendations/acme/TopCTR\nX-Api-Key: {all}")).await;
    assert_eq!((own.status, &own.body), (200, &seen_by_all.body));
}

/// How often each is asked, in pairs.
const PAIRS: usize = 3000;

/// Of pairs that differ by chance alone, the share in which the one is slower leaves this with a probability below 10⁻⁹
/// (binomial, 6 standard deviations).
const BY_CHANCE: std::ops::RangeInclusive<f64> = 0.445..=0.555;

#[tokio::test]
async fn time_does_not_tell_another_advertiser_from_one_that_never_was() {
    let site = site().await;
    let acme = key(&site.store, "acme", &["acme"]).await;
    until_known(&site, &acme, "/recommendations/acme/TopCTR?day=2024-11-20").await;
    let mut connection = TcpStream::connect(site.address).await.unwrap();
    let mut time = async |id: &str| {
        let request =
            format!("GET /recommendations/{id}/TopCTR HTTP/1.1\r\nHost: t\r\nX-Api-Key: {acme}\r\n\r\n");
        let mut bytes = [0; 4096];
        let asked = Instant::now();
        connection.write_all(request.as_bytes()).await.unwrap();
        let read = connection.read(&mut bytes).await.unwrap();
        let elapsed = asked.elapsed();
        assert!(bytes[..read].starts_with(b"HTTP/1.1 404 ") && bytes[..read].ends_with(b"}"));
        elapsed
    };
    let mut slower = 0;
    for pair in 0..PAIRS {
        // In either order as often, so that nothing is due to who comes first.
        let (theirs, nobodys) = match pair % 2 {
            0 => (time("beta").await, time(NOBODY).await),
            _ => {
                let nobodys = time(NOBODY).await;
                (time("beta").await, nobodys)
            }
        };
        slower += usize::from(theirs > nobodys);
    }
    let share = slower as f64 / PAIRS as f64;
    assert!(BY_CHANCE.contains(&share), "slower in {share} of the pairs");
}

#[tokio::test]
async fn what_needs_a_key_is_kept_by_who_asked_alone() {
    let site = site().await;
    let acme = key(&site.store, "acme", &["acme"]).await;
    until_known(&site, &acme, "/recommendations/acme/TopCTR?day=2024-11-20").await;
    for path in ["/recommendations/acme/TopCTR", "/history/acme"] {
        let answer = site.ask(&format!("GET {path}\nX-Api-Key: {acme}")).await;
        assert!(answer.headers["cache-control"].starts_with("private, max-age="), "{:?}", answer.headers);
        assert_eq!(answer.headers["vary"], "accept-encoding, authorization, x-api-key");
        let tag = &answer.headers["etag"];
        let again = site.ask(&format!("GET {path}\nX-Api-Key: {acme}\nIf-None-Match: {tag}")).await;
        assert_eq!(again.status, 304);
        assert_eq!(site.ask(&format!("GET {path}\nIf-None-Match: {tag}")).await.status, 401);
    }
}

#[tokio::test]
async fn keys_come_into_force_and_go_out_of_it_while_the_server_runs() {
    let site = site().await;
    let first = key(&site.store, "first", &[]).await;
    until_known(&site, &first, "/recommendations/beta/TopCTR?day=2024-11-20").await;
    let second = key(&site.store, "second", &["acme"]).await;
    until_known(&site, &second, "/recommendations/acme/TopCTR?day=2024-11-20").await;
    site.store.revoke_key("first", Timestamp::now()).await.unwrap();
    let began = Instant::now();
    while site.ask(&format!("GET /stats/\nX-Api-Key: {first}")).await.status != 401 {
        assert!(began.elapsed() < PATIENCE, "what was revoked stays valid");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert_eq!(site.ask(&format!("GET /history/acme\nX-Api-Key: {second}")).await.status, 200);
    let began = Instant::now();
    loop {
        let keys = site.store.keys().await.unwrap();
        let used = |name: &str| keys.iter().find(|key| key.name == name).unwrap().last_used_at;
        if used("first").is_some() && used("second").is_some() {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "it is not noted which keys are used: {keys:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_connection_is_good_for_no_more_than_the_key_of_each_request() {
    const RANKING: &str = "/recommendations/beta/TopCTR?day=2024-11-20";
    let site = site().await;
    let (all, acme) = (key(&site.store, "all", &[]).await, key(&site.store, "acme", &["acme"]).await);
    until_known(&site, &all, RANKING).await;
    until_known(&site, &acme, "/recommendations/acme/TopCTR?day=2024-11-20").await;
    let mut connection = Connection::open(site.address).await;
    let mut ask = async |key: &str| {
        let request = format!("GET {RANKING} HTTP/1.1\r\nHost: t\r\nX-Api-Key: {key}\r\n\r\n");
        connection.send(&request).await;
        connection.answer().await.status
    };
    let wrong = format!("{}{}", &all[..17], &acme[17..]);
    for (key, status) in [(&all, 200), (&acme, 404), (&all, 200), (&wrong, 401), (&all, 200), (&all, 200)] {
        assert_eq!(ask(key).await, status, "{key}");
    }
    assert_eq!(ask("").await, 401);
    assert_eq!(ask(&all).await, 200);
    site.store.revoke_key("all", Timestamp::now()).await.unwrap();
    let began = Instant::now();
    while ask(&all).await != 401 {
        assert!(began.elapsed() < PATIENCE, "what was revoked stays valid where it was sent before");
    }
}

#[tokio::test]
async fn each_key_has_its_own_rate_wherever_it_comes_from() {
    let site = site_with(|options| {
        (options.limits.requests_per_second, options.limits.requests_burst) = (1, 200);
    })
    .await;
    let (all, acme) = (key(&site.store, "all", &[]).await, key(&site.store, "acme", &["acme"]).await);
    let path = "/recommendations/acme/TopCTR?day=2024-11-20";
    until_known(&site, &acme, path).await;
    until_known(&site, &all, path).await;
    let status = async |header: &str| site.ask(&format!("GET {path}\n{header}")).await.status;
    within(async { while status(&format!("X-Api-Key: {acme}")).await != 429 {} }).await;
    assert_eq!(status(&format!("X-Api-Key: {all}")).await, 200);
    assert_eq!(status("").await, 401);
}

#[tokio::test]
async fn a_server_beyond_loopback_asks_for_keys_unless_told_not_to() {
    let asks = |listen: &'static str, keys| async move {
        let site =
            Site::start_with(|options| (options.listen, options.keys) = (listen.to_owned(), keys)).await;
        site.store.migrate().await.unwrap();
        site.publish("2024-11-20", 1, NewDay::new(&["TopCTR"]).ctr("acme", &[("a", 1, 3)])).await;
        site.until("/health/ready", "ready\"").await;
        site.ask("GET /recommendations/acme/TopCTR").await.status == 401
    };
    assert!(!asks("127.0.0.1:0", Keys::Auto).await);
    assert!(asks("0.0.0.0:0", Keys::Auto).await);
    assert!(asks("127.0.0.1:0", Keys::Required).await);
    assert!(!asks("0.0.0.0:0", Keys::Off).await);
}

#[tokio::test]
async fn keys_are_known_without_the_database() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("snapshot");
    let keep = |options: &mut api::Options| options.snapshot_dir = Some(snapshot.clone());
    let mut site = site_with(keep).await;
    let acme = key(&site.store, "acme", &["acme"]).await;
    until_known(&site, &acme, "/recommendations/acme/TopCTR?day=2024-11-20").await;
    let began = Instant::now();
    // Both files are kept from the start, when there was no key and one day.
    let has_kept = |file: &str, what: &str| {
        fs::read_to_string(snapshot.join(file)).is_ok_and(|kept| kept.contains(what))
    };
    while !(has_kept("keys", "\"acme\"") && has_kept("manifest", "2024-11-20")) {
        assert!(began.elapsed() < PATIENCE, "they are not kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let url = site.url();
    site.end(Duration::ZERO);
    let database = site.ended_without_its_database().await;

    let lost = |snapshot: std::path::PathBuf| {
        let (url, database) = (url.clone(), &database);
        async move {
            let other =
                Store::open(&format!("sqlite:{}", database.path().join("other.db").display())).await.unwrap();
            Site::serve(ServedStore::Closed(url.into()), other, tempfile::tempdir().unwrap(), |options| {
                (options.keys, options.snapshot_dir) = (Keys::Required, Some(snapshot));
            })
            .await
        }
    };
    let site = lost(snapshot.clone()).await;
    until_known(&site, &acme, "/recommendations/acme/TopCTR?day=2024-11-20").await;
    assert_eq!(site.ask("GET /history/acme").await.status, 401);
    let other = KeyText::random().unwrap();
    assert_eq!(site.ask(&format!("GET /history/acme\nX-Api-Key: {}", other.reveal())).await.status, 401);

    // Bytes that changed are not believed: nobody is let in, and nobody is told that the key is wrong.
    let keys = snapshot.join("keys");
    let changed = fs::read_to_string(&keys).unwrap().replace("\"acme\"", "\"beta\"");
    fs::write(&keys, changed).unwrap();
    let site = lost(snapshot.clone()).await;
    site.until("/health/ready", "\"ready\"").await;
    let answer = site.ask(&format!("GET /history/acme\nX-Api-Key: {acme}")).await;
    assert_eq!((answer.status, answer.headers["retry-after"].as_str()), (503, "2"));
    assert!(answer.body.contains("\"code\":\"keys_unavailable\""), "{}", answer.body);
    assert_eq!(site.ask("GET /history/acme").await.status, 401);
}

#[tokio::test]
async fn the_text_of_a_key_is_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let snapshot = folder.path().join("snapshot");
    let site = site_with(|options| options.snapshot_dir = Some(snapshot.clone())).await;
    let all = key(&site.store, "all", &[]).await;
    until_known(&site, &all, "/recommendations/beta/TopCTR?day=2024-11-20").await;
    let began = Instant::now();
    while !snapshot.join("keys").exists() {
        assert!(began.elapsed() < PATIENCE, "they are not kept");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let secret = all.rsplit('_').next().unwrap().as_bytes();
    let database = site.directory();
    let mut files = 0;
    for entry in fs::read_dir(&snapshot).unwrap().chain(fs::read_dir(database).unwrap()) {
        let bytes = fs::read(entry.unwrap().path()).unwrap();
        assert!(!bytes.windows(secret.len()).any(|part| part == secret));
        files += 1;
    }
    assert!(files >= 3, "{files}");
}
