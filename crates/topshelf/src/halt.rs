//! Telling work to stop, or to wait: threads ask at each read, tasks await it.

use std::{fmt, io, sync::Arc, thread, time::Duration};
use tokio::{sync::watch, time};

/// How often a thread that waits asks again.
const ASK_EVERY: Duration = Duration::from_millis(50);

/// How long work that is told to stop may take to come to its end by itself.
const GRACE: Duration = Duration::from_secs(8);

/// Tells all work that was given a clone of it to stop or to wait.
#[derive(Clone)]
pub struct Halt {
    told: Arc<watch::Sender<Told>>,
    /// What stops this work too.
    above: Option<Arc<Halt>>,
}

#[derive(Debug, Clone, Default)]
struct Told {
    stop: Option<Arc<str>>,
    is_waiting: bool,
}

/// The work was told to stop.
#[derive(Debug, Clone, thiserror::Error)]
#[error("stopped: {why}")]
pub struct Stopped {
    why: Arc<str>,
}

impl Stopped {
    /// Whether that was said why.
    pub(crate) fn is_by(&self, why: &str) -> bool {
        *self.why == *why
    }
}

impl Halt {
    /// Nothing is told to stop yet.
    #[must_use]
    pub fn new() -> Self {
        Self { told: Arc::new(watch::Sender::default()), above: None }
    }

    /// Of a part of the work: stops it alone, and stops when the whole does.
    #[must_use]
    pub fn of_part(&self) -> Self {
        Self { above: Some(Arc::new(self.clone())), ..Self::new() }
    }

    /// Tells the work to stop; what was said first stays.
    pub fn stop(&self, why: &str) {
        self.told.send_modify(|told| {
            told.stop.get_or_insert_with(|| why.into());
        });
    }

    /// Tells the work to wait, or to go on.
    pub(crate) fn wait(&self, is_waiting: bool) {
        self.told.send_if_modified(|told| std::mem::replace(&mut told.is_waiting, is_waiting) != is_waiting);
    }

    /// Whether this very work was told to wait.
    pub(crate) fn is_waiting(&self) -> bool {
        self.told.borrow().is_waiting
    }

    /// Whether the work was told to stop.
    pub(crate) fn stopped(&self) -> Option<Stopped> {
        let why = self.told.borrow().stop.clone();
        why.map(|why| Stopped { why }).or_else(|| self.above.as_ref()?.stopped())
    }

    /// For a thread: waits as long as told to.
    pub(crate) fn check(&self) -> io::Result<()> {
        loop {
            if let Some(stopped) = self.stopped() {
                return Err(io::Error::other(stopped));
            }
            if !self.told.borrow().is_waiting {
                return Ok(());
            }
            thread::sleep(ASK_EVERY);
        }
    }

    /// For a task: the same.
    pub(crate) async fn turn(&self) -> Result<(), Stopped> {
        let mut told = self.told.subscribe();
        let is_on = told.wait_for(|told| !told.is_waiting || told.stop.is_some());
        // The sender is ours: it is not gone.
        self.unless_stopped(is_on).await.map(drop)
    }

    /// Completes when the work is told to stop.
    pub async fn until_stopped(&self) -> Stopped {
        let mut told = self.told.subscribe();
        let stop = async move {
            let told = told.wait_for(|told| told.stop.is_some()).await;
            told.map(|told| told.stop.clone().expect("that was waited for")).expect("the sender is ours")
        };
        match &self.above {
            None => Stopped { why: stop.await },
            Some(above) => tokio::select! {
                why = stop => Stopped { why },
                stopped = Box::pin(above.until_stopped()) => stopped,
            },
        }
    }

    /// Does the work; when it is told to stop and has not come to an end soon after, gives it up.
    pub(crate) async fn or_give_up<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        self.or_give_up_after(GRACE, work).await
    }

    async fn or_give_up_after<T>(
        &self,
        grace: Duration,
        work: impl Future<Output = T>,
    ) -> Result<T, Stopped> {
        let too_late = async {
            let stopped = self.until_stopped().await;
            time::sleep(grace).await;
            stopped
        };
        tokio::select! {
            biased;
            done = work => Ok(done),
            stopped = too_late => Err(stopped),
        }
    }

    /// Does the work, unless it is told to stop: then it is given up at once.
    pub(crate) async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        tokio::select! {
            biased;
            stopped = self.until_stopped() => Err(stopped),
            done = work => Ok(done),
        }
    }

    /// Waits so long, unless it is told to stop.
    pub(crate) async fn sleep(&self, pause: Duration) -> Result<(), Stopped> {
        self.unless_stopped(time::sleep(pause)).await
    }
}

impl Default for Halt {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Halt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Halt").field(&*self.told.borrow()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_stops_alone_and_with_the_whole() {
        let whole = Halt::new();
        let (one, other) = (whole.of_part(), whole.of_part());
        one.stop("its day was taken");
        assert_eq!(one.stopped().unwrap().to_string(), "stopped: its day was taken");
        assert!(other.check().is_ok() && whole.check().is_ok());
        whole.stop("SIGTERM");
        assert_eq!(other.check().unwrap_err().to_string(), "stopped: SIGTERM");
        whole.stop("SIGINT");
        assert_eq!(other.stopped().unwrap().to_string(), "stopped: SIGTERM");
        assert_eq!(one.stopped().unwrap().to_string(), "stopped: its day was taken");
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn work_waits_until_it_may_go_on_or_stops() {
        let halt = Halt::new();
        halt.wait(true);
        let thread = halt.clone();
        let mut thread = tokio::task::spawn_blocking(move || thread.check());
        let task = halt.clone();
        let mut task = tokio::spawn(async move { task.turn().await });
        let both = async { tokio::join!(&mut thread, &mut task) };
        assert!(time::timeout(ASK_EVERY * 3, both).await.is_err(), "both wait");
        halt.wait(false);
        assert!(thread.await.unwrap().is_ok() && task.await.unwrap().is_ok());

        halt.wait(true);
        let part = halt.of_part();
        part.wait(true);
        let task = tokio::spawn(async move { part.turn().await });
        halt.stop("SIGTERM");
        assert!(task.await.unwrap().is_err() && halt.check().is_err());
    }

    #[tokio::test]
    async fn work_that_does_not_end_is_given_up() {
        let halt = Halt::new();
        halt.stop("SIGTERM");
        assert_eq!(halt.or_give_up(async { 7 }).await.unwrap(), 7);
        let endless = halt.or_give_up_after(ASK_EVERY, std::future::pending::<()>());
        assert_eq!(endless.await.unwrap_err().to_string(), "stopped: SIGTERM");
    }
}
