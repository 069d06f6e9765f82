//! Parts that were counted elsewhere, and what cannot be right about what comes back.

use super::{day, days, log_object};
use crate::readings::{
    naive::naive,
    ours::{How, InMemorySpill, ours},
};
use counting::{
    Content, CountError, CountedObject, DateFormat, Gathering, Instructions, Limits, Memory, ObjectDays,
    Objects, Part, Report, Wanted, count_parts, parts,
};
use domain::Log;
use jiff::tz::TimeZone;
use std::{
    io::{self, Read},
    ops::Range,
    sync::Arc,
};

struct InMemory(Vec<u8>);

impl Objects for InMemory {
    fn open(&self, _: usize, range: Range<u64>) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(&self.0[usize::try_from(range.start).unwrap()..]))
    }
}

/// An object of several parts, counted elsewhere.
struct Spread {
    bytes: InMemory,
    wanted: Arc<Wanted>,
    objects: Arc<[CountedObject]>,
    limits: Limits,
    parts: Vec<Part>,
    rows: Vec<(u32, Vec<u8>, [i64; 3])>,
    reports: Vec<Report>,
}

impl Spread {
    fn new() -> Self {
        let rows: String = (0..40).map(|row| format!("a,{},2024-11-20\n", row % 7)).collect();
        let bytes = InMemory(format!("advertiser_id,product_id,date\n{rows}").into_bytes());
        let layout = log_object(Log::ProductViews, &bytes.0).layout().unwrap();
        let content = Content::Text { size: Some(bytes.0.len() as u64), layout };
        let objects: Arc<[_]> =
            [CountedObject { name: "views".into(), days: ObjectDays::Any, content }].into();
        let memory = Some(Memory { table_bytes: 1 << 20, spill: Arc::new(InMemorySpill) });
        let limits = Limits { threads: 1, slice_bytes: 100, instructions: Instructions::Best, memory };
        let wanted = days().into_iter().map(|(day, list)| (day, list.into())).collect();
        let (wanted, parts) = (Arc::new(Wanted::new(wanted)), parts(&objects, 100));
        assert!(parts.len() > 3, "{parts:?}");
        let date = (&DateFormat::Iso, &TimeZone::UTC);
        let counted = count_parts(&wanted, &objects, &parts, &bytes, date, &limits).unwrap();
        let mut rows = Vec::new();
        for part in counted.days.iter().flat_map(|day| day.parts()) {
            let push = |group, product: &[u8], counters| {
                rows.push((group, product.to_vec(), counters));
                Ok::<_, CountError>(())
            };
            part.entries(push).unwrap();
        }
        Self { bytes, wanted, objects, limits, parts, rows, reports: counted.reports }
    }

    fn gathering(&self) -> Gathering {
        let (wanted, objects) = (Arc::clone(&self.wanted), Arc::clone(&self.objects));
        Gathering::new(wanted, objects, self.parts.clone(), self.limits.clone())
    }

    /// What is said of these rows, and of reports of the parts with these indices.
    fn said(&self, rows: &[(u32, Vec<u8>, [i64; 3])], reports: &[usize]) -> String {
        let mut gathering = self.gathering();
        let mut gather = || {
            rows.iter()
                .try_for_each(|(group, product, counters)| gathering.add(*group, product, *counters))?;
            let report =
                |index: &usize| gathering.report(*index, self.reports[*index % self.reports.len()].clone());
            reports.iter().try_for_each(report)
        };
        let gathered = gather();
        let date = (&DateFormat::Iso, &TimeZone::UTC);
        match gathered.and_then(|()| gathering.finish(&self.bytes, date)) {
            Ok(counted) => format!("{} events", counted.days[0].objects[0].tally.kept),
            Err(error) => error.to_string(),
        }
    }
}

#[test]
fn what_cannot_be_right_is_an_error() {
    let spread = Spread::new();
    let (all, rows): (Vec<_>, _) = ((0..spread.parts.len()).collect(), &spread.rows[..]);
    assert_eq!(spread.said(rows, &all), "40 events");
    for (rows, reports, told) in [
        (rows, &all[1..], "not all parts"),
        (rows, &[&all[..], &[0]].concat(), "a part that was reported before"),
        (rows, &[all.len()], "a part that was not asked for"),
        (&rows[1..], &all, "another number of events"),
        (&[rows, rows].concat(), &all, "another number of events"),
        (&[(10, b"p".to_vec(), [0, 0, 1])], &all, "a group that was not asked for"),
        (&[(u32::MAX, b"p".to_vec(), [0, 0, 1])], &all, "a group that was not asked for"),
        (&[(0, Vec::new(), [0, 0, 1])], &all, "a product whose id is none"),
        (&[(0, vec![0xFF], [0, 0, 1])], &all, "a product whose id is none"),
        (&[(0, vec![b'p'; 256], [0, 0, 1])], &all, "a product whose id is none"),
    ] {
        let said = spread.said(rows, reports);
        assert!(said.contains(told), "{told}: {said}");
    }
}

#[test]
fn a_part_that_begins_amid_a_quoted_field_is_taken_back() {
    // In quotes lines end that look like rows: nearly all guesses are wrong.
    let mut log = b"advertiser_id,product_id,date\n".to_vec();
    for row in 0..200 {
        log.extend(format!("a,\"p{}\na,b,2024-11-20\n\",2024-11-2{}\n", row % 5, row % 3 * 2).bytes());
    }
    let logs = [log_object(Log::ProductViews, &log)];
    let naive = naive(&days(), &logs, &TimeZone::UTC);
    assert!(naive.contains(&day("2024-11-20").to_string()));
    for machines in [1, 2, 7] {
        let how = How { machines, ..How::new(2, 150) };
        assert_eq!(ours(&days(), &logs, &how), naive);
    }
}
