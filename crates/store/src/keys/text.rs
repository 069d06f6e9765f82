//! A key's text: `tsk_`, the key's id, `_`, and 32 secret bytes of the operating system.
//!
//! Made once, told once, and afterwards only recognised: by the id that it begins with, and by the SHA-256 of all of
//! it. With 256 secret bits nothing slower than SHA-256 would make it harder to guess.

use super::KeyDigest;
use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use std::{fmt, str::FromStr};

/// What every key begins with, so that programs that look for leaked secrets can find it.
const BEGINNING: &[u8] = b"tsk_";
const ID_LEN: usize = 12;
const SECRET_BYTES: usize = 32;
/// The secret's characters: six bits each, the last has four.
const SECRET_LEN: usize = 43;
const LEN: usize = BEGINNING.len() + ID_LEN + 1 + SECRET_LEN;

/// The digits of an id.
const DIGITS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A key's id: 12 lowercase letters and digits. No secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyId([u8; ID_LEN]);

impl KeyId {
    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("letters and digits are UTF-8")
    }

    fn from_bytes(bytes: [u8; ID_LEN]) -> Option<Self> {
        bytes.iter().all(|byte| DIGITS.contains(byte)).then_some(Self(bytes))
    }

    /// As the digits of a number, the lowest first; those above the twelfth are left out.
    fn of_number(mut number: u64) -> Self {
        Self(std::array::from_fn(|_| {
            let digit = DIGITS[(number % 36) as usize];
            number /= 36;
            digit
        }))
    }
}

impl FromStr for KeyId {
    type Err = NotAKeyId;

    fn from_str(text: &str) -> Result<Self, NotAKeyId> {
        text.as_bytes().try_into().ok().and_then(Self::from_bytes).ok_or(NotAKeyId)
    }
}

/// The text is no key's id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key's id has 12 lowercase letters and digits")]
pub struct NotAKeyId;

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Serialize for KeyId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gives no random bytes to make a key of")]
pub struct NoRandomness(#[source] getrandom::Error);

/// The text of a key that was just made. Its `Debug` tells the id alone.
pub struct KeyText {
    text: String,
    key_id: KeyId,
}

impl KeyText {
    /// A new key, of random bytes of the operating system.
    ///
    /// # Errors
    /// When it gives none.
    pub fn random() -> Result<Self, NoRandomness> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret).map_err(NoRandomness)?;
        Ok(Self::of(KeyId::of_number(getrandom::u64().map_err(NoRandomness)?), &secret))
    }

    fn of(key_id: KeyId, secret: &[u8; SECRET_BYTES]) -> Self {
        Self { text: format!("tsk_{key_id}_{}", URL_SAFE_NO_PAD.encode(secret)), key_id }
    }

    /// The text itself, which is the secret.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.text
    }

    /// The key's id.
    #[must_use]
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// SHA-256 of the text.
    #[must_use]
    pub fn digest(&self) -> KeyDigest {
        Sha256::digest(&self.text).into()
    }

    /// The id and the digest of a text that has exactly the form of a key, whether there is such a key or not.
    /// Allocates nothing.
    #[must_use]
    pub fn parse(text: &str) -> Option<(KeyId, KeyDigest)> {
        let bytes: &[u8; LEN] = text.as_bytes().try_into().ok()?;
        let (id, rest) = bytes.strip_prefix(BEGINNING)?.split_first_chunk()?;
        let key_id = KeyId::from_bytes(*id)?;
        // Room for what 43 characters come to at most, of which they fill 32 bytes. Only one text stands for the same
        // bytes: the engine refuses padding, and bits that are left over and not zero.
        let mut secret = [0; SECRET_LEN.div_ceil(4) * 3];
        URL_SAFE_NO_PAD.decode_slice(rest.strip_prefix(b"_")?, &mut secret).ok()?;
        Some((key_id, Sha256::digest(bytes).into()))
    }
}

impl fmt::Debug for KeyText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tsk_{}_…", self.key_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const KEY: &str = "tsk_0123456789ab_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

    /// What has the form of a key by its documentation, found by other means.
    fn has_form(text: &str) -> bool {
        let parts: Vec<_> = text.splitn(3, '_').collect();
        let [beginning, id, secret] = parts[..] else { return false };
        let is_id = |of: char| of.is_ascii_lowercase() || of.is_ascii_digit();
        let is_secret = |of: char| of.is_ascii_alphanumeric() || of == '-' || of == '_';
        beginning == "tsk"
            && (id.chars().count(), secret.chars().count()) == (12, 43)
            && id.chars().all(is_id)
            && secret.chars().all(is_secret)
            // Of the last character's six bits the lower two are over.
            && secret.ends_with(['A', 'E', 'I', 'M', 'Q', 'U', 'Y', 'c', 'g', 'k', 'o', 's', 'w', '0', '4', '8'])
    }

    #[test]
    fn a_key_is_known_by_its_id_and_the_digest_of_all_of_it() {
        let key = KeyText::of("0123456789ab".parse().unwrap(), &std::array::from_fn(|at| at as u8));
        assert_eq!(key.reveal(), KEY);
        let (key_id, digest) = KeyText::parse(KEY).unwrap();
        assert_eq!((key_id, digest), (key.key_id(), key.digest()));
        // printf %s KEY | sha256sum
        let hex: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, "c88e6a4393fd9657dcbb7487ff2164ab8eb517c8affd06873f9b59651650626d");
    }

    #[test]
    fn what_is_printed_for_debugging_holds_no_secret() {
        let key = KeyText::random().unwrap();
        assert_eq!(format!("{key:?}"), format!("tsk_{}_…", key.key_id()));
        let secret = key.reveal().rsplit_once(key.key_id().as_str()).unwrap().1;
        assert!(!format!("{key:?}").contains(secret));
    }

    #[test]
    fn every_key_is_another_and_uses_every_bit() {
        let keys: Vec<_> = (0..200).map(|_| KeyText::random().unwrap()).collect();
        let mut seen_by_place = vec![std::collections::BTreeSet::new(); LEN];
        for key in &keys {
            assert_eq!(KeyText::parse(key.reveal()), Some((key.key_id(), key.digest())), "{key:?}");
            key.reveal().bytes().zip(&mut seen_by_place).for_each(|(byte, seen)| {
                seen.insert(byte);
            });
        }
        // A place of the secret that showed fewer would not be of random bits: by chance once in 10^20.
        let id = BEGINNING.len()..BEGINNING.len() + ID_LEN;
        assert!(seen_by_place[id].iter().all(|seen| seen.len() > 15));
        assert!(seen_by_place[LEN - SECRET_LEN..LEN - 1].iter().all(|seen| seen.len() > 30));
        assert!(seen_by_place[LEN - 1].len() > 8);
    }

    #[test]
    fn only_the_exact_form_is_a_key() {
        assert!(has_form(KEY) && KeyText::parse(KEY).is_some());
        for text in [
            String::new(),
            KEY.replacen("tsk", "TSK", 1),
            KEY.replacen("0123456789ab", "0123456789aB", 1),
            KEY.replacen("0123456789ab", "0123456789-b", 1),
            KEY.replacen("ab_", "ab-", 1),
            format!("{KEY}="),
            format!("{KEY} "),
            format!(" {}", &KEY[..KEY.len() - 1]),
            format!("{}9", &KEY[..KEY.len() - 1]),
            KEY.replace('A', "+"),
            KEY.replacen("ECA", "é A", 1),
        ] {
            assert!(!has_form(&text) && KeyText::parse(&text).is_none(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn a_text_is_a_key_if_it_has_the_form(
            text in prop_oneof![
                "tsk_[0-9a-z]{12}_[-_0-9A-Za-z]{43}",
                "tsk_[0-9a-zA-Z]{11,13}_[-_0-9A-Za-z=+/]{42,44}",
                "\\PC{0,70}",
            ]
        ) {
            let parsed = KeyText::parse(&text);
            prop_assert_eq!(parsed.is_some(), has_form(&text));
            if let Some((key_id, digest)) = parsed {
                prop_assert_eq!(key_id.as_str(), &text[4..16]);
                prop_assert_eq!(digest, <KeyDigest>::from(Sha256::digest(&text)));
            }
        }

        #[test]
        fn each_secret_gives_one_text_and_another_text_is_another_key(
            number: u64, secret: [u8; SECRET_BYTES], place in 0..LEN, bit in 0..7_u8
        ) {
            let key = KeyText::of(KeyId::of_number(number), &secret);
            prop_assert!(has_form(key.reveal()));
            prop_assert_eq!(KeyText::parse(key.reveal()), Some((key.key_id(), key.digest())));
            let mut other = key.reveal().as_bytes().to_vec();
            other[place] ^= 1_u8 << bit;
            let other = String::from_utf8(other).unwrap();
            prop_assert_ne!(KeyText::parse(&other), Some((key.key_id(), key.digest())));
        }
    }
}
