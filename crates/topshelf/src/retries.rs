//! How often, and after which pauses, work is tried again that failed of what may pass by itself.

use crate::clock::Clock;
use std::time::Duration;

/// No pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(15 * 60);

/// Pauses that double, each shortened by chance by up to a half: machines that failed together do not come back
/// together ("equal jitter" of Marc Brooker's *Exponential Backoff And Jitter*, 2015).
#[derive(Debug, Clone, Copy)]
pub struct Retries {
    times: u32,
    first_pause: Duration,
}

impl Retries {
    /// What fails has failed.
    #[must_use]
    pub fn none() -> Self {
        Self::new(0, Duration::ZERO)
    }

    /// So many times more, the first after at most so long.
    #[must_use]
    pub fn new(times: u32, first_pause: Duration) -> Self {
        Self { times, first_pause }
    }

    /// The pauses, one before each further time.
    pub(crate) fn pauses(self, clock: &Clock) -> impl Iterator<Item = Duration> {
        (0..self.times).map(move |time| {
            let whole = self.first_pause.saturating_mul(1 << time.min(31)).min(PAUSE_MAX);
            whole.mul_f64(1.0 - clock.chance() / 2.0)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;

    #[test]
    fn pauses_double_up_to_a_quarter_of_an_hour() {
        let pauses = |chance: u32| {
            let clock = Clock::told_by(move || (Timestamp::UNIX_EPOCH, chance));
            let pauses = Retries::new(7, Duration::from_secs(30)).pauses(&clock).collect::<Vec<_>>();
            pauses.iter().map(Duration::as_secs).collect::<Vec<_>>()
        };
        assert_eq!(pauses(0), [30, 60, 120, 240, 480, 900, 900]);
        assert_eq!(pauses(u32::MAX), [15, 30, 60, 120, 240, 450, 450]);
        assert_eq!(Retries::none().pauses(&Clock::system()).count(), 0);
    }
}
