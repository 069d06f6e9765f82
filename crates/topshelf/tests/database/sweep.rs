//! A publication whose connection is cut at each of its messages, once each.

use crate::{
    dump,
    proxy::Fate,
    publisher::{Held, Publisher},
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering::SeqCst},
};
use store::Publication;

/// A publication has more messages than this: that it was swept is not believed otherwise.
const MESSAGES_MIN: usize = 60;

/// Publishes again and again, cut at one message further each time, until there is none left; then the database must
/// hold what it holds when nothing is cut.
fn cut_at_each_message(fate: Fate) {
    let mut publisher = Publisher::new();
    let mut messages = 0;
    loop {
        let is_cut = Arc::new(AtomicBool::new(false));
        let told = is_cut.clone();
        let number = u32::try_from(messages).unwrap();
        let published = publisher.publish(number, Held::One, |proxy| {
            proxy.once(fate, move |message| {
                told.fetch_or(message.number == messages, SeqCst);
                message.number == messages
            });
        });
        let (publication, holds) = published.unwrap_or_else(|error| panic!("cut at {messages}: {error}"));
        assert_eq!((publication, holds.advertisers.len()), (Publication::Moved, 1), "cut at {messages}");
        let version = publisher.wait(publisher.direct.publication_version()).unwrap();
        assert_eq!(version, i64::from(number) + 1, "cut at {messages}");
        messages += 1;
        if !is_cut.load(SeqCst) {
            break;
        }
    }
    println!("{messages} messages");
    assert!(messages > MESSAGES_MIN, "{messages}");
    let mut undisturbed = Publisher::new();
    for number in 0..messages {
        undisturbed.publish(u32::try_from(number).unwrap(), Held::One, |_| {}).unwrap();
    }
    dump::are_alike(&publisher.database, &undisturbed.database);
}

#[test]
fn a_publication_cut_before_any_message_is_made_once() {
    cut_at_each_message(Fate::IsLost);
}

#[test]
fn a_publication_cut_after_any_message_is_made_once() {
    cut_at_each_message(Fate::IsNotAnswered);
}
