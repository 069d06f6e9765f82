//! The valid keys on local disk, beside what is served: for a start without the database.
//!
//! Of a key its id, digest and scope are written, never its text.

use crate::{
    access::Keyring,
    disk::{Disk, KEYS, Unreadable},
    sealed::Sealed,
};
use domain::AdvertiserId;
use serde::{Deserialize, Serialize};
use std::io;
use store::{KeyDigest, KeyId, KeyScope};

#[derive(Debug, Serialize, Deserialize)]
struct KeptKeys {
    program: String,
    /// The database that they were read from.
    database: String,
    version: i64,
    keys: Vec<KeptKey>,
}

#[derive(Debug, Serialize, Deserialize)]
struct KeptKey {
    key_id: String,
    /// In hexadecimal digits.
    sha256: String,
    /// None: all.
    advertisers: Option<Vec<String>>,
}

impl Sealed for KeptKeys {
    const FILE: &'static str = KEYS;
    const TITLE: &'static str = "topshelf keys";

    fn database(&self) -> &str {
        &self.database
    }
}

impl Disk {
    /// The keys of `database` that were kept; none when there are none.
    pub(crate) fn read_keys(&self, database: &str) -> Result<Option<Keyring>, Unreadable> {
        let Some(kept) = self.unseal::<KeptKeys>(database)? else { return Ok(None) };
        let keys: Option<Vec<_>> = kept.keys.into_iter().map(KeptKey::read).collect();
        let corrupt =
            || Unreadable::Corrupt { path: self.path(KEYS), what: "it holds what is no key".to_owned() };
        Ok(Some(Keyring::of_valid(kept.version, keys.ok_or_else(corrupt)?)))
    }

    /// Keeps the keys of `database`; whether it could, as somebody else may be writing here.
    pub(crate) fn write_keys(&self, keyring: &Keyring, database: &str) -> io::Result<bool> {
        let Some(_held) = self.lock()? else { return Ok(false) };
        let kept = KeptKeys {
            program: env!("CARGO_PKG_VERSION").to_owned(),
            database: database.to_owned(),
            version: keyring.version(),
            keys: keyring.keys().map(KeptKey::of).collect(),
        };
        self.seal(&kept)?;
        Ok(true)
    }
}

impl KeptKey {
    fn of((key_id, digest, scope): (KeyId, &KeyDigest, &KeyScope)) -> Self {
        Self {
            key_id: key_id.to_string(),
            sha256: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
            advertisers: scope.advertisers().map(|ids| ids.iter().map(|id| id.as_str().to_owned()).collect()),
        }
    }

    fn read(self) -> Option<(KeyId, KeyDigest, KeyScope)> {
        let digits = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let digest: Option<Vec<u8>> = self.sha256.as_bytes().chunks(2).map(digits).collect();
        let scope = match self.advertisers {
            None => KeyScope::All,
            Some(ids) => {
                KeyScope::of(ids.into_iter().map(|id| AdvertiserId::new(id).ok()).collect::<Option<_>>()?)?
            }
        };
        Some((self.key_id.parse().ok()?, digest?.try_into().ok()?, scope))
    }
}
