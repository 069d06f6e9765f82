//! Waiting for publications.
//!
//! The version of what is published says whether anything moved; a notification only says when to ask.
//! So a notification that is lost costs one poll, and one too many wakes nobody.

use crate::Store;
use sqlx::postgres::PgListener;
use std::{io, time::Duration};
use tokio::time::timeout;

/// The pause before listening again after the connection was lost.
const RELISTEN_PAUSE: Duration = Duration::from_millis(200);

/// Whoever has not answered by then does not.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

fn no_answer() -> sqlx::Error {
    sqlx::Error::Io(io::Error::new(io::ErrorKind::TimedOut, "no answer"))
}

/// Waits for publications; made by [`Store::watch`].
pub struct Watch {
    store: Store,
    poll: Duration,
    seen: i64,
    listener: Option<PgListener>,
    /// Whether the last attempt failed: a trouble is told when it begins and when it is over.
    is_in_trouble: bool,
}

impl Watch {
    pub(crate) fn new(store: Store, poll: Duration) -> Self {
        Self { store, poll, seen: 0, listener: None, is_in_trouble: false }
    }

    /// Notes that the caller has read the publications of `version`, so that only others wake it.
    pub fn seen(&mut self, version: i64) {
        self.seen = version;
    }

    /// Returns when what is published is not of the version seen last: at once when that is so already.
    /// Before any version was seen, anything published counts. Losing the database is no end: it goes on
    /// trying. May be dropped and called again without missing anything.
    pub async fn changed(&mut self) {
        let mut is_notified = true;
        loop {
            // Listening begins before the version is read: what is published in between is noticed.
            let is_listening = self.listen().await;
            if self.is_moved(is_listening).await {
                if !is_notified {
                    // A listener that missed a publication may be deaf: the next wait makes a new one.
                    self.listener = None;
                }
                return;
            }
            is_notified = self.wait().await;
        }
    }

    /// Whether nothing stands in the way of being told, where the database tells.
    async fn listen(&mut self) -> bool {
        if self.listener.is_some() {
            return true;
        }
        let listening = timeout(ANSWER_TIME_MAX, self.store.listen()).await;
        let listening = listening.map_err(|_| no_answer().into()).and_then(|made| made.map_err(Box::from));
        match listening {
            Ok(listener) => {
                self.listener = listener;
                true
            }
            Err(error) => {
                let error: Box<dyn std::error::Error + Send + Sync> = error;
                self.tell_trouble(&*error, "cannot listen for publications, asking for them instead");
                false
            }
        }
    }

    async fn is_moved(&mut self, is_listening: bool) -> bool {
        let version = timeout(ANSWER_TIME_MAX, self.store.publication_version()).await;
        let version = version.map_err(|_| no_answer().into()).and_then(|version| version.map_err(Box::from));
        match version {
            Ok(version) => {
                if is_listening {
                    self.tell_recovery();
                }
                // Not only a higher one: a database restored from a backup has moved back.
                let is_moved = version != self.seen;
                self.seen = version;
                is_moved
            }
            Err(error) => {
                let error: Box<dyn std::error::Error + Send + Sync> = error;
                self.tell_trouble(&*error, "cannot ask for publications, going on trying");
                false
            }
        }
    }

    /// Waits for a notification or for the next poll; whether asking is due to more than the poll.
    async fn wait(&mut self) -> bool {
        let Some(listener) = &mut self.listener else {
            tokio::time::sleep(self.poll).await;
            return false;
        };
        match timeout(self.poll, listener.try_recv()).await {
            // None: the connection was lost and is there again, and may have missed something.
            Ok(Ok(_)) => true,
            Ok(Err(error)) => {
                self.listener = None;
                self.tell_trouble(&error, "lost the connection that tells of publications");
                tokio::time::sleep(RELISTEN_PAUSE.min(self.poll)).await;
                true
            }
            Err(_) => false,
        }
    }

    fn tell_recovery(&mut self) {
        if self.is_in_trouble {
            tracing::info!(database = self.store.description(), "following publications again");
        }
        self.is_in_trouble = false;
    }

    fn tell_trouble(&mut self, error: &(dyn std::error::Error + 'static), what: &str) {
        if !self.is_in_trouble {
            let database = self.store.description();
            tracing::warn!(database, error, "{what}");
        }
        self.is_in_trouble = true;
    }
}
