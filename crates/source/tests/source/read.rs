//! The bytes of objects, on a directory and on an S3 server.

use crate::support::{Place, on_both};
use object_store::path::Path;
use source::{ReadLimits, Reading};
use std::io::Read;
use tokio::runtime::Handle;

/// Bytes that differ wherever one looks.
fn content(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()[3]
    };
    std::iter::repeat_with(next).take(length).collect()
}

const PART: usize = 4 << 20;

#[tokio::test]
async fn any_offset_reads_to_the_end() {
    on_both(async |place| {
        let bytes = content(2 * PART + 12_345);
        place.put("ads.csv", bytes.clone()).await;
        let object = place.object("ads.csv").await;
        assert_eq!(object.size, bytes.len() as u64);
        for offset in [0, PART - 1, 2 * PART + 777, bytes.len() - 1, bytes.len()] {
            assert!(place.read(&object, offset as u64).await.unwrap() == bytes[offset..], "{offset}");
        }
        for (start, end) in [(10, PART + 10), (PART, PART)] {
            let read = place.read_slice(&object, start as u64, end as u64).await.unwrap();
            assert!(read == bytes[start..], "a slice reads on behind its end: {start}..{end}");
        }
        for n in [0, 1, 1000] {
            assert_eq!(place.reading().head_bytes(&object, n).await.unwrap(), bytes[..n]);
        }
        place.location.verify_unchanged(&object).await.unwrap();
    })
    .await;
}

#[tokio::test]
async fn small_and_empty_objects() {
    on_both(async |place| {
        place.put("empty.csv", "").await;
        place.put("small.csv", "ab").await;
        let (empty, small) = (place.object("empty.csv").await, place.object("small.csv").await);
        assert_eq!(place.read(&empty, 0).await.unwrap(), b"");
        assert_eq!(place.read(&small, 0).await.unwrap(), b"ab");
        assert_eq!(place.reading().head_bytes(&empty, 10).await.unwrap(), "");
        assert_eq!(place.reading().head_bytes(&small, 10).await.unwrap(), "ab");
    })
    .await;
}

#[tokio::test]
async fn odd_names_read_back() {
    on_both(async |place| {
        let names = [
            "with space.csv",
            "100%.csv",
            "a%20b.csv",
            "a+b=c&d.csv",
            "ünï/日本語.csv",
            "quote'\"\".csv",
            "hash#1.csv",
            "hash#1",
            "q?x=1.csv",
            "back\\slash.csv",
            "tilde~^`{}|<>.csv",
            "[1].csv",
        ];
        for name in names {
            place.put(name, format!("content of {name}")).await;
        }
        let planned = place.plan("**", "2024-11-20").await.unwrap();
        let mut sorted = names;
        sorted.sort_unstable();
        assert_eq!(planned.iter().map(|planned| planned.object.name.as_str()).collect::<Vec<_>>(), sorted);
        for planned in planned {
            let read = place.read(&planned.object, 0).await.unwrap();
            assert_eq!(String::from_utf8(read).unwrap(), format!("content of {}", planned.object.name));
            place.location.verify_unchanged(&planned.object).await.unwrap();
        }
    })
    .await;
}

#[tokio::test]
async fn a_reader_may_be_dropped_early() {
    on_both(async |place| {
        let bytes = content(4 * PART);
        place.put("ads.csv", bytes.clone()).await;
        let object = place.object("ads.csv").await;
        let (location, runtime) = (place.location.clone(), Handle::current());
        let read = move || {
            let mut start = [0; 10];
            let mut reader = location.read_from(&object, 5, &runtime).unwrap();
            reader.read_exact(&mut start).unwrap();
            start
        };
        assert_eq!(tokio::task::spawn_blocking(read).await.unwrap(), bytes[5..15]);
    })
    .await;
}

/// What reading and verifying say of an object that `change` was done to after the plan.
async fn after(place: &Place, change: impl AsyncFn(&Place)) -> [String; 3] {
    place.put("ads.csv", "one,two\n1,2\n").await;
    let object = place.object("ads.csv").await;
    change(place).await;
    let prefix = format!("{}/ads.csv changed after the run began: ", place.location.url());
    let messages = [
        place.read(&object, 0).await.unwrap_err(),
        place.reading().head_bytes(&object, 4).await.unwrap_err().to_string(),
        place.location.verify_unchanged(&object).await.unwrap_err().to_string(),
    ];
    messages.map(|message| message.strip_prefix(&prefix).map_or(message.clone(), str::to_owned))
}

#[tokio::test]
async fn an_object_that_changed_after_the_plan_is_told() {
    on_both(async |place| {
        let shorter = after(place, async |place| place.put("ads.csv", "one\n").await).await;
        assert!(shorter.iter().all(|message| message == "it had 12 bytes and has 4"), "{shorter:?}");
        let longer = after(place, async |place| place.put("ads.csv", "one,two\n1,2\n3,4\n").await).await;
        assert!(longer.iter().all(|message| message == "it had 12 bytes and has 16"), "{longer:?}");
        let gone = after(place, async |place| place.delete("ads.csv")).await;
        assert!(gone.iter().all(|message| message == "it is gone"), "{gone:?}");
        let other = after(place, async |place| {
            place.put("ads.csv", "one,two\n1,3\n").await;
            place.set_modified("ads.csv", 1_700_000_000);
        })
        .await;
        let expected = if place.is_bucket() { "its ETag was " } else { "it was written again" };
        assert!(other.iter().all(|message| message.starts_with(expected)), "{other:?}");
    })
    .await;
}

#[tokio::test]
async fn a_file_truncated_while_it_is_read_is_told() {
    let place = Place::directory();
    place.put("ads.csv", content(100_000)).await;
    let object = place.object("ads.csv").await;
    let mut reader = place.location.read_from(&object, 0, &Handle::current()).unwrap();
    reader.read_exact(&mut [0; 1000]).unwrap();
    place.put("ads.csv", content(2000)).await;
    let error = reader.read_to_end(&mut Vec::new()).unwrap_err();
    assert!(error.to_string().ends_with("it ended before its 100000 bytes were read"), "{error}");
}

#[tokio::test]
async fn a_bucket_object_replaced_while_it_is_read_is_told() {
    let place = Place::bucket().await;
    let mut bytes = content(5 * PART);
    place.put("ads.csv", bytes.clone()).await;
    let object = place.object("ads.csv").await;
    // No more than a part is fetched ahead.
    let limits = ReadLimits { bytes_max: PART as u64, requests_max: 1 };
    let reading = Reading::new(&place.location, limits, &Handle::current());
    let start = move || {
        let mut reader = reading.open(&object, 0..object.size).unwrap();
        reader.read_exact(&mut [0; 1000]).unwrap();
        reader
    };
    let mut reader = tokio::task::spawn_blocking(start).await.unwrap();
    bytes.reverse();
    let key = Path::parse(format!("{}/ads.csv", place.location.prefix())).unwrap();
    object_store::ObjectStoreExt::put(&*place.location.object_store(), &key, bytes.into()).await.unwrap();
    let finish = move || reader.read_to_end(&mut Vec::new()).unwrap_err().to_string();
    let message = tokio::task::spawn_blocking(finish).await.unwrap();
    assert!(message.contains("/ads.csv changed after the run began: its ETag was "), "{message}");
}
