//! The kinds of requests that topshelf answers, each measured by itself.

use super::{answers::Pair, ask::Answer, request::Request};
use serde_json::{Value, json};
use std::fmt;

/// Bodies of different pairs that are sent in turn.
const BODIES: usize = 20;

/// Products asked for instead of all.
const LIMIT: usize = 5;

/// A kind of request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Recommendations,
    /// Some products instead of all.
    Limited,
    /// With the tag of the answer that the caller has.
    NotModified,
    /// So many pairs of advertiser and model at once.
    Many(usize),
    History,
    Stats,
}

impl Kind {
    /// In the order of the table, and of the turns.
    pub(super) const ALL: [Self; 8] = [
        Self::Recommendations,
        Self::Limited,
        Self::NotModified,
        Self::Many(1),
        Self::Many(100),
        Self::Many(1_000),
        Self::History,
        Self::Stats,
    ];

    /// What is wrong with an answer; none when it is right.
    pub(super) fn problem(self, answer: &Answer) -> Option<String> {
        let expected = if self == Self::NotModified { 304 } else { 200 };
        if answer.status != expected {
            return Some(format!("answers {}", answer.status));
        }
        let products = |ranking: &Value| ranking["recommendations"].as_array().map_or(0, Vec::len);
        let json = answer.json().unwrap_or_default();
        match self {
            Self::Limited if products(&json) != LIMIT => {
                Some(format!("answers {} products", products(&json)))
            }
            Self::Many(pairs) => {
                let results = json["results"].as_array();
                let right = results.into_iter().flatten().filter(|ranking| products(ranking) > 0).count();
                (right != pairs).then(|| format!("answers {right} of {pairs} pairs"))
            }
            _ => None,
        }
    }

    /// The requests, which cycle over all of `pairs`.
    pub(super) fn requests(self, pairs: &[Pair]) -> Vec<Request> {
        let of_each = |request: fn(&Pair) -> Request| pairs.iter().map(request).collect();
        match self {
            Self::Recommendations => of_each(|pair| Request::get(pair.path())),
            Self::Limited => of_each(|pair| Request::get(format!("{}?limit={LIMIT}", pair.path()))),
            Self::NotModified => of_each(|pair| {
                let header = Some(format!("If-None-Match: {}", pair.etag));
                Request { header, ..Request::get(pair.path()) }
            }),
            Self::Many(1) => of_each(|pair| many([pair])),
            Self::Many(count) => {
                let apart = pairs.len().div_ceil(BODIES);
                let from = |first: usize| many(pairs.iter().cycle().skip(first).take(count));
                (0..pairs.len()).step_by(apart).map(from).collect()
            }
            Self::History => of_each(|pair| Request::get(format!("/history/{}/", pair.advertiser))),
            Self::Stats => vec![Request::get("/stats/")],
        }
    }
}

fn many<'a>(pairs: impl IntoIterator<Item = &'a Pair>) -> Request {
    let pair = |pair: &Pair| json!({ "advertiser_id": pair.advertiser, "model": pair.model });
    let pairs: Vec<_> = pairs.into_iter().map(pair).collect();
    Request::post("/recommendations", json!({ "requests": pairs }).to_string())
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Recommendations => f.write_str("`GET /recommendations/…`"),
            Self::Limited => write!(f, "the same with `?limit={LIMIT}`"),
            Self::NotModified => f.write_str("the same with `If-None-Match`: 304"),
            Self::Many(1) => f.write_str("`POST /recommendations`, 1 pair"),
            Self::Many(pairs) => write!(f, "`POST /recommendations`, {pairs} pairs"),
            Self::History => f.write_str("`GET /history/…/`"),
            Self::Stats => f.write_str("`GET /stats/`"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(count: usize) -> Vec<Pair> {
        let pair = |number: usize| Pair {
            advertiser: format!("a{number}"),
            model: "TopCTR",
            etag: "\"e\"".to_owned(),
            body: Vec::new(),
        };
        (0..count).map(pair).collect()
    }

    #[test]
    fn everyone_is_asked_for_in_turn() {
        let paths = |kind: Kind| -> Vec<_> {
            kind.requests(&pairs(2)).into_iter().map(|request| request.path).collect()
        };
        assert_eq!(
            paths(Kind::Limited),
            ["/recommendations/a0/TopCTR?limit=5", "/recommendations/a1/TopCTR?limit=5"]
        );
        assert_eq!(paths(Kind::History), ["/history/a0/", "/history/a1/"]);
        let request = &Kind::NotModified.requests(&pairs(1))[0];
        assert_eq!(request.header.as_deref(), Some("If-None-Match: \"e\""));
    }

    #[test]
    fn an_answer_with_another_status_or_less_in_it_is_a_problem() {
        let problem =
            |kind: Kind, status, body: &Value| kind.problem(&Answer::of(status, body)).unwrap_or_default();
        let ranking = |products| json!({ "recommendations": vec![1; products] });
        let refused = json!({ "advertiser_id": "a", "error": { "code": "unknown_advertiser" } });
        assert_eq!(problem(Kind::Stats, 200, &json!({})), "");
        assert_eq!(problem(Kind::NotModified, 304, &json!({})), "");
        assert_eq!(problem(Kind::NotModified, 200, &json!({})), "answers 200");
        assert_eq!(problem(Kind::Limited, 200, &ranking(5)), "");
        assert_eq!(problem(Kind::Limited, 200, &ranking(20)), "answers 20 products");
        let results = |results: &[Value]| json!({ "results": results });
        assert_eq!(problem(Kind::Many(2), 200, &results(&[ranking(20), ranking(3)])), "");
        assert_eq!(problem(Kind::Many(2), 200, &results(&[ranking(20), refused])), "answers 1 of 2 pairs");
        assert_eq!(problem(Kind::Many(2), 404, &json!({})), "answers 404");
    }

    #[test]
    fn a_body_holds_as_many_pairs_as_asked_for() {
        let bodies = |kind: Kind, count| -> Vec<_> {
            kind.requests(&pairs(count)).into_iter().map(|request| request.body.unwrap()).collect()
        };
        assert_eq!(bodies(Kind::Many(1), 2)[1], r#"{"requests":[{"advertiser_id":"a1","model":"TopCTR"}]}"#);
        let bodies = bodies(Kind::Many(100), 60);
        assert_eq!(bodies.len(), 20);
        let last: serde_json::Value = serde_json::from_str(&bodies[19]).unwrap();
        let last = last["requests"].as_array().unwrap();
        assert_eq!(
            (last.len(), &last[0]["advertiser_id"], &last[3]["advertiser_id"]),
            (100, &"a57".into(), &"a0".into())
        );
    }
}
