//! Everything that the API says of some days, compared with the naive answer.

use crate::{
    naive::Naive,
    site::{Answer, Client, Site, segment},
};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

const MODELS: [&str; 2] = ["TopCTR", "TopProduct"];

/// Asks for every day, advertiser and model that has a ranking, and once where there is none for a
/// reason of its own; for every history and the statistics. Each must be what the naive computation
/// says. What comes back is each path's answer, byte for byte.
pub(crate) async fn check(site: &Site, naive: &Naive) -> BTreeMap<String, Answer> {
    let mut asked = Asked { client: site.client().await, answers: BTreeMap::new() };
    let published = naive.published();
    for advertiser in naive.advertisers() {
        for model in MODELS {
            check_model(&mut asked, naive, &published, advertiser, model).await;
        }
        check_history(&mut asked, naive, &published, advertiser).await;
    }
    check_stats(&mut asked, naive, &published).await;
    asked.answers
}

struct Asked {
    client: Client,
    answers: BTreeMap<String, Answer>,
}

impl Asked {
    async fn get(&mut self, path: String) -> Answer {
        let answer = self.client.get(&path).await;
        self.answers.insert(path, answer.clone());
        answer
    }
}

async fn check_model(asked: &mut Asked, naive: &Naive, published: &[&str], advertiser: &str, model: &str) {
    let path = format!("/recommendations/{}/{model}", segment(advertiser));
    let mut told = BTreeSet::new();
    for day in &naive.days {
        let expected = expected(naive, published, day, advertiser, model);
        if expected.as_ref().is_err_and(|code| !told.insert(*code)) {
            continue;
        }
        let answer = asked.get(format!("{path}?day={day}")).await;
        match expected {
            Ok(ranking) => assert_ranking(&answer, [advertiser, model, day], &ranking),
            Err(code) => assert_problem(&answer, code),
        }
        if published.first() == Some(&day.as_str()) {
            assert_eq!(asked.get(path.clone()).await, answer, "the newest day of {advertiser:?}");
        }
    }
}

fn assert_ranking(answer: &Answer, names: [&str; 3], ranking: &[String]) {
    let [advertiser, model, day] = names.map(|name| json!(name));
    let start = format!(r#"{{"advertiser_id":{advertiser},"model":{model},"day":{day},"run_id":"#);
    let end = format!(r#""recommendations":[{}]}}"#, ranking.join(","));
    assert_eq!(answer.status, 200, "{names:?}: {}", answer.body);
    assert!(answer.body.starts_with(&start), "{names:?}: {}", answer.body);
    assert!(answer.body.ends_with(&end), "{names:?}: expected {end}\nin {}", answer.body);
}

fn assert_problem(answer: &Answer, code: &str) {
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!((answer.status, &body["code"]), (404, &json!(code)), "{}", answer.body);
}

/// The ranking, or why there is none.
fn expected(
    naive: &Naive,
    published: &[&str],
    day: &str,
    advertiser: &str,
    model: &str,
) -> Result<Vec<String>, &'static str> {
    let ranking = naive.ranking(day, advertiser, model);
    let why_not = if published.is_empty() {
        "no_publication_yet"
    } else if !published.contains(&day) {
        "no_publication_for_day"
    } else if !published.iter().any(|day| naive.is_active(day, advertiser)) {
        "unknown_advertiser"
    } else if !naive.is_active(day, advertiser) {
        "inactive_advertiser"
    } else if !naive.models.contains(&model) {
        "model_not_computed"
    } else if ranking.is_empty() {
        "insufficient_data"
    } else {
        return Ok(ranking);
    };
    Err(why_not)
}

async fn check_history(asked: &mut Asked, naive: &Naive, published: &[&str], advertiser: &str) {
    let answer = asked.get(format!("/history/{}/?days=400", segment(advertiser))).await;
    let days: Vec<_> = published.iter().filter(|day| naive.is_active(day, advertiser)).collect();
    let ranking = |day: &str, model: &str| naive.ranking(day, advertiser, model).join(",");
    let has_ranking = |day: &str| naive.models.iter().any(|model| !ranking(day, model).is_empty());
    if !days.iter().any(|day| has_ranking(day)) {
        assert_eq!(answer.status, 404, "{}", answer.body);
        return;
    }
    let (id, from, to) = (json!(advertiser), days[days.len() - 1], days[0]);
    let days = days.iter().map(|day| {
        let models = naive.models.iter().map(|model| format!(r#""{model}":[{}]"#, ranking(day, model)));
        format!(r#"{{"day":"{day}","models":{{{}}}}}"#, models.collect::<Vec<_>>().join(","))
    });
    let days = days.collect::<Vec<_>>().join(",");
    let expected = format!(r#"{{"advertiser_id":{id},"from":"{from}","to":"{to}","days":[{days}]}}"#);
    assert_eq!(answer, Answer { status: 200, body: expected });
}

async fn check_stats(asked: &mut Asked, naive: &Naive, published: &[&str]) {
    let answer = asked.get("/stats/".to_owned()).await;
    let body: Value = serde_json::from_str(&answer.body).unwrap();
    let Some(day) = published.first().copied() else {
        assert_eq!(body["code"], "no_publication_yet");
        return;
    };
    let ranked = |advertiser: &str, model: &str| naive.ranking(day, advertiser, model).len();
    let is_ranked = |advertiser: &&str| naive.models.iter().any(|model| ranked(advertiser, model) > 0);
    let models = naive.models.iter().map(|model| {
        let rankings = naive.active(day).map(|advertiser| ranked(advertiser, model));
        let rankings: Vec<_> = rankings.filter(|places| *places > 0).collect();
        let places: usize = rankings.iter().sum();
        json!({ "model": model, "advertisers": rankings.len(), "recommendations": places })
    });
    let expected = json!({
        "active": naive.active(day).count(),
        "with_recommendations": naive.active(day).filter(is_ranked).count(),
    });
    assert_eq!((&body["day"], &body["advertisers"]), (&day.into(), &expected));
    assert_eq!(body["models"], models.collect::<Value>());
}
