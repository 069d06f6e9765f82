//! Any bytes as a case: objects of logs, the way they are read, and a check that both readings agree.
//!
//! Some bytes decide how everything is read: threads, slice and memory, flags, chopping, delimiter. Objects follow, with a
//! [`BETWEEN_OBJECTS`] between two. Of an object two bytes decide what it is and with which of some texts it begins;
//! the rest of its text follows. With `0` for all of these, one plain object is cut into small slices and has no
//! text but its own.

use super::{
    LogObject,
    naive::{self, Format},
    ours::{How, ours},
};
use counting::{HeaderError, Instructions, Layout, ObjectDays};
use domain::{AdvertiserId, Day, Log};
use jiff::tz::TimeZone;

/// Stands between two objects: the ASCII character for just that.
const BETWEEN_OBJECTS: u8 = 0x1E;

/// Objects behind that many are left out.
const OBJECTS_MAX: usize = 4;

/// What the delimiter is told to be: mostly it is to be found.
const DELIMITERS: [Option<u8>; 8] =
    [None, None, None, Some(b','), Some(b':'), Some(1), Some(b' '), Some(b'a')];

/// The memory of a thread, from what is enough to what holds next to nothing.
const SHARES: [Option<u64>; 4] = [None, Some(1 << 16), Some(4000), Some(1500)];

/// Texts with which an object may begin.
pub(crate) type Beginnings = [&'static str; 8];

/// Headers, with commas for the delimiter and `type,` where there is one; the first is none.
pub(crate) const DELIMITED: Beginnings = [
    "",
    "advertiser_id,product_id,type,date\n",
    "date,type,product_id,advertiser_id\n",
    "x,advertiser_id,y,product_id,,type,date,z\n",
    "\"advertiser_id\",\"product_id\",\"type\",\"date\"\r\n",
    "\u{feff}advertiser_id,product_id,type,date\n",
    "advertiser_id,type,product_id\n",
    "1,2,3,product_id,5,6,7,8,9,advertiser_id,11,12,\"1\n3\",14,15,date,17,18,type,20,21\n",
];

/// First lines of JSON, with `"type":"click",` where there is a type; the first is none.
pub(crate) const JSON_LINES: Beginnings = [
    "",
    "{\"advertiser_id\":\"a\",\"product_id\":\"p\",\"type\":\"click\",\"date\":\"2024-11-20\"}\n",
    "{\"date\":\"2024-11-22\",\"type\":\"click\",\"product_id\":\"p\",\"advertiser_id\":\"a\"}\n",
    "{\"x\": [1, {\"y\": null}], \"advertiser_id\": \"a\", \"type\":\"click\", \"product_id\": \"p\", \"date\": \"2024-11-20\", \"z\": 1.5e3}\n",
    " { \"advertiser_id\" : \"a\" , \"product_id\" : \"p\" , \"type\":\"click\", \"date\" : \"2024-11-20\" } \r\n",
    "\u{feff}{\"advertiser_id\":12,\"product_id\":34,\"type\":\"click\",\"date\":20241120}\n",
    "{\"advertiser_id\":\"a\",\"type\":\"click\",\"product_id\":\"p\"}\n",
    "{\n{\"advertiser_id\":\"a\"}\n\n{\"note\":\"\\u00e9\",\"advertiser_id\":\"a\",\"product_id\":\"p\",\"type\":\"click\",\"date\":\"2024-11-20\"}\n",
];

#[derive(Debug)]
struct Case {
    active: Vec<(Day, Vec<AdvertiserId>)>,
    objects: Vec<LogObject>,
    how: How,
}

/// Checks that both readings of the case agree; also about which objects can be logs.
pub(crate) fn check(bytes: &[u8], beginnings: &Beginnings) {
    let Some(case) = Case::of(bytes, beginnings) else { return };
    case.objects.iter().for_each(check_layout_of_parts);
    if !case.objects.iter().all(is_log) {
        return;
    }
    let ours = ours(&case.active, &case.objects, &case.how);
    let naive = naive::naive(&case.active, &case.objects, &case.how.zone);
    assert!(ours == naive, "{case:#?}\nours:\n{ours}\nnaive:\n{naive}");
}

impl Case {
    fn of(bytes: &[u8], beginnings: &Beginnings) -> Option<Self> {
        let (&[threads, slice, flags, chop_seed, delimiter], objects) = bytes.split_first_chunk()?;
        let has_flag = |bit: u8| flags >> bit & 1 == 1;
        let slice_bytes = match slice % 64 {
            small @ ..48 => u64::from(small) + 1,
            large @ 48..63 => u64::from(large - 47) * 40,
            _ => 1 << 20,
        };
        let how = How {
            threads: 1 + usize::from(threads % 3),
            slice_bytes,
            instructions: if has_flag(0) { Instructions::Portable } else { Instructions::Best },
            zone: if has_flag(1) { TimeZone::get("America/Sao_Paulo").unwrap() } else { TimeZone::UTC },
            chop_seed: u64::from(chop_seed % 16).wrapping_mul(0x9E37_79B9_7F4A_7C15),
            share_bytes: SHARES[usize::from(slice / 64)],
            machines: usize::from((flags >> 4) % 4),
        };
        let delimiter = DELIMITERS[usize::from(delimiter % 8)];
        let objects = objects.split(|byte| *byte == BETWEEN_OBJECTS).take(OBJECTS_MAX);
        let objects: Option<_> = objects.map(|bytes| object(bytes, delimiter, beginnings)).collect();
        Some(Self { active: active(has_flag(2)), objects: objects?, how })
    }
}

fn object(bytes: &[u8], delimiter: Option<u8>, beginnings: &Beginnings) -> Option<LogObject> {
    let (&[kind, beginning], text) = bytes.split_first_chunk()?;
    let log = if kind & 1 == 0 { Log::AdsViews } else { Log::ProductViews };
    let days = match kind >> 2 & 3 {
        0 | 3 => ObjectDays::Any,
        1 => ObjectDays::Only(day("2024-11-22")),
        _ => ObjectDays::Only(day("2024-11-21")),
    };
    let mut beginning = beginnings[usize::from(beginning % 8)].to_owned();
    if log == Log::ProductViews {
        beginning = beginning.replace("type,", "").replace("\"type\":\"click\",", "");
    }
    let is_delimited = !beginning.contains('{');
    let delimited = |byte| if byte == b',' && is_delimited { delimiter.unwrap_or(byte) } else { byte };
    let bytes = beginning.bytes().map(delimited).chain(text.iter().copied()).collect();
    Some(LogObject { log, days, bytes, delimiter, is_stream: kind & 2 != 0 })
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// The active advertisers of two days, with a day between them that is not wanted.
fn active(do_lists_differ: bool) -> Vec<(Day, Vec<AdvertiserId>)> {
    let list = |ids: &[&str]| ids.iter().map(|id| AdvertiserId::new(*id).unwrap()).collect::<Vec<_>>();
    let first =
        list(&["12", "a", "advertiser of more than thirty-two bytes", "b, \"c\"\n", "c", "éééééééééé"]);
    let second = if do_lists_differ { list(&["a", "b", "z"]) } else { first.clone() };
    vec![(day("2024-11-20"), first), (day("2024-11-22"), second)]
}

/// Whether an object can be the log that it is said to be; both readings must agree on that.
fn is_log(object: &LogObject) -> bool {
    let naive = naive::format(object);
    let ours = match object.layout() {
        Ok(Layout::Delimited(layout)) => Some((Some(layout.delimiter), layout.fields)),
        Ok(Layout::JsonLines(_)) => Some((None, 0)),
        // What else it looks like is not asked of the naive reading.
        Err(HeaderError::NotText(_) | HeaderError::NotJsonLines(_)) => return false,
        Err(_) => None,
    };
    let naive = naive.map(|format| match format {
        Format::Delimited { delimiter, names } => (Some(delimiter), names.len()),
        Format::JsonLines => (None, 0),
    });
    assert_eq!(ours, naive, "{object:?}");
    ours.is_some()
}

/// The start of an object says the same of its layout as the whole does, or that it does not tell; of a bad
/// one that it is bad, perhaps for another reason.
fn check_layout_of_parts(object: &LogObject) {
    let whole = object.layout();
    for end in [1, 3, 20, 34, 35, 40, 64, 100, 150].into_iter().filter(|end| *end < object.bytes.len()) {
        match object.layout_of_part(end) {
            Ok(None) => {}
            Ok(Some(part)) => assert_eq!(Ok(part), whole, "the first {end} bytes of {object:?}"),
            Err(error) => assert!(whole.is_err(), "{error}: the first {end} bytes of {object:?}"),
        }
    }
}
