//! Strong entity tags (RFC 9110, 8.8.3), made of what an answer is made of.
//!
//! An answer's bytes follow from the publication that it is read from and from what was asked, so the tag is a digest
//! of the publication: known before the answer is written, and equal on every server of the same version.

use crate::coding::Coding;
use axum::http::{HeaderMap, HeaderValue, header};
use sha2::{Digest, Sha256};

/// Changes when the same publication comes to be written in other bytes.
const SPELLING: &str = "topshelf answers 1";

/// A strong entity tag, for an answer as it is and for the same compressed: those are other bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct EntityTag([u8; 16]);

impl EntityTag {
    /// The tag of what is made of `parts`.
    pub(crate) fn of<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> Self {
        let digest = Self::digest(parts);
        Self(*digest.first_chunk().expect("a digest has 32 bytes"))
    }

    /// A digest of `parts`, each with its length, so that no two lists give the same.
    pub(crate) fn digest<P: AsRef<[u8]>>(parts: impl IntoIterator<Item = P>) -> [u8; 32] {
        let mut hash = Sha256::new_with_prefix(SPELLING);
        for part in parts {
            let part = part.as_ref();
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part);
        }
        hash.finalize().into()
    }

    /// The value of `ETag` of an answer in that coding.
    pub(crate) fn header(self, coding: Coding) -> HeaderValue {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut tag = Vec::with_capacity(40);
        tag.push(b'"');
        for byte in self.0 {
            tag.extend_from_slice(&[DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]]);
        }
        tag.extend_from_slice(match coding {
            Coding::Identity => b"\"",
            Coding::Gzip => b"-gzip\"",
        });
        HeaderValue::from_maybe_shared(bytes::Bytes::from(tag)).expect("the tag is printable ASCII")
    }
}

/// Whether `If-None-Match` names the tag: in a list, as `*`, strong or weak (RFC 9110, 13.1.2).
pub(crate) fn is_known(tag: &HeaderValue, request: &HeaderMap) -> bool {
    let values = request.get_all(header::IF_NONE_MATCH).iter().map(HeaderValue::as_bytes);
    // Our tags hold no comma, so a tag that does is never ours, however it is cut.
    let mut known = values.flat_map(|value| value.split(|byte| *byte == b',')).map(<[u8]>::trim_ascii);
    known.any(|known| known == b"*" || known.strip_prefix(b"W/").unwrap_or(known) == tag.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_known_in_a_list_weakly_and_by_a_star() {
        let tag = EntityTag::of(["a", "b"]);
        let own = tag.header(Coding::Identity);
        let own = own.to_str().unwrap();
        let knows = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(header::IF_NONE_MATCH, value.parse().unwrap());
            }
            is_known(&tag.header(Coding::Identity), &headers)
        };
        assert!(knows(&[own]));
        assert!(knows(&["\"x\"", &format!("\"y\" , W/{own}")]));
        assert!(knows(&["*"]));
        assert!(!knows(&[]));
        assert!(!knows(&["\"x\"", own.trim_matches('"')]));
        let compressed = tag.header(Coding::Gzip);
        assert!(!knows(&[compressed.to_str().unwrap()]), "those are other bytes");
    }

    #[test]
    fn parts_do_not_run_together() {
        assert_ne!(EntityTag::of(["ab", "c"]), EntityTag::of(["a", "bc"]));
        assert_ne!(EntityTag::of(["a"]), EntityTag::of(["a", ""]));
    }
}
