//! What was asked of a bucket.

use crate::message::Message;
use std::ops::Range;

/// Whose objects it is about: they lie in folders of the bucket that are called so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Input,
    Lake,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    List,
    Look,
    Read,
    Write,
    Delete,
}

#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) side: Side,
    pub(crate) deed: Deed,
    bucket: String,
    /// The object, or what the names to be listed begin with.
    pub(crate) key: String,
    pub(crate) range: Option<Range<u64>>,
    /// Whether it is a listing's second page, or a later one.
    pub(crate) goes_on: bool,
    /// How often the same was asked before.
    pub(crate) tries: u32,
}

impl Asked {
    pub(crate) fn of(request: &Message) -> Self {
        let mut words = request.first.split(' ');
        let (method, target) = (words.next().unwrap(), words.next().unwrap());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let path = decoded(path);
        let (bucket, key) = path.trim_start_matches('/').split_once('/').unwrap_or((&path[1..], ""));
        let prefix = query.split('&').find_map(|parameter| parameter.strip_prefix("prefix="));
        let (deed, key) = match (method, prefix) {
            ("GET", Some(prefix)) => (Deed::List, decoded(prefix)),
            ("GET", None) => (Deed::Read, key.to_owned()),
            ("HEAD", _) => (Deed::Look, key.to_owned()),
            ("PUT", _) => (Deed::Write, key.to_owned()),
            ("POST", _) => (Deed::Delete, deleted(&request.body)),
            _ => panic!("nobody asks so: {}", request.first),
        };
        let side = if key.starts_with("input/") { Side::Input } else { Side::Lake };
        let range = request.header("range").map(|text| {
            let (start, last) = text.strip_prefix("bytes=").unwrap().split_once('-').unwrap();
            start.parse().unwrap()..last.parse::<u64>().unwrap() + 1
        });
        let goes_on = query.contains("continuation-token=");
        Self { side, deed, bucket: bucket.to_owned(), key, range, goes_on, tries: 0 }
    }

    /// The same for each try of the same request.
    pub(crate) fn target(&self) -> String {
        let range = self.range.as_ref().map_or(0, |range| range.start);
        format!("{:?} {} {range} {}", self.deed, self.key, self.goes_on)
    }

    /// As messages name what it is about.
    pub(crate) fn url(&self) -> String {
        match (self.side, self.deed) {
            (Side::Input, Deed::List) => format!("s3://{}/input", self.bucket),
            _ => format!("s3://{}/{}", self.bucket, self.key),
        }
    }
}

/// The first key of a request to delete several.
fn deleted(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(body);
    let (_, rest) = text.split_once("<Key>").unwrap();
    rest.split_once("</Key>").unwrap().0.to_owned()
}

fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [first, tail @ ..] = rest {
        match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let hex = [*high, *low];
                bytes.push(u8::from_str_radix(std::str::from_utf8(&hex).unwrap(), 16).unwrap());
                rest = tail;
            }
            _ => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8(bytes).unwrap()
}
