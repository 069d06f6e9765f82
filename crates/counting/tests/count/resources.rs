//! Memory, disks and objects that fail.

use super::{advertiser, day, days, log_object};
use crate::readings::{
    naive::naive,
    ours::{How, ours},
};
use counting::{
    Content, CountError, CountedObject, DateFormat, Instructions, Limits, Memory, ObjectDays, Objects,
    SpillFile, SpillPlace, Wanted, count,
};
use domain::Log;
use jiff::tz::TimeZone;
use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

#[test]
fn any_memory_gives_the_same() {
    let mut log = b"advertiser_id,product_id,type,date\n".to_vec();
    for row in 0..30_000 {
        let product = row * 7919 % 4001;
        let product = match row % 5 {
            0 => format!("a product with a long id {product}"),
            1 => format!("of-16-bytes-{product:04}"),
            _ => format!("p{product}"),
        };
        let quote = if row % 101 == 0 { "\"" } else { "" };
        let day = ["2024-11-20", "2024-11-22"][row % 3 % 2];
        log.extend(format!("a,{quote}{product}{quote},impression,{day}\n").bytes());
    }
    let logs = [log_object(Log::AdsViews, &log)];
    let naive = naive(&days(), &logs, &TimeZone::UTC);
    for share_bytes in [1 << 30, 1 << 20, 50_000, 5000, 1500] {
        let how = How { share_bytes: Some(share_bytes), ..How::new(2, 50_000) };
        assert!(ours(&days(), &logs, &how) == naive, "{how:?}");
    }
}

#[test]
fn a_full_disk_is_told_and_no_object_is_blamed() {
    #[derive(Debug)]
    struct Full;
    impl SpillPlace for Full {
        fn create(&self) -> io::Result<Box<dyn SpillFile>> {
            Err(io::ErrorKind::StorageFull.into())
        }
    }
    struct InMemory(Vec<u8>);
    impl Objects for InMemory {
        fn open(&self, _: usize, range: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
            Ok(Box::new(&self.0[usize::try_from(range.start).unwrap()..]))
        }
    }
    let rows = (0..1000).map(|row| format!("a,{row},2024-11-20\n")).collect::<String>();
    let bytes = InMemory(format!("advertiser_id,product_id,date\n{rows}").into_bytes());
    let layout = log_object(Log::ProductViews, &bytes.0).layout().unwrap();
    let size = Some(bytes.0.len() as u64);
    let object = views(Content::Text { size, layout });
    let wanted = Wanted::new(vec![(day("2024-11-20"), vec![advertiser("a")].into())]);
    let memory = Some(Memory { table_bytes: 4000, spill: Arc::new(Full) });
    let limits = Limits { threads: 1, slice_bytes: 1 << 20, instructions: Instructions::Best, memory };
    match count(&wanted, &[object], &bytes, (&DateFormat::Iso, &TimeZone::UTC), limits).unwrap_err() {
        CountError::Spill(error) => assert_eq!(error.kind(), io::ErrorKind::StorageFull),
        error => panic!("{error}"),
    }
}

#[test]
fn an_unreadable_object_is_named() {
    struct Broken;
    impl Objects for Broken {
        fn open(&self, _: usize, _: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
            Err(io::Error::other("the cable is cut"))
        }
    }
    let layout = log_object(Log::ProductViews, b"advertiser_id,product_id,date\n").layout().unwrap();
    let object = views(Content::Text { size: Some(1000), layout });
    let wanted = Wanted::new(vec![(day("2024-11-20"), vec![advertiser("a")].into())]);
    let limits = Limits { threads: 2, slice_bytes: 100, instructions: Instructions::Best, memory: None };
    let error = count(&wanted, &[object], &Broken, (&DateFormat::Iso, &TimeZone::UTC), limits).unwrap_err();
    assert_eq!(error.to_string(), "could not count views.csv");
}

fn views(content: Content) -> CountedObject {
    CountedObject { name: "views.csv".into(), days: ObjectDays::Any, content }
}
