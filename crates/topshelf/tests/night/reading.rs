//! Readers while a changed input is published anew: each answer is that of a moment between two days'
//! publications, and no reader ever goes back.

use crate::{
    logs::{self, Line, PLAIN},
    place::{Place, TWO_WAYS, WAYS},
    site::{Answer, Site},
};
use domain::Day;
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
};
use tokio::{sync::Barrier, task::JoinSet};
use topshelf::pipeline::{RunOutcome, Verdict};

const ADVERTISERS: [&str; 3] = ["first", "second", "third"];
const READERS: usize = 3;

fn days() -> Vec<Day> {
    crate::data_sets::days("2024-11-20", "2024-11-23")
}

/// Everything a reader asks for, again and again.
fn paths() -> Vec<String> {
    let mut paths = vec!["/stats/".to_owned()];
    for advertiser in ADVERTISERS {
        paths.push(format!("/history/{advertiser}/"));
        for model in ["TopCTR", "TopProduct"] {
            paths.push(format!("/recommendations/{advertiser}/{model}"));
            let of_day = |day| format!("/recommendations/{advertiser}/{model}?day={day}");
            paths.extend(days().into_iter().map(of_day));
        }
    }
    paths
}

/// Logs in which every ranking depends on `seed`.
fn write_logs(place: &Place, seed: usize) {
    let mut random = 88_172_645_463_325_252_usize ^ (seed << 17);
    let mut below = |end: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random % end
    };
    let days: Vec<_> = days().iter().map(ToString::to_string).collect();
    let (mut ads, mut views) = (Vec::new(), Vec::new());
    for day in &days {
        for _ in 0..600 {
            let advertiser = ADVERTISERS[below(3)].to_owned();
            let product = format!("product {}", below(30));
            let kind = if below(4) == 0 { "click" } else { "impression" }.to_owned();
            views.push(vec![advertiser.clone(), product.clone(), day.clone()]);
            ads.push(vec![advertiser, product, kind, day.clone()]);
        }
    }
    let listed = ADVERTISERS.iter().map(|id| vec![(*id).to_owned()]).collect();
    let write = |log: &str, columns: &[&str], lines: Vec<Vec<String>>| {
        let lines: Vec<_> = lines.into_iter().map(|fields| Line { day: String::new(), fields }).collect();
        logs::write(&place.input(), log, columns, &lines, &days, &PLAIN);
    };
    write("advertiser_ids", &["advertiser_id"], listed);
    write("ads_views", &["advertiser_id", "product_id", "type", "date"], ads);
    write("product_views", &["advertiser_id", "product_id", "date"], views);
}

/// What every path answers at a moment.
type Moment = BTreeMap<String, Answer>;

async fn moment(site: &Site) -> Moment {
    site.until_served().await;
    let mut client = site.client().await;
    let mut answers = BTreeMap::new();
    for path in paths() {
        let answer = client.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        answers.insert(path, answer);
    }
    answers
}

/// Names of runs that mean the same elsewhere.
#[derive(Default)]
struct RunNames(Vec<(String, String)>);

impl RunNames {
    fn add(&mut self, night: &str, outcomes: &[RunOutcome]) {
        let named = outcomes.iter().map(|run| (run.run_id.to_string(), format!("{night} {}", run.day)));
        self.0.extend(named);
    }

    fn renamed(&self, answer: &Answer) -> Answer {
        let body = self.0.iter().fold(answer.body.clone(), |body, (run, name)| body.replace(run, name));
        Answer { status: answer.status, body }
    }
}

/// The moments there are: before the second night, after each of its days.
async fn moments() -> Vec<Moment> {
    let place = Place::new(WAYS[0]).await;
    let mut names = RunNames::default();
    write_logs(&place, 1);
    names.add("old", &place.run_to(Verdict::Published, &days()).await);
    let site = place.serve().await;
    let mut moments = vec![moment(&site).await];
    write_logs(&place, 2);
    for day in days() {
        names.add("new", &place.run_to(Verdict::Published, &[day]).await);
        moments.push(moment(&site).await);
    }
    for moment in &mut moments {
        moment.values_mut().for_each(|answer| *answer = names.renamed(answer));
    }
    moments
}

/// What one reader saw: each answer that was not the path's last one, in order.
async fn read(site: Arc<Site>, is_over: Arc<AtomicBool>, has_begun: Arc<Barrier>) -> Vec<(String, Answer)> {
    let mut client = site.client().await;
    let (mut seen, mut last) = (Vec::new(), BTreeMap::new());
    let mut rounds = 0;
    loop {
        // The round that begins after the end sees what is published in the end.
        let is_last = is_over.load(SeqCst);
        for path in paths() {
            let answer = client.get(&path).await;
            if last.get(&path) != Some(&answer) {
                last.insert(path.clone(), answer.clone());
                seen.push((path, answer));
            }
        }
        rounds += 1;
        if rounds == 1 {
            has_begun.wait().await;
        }
        if is_last {
            return seen;
        }
    }
}

/// Each answer must be that of a moment not before the one of the answer before it, from the first
/// moment to the last.
fn check_reader(seen: &[(String, Answer)], names: &RunNames, moments: &[Moment]) {
    let seen: Vec<_> = seen.iter().map(|(path, answer)| (path.clone(), names.renamed(answer))).collect();
    let mut at = 0;
    for (path, answer) in &seen {
        let found = (at..moments.len()).find(|index| moments[*index][path] == *answer);
        at = found
            .unwrap_or_else(|| panic!("after moment {at}, {path} answered what it never is: {answer:?}"));
    }
    let first: Moment = seen.iter().take(paths().len()).cloned().collect();
    assert!(first == moments[0], "the first round was before the publication");
    let last: Moment = seen.into_iter().collect();
    assert!(Some(&last) == moments.last(), "the last round was after it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn readers_see_one_moment_at_a_time_and_never_go_back() {
    let moments = moments().await;
    for way in TWO_WAYS {
        let place = Place::new(way).await;
        let mut names = RunNames::default();
        write_logs(&place, 1);
        names.add("old", &place.run_to(Verdict::Published, &days()).await);
        let site = Arc::new(place.serve().await);
        let (is_over, has_begun) = (Arc::new(AtomicBool::new(false)), Arc::new(Barrier::new(READERS + 1)));
        let mut readers = JoinSet::new();
        for _ in 0..READERS {
            readers.spawn(read(site.clone(), is_over.clone(), has_begun.clone()));
        }
        has_begun.wait().await;
        write_logs(&place, 2);
        names.add("new", &place.run_to(Verdict::Published, &days()).await);
        site.until_served().await;
        is_over.store(true, SeqCst);
        for seen in readers.join_all().await {
            check_reader(&seen, &names, &moments);
        }
    }
}
