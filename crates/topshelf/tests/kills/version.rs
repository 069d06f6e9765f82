//! What differs from one night to the next: logs of a version, and what readers must see of it.
//!
//! Products, their order, their counts and the number of advertisers all tell the version, so that an answer
//! that mixes two is of none.

use crate::scene::DAY;
use serde_json::{Value, json};
use std::fmt::Write;

/// A day whose publication never changes, before the one that changes all the time.
pub(crate) const DAY_BEFORE: &str = "2024-11-19";

pub(crate) const MODELS: [&str; 2] = ["TopCTR", "TopProduct"];

/// Advertisers that every version has, and may have beside them.
pub(crate) const ADVERTISERS: u32 = 3;
const MORE_ADVERTISERS: u32 = 4;

const PRODUCTS: u32 = 4;

/// Logs of a day that no other version has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Version(pub(crate) u32);

/// The logs of a version: name and content.
pub(crate) type Logs = [(&'static str, String); 3];

impl Version {
    /// What the day before is of.
    pub(crate) const OF_DAY_BEFORE: Self = Self(0);

    /// What readers see first.
    pub(crate) const FIRST: Self = Self(1);

    pub(crate) fn next(self) -> Self {
        Self(self.0 + 1)
    }

    pub(crate) fn next_of_same_advertisers(self) -> Self {
        Self(self.0 + MORE_ADVERTISERS)
    }

    /// How many advertisers are active.
    fn active(self) -> u32 {
        ADVERTISERS + self.0 % MORE_ADVERTISERS
    }

    /// How many rows the rankings of the version have.
    pub(crate) fn rows(self) -> usize {
        (self.active() * PRODUCTS) as usize * MODELS.len()
    }

    fn product(self, number: u32) -> String {
        format!("v{}-p{number}", self.0)
    }

    /// The product's impressions, clicks and views: what has more clicks has fewer views.
    fn counts(self, number: u32) -> [u32; 3] {
        let place = if self.0.is_multiple_of(2) { number } else { PRODUCTS - 1 - number };
        [10 + self.0 % 3, 1 + place, PRODUCTS - place]
    }

    pub(crate) fn logs(self, day: &str) -> Logs {
        let mut active = "advertiser_id\n".to_owned();
        let mut ads = "advertiser_id,product_id,type,date\n".to_owned();
        let mut views = "advertiser_id,product_id,date\n".to_owned();
        for advertiser in 0..self.active() {
            writeln!(active, "a{advertiser}").unwrap();
            for number in 0..PRODUCTS {
                let [impressions, clicks, viewed] = self.counts(number);
                let product = self.product(number);
                let event = |kind| format!("a{advertiser},{product},{kind},{day}\n");
                ads += &event("impression").repeat(impressions as usize);
                ads += &event("click").repeat(clicks as usize);
                views += &format!("a{advertiser},{product},{day}\n").repeat(viewed as usize);
            }
        }
        [("logs/advertiser_ids.csv", active), ("logs/ads_views.csv", ads), ("logs/product_views.csv", views)]
    }

    /// One more object of a log: clicks that change no ranking, but are many for ads that nobody was shown.
    pub(crate) fn clicks_unseen(self, day: &str) -> (&'static str, String) {
        let clicks = |advertiser| format!("a{advertiser},never-shown,click,{day}\n").repeat(100);
        let clicks: String = (0..self.active()).map(clicks).collect();
        ("logs/ads_views.more.csv", format!("advertiser_id,product_id,type,date\n{clicks}"))
    }

    /// An advertiser's ranking, a product a line: rank, product, impressions, clicks, views.
    pub(crate) fn ranking(self, model: &str) -> Vec<String> {
        let mut numbers: Vec<_> = (0..PRODUCTS).collect();
        let [_, clicks, views] = [0, 1, 2].map(|column| move |number: &u32| self.counts(*number)[column]);
        match model {
            "TopCTR" => numbers.sort_by_key(|number| u32::MAX - clicks(number)),
            _ => numbers.sort_by_key(|number| u32::MAX - views(number)),
        }
        let line = |(place, number): (usize, &u32)| {
            let [impressions, clicks, views] = self.counts(*number);
            format!("{} {} {impressions} {clicks} {views}", place + 1, self.product(*number))
        };
        numbers.iter().enumerate().map(line).collect()
    }

    /// The rows of both views, in order: model and advertiser, then as in [`Version::ranking`].
    pub(crate) fn views(self) -> Vec<String> {
        let mut lines = Vec::new();
        for model in MODELS {
            for advertiser in 0..self.active() {
                lines.extend(self.ranking(model).iter().map(|line| format!("{model} a{advertiser} {line}")));
            }
        }
        lines
    }

    /// What `/stats/` answers.
    pub(crate) fn stats(self) -> Value {
        let active = self.active();
        let model =
            |model| json!({ "model": model, "advertisers": active, "recommendations": active * PRODUCTS });
        let changed = |advertiser| {
            MODELS.map(|model| {
                json!({ "advertiser_id": format!("a{advertiser}"), "model": model, "mean_change": 1, "days": 1 })
            })
        };
        let agreeing = |advertiser| json!({ "advertiser_id": format!("a{advertiser}"), "common": PRODUCTS, "jaccard": 1 });
        json!({
            "day": DAY,
            "advertisers": { "active": active, "with_recommendations": active },
            "models": MODELS.map(model),
            "most_variable_advertisers": (0..ADVERTISERS).flat_map(changed).collect::<Vec<_>>(),
            "model_agreement": {
                "mean_overlap": PRODUCTS,
                "advertisers": (0..active).map(agreeing).collect::<Vec<_>>(),
            },
            "page": {
                "offset": 0,
                "limit": 20,
                "next_offset": null,
                "most_variable_advertisers": MODELS.len() * ADVERTISERS as usize,
                "model_agreement": active,
            },
        })
    }
}

/// The lines of a ranking in an answer, as [`Version::ranking`] has them.
pub(crate) fn ranking_in(answer: &Value) -> Vec<String> {
    let line = |of: &Value| {
        let [impressions, clicks, views] = ["impressions", "clicks", "views"].map(|count| &of[count]);
        let product = of["product_id"].as_str().unwrap_or("?");
        format!("{} {product} {impressions} {clicks} {views}", of["rank"])
    };
    answer.as_array().into_iter().flatten().map(line).collect()
}
