//! The node that does tasks: a row of its input is a task, its rows are the task's partial counts.

use crate::{
    Room, Worker, blocking,
    ranges::Ranges,
    rows::{REPORTS, shuffled_schema},
    worker::Give,
};
use arrow_array::{BinaryArray, RecordBatch, cast::AsArray};
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
    fmt,
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

static TASK_SCHEMA: LazyLock<SchemaRef> =
    LazyLock::new(|| Arc::new(Schema::new(vec![Field::new("task", DataType::Binary, false)])));

/// Tasks as rows of memory, one in each partition.
pub(crate) fn leaf(tasks: &[Bytes]) -> Result<Arc<dyn ExecutionPlan>> {
    let partition = |task: &Bytes| {
        let column = Arc::new(BinaryArray::from(vec![&task[..]]));
        Ok(vec![RecordBatch::try_new(Arc::clone(&TASK_SCHEMA), vec![column])?])
    };
    let partitions = tasks.iter().map(partition).collect::<Result<Vec<_>>>()?;
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
        let make = move |give: &mut Give<'_>| {
            while let Some(tasks) = runtime.block_on(tasks.next()).transpose()? {
                for task in tasks.column(0).as_binary::<i32>().iter().flatten() {
                    do_task(&*worker, (&shared, task), &context, (partition, at_a_time), give)?;
                }
            }
            Ok(())
        };
        let (ranges, labels) = (self.ranges.clone(), self.ranges.labels()?);
        let label = move |group, product: &[u8]| Some(labels[ranges.of(group, product)]);
        Ok(blocking::stream(shuffled_schema(), label, make))
    }
}

/// Does a task. One of the engine's has several, at the same time: each gets the same share of half of its memory. The other
/// half is for what the engine makes of them.
fn do_task(
    worker: &dyn Worker,
    (shared, task): (&[u8], &[u8]),
    context: &TaskContext,
    (partition, tasks): (usize, usize),
    give: &mut Give<'_>,
) -> Result<()> {
    let pool = context.memory_pool();
    let memory_bytes = match pool.memory_limit() {
        MemoryLimit::Finite(bytes) => Some(bytes / (2 * tasks)),
        MemoryLimit::Infinite | MemoryLimit::Unknown => None,
    };
    let reservation = MemoryConsumer::new(format!("TasksExec[{partition}]")).register(pool);
    reservation.try_grow(memory_bytes.unwrap_or_default())?;
    let report = worker.work(shared, task, Room { memory_bytes }, give);
    // Of all errors it is only those of input and output that the engine tries again.
    report.and_then(|report| give(REPORTS, &report, [1, 0, 0])).map_err(DataFusionError::IoError)
}
