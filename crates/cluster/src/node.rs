//! The node that does tasks: a row of its input is a task, its rows are the task's partial counts.

use crate::{
    Room, Worker,
    blocking::{self, Push},
    ranges::Ranges,
    rows::{FIRST_REPORT, MARKS, REPORTS, shuffled_schema},
    worker::Give,
};
use arrow_array::{BinaryArray, RecordBatch, UInt32Array, cast::AsArray, types::UInt32Type};
use arrow_schema::{DataType, Field, Schema, SchemaRef};
use bytes::Bytes;
use datafusion::{
    catalog::memory::MemorySourceConfig,
    common::tree_node::TreeNodeRecursion,
    error::{DataFusionError, Result},
    execution::{
        TaskContext,
        memory_pool::{MemoryConsumer, MemoryLimit},
    },
    physical_expr::{EquivalenceProperties, PhysicalExpr},
    physical_plan::{
        DisplayAs, DisplayFormatType, ExecutionPlan, Partitioning, PlanProperties, SendableRecordBatchStream,
        execution_plan::{Boundedness, EmissionType},
    },
};
use futures::StreamExt;
use std::{
    fmt, io,
    sync::{Arc, LazyLock},
};
use tokio::runtime::Handle;

/// Does the tasks that its input gives; as many partitions as that has.
pub(crate) struct TasksExec {
    pub(crate) shared: Bytes,
    pub(crate) ranges: Ranges,
    input: Arc<dyn ExecutionPlan>,
    /// None where nothing is executed.
    worker: Option<Arc<dyn Worker>>,
    properties: Arc<PlanProperties>,
}

static TASK_SCHEMA: LazyLock<SchemaRef> = LazyLock::new(|| {
    let number = Field::new("number", DataType::UInt32, false);
    Arc::new(Schema::new(vec![number, Field::new("task", DataType::Binary, false)]))
});

/// Tasks as rows of memory, one in each partition.
pub(crate) fn leaf(tasks: &[Bytes]) -> Result<Arc<dyn ExecutionPlan>> {
    let partition = |(task, number): (&Bytes, u32)| {
        let number = Arc::new(UInt32Array::from(vec![number]));
        let task = Arc::new(BinaryArray::from(vec![&task[..]]));
        Ok(vec![RecordBatch::try_new(Arc::clone(&TASK_SCHEMA), vec![number, task])?])
    };
    let partitions = tasks.iter().zip(0..).map(partition).collect::<Result<Vec<_>>>()?;
    Ok(MemorySourceConfig::try_new_exec(&partitions, Arc::clone(&TASK_SCHEMA), None)?)
}

impl TasksExec {
    pub(crate) fn new(
        (shared, ranges): (Bytes, Ranges),
        input: Arc<dyn ExecutionPlan>,
        worker: Option<Arc<dyn Worker>>,
    ) -> Self {
        let partitions = Partitioning::UnknownPartitioning(input.properties().partitioning.partition_count());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(shuffled_schema()),
            partitions,
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { shared, ranges, input, worker, properties: Arc::new(properties) }
    }
}

impl fmt::Debug for TasksExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TasksExec").field("input", &self.input).finish_non_exhaustive()
    }
}

impl DisplayAs for TasksExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TasksExec: tasks={}", self.properties.partitioning.partition_count())
    }
}

impl ExecutionPlan for TasksExec {
    fn name(&self) -> &'static str {
        "TasksExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
    }

    /// A task is where it is.
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
            return Err(DataFusionError::Internal("TasksExec has one input".to_owned()));
        };
        Ok(Arc::new(Self::new((self.shared.clone(), self.ranges.clone()), input, self.worker.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(worker) = self.worker.clone() else {
            return Err(DataFusionError::Plan("only an executor of topshelf does tasks".to_owned()));
        };
        let mut tasks = self.input.execute(partition, Arc::clone(&context))?;
        let at_a_time = self.properties.partitioning.partition_count().max(1);
        let (shared, runtime) = (self.shared.clone(), Handle::current());
        let (ranges, labels) = (self.ranges.clone(), self.ranges.labels()?);
        let make = move |push: &mut Push<'_>| {
            while let Some(tasks) = runtime.block_on(tasks.next()).transpose()? {
                let numbers = tasks.column(0).as_primitive::<UInt32Type>().iter().flatten();
                for (number, task) in numbers.zip(tasks.column(1).as_binary::<i32>().iter().flatten()) {
                    let out = Out { ranges: &ranges, labels: &labels, rows: vec![0; labels.len()], push };
                    let work = |give: &mut Give<'_>, room| worker.work(&shared, task, room, give);
                    let done =
                        with_room(&context, (partition, at_a_time), |room| out.all_of(number, room, work))?;
                    // Of all errors it is only those of input and output that the engine tries again.
                    done.map_err(DataFusionError::IoError)?;
                }
            }
            Ok(())
        };
        Ok(blocking::stream(shuffled_schema(), make))
    }
}

/// The rows of a task on their way to their ranges.
struct Out<'o, 'p> {
    ranges: &'o Ranges,
    labels: &'o [u32],
    /// How many of each range there are.
    rows: Vec<i64>,
    push: &'o mut Push<'p>,
}

impl Out<'_, '_> {
    /// All rows that the task of this number gives, a mark in each range, and its report.
    fn all_of(
        mut self,
        number: u32,
        room: Room,
        work: impl FnOnce(&mut Give<'_>, Room) -> io::Result<Vec<u8>>,
    ) -> io::Result<()> {
        let mut give = |group: u32, product: &[u8], counters| {
            let range = self.ranges.of(group, product);
            self.rows[range] += 1;
            let shuffled = group.checked_add(1).filter(|group| *group < FIRST_REPORT);
            let shuffled = shuffled.ok_or_else(|| io::Error::other("a group has too high a number"))?;
            (self.push)(Some(self.labels[range]), shuffled, product, counters)
        };
        let report = work(&mut give, room)?;
        for (label, rows) in self.labels.iter().zip(&self.rows) {
            (self.push)(Some(*label), MARKS, &number.to_be_bytes(), [1, *rows, 0])?;
        }
        // Reports that say the same are none that came twice.
        let report = [&number.to_be_bytes()[..], &report].concat();
        (self.push)(Some(self.labels[0]), REPORTS, &report, [1, 0, 0])
    }
}

/// Does something with a task's share of memory. One task of the engine's has several of ours, at the same time: each gets
/// the same share of half of its memory. The other half is for what the engine makes of them.
fn with_room<T>(
    context: &TaskContext,
    (partition, tasks): (usize, usize),
    done: impl FnOnce(Room) -> T,
) -> Result<T> {
    let pool = context.memory_pool();
    let memory_bytes = match pool.memory_limit() {
        MemoryLimit::Finite(bytes) => Some(bytes / (2 * tasks)),
        MemoryLimit::Infinite | MemoryLimit::Unknown => None,
    };
    let reservation = MemoryConsumer::new(format!("TasksExec[{partition}]")).register(pool);
    reservation.try_grow(memory_bytes.unwrap_or_default())?;
    Ok(done(Room { memory_bytes }))
}
