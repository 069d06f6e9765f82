//! `topshelf diff` between days of real input says what the API's bodies say, compared by code that shares nothing
//! with ours.

use crate::{
    data_sets::{days, folder},
    place::{Place, TWO_WAYS},
    site::{Client, segment},
};
use domain::Day;
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// Products in order, by day, advertiser and model.
type Bodies = BTreeMap<(String, String, String), Vec<String>>;

/// What the API says of every advertiser on every day.
async fn bodies(client: &mut Client, advertisers: &[String]) -> Bodies {
    let mut bodies = Bodies::new();
    for advertiser in advertisers {
        let answer = client.get(&format!("/history/{}/?days=400", segment(advertiser))).await;
        let history: Value = serde_json::from_str(&answer.body).unwrap();
        for day in history["days"].as_array().unwrap() {
            for (model, products) in day["models"].as_object().unwrap() {
                let products = products.as_array().unwrap().iter();
                let products: Vec<_> =
                    products.map(|of| of["product_id"].as_str().unwrap().to_owned()).collect();
                let key = (day["day"].as_str().unwrap().to_owned(), advertiser.clone(), model.clone());
                bodies.insert(key, products);
            }
        }
    }
    bodies
}

/// Rounds the share that changed: a reader of JSON may lose its last digit.
fn round(change: &mut Value) {
    let share = change["change"].as_f64().unwrap();
    change["change"] = json!((share * 1e12).round());
}

/// The changes between two days, as lists of products say them.
fn changes(bodies: &Bodies, advertisers: &[String], from: &str, to: &str) -> (Vec<Value>, usize) {
    let (mut changes, mut unchanged) = (Vec::new(), 0);
    for advertiser in advertisers {
        for model in ["TopCTR", "TopProduct"] {
            let products = |day: &str| {
                bodies
                    .get(&(day.to_owned(), advertiser.clone(), model.to_owned()))
                    .cloned()
                    .unwrap_or_default()
            };
            let (before, now) = (products(from), products(to));
            let mut change =
                json!({ "advertiser_id": advertiser, "model": model, "came": [], "went": [], "moved": [] });
            let mut add = |list: &str, entry: Value| change[list].as_array_mut().unwrap().push(entry);
            for (index, product) in now.iter().enumerate() {
                match before.iter().position(|other| other == product) {
                    None => add("came", json!({ "product_id": product, "rank": index + 1 })),
                    Some(there) if there != index => {
                        add(
                            "moved",
                            json!({ "product_id": product, "from_rank": there + 1, "to_rank": index + 1 }),
                        );
                    }
                    Some(_) => {}
                }
            }
            for (index, product) in before.iter().enumerate().filter(|(_, product)| !now.contains(product)) {
                add("went", json!({ "product_id": product, "rank": index + 1 }));
            }
            if before == now {
                unchanged += usize::from(!now.is_empty());
                continue;
            }
            let either: BTreeSet<_> = before.iter().chain(&now).collect();
            let common = now.iter().filter(|product| before.contains(product)).count();
            change["change"] = json!(1.0 - common as f64 / either.len() as f64);
            round(&mut change);
            changes.push(change);
        }
    }
    (changes, unchanged)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn days_differ_as_the_api_says() {
    let days: Vec<Day> = days("2024-11-20", "2024-12-19");
    let listed = std::fs::read_to_string(folder("adtech-2024").join("advertiser_ids.csv")).unwrap();
    let mut advertisers: Vec<String> = listed.lines().skip(1).map(|line| line.trim().to_owned()).collect();
    advertisers.sort();
    for way in TWO_WAYS {
        let place = Place::with_input(way, &folder("adtech-2024")).await;
        place.run(&days).await;
        let site = place.serve().await;
        let bodies = bodies(&mut site.client().await, &advertisers).await;
        assert_eq!(bodies.len(), days.len() * advertisers.len() * 2);
        let neighbours = days.iter().zip(&days[1..]);
        let mirrored = days.iter().zip(days.iter().rev()).take(days.len() / 2);
        let same = std::iter::once((&days[3], &days[3]));
        for (from, to) in neighbours.chain(mirrored).chain(same) {
            let (from, to) = (from.to_string(), to.to_string());
            let mut told: Value =
                serde_json::from_str(&place.command(&format!("diff {from} {to} --json")).await).unwrap();
            told["changes"].as_array_mut().unwrap().iter_mut().for_each(round);
            let (changes, unchanged) = changes(&bodies, &advertisers, &from, &to);
            assert!(!changes.is_empty() || from == to);
            assert_eq!(told["changes"], Value::from(changes), "{from} to {to}");
            assert_eq!(told["unchanged"], unchanged, "{from} to {to}");
        }
    }
}
