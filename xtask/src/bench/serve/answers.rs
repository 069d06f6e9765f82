//! What topshelf answers for everyone, and whether the others answer the same.

use super::{ask::ask, contenders::Contender, request::Request, running::Running};
use crate::Failure;
use serde_json::Value;

/// How many answers of each server are compared.
const COMPARED: usize = 20;

/// An advertiser and a model that rank something, and topshelf's answer.
pub(super) struct Pair {
    pub(super) advertiser: String,
    pub(super) model: &'static str,
    pub(super) etag: String,
    pub(super) body: Vec<u8>,
}

impl Pair {
    pub(super) fn path(&self) -> String {
        format!("/recommendations/{}/{}", self.advertiser, self.model)
    }
}

/// Asks topshelf for each advertiser and model. One that is not ranked is left out.
pub(super) fn collect(
    address: &str,
    advertisers: &[String],
    models: &[&'static str],
) -> Result<Vec<Pair>, Failure> {
    let mut pairs = Vec::new();
    for advertiser in advertisers {
        for model in models {
            let path = format!("/recommendations/{advertiser}/{model}");
            let answer = ask(address, &Request::get(&path))?;
            match answer.status {
                200 => pairs.push(Pair {
                    advertiser: advertiser.clone(),
                    model,
                    etag: answer.header("etag").unwrap_or_default().to_owned(),
                    body: answer.body,
                }),
                404 => {}
                status => return Err(format!("topshelf answers {path} with {status}").into()),
            }
        }
    }
    if pairs.is_empty() { Err("topshelf recommends nothing to anybody".into()) } else { Ok(pairs) }
}

/// The answer of the middle size.
pub(super) fn of_middle_size(pairs: &[Pair]) -> &[u8] {
    let mut bodies: Vec<_> = pairs.iter().map(|pair| &pair.body).collect();
    bodies.sort_by_key(|body| body.len());
    bodies[bodies.len() / 2]
}

/// Fails when a server does not recommend what topshelf recommends.
pub(super) fn compare(contender: Contender, running: &Running, pairs: &[Pair]) -> Result<(), Failure> {
    for pair in pairs.iter().step_by(pairs.len().div_ceil(COMPARED)) {
        let theirs = ask(&running.address, &running.request(Request::get(pair.path())))?;
        let ours = serde_json::from_slice(&pair.body).unwrap_or_default();
        if theirs.status != 200 || !are_same(&ours, &theirs.json().unwrap_or_default()) {
            return Err(format!("{contender} does not answer {} as topshelf does", pair.path()).into());
        }
    }
    Ok(())
}

/// Whether both recommend the same, of the same run.
fn are_same(ours: &Value, theirs: &Value) -> bool {
    let is_same = |left: &Value, right: &Value, key: &str| match (&left[key], &right[key]) {
        (Value::Null, _) => false,
        // 12 is 12.0.
        (Value::Number(left), Value::Number(right)) => left.as_f64() == right.as_f64(),
        (left, right) => left == right,
    };
    let [Some(our_products), Some(their_products)] =
        [ours, theirs].map(|answer| answer["recommendations"].as_array())
    else {
        return false;
    };
    let are_products_same = |(left, right): (&Value, &Value)| {
        let keys = ["rank", "product_id", "score", "impressions", "clicks", "views"];
        keys.iter().all(|key| is_same(left, right, key))
    };
    ["advertiser_id", "model", "day", "run_id"].iter().all(|key| is_same(ours, theirs, key))
        && !our_products.is_empty()
        && our_products.len() == their_products.len()
        && our_products.iter().zip(their_products).all(are_products_same)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn answer(score: &Value, products: &[&str]) -> Value {
        let product = |(rank, product_id): (i64, &&str)| json!({ "rank": rank, "product_id": product_id, "score": score, "impressions": 9, "clicks": 1, "views": 2 });
        let products: Vec<_> = (1..).zip(products).map(product).collect();
        json!({ "advertiser_id": "a", "model": "TopCTR", "day": "2024-11-20", "run_id": "r", "recommendations": products })
    }

    #[test]
    fn whole_scores_are_the_same_with_a_fraction_and_without() {
        let ours = answer(&json!(12), &["p", "q"]);
        assert!(are_same(&ours, &answer(&json!(12.0), &["p", "q"])));
        assert!(!are_same(&ours, &answer(&json!(12.5), &["p", "q"])));
    }

    #[test]
    fn other_products_fewer_or_none_are_not_the_same() {
        let ours = answer(&json!(1), &["p", "q"]);
        for theirs in [answer(&json!(1), &["p", "r"]), answer(&json!(1), &["p"]), json!({}), Value::Null] {
            assert!(!are_same(&ours, &theirs), "{theirs}");
        }
        let nothing = answer(&json!(1), &[]);
        assert!(!are_same(&nothing, &nothing));
    }

    #[test]
    fn an_answer_of_another_run_is_not_the_same() {
        let (ours, mut theirs) = (answer(&json!(1), &["p"]), answer(&json!(1), &["p"]));
        theirs["run_id"] = json!("s");
        assert!(!are_same(&ours, &theirs));
    }
}
