//! Trying again what a database could not do for the moment.
//!
//! A failure enters; whether the call is worth another try leaves, after a pause. Never here: what the call is, and
//! whether it may be made twice. Each call that is made through this finds out by itself what it did before.

use crate::error::StoreError;
use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, Instant},
};

/// The pause before the second try. Most connections that break are made anew at once.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// No pause is longer, so that a database that is back is not waited for much longer.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long a call is tried again, from its first failure on.
pub(crate) struct Patience {
    limit: Duration,
    began: Option<Instant>,
    pause: Duration,
}

impl Patience {
    /// Patience of so long; none at all is allowed.
    pub(crate) fn of(limit: Duration) -> Self {
        Self { limit, began: None, pause: PAUSE_MIN }
    }

    /// Whether the call that failed so is worth another try: then returns after a pause. The first time is told.
    pub(crate) async fn bears(&mut self, error: &StoreError) -> bool {
        if self.limit.is_zero() || !error.is_transient() {
            return false;
        }
        if self.began.is_none() {
            let (error, seconds): (&(dyn std::error::Error + 'static), _) = (error, self.limit.as_secs());
            tracing::warn!(error, "the database does not do it at the moment: trying again for {seconds} s");
        }
        let Some(pause) = self.pause(Instant::now()) else { return false };
        tokio::time::sleep(pause).await;
        true
    }

    /// The pause before the next try; none when patience is over.
    fn pause(&mut self, now: Instant) -> Option<Duration> {
        let began = *self.began.get_or_insert(now);
        let left = self.limit.saturating_sub(now - began);
        let pause = shortened(self.pause);
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        // The last try comes when patience ends, and not before.
        (!left.is_zero()).then(|| pause.min(left))
    }
}

/// By chance between half of the pause and all of it: what failed together is not tried again together.
fn shortened(pause: Duration) -> Duration {
    // A hasher of its own has keys of its own, which is all the chance that this needs.
    let chance = RandomState::new().hash_one(0u8) as f64 / u64::MAX as f64;
    pause.mul_f64(0.5 + chance / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Error, ErrorKind};

    fn failure(kind: ErrorKind) -> StoreError {
        StoreError::Sql {
            operation: "read the runs".into(),
            database: "postgres://u@h:5432/d".into(),
            source: sqlx::Error::Io(Error::from(kind)),
        }
    }

    #[test]
    fn pauses_grow_and_come_to_the_limit() {
        let limit = Duration::from_secs(60);
        let mut patience = Patience::of(limit);
        let began = Instant::now();
        let mut pauses = Vec::new();
        let mut now = began;
        while let Some(pause) = patience.pause(now) {
            now += pause;
            pauses.push(pause);
        }
        assert_eq!(now - began, limit);
        assert!((15..=30).contains(&pauses.len()), "{pauses:?}");
        assert!(pauses[0] <= PAUSE_MIN && pauses.iter().all(|pause| *pause <= PAUSE_MAX), "{pauses:?}");
    }

    #[tokio::test]
    async fn what_is_not_transient_is_not_borne_and_nothing_is_without_patience() {
        let unreadable = StoreError::Corrupt { database: "d".into(), what: "x".into() };
        assert!(!Patience::of(Duration::from_secs(60)).bears(&unreadable).await);
        assert!(!Patience::of(Duration::ZERO).bears(&failure(ErrorKind::ConnectionReset)).await);
    }

    #[test]
    fn pauses_are_shortened_by_chance() {
        let pauses: Vec<_> = (0..100).map(|_| shortened(PAUSE_MAX)).collect();
        assert!(pauses.iter().all(|pause| (PAUSE_MAX / 2..=PAUSE_MAX).contains(pause)));
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}
