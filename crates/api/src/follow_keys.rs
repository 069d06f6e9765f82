//! The task that keeps a server's keys current: those of the database, or those kept on disk until it can be read.
//!
//! A key works, or works no longer, as soon as the database is asked next: every `poll`. While the database cannot be
//! asked the last keys stay. Which keys were used is noted there from time to time.

use crate::{
    access::Keyring,
    disk::Disk,
    options::ServedStore,
    refresh::{DISK_TIME, chain},
    serving::Serving,
};
use jiff::Timestamp;
use std::{collections::BTreeSet, io, sync::Arc, time::Duration};
use store::{KeyId, Store, StoreError};
use tokio::{task::JoinHandle, time::timeout};

/// How long the database may take to tell of keys.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// How long it may take to note which keys were used: the next look waits for it.
const NOTE_TIME_MAX: Duration = Duration::from_secs(1);

/// It is noted which keys were used once in so many looks.
const LOOKS_PER_NOTE: u32 = 30;

/// Knows the keys that were kept on disk, until the database tells of others.
pub(crate) async fn read_kept_keys(serving: &Serving, disk: Option<&Disk>, store: &ServedStore) {
    let (true, Some(disk), Some(database)) = (serving.access.asks_for_keys(), disk, store.describe()) else {
        return;
    };
    let disk = disk.clone();
    let read = tokio::task::spawn_blocking(move || disk.read_keys(&database));
    match timeout(DISK_TIME, read).await {
        Ok(Ok(Ok(Some(keyring)))) => serving.know_keys(keyring),
        Ok(Ok(Ok(None))) => (),
        Ok(Ok(Err(error))) => tracing::warn!(error = chain(&error), "the keys kept on disk are ignored"),
        Ok(Err(_)) | Err(_) => tracing::warn!("the keys kept on disk cannot be read, and are ignored"),
    }
}

/// Keeps the keys current, until dropped; at once done where none are asked for.
pub(crate) async fn follow_keys(serving: &Serving, store: &Store, disk: Option<&Disk>) {
    if !serving.access.asks_for_keys() {
        return;
    }
    let mut keys = Keys {
        serving,
        store,
        disk,
        are_read: false,
        is_in_trouble: false,
        to_keep: None,
        keeping: None,
        cannot_keep: false,
        used: BTreeSet::new(),
        looks: 0,
    };
    loop {
        keys.look().await;
        keys.keep().await;
        keys.note_used().await;
        tokio::time::sleep(serving.options.poll).await;
    }
}

struct Keys<'a> {
    serving: &'a Serving,
    store: &'a Store,
    disk: Option<&'a Disk>,
    /// Whether those known were read from the database.
    are_read: bool,
    /// Whether the last attempt failed: a trouble is told when it begins and when it is over.
    is_in_trouble: bool,
    /// What is not on the disk yet.
    to_keep: Option<Arc<Keyring>>,
    /// What is being written, for however long: a revocation waits for no disk.
    keeping: Option<(Arc<Keyring>, JoinHandle<io::Result<bool>>)>,
    /// Whether the last attempt to write failed.
    cannot_keep: bool,
    /// Of keyrings that were replaced since it was noted.
    used: BTreeSet<KeyId>,
    /// Since it was noted which keys were used.
    looks: u32,
}

impl Keys<'_> {
    async fn look(&mut self) {
        let told = timeout(ANSWER_TIME_MAX, self.changed()).await;
        match told {
            Ok(Ok(None)) => self.is_told(),
            Ok(Ok(Some(keyring))) => {
                self.is_told();
                if !self.are_read && keyring.len() == 0 {
                    tracing::warn!(
                        "no API key is valid, so nobody is answered: `topshelf keys create --all --name NAME` makes one"
                    );
                }
                tracing::info!(keys = keyring.len(), version = keyring.version(), "API keys read");
                self.used.extend(self.serving.access.keyring().iter().flat_map(|last| last.take_used()));
                self.serving.know_keys(keyring);
                (self.to_keep, self.are_read) = (self.serving.access.keyring(), true);
            }
            Ok(Err(error)) => self.is_not_told(&chain(&error)),
            Err(_) => self.is_not_told("no answer"),
        }
    }

    /// The keys of the database, when they are others than those known.
    async fn changed(&self) -> Result<Option<Keyring>, StoreError> {
        let version = self.store.keys_version().await?;
        // What was kept on disk is read anew once: a database restored from a backup may have the same version.
        let known = self.serving.access.keyring().filter(|_| self.are_read);
        if known.is_some_and(|known| known.version() == version) {
            return Ok(None);
        }
        let keys = self.store.keys().await?;
        Ok(Some(Keyring::of(version, &keys)))
    }

    fn is_told(&mut self) {
        if self.is_in_trouble {
            tracing::info!("following the API keys again");
        }
        self.is_in_trouble = false;
        self.serving.telemetry.keys_confirmed(Timestamp::now());
    }

    fn is_not_told(&mut self, error: &str) {
        if !self.is_in_trouble {
            let known = self.serving.access.keyring().map_or(0, |keyring| keyring.len());
            tracing::error!(
                error,
                known,
                "cannot ask which API keys are valid; those known stay so, going on trying"
            );
        }
        self.is_in_trouble = true;
    }

    /// Begins to write what is not on the disk yet, or sees how that went. What failed is tried again.
    async fn keep(&mut self) {
        if let Some((keyring, written)) = self.keeping.take() {
            if !written.is_finished() {
                self.keeping = Some((keyring, written));
                return;
            }
            let written = written.await.unwrap_or_else(|error| Err(io::Error::other(error)));
            match &written {
                Ok(true) => (),
                Ok(false) => tracing::debug!("what is served is being kept on disk; the API keys come after"),
                Err(error) if !self.cannot_keep => tracing::warn!(
                    %error,
                    "could not keep the API keys on disk, trying again: without the database, a start knows those kept before"
                ),
                Err(_) => (),
            }
            self.cannot_keep = written.is_err();
            if !written.is_ok_and(|is_written| is_written) {
                self.to_keep.get_or_insert(keyring);
            }
        }
        let (Some(disk), Some(keyring)) = (self.disk.cloned(), self.to_keep.take()) else { return };
        let (database, kept) = (self.store.description().to_owned(), keyring.clone());
        let write = tokio::task::spawn_blocking(move || disk.write_keys(&kept, &database));
        self.keeping = Some((keyring, write));
    }

    async fn note_used(&mut self) {
        self.looks += 1;
        if self.looks < LOOKS_PER_NOTE {
            return;
        }
        self.looks = 0;
        self.used.extend(self.serving.access.keyring().iter().flat_map(|keyring| keyring.take_used()));
        let now = Timestamp::now();
        let used: Vec<_> = self.used.iter().map(|key_id| (*key_id, now)).collect();
        if used.is_empty() {
            return;
        }
        match timeout(NOTE_TIME_MAX, self.store.note_keys_used(&used)).await {
            Ok(Ok(())) => self.used.clear(),
            // A role that may only read cannot; nobody waits for it.
            Ok(Err(error)) => {
                tracing::debug!(error = chain(&error), "could not note which API keys are used")
            }
            Err(_) => tracing::debug!("could not note which API keys are used: no answer"),
        }
    }
}
