//! What comes back, taken apart: a connection holds whole answers, one after the other, and never one that blames
//! the server.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

/// How often each status came.
static STATUSES: Mutex<BTreeMap<u16, u64>> = Mutex::new(BTreeMap::new());

pub(crate) fn statuses() -> BTreeMap<u16, u64> {
    STATUSES.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    /// Whether it says `text`, in its head or body.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.head.contains(text) || self.body.windows(text.len()).any(|part| part == text.as_bytes())
    }

    /// The first answer in `bytes`, which goes from them; nothing when it has not come whole.
    pub(crate) fn take_from(bytes: &mut Vec<u8>, is_head: bool) -> Option<Self> {
        let end = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n")? + 4;
        let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
        let status = head.strip_prefix("HTTP/1.").and_then(|rest| rest.get(2..5)?.parse().ok());
        let status: u16 = status.unwrap_or_else(|| panic!("no answer: {head:?}"));
        assert!(status < 500, "{head}");
        let mut fields = head.lines().filter_map(|line| line.split_once(": "));
        let length = fields.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
        let length = length.map_or(0, |(_, length)| length.parse().unwrap());
        let length = if is_head || status == 304 { 0 } else { length };
        if bytes.len() < end + length {
            return None;
        }
        let body = bytes[end..end + length].to_vec();
        bytes.drain(..end + length);
        *STATUSES.lock().unwrap_or_else(PoisonError::into_inner).entry(status).or_default() += 1;
        // An interim answer is followed by the answer.
        if status < 200 { Self::take_from(bytes, is_head) } else { Some(Self { status, head, body }) }
    }
}
