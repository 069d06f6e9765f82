//! One fault at a time, and what becomes of the night.

use crate::{
    asked::{Asked, Deed, Side},
    fate::Fate,
    input::{Form, Prepared, days, small_forms},
    proxy::Proxy,
    scene::{LONG, Left, Scene},
    server::S3Server,
};
use futures::{StreamExt, stream};
use std::{
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    time::Duration,
};
use tokio::sync::OnceCell;
use topshelf::{failure::Failure, pipeline::Verdict};

/// Where what fails is tried again until it passes, however slow the machine is.
const PATIENT: Duration = Duration::from_secs(4);
/// Where what stays is waited for.
const IMPATIENT: Duration = Duration::from_secs(2);

/// Nights beside each other: most of one is waiting.
const AT_ONCE: usize = 6;

/// Requests that fare alike: of a side, of a kind, for objects whose names hold a text.
type Which = (Side, Deed, &'static str);

const EVERY: [Which; 6] = [
    (Side::Input, Deed::List, ""),
    (Side::Input, Deed::Look, "ads_views"),
    (Side::Input, Deed::Read, "ads_views"),
    (Side::Lake, Deed::List, "counts/"),
    (Side::Lake, Deed::Read, "counts-"),
    (Side::Lake, Deed::Write, "counts/"),
];

fn is_it(asked: &Asked, (side, deed, name): Which) -> bool {
    asked.side == side && asked.deed == deed && asked.key.contains(name)
}

/// A night of one day, and what was asked.
struct Night {
    ended: Result<Verdict, Failure>,
    /// Requests that met the fault, and those for the same that came behind.
    met: usize,
    behind: usize,
}

/// The night in which requests meet the fate the first `times`.
async fn night(which: Which, fate: Fate, times: u32, patience: Duration) -> Night {
    let server = S3Server::start().await;
    let logs = Prepared::new(server.beside().join("logs"), &plain(), 0);
    let mut scene = Scene::new(&server, "bucket");
    scene.take(&logs);
    let left = AtomicU32::new(times);
    let rule = move |asked: &Asked| {
        let is_hit =
            is_it(asked, which) && left.fetch_update(SeqCst, SeqCst, |left| left.checked_sub(1)).is_ok();
        if is_hit { fate } else { Fate::Passes }
    };
    let proxy = Proxy::start(server.address(), 1000, rule).await;
    let day = days()[0];
    let ended = scene.run(proxy.address, patience, &[day]).await.remove(&day).unwrap();
    proxy.until_settled().await;
    let asked: Vec<_> = proxy.asked().into_iter().filter(|(asked, _)| is_it(asked, which)).collect();
    let met = asked.iter().filter(|(_, fate)| *fate != Fate::Passes).count();
    // Whatever it was, another night through the same lake is well.
    scene.run_undisturbed(&[day]).await;
    let here = scene.left(&[day]).await;
    let there = EXPECTED.get_or_init(|| undisturbed(&server, &logs)).await;
    assert_eq!(here.rows, there.rows, "{which:?} {fate:?}");
    let is_here = |(name, bytes)| here.lake.get(name) == Some(bytes);
    assert!(there.lake.iter().all(is_here), "{which:?} {fate:?}: {:?}", here.lake.keys());
    Night { ended, met, behind: asked.len() - met }
}

/// What a night without faults leaves of the only logs that are read here.
static EXPECTED: OnceCell<Left> = OnceCell::const_new();

async fn undisturbed(server: &S3Server, logs: &Prepared) -> Left {
    let mut scene = Scene::new(server, "elsewhere");
    scene.take(logs);
    scene.run_undisturbed(&days()[..1]).await;
    scene.left(&days()[..1]).await
}

fn plain() -> Form {
    small_forms().swap_remove(0)
}

/// What a failed night says, with its help.
fn told(failure: &Failure) -> String {
    let help = miette::Diagnostic::help(failure).map_or_else(String::new, |help| help.to_string());
    format!("{}; help: {help}", failure.chain())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_passes_is_tried_again_and_the_night_is_exact() {
    let mut cases = Vec::new();
    for which in EVERY {
        for fate in [
            Fate::Refused("500 InternalError"),
            Fate::Refused("503 SlowDown"),
            Fate::Refused("429 TooManyRequests"),
            Fate::Refused("408 RequestTimeout"),
            Fate::Lost,
            Fate::Unheard,
        ] {
            cases.push((which, fate));
        }
        // The answer to HEAD has no body to break.
        if which.1 != Deed::Look {
            cases.extend([Fate::Reset(0), Fate::Reset(500)].map(|fate| (which, fate)));
        }
        if matches!(which.1, Deed::List | Deed::Read) {
            cases.extend([Fate::Ends(0), Fate::Ends(500)].map(|fate| (which, fate)));
        }
    }
    for listed in [EVERY[0], EVERY[3]] {
        cases.extend([Fate::Shorter, Fate::Unended, Fate::Elsewhere].map(|fate| (listed, fate)));
    }
    for of_lake in ["counts-", "advertisers-", "counts/day=2024-11-20/manifest", "TopCTR/rankings-"] {
        let which = (Side::Lake, Deed::Read, of_lake);
        cases.extend([Fate::Shorter, Fate::Longer].map(|fate| (which, fate)));
        if !of_lake.ends_with("manifest") {
            cases.push((which, Fate::Flipped));
        }
    }
    cases.extend([Fate::Shorter, Fate::Overflows].map(|fate| (EVERY[2], fate)));
    for status in ["409 OperationAborted", "409 ConditionalRequestConflict", "400 RequestTimeout"] {
        cases.push((EVERY[5], Fate::Refused(status)));
    }
    // It was carried out; the next try writes the same once more.
    cases.push((EVERY[5], Fate::Denied("500 InternalError")));
    let mut nights = stream::iter(cases)
        .map(async |(which, fate)| (which, fate, night(which, fate, 1, PATIENT).await))
        .buffer_unordered(AT_ONCE);
    while let Some((which, fate, night)) = nights.next().await {
        let verdict = night.ended.unwrap_or_else(|failure| panic!("{which:?} {fate:?}: {}", failure.chain()));
        assert_eq!(verdict, Verdict::Published, "{which:?} {fate:?}");
        assert!(night.met > 0 && night.behind >= night.met, "{which:?} {fate:?}: {} met it", night.met);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_in_vain_asks_again() {
    let mut cases = Vec::new();
    for which in EVERY {
        cases.push((which, Fate::Held));
        if which.1 == Deed::Read {
            cases.push((which, Fate::Stalls(500)));
        }
    }
    // It is carried out when the next try is under way or was carried out already.
    cases.push((EVERY[5], Fate::Late));
    let mut nights = stream::iter(cases)
        .map(async |(which, fate)| (which, fate, night(which, fate, 1, PATIENT).await))
        .buffer_unordered(AT_ONCE);
    while let Some((which, fate, night)) = nights.next().await {
        let ended = night.ended.map_err(|failure| failure.chain());
        assert_eq!(ended, Ok(Verdict::Published), "{which:?} {fate:?}");
        assert!(night.met > 0 && night.behind >= night.met, "{which:?} {fate:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_waiting_does_not_mend_is_told_at_once() {
    const DENIED: Fate = Fate::Refused("403 AccessDenied");
    const MISSING: Fate = Fate::Refused("404 NoSuchKey");
    const ALLOW: &str = "allow s3:ListBucket on the bucket and s3:GetObject on its objects";
    let ads = "s3://bucket/input/ads_views.csv";
    let denied = "the server answered AccessDenied";
    let other_bytes = format!("could not read {ads}: the server sent other bytes than were asked for");
    for (which, fate, message, help) in [
        (EVERY[0], DENIED, format!("could not list s3://bucket/input: {denied}"), ALLOW),
        (EVERY[1], DENIED, format!("could not read {ads}: access denied"), ALLOW),
        (EVERY[2], DENIED, format!("could not read {ads}: {denied}"), ALLOW),
        (
            EVERY[3],
            DENIED,
            format!("could not read s3://bucket/lake/counts/day=2024-11-20/: {denied}"),
            ALLOW,
        ),
        (EVERY[4], DENIED, "could not read s3://bucket/lake/counts/day=2024-11-20/counts-".into(), ALLOW),
        (EVERY[5], DENIED, "could not write s3://bucket/lake/counts/day=2024-11-20/counts-".into(), ALLOW),
        (EVERY[1], MISSING, format!("could not read {ads}: it is not there"), ""),
        (EVERY[2], MISSING, format!("{ads} changed after the run began: it is gone"), "run the day again"),
        (
            EVERY[4],
            MISSING,
            "s3://bucket/lake/counts/day=2024-11-20/counts-".into(),
            "run `topshelf count --day 2024-11-20` again",
        ),
        (EVERY[4], Fate::Flipped, "s3://bucket/lake/counts/day=2024-11-20/counts-".into(), "again"),
        (EVERY[2], Fate::Whole, other_bytes.clone(), ""),
        (EVERY[2], Fate::OtherRange, other_bytes, ""),
        (
            EVERY[2],
            Fate::OtherEtag,
            format!("{ads} changed after the run began: its ETag was "),
            "run the day",
        ),
        (
            EVERY[2],
            Fate::Longer,
            format!("could not read {ads}: the answer is longer than what was asked for"),
            "",
        ),
    ] {
        // With the patience of every day: who tried again would take a minute.
        let night = night(which, fate, u32::MAX, LONG).await;
        let failure = night.ended.expect_err("it cannot end well");
        let text = told(&failure);
        assert!(text.starts_with(&message) && text.contains(help), "{which:?} {fate:?}: {text}");
        let is_changed = text.contains("changed after");
        assert_eq!(failure.is_transient(), is_changed, "{which:?} {fate:?}: {text}");
        // Another day of another log is not asked for again, and of the lake's bytes once more.
        let is_sound = matches!((which.0, which.1), (Side::Lake, Deed::Read)) && fate != DENIED;
        assert_eq!(night.met, if is_sound { 2 } else { 1 }, "{which:?} {fate:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_does_not_pass_is_told_when_patience_ends() {
    let (busy, told_busy) = (Fate::Refused("503 SlowDown"), "the server answered SlowDown");
    let names = [
        "could not list s3://bucket/input: ",
        "could not read s3://bucket/input/ads_views.csv: ",
        "could not read s3://bucket/input/ads_views.csv: ",
        "could not read s3://bucket/lake/counts/day=2024-11-20/: ",
        "could not read s3://bucket/lake/counts/day=2024-11-20/counts-",
        "could not write s3://bucket/lake/counts/day=2024-11-20/counts-",
    ];
    let mut cases = Vec::new();
    for (which, name) in EVERY.into_iter().zip(names) {
        let cause = if which.1 == Deed::Look { "the server answered 503" } else { told_busy };
        cases.extend([(busy, cause), (Fate::Held, ""), (Fate::Lost, "")].map(|case| (which, name, case)));
    }
    let mut nights = stream::iter(cases)
        .map(async |(which, name, (fate, cause))| {
            (which, name, fate, cause, night(which, fate, u32::MAX, IMPATIENT).await)
        })
        .buffer_unordered(AT_ONCE);
    while let Some((which, name, fate, cause, night)) = nights.next().await {
        let failure = night.ended.expect_err("it cannot end well");
        let text = told(&failure);
        assert!(text.starts_with(name) && text.contains(cause), "{which:?} {fate:?}: {text}");
        assert!(failure.is_transient(), "{which:?} {fate:?}: {text}");
        assert!(night.met > 1, "{which:?} {fate:?} was met {} times: {text}", night.met);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_without_an_etag_is_looked_after() {
    let night = night(EVERY[2], Fate::WithoutEtag, u32::MAX, PATIENT).await;
    assert_eq!(night.ended.map_err(|failure| failure.chain()), Ok(Verdict::Published));
    assert!(night.met > 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_listing_that_fails_at_its_second_page_is_not_taken_for_whole() {
    let server = S3Server::start().await;
    let form = small_forms().swap_remove(3);
    let logs = Prepared::new(server.beside().join("logs"), &form, 0);
    let mut scene = Scene::new(&server, "bucket");
    scene.take(&logs);
    let day = days()[0];
    for fate in [
        Fate::Refused("403 AccessDenied"),
        Fate::Refused("500 InternalError"),
        Fate::Unended,
        Fate::Shorter,
        Fate::Elsewhere,
    ] {
        let rule = move |asked: &Asked| {
            let is_it = asked.goes_on && is_it(asked, (Side::Input, Deed::List, "ads_views"));
            if is_it { fate } else { Fate::Passes }
        };
        let proxy = Proxy::start(server.address(), 2, rule).await;
        let ended = scene.run(proxy.address, IMPATIENT, &[day]).await.remove(&day).unwrap();
        let failure = ended.expect_err("a page is missing");
        let text = failure.chain();
        assert!(text.starts_with("could not list s3://bucket/input: the server "), "{fate:?}: {text}");
        let is_transient = fate != Fate::Refused("403 AccessDenied");
        assert_eq!(failure.is_transient(), is_transient, "{fate:?}: {text}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_deleted_fails_no_night() {
    let server = S3Server::start().await;
    let mut scene = Scene::new(&server, "bucket");
    let [first, second] =
        [0, 2].map(|version| Prepared::new(server.beside().join(version.to_string()), &plain(), version));
    let day = days()[0];
    scene.take(&first);
    scene.run_undisturbed(&[day]).await;
    let left = scene.lake().len();
    scene.take(&second);
    let rule = |asked: &Asked| match asked.deed {
        Deed::Delete => Fate::Refused("403 AccessDenied"),
        _ => Fate::Passes,
    };
    let proxy = Proxy::start(server.address(), 1000, rule).await;
    let ended = scene.run(proxy.address, PATIENT, &[day]).await.remove(&day).unwrap();
    assert_eq!(ended.map_err(|failure| failure.chain()), Ok(Verdict::Published));
    let refused = proxy.asked().into_iter().filter(|(_, fate)| *fate != Fate::Passes).count();
    assert!(refused > 0 && scene.lake().len() == left + refused);
}
