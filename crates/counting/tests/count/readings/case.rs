//! Any bytes as a case: objects of logs, the way they are read, and a check that both readings agree.
//!
//! Some bytes decide how everything is read: threads, slice and memory, flags, chopping, delimiter. Objects follow, with a
//! [`BETWEEN_OBJECTS`] between two. Of an object two bytes decide what it is and which header it gets; the rest
//! is its text. With `0` for all of these, one plain object is cut into small slices and has a header of its own.

use super::{
    LogObject, naive,
    ours::{How, ours},
};
use counting::{Header, HeaderError, Instructions, Layout, ObjectDays};
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

/// Headers that an object may get, with commas for the delimiter and `type,` where there is one; the first
/// is none.
const HEADERS: [&str; 8] = [
    "",
    "advertiser_id,product_id,type,date\n",
    "date,type,product_id,advertiser_id\n",
    "x,advertiser_id,y,product_id,,type,date,z\n",
    "\"advertiser_id\",\"product_id\",\"type\",\"date\"\r\n",
    "\u{feff}advertiser_id,product_id,type,date\n",
    "advertiser_id,type,product_id\n",
    "1,2,3,product_id,5,6,7,8,9,advertiser_id,11,12,\"1\n3\",14,15,date,17,18,type,20,21\n",
];

#[derive(Debug)]
struct Case {
    active: Vec<(Day, Vec<AdvertiserId>)>,
    objects: Vec<LogObject>,
    how: How,
}

/// Checks that both readings of the case agree; also about which headers are good.
pub(crate) fn check(bytes: &[u8]) {
    let Some(case) = Case::of(bytes) else { return };
    case.objects.iter().for_each(check_header_of_a_part);
    if !case.objects.iter().all(has_good_header) {
        return;
    }
    let ours = ours(&case.active, &case.objects, &case.how);
    let naive = naive::naive(&case.active, &case.objects, &case.how.zone);
    assert!(ours == naive, "{case:#?}\nours:\n{ours}\nnaive:\n{naive}");
}

impl Case {
    fn of(bytes: &[u8]) -> Option<Self> {
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
        };
        let delimiter = DELIMITERS[usize::from(delimiter % 8)];
        let objects = objects.split(|byte| *byte == BETWEEN_OBJECTS).take(OBJECTS_MAX);
        let objects: Option<_> = objects.map(|bytes| object(bytes, delimiter)).collect();
        Some(Self { active: active(has_flag(2)), objects: objects?, how })
    }
}

fn object(bytes: &[u8], delimiter: Option<u8>) -> Option<LogObject> {
    let (&[kind, header], text) = bytes.split_first_chunk()?;
    let log = if kind & 1 == 0 { Log::AdsViews } else { Log::ProductViews };
    let days = match kind >> 2 & 3 {
        0 | 3 => ObjectDays::Any,
        1 => ObjectDays::Only(day("2024-11-22")),
        _ => ObjectDays::Only(day("2024-11-21")),
    };
    let header = HEADERS[usize::from(header % 8)];
    let header = if log == Log::AdsViews { header.to_owned() } else { header.replace("type,", "") };
    let delimited = |byte| if byte == b',' { delimiter.unwrap_or(byte) } else { byte };
    let bytes = header.bytes().map(delimited).chain(text.iter().copied()).collect();
    Some(LogObject { log, days, bytes, delimiter, is_stream: kind & 2 != 0 })
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// The active advertisers of two days, with a day between them that is not wanted.
fn active(do_lists_differ: bool) -> Vec<(Day, Vec<AdvertiserId>)> {
    let list = |ids: &[&str]| ids.iter().map(|id| AdvertiserId::new(*id).unwrap()).collect::<Vec<_>>();
    let first = list(&["a", "advertiser of more than thirty-two bytes", "b, \"c\"\n", "c", "éééééééééé"]);
    let second = if do_lists_differ { list(&["a", "b", "z"]) } else { first.clone() };
    vec![(day("2024-11-20"), first), (day("2024-11-22"), second)]
}

/// Whether an object can be the log that it is said to be; both readings must agree on that.
fn has_good_header(object: &LogObject) -> bool {
    let header = Header::read(&object.bytes, true, object.delimiter);
    let layout = header.and_then(|header| header.expect("the object is whole").layout(&object.columns()));
    let naive = naive::header(object);
    match layout {
        Ok(layout) => {
            let (delimiter, names) = naive.expect("a good header is one for the naive reading");
            let Layout::Delimited(layout) = layout else { panic!("a header is of delimited text") };
            assert_eq!((layout.delimiter, layout.fields), (delimiter, names.len()));
            true
        }
        Err(HeaderError::NotCsv(_)) => false,
        Err(error) => {
            assert_eq!(naive, None, "{error}");
            false
        }
    }
}

/// The start of an object says the same of its header as the whole does, or that it does not tell; of a bad
/// one that it is bad, perhaps for another reason.
fn check_header_of_a_part(object: &LogObject) {
    let whole = Header::read(&object.bytes, true, object.delimiter);
    for end in [1, 3, 20, 34, 35, 40, 64].into_iter().filter(|end| *end < object.bytes.len()) {
        match Header::read(&object.bytes[..end], false, object.delimiter) {
            Ok(None) => {}
            Ok(part) => assert_eq!(Ok(part), whole, "the first {end} bytes of {object:?}"),
            Err(error) => assert!(whole.is_err(), "{error}: the first {end} bytes of {object:?}"),
        }
    }
}
