//! A publication whose connection is cut at each of its messages, once each.

use crate::{
    dump,
    proxy::Fate,
    publisher::{Held, Publisher},
};
use std::{
    panic::resume_unwind,
    sync::{Arc, Mutex},
    thread,
};
use store::Publication;

/// A publication has more messages than this: that it was swept is not believed otherwise.
const MESSAGES_MIN: usize = 60;

/// Databases that are published into beside each other: a publication that is cut mostly waits.
const PLACES: usize = 4;

/// The messages of a publication whose connection was just made, by their letters.
fn messages(publisher: &mut Publisher) -> Vec<u8> {
    let kinds = Arc::new(Mutex::new(Vec::new()));
    let told = kinds.clone();
    let published = publisher.publish(0, Held::One, |proxy| {
        proxy.cut();
        proxy.rule(move |message| {
            told.lock().unwrap().extend(message.kind);
            Fate::Passes
        });
    });
    published.unwrap();
    kinds.lock().unwrap().clone()
}

/// Publishes again and again, each time cut at another message of those `which`.
fn cut_at_each_message(fate: Fate, which: impl Fn(u8) -> bool) {
    let kinds = messages(&mut Publisher::new());
    assert!(kinds.len() > MESSAGES_MIN, "{} messages", kinds.len());
    let cut: Vec<_> = (0..kinds.len()).filter(|number| which(kinds[*number])).collect();
    println!("{} of {} messages", cut.len(), kinds.len());
    thread::scope(|scope| {
        let places: Vec<_> = cut
            .chunks(cut.len().div_ceil(PLACES))
            .map(|cut| scope.spawn(move || cut_at(fate, cut)))
            .collect();
        places.into_iter().for_each(|place| place.join().unwrap_or_else(|panic| resume_unwind(panic)));
    });
}

/// The same in one database, which must then hold what it holds when nothing is cut.
fn cut_at(fate: Fate, cut: &[usize]) {
    let (mut publisher, mut undisturbed) = (Publisher::new(), Publisher::new());
    for (number, cut) in (0..).zip(cut) {
        // Those that begin a connection are none of the publication's.
        let (cut, mut messages) = (*cut, 0);
        let published = publisher.publish(number, Held::One, |proxy| {
            proxy.cut();
            proxy.once(fate, move |message| {
                messages += usize::from(message.kind.is_some());
                message.kind.is_some() && messages == cut + 1
            });
        });
        let (publication, holds) = published.unwrap_or_else(|error| panic!("cut at {cut}: {error}"));
        assert_eq!((publication, holds.advertisers.len()), (Publication::Moved, 1), "cut at {cut}");
        let version = publisher.wait(publisher.direct.publication_version()).unwrap();
        assert_eq!(version, i64::from(number) + 1, "cut at {cut}");
        undisturbed.publish(number, Held::One, |_| {}).unwrap();
    }
    dump::are_alike(&publisher.database, &undisturbed.database);
}

#[test]
fn a_publication_cut_before_any_message_is_made_once() {
    cut_at_each_message(Fate::IsLost, |_| true);
}

#[test]
fn a_publication_cut_before_any_answer_is_made_once() {
    // What is answered: a statement, the end of several messages that make one, the end of rows.
    cut_at_each_message(Fate::IsNotAnswered, |kind| b"QSc".contains(&kind));
}
