//! What readers see after publications.

use crate::{
    database::{Database, new_run, on_both},
    notation::{check, publish, publish_at, rankings, rankings_of, unheld, unpacked},
};
use domain::{
    AdvertiserId, Counts, DayRankings, ModelName, ModelRankings, ProductId, RankedProduct, Ranking,
};
use store::{Publication, Published, StoreError};

on_both!(
    nothing_is_published_at_first,
    a_publication_replaces_its_day_and_no_other,
    days_come_newest_first_whatever_the_order_of_publishing,
    an_advertiser_that_left_is_no_longer_there,
    the_same_content_again_moves_nothing,
    a_publication_that_someone_damaged_is_not_the_same,
    content_that_comes_back_is_published_again,
    a_day_without_active_advertisers_is_published_and_unchanged,
    ids_of_any_text_come_back,
    what_cannot_be_kept_is_refused_and_changes_nothing,
    views_show_what_is_published,
    rankings_of_several_runs_make_one_day,
);

async fn nothing_is_published_at_first(database: Database) {
    let store = database.migrated().await;
    assert_eq!(store.published(30, &[]).await.unwrap(), Published::default());
    assert_eq!(store.publication_version().await.unwrap(), 0);
    assert_eq!(store.runs(10, None).await.unwrap(), []);
}

async fn a_publication_replaces_its_day_and_no_other(database: Database) {
    let store = database.migrated().await;
    let other = rankings("2024-11-19: a\n TopCTR a: x=0.5");
    let old = rankings("2024-11-20: a b\n TopCTR a: x=0.5 y=0.25\n TopCTR b: x=0.125\n TopProduct a: z=7");
    let new = rankings("2024-11-20: a b\n TopCTR b: y=1\n TopProduct:");
    publish(&store, &other).await;
    let (old_run, _) = publish(&store, &old).await;
    let (new_run, publication) = publish_at(&store, &new, "2024-11-21T03:00:00.123456789Z").await;

    assert_eq!(publication, Publication::Moved);
    assert_eq!(new_run.rankings_run_id, Some(new_run.run_id.clone()));
    let published = store.published(30, &[]).await.unwrap();
    assert_eq!(published.version, 3);
    check(
        &published,
        "2024-11-20: a b
         TopCTR b: y=1
         TopProduct:
         2024-11-19: a
         TopCTR a: x=0.5",
    );
    for advertiser in &unpacked(&published.days[0]).advertisers {
        assert_eq!(advertiser.run_id, new_run.run_id);
        assert_eq!(advertiser.published_at.to_string(), "2024-11-21T03:00:00.123Z", "to the millisecond");
    }
    // The earlier run keeps its place in the ledger and its rankings.
    let kept = format!("SELECT CAST(count(*) AS TEXT) FROM rankings WHERE run_id = '{}'", old_run.run_id);
    assert_eq!(database.sql(&kept).await, "4");
    assert_eq!(store.run(&old_run.run_id).await.unwrap(), Some(old_run));
}

async fn days_come_newest_first_whatever_the_order_of_publishing(database: Database) {
    let store = database.migrated().await;
    for day in ["2024-11-20", "2024-11-22", "2023-12-31", "2024-11-21"] {
        publish(&store, &rankings(&format!("{day}: a\n TopCTR a: x=0.5"))).await;
    }
    let days = async |days_max| {
        let published = store.published(days_max, &[]).await.unwrap();
        published.days.iter().map(|day| day.day().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(days(30).await, ["2024-11-22", "2024-11-21", "2024-11-20", "2023-12-31"]);
    assert_eq!(days(2).await, ["2024-11-22", "2024-11-21"]);
    assert!(days(0).await.is_empty());
}

async fn an_advertiser_that_left_is_no_longer_there(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings("2024-11-20: a b c\n TopCTR a: x=0.5\n TopCTR b: x=0.5")).await;
    publish(&store, &rankings("2024-11-20: a c\n TopCTR a: x=0.5")).await;
    check(&store.published(30, &[]).await.unwrap(), "2024-11-20: a c\n TopCTR a: x=0.5");
}

async fn the_same_content_again_moves_nothing(database: Database) {
    let store = database.migrated().await;
    let content = rankings("2024-11-20: a b\n TopCTR a: x=0.5 y=0.25\n TopProduct:");
    let (first_run, _) = publish_at(&store, &content, "2024-11-21T02:31:00Z").await;
    let before = store.published(30, &[]).await.unwrap();
    let (second_run, publication) = publish_at(&store, &content, "2024-11-22T02:31:00Z").await;

    assert_eq!(
        publication,
        Publication::Unchanged { published_run: first_run.run_id.clone(), is_held: false }
    );
    assert_eq!(store.published(30, &[]).await.unwrap(), before);
    assert_eq!(second_run.rankings_digest, first_run.rankings_digest);
    assert_eq!(second_run.models, Some(vec![ModelName::new("TopCTR"), ModelName::new("TopProduct")]));
    assert_eq!(second_run.rankings_run_id, Some(first_run.run_id.clone()));

    for different in [
        "2024-11-20: a b c\n TopCTR a: x=0.5 y=0.25\n TopProduct:",
        "2024-11-20: a b\n TopCTR a: x=0.5 y=0.25",
        "2024-11-20: a b\n TopCTR a: y=0.5 x=0.25\n TopProduct:",
        "2024-11-20: a b\n TopCTR a: x=0.5 y=0.26\n TopProduct:",
        "2024-11-20: a b\n TopCTR b: x=0.5 y=0.25\n TopProduct:",
    ] {
        let (_, publication) = publish(&store, &rankings(different)).await;
        assert_eq!(publication, Publication::Moved, "{different}");
        check(&store.published(30, &[]).await.unwrap(), different);
    }
}

async fn a_publication_that_someone_damaged_is_not_the_same(database: Database) {
    let store = database.migrated().await;
    let content = rankings("2024-11-20: a b\n TopCTR a: x=0.5\n TopCTR b: x=0.5");
    publish(&store, &content).await;
    database.sql("DELETE FROM publications WHERE advertiser_id = 'a'").await;
    check(&store.published(30, &[]).await.unwrap(), "2024-11-20: b\n TopCTR b: x=0.5");
    let (_, publication) = publish(&store, &content).await;
    assert_eq!(publication, Publication::Moved);
    assert_eq!(rankings_of(store.published(1, &[]).await.unwrap().days.remove(0)), content);
}

async fn content_that_comes_back_is_published_again(database: Database) {
    let store = database.migrated().await;
    let (one, other) =
        (rankings("2024-11-20: a\n TopCTR a: x=0.5"), rankings("2024-11-20: a\n TopCTR a: y=0.5"));
    let (first_run, _) = publish(&store, &one).await;
    publish(&store, &other).await;
    let (_, publication) = publish(&store, &one).await;
    assert_eq!(publication, Publication::Moved);
    check(&store.published(30, &[]).await.unwrap(), "2024-11-20: a\n TopCTR a: x=0.5");

    // A run publishes once.
    let error = store.publish(&first_run.run_id, unheld(&other), first_run.started_at).await.unwrap_err();
    assert!(matches!(error, StoreError::RunPublished { .. }), "{error}");
}

async fn a_day_without_active_advertisers_is_published_and_unchanged(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings("2024-11-20: a\n TopCTR a: x=0.5")).await;
    let empty = rankings("2024-11-20:\n TopCTR:");
    assert_eq!(publish(&store, &empty).await.1, Publication::Moved);
    assert!(matches!(publish(&store, &empty).await.1, Publication::Unchanged { .. }));
    check(&store.published(30, &[]).await.unwrap(), "2024-11-20:\n TopCTR:");
}

fn one_product(advertiser: &str, product: &str, score: f64, counts: Counts) -> DayRankings {
    let day = "2024-11-20".parse().unwrap();
    let advertiser_id = AdvertiserId::new(advertiser).unwrap();
    let products = vec![RankedProduct { product_id: ProductId::new(product).unwrap(), score, counts }];
    let rankings = vec![Ranking { advertiser_id: advertiser_id.clone(), products }];
    let models = vec![ModelRankings { day, model: ModelName::new("TopCTR"), rankings }];
    DayRankings { day, active: vec![advertiser_id], models }
}

async fn ids_of_any_text_come_back(database: Database) {
    let store = database.migrated().await;
    let counts = Counts { impressions: i64::MAX as u64, clicks: 0, views: 1 };
    let long = "é".repeat(127);
    for id in [
        "\t",
        "\n",
        "\r\n",
        "\\",
        "\\N",
        "\\.",
        "'",
        "\"",
        "a\tb\\nc",
        "%3F",
        " ",
        "{}",
        "日本語 🛒",
        "\u{1}\u{7f}\u{85}",
        &long,
    ] {
        let content = one_product(id, id, 0.1 + 0.2, counts);
        publish(&store, &content).await;
        assert_eq!(rankings_of(store.published(1, &[]).await.unwrap().days.remove(0)), content, "{id:?}");
    }
}

async fn what_cannot_be_kept_is_refused_and_changes_nothing(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings("2024-11-20: a\n TopCTR a: x=0.5")).await;
    let run = new_run("2024-11-20".parse().unwrap());
    store.begin_runs(std::slice::from_ref(&run)).await.unwrap();
    let refuse = async |content: DayRankings, expected: &str| {
        let error = store.publish(&run.run_id, unheld(&content), run.started_at).await.unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    let one = Counts { impressions: 1, clicks: 0, views: 0 };
    refuse(
        one_product("a\0", "p", 0.5, one),
        "the id of advertiser \"a\\0\" holds a NUL character, which PostgreSQL cannot store",
    )
    .await;
    refuse(
        one_product("a", "p\0q", 0.5, one),
        "the id of product \"p\\0q\" of advertiser \"a\" holds a NUL character, which PostgreSQL cannot store",
    )
    .await;
    refuse(
        one_product("a", "p", 0.5, Counts { clicks: 1 << 63, ..one }),
        "clicks of product \"p\" of advertiser \"a\" is 9223372036854775808, more than a database column holds",
    )
    .await;
    refuse(
        one_product("a", "p", f64::NAN, one),
        "the rankings of 2024-11-20 cannot be published: TopCTR scores product \"p\" of \"a\" NaN",
    )
    .await;
    refuse(
        rankings("2024-11-20: a\n TopCTR b: x=0.5"),
        "the rankings of 2024-11-20 cannot be published: TopCTR ranks advertiser \"b\", which is not active",
    )
    .await;
    refuse(
        rankings("2024-11-20: b a\n TopCTR:"),
        "the rankings of 2024-11-20 cannot be published: the active advertisers are not in byte order, once each",
    )
    .await;
    refuse(
        rankings("2024-11-21: a\n TopCTR:"),
        &format!("run {} is of 2024-11-20 and cannot publish 2024-11-21", run.run_id),
    )
    .await;
    let published = store.published(30, &[]).await.unwrap();
    assert_eq!(published.version, 1);
    check(&published, "2024-11-20: a\n TopCTR a: x=0.5");
    assert_eq!(store.run(&run.run_id).await.unwrap().unwrap().rankings_digest, None);
}

async fn views_show_what_is_published(database: Database) {
    let store = database.migrated().await;
    publish(&store, &rankings("2024-11-20: a\n TopCTR a: old=0.5\n TopProduct a: old=7")).await;
    publish(&store, &rankings("2024-11-19: a\n TopCTR a: x=0.5")).await;
    let content =
        rankings("2024-11-20: a b\n TopCTR a: x=0.5 y=0.25\n TopCTR b: x=0.75\n TopProduct b: z=7.5");
    let (run, _) = publish(&store, &content).await;
    let columns =
        ["day", "advertiser_id", "rank", "product_id", "score", "impressions", "clicks", "views", "run_id"];
    for view in ["top_ctr", "top_product"] {
        assert_eq!(database.columns(view).await, columns);
    }
    let rows = async |view: &str| {
        let columns: Vec<_> = columns[..8].iter().map(|column| format!("CAST({column} AS TEXT)")).collect();
        let columns = columns.join(" || ' ' || ");
        let of_run = format!("CASE run_id WHEN '{}' THEN ' now' ELSE ' before' END", run.run_id);
        let sql = format!("SELECT {columns} || {of_run} FROM {view} ORDER BY day, advertiser_id, rank");
        database.sql(&sql).await
    };
    assert_eq!(
        rows("top_ctr").await,
        "2024-11-19 a 1 x 0.5 100 50 7 before\n\
         2024-11-20 a 1 x 0.5 100 50 7 now\n\
         2024-11-20 a 2 y 0.25 100 25 7 now\n\
         2024-11-20 b 1 x 0.75 100 75 7 now"
    );
    assert_eq!(rows("top_product").await, "2024-11-20 b 1 z 7.5 100 750 7 now");
}

/// A later version may point one advertiser back to an earlier run.
async fn rankings_of_several_runs_make_one_day(database: Database) {
    let store = database.migrated().await;
    let old =
        rankings("2024-11-20: a b c\n Older a: x=1\n TopCTR a: x=0.5\n TopCTR b: x=0.5\n TopCTR c: x=0.5");
    let new = rankings("2024-11-20: a b c\n TopCTR a: y=0.5\n TopCTR b: y=0.5\n TopCTR c: y=0.5");
    let (old_run, _) = publish(&store, &old).await;
    publish(&store, &new).await;
    let back = format!("UPDATE publications SET run_id = '{}' WHERE advertiser_id = 'b'", old_run.run_id);
    database.sql(&back).await;
    check(
        &store.published(30, &[]).await.unwrap(),
        "2024-11-20: a b c
         Older:
         TopCTR a: y=0.5
         TopCTR b: x=0.5
         TopCTR c: y=0.5",
    );
}
