//! What time it is, as an argument: tests move it.

use domain::RunId;
use jiff::Timestamp;
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
};

/// Tells the time and names runs.
#[derive(Clone)]
pub struct Clock(Arc<dyn Fn() -> (Timestamp, u32) + Send + Sync>);

impl Clock {
    /// The system's clock; runs get random names.
    #[must_use]
    pub fn system() -> Self {
        Self(Arc::new(|| (Timestamp::now(), random())))
    }

    /// A clock that tells what `tell` says: the time, and what tells apart runs of the same second.
    #[must_use]
    pub fn told_by(tell: impl Fn() -> (Timestamp, u32) + Send + Sync + 'static) -> Self {
        Self(Arc::new(tell))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.0)().0
    }

    /// A new run's id and start.
    #[must_use]
    pub fn new_run(&self) -> (RunId, Timestamp) {
        let (now, random) = (self.0)();
        (RunId::new(now, random), now)
    }
}

impl fmt::Debug for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Clock")
    }
}

/// 32 random bits, from the keys that the standard library draws for each hash map.
#[expect(clippy::cast_possible_truncation, reason = "half of the bits are enough")]
fn random() -> u32 {
    RandomState::new().hash_one(()) as u32
}
