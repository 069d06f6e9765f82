//! What a publication is made of, so that every answer tells which one it is of.
//!
//! Products and counts name the publication; how many products its two models share names it too, in the digits of
//! its number, an advertiser a digit, so that the statistics tell it.

use domain::{
    AdvertiserId, Counts, Day, DayRankings, ModelName, ModelRankings, ProductId, RankedProduct, Ranking,
    RunId,
};
use jiff::{Timestamp, ToSpan};

pub(crate) const ADVERTISERS: u32 = 200;

/// Products of each ranking.
pub(crate) const PRODUCTS: u32 = 10;

/// How many numbers a digit can be.
const BASE: u32 = PRODUCTS + 1;

/// Digits of a publication's number.
pub(crate) const DIGITS: u32 = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Model {
    TopCtr,
    TopProduct,
}

impl Model {
    pub(crate) const ALL: [Self; 2] = [Self::TopCtr, Self::TopProduct];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::TopCtr => "TopCTR",
            Self::TopProduct => "TopProduct",
        }
    }
}

/// One of those that were made, by its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Publication(pub(crate) u32);

impl Publication {
    /// When its run began, and when it was published.
    pub(crate) fn at(self) -> Timestamp {
        "2024-11-21T02:30:00Z".parse::<Timestamp>().unwrap() + i64::from(self.0).seconds()
    }

    pub(crate) fn run_id(self) -> RunId {
        RunId::new(self.at(), self.0)
    }

    /// How many products the models share of an advertiser.
    pub(crate) fn common(self, advertiser: u32) -> u32 {
        self.0 / BASE.pow(advertiser % DIGITS) % BASE
    }

    /// The publication whose models share so many products of the first advertisers.
    pub(crate) fn of_common(common: [u32; DIGITS as usize]) -> Self {
        Self(common.iter().rev().fold(0, |number, digit| number * BASE + digit))
    }

    /// The publication that a product names.
    pub(crate) fn of_product(product_id: &str) -> Option<Self> {
        let (number, _) = product_id.get(1..)?.split_once('-')?;
        number.parse().ok().map(Self)
    }

    pub(crate) fn ranking(self, model: Model, advertiser: u32) -> Vec<RankedProduct> {
        let product = |rank| {
            let is_common = rank <= self.common(advertiser);
            let kind = if model == Model::TopCtr || is_common { 'p' } else { 'v' };
            // A rate of so many decimals is the same when it is read back.
            let (impressions, clicks) = (1_000_000, u64::from(self.0 * 16 + PRODUCTS - rank));
            let counts = Counts { impressions, clicks, views: u64::from(700 + advertiser - rank) };
            let score = match model {
                Model::TopCtr => clicks as f64 / impressions as f64,
                Model::TopProduct => counts.views as f64,
            };
            let product_id = ProductId::new(format!("{kind}{}-{rank}", self.0)).unwrap();
            RankedProduct { product_id, score, counts }
        };
        (1..=PRODUCTS).map(product).collect()
    }

    pub(crate) fn rankings(self, day: Day) -> DayRankings {
        let active: Vec<_> = (0..ADVERTISERS).map(advertiser_id).collect();
        let of_model = |model: Model| {
            let ranking = |(advertiser, id): (u32, &AdvertiserId)| Ranking {
                advertiser_id: id.clone(),
                products: self.ranking(model, advertiser),
            };
            let rankings = (0..).zip(&active).map(ranking).collect();
            ModelRankings { day, model: ModelName::new(model.name()), rankings }
        };
        DayRankings { day, models: Model::ALL.map(of_model).into(), active }
    }
}

/// An advertiser's id; ids are in the order of their numbers.
pub(crate) fn advertiser_id(number: u32) -> AdvertiserId {
    AdvertiserId::new(format!("a{number:03}")).unwrap()
}

#[test]
fn what_the_models_share_tells_the_publication() {
    for number in [0, 1, 10, 11, 120, 121, 1330, 14_640] {
        let publication = Publication(number);
        let common = [0, 1, 2, 3].map(|advertiser| publication.common(advertiser));
        assert_eq!(Publication::of_common(common), publication);
        let ranking = publication.ranking(Model::TopProduct, 7);
        assert_eq!(Publication::of_product(ranking[0].product_id.as_str()), Some(publication));
    }
}
