//! The node that adds up: rows of equal keys stand one behind the other in its input, and become one. It offers the sums
//! of a range to the worker, who keeps some and gives back the others.

use crate::{
    Sums, Worker,
    blocking::{self, Push},
    rows::{FIRST_REPORT, KEPT, MARKS, RANGE, Rows, schema},
    worker::{Give, Sum},
};
use bytes::Bytes;
use datafusion::{
    common::tree_node::TreeNodeRecursion,
    error::{DataFusionError, Result},
    execution::TaskContext,
    physical_expr::{
        Distribution, EquivalenceProperties, LexOrdering, OrderingRequirements, PhysicalExpr,
        PhysicalSortExpr, expressions::col,
    },
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
        execution_plan::{Boundedness, EmissionType},
    },
};
use futures::StreamExt;
use std::{fmt, io, ops::Range, sync::Arc};
use tokio::runtime::Handle;

/// Adds up the rows of each range; as many partitions as its input has.
pub(crate) struct KeepExec {
    pub(crate) shared: Bytes,
    /// Whether the worker is asked to keep sums.
    pub(crate) keeps: bool,
    /// How many tasks there are.
    pub(crate) tasks: u32,
    input: Arc<dyn ExecutionPlan>,
    worker: Option<Arc<dyn Worker>>,
    properties: Arc<PlanProperties>,
}

impl KeepExec {
    pub(crate) fn new(
        (shared, keeps, tasks): (Bytes, bool, u32),
        input: Arc<dyn ExecutionPlan>,
        worker: Option<Arc<dyn Worker>>,
    ) -> Self {
        let partitions = Partitioning::UnknownPartitioning(input.properties().partitioning.partition_count());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema()),
            partitions,
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { shared, keeps, tasks, input, worker, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for KeepExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeepExec")
            .field("keeps", &self.keeps)
            .field("input", &self.input)
            .finish_non_exhaustive()
    }
}

impl DisplayAs for KeepExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "KeepExec: keeps={}", self.keeps)
    }
}

impl ExecutionPlan for KeepExec {
    fn name(&self) -> &'static str {
        "KeepExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    fn required_input_distribution(&self) -> Vec<Distribution> {
        let range = col(RANGE, &self.input.schema()).expect("rows that are shuffled have their range");
        vec![Distribution::KeyPartitioned(vec![range])]
    }

    fn required_input_ordering(&self) -> Vec<Option<OrderingRequirements>> {
        let columns = self.input.schema();
        let by = columns.fields().iter().take(3).map(|field| {
            PhysicalSortExpr::new_default(col(field.name(), &columns).expect("it is one of them"))
        });
        vec![LexOrdering::new(by).map(OrderingRequirements::from)]
    }

    /// All rows of a range are in one partition.
    fn benefits_from_input_partitioning(&self) -> Vec<bool> {
        vec![false]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn with_new_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let (Some(input), true) = (children.pop(), children.is_empty()) else {
            return Err(DataFusionError::Internal("KeepExec has one input".to_owned()));
        };
        Ok(Arc::new(Self::new((self.shared.clone(), self.keeps, self.tasks), input, self.worker.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(worker) = self.worker.clone() else {
            return Err(DataFusionError::Plan("only an executor of topshelf keeps sums".to_owned()));
        };
        let mut sorted = Sorted {
            stream: self.input.execute(partition, context)?,
            runtime: Handle::current(),
            rows: None,
            at: 0,
            failed: None,
        };
        let (shared, keeps, tasks) = (self.shared.clone(), self.keeps, self.tasks);
        let make = move |push: &mut Push<'_>| {
            let mut give = |group, product: &[u8], counters| push(None, group, product, counters);
            let kept = keep_all(&*worker, (&shared, keeps, tasks), &mut sorted, &mut give);
            // Why rows did not come is for the engine to know: it may have them made again.
            let failed = |error| sorted.failed.take().unwrap_or(DataFusionError::IoError(error));
            kept.map_err(failed)
        };
        Ok(blocking::stream(schema(), make))
    }
}

/// All ranges of a partition, and the reports among them. What an engine that has lost executors brings together is
/// looked at before anything is kept of it: of each task there must be all rows, once.
fn keep_all(
    worker: &dyn Worker,
    (shared, keeps, tasks): (&[u8], bool, u32),
    sorted: &mut Sorted,
    give: &mut Give<'_>,
) -> io::Result<()> {
    while let Some(range) = sorted.next()?.map(|row| row.range) {
        let rows = marked_rows(sorted, range, tasks)?;
        let mut sums = RangeSums {
            sorted: &mut *sorted,
            range,
            groups: MARKS + 1..FIRST_REPORT,
            rows: 0,
            product: Vec::new(),
        };
        let is_empty = rows == 0;
        let report = if keeps && !is_empty { worker.keep(shared, &mut sums, give)? } else { Vec::new() };
        while let Some((group, product, counters)) = sums.next_sum()? {
            give(group, product, counters)?;
        }
        if sums.rows != rows {
            return Err(sorted.wrong("the rows of a range are not those that its tasks gave"));
        }
        give(KEPT, &report, [1, 0, 0])?;
        let mut reports = RangeSums {
            sorted: &mut *sorted,
            range,
            groups: FIRST_REPORT..u32::MAX,
            rows: 0,
            product: Vec::new(),
        };
        while let Some((group, product, counters)) = reports.next_sum()? {
            give(group + 1, product, counters)?;
        }
    }
    Ok(())
}

/// How many rows the tasks' marks tell of the range, which begins with them.
fn marked_rows(sorted: &mut Sorted, range: u32, tasks: u32) -> io::Result<i64> {
    let (mut marks, mut rows) = (0..tasks, 0);
    while let Some(row) = sorted.next()?.filter(|row| (row.range, row.group) == (range, MARKS)) {
        let expected = marks.next().map(u32::to_be_bytes);
        if expected.as_ref().is_none_or(|expected| row.product != expected) {
            return Err(sorted.wrong("a range has a task twice, or one too few"));
        }
        rows += row.counters[1];
        sorted.at += 1;
    }
    match marks.next() {
        None => Ok(rows),
        Some(_) => Err(sorted.wrong("a range has not the rows of all tasks")),
    }
}

/// Rows as they come, sorted by range, group and product.
struct Sorted {
    stream: SendableRecordBatchStream,
    runtime: Handle,
    rows: Option<Rows>,
    at: usize,
    /// Why no more came.
    failed: Option<DataFusionError>,
}

/// A row that is to be added to others.
struct Row<'r> {
    range: u32,
    group: u32,
    product: &'r [u8],
    counters: [i64; 3],
}

impl Sorted {
    /// What cannot be right. The engine gives the job up: it would bring the same together again.
    fn wrong(&mut self, reason: &str) -> io::Error {
        self.failed =
            Some(DataFusionError::Execution(format!("what was shuffled cannot be right: {reason}")));
        io::Error::other(reason.to_owned())
    }

    /// The row that is next, if there is one.
    fn next(&mut self) -> io::Result<Option<Row<'_>>> {
        while self.rows.as_ref().is_none_or(|rows| self.at == rows.len()) {
            match self.runtime.block_on(self.stream.next()) {
                Some(Ok(batch)) => (self.rows, self.at) = (Some(Rows::of(&batch)?), 0),
                Some(Err(error)) => {
                    let told = io::Error::other(error.to_string());
                    self.failed = Some(error);
                    return Err(told);
                }
                None => return Ok(None),
            }
        }
        let (at, rows) = (self.at, self.rows.as_ref());
        Ok(rows.map(|rows| {
            let (group, product, counters) = rows.row(at);
            Row { range: rows.range(at), group, product, counters }
        }))
    }
}

/// The sums of some groups of a range, by their numbers while they are shuffled.
struct RangeSums<'s> {
    sorted: &'s mut Sorted,
    range: u32,
    groups: Range<u32>,
    /// Rows that were added up.
    rows: i64,
    product: Vec<u8>,
}

impl Sums for RangeSums<'_> {
    fn next_sum(&mut self) -> io::Result<Option<Sum<'_>>> {
        let Some(first) = self.sorted.next()? else { return Ok(None) };
        if first.range != self.range || !self.groups.contains(&first.group) {
            return Ok(None);
        }
        let (group, mut sum) = (first.group, first.counters);
        self.product.clear();
        self.product.extend_from_slice(first.product);
        self.sorted.at += 1;
        self.rows += 1;
        while let Some(row) = self.sorted.next()? {
            if (row.range, row.group) != (self.range, group) || row.product != self.product {
                break;
            }
            for (sum, counter) in sum.iter_mut().zip(row.counters) {
                *sum = sum.checked_add(counter).ok_or_else(|| io::Error::other("a sum is too large"))?;
            }
            self.sorted.at += 1;
            self.rows += 1;
        }
        Ok(Some((group - 1, &self.product, sum)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::{REPORTS, RowsBuilder, shuffled_schema};
    use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
    use futures::stream;

    type Given = Vec<(u32, Vec<u8>, [i64; 3])>;

    /// Keeps sums of products that begin with k, and tells how many.
    #[derive(Debug)]
    struct Keeper;

    impl Worker for Keeper {
        fn work(&self, _: &[u8], _: &[u8], _: crate::Room, _: &mut Give<'_>) -> io::Result<Vec<u8>> {
            Err(io::Error::other("not asked for"))
        }

        fn keep(&self, _: &[u8], sums: &mut dyn Sums, give: &mut Give<'_>) -> io::Result<Vec<u8>> {
            let mut kept = 0;
            while let Some((group, product, counters)) = sums.next_sum()? {
                match product.starts_with(b"k") {
                    true => kept += counters[0],
                    false => give(group, product, counters)?,
                }
            }
            Ok(format!("kept {kept}").into_bytes())
        }
    }

    /// A row of a range as it is shuffled.
    type Shuffled = (u32, u32, Vec<u8>, [i64; 3]);

    fn mark(range: u32, task: u32, rows: i64) -> Shuffled {
        (range, MARKS, task.to_be_bytes().to_vec(), [1, rows, 0])
    }

    fn row(range: u32, group: u32, product: &str, impressions: i64) -> Shuffled {
        (range, group + 1, product.as_bytes().to_vec(), [impressions, 0, 1])
    }

    fn report(range: u32, report: &str, times: i64) -> Shuffled {
        (range, REPORTS, report.as_bytes().to_vec(), [times, 0, 0])
    }

    /// Two tasks, and two ranges.
    fn rows() -> Vec<Shuffled> {
        vec![
            mark(4, 0, 3),
            mark(4, 1, 1),
            row(4, 0, "a", 1),
            row(4, 0, "a", 2),
            row(4, 0, "kb", 5),
            row(4, 1, "a", 3),
            report(4, "one", 1),
            report(4, "two", 1),
            report(4, "two", 1),
            mark(9, 0, 0),
            mark(9, 1, 3),
            row(9, 1, "a", 7),
            row(9, 1, "k", 2),
            row(9, 2, "k", 2),
        ]
    }

    /// What comes of rows of which every so many are a batch, and of an error behind them.
    fn added(rows: &[Shuffled], batch_rows: usize, keeps: bool, failed: bool) -> (Given, Result<()>) {
        let mut batches: Vec<Result<_>> = Vec::new();
        for rows in rows.chunks(batch_rows) {
            let mut builder = RowsBuilder::default();
            for (range, group, product, counters) in rows {
                builder.push(Some(*range), *group, product, *counters);
            }
            batches.extend(builder.take().map(Ok));
        }
        batches.extend(failed.then(|| Err(DataFusionError::Execution("the fetch failed".to_owned()))));
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let stream = Box::pin(RecordBatchStreamAdapter::new(shuffled_schema(), stream::iter(batches)));
        let mut sorted =
            Sorted { stream, runtime: runtime.handle().clone(), rows: None, at: 0, failed: None };
        let mut given = Vec::new();
        let mut give = |group, product: &[u8], counters| {
            given.push((group, product.to_vec(), counters));
            Ok(())
        };
        let ended = keep_all(&Keeper, (b"", keeps, 2), &mut sorted, &mut give);
        let ended = ended.map_err(|error| sorted.failed.take().unwrap_or(DataFusionError::IoError(error)));
        (given, ended)
    }

    #[test]
    fn equal_keys_become_one_and_ranges_are_kept_by_themselves() {
        let row = |group, product: &str, counters| (group, product.as_bytes().to_vec(), counters);
        let kept = [
            row(0, "a", [3, 0, 2]),
            row(1, "a", [3, 0, 1]),
            row(KEPT, "kept 5", [1, 0, 0]),
            row(REPORTS, "one", [1, 0, 0]),
            row(REPORTS, "two", [2, 0, 0]),
            row(1, "a", [7, 0, 1]),
            row(KEPT, "kept 4", [1, 0, 0]),
        ];
        let passed = [
            row(0, "a", [3, 0, 2]),
            row(0, "kb", [5, 0, 1]),
            row(1, "a", [3, 0, 1]),
            row(KEPT, "", [1, 0, 0]),
            row(REPORTS, "one", [1, 0, 0]),
            row(REPORTS, "two", [2, 0, 0]),
            row(1, "a", [7, 0, 1]),
            row(1, "k", [2, 0, 1]),
            row(2, "k", [2, 0, 1]),
            row(KEPT, "", [1, 0, 0]),
        ];
        for batch_rows in [1, 2, 3, 100] {
            let (given, ended) = added(&rows(), batch_rows, true, false);
            assert!(ended.is_ok(), "{ended:?}");
            assert_eq!(given, kept);
            assert_eq!(added(&rows(), batch_rows, false, false).0, passed);
        }
        assert_eq!(added(&[], 1, true, false).0, []);
    }

    #[test]
    fn what_the_engine_lost_or_brought_twice_is_an_error_and_marks_are_seen_before_anything_is_kept() {
        for (index, is_mark) in rows().iter().enumerate().map(|(index, row)| (index, row.1 == MARKS)) {
            if rows()[index].1 >= FIRST_REPORT {
                continue;
            }
            let (mut fewer, mut more) = (rows(), rows());
            fewer.remove(index);
            more.insert(index, rows()[index].clone());
            for wrong in [fewer, more] {
                let (given, ended) = added(&wrong, 3, true, false);
                assert!(ended.unwrap_err().to_string().contains("cannot be right"), "{index}");
                assert!(!is_mark || index > 1 || given.is_empty(), "{index}");
            }
        }
    }

    #[test]
    fn the_engine_is_told_why_rows_did_not_come() {
        let (_, ended) = added(&rows()[..3], 1, true, true);
        assert!(matches!(ended, Err(DataFusionError::Execution(error)) if error.contains("fetch")));
    }

    #[test]
    fn a_sum_that_is_too_large_is_an_error() {
        let rows = [mark(0, 0, 2), mark(0, 1, 0), row(0, 0, "a", i64::MAX), row(0, 0, "a", 1)];
        let (_, ended) = added(&rows, 2, false, false);
        assert!(ended.unwrap_err().to_string().contains("too large"));
    }
}
