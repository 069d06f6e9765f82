//! Who asks, and what they may see.
//!
//! A request's headers go in; the caller comes out, and with it the advertisers whose rankings it may see. To a caller
//! everybody else's advertisers do not exist: they are looked up under a name that nobody has, so that the answer, its
//! headers and the work behind it are those of an advertiser that was never published. Keys are known by
//! their digests; the text of one is kept as long as the connection that sent it last.

use crate::problem::Problem;
use arc_swap::ArcSwapOption;
use axum::http::{HeaderMap, header};
use std::{
    cell::RefCell,
    collections::HashMap,
    fmt,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use store::{ApiKey, KeyDigest, KeyId, KeyScope, KeyText};
use subtle::ConstantTimeEq;

/// Where a key may stand beside `Authorization`.
pub(crate) const X_API_KEY: &str = "x-api-key";

/// The keys of a server, and whether it asks for them.
#[derive(Debug)]
pub(crate) struct Access {
    asks_for_keys: bool,
    /// None until the keys could be read.
    keyring: ArcSwapOption<Keyring>,
}

impl Access {
    /// Without keys yet.
    pub(crate) fn new(asks_for_keys: bool) -> Self {
        Self { asks_for_keys, keyring: ArcSwapOption::empty() }
    }

    pub(crate) fn asks_for_keys(&self) -> bool {
        self.asks_for_keys
    }

    /// The keys known now.
    pub(crate) fn keyring(&self) -> Option<Arc<Keyring>> {
        self.keyring.load_full()
    }

    /// Knows these keys from now on, and no others.
    pub(crate) fn replace(&self, keyring: Keyring) {
        self.keyring.store(Some(Arc::new(keyring)));
    }

    /// Whose request has these headers, on a connection whose last key was `last`.
    pub(crate) fn asker(&self, headers: &HeaderMap, last: &LastKey) -> Asker {
        if !self.asks_for_keys {
            return Asker::Anyone;
        }
        let Some(text) = sent_key(headers) else { return Asker::Nobody };
        let Some(keyring) = &*self.keyring.load() else { return Asker::Untold };
        let key = last.find(text, keyring).or_else(|| {
            let key = keyring.find(text)?;
            last.is(text, keyring, &key);
            Some(key)
        });
        let Some(key) = key else { return Asker::Nobody };
        key.note_use();
        Asker::Holder(key)
    }
}

/// The text of the key that was sent: behind `Bearer`, or alone.
fn sent_key(headers: &HeaderMap) -> Option<&str> {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| {
        let (scheme, text) = value.to_str().ok()?.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| text.trim())
    });
    bearer.or_else(|| headers.get(X_API_KEY)?.to_str().ok().map(str::trim))
}

/// The valid key that a connection sent last, which most likely it sends again: then no digest is needed.
#[derive(Debug, Default)]
pub(crate) struct LastKey(RefCell<Option<Last>>);

struct Last {
    text: Box<str>,
    /// In which it was found: it is not asked of another.
    keyring: Weak<Keyring>,
    key: Arc<Key>,
}

impl LastKey {
    /// The key, when it is the same text in the same keyring.
    fn find(&self, text: &str, keyring: &Arc<Keyring>) -> Option<Arc<Key>> {
        let last = self.0.borrow();
        let last = last.as_ref().filter(|last| last.keyring.as_ptr() == Arc::as_ptr(keyring))?;
        // Behind a proxy it may have been somebody else who sent it.
        bool::from(last.text.as_bytes().ct_eq(text.as_bytes())).then(|| last.key.clone())
    }

    fn is(&self, text: &str, keyring: &Arc<Keyring>, key: &Arc<Key>) {
        let last = Last { text: text.into(), keyring: Arc::downgrade(keyring), key: key.clone() };
        self.0.replace(Some(last));
    }
}

impl fmt::Debug for Last {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Last").field("key", &self.key.id).finish_non_exhaustive()
    }
}

/// The keys that are valid at a moment.
#[derive(Debug)]
pub(crate) struct Keyring {
    version: i64,
    keys: HashMap<KeyId, Arc<Key>>,
}

/// A valid key.
#[derive(Debug)]
pub(crate) struct Key {
    pub(crate) id: KeyId,
    digest: KeyDigest,
    scope: KeyScope,
    is_used: AtomicBool,
}

impl Key {
    /// Written seldom, so that requests do not take the line from each other.
    fn note_use(&self) {
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }
}

impl Keyring {
    /// Of all keys of the store, those that are not revoked.
    pub(crate) fn of(version: i64, keys: &[ApiKey]) -> Self {
        let valid = keys.iter().filter(|key| key.is_in_force());
        Self::of_valid(version, valid.map(|key| (key.key_id, key.digest, key.scope.clone())))
    }

    pub(crate) fn of_valid(
        version: i64,
        keys: impl IntoIterator<Item = (KeyId, KeyDigest, KeyScope)>,
    ) -> Self {
        let keys = keys.into_iter().map(|(id, digest, scope)| {
            (id, Arc::new(Key { id, digest, scope, is_used: AtomicBool::new(false) }))
        });
        Self { version, keys: keys.collect() }
    }

    /// The version of the store's keys that these are.
    pub(crate) fn version(&self) -> i64 {
        self.version
    }

    pub(crate) fn len(&self) -> usize {
        self.keys.len()
    }

    /// Each key, by its id, digest and scope.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (KeyId, &KeyDigest, &KeyScope)> {
        self.keys.values().map(|key| (key.id, &key.digest, &key.scope))
    }

    /// The key of that text. Takes as long for a wrong secret as for a key that never was.
    fn find(&self, text: &str) -> Option<Arc<Key>> {
        let (id, digest) = KeyText::parse(text)?;
        let key = self.keys.get(&id);
        let known = key.map_or([0; 32], |key| key.digest);
        let is_same = bool::from(digest.ct_eq(&known));
        key.filter(|_| is_same).cloned()
    }

    /// The keys that were used since this was asked last.
    pub(crate) fn take_used(&self) -> Vec<KeyId> {
        let used = self.keys.values().filter(|key| key.is_used.swap(false, Ordering::Relaxed));
        used.map(|key| key.id).collect()
    }
}

/// Who asks.
#[derive(Debug, Clone)]
pub(crate) enum Asker {
    /// Whoever reaches a server that asks for no keys.
    Anyone,
    /// The holder of a valid key.
    Holder(Arc<Key>),
    /// Who has sent no valid key.
    Nobody,
    /// Who has sent a key before the server could read which are valid.
    Untold,
}

impl Asker {
    /// Which advertisers exist for it.
    ///
    /// # Errors
    /// A [`Problem`] when it may see none at all.
    pub(crate) fn scope(&self) -> Result<&KeyScope, Problem> {
        match self {
            Self::Anyone => Ok(&KeyScope::All),
            Self::Holder(key) => Ok(&key.scope),
            Self::Nobody => Err(Problem::Unauthorized),
            Self::Untold => Err(Problem::KeysUnavailable),
        }
    }

    /// That it may see what is told of all advertisers together, and of the server.
    ///
    /// # Errors
    /// A [`Problem`] when it may not.
    pub(crate) fn sees_all(&self) -> Result<(), Problem> {
        match self.scope()? {
            KeyScope::All => Ok(()),
            KeyScope::Advertisers(_) => Err(Problem::Forbidden),
        }
    }

    /// The key it holds.
    pub(crate) fn key_id(&self) -> Option<KeyId> {
        match self {
            Self::Holder(key) => Some(key.id),
            _ => None,
        }
    }
}
