//! Rankings as text, to write and to read in tests.
//!
//! ```text
//! 2024-11-20: a b c
//! TopCTR a: x=0.5 y=0.25
//! TopProduct:
//! ```
//!
//! The first line is the day and its active advertisers; then a line a ranking: model, advertiser and
//! products with their scores, best first. A model without an advertiser was computed and ranked nothing.
//! The counts follow from the score: 100 impressions, a hundred times the score clicks, 7 views.

use crate::database::new_run;
use domain::{
    AdvertiserId, Counts, DayRankings, ModelName, ModelRankings, ProductId, RankedProduct, Ranking,
};
use jiff::Timestamp;
use std::{collections::BTreeMap, fmt::Write};
use store::{Holds, NewPublication, Publication, Published, PublishedDay, RunRecord, Store, UnpackedDay};

pub(crate) fn rankings(text: &str) -> DayRankings {
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let (day, active) = lines.next().unwrap().split_once(':').unwrap();
    let day = day.parse().unwrap();
    let active = active.split_whitespace().map(|id| AdvertiserId::new(id).unwrap()).collect();
    let mut models: Vec<ModelRankings> = Vec::new();
    for line in lines {
        let (head, products) = line.split_once(':').unwrap();
        let mut head = head.split_whitespace();
        let model = ModelName::new(head.next().unwrap());
        if models.last().is_none_or(|last| last.model != model) {
            models.push(ModelRankings { day, model, rankings: Vec::new() });
        }
        if let Some(advertiser) = head.next() {
            let advertiser_id = AdvertiserId::new(advertiser).unwrap();
            let products = products.split_whitespace().map(product).collect();
            models.last_mut().unwrap().rankings.push(Ranking { advertiser_id, products });
        }
    }
    DayRankings { day, active, models }
}

fn product(text: &str) -> RankedProduct {
    let (id, score) = text.split_once('=').unwrap();
    let score: f64 = score.parse().unwrap();
    let counts = Counts { impressions: 100, clicks: (score * 100.0) as u64, views: 7 };
    RankedProduct { product_id: ProductId::new(id).unwrap(), score, counts }
}

/// What is published, in the notation that [`rankings`] reads, days newest first.
pub(crate) fn show(published: &Published) -> String {
    published.days.iter().map(|day| show_day(&unpacked(day))).collect::<Vec<_>>().join("\n")
}

/// The same of one day.
pub(crate) fn show_day(day: &UnpackedDay) -> String {
    let active: Vec<_> = day.advertisers.iter().map(|of| of.advertiser_id.as_str()).collect();
    let mut text = format!("{}: {}\n", day.day, active.join(" "));
    for model in &day.models {
        if model.rankings.is_empty() {
            writeln!(text, "{}:", model.model).unwrap();
        }
        for ranking in &model.rankings {
            write!(text, "{} {}:", model.model, ranking.advertiser_id).unwrap();
            for product in &ranking.products {
                write!(text, " {}={}", product.product_id, product.score).unwrap();
            }
            text.push('\n');
        }
    }
    text
}

/// Text without its indentation, to compare with [`show`].
pub(crate) fn plain(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    lines.join("\n")
}

/// A day that was read, in trees.
#[track_caller]
pub(crate) fn unpacked(day: &PublishedDay) -> UnpackedDay {
    match day {
        PublishedDay::Read(day) => day.unpack(),
        other => panic!("{other:?} was not read"),
    }
}

/// The published day's rankings as they were handed in.
#[track_caller]
pub(crate) fn rankings_of(day: PublishedDay) -> DayRankings {
    unpacked(&day).into_rankings()
}

/// Rankings of which nothing is held; each advertiser's products come to 5 impressions.
pub(crate) fn unheld(rankings: &DayRankings) -> NewPublication<'_> {
    static NOTHING: Holds = Holds { all: None, advertisers: BTreeMap::new() };
    held(rankings, &NOTHING)
}

/// Rankings of which something is held.
pub(crate) fn held<'a>(rankings: &'a DayRankings, holds: &'a Holds) -> NewPublication<'a> {
    let totals = vec![Counts { impressions: 5, ..Counts::default() }; rankings.active.len()];
    NewPublication { rankings, totals: totals.leak(), holds }
}

/// Begins a run, publishes `rankings` as it, and gives back the run with what publishing did.
pub(crate) async fn publish(store: &Store, rankings: &DayRankings) -> (RunRecord, Publication) {
    publish_at(store, rankings, "2024-11-21T02:31:00Z").await
}

pub(crate) async fn publish_at(
    store: &Store,
    rankings: &DayRankings,
    published_at: &str,
) -> (RunRecord, Publication) {
    let run = new_run(rankings.day);
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    let published_at: Timestamp = published_at.parse().unwrap();
    let (publication, _) = store.publish(&run.run_id, unheld(rankings), published_at).await.unwrap();
    (store.run(&run.run_id).await.unwrap().unwrap(), publication)
}

/// Checks what is published against text in the notation of [`rankings`], indented or not.
#[track_caller]
pub(crate) fn check(published: &Published, expected: &str) {
    assert_eq!(plain(&show(published)), plain(expected));
}
