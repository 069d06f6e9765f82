//! Many requests in one write: each is answered, in their order.

use crate::{
    answers::Answer,
    random::Random,
    requests::sound,
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
    is_head: bool,
}

/// Sends some, looks at the answers, and says how many they were.
pub(crate) fn exchange(address: &str, random: &mut Random, ranking: &[u8]) -> u64 {
    let (mut bytes, mut all) = (Vec::new(), Vec::new());
    for number in 0..=random.below(REQUESTS_MAX) {
        let (request, expected) = one(random, number, ranking);
        bytes.extend(request);
        all.push(expected);
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
    for (number, expected) in all.iter().enumerate() {
        let answer = answer(&mut stream, &mut received, expected.is_head);
        let Some(Answer { status, body }) = answer else {
            panic!("{number} of {}: no {expected:?}", all.len())
        };
        let says = body.windows(expected.says.len().max(1)).any(|part| part == expected.says);
        let is_right = status == expected.status && (says || expected.says.is_empty());
        assert!(is_right, "{number}: {status} {}, not {expected:?}", body.escape_ascii());
    }
    assert_eq!(received, b"", "more answers than requests");
    all.len() as u64
}

fn one(random: &mut Random, number: usize, ranking: &[u8]) -> (Vec<u8>, Expected) {
    let name = format!("nobody-{number}-{}", random.below(1 << 20));
    let (method, path, status) = match random.below(7) {
        0 => ("GET", format!("/recommendations/{name}/TopCTR"), 404),
        1 => ("HEAD", format!("/recommendations/{name}/TopCTR"), 404),
        2 => ("GET", format!("/history/%2F{name}?days=1"), 404),
        3 => ("GET", format!("/{name}/../%00"), 404),
        4 => ("GET", format!("/stats/?{name}=1"), 400),
        5 => {
            let body = format!(r#"{{"requests":[{{"advertiser_id":"{name}","model":"TopCTR"}}]}}"#);
            let request = sound(b"POST", b"/recommendations", &[], body.as_bytes());
            return (request.bytes, Expected { status: 200, says: name.into(), is_head: false });
        }
        _ => {
            let request = sound(b"GET", b"/recommendations/acme/TopCTR", &[], b"");
            return (request.bytes, Expected { status: 200, says: ranking.to_vec(), is_head: false });
        }
    };
    let is_head = method == "HEAD";
    let says = if is_head { Vec::new() } else { name.into_bytes() };
    (sound(method.as_bytes(), path.as_bytes(), &[], b"").bytes, Expected { status, says, is_head })
}
