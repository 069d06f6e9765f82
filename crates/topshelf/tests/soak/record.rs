//! What readers may see: every state of what is published, in the order in which they came to be.
//!
//! A state is noted before it is published, so that no answer is ahead of the record. Nothing here asks anyone.

use crate::publication::Publication;
use domain::Day;
use std::{
    sync::{Mutex, MutexGuard},
    time::{Duration, Instant},
};

/// Published days that the servers keep and a history shows.
pub(crate) const DAYS: usize = 7;

/// What an answer shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Sight {
    /// The newest day alone.
    Newest(Day, Publication),
    /// All days that are kept, newest first.
    Days(Vec<(Day, Publication)>),
}

/// What is published, newest day first.
type State = Vec<(Day, Publication)>;

impl Sight {
    fn is_of(&self, state: &State) -> bool {
        match self {
            Self::Newest(day, publication) => state.first() == Some(&(*day, *publication)),
            Self::Days(days) => state == days,
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Record(Mutex<Noted>);

#[derive(Debug, Default)]
struct Noted {
    states: Vec<State>,
    /// Versions that no reader was seen to have yet, and since when there have been any.
    awaited: Vec<(i64, Instant)>,
    /// Since when the database can be reached by those who read; none while something keeps them from it.
    calm_since: Option<Instant>,
    worst_delay: Duration,
    published: u32,
    version: i64,
}

impl Record {
    /// From now on readers may see this.
    pub(crate) fn may_see(&self, state: &[(Day, Publication)]) {
        let kept = state.iter().take(DAYS).copied().collect();
        self.noted().states.push(kept);
    }

    /// The state that readers may see at last.
    pub(crate) fn last(&self) -> usize {
        self.noted().states.len() - 1
    }

    /// The first state, no earlier than `floor`, that shows this.
    pub(crate) fn find(&self, sight: &Sight, floor: usize) -> Option<usize> {
        let noted = self.noted();
        noted.states.iter().skip(floor).position(|state| sight.is_of(state)).map(|after| floor + after)
    }

    /// How many states show this; one that was taken back may come again.
    pub(crate) fn times(&self, sight: &Sight) -> usize {
        self.noted().states.iter().filter(|state| sight.is_of(state)).count()
    }

    /// What is published is of this version, and readers are to see it.
    pub(crate) fn published(&self, version: i64) {
        let mut noted = self.noted();
        noted.awaited.push((version, Instant::now()));
        noted.published += 1;
        noted.version = version;
    }

    /// The version of what was published last.
    pub(crate) fn version(&self) -> i64 {
        self.noted().version
    }

    /// A reader was told that it sees this version.
    pub(crate) fn shown(&self, version: i64) {
        let mut noted = self.noted();
        let (now, calm_since) = (Instant::now(), noted.calm_since);
        let awaited = std::mem::take(&mut noted.awaited);
        let (shown, awaited): (Vec<_>, Vec<_>) = awaited.into_iter().partition(|(of, _)| *of <= version);
        noted.awaited = awaited;
        let delay =
            |(_, since): &(i64, Instant)| calm_since.map_or(Duration::ZERO, |calm| now - calm.max(*since));
        noted.worst_delay = shown.iter().map(delay).chain([noted.worst_delay]).max().unwrap_or_default();
    }

    /// Something keeps readers from the database from now on, or nothing does.
    pub(crate) fn is_calm(&self, is_calm: bool) {
        self.noted().calm_since = is_calm.then(Instant::now);
    }

    /// Whether readers were seen to have all that is published.
    pub(crate) fn is_all_shown(&self) -> bool {
        self.noted().awaited.is_empty()
    }

    /// The longest time from a publication, or from the end of what kept readers from it, until they were seen to have it.
    pub(crate) fn worst_delay(&self) -> Duration {
        self.noted().worst_delay
    }

    /// How often what readers see has moved.
    pub(crate) fn publications(&self) -> u32 {
        self.noted().published
    }

    fn noted(&self) -> MutexGuard<'_, Noted> {
        self.0.lock().unwrap()
    }
}

#[test]
fn a_state_is_found_from_the_floor_on_and_wholly() {
    let [older, newer] = ["2024-11-19", "2024-11-20"].map(|day| day.parse::<Day>().unwrap());
    let [one, two, three] = [1, 2, 3].map(Publication);
    let record = Record::default();
    for newest in [two, three, two] {
        record.may_see(&[(newer, newest), (older, one)]);
    }
    let newest = |publication| Sight::Newest(newer, publication);
    assert_eq!([0, 1, 2].map(|floor| record.find(&newest(two), floor)), [Some(0), Some(2), Some(2)]);
    assert_eq!([0, 1, 2].map(|floor| record.find(&newest(three), floor)), [Some(1), Some(1), None]);
    assert_eq!(record.find(&newest(one), 0), None);
    assert_eq!([one, two, three].map(|publication| record.times(&newest(publication))), [0, 2, 1]);
    assert_eq!(record.find(&Sight::Days(vec![(newer, three), (older, one)]), 0), Some(1));
    assert_eq!(record.find(&Sight::Days(vec![(newer, three), (older, two)]), 0), None);
    assert_eq!(record.find(&Sight::Days(vec![(newer, three)]), 0), None);
}
