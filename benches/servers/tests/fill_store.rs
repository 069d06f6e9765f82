//! What `fill_store` publishes is what readers of the store get.

#![allow(clippy::unwrap_used, reason = "a test that fails says so")]

use bench_servers::rankings;
use serde_json::Value;
use std::process::Command;
use store::Store;

#[tokio::test]
async fn days_are_published_one_after_the_other_and_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("topshelf.db").display());
    let fill = |first: &str, days: &str| -> Vec<Value> {
        let mut fill = Command::new(env!("CARGO_BIN_EXE_fill_store"));
        fill.args(["--store", &url, "--advertisers", "3", "--first", first, "--days", days]);
        let done = fill.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout)
            .unwrap()
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect()
    };
    let published = [fill("0", "2"), fill("2", "1")].concat();
    let days = ["2024-11-20", "2024-11-21", "2024-11-22"];
    assert_eq!(published.iter().map(|day| day["day"].as_str().unwrap()).collect::<Vec<_>>(), days);
    assert!(published.is_sorted_by_key(|day| day["version"].as_i64().unwrap()));

    let store = Store::open_existing(&url).await.unwrap();
    for (number, day) in (0..).zip(days) {
        let day = day.parse().unwrap();
        assert_eq!(store.rankings_of_day(day).await.unwrap().unwrap(), rankings::of_day(day, number, 3).0);
    }
}
