//! A password that AWS Secrets Manager keeps and changes, as a server in the image follows it, over verified TLS.

use crate::{
    aws::{ARN, Aws, of_rds},
    place::{DAY, Place},
};
use serde_json::Value;
use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// Longer than anything that is waited for takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Borrowed, as flags are passed on.
fn flags(settings: &[String]) -> Vec<&str> {
    settings.iter().map(String::as_str).collect()
}

#[test]
fn a_server_follows_a_secret_that_rotates_over_verified_tls() {
    let place = Place::new();
    let aws = Aws::new(of_rds(place.password.get()));
    let by_password = place.settings();
    place.engine.end_well(&flags(&by_password), &["run", "--day", DAY]);

    let with_secret = with_secret(&place, &aws);
    place.engine.end_well(&flags(&with_secret), &["show", "--json", &advertiser(&place), "TopCTR"]);
    let served = place.engine.start("serve", &flags(&with_secret), &["serve"]);
    served.until_ready();
    let first = served_run(&place);
    let asked = aws.asked();

    place.change_password("hunter2-second");
    aws.answers(of_rds(place.password.get()));
    add_to_logs(&place);
    place.engine.end_well(&flags(&place.settings()), &["run", "--day", DAY]);
    let began = Instant::now();
    while served_run(&place) == first {
        assert!(began.elapsed() < PATIENCE, "{}", served.log());
        thread::sleep(Duration::from_millis(50));
    }
    assert!(aws.asked() > asked && !served.log().contains("hunter2"), "{}", served.log());
}

/// The run whose ranking the server answers with.
fn served_run(place: &Place) -> Value {
    let url = format!("http://127.0.0.1:8080/recommendations/{}/TopProduct", advertiser(place));
    let request = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
    let text = place.runtime.block_on(async { request.send().await.unwrap().text().await.unwrap() });
    let mut answer: Value = serde_json::from_str(&text).unwrap();
    answer["run_id"].take()
}

/// The settings of a server that has the database's password from the secret, and asks for no keys.
fn with_secret(place: &Place, aws: &Aws) -> Vec<String> {
    let mut settings = place.settings();
    for flag in &mut settings {
        *flag = flag.replace(&format!(":{}@", place.password.get()), "@");
    }
    let environment = aws.environment();
    let more = environment.iter().map(|(name, value)| (*name, value.as_str()));
    let more = more.chain([("TOPSHELF_STORE__SECRET", ARN), ("TOPSHELF_SERVE__KEYS", "off")]);
    settings.extend(more.map(|(name, value)| format!("--env={name}={value}")));
    settings
}

fn advertiser(place: &Place) -> String {
    let advertisers = fs::read_to_string(place.logs().join("advertiser_ids.csv")).unwrap();
    advertisers.lines().nth(1).unwrap().to_owned()
}

/// Lets the logs hold more, so that readers come to see another run.
fn add_to_logs(place: &Place) {
    let file = place.logs().join("product_views.csv");
    let line = format!("{},product-of-the-second-run,{DAY}\n", advertiser(place));
    fs::write(&file, fs::read_to_string(&file).unwrap() + &line.repeat(200)).unwrap();
}
