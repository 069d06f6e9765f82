//! A whole night in the image: logs in a bucket, rankings, a database behind TLS, and readers.

use crate::place::{DAY, Place};
use serde_json::Value;
use std::fs;

/// Borrowed, as flags are passed on.
fn flags(settings: &[String]) -> Vec<&str> {
    settings.iter().map(String::as_str).collect()
}

#[test]
fn a_night_from_a_bucket_reaches_readers_by_way_of_a_database_behind_tls() {
    let place = Place::new();
    let settings = place.settings();
    let settings = flags(&settings);
    let call = |arguments: &[&str]| place.engine.end_well(&settings, arguments);
    call(&["migrate"]);
    call(&["doctor", "--day", DAY]);
    call(&["run", "--day", DAY]);
    let key = call(&["keys", "create", "--name", "bidder", "--all"]);
    let served = place.engine.start("serve", &settings, &["serve"]);
    served.until_ready();

    // Nobody but the user of the image, who can gain nothing.
    let status = fs::read_to_string(format!("/proc/{}/status", served.pid())).unwrap();
    for line in [
        "Uid:\t65532\t65532\t65532\t65532",
        "Gid:\t65532\t65532",
        "NoNewPrivs:\t1",
        "CapEff:\t0000000000000000",
    ] {
        assert!(status.contains(line), "{status}");
    }

    // What readers are told is what a program without container, bucket and server would tell them.
    place.outside(&["run", "--day", DAY]);
    let ask = |path: &str| ask(&place, key.trim(), path);
    let stats = ask("/stats/");
    assert_eq!(stats["day"], DAY);
    let advertisers = fs::read_to_string(place.logs().join("advertiser_ids.csv")).unwrap();
    let advertisers: Vec<_> = advertisers.lines().skip(1).collect();
    assert_eq!(stats["advertisers"]["active"], advertisers.len());
    for advertiser in advertisers {
        for model in ["TopCTR", "TopProduct"] {
            let served = ask(&format!("/recommendations/{advertiser}/{model}"));
            let shown: Value =
                serde_json::from_str(&place.outside(&["show", advertiser, model, "--json"])).unwrap();
            assert_eq!(served["recommendations"], shown["recommendations"], "{advertiser} {model}");
            assert!(!served["recommendations"].as_array().unwrap().is_empty());
        }
        assert_eq!(ask(&format!("/history/{advertiser}/"))["days"][0]["day"], DAY);
    }
}

#[test]
fn a_database_is_believed_by_its_authority_alone() {
    let place = Place::new();
    let unbelieved = place.without_authority();
    // The authorities that the image brings do not know this one.
    let mut unbelieved: Vec<_> =
        unbelieved.iter().map(|flag| flag.replace("&sslrootcert=/ca.pem", "")).collect();
    let told = place.engine.call(&flags(&unbelieved), &["doctor", "--day", DAY]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(1), "{text}");
    assert!(text.contains("is unknown") && text.contains("sslrootcert"), "{text}");
    // In place of those that it brings.
    unbelieved.push(format!("--volume={}:/ca.pem:ro", place.engine.path("ca.pem").display()));
    unbelieved.push("--env=SSL_CERT_FILE=/ca.pem".to_owned());
    place.engine.end_well(&flags(&unbelieved), &["migrate"]);
    place.engine.end_well(&flags(&unbelieved), &["doctor", "--day", DAY]);
}

#[test]
fn names_are_those_of_the_network_and_of_the_hosts_file() {
    let place = Place::new();
    let mut settings = place.settings();
    // A name that the DNS says does not exist.
    settings.push("--add-host=elsewhere.shelf.test:127.0.0.1".to_owned());
    let of_hosts = settings.iter().map(|flag| flag.replace("http://buckets.", "http://elsewhere."));
    let of_hosts: Vec<_> = of_hosts.collect();
    assert_ne!(of_hosts, settings);
    place.engine.end_well(&flags(&of_hosts), &["count", "--day", DAY]);
    let unknown: Vec<_> =
        settings.iter().map(|flag| flag.replace("http://buckets.", "http://nowhere.")).collect();
    let told = place.engine.call(&flags(&unknown), &["doctor", "--day", DAY]);
    let text = String::from_utf8(told.stdout).unwrap();
    assert_eq!(told.status.code(), Some(1), "{text}");
    assert!(text.contains("nowhere.shelf.test"), "{text}");
}

/// The answer to a request with a key, which must be 200.
fn ask(place: &Place, key: &str, path: &str) -> Value {
    let url = format!("http://127.0.0.1:8080{path}");
    let request = reqwest::Client::builder().no_proxy().build().unwrap().get(url).bearer_auth(key);
    let text = place.runtime.block_on(async {
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 200, "{path}");
        answer.text().await.unwrap()
    });
    serde_json::from_str(&text).unwrap()
}
