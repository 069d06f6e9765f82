//! Servers that are told to end under load: nothing that was asked is lost.
//!
//! A server that is told to end says first that it is not ready, and goes on answering; then it says with an answer
//! that it closes the connection.

use crate::{
    answers::Question,
    client::Connection,
    load::{Load, readiness},
    place::Place,
    publisher::Publishing,
};
use std::{
    thread,
    time::{Duration, Instant},
};
use tokio::runtime::Builder;

const CLIENTS: u64 = 8;

const SEED: u64 = 7;

/// Longer than a server takes to end, or a client to notice something, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// How long a server goes on answering: longer than clients take to notice that it is not ready.
const DRAIN_SECONDS: &str = "2";

/// Answers that show that clients are at work.
const ANSWERS: u64 = 500;

/// How often each server of the fleet is restarted.
const ROUNDS: u32 = 2;

/// A place whose servers go on answering for a while.
fn place() -> (Place, Publishing) {
    let (mut place, publisher) = Place::new();
    place.scene.environment("TOPSHELF_SERVE__DRAIN_SECONDS", DRAIN_SECONDS);
    (place, Publishing::start(publisher))
}

#[test]
fn a_server_that_ends_says_so_first_and_answers_what_was_asked() {
    let (place, publishing) = place();
    let (service, server) = place.serve();
    let load = Load::start(&place.fleet, &place.tally, CLIENTS, SEED);
    until_answered(&place);
    place.fleet.may_fall(&server);
    service.signal("TERM");
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    let told = until(|| {
        runtime
            .block_on(readiness(&server.address))
            .map_or(Some(0), |(status, _)| (status != 200).then_some(status))
    });
    assert_eq!(told, 503, "it closed before it said that it is not ready");
    let before = place.tally.answers();
    let question = Question::Stats;
    let answer = runtime.block_on(async {
        Connection::open(&server.address).await.unwrap().ask(&question.path(), None).await.unwrap()
    });
    assert!(answer.is_last, "it did not say that it closes the connection");
    place.tally.take(&server, server.floor(), question, None, &answer);
    assert_eq!(service.end(), Some(0));
    println!("{} answers while it ended", place.tally.answers() - before);
    load.stop();
    publishing.stop();
    place.tally.is_well();
}

#[test]
fn a_rolling_restart_loses_nothing() {
    let (place, publishing) = place();
    let mut servers = [(); 2].map(|()| Some(place.serve()));
    let load = Load::start(&place.fleet, &place.tally, CLIENTS, SEED);
    for _ in 0..ROUNDS {
        for member in &mut servers {
            until_answered(&place);
            // It is away for a while, and the other one answers alone.
            let (service, server) = member.take().unwrap();
            place.fleet.may_fall(&server);
            assert_eq!(service.stop("TERM"), Some(0));
            place.fleet.leave(&server);
            until_answered(&place);
            *member = Some(place.serve());
        }
    }
    until_answered(&place);
    load.stop();
    publishing.stop();
    println!("{}", place.tally.summary());
    place.tally.is_well();
}

/// Waits until clients have got many more answers.
fn until_answered(place: &Place) {
    let before = place.tally.answers();
    until(|| (place.tally.answers() > before + ANSWERS).then_some(()));
    place.tally.is_well();
}

fn until<T>(mut found: impl FnMut() -> Option<T>) -> T {
    let began = Instant::now();
    loop {
        if let Some(found) = found() {
            return found;
        }
        assert!(began.elapsed() < PATIENCE, "it does not come");
        thread::sleep(Duration::from_millis(5));
    }
}
