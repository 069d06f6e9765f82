//! Publishers and readers at the same time, each with connections of its own.

use crate::{
    database::{Database, on_both},
    moves::states,
    notation::{publish, rankings, rankings_of, unpacked},
};
use domain::{AdvertiserId, Day, DayRankings};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
};
use store::{Back, Decision, Publication, Published, Store, StoreError};
use tokio::sync::Barrier;

on_both!(
    publications_of_one_day_take_turns,
    publications_of_several_days_are_all_counted,
    equal_publications_at_once_move_once,
    readers_see_whole_publications_only,
    whatever_readers_see_meanwhile_is_told_by_the_ledger,
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
    let mut published = store.published(30, &[]).await.unwrap();
    assert_eq!((published.version, published.days.len()), (6, 1));
    assert!(contents.contains(&rankings_of(published.days.remove(0))), "one of them, whole");
}

async fn publications_of_several_days_are_all_counted(database: Database) {
    let store = database.migrated().await;
    let contents: Vec<_> = (10..16).map(|day| content(&format!("2024-11-{day}"), day)).collect();
    publish_at_once(&database, contents.clone()).await;
    let published = store.published(30, &[]).await.unwrap();
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
        let published = reader.published(30, &[]).await.unwrap();
        assert!(published.version >= version, "readers never go back");
        version = published.version;
        // The older day is published first in each round: its round follows from the version alone.
        let rounds = [(version - 1) / 2, (version - 2) / 2];
        for ((day, round), published) in days.iter().zip(rounds).zip(published.days.into_iter().rev()) {
            let published = unpacked(&published);
            let runs: BTreeSet<_> =
                published.advertisers.iter().map(|advertiser| advertiser.run_id.clone()).collect();
            assert_eq!(runs.len(), 1);
            let expected = content(day, usize::try_from(round).unwrap());
            assert!(published.into_rankings() == expected, "{day} at version {version}");
        }
    }
    publishing.await.unwrap();
}

const BUSY_DAYS: [&str; 2] = ["2024-11-19", "2024-11-20"];

/// Moves that each of those who work on a day at once makes at least.
const MOVES_EACH: usize = 12;

/// Different states that a reader shall see meanwhile, however slow it is.
const STATES_SEEN: usize = 11;

fn decision() -> Decision<'static> {
    Decision { advertiser: None, reason: "", at: "2024-11-22T00:00:00Z".parse().unwrap() }
}

/// Publishes, takes back, undoes, goes to the run of the other side, pins and lets go, again and again.
async fn work(store: Store, day: &str, side: usize, seen: Arc<AtomicUsize>) {
    let of_day: Day = day.parse().unwrap();
    let advertiser = AdvertiserId::new(format!("a0{side}")).unwrap();
    let mut own = Vec::new();
    for turn in 0.. {
        if turn >= MOVES_EACH && seen.load(Ordering::Relaxed) >= STATES_SEEN {
            break;
        }
        let done = match (turn + side) % 6 {
            0 | 3 => {
                own.push(publish(&store, &content(day, side * 100 + turn)).await.0.run_id);
                Ok(())
            }
            1 => store.roll_back(Back::Before(of_day), decision()).await.map(drop),
            2 => store.undo_rollback(Some(of_day), "", decision().at).await.map(drop),
            4 => match own.last() {
                Some(run) => store.roll_back(Back::To(run), decision()).await.map(drop),
                None => Ok(()),
            },
            _ => match own.first() {
                Some(run) => store.pin(run, &advertiser, decision()).await.map(drop),
                None => Ok(()),
            },
        };
        match done {
            Ok(())
            | Err(
                StoreError::NothingSeen { .. }
                | StoreError::NothingToUndo { .. }
                | StoreError::SeenAlready { .. },
            ) => {}
            Err(error) => panic!("{day} {side} {turn}: {error}"),
        }
    }
    match store.unpin(&advertiser, decision()).await {
        Ok(_) | Err(StoreError::NotPinned { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// What readers see of each advertiser that nobody pins: a line a day and run, with how many advertisers.
fn unpinned(published: &Published) -> Vec<String> {
    let mut lines = Vec::new();
    for day in published.days.iter().map(unpacked) {
        let mut runs = BTreeMap::new();
        for of in day.advertisers.iter().filter(|of| !["a00", "a01"].contains(&of.advertiser_id.as_str())) {
            *runs.entry(&of.run_id).or_insert(0) += 1;
        }
        assert!(runs.len() <= 1, "a mixture of runs: {runs:?}");
        lines.extend(runs.iter().map(|(run, advertisers)| format!("{} {run} {advertisers}", day.day)));
        for model in &day.models {
            let products =
                model.rankings.iter().filter(|of| !["a00", "a01"].contains(&of.advertiser_id.as_str()));
            let products: BTreeSet<_> = products.map(|of| format!("{:?}", of.products)).collect();
            assert!(products.len() <= 1, "a mixture of rankings: {products:?}");
        }
    }
    lines.sort();
    lines
}

/// The same of what the tables told of readers after a move.
fn unpinned_of(states: &str) -> Vec<String> {
    let mut runs = BTreeMap::new();
    for line in states.lines().filter_map(|line| line.strip_prefix("seen ")) {
        let (day, rest) = line.split_at("2024-11-20".len());
        let (advertiser, run) = rest.split_at("a00".len());
        if !["a00", "a01"].contains(&advertiser) {
            *runs.entry(format!("{day} {run}")).or_insert(0) += 1;
        }
    }
    runs.iter().map(|(run, advertisers)| format!("{run} {advertisers}")).collect()
}

/// The same of what one statement over a view shows.
async fn seen_in_view(database: &Database) -> Vec<String> {
    let text = if database.is_sqlite() { "TEXT" } else { "VARCHAR" };
    let lines = database
        .sql(&format!(
            "SELECT CAST(day AS {text}) || ' ' || run_id || ' ' || CAST(count(DISTINCT advertiser_id) AS {text})
             FROM top_ctr WHERE advertiser_id NOT IN ('a00', 'a01') GROUP BY day, run_id ORDER BY 1"
        ))
        .await;
    lines.lines().map(str::to_owned).collect()
}

async fn whatever_readers_see_meanwhile_is_told_by_the_ledger(database: Database) {
    let store = database.migrated().await;
    for day in BUSY_DAYS {
        publish(&store, &content(day, 999)).await;
    }
    let (is_over, states_seen) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let readers: Vec<_> = (0..2)
        .map(|_| {
            let (url, is_over, states_seen) = (database.url.clone(), is_over.clone(), states_seen.clone());
            tokio::spawn(async move {
                let (store, mut seen, mut last) = (Store::open(&url).await.unwrap(), Vec::new(), 0);
                let mut states = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let published = store.published(30, &[]).await.unwrap();
                    assert!(published.version >= last, "readers never go back");
                    states += usize::from(published.version > last);
                    states_seen.fetch_max(states, Ordering::Relaxed);
                    last = published.version;
                    seen.push((published.version, unpinned(&published)));
                }
                seen
            })
        })
        .collect();
    let prompt = {
        let (database, is_over) = (database.clone(), is_over.clone());
        tokio::spawn(async move {
            let mut seen = BTreeSet::new();
            while !is_over.load(Ordering::Relaxed) {
                let lines = seen_in_view(&database).await;
                let days: BTreeSet<_> = lines.iter().map(|line| &line[..BUSY_DAYS[0].len()]).collect();
                assert_eq!(days.len(), lines.len(), "a mixture of runs: {lines:?}");
                seen.extend(lines);
            }
            seen
        })
    };
    let mut workers = Vec::new();
    for day in BUSY_DAYS {
        for side in 0..2 {
            workers.push(tokio::spawn(work(database.open().await, day, side, states_seen.clone())));
        }
    }
    for worker in workers {
        worker.await.unwrap();
    }
    is_over.store(true, Ordering::Relaxed);
    let mut seen = Vec::new();
    for reader in readers {
        seen.extend(reader.await.unwrap());
    }
    let versions: BTreeSet<_> = seen.iter().map(|(version, _)| *version).collect();
    let mut told = BTreeMap::new();
    assert!(versions.len() >= STATES_SEEN, "readers looked on: {versions:?}");
    for version in versions {
        told.insert(version, unpinned_of(&states(&database, Some(version)).await));
    }
    for (version, lines) in seen {
        assert_eq!(lines, told[&version], "what was seen at {version}");
    }
    let moves = store.moves(usize::MAX, None).await.unwrap();
    let mut ever_told = BTreeSet::new();
    for of in &moves {
        ever_told.extend(unpinned_of(&states(&database, Some(of.seq)).await));
    }
    for line in prompt.await.unwrap() {
        assert!(ever_told.contains(&line), "{line}");
    }
    let newest = i64::try_from(moves.len()).unwrap();
    assert_eq!((moves[0].seq, moves.last().unwrap().seq), (newest, 1), "every number is a move's");
}
