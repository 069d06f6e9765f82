//! Connections that are lost while a publication commits: whether it did is found out, whatever it was to do.

use crate::{
    dump,
    proxy::Fate,
    publisher::{DAY, Held, Publisher},
};
use std::time::{Duration, Instant};
use store::{Publication, StoreError};

/// How much later a COMMIT arrives than its connection was cut.
const LATE: Duration = Duration::from_millis(300);

/// Every kind of publication in turn; what each says that it did.
fn publish_each(publisher: &mut Publisher, fate: Option<Fate>) -> Vec<String> {
    let kinds = [
        (1, Held::Nobody), // moves
        (1, Held::Nobody), // is the same
        (2, Held::One),    // moves, but for one
        (2, Held::One),    // is the same, but for one
        (3, Held::All),    // is held
        (3, Held::All),    // is held, and waits already
        (2, Held::Nobody), // moves, and ends what was held
        (4, Held::All),    // is held
        (2, Held::Nobody), // is the same, and ends what was held
    ];
    let mut told = Vec::new();
    for (number, held) in kinds {
        let began = Instant::now();
        let published = publisher.publish(number, held, |proxy| {
            if let Some(fate) = fate {
                proxy.once(fate, |message| message.is_commit());
            }
        });
        told.push(format!("{:?}", published.unwrap()));
        if let Some(Fate::IsLate(late)) = fate {
            assert!(began.elapsed() >= late, "it did not wait for what became of the first");
        }
    }
    told
}

#[track_caller]
fn check(fate: Fate) {
    let (mut cut, mut undisturbed) = (Publisher::new(), Publisher::new());
    assert_eq!(publish_each(&mut cut, Some(fate)), publish_each(&mut undisturbed, None));
    dump::are_alike(&cut.database, &undisturbed.database);
}

#[test]
fn a_commit_that_is_lost_is_made_again() {
    check(Fate::IsLost);
}

#[test]
fn a_commit_whose_answer_is_lost_is_not_made_again() {
    check(Fate::IsNotAnswered);
}

#[test]
fn a_commit_that_comes_late_is_waited_for() {
    check(Fate::IsLate(LATE));
}

#[test]
fn without_patience_the_outcome_is_unknown_and_the_same_call_finds_it_out() {
    for (fate, moves) in [(Fate::IsLost, 0), (Fate::IsNotAnswered, 1)] {
        let mut publisher = Publisher::new();
        publisher.through = publisher.through.with_patience(Duration::ZERO);
        let error =
            publisher.publish(1, Held::Nobody, |proxy| proxy.once(fate, |message| message.is_commit()));
        let error = error.unwrap_err();
        assert!(matches!(error, StoreError::OutcomeUnknown { .. }), "{error}");
        let database = publisher.direct.description();
        assert!(
            error
                .to_string()
                .starts_with(&format!("it is not known whether {}", database.split('@').next().unwrap())),
            "{error}"
        );
        let run = publisher.run_id();
        let has_published = publisher.wait(publisher.direct.has_published(&run)).unwrap();
        assert_eq!(has_published, moves == 1);
        assert_eq!(publisher.wait(publisher.direct.moves(10, None)).unwrap().len(), moves);
        let (publication, _) = publisher.publish(2, Held::Nobody, |_| {}).unwrap();
        assert_eq!(publication, Publication::Moved);
    }
}

/// Deletes a day that readers see, of which something is held; what is left, and how many rows it says were deleted.
fn trim(fate: Fate) -> Publisher {
    let mut publisher = Publisher::new();
    publisher.publish(1, Held::Nobody, |_| {}).unwrap();
    publisher.publish(2, Held::One, |_| {}).unwrap();
    publisher.proxy.once(fate, |message| message.is_commit());
    let (day, at) = (DAY.parse().unwrap(), "2025-03-01T02:30:00Z".parse().unwrap());
    publisher.wait(publisher.through.trim_day(day, at)).unwrap();
    publisher
}

#[test]
fn a_day_is_deleted_once() {
    let undisturbed = trim(Fate::Passes);
    for fate in [Fate::IsLost, Fate::IsNotAnswered, Fate::IsLate(LATE)] {
        dump::are_alike(&trim(fate).database, &undisturbed.database);
    }
}

#[test]
fn a_publication_bounds_how_long_it_waits_and_is_waited_for() {
    let mut publisher = Publisher::new();
    let settings = ["lock_timeout", "tcp_keepalives_idle", "tcp_keepalives_interval", "tcp_keepalives_count"];
    let told = settings.map(|setting| format!("current_setting('{setting}')")).join(" || ' ' || ");
    let mut prompt = publisher.database.prompt();
    prompt.run(&format!(
        "CREATE TABLE told (settings TEXT);
         CREATE FUNCTION tell() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO told SELECT {told}; RETURN NULL; END $$;
         CREATE TRIGGER tell AFTER INSERT ON publication_events EXECUTE FUNCTION tell()"
    ));
    publisher.publish(1, Held::Nobody, |_| {}).unwrap();
    assert_eq!(prompt.rows("SELECT settings FROM told"), ["1min 10 5 3"]);
}
