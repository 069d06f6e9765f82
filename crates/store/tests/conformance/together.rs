//! Publishers and readers at the same time, each with connections of its own.

use crate::{
    database::{Database, on_both},
    notation::{publish, rankings, rankings_of},
};
use domain::DayRankings;
use std::{fmt::Write, sync::Arc};
use store::{Publication, Store};
use tokio::sync::Barrier;

on_both!(
    publications_of_one_day_take_turns,
    publications_of_several_days_are_all_counted,
    equal_publications_at_once_move_once,
    readers_see_whole_publications_only,
);

/// Content that takes a while: each of 50 advertisers ranks the same 10 products.
fn content(day: &str, product: usize) -> DayRankings {
    let advertisers: Vec<_> = (0..50).map(|advertiser| format!("a{advertiser:02}")).collect();
    let mut text = format!("{day}: {}\n", advertisers.join(" "));
    for model in ["TopCTR", "TopProduct"] {
        for advertiser in &advertisers {
            write!(text, "{model} {advertiser}:").unwrap();
            (0..10).for_each(|rank| write!(text, " p{product}-{rank}=0.5").unwrap());
            text.push('\n');
        }
    }
    rankings(&text)
}

async fn publish_at_once(database: &Database, contents: Vec<DayRankings>) -> Vec<Publication> {
    let start = Arc::new(Barrier::new(contents.len()));
    let publications: Vec<_> = contents
        .into_iter()
        .map(|content| {
            let (url, start) = (database.url.clone(), start.clone());
            tokio::spawn(async move {
                let store = Store::open(&url).await.unwrap();
                // Each has its connection before the first publishes.
                store.publication_version().await.unwrap();
                start.wait().await;
                publish(&store, &content).await.1
            })
        })
        .collect();
    let mut results = Vec::new();
    for publication in publications {
        results.push(publication.await.unwrap());
    }
    results
}

async fn publications_of_one_day_take_turns(database: Database) {
    let store = database.migrated().await;
    let contents: Vec<_> = (0..6).map(|product| content("2024-11-20", product)).collect();
    let results = publish_at_once(&database, contents.clone()).await;
    assert_eq!(results, vec![Publication::Moved; 6]);
    let mut published = store.published(30).await.unwrap();
    assert_eq!((published.version, published.days.len()), (6, 1));
    assert!(contents.contains(&rankings_of(published.days.remove(0))), "one of them, whole");
}

async fn publications_of_several_days_are_all_counted(database: Database) {
    let store = database.migrated().await;
    let contents: Vec<_> = (10..16).map(|day| content(&format!("2024-11-{day}"), day)).collect();
    publish_at_once(&database, contents.clone()).await;
    let published = store.published(30).await.unwrap();
    assert_eq!(published.version, 6);
    let mut days: Vec<_> = published.days.into_iter().map(rankings_of).collect();
    days.reverse();
    assert!(days == contents, "each day has its own");
}

async fn equal_publications_at_once_move_once(database: Database) {
    let store = database.migrated().await;
    let results = publish_at_once(&database, vec![content("2024-11-20", 1); 6]).await;
    assert_eq!(results.iter().filter(|result| **result == Publication::Moved).count(), 1);
    assert_eq!(store.publication_version().await.unwrap(), 1);
    assert_eq!(store.runs(10, None).await.unwrap().len(), 6);
}

async fn readers_see_whole_publications_only(database: Database) {
    let publisher = database.migrated().await;
    let days = ["2024-11-19", "2024-11-20"];
    for day in days {
        publish(&publisher, &content(day, 0)).await;
    }
    let publishing = tokio::spawn(async move {
        for round in 1..=10 {
            for day in days {
                publish(&publisher, &content(day, round)).await;
            }
        }
    });
    let reader = database.open().await;
    let mut version = 0;
    while version < 22 {
        let published = reader.published(30).await.unwrap();
        assert!(published.version >= version, "readers never go back");
        version = published.version;
        // The older day is published first in each round: its round follows from the version alone.
        let rounds = [(version - 1) / 2, (version - 2) / 2];
        for ((day, round), published) in days.iter().zip(rounds).zip(published.days.into_iter().rev()) {
            let runs: std::collections::BTreeSet<_> =
                published.advertisers.iter().map(|advertiser| advertiser.run_id.clone()).collect();
            assert_eq!(runs.len(), 1);
            let expected = content(day, usize::try_from(round).unwrap());
            assert!(rankings_of(published) == expected, "{day} at version {version}");
        }
    }
    publishing.await.unwrap();
}
