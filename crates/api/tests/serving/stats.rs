//! `/stats/`

use crate::harness::{NewDay, Site};
use serde_json::{Value, json};

const BOTH: &[&str] = &["TopCTR", "TopProduct"];

async fn stats(site: &Site, asked: &str) -> Value {
    serde_json::from_str(&site.ask(&format!("GET /stats/{asked}")).await.body).unwrap()
}

#[tokio::test]
async fn the_numbers_are_those_of_the_definitions() {
    let site = Site::publishing(vec![
        (
            "2024-11-18",
            NewDay::new(BOTH).ctr("acme", &[("a", 1, 2), ("b", 1, 2)]).ctr("calm", &[("x", 1, 1)]),
        ),
        (
            "2024-11-19",
            NewDay::new(BOTH).ctr("acme", &[("a", 1, 2), ("c", 1, 2)]).ctr("calm", &[("x", 1, 1)]),
        ),
        (
            "2024-11-21",
            NewDay::new(BOTH)
                .ctr("acme", &[("d", 1, 2), ("e", 1, 2)])
                .views("acme", &[("d", 4), ("f", 2), ("g", 1)])
                .ctr("calm", &[("x", 1, 1)])
                .views("calm", &[("x", 7)])
                .active("idle"),
        ),
    ])
    .await;
    // acme by TopCTR: {a,b} → {a,c} shares 1 of 3, {a,c} → {d,e} none: (2/3 + 1) / 2. By TopProduct it
    // had nothing before, which is a change of 1 once, and nothing to compare before that.
    assert_eq!(
        site.check("GET /stats/").await,
        "200 · application/json · public, max-age=N\n\
        {\"day\":\"2024-11-21\",\"advertisers\":{\"active\":3,\"with_recommendations\":2},\"models\":[\
        {\"model\":\"TopCTR\",\"advertisers\":2,\"recommendations\":3},\
        {\"model\":\"TopProduct\",\"advertisers\":2,\"recommendations\":4}],\
        \"most_variable_advertisers\":[\
        {\"advertiser_id\":\"acme\",\"model\":\"TopProduct\",\"mean_change\":1,\"days\":1},\
        {\"advertiser_id\":\"calm\",\"model\":\"TopProduct\",\"mean_change\":1,\"days\":1},\
        {\"advertiser_id\":\"acme\",\"model\":\"TopCTR\",\"mean_change\":0.8333333333333334,\"days\":2},\
        {\"advertiser_id\":\"calm\",\"model\":\"TopCTR\",\"mean_change\":0,\"days\":2}],\
        \"model_agreement\":{\"mean_overlap\":1,\"advertisers\":[\
        {\"advertiser_id\":\"acme\",\"common\":1,\"jaccard\":0.25},\
        {\"advertiser_id\":\"calm\",\"common\":1,\"jaccard\":1}]},\
        \"page\":{\"offset\":0,\"limit\":20,\"next_offset\":null,\"most_variable_advertisers\":4,\
        \"model_agreement\":2}}"
    );
}

#[tokio::test]
async fn change_looks_at_the_last_seven_published_days() {
    let product = |number: u32| if number <= 3 { "before".to_owned() } else { "after".to_owned() };
    let texts: Vec<_> = (1..=9).map(|number| format!("2024-11-{number:02}")).collect();
    let days = texts.iter().zip(1..).map(|(text, number)| {
        (text.as_str(), NewDay::new(&["TopCTR"]).ctr("acme", &[(&product(number), 1, 1)]))
    });
    let site = Site::publishing(days.collect()).await;
    // Days 3 to 9 have six changes, of which the first, from day 3 to 4, is whole.
    let expected = json!([{"advertiser_id": "acme", "model": "TopCTR", "mean_change": 1.0 / 6.0, "days": 6}]);
    assert_eq!(stats(&site, "").await["most_variable_advertisers"], expected);
}

#[tokio::test]
async fn agreement_is_null_when_a_model_was_not_computed() {
    let site =
        Site::publishing(vec![("2024-11-20", NewDay::new(&["TopCTR"]).ctr("acme", &[("a", 1, 1)]))]).await;
    assert_eq!(stats(&site, "").await["model_agreement"], json!({"mean_overlap": null, "advertisers": []}));
}

#[tokio::test]
async fn lists_hold_twenty_unless_asked_otherwise_in_an_order_that_is_total() {
    let names: Vec<_> = (0..25).map(|number| format!("adv-{number:02}")).collect();
    let new_day = |products: [&str; 2]| {
        names.iter().fold(NewDay::new(BOTH), |day, name| {
            day.ctr(name, &[(products[0], 1, 1)]).views(name, &[(products[1], 1)])
        })
    };
    let site =
        Site::publishing(vec![("2024-11-19", new_day(["a", "b"])), ("2024-11-20", new_day(["c", "d"]))])
            .await;
    let sizes = |stats: &Value| {
        [&stats["most_variable_advertisers"], &stats["model_agreement"]["advertisers"]]
            .map(|list| list.as_array().unwrap().len())
    };
    assert_eq!(sizes(&stats(&site, "").await), [20, 20]);
    assert_eq!(sizes(&stats(&site, "?limit=3").await), [3, 3]);
    let all = stats(&site, "?limit=1000").await;
    assert_eq!(sizes(&all), [50, 25]);
    let order: Vec<_> = all["most_variable_advertisers"].as_array().unwrap().iter().collect();
    let expected = names.iter().flat_map(|name| BOTH.iter().map(move |model| (name.as_str(), *model)));
    let order = order
        .iter()
        .map(|entry| (entry["advertiser_id"].as_str().unwrap(), entry["model"].as_str().unwrap()));
    assert!(order.eq(expected));
    for limit in ["0", "1001", "-1", "many", ""] {
        assert_eq!(stats(&site, &format!("?limit={limit}")).await["code"], "bad_parameter");
    }
}

#[tokio::test]
async fn the_lists_come_in_parts_that_make_the_whole() {
    let names: Vec<_> = (0..25).map(|number| format!("advertiser-{number:02}")).collect();
    let day = |shift: usize| {
        names.iter().enumerate().fold(NewDay::new(BOTH), |day, (number, name)| {
            let products = ["a", "b", "c", "d", "e"];
            let ctr = products.map(|product| (product, 1, 2));
            let views = products.map(|product| (product, 1));
            let from = (number + shift) % 4;
            day.ctr(name, &ctr[from..]).views(name, &views[..=number % 5])
        })
    };
    let site = Site::publishing(vec![("2024-11-20", day(0)), ("2024-11-21", day(1))]).await;
    let whole = stats(&site, "?limit=1000").await;
    assert_eq!(whole["page"]["next_offset"], Value::Null);
    assert_eq!(whole["page"]["most_variable_advertisers"], 50);
    let (mut variable, mut agreement, mut offset) = (Vec::new(), Vec::new(), json!(0));
    while !offset.is_null() {
        let part = stats(&site, &format!("?limit=7&offset={offset}")).await;
        variable.extend(part["most_variable_advertisers"].as_array().unwrap().clone());
        agreement.extend(part["model_agreement"]["advertisers"].as_array().unwrap().clone());
        offset = part["page"]["next_offset"].clone();
    }
    assert_eq!(&variable, whole["most_variable_advertisers"].as_array().unwrap());
    assert_eq!(&agreement, whole["model_agreement"]["advertisers"].as_array().unwrap());
    assert_eq!((variable.len(), agreement.len()), (50, 25));
    let past = stats(&site, "?offset=50").await;
    assert_eq!(
        (&past["most_variable_advertisers"], &past["page"]["next_offset"]),
        (&json!([]), &Value::Null)
    );
    let refused = site.check("GET /stats/?offset=-1").await;
    assert!(refused.contains("parameter offset is \\\"-1\\\": expected a number from 0"), "{refused}");
}
