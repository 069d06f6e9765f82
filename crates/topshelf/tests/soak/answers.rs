//! Questions, and what an answer shows: one publication a day, wholly, or it is refused.

use crate::{
    publication::{ADVERTISERS, DIGITS, Model, PRODUCTS, Publication, advertiser_id},
    record::{DAYS, Sight},
};
use domain::{Day, RunId};
use rand_xoshiro::{Xoshiro256PlusPlus, rand_core::RngCore};
use serde::{Deserialize, de::DeserializeOwned};
use std::collections::BTreeMap;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Question {
    Recommendations(u32, &'static str),
    History(u32),
    Stats,
}

#[derive(Debug, Deserialize)]
struct Recommendations {
    advertiser_id: String,
    model: String,
    day: Day,
    run_id: RunId,
    recommendations: Vec<Product>,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Product {
    rank: u32,
    product_id: String,
    score: f64,
    impressions: u64,
    clicks: u64,
    views: u64,
}

#[derive(Debug, Deserialize)]
struct History {
    advertiser_id: String,
    from: Day,
    to: Day,
    days: Vec<HistoryDay>,
}

#[derive(Debug, Deserialize)]
struct HistoryDay {
    day: Day,
    models: BTreeMap<String, Vec<Product>>,
}

#[derive(Debug, Deserialize)]
struct Stats {
    day: Day,
    advertisers: Active,
    models: Vec<ModelStats>,
    most_variable_advertisers: Vec<Variable>,
    model_agreement: Agreement,
}

#[derive(Debug, Deserialize)]
struct Active {
    active: u32,
    with_recommendations: u32,
}

#[derive(Debug, Deserialize)]
struct ModelStats {
    model: String,
    advertisers: u32,
    recommendations: u32,
}

#[derive(Debug, Deserialize)]
struct Variable {
    mean_change: f64,
    days: usize,
}

#[derive(Debug, Deserialize)]
struct Agreement {
    advertisers: Vec<Agreeing>,
}

#[derive(Debug, Deserialize)]
struct Agreeing {
    advertiser_id: String,
    common: u32,
}

impl Question {
    /// Most are what bidders ask.
    pub(crate) fn random(random: &mut Xoshiro256PlusPlus) -> Self {
        let number = random.next_u64();
        let advertiser = u32::try_from(number >> 32).unwrap() % ADVERTISERS;
        match number % 16 {
            0 => Self::Stats,
            1..4 => Self::History(advertiser),
            even if even % 2 == 0 => Self::Recommendations(advertiser, Model::TopCtr.name()),
            _ => Self::Recommendations(advertiser, Model::TopProduct.name()),
        }
    }

    pub(crate) fn path(self) -> String {
        match self {
            Self::Recommendations(advertiser, model) => {
                format!("/recommendations/{}/{model}", advertiser_id(advertiser).as_str())
            }
            Self::History(advertiser) => format!("/history/{}/", advertiser_id(advertiser).as_str()),
            Self::Stats => format!("/stats/?limit={ADVERTISERS}"),
        }
    }

    /// What the body shows, or what is wrong with it.
    pub(crate) fn read(self, body: &[u8]) -> Result<Sight, String> {
        match self {
            Self::Recommendations(advertiser, model) => {
                let answer: Recommendations = parsed(body)?;
                let publication = publication_in(&answer.recommendations, advertiser, model)?;
                expect("whose", answer.advertiser_id.as_str(), advertiser_id(advertiser).as_str())?;
                expect("model", answer.model.as_str(), model)?;
                expect("run", answer.run_id, publication.run_id())?;
                Ok(Sight::Newest(answer.day, publication))
            }
            Self::History(advertiser) => parsed::<History>(body)?.sight(advertiser),
            Self::Stats => parsed::<Stats>(body)?.sight(),
        }
    }
}

impl History {
    fn sight(self, advertiser: u32) -> Result<Sight, String> {
        expect("whose", self.advertiser_id.as_str(), advertiser_id(advertiser).as_str())?;
        let of_day = |of: &HistoryDay| {
            let publications =
                of.models.iter().map(|(model, products)| publication_in(products, advertiser, model));
            match publications.collect::<Result<Vec<_>, _>>()?[..] {
                [ctr, product] if ctr == product => Ok((of.day, ctr)),
                ref mixed => Err(format!("{} is of {mixed:?}", of.day)),
            }
        };
        let days = self.days.iter().map(of_day).collect::<Result<Vec<_>, String>>()?;
        expect("ends", (Some(self.to), Some(self.from)), (first_day(&days), last_day(&days)))?;
        Ok(Sight::Days(days))
    }
}

fn first_day(days: &[(Day, Publication)]) -> Option<Day> {
    days.first().map(|(day, _)| *day)
}

fn last_day(days: &[(Day, Publication)]) -> Option<Day> {
    days.last().map(|(day, _)| *day)
}

impl Stats {
    fn sight(self) -> Result<Sight, String> {
        let agreeing = &self.model_agreement.advertisers;
        let common = |advertiser: u32| {
            let id = advertiser_id(advertiser);
            let found = agreeing.iter().find(|of| of.advertiser_id == id.as_str());
            found.map(|of| of.common).ok_or_else(|| format!("{id} is missing"))
        };
        let mut digits = [0; DIGITS as usize];
        for (advertiser, digit) in (0..).zip(&mut digits) {
            *digit = common(advertiser)?;
        }
        let publication = Publication::of_common(digits);
        for advertiser in 0..ADVERTISERS {
            expect("products in common", common(advertiser)?, publication.common(advertiser))?;
        }
        let Active { active, with_recommendations } = self.advertisers;
        expect("active", (active, with_recommendations), (ADVERTISERS, ADVERTISERS))?;
        let models: Vec<_> =
            self.models.iter().map(|of| (of.model.as_str(), of.advertisers, of.recommendations)).collect();
        let all = Model::ALL.map(|model| (model.name(), ADVERTISERS, ADVERTISERS * PRODUCTS));
        expect("models", &models[..], &all[..])?;
        // No two publications share a product.
        let is_variable = |of: &Variable| of.mean_change == 1.0 && of.days == DAYS - 1;
        let is_all = self.most_variable_advertisers.iter().all(is_variable);
        expect("changes", is_all, true)?;
        Ok(Sight::Newest(self.day, publication))
    }
}

/// The publication that all products of a ranking are of, each in its place with its counts.
fn publication_in(products: &[Product], advertiser: u32, model: &str) -> Result<Publication, String> {
    let first = products.first().ok_or("an empty ranking")?;
    let publication = Publication::of_product(&first.product_id).ok_or("a product of nobody's")?;
    let model = Model::ALL.into_iter().find(|of| of.name() == model).ok_or("a model of nobody's")?;
    let ranked = publication.ranking(model, advertiser).into_iter();
    let product = |(rank, of): (u32, domain::RankedProduct)| Product {
        rank,
        product_id: of.product_id.as_str().to_owned(),
        score: of.score,
        impressions: of.counts.impressions,
        clicks: of.counts.clicks,
        views: of.counts.views,
    };
    let expected: Vec<_> = (1..).zip(ranked).map(product).collect();
    expect("products", products.len(), expected.len())?;
    products
        .iter()
        .zip(&expected)
        .try_for_each(|(product, expected)| expect("product", product, expected))?;
    Ok(publication)
}

fn parsed<T: DeserializeOwned>(body: &[u8]) -> Result<T, String> {
    serde_json::from_slice(body).map_err(|error| error.to_string())
}

fn expect<T: PartialEq + std::fmt::Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected { Ok(()) } else { Err(format!("{what}: {found:?} instead of {expected:?}")) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn ranking(publication: u32, model: Model) -> Value {
        let product = |(rank, of): (u32, domain::RankedProduct)| {
            json!({"rank": rank, "product_id": of.product_id.as_str(), "score": of.score,
                   "impressions": of.counts.impressions, "clicks": of.counts.clicks, "views": of.counts.views})
        };
        (1..).zip(Publication(publication).ranking(model, 3)).map(product).collect()
    }

    fn recommendations(run: u32, products: Value) -> Result<Sight, String> {
        let run_id = Publication(run).run_id();
        let body = json!({"advertiser_id": "a003", "model": "TopCTR", "day": "2024-11-20", "run_id": run_id,
                          "recommendations": products});
        Question::Recommendations(3, "TopCTR").read(body.to_string().as_bytes())
    }

    #[test]
    fn a_ranking_is_of_one_publication_wholly() {
        let day = "2024-11-20".parse().unwrap();
        let good = ranking(8, Model::TopCtr);
        assert_eq!(recommendations(8, good.clone()), Ok(Sight::Newest(day, Publication(8))));
        assert!(recommendations(9, good.clone()).unwrap_err().starts_with("run: "));
        let mut mixed = good.clone();
        mixed[4] = ranking(9, Model::TopCtr)[4].clone();
        assert!(recommendations(8, mixed).is_err());
        let mut with_gap = good.clone();
        with_gap.as_array_mut().unwrap().remove(2);
        assert!(recommendations(8, with_gap).is_err());
        let mut short = good;
        short.as_array_mut().unwrap().pop();
        assert!(recommendations(8, short).is_err());
        assert!(recommendations(8, json!([])).is_err());
    }

    #[test]
    fn a_day_of_a_history_is_of_one_publication() {
        let history = |ctr, product| {
            let models = json!({"TopCTR": ranking(ctr, Model::TopCtr), "TopProduct": ranking(product, Model::TopProduct)});
            let body = json!({"advertiser_id": "a003", "from": "2024-11-20", "to": "2024-11-20",
                              "days": [{"day": "2024-11-20", "models": models}]});
            Question::History(3).read(body.to_string().as_bytes())
        };
        let day = "2024-11-20".parse().unwrap();
        assert_eq!(history(8, 8), Ok(Sight::Days(vec![(day, Publication(8))])));
        assert!(history(8, 9).is_err());
    }
}
