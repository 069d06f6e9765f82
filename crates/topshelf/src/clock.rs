//! What time it is, as an argument: tests move it.

use domain::RunId;
use futures::future::BoxFuture;
use jiff::Timestamp;
use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::Arc,
    time::Duration,
};

/// The longest sleep: a clock that is set meanwhile is noticed so soon.
const SLEEP_MAX: Duration = Duration::from_secs(30);

/// How often is looked whether a time has come.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// Tells the time, sleeps until then, and names runs.
#[derive(Clone)]
pub struct Clock {
    tell: Arc<dyn Fn() -> (Timestamp, u32) + Send + Sync>,
    /// Waits for another time; none waits by the system's.
    wait: Option<Arc<dyn Fn(Timestamp) -> BoxFuture<'static, ()> + Send + Sync>>,
}

impl Clock {
    /// The system's clock; runs get random names.
    #[must_use]
    pub fn system() -> Self {
        Self::told_by(|| (Timestamp::now(), random()))
    }

    /// A clock that tells what `tell` says: the time, and what tells apart runs of the same second.
    #[must_use]
    pub fn told_by(tell: impl Fn() -> (Timestamp, u32) + Send + Sync + 'static) -> Self {
        Self { tell: Arc::new(tell), wait: None }
    }

    /// The same clock, which waits for a time as `wait` does.
    #[must_use]
    pub fn waiting_by(
        self,
        wait: impl Fn(Timestamp) -> BoxFuture<'static, ()> + Send + Sync + 'static,
    ) -> Self {
        Self { wait: Some(Arc::new(wait)), ..self }
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        (self.tell)().0
    }

    /// Sleeps until it is `at`, or later.
    pub async fn sleep_until(&self, at: Timestamp) {
        if let Some(wait) = &self.wait {
            return wait(at).await;
        }
        while self.now() < at {
            let left = Duration::try_from(self.now().duration_until(at)).unwrap_or_default();
            tokio::time::sleep(left.min(SLEEP_MAX)).await;
        }
    }

    /// Completes soon after it is `at`. It is nobody's sleep: a clock that tests move goes on only when all work sleeps.
    pub(crate) async fn reach(&self, at: Timestamp) {
        while self.now() < at {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Sleeps so long.
    pub async fn sleep(&self, pause: Duration) {
        self.sleep_until(self.now() + pause).await;
    }

    /// A number from 0 to 1, another each time.
    #[must_use]
    pub fn chance(&self) -> f64 {
        f64::from((self.tell)().1) / f64::from(u32::MAX)
    }

    /// A new run's id and start.
    #[must_use]
    pub fn new_run(&self) -> (RunId, Timestamp) {
        let (now, random) = (self.tell)();
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
