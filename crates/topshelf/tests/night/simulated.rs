//! Time that passes only when everybody waits for it.

use jiff::Timestamp;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{sync::oneshot, time::timeout};
use topshelf::clock::Clock;

/// Longer than any work takes between two waits, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Clocks that show one time, which the test moves.
#[derive(Clone)]
pub(crate) struct Time(Arc<Mutex<Moment>>);

struct Moment {
    now: Timestamp,
    /// Who waits, until when.
    waiting: BTreeMap<u32, (Timestamp, oneshot::Sender<()>)>,
    told: u32,
}

impl Time {
    pub(crate) fn at(now: &str) -> Self {
        Self(Arc::new(Mutex::new(Moment { now: now.parse().unwrap(), waiting: BTreeMap::new(), told: 0 })))
    }

    /// A clock that shows this time; of all of them, each run gets a name of its own.
    pub(crate) fn clock(&self) -> Clock {
        let (told, waited) = (self.clone(), self.clone());
        Clock::told_by(move || {
            let mut moment = told.0.lock().unwrap();
            moment.told += 1;
            (moment.now, moment.told)
        })
        .waiting_by(move |at| Box::pin(waited.clone().wait(at)))
    }

    async fn wait(self, at: Timestamp) {
        let waiting = {
            let mut moment = self.0.lock().unwrap();
            if at <= moment.now {
                return;
            }
            moment.told += 1;
            let number = moment.told;
            let (sender, receiver) = oneshot::channel();
            moment.waiting.insert(number, (at, sender));
            receiver
        };
        waiting.await.expect("time passes as long as the test lasts");
    }

    /// Lets time pass until then, from one to the next moment that somebody waits for, whenever `all` wait.
    pub(crate) async fn pass_until(&self, until: &str, all: usize) {
        let until: Timestamp = until.parse().unwrap();
        loop {
            self.until_waiting(all).await;
            let mut moment = self.0.lock().unwrap();
            let next = moment.waiting.values().map(|(at, _)| *at).min().expect("somebody waits");
            if next > until {
                moment.now = until;
                return;
            }
            moment.now = next;
            let due: Vec<_> =
                moment.waiting.iter().filter(|(_, (at, _))| *at <= next).map(|(number, _)| *number).collect();
            for number in due {
                let (_, sender) = moment.waiting.remove(&number).unwrap();
                // Whoever waited may have been told to stop.
                let _ = sender.send(());
            }
        }
    }

    /// Waits until so many wait for time to pass.
    pub(crate) async fn until_waiting(&self, all: usize) {
        let waiting = async {
            loop {
                {
                    let mut moment = self.0.lock().unwrap();
                    moment.waiting.retain(|_, (_, sender)| !sender.is_closed());
                    if moment.waiting.len() >= all {
                        return;
                    }
                }
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        };
        timeout(PATIENCE, waiting).await.expect("all wait for time to pass");
    }
}
