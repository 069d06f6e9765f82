//! A night done otherwise — twice, its days in another order, its stages one process at a time — leaves
//! the same bytes in the lake and gives the same answers.

use crate::{
    check::check,
    data_sets::{days, folder, texts},
    naive::Naive,
    place::{Database, Objects, Place, TWO_WAYS, WAYS},
    site::Answer,
};
use domain::Day;
use std::collections::BTreeMap;
use topshelf::pipeline::Verdict;

fn some_days() -> Vec<Day> {
    days("2024-11-20", "2024-11-25")
}

async fn place(way: (Objects, Database)) -> Place {
    Place::with_input(way, &folder("adtech-2024")).await
}

/// What lies in the lake, and what the API answers, which must be the naive answer.
async fn seen(place: &Place) -> (BTreeMap<String, Vec<u8>>, BTreeMap<String, Answer>) {
    let naive = Naive::read(&folder("adtech-2024"), texts(&some_days()));
    let lake = place.lake();
    assert!(lake.len() >= some_days().len() * 7, "{:?}", lake.keys());
    (lake, check(&place.serve().await, &naive).await)
}

/// The answers without the run that gave them and when.
fn without_runs(answers: BTreeMap<String, Answer>) -> BTreeMap<String, Answer> {
    let mut answers = answers;
    for Answer { body, .. } in answers.values_mut() {
        if let (Some(start), Some(end)) = (body.find(r#""run_id":"#), body.find(r#""stale":"#)) {
            body.replace_range(start..end, "");
        }
    }
    answers
}

#[track_caller]
fn assert_same<T: PartialEq>(one: &BTreeMap<String, T>, other: &BTreeMap<String, T>) {
    let names = one.keys().chain(other.keys());
    let different: Vec<_> = names.filter(|name| one.get(*name) != other.get(*name)).collect();
    assert!(different.is_empty(), "not the same: {different:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_night_done_twice_changes_nothing() {
    for way in TWO_WAYS {
        let place = place(way).await;
        let runs = place.run_to(Verdict::Published, &some_days()).await;
        let (lake, answers) = seen(&place).await;
        let again = place.run_to(Verdict::Unchanged, &some_days()).await;
        for (run, again) in runs.iter().zip(again) {
            assert_eq!(again.to_json()["report"]["published_run"], run.run_id.as_str());
            assert!(again.ended.unwrap().is_input_unchanged());
        }
        for outcome in place.run_anew(&some_days()).await {
            let report = outcome.ended.unwrap();
            assert!(report.verdict() == Verdict::Unchanged && !report.is_input_unchanged());
        }
        let (lake_again, answers_again) = seen(&place).await;
        assert_same(&lake, &lake_again);
        assert_same(&answers, &answers_again);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_order_of_days_does_not_matter() {
    let in_order = place(WAYS[0]).await;
    in_order.run_to(Verdict::Published, &some_days()).await;
    let (lake, answers) = seen(&in_order).await;
    let answers = without_runs(answers);

    let shuffled = [3, 0, 5, 4, 1, 2].map(|index| some_days()[index]);
    let one_by_one = place(WAYS[0]).await;
    for day in shuffled {
        one_by_one.run_to(Verdict::Published, &[day]).await;
    }
    let at_once = place(WAYS[0]).await;
    at_once.run_to(Verdict::Published, &shuffled).await;
    for other in [one_by_one, at_once] {
        let (other_lake, other_answers) = seen(&other).await;
        assert_same(&lake, &other_lake);
        assert_same(&answers, &without_runs(other_answers));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stages_in_processes_of_their_own_are_a_run() {
    for way in TWO_WAYS {
        let by_run = place(way).await;
        by_run.run_to(Verdict::Published, &some_days()).await;
        let (lake, answers) = seen(&by_run).await;

        let by_stages = place(way).await;
        for day in some_days() {
            by_stages.command(&format!("count --day {day}")).await;
            by_stages.command(&format!("rank --day {day} --model TopCTR")).await;
            by_stages.command(&format!("rank --day {day} --model TopProduct")).await;
            let published = by_stages.command(&format!("publish --day {day} --json")).await;
            assert!(published.contains(r#""published""#), "{published}");
        }
        let (stages_lake, stages_answers) = seen(&by_stages).await;
        assert_same(&lake, &stages_lake);
        assert_same(&without_runs(answers), &without_runs(stages_answers));
        by_stages.run_to(Verdict::Unchanged, &some_days()).await;
        assert_same(&lake, &by_stages.lake());
    }
}
