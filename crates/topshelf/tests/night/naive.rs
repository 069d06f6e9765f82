//! The answer by the shortest road: every event into a map, every product sorted, nothing of ours used.

use serde_json::json;
use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

/// What happened to a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Impression,
    Click,
    View,
}

/// Impressions, clicks and views of one product.
type Cell = [u64; 3];

/// Everything that happened on some days.
#[derive(Debug, Clone)]
pub(crate) struct Naive {
    /// The days that are run.
    pub(crate) days: Vec<String>,
    /// The models whose log there is.
    pub(crate) models: Vec<&'static str>,
    /// At most so many places for `TopCTR` and `TopProduct`.
    pub(crate) k: [usize; 2],
    active: BTreeMap<String, BTreeSet<String>>,
    events: BTreeMap<(String, String), BTreeMap<String, Cell>>,
}

impl Naive {
    /// The days run, on which nothing has happened yet.
    pub(crate) fn new(days: Vec<String>, models: &[&'static str]) -> Self {
        let (models, k) = (models.to_vec(), [20, 20]);
        Self { days, models, k, active: BTreeMap::new(), events: BTreeMap::new() }
    }

    /// Reads the three files of a data set, as far as they are there.
    pub(crate) fn read(folder: &Path, days: Vec<String>) -> Self {
        let logs = [("ads_views.csv", "TopCTR"), ("product_views.csv", "TopProduct")];
        let logs: Vec<_> = logs.into_iter().filter(|(name, _)| folder.join(name).exists()).collect();
        let mut naive = Self::new(days, &logs.iter().map(|(_, model)| *model).collect::<Vec<_>>());
        read_csv(&folder.join("advertiser_ids.csv"), |field| {
            for day in naive.days.clone() {
                naive.activate(&day, field("advertiser_id"));
            }
        });
        for (name, _) in logs {
            read_csv(&folder.join(name), |field| {
                let kind = match name {
                    "product_views.csv" => Kind::View,
                    _ if field("type") == "click" => Kind::Click,
                    _ => Kind::Impression,
                };
                naive.add(field("date"), field("advertiser_id"), field("product_id"), kind);
            });
        }
        naive
    }

    /// The advertiser is active on the day.
    pub(crate) fn activate(&mut self, day: &str, advertiser: &str) {
        self.active.entry(day.to_owned()).or_default().insert(advertiser.to_owned());
    }

    /// One more event.
    pub(crate) fn add(&mut self, day: &str, advertiser: &str, product: &str, kind: Kind) {
        let products = self.events.entry((day.to_owned(), advertiser.to_owned())).or_default();
        products.entry(product.to_owned()).or_default()[kind as usize] += 1;
    }

    /// Every advertiser that is active or has events, on the days run.
    pub(crate) fn advertisers(&self) -> BTreeSet<&str> {
        let active = self.days.iter().flat_map(|day| &self.active[day]);
        let seen = self.events.keys().filter(|(day, _)| self.days.contains(day)).map(|(_, id)| id);
        active.chain(seen).map(String::as_str).collect()
    }

    pub(crate) fn is_active(&self, day: &str, advertiser: &str) -> bool {
        self.active[day].contains(advertiser)
    }

    /// The active advertisers of the day.
    pub(crate) fn active(&self, day: &str) -> impl Iterator<Item = &str> {
        self.active[day].iter().map(String::as_str)
    }

    /// Events of active advertisers on the day.
    pub(crate) fn kept(&self, day: &str) -> u64 {
        let products = |id: &str| self.events.get(&(day.to_owned(), id.to_owned()));
        self.active(day).filter_map(products).flat_map(BTreeMap::values).flatten().sum()
    }

    /// The days that are published, newest first: those with an event that counts.
    pub(crate) fn published(&self) -> Vec<&str> {
        let days = self.days.iter().filter(|day| self.kept(day) > 0);
        days.map(String::as_str).collect::<BTreeSet<_>>().into_iter().rev().collect()
    }

    /// The advertiser's products on the day, best first, as the API writes them.
    pub(crate) fn ranking(&self, day: &str, advertiser: &str, model: &str) -> Vec<String> {
        let products = self.events.get(&(day.to_owned(), advertiser.to_owned()));
        let products = products.into_iter().flatten().map(|(id, cell)| (id.as_str(), *cell)).collect();
        let (rows, k) = if model == "TopCTR" {
            (top_ctr(products), self.k[0])
        } else {
            (top_product(products), self.k[1])
        };
        rows.into_iter().take(k).zip(1..).map(|(row, rank)| text(row, rank)).collect()
    }
}

/// A product, its counts and its score.
type Row<'a> = (&'a str, Cell, f64);

/// As text, since readers of JSON round numbers.
fn text((id, [impressions, clicks, views], score): Row<'_>, rank: usize) -> String {
    let id = json!(id);
    format!(
        r#"{{"rank":{rank},"product_id":{id},"score":{score},"impressions":{impressions},"clicks":{clicks},"views":{views}}}"#
    )
}

/// Clicks ÷ impressions descending, then impressions descending, then id ascending.
fn top_ctr(mut products: Vec<(&str, Cell)>) -> Vec<Row<'_>> {
    products.retain(|(_, [impressions, ..])| *impressions > 0);
    products.sort_by(|(one, [shown, clicked, _]), (other, [others_shown, others_clicked, _])| {
        let left = u128::from(*clicked) * u128::from(*others_shown);
        let right = u128::from(*others_clicked) * u128::from(*shown);
        right.cmp(&left).then(others_shown.cmp(shown)).then(one.as_bytes().cmp(other.as_bytes()))
    });
    products.into_iter().map(|(id, cell)| (id, cell, cell[1] as f64 / cell[0] as f64)).collect()
}

/// Views descending, then id ascending.
fn top_product(mut products: Vec<(&str, Cell)>) -> Vec<Row<'_>> {
    products.retain(|(_, [_, _, views])| *views > 0);
    products.sort_by(|(one, [.., views]), (other, [.., others])| {
        others.cmp(views).then(one.as_bytes().cmp(other.as_bytes()))
    });
    products.into_iter().map(|(id, cell)| (id, cell, cell[2] as f64)).collect()
}

/// Each record of a file, as a function from a column's name to the field.
fn read_csv(path: &Path, mut on_record: impl for<'a> FnMut(&(dyn Fn(&str) -> &'a str + 'a))) {
    let mut reader = csv::Reader::from_path(path)
        .unwrap_or_else(|error| panic!("could not read {}: {error}", path.display()));
    let names = reader.headers().unwrap().clone();
    let mut record = csv::StringRecord::new();
    while reader.read_record(&mut record).unwrap() {
        on_record(&|name| {
            let column = names.iter().position(|known| known == name).expect("the column is there");
            &record[column]
        });
    }
}
