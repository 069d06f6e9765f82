use super::*;
use crate::error::Cause;
use std::time::SystemTime;

const PART: u64 = PART_BYTES;

fn object(name: &str, parts: u64) -> Arc<ObjectInfo> {
    let modified = SystemTime::UNIX_EPOCH;
    Arc::new(ObjectInfo { name: name.into(), size: parts * PART, etag: None, modified })
}

/// Room for so many parts, and many requests.
fn ahead(parts: u64) -> Ahead {
    Ahead::new(ReadLimits { bytes_max: parts * PART, requests_max: 64 }, 64)
}

/// `a0 a1`: the objects and parts that are requested now, in order.
fn sent(ahead: &mut Ahead) -> (String, Vec<Request>) {
    let requests: Vec<_> = std::iter::from_fn(|| ahead.next_request()).collect();
    let name = |request: &Request| format!("{}{}", request.object.name, request.range.start / PART);
    (requests.iter().map(name).collect::<Vec<_>>().join(" "), requests)
}

/// The byte that stands at an offset of every object.
fn byte(offset: u64) -> u8 {
    u8::try_from(offset % 251).unwrap()
}

fn arrive(ahead: &mut Ahead, requests: impl IntoIterator<Item = Request>) {
    for Request { id, range, .. } in requests {
        ahead.has_arrived(id, Ok(range.map(byte).collect()));
    }
}

fn fail(ahead: &mut Ahead, request: &Request) {
    ahead.has_arrived(request.id, Err(SourceError::failed("read", "it", Cause::given_up())));
}

/// Takes the next bytes, which must be there, and uses them: from where to where.
fn take(ahead: &mut Ahead, id: ExtentId, from: u64) -> u64 {
    let Taken::Part(part) = ahead.take(id) else { panic!("a part is there") };
    assert!(part.iter().zip(from..).all(|(is, offset)| *is == byte(offset)), "from {from}");
    let end = from + part.len() as u64;
    ahead.give_back(part);
    end
}

fn waits(ahead: &mut Ahead, id: ExtentId) {
    assert!(matches!(ahead.take(id), Taken::Wait(_)));
}

/// Expects the objects whole.
fn expect(ahead: &mut Ahead, objects: &[&Arc<ObjectInfo>]) {
    ahead.expect(objects.iter().map(|object| (Arc::clone(object), 0..object.size)));
}

#[test]
fn extents_are_requested_in_order_none_more_than_half() {
    let (a, b) = (object("a", 3), object("b", 9));
    let mut ahead = ahead(6);
    expect(&mut ahead, &[&a, &b]);
    let (requested, requests) = sent(&mut ahead);
    assert_eq!(requested, "a0 a1 a2 b0 b1 b2");
    arrive(&mut ahead, requests);
    assert_eq!(sent(&mut ahead).0, "", "nothing is used yet");
    let id = ahead.open(&a, 0..a.size);
    assert_eq!(take(&mut ahead, id, 0), PART);
    assert_eq!(sent(&mut ahead).0, "", "b has its half");
    let id = ahead.open(&b, 0..b.size);
    take(&mut ahead, id, 0);
    assert_eq!(sent(&mut ahead).0, "b3");
}

#[test]
fn a_large_extent_does_not_keep_the_next_one_from_beginning() {
    let (a, b) = (object("a", 9), object("b", 9));
    let mut ahead = ahead(4);
    expect(&mut ahead, &[&a, &b]);
    assert_eq!(sent(&mut ahead).0, "a0 a1 b0 b1");
}

#[test]
fn open_readers_come_first_and_who_has_least_of_all() {
    let (a, b, c) = (object("a", 9), object("b", 9), object("c", 1));
    let mut ahead = ahead(8);
    let [_, b] = [&a, &b].map(|object| ahead.open(object, 0..object.size));
    expect(&mut ahead, &[&c]);
    let (requested, requests) = sent(&mut ahead);
    assert_eq!(requested, "a0 b0 a1 b1 a2 b2 a3 b3");
    arrive(&mut ahead, requests);
    take(&mut ahead, b, 0);
    take(&mut ahead, b, PART);
    assert_eq!(sent(&mut ahead).0, "b4 b5");
}

#[test]
fn who_waits_goes_over_the_bound_by_one_part() {
    let (a, b) = (object("a", 4), object("b", 4));
    let mut ahead = ahead(2);
    expect(&mut ahead, &[&a]);
    let (requested, requests) = sent(&mut ahead);
    assert_eq!(requested, "a0");
    let b = ahead.open(&b, 0..b.size);
    assert_eq!(sent(&mut ahead).0, "b0");
    let a = ahead.open(&a, 0..a.size);
    assert_eq!(sent(&mut ahead).0, "");
    waits(&mut ahead, a);
    assert_eq!(sent(&mut ahead).0, "", "its part is on its way");
    let c = object("c", 2);
    let c = ahead.open(&c, 0..c.size);
    assert_eq!(sent(&mut ahead).0, "");
    waits(&mut ahead, c);
    waits(&mut ahead, c);
    assert_eq!(sent(&mut ahead).0, "c0");
    assert_eq!(ahead.stats().bytes_at_once, 3 * PART);
    arrive(&mut ahead, requests);
    take(&mut ahead, a, 0);
    assert_eq!(sent(&mut ahead).0, "");
    ahead.close(b);
    assert_eq!(sent(&mut ahead).0, "a1");
    ahead.close(c);
}

#[test]
fn only_so_many_requests_are_on_their_way() {
    let a = object("a", 9);
    let mut ahead = Ahead::new(ReadLimits { bytes_max: 100 * PART, requests_max: 64 }, 2);
    expect(&mut ahead, &[&a]);
    let (requested, mut requests) = sent(&mut ahead);
    assert_eq!(requested, "a0 a1");
    arrive(&mut ahead, requests.pop());
    assert_eq!(sent(&mut ahead).0, "a2");
}

/// Two slices of an object of four parts, and a request in bytes for each of their parts.
fn slices() -> (Ahead, Arc<ObjectInfo>, [ExtentId; 2], Vec<Request>) {
    let a = object("a", 4);
    let mut ahead = ahead(8);
    let ranges = [0..2 * PART, 2 * PART - 1..4 * PART];
    ahead.expect(ranges.iter().map(|range| (Arc::clone(&a), range.clone())));
    let (requested, requests) = sent(&mut ahead);
    assert_eq!(requested, "a0 a1 a1 a2");
    assert_eq!(requests[2].range, 2 * PART - 1..3 * PART - 1);
    assert_eq!(requests[3].range, 3 * PART - 1..4 * PART);
    let ids = ranges.map(|range| ahead.open(&a, range));
    (ahead, a, ids, requests)
}

#[test]
fn what_is_behind_a_slice_comes_from_the_next_one() {
    for next_is_used_first in [false, true] {
        let (mut ahead, _, [first, second], requests) = slices();
        arrive(&mut ahead, requests);
        if next_is_used_first {
            let end = take(&mut ahead, second, 2 * PART - 1);
            assert_eq!(take(&mut ahead, second, end), 4 * PART);
            ahead.close(second);
        }
        take(&mut ahead, first, 0);
        take(&mut ahead, first, PART);
        let end = take(&mut ahead, first, 2 * PART);
        assert_eq!(end, 2 * PART + (256 << 10));
        // A line that is longer still is requested by itself.
        waits(&mut ahead, first);
        let (_, requests) = sent(&mut ahead);
        assert_eq!(requests[0].range, end..end + TAIL_PART_BYTES);
        arrive(&mut ahead, requests);
        take(&mut ahead, first, end);
    }
}

#[test]
fn what_is_behind_a_slice_is_waited_for() {
    let (mut ahead, _, [first, _], mut requests) = slices();
    let later = requests.split_off(2);
    arrive(&mut ahead, requests);
    take(&mut ahead, first, 0);
    take(&mut ahead, first, PART);
    waits(&mut ahead, first);
    assert_eq!(sent(&mut ahead).0, "");
    arrive(&mut ahead, later);
    take(&mut ahead, first, 2 * PART);
}

#[test]
fn what_is_behind_a_slice_is_requested_when_the_next_one_is_lost() {
    for is_closed in [false, true] {
        let (mut ahead, _, [first, second], mut requests) = slices();
        let later = requests.split_off(2);
        arrive(&mut ahead, requests);
        if is_closed {
            ahead.close(second)
        } else {
            fail(&mut ahead, &later[0])
        }
        take(&mut ahead, first, 0);
        take(&mut ahead, first, PART);
        waits(&mut ahead, first);
        let (_, requests) = sent(&mut ahead);
        assert_eq!(requests[0].range, 2 * PART..2 * PART + TAIL_PART_BYTES);
        arrive(&mut ahead, requests);
        take(&mut ahead, first, 2 * PART);
    }
}

#[test]
fn a_failed_part_is_told_once_and_asked_for_again_by_who_reads_on() {
    let a = object("a", 3);
    let mut ahead = ahead(8);
    let id = ahead.open(&a, 0..a.size);
    let (_, requests) = sent(&mut ahead);
    fail(&mut ahead, &requests[1]);
    arrive(&mut ahead, [requests].into_iter().flatten().filter(|request| request.range.start != PART));
    take(&mut ahead, id, 0);
    assert!(matches!(ahead.take(id), Taken::Failed(_)));
    assert_eq!(sent(&mut ahead).0, "", "its reader may be about to give up");
    waits(&mut ahead, id);
    let (requested, requests) = sent(&mut ahead);
    assert_eq!(requested, "a1 a2");
    arrive(&mut ahead, requests);
    take(&mut ahead, id, PART);
    take(&mut ahead, id, 2 * PART);
    assert!(matches!(ahead.take(id), Taken::End));
}

#[test]
fn everything_is_given_back() {
    let (mut ahead, _, [first, second], requests) = slices();
    arrive(&mut ahead, requests.into_iter().skip(1));
    ahead.close(first);
    ahead.close(second);
    assert_eq!((ahead.bytes, ahead.on_the_way.len(), ahead.extents.len()), (0, 0, 0));
}

#[test]
fn what_arrives_for_a_closed_reader_is_dropped() {
    let (mut ahead, _, [first, second], requests) = slices();
    ahead.close(first);
    ahead.close(second);
    arrive(&mut ahead, requests);
    assert_eq!(ahead.bytes, 0);
}

#[test]
fn small_objects_are_kept_from_when_their_beginning_was_asked_for() {
    let (a, b) = (object("a", 1), object("b", 1));
    let mut ahead = ahead(2);
    let answers = [&a, &b].map(|object| {
        let (answer, answered) = oneshot::channel();
        ahead.ask(object, 0..object.size.min(1000), answer);
        answered
    });
    let (_, requests) = sent(&mut ahead);
    assert_eq!(requests[0].range, 0..PART, "half of the memory is for what is kept");
    assert_eq!(requests[1].range, 0..1000);
    arrive(&mut ahead, requests);
    let [one, other] = answers.map(|answer| answer.blocking_recv().unwrap().unwrap().len() as u64);
    assert_eq!((one, other), (PART, 1000));
    ahead.expect([(Arc::clone(&a), 10..PART), (Arc::clone(&b), 10..PART)].into_iter());
    let (_, requests) = sent(&mut ahead);
    assert_eq!(requests.iter().map(|request| &request.object.name).collect::<Vec<_>>(), ["b"]);
    let id = ahead.open(&a, 10..PART);
    take(&mut ahead, id, 10);
    assert!(matches!(ahead.take(id), Taken::End));
}

#[test]
fn memory_is_used_again() {
    let a = object("a", 2);
    let mut ahead = ahead(4);
    let id = ahead.open(&a, 0..a.size);
    let (_, requests) = sent(&mut ahead);
    arrive(&mut ahead, requests);
    take(&mut ahead, id, 0);
    take(&mut ahead, id, PART);
    let b = object("b", 1);
    ahead.open(&b, 0..b.size);
    let (_, requests) = sent(&mut ahead);
    assert!(requests[0].buffer.capacity() as u64 >= PART);
}
