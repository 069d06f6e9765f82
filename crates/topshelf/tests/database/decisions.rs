//! People's decisions whose COMMIT got no answer: they are not repeated, and say so.

use crate::{
    leftovers::until_nothing_is_locked,
    proxy::Fate,
    publisher::{DAY, Held, Publisher, advertiser},
};
use store::{Back, Decision, StoreError};

/// Decides something, and says what happened.
type Decide = fn(&Publisher) -> Result<(), StoreError>;

fn decision() -> Decision<'static> {
    Decision { advertiser: None, reason: "we looked", at: "2024-11-22T08:00:00Z".parse().unwrap() }
}

const DECISIONS: [(&str, Decide); 5] = [
    ("accept", |of| of.wait(of.through.accept(&of.run_id(), decision())).map(drop)),
    ("rollback", |of| {
        of.wait(of.through.roll_back(Back::Before(DAY.parse().unwrap()), decision())).map(drop)
    }),
    ("undo", |of| of.wait(of.through.undo_rollback(None, "", decision().at)).map(drop)),
    ("pin", |of| of.wait(of.through.pin(&of.run_id(), &advertiser("a1"), decision())).map(drop)),
    ("unpin", |of| of.wait(of.through.unpin(&advertiser("a1"), decision())).map(drop)),
];

/// Each decision by itself and in turn, as each makes what the next is about.
fn check(fate: Fate, is_done: bool) {
    let mut publisher = Publisher::new();
    let mut prompt = publisher.database.prompt();
    publisher.publish(1, Held::Nobody, |_| {}).unwrap();
    publisher.publish(2, Held::All, |_| {}).unwrap();
    for (kind, decide) in DECISIONS {
        let moves = || publisher.wait(publisher.direct.moves(100, None)).unwrap();
        let before = moves().len();
        publisher.proxy.once(fate, |message| message.is_commit());
        let error = decide(&publisher).unwrap_err();
        assert!(matches!(error, StoreError::OutcomeUnknown { .. }), "{kind}: {error}");
        assert!(!error.is_transient(), "{kind}");
        // A COMMIT that has reached the server is carried out.
        until_nothing_is_locked(&publisher.database, &mut prompt);
        assert_eq!(moves().len(), before + usize::from(is_done), "{kind}");
        if !is_done {
            decide(&publisher).unwrap_or_else(|error| panic!("{kind}: {error}"));
        }
        assert_eq!((moves().len(), moves()[0].kind.as_str()), (before + 1, kind));
    }
}

#[test]
fn a_decision_whose_commit_is_lost_can_be_made_again() {
    check(Fate::IsLost, false);
}

#[test]
fn a_decision_whose_answer_is_lost_was_made_once() {
    check(Fate::IsNotAnswered, true);
}

#[test]
fn a_decision_that_is_cut_before_it_commits_is_made_again() {
    let mut publisher = Publisher::new();
    publisher.publish(1, Held::Nobody, |_| {}).unwrap();
    publisher.publish(2, Held::All, |_| {}).unwrap();
    for (kind, decide) in DECISIONS {
        let before = publisher.wait(publisher.direct.moves(100, None)).unwrap().len();
        publisher.proxy.once(Fate::IsLost, |message| message.number == 5);
        decide(&publisher).unwrap_or_else(|error| panic!("{kind}: {error}"));
        let moves = publisher.wait(publisher.direct.moves(100, None)).unwrap();
        assert_eq!((moves.len(), moves[0].kind.as_str()), (before + 1, kind));
    }
}
