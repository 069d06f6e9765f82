//! Requests as attackers and broken clients write them.

use crate::{callers::Caller, random::Random};

/// The bytes of one request, or of what pretends to be one.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) bytes: Vec<u8>,
    /// Whether it is sound as HTTP, whatever it asks for: then it must be answered.
    pub(crate) is_sound: bool,
    /// Whether an answer to it has no body.
    pub(crate) is_head: bool,
}

impl Request {
    /// The same with the caller's key in its head, where it has one.
    pub(crate) fn sent_by(mut self, caller: &Caller) -> Self {
        let first_line = self.bytes.windows(2).position(|bytes| bytes == b"\r\n");
        if let Some(end) = first_line.filter(|_| !caller.field.is_empty()) {
            self.bytes.splice(end..end, [b"\r\n", caller.field.as_slice()].concat());
        }
        self
    }

    /// Whether it says `text`.
    pub(crate) fn has(&self, text: &str) -> bool {
        self.bytes.windows(text.len()).any(|part| part == text.as_bytes())
    }
}

const PATHS: &[&[u8]] = &[
    b"/",
    b"/recommendations/acme/TopCTR",
    b"/recommendations/acme/TopProduct/",
    b"/recommendations",
    b"/history/acme/",
    b"/recommendations/rival/TopCTR",
    b"/history/rival",
    b"/stats/",
    b"/health",
    b"/health/ready",
    b"/metrics",
    b"/docs",
    b"/docs/",
    b"/docs/swagger-ui.css",
    b"/openapi.json",
];

/// What is put into a path or query, all of it bytes that a target may have.
const SOUND_PARTS: &[&[u8]] = &[
    b"%2F",
    b"%2f..%2f",
    b"%2e%2e",
    b"..",
    b"/../",
    b"//",
    b"/./",
    b"%00",
    b"%0a%0d",
    b"%C0%AF",
    b"%E0%80%AF",
    b"%ED%A0%80",
    b"%F4%90%80%80",
    b"%FF",
    b"%FE%FF",
    b"%",
    b"%2",
    b"%zz",
    b"%u002F",
    b"%25%32%46",
    b"%252F",
    b"?day=2024-11-31",
    b"?limit=99999999999999999999",
    b"?limit=-1",
    b"?limit=1e3",
    b"?day=%00",
    b"?day=a&day=b",
    b"?&&&=&=",
    b"?%",
    b"?=%FF",
    b";a=b",
    b"{advertiser}",
    b"*",
    b"'--",
    b"$(id)",
    b"${jndi:ldap:x}",
    b"?day=2024-11-20&limit=1",
    b"?days=0",
    b"?offset=18446744073709551616",
    b"/etc/passwd",
    b"?a[]=b",
    b"+",
    b"@",
    b":80",
];

/// What no target may have.
const UNSOUND_PARTS: &[&[u8]] = &[
    b"\0",
    b" ",
    b"\t",
    b"\r",
    b"\n",
    b"\xff",
    b"\xc0\xaf",
    b"\x7f",
    b"\"<>",
    b"\\..\\",
    "é商".as_bytes(),
    b"#part",
];

const METHODS: &[&[u8]] =
    &[b"HEAD", b"POST", b"PUT", b"DELETE", b"OPTIONS", b"PATCH", b"TRACE", b"PROPFIND", b"get", b"X-Y_Z!"];

/// Lines that a sound request may have, though nobody should send them.
const SOUND_FIELDS: &[&[u8]] = &[
    b"If-None-Match: \"",
    b"If-None-Match: *, *, W/\"x\", \"\", ,,,",
    b"If-None-Match: W/W/\"\xff\"",
    b"Accept-Encoding: gzip;q=0, *;q=9999, ;q=, \xff",
    b"Accept-Encoding: gzip;q=0.0000000000000000000000000001",
    b"Accept: \xfe\xff",
    b"Authorization: Bearer",
    b"Authorization: Bearer tsk_\xff\xfe",
    b"Authorization: Basic Og==",
    b"X-Api-Key: tsk_000000000000_0000000000000000000000000000000000000000000",
    b"X-Api-Key:",
    b"X-Forwarded-For: 127.0.0.1, ::1, unknown, \x80",
    b"Forwarded: for=\"[::1]:x\";;;",
    b"X-Request-Id: ../../../etc/passwd%0a",
    b"Traceparent: 00-00000000000000000000000000000000-0000000000000000-00",
    b"Range: bytes=0-0,1-1,-1",
    b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA",
    b"Connection: Host, Content-Length",
    b"X-HTTP-Method-Override: DELETE",
    b"Host: other.example",
    b"Cookie: a=b; a=b",
];

/// Lines that no request may have, or that make two readings of it.
const UNSOUND_FIELDS: &[&[u8]] = &[
    b"Content-Length: 5\r\nContent-Length: 6",
    b"Content-Length: 5, 6",
    b"Content-Length: -1",
    b"Content-Length: +5",
    b"Content-Length: 0x10",
    b"Content-Length: 99999999999999999999999",
    b"Content-Length: 5\r\nTransfer-Encoding: chunked",
    b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
    b"Transfer-Encoding: xchunked",
    b"Transfer-Encoding:\x0bchunked",
    b"Transfer-Encoding: gzip",
    b"Transfer-Encoding : chunked",
    b"X-Folded: a\r\n b\r\n\tc",
    b" X-Led: by a space",
    b"no colon at all",
    b": no name",
    b"X-Nul: \0",
    b"X-Bare-Return: a\rb",
    b"X-Bare-Line: a\nX-Next: b",
    b"\xff\xfe: bytes",
    b"Expect: 100-continue\r\nContent-Length: 7",
    b"Expect: 200-ok",
];

/// The beginning of other protocols, and of none.
const STRANGERS: &[&[u8]] = &[
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
    b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    b"GET /stats/\r\n",
    b"GET /stats/\r\n\r\n",
    b"GET /stats/ HTTP/0.9\r\n\r\n",
    b"GET /stats/ HTTP/2.0\r\n\r\n",
    b"GET /stats/ HTTP/1.1 \r\n\r\n",
    b"GET /stats/ ICY/1.1\r\n\r\n",
    b"GET  /stats/  HTTP/1.1\r\n\r\n",
    b"GET\t/stats/\tHTTP/1.1\r\n\r\n",
    b"GET /stats/ HTTP/1.1\n\n",
    b"GET /stats/ HTTP/1.1\r\rHost: a\r\r\r",
    b"\r\n\r\n\r\n\r\nGET /stats/ HTTP/1.1\r\n\r\n",
    b"\0\0\0\0",
    b"\xff\xf4\xff\xfd\x06",
    b"SSH-2.0-OpenSSH_9.6\r\n",
    b"EHLO mail.example\r\n",
    b"\x03\0\0\x13\x0e\xe0\0\0\0\0\0\x01\0\x08\0\x03\0\0\0",
    b"*1\r\n$4\r\nPING\r\n",
    b"PROXY TCP4 127.0.0.1 127.0.0.1 1 1\r\nGET / HTTP/1.1\r\n\r\n",
    b"",
];

/// Bodies of questions that are none.
const BODIES: &[&[u8]] = &[
    b"",
    b"{}",
    b"null",
    b"{\"requests\":[]}",
    b"{\"requests\":[{\"advertiser_id\":\"acme\",\"model\":\"TopCTR\"}],\"requests\":[]}",
    b"{\"requests\":[{\"advertiser_id\":\"acme\",\"advertiser_id\":\"acme\",\"model\":\"TopCTR\"}]}",
    b"{\"requests\":[{\"advertiser_id\":\"\\ud800\",\"model\":\"TopCTR\"}]}",
    b"{\"requests\":[{\"advertiser_id\":\"\\udc00\\ud800\",\"model\":\"\\u0000\"}]}",
    b"{\"requests\":[{\"advertiser_id\":\"\xff\",\"model\":\"TopCTR\"}]}",
    b"{\"requests\":[{\"advertiser_id\":\"\xed\xa0\x80\",\"model\":\"\xc0\xaf\"}]}",
    b"{\"requests\":[{\"advertiser_id\":\"acme\",\"model\":\"TopCTR\"},{\"advertiser_id\":\"rival\",\"model\":\"TopCTR\"}]}",
    b"{\"requests\":[{\"advertiser_id\":{},\"model\":[]}],\"limit\":1e400}",
    b"{\"requests\":[{\"advertiser_id\":\"acme\",\"model\":\"TopCTR\"}],\"limit\":-0}",
    b"{\"requests\":[{\"advertiser_id\":\"acme\",\"model\":\"TopCTR\"}],\"limit\":18446744073709551616}",
    b"{\"requests\":[{\"advertiser_id\":\"acme\",\"model\":\"TopCTR\"}]}\0{}",
    b"\xef\xbb\xbf{\"requests\":[{\"advertiser_id\":\"acme\",\"model\":\"TopCTR\"}]}",
    b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\x56\x2a\x4a\x2d\x2c\x4d\x2d\x2e\x29\x56\xb2\x8a\x8e\xad\x05\0",
];

/// Bodies in chunks that are none.
const CHUNKS: &[&[u8]] = &[
    b"fffffffffffffffff\r\n",
    b"-1\r\nx\r\n0\r\n\r\n",
    b"0x5\r\nhello\r\n0\r\n\r\n",
    b"5\nhello\n0\n\n",
    b"5;x=\"\xff\r\nhello\r\n0\r\n\r\n",
    b"5\r\nhelloXX0\r\n\r\n",
    b"3\r\nhello\r\n0\r\n\r\n",
    b"\r\n\r\n",
    b"0\r\nX: y\r\nContent-Length: 9\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n",
    b"5\r\nhello",
];

/// A request of one kind or another.
pub(crate) fn hostile(random: &mut Random) -> Request {
    match random.below(100) {
        0..45 => odd_target(random),
        45..60 => odd_fields(random),
        60..72 => odd_body(random),
        72..80 => unsound(random),
        80..84 => long_target(random),
        84..87 => many_fields(random),
        87..89 => enormous_body(random),
        89..95 => Request { bytes: random.of(STRANGERS).to_vec(), is_sound: false, is_head: false },
        _ => noise(random),
    }
}

fn odd_target(random: &mut Random) -> Request {
    let target = target(random, SOUND_PARTS);
    let method = if random.is_one_in(3) { random.of(METHODS) } else { b"GET" };
    sound(method, &target, &[], b"")
}

/// A path with parts put into it.
fn target(random: &mut Random, parts: &[&[u8]]) -> Vec<u8> {
    let mut target = random.of(PATHS).to_vec();
    for _ in 0..=random.below(4) {
        let at = 1 + random.below(target.len());
        let part = random.of(parts);
        target.splice(at..at, part.iter().copied());
    }
    target
}

fn odd_fields(random: &mut Random) -> Request {
    let fields: Vec<_> = (0..=random.below(4)).map(|_| random.of(SOUND_FIELDS)).collect();
    let method: &[u8] = if random.is_one_in(4) { b"HEAD" } else { b"GET" };
    sound(method, random.of(PATHS), &fields, b"")
}

fn odd_body(random: &mut Random) -> Request {
    let body = match random.below(6) {
        0 => [b"[".repeat(100_000), b"]".repeat(100_000)].concat(),
        1 => b"{\"requests\":".repeat(20_000),
        2 => {
            let question = br#"{"advertiser_id":"acme","model":"TopCTR"}"#.as_slice();
            let questions = vec![question; 990 + random.below(20)].join(&b',');
            [br#"{"requests":["#.as_slice(), &questions, b"]}"].concat()
        }
        3 => {
            let length = random.below(300);
            random.bytes(length)
        }
        _ => random.of(BODIES).to_vec(),
    };
    let encoding: &[u8] = random.of(&[
        b"Content-Type: application/json".as_slice(),
        b"Content-Encoding: gzip",
        b"Content-Type: text/plain",
    ]);
    let path = if random.is_one_in(8) { random.of(PATHS) } else { b"/recommendations" };
    sound(b"POST", path, &[encoding], &body)
}

/// Not to be answered as if it were sound.
fn unsound(random: &mut Random) -> Request {
    let is_of_target = random.is_one_in(3);
    let target = if is_of_target { target(random, UNSOUND_PARTS) } else { random.of(PATHS).to_vec() };
    let target = match random.below(12) {
        0 => b"http://other.example/recommendations/acme/TopCTR".to_vec(),
        1 => b"acme:443".to_vec(),
        2 => b"*".to_vec(),
        3 => b"//stats/".to_vec(),
        _ => target,
    };
    let method =
        random.of(&[b"GET".as_slice(), b"POST", b"CONNECT", b"OPTIONS", b"", b"G\xc9T", b"GET\0", b"(GET)"]);
    let mut bytes = [method, b" ", &target, b" HTTP/1.1\r\n"].concat();
    for _ in 0..=random.below(3) {
        bytes.extend_from_slice(random.of(UNSOUND_FIELDS));
        bytes.extend_from_slice(random.of(&[b"\r\n".as_slice(), b"\n", b"\r"]));
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(random.of(CHUNKS));
    Request { bytes, is_sound: false, is_head: false }
}

fn long_target(random: &mut Random) -> Request {
    let part = random.of(&[b"a".as_slice(), b"/", b"%2F", b"../", b"%00", b"?", b"&a=b", b"%E5%95%86"]);
    let length = random.of(&[&8_000, &65_000, &65_535, &70_000, &300_000]);
    let mut target = b"/recommendations/".to_vec();
    target.extend(part.iter().copied().cycle().take(*length));
    target.extend_from_slice(b"/TopCTR");
    // There is a length from which nobody needs to answer.
    Request { is_sound: *length <= 8_000, ..sound(b"GET", &target, &[], b"") }
}

fn many_fields(random: &mut Random) -> Request {
    let mut bytes = b"GET /stats/ HTTP/1.1\r\n".to_vec();
    match random.below(3) {
        0 => (0..3_000)
            .for_each(|number| bytes.extend_from_slice(format!("X-{number}: {number}\r\n").as_bytes())),
        1 => bytes.extend([b"X-Long: ".to_vec(), b"x".repeat(600_000), b"\r\n".to_vec()].concat()),
        _ => bytes.extend(b"Cookie: a\r\n".repeat(20_000)),
    }
    bytes.extend_from_slice(b"\r\n");
    Request { bytes, is_sound: false, is_head: false }
}

/// More than is read of a body.
fn enormous_body(random: &mut Random) -> Request {
    let length = random.of(&[&b"3000000"[..], b"1000000000000"]);
    let framing: Vec<u8> = match random.below(2) {
        0 => [b"Content-Length: ", length].concat(),
        _ => b"Transfer-Encoding: chunked".to_vec(),
    };
    let mut bytes =
        [b"POST /recommendations HTTP/1.1\r\nHost: a\r\n".as_slice(), &framing, b"\r\n\r\n"].concat();
    if framing.starts_with(b"T") {
        bytes.extend([b"2dc6c0\r\n".as_slice(), &b"x".repeat(3_000_000), b"\r\n0\r\n\r\n"].concat());
    } else {
        bytes.extend(b"x".repeat(3_000_000));
    }
    Request { bytes, is_sound: false, is_head: false }
}

fn noise(random: &mut Random) -> Request {
    let mut bytes = match random.below(3) {
        0 => {
            let length = random.below(2_000);
            random.bytes(length)
        }
        // A sound request with some bytes changed, or cut off.
        _ => odd_fields(random).bytes,
    };
    for _ in 0..random.below(6) {
        let (at, byte) = (random.below(bytes.len().max(1)), random.below(256) as u8);
        bytes.get_mut(at).into_iter().for_each(|there| *there = byte);
    }
    if random.is_one_in(2) {
        bytes.truncate(random.below(bytes.len() + 1));
    }
    Request { bytes, is_sound: false, is_head: false }
}

/// A request that is sound as HTTP.
pub(crate) fn sound(method: &[u8], target: &[u8], fields: &[&[u8]], body: &[u8]) -> Request {
    let mut bytes = [method, b" ", target, b" HTTP/1.1\r\nHost: topshelf\r\n"].concat();
    for field in fields {
        bytes.extend_from_slice(field);
        bytes.extend_from_slice(b"\r\n");
    }
    if !body.is_empty() {
        bytes.extend_from_slice(format!("Content-Length: {}\r\n", body.len()).as_bytes());
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.extend_from_slice(body);
    Request { bytes, is_sound: true, is_head: method == b"HEAD" }
}
