//! The name of a request, by which a client's complaint finds its line of the access log.
//!
//! `X-Request-Id` of a request goes in; the same comes out when it is 1 to 128 visible ASCII characters, else one that
//! is made here: 20 characters of a 100-bit number that tells neither how many requests there were nor when.

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use std::{
    hash::{BuildHasher, RandomState},
    sync::{
        LazyLock,
        atomic::{AtomicU64, Ordering},
    },
};

/// Where it stands, in requests and answers.
pub(crate) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The longest one that is taken from a client.
const BYTES_MAX: usize = 128;

/// Five bits each; letters and digits that nobody takes for each other (Crockford's base 32, in lower case).
const DIGITS: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// How many of them a made one has.
const MADE_LENGTH: usize = 20;

/// The name of the request with these headers.
pub(crate) fn of(request: &HeaderMap) -> HeaderValue {
    match request.get(&REQUEST_ID) {
        Some(id) if is_fit(id) => id.clone(),
        _ => made(),
    }
}

fn is_fit(id: &HeaderValue) -> bool {
    (1..=BYTES_MAX).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic)
}

/// A name that no other request has.
fn made() -> HeaderValue {
    static KEYS: LazyLock<[RandomState; 2]> = LazyLock::new(|| [RandomState::new(), RandomState::new()]);
    static MADE: AtomicU64 = AtomicU64::new(0);
    let number = MADE.fetch_add(1, Ordering::Relaxed);
    let [high, low] = [KEYS[0].hash_one(number), KEYS[1].hash_one(number)].map(u128::from);
    let mut bits = high << 64 | low;
    let mut text = [0; MADE_LENGTH];
    for digit in &mut text {
        *digit = DIGITS[(bits & 31) as usize];
        bits >>= 5;
    }
    HeaderValue::from_bytes(&text).expect("letters and digits are visible")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{collections::HashSet, time::Instant};

    #[test]
    fn what_a_client_sends_is_taken_when_it_can_be_printed() {
        let long = "x".repeat(BYTES_MAX);
        let longer = "x".repeat(BYTES_MAX + 1);
        for (sent, is_taken) in [
            ("a", true),
            ("7f9c-\"{~!", true),
            (long.as_str(), true),
            (longer.as_str(), false),
            ("", false),
            ("a b", false),
            ("a\tb", false),
            ("é", false),
        ] {
            let sent = HeaderValue::from_bytes(sent.as_bytes()).unwrap();
            let headers = HeaderMap::from_iter([(REQUEST_ID, sent.clone())]);
            assert_eq!(of(&headers) == sent, is_taken, "{sent:?}");
            assert!(is_fit(&of(&headers)));
        }
    }

    #[test]
    fn made_ones_are_all_different() {
        let made: HashSet<_> = (0..100_000).map(|_| of(&HeaderMap::new())).collect();
        assert_eq!(made.len(), 100_000);
        assert!(made.iter().all(|id| id.len() == MADE_LENGTH));
    }

    /// Not a limit of the machine's but of ours: ten times what it takes.
    #[test]
    fn to_make_one_takes_no_time_that_matters() {
        const ROUNDS: u32 = 200_000;
        let headers = HeaderMap::new();
        let began = Instant::now();
        for _ in 0..ROUNDS {
            std::hint::black_box(of(&headers));
        }
        let each = began.elapsed() / ROUNDS;
        println!("a request id takes {} ns", each.as_nanos());
        let limit = if cfg!(debug_assertions) { 5_000 } else { 500 };
        assert!(each.as_nanos() < limit, "{each:?}");
    }
}
