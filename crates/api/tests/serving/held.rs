//! What is answered where checks held something back.

use crate::harness::{NewDay, Site, day, run_id};
use domain::AdvertiserId;
use store::{Back, Decision, Hold, Holds};

fn told(views: u64) -> NewDay {
    let model = NewDay::new(&["TopProduct"]);
    model.views("acme", &[("shoe", views)]).views("zoo", &[("hat", views)])
}

fn hold(check: &str) -> Hold {
    Hold { check: check.to_owned(), message: "clicks: 900, which is 9.0 times the typical 100".to_owned() }
}

fn of(id: &str) -> Holds {
    let advertiser = AdvertiserId::new(id).unwrap();
    Holds { all: None, advertisers: [(advertiser, hold("advertiser_volume"))].into() }
}

fn of_all() -> Holds {
    Holds { all: Some(hold("volume")), ..Holds::default() }
}

const ACME: &str = "GET /recommendations/acme/TopProduct";
const ZOO: &str = "GET /recommendations/zoo/TopProduct";

#[tokio::test]
async fn an_advertiser_that_is_held_is_served_its_last_ranking_and_why() {
    let site = Site::publishing(vec![("2024-11-19", told(1))]).await;
    site.publish_held("2024-11-20", 1, told(2), &of("acme")).await;
    site.until_served().await;
    let answer = site.check(ACME).await;
    let expected = "\"day\":\"2024-11-19\",\"run_id\":\"20241120T023000Z-00000001\",\"published_at\":\"2024-11-20T02:30:30Z\",\
        \"stale\":true,\"held\":{\"day\":\"2024-11-20\",\"run_id\":\"20241121T023000Z-00000001\",\"check\":\"advertiser_volume\",\
        \"message\":\"clicks: 900, which is 9.0 times the typical 100\"},\"recommendations\":[{\"rank\":1,\"product_id\":\"shoe\"";
    assert!(answer.starts_with("200 ") && answer.contains(expected), "{answer}");
    // It may be accepted at any moment: nobody shall keep it until the next night.
    let seconds = async |request| {
        let answer = site.ask(request).await;
        answer.headers["cache-control"].rsplit('=').next().unwrap().parse::<u32>().unwrap()
    };
    assert!(seconds(ACME).await <= 60 && seconds(ZOO).await > 60);
    let other = site.check(ZOO).await;
    assert!(
        other.contains("\"day\":\"2024-11-20\"") && other.contains("\"stale\":false,\"recommendations\""),
        "{other}"
    );

    let asked = site.check(&format!("{ACME}?day=2024-11-20")).await;
    assert!(asked.contains("\"code\":\"held_back\"") && asked.starts_with("404 "), "{asked}");
    let before = site.check(&format!("{ACME}?day=2024-11-19")).await;
    assert!(before.contains("\"stale\":false,\"recommendations\""), "{before}");
    let history = site.check("GET /history/acme/").await;
    assert!(history.contains("\"from\":\"2024-11-19\",\"to\":\"2024-11-19\""), "{history}");
    let stats = site.check("GET /stats/").await;
    assert!(
        stats.contains("\"advertisers\":{\"active\":2,\"with_recommendations\":1,\"held\":1}"),
        "{stats}"
    );

    let run = crate::harness::run_id(crate::harness::day("2024-11-20"), 1);
    site.store.accept(&run, decision()).await.unwrap();
    site.until_served().await;
    let answer = site.check(ACME).await;
    assert!(answer.contains("\"day\":\"2024-11-20\"") && !answer.contains("held"), "{answer}");
}

#[tokio::test]
async fn a_day_held_for_all_is_told_to_each_without_what_it_says_of_all() {
    let site = Site::publishing(vec![("2024-11-19", told(1))]).await;
    site.publish_held("2024-11-20", 1, told(2), &of_all()).await;
    site.until_served().await;
    for request in [ACME, ZOO] {
        let answer = site.check(request).await;
        let expected = "\"stale\":true,\"held\":{\"day\":\"2024-11-20\",\"run_id\":\"20241121T023000Z-00000001\",\"check\":\"volume\",\
            \"message\":\"a check of all advertisers together held the day back\"},\"recommendations\":[{\"rank\":1,";
        assert!(answer.contains(expected) && answer.contains("\"day\":\"2024-11-19\""), "{answer}");
    }
    let asked = site.check(&format!("{ACME}?day=2024-11-20")).await;
    assert!(asked.contains("\"code\":\"no_publication_for_day\""), "{asked}");
}

#[tokio::test]
async fn a_run_of_the_same_day_that_is_held_leaves_the_earlier_one() {
    let site = Site::publishing(vec![("2024-11-20", told(1))]).await;
    site.publish_held("2024-11-20", 2, told(2), &of("acme")).await;
    site.until_served().await;
    let answer = site.check(ACME).await;
    assert!(answer.contains("\"run_id\":\"20241121T023000Z-00000001\",\"published_at\""), "{answer}");
    assert!(
        answer.contains(
            "\"stale\":true,\"held\":{\"day\":\"2024-11-20\",\"run_id\":\"20241121T023000Z-00000002\""
        ),
        "{answer}"
    );
    let stats = site.check("GET /stats/").await;
    assert!(
        stats.contains("\"advertisers\":{\"active\":2,\"with_recommendations\":2,\"held\":1}"),
        "{stats}"
    );
}

#[tokio::test]
async fn an_advertiser_that_never_had_a_publication_is_told_that_it_is_held() {
    let site = Site::publishing(vec![("2024-11-19", told(1))]).await;
    site.publish_held("2024-11-20", 1, told(2).views("new", &[("p", 1)]), &of("new")).await;
    site.until_served().await;
    let answer = site.check("GET /recommendations/new/TopProduct").await;
    assert!(answer.starts_with("404 ") && answer.contains("\"code\":\"held_back\""), "{answer}");
    let detail = "the rankings of advertiser \\\"new\\\" of 2024-11-20 are held back by advertiser_volume: clicks: 900";
    assert!(answer.contains(detail), "{answer}");
}

#[tokio::test]
async fn what_is_held_for_longer_than_days_are_kept_is_served_on() {
    let site = Site::start_with(|options| options.history_days_kept = 2).await;
    site.store.migrate().await.unwrap();
    site.publish("2024-11-09", 1, told(1)).await;
    for day in 10..21 {
        site.publish_held(&format!("2024-11-{day}"), 1, told(2), &of("acme")).await;
    }
    site.until_served().await;
    let answer = site.check(ACME).await;
    let expected = "\"day\":\"2024-11-09\",\"run_id\":\"20241110T023000Z-00000001\"";
    assert!(answer.starts_with("200 ") && answer.contains(expected), "{answer}");
    assert!(answer.contains("\"stale\":true,\"held\":{\"day\":\"2024-11-20\""), "{answer}");
    let stats = site.check("GET /stats/").await;
    assert!(stats.contains("\"active\":2,\"with_recommendations\":1,\"held\":1"), "{stats}");
}

fn decision() -> Decision<'static> {
    Decision { advertiser: None, reason: "wrong prices", at: "2024-11-21T08:00:00Z".parse().unwrap() }
}

#[tokio::test]
async fn a_day_that_was_taken_back_gives_way_to_the_one_before() {
    let site = Site::publishing(vec![("2024-11-19", told(1)), ("2024-11-20", told(2))]).await;
    site.store.roll_back(Back::Before(day("2024-11-20")), decision()).await.unwrap();
    site.until_served().await;
    let answer = site.check(ACME).await;
    let expected = "\"stale\":true,\"held\":{\"day\":\"2024-11-20\",\"run_id\":\"20241121T023000Z-00000001\",\"check\":\"rollback\",\
        \"message\":\"what was published of the day was taken back by hand\"}";
    assert!(answer.contains("\"day\":\"2024-11-19\"") && answer.contains(expected), "{answer}");
    let asked = site.check(&format!("{ACME}?day=2024-11-20")).await;
    assert!(asked.starts_with("404 ") && asked.contains("\"code\":\"no_publication_for_day\""), "{asked}");
    site.store.undo_rollback(None, "", decision().at).await.unwrap();
    site.until_served().await;
    assert!(site.check(ACME).await.contains("\"day\":\"2024-11-20\""));
}

#[tokio::test]
async fn a_pinned_advertiser_is_served_its_run_and_why() {
    let days = vec![("2024-11-18", told(1)), ("2024-11-19", told(1)), ("2024-11-20", told(2))];
    let site = Site::publishing(days).await;
    let acme = AdvertiserId::new("acme").unwrap();
    site.store.pin(&run_id(day("2024-11-18"), 1), &acme, decision()).await.unwrap();
    site.until_served().await;
    let answer = site.check(ACME).await;
    let expected = "\"stale\":true,\"held\":{\"day\":\"2024-11-20\",\"run_id\":\"20241121T023000Z-00000001\",\"check\":\"pin\",\
        \"message\":\"pinned to run 20241119T023000Z-00000001 of 2024-11-18: wrong prices\"}";
    assert!(answer.contains("\"day\":\"2024-11-18\"") && answer.contains(expected), "{answer}");
    assert!(site.check(ZOO).await.contains("\"day\":\"2024-11-20\""), "others go on");
    let history = site.check("GET /history/acme/").await;
    assert!(history.contains("\"from\":\"2024-11-18\",\"to\":\"2024-11-18\""), "{history}");
    site.store.unpin(&acme, decision()).await.unwrap();
    site.until_served().await;
    assert!(site.check(ACME).await.contains("\"stale\":false"));
}
