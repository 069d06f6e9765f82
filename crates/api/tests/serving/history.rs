//! `/history/{advertiser}/`

use crate::harness::{NewDay, Site};
use serde_json::Value;

const BOTH: &[&str] = &["TopCTR", "TopProduct"];

/// Nine days, 2024-11-01 to 2024-11-09: `acme` on all, `odd` on odd days, `early` on the first, `idle`
/// never with events; TopProduct from the fifth on.
async fn site() -> Site {
    let new_day = |number: u64| {
        let mut new = NewDay::new(if number < 5 { &["TopCTR"] } else { BOTH }).active("idle");
        new = new.ctr("acme", &[("a", 1, number)]);
        if number >= 5 {
            new = new.views("acme", &[("b", number)]);
        }
        if number % 2 == 1 {
            new = new.active("odd").ctr("odd", &[("o", 1, 1)]);
        }
        if number == 1 { new.ctr("early", &[("e", 1, 1)]) } else { new }
    };
    let texts: Vec<_> = (1..=9).map(|number| format!("2024-11-{number:02}")).collect();
    Site::publishing(texts.iter().zip(1..).map(|(text, number)| (text.as_str(), new_day(number))).collect())
        .await
}

async fn history(site: &Site, asked: &str) -> Value {
    serde_json::from_str(&site.ask(&format!("GET /history/{asked}")).await.body).unwrap()
}

fn days(history: &Value) -> Vec<&str> {
    history["days"].as_array().unwrap().iter().map(|day| &day["day"].as_str().unwrap()[8..]).collect()
}

#[tokio::test]
async fn all_models_of_the_last_days_come_newest_first() {
    let site = site().await;
    assert_eq!(
        site.check("GET /history/acme/?days=2").await,
        "200 · application/json · public, max-age=N\n\
        {\"advertiser_id\":\"acme\",\"from\":\"2024-11-08\",\"to\":\"2024-11-09\",\"days\":[\
        {\"day\":\"2024-11-09\",\"models\":{\
        \"TopCTR\":[{\"rank\":1,\"product_id\":\"a\",\"score\":0.1111111111111111,\"impressions\":9,\"clicks\":1,\"views\":0}],\
        \"TopProduct\":[{\"rank\":1,\"product_id\":\"b\",\"score\":9,\"impressions\":0,\"clicks\":0,\"views\":9}]}},\
        {\"day\":\"2024-11-08\",\"models\":{\
        \"TopCTR\":[{\"rank\":1,\"product_id\":\"a\",\"score\":0.125,\"impressions\":8,\"clicks\":1,\"views\":0}],\
        \"TopProduct\":[{\"rank\":1,\"product_id\":\"b\",\"score\":8,\"impressions\":0,\"clicks\":0,\"views\":8}]}}]}"
    );
}

#[tokio::test]
async fn seven_days_unless_asked_otherwise_and_those_the_advertiser_was_active_on() {
    let site = site().await;
    let acme = history(&site, "acme/").await;
    assert_eq!(days(&acme), ["09", "08", "07", "06", "05", "04", "03"]);
    assert_eq!(acme["days"][6]["models"].as_object().unwrap().keys().collect::<Vec<_>>(), ["TopCTR"]);
    let odd = history(&site, "odd").await;
    assert_eq!(days(&odd), ["09", "07", "05", "03"]);
    assert_eq!((&odd["from"], &odd["to"]), (&"2024-11-03".into(), &"2024-11-09".into()));
    assert_eq!(odd["days"][0]["models"]["TopProduct"], serde_json::json!([]));
    assert_eq!(days(&history(&site, "early?days=30").await), ["01"]);
}

#[tokio::test]
async fn one_model_alone_can_be_asked_for() {
    let answer = history(&site().await, "acme/?model=TOPproduct&days=1").await;
    assert_eq!(answer["days"][0]["models"].as_object().unwrap().keys().collect::<Vec<_>>(), ["TopProduct"]);
}

#[tokio::test]
async fn each_refusal_has_its_code() {
    let site = site().await;
    let cases = [
        ("nobody/", "unknown_advertiser", "\"nobody\" is on none of the published days"),
        ("early/", "inactive_advertiser", "\"early\" was not active on 2024-11-09"),
        ("acme/?model=Best", "unknown_model", "the models are TopCTR, TopProduct, Trending"),
        ("acme/?model=Trending", "model_not_computed", "not computed for 2024-11-03 to 2024-11-09"),
        (
            "idle/",
            "insufficient_data",
            "TopCTR, TopProduct could rank none of its products from 2024-11-03 to 2024-11-09",
        ),
        ("odd/?model=TopProduct", "insufficient_data", "TopProduct could rank none"),
        ("acme/?days=0", "bad_parameter", "days is \"0\": expected a number from 1 to 30"),
        ("acme/?days=31", "bad_parameter", "days is \"31\": expected a number from 1 to 30"),
        ("acme/?day=2024-11-09", "bad_parameter", "the parameters are days, model"),
        ("%ff/", "bad_parameter", "does not decode to UTF-8"),
    ];
    for (asked, code, detail) in cases {
        let problem = history(&site, asked).await;
        assert_eq!(problem["code"], code, "{asked}");
        assert!(problem["detail"].as_str().unwrap().contains(detail), "{asked}: {problem}");
    }
}
