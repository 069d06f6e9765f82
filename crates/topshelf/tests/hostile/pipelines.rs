//! Many requests in one write: each is answered, in their order.

use crate::{
    answers::Answer,
    callers::{Callers, RIVAL, RIVALS_PRODUCT, Sees},
    random::Random,
    requests::{Request, sound},
    sending::{answer, connect},
};
use std::io::Write;

/// The most requests in one write.
const REQUESTS_MAX: usize = 64;

/// What an answer must be.
#[derive(Debug)]
struct Expected {
    status: u16,
    /// What only this answer says.
    says: Vec<u8>,
}

/// Sends some, each by another caller, looks at the answers, and says how many they were.
pub(crate) fn exchange(address: &str, callers: &Callers, random: &mut Random, ranking: &[u8]) -> u64 {
    let (mut bytes, mut all) = (Vec::new(), Vec::new());
    for number in 0..=random.below(REQUESTS_MAX) {
        let caller = callers.one(random);
        let (request, expected) = one(random, caller.sees, number, ranking);
        let request = request.sent_by(caller);
        bytes.extend_from_slice(&request.bytes);
        all.push((caller, request, expected));
    }
    // What comes behind them, and is none, keeps nobody waiting.
    bytes.extend_from_slice(random.of(&[
        b"".as_slice(),
        b"",
        b"GET /recommend",
        b"POST / HTTP/1.1\r\nContent-Length: 9\r\n",
    ]));
    let mut stream = connect(address);
    stream.write_all(&bytes).unwrap();
    let mut received = Vec::new();
    for (number, (caller, request, expected)) in all.iter().enumerate() {
        let answer = answer(&mut stream, &mut received, request.is_head);
        let answer = answer.unwrap_or_else(|| panic!("{number} of {}: no {expected:?}", all.len()));
        caller.expect_nothing_else_in(&answer, request);
        let Answer { status, body, .. } = answer;
        let says = body.windows(expected.says.len().max(1)).any(|part| part == expected.says);
        let is_right = status == expected.status && (says || expected.says.is_empty());
        assert!(is_right, "{number}: {status} {}, not {expected:?} for {caller:?}", body.escape_ascii());
    }
    assert_eq!(received, b"", "more answers than requests");
    all.len() as u64
}

/// A request, and what is answered to who sees so much.
fn one(random: &mut Random, sees: Sees, number: usize, ranking: &[u8]) -> (Request, Expected) {
    let name = format!("nobody-{number}-{}", random.below(1 << 20));
    let named = name.clone().into_bytes();
    let rivals = || match sees {
        Sees::All => (200, RIVALS_PRODUCT.into()),
        _ => (404, b"unknown_advertiser".to_vec()),
    };
    let (method, path, (status, says)) = match random.below(9) {
        0 => ("GET", format!("/recommendations/{name}/TopCTR"), (404, named)),
        1 => ("HEAD", format!("/recommendations/{name}/TopCTR"), (404, Vec::new())),
        2 => ("GET", format!("/history/%2F{name}?days=1"), (404, named)),
        3 => ("GET", format!("/{name}/../%00"), (404, named)),
        4 if sees == Sees::Acme => ("GET", format!("/stats/?{name}=1"), (403, b"forbidden".to_vec())),
        4 => ("GET", format!("/stats/?{name}=1"), (400, named)),
        5 => ("GET", "/recommendations/rival/TopCTR".to_owned(), rivals()),
        6 => ("GET", "/history/rival/".to_owned(), rivals()),
        7 => ("POST", "/recommendations".to_owned(), (200, rivals().1)),
        _ => ("GET", "/recommendations/acme/TopCTR".to_owned(), (200, ranking.to_vec())),
    };
    let is_open = path.ends_with("%00");
    let (status, says) = match sees {
        Sees::Nothing if !is_open => (401, b"unauthorized".to_vec()),
        _ => (status, says),
    };
    let body = match (method, sees) {
        // What is refused for its head may end the connection with its body, and what comes behind.
        ("POST", Sees::All | Sees::Acme) => questions(&name),
        _ => String::new(),
    };
    let says = if method == "HEAD" { Vec::new() } else { says };
    (sound(method.as_bytes(), path.as_bytes(), &[], body.as_bytes()), Expected { status, says })
}

fn questions(name: &str) -> String {
    let of = |advertiser: &str| format!(r#"{{"advertiser_id":"{advertiser}","model":"TopCTR"}}"#);
    format!(r#"{{"requests":[{},{}]}}"#, of(name), of(RIVAL))
}
