//! The node that does tasks: a row of its input is a task, its rows are the task's partial counts.

use crate::{
    Room, Worker,
    rows::{REPORTS, RowsBuilder, schema},
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
        stream::RecordBatchReceiverStreamBuilder,
    },
};
use futures::StreamExt;
use std::{
    fmt, io,
    sync::{Arc, LazyLock},
};

/// Does the tasks that its input gives; as many partitions as that has.
pub(crate) struct TasksExec {
    pub(crate) shared: Bytes,
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
    pub(crate) fn new(shared: Bytes, input: Arc<dyn ExecutionPlan>, worker: Option<Arc<dyn Worker>>) -> Self {
        let partitions = Partitioning::UnknownPartitioning(input.properties().partitioning.partition_count());
        let properties = PlanProperties::new(
            EquivalenceProperties::new(schema()),
            partitions,
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        Self { shared, input, worker, properties: Arc::new(properties) }
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
        Ok(Arc::new(Self::new(self.shared.clone(), input, self.worker.clone())))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let Some(worker) = self.worker.clone() else {
            return Err(DataFusionError::Plan("only an executor of topshelf does tasks".to_owned()));
        };
        let mut tasks = self.input.execute(partition, Arc::clone(&context))?;
        let at_a_time = self.properties.partitioning.partition_count().max(1);
        let mut stream = RecordBatchReceiverStreamBuilder::new(schema(), 2);
        let (sender, shared) = (stream.tx(), self.shared.clone());
        stream.spawn(async move {
            while let Some(tasks) = tasks.next().await.transpose()? {
                for row in 0..tasks.num_rows() {
                    let task = Bytes::copy_from_slice(tasks.column(0).as_binary::<i32>().value(row));
                    let (worker, shared, sender) = (Arc::clone(&worker), shared.clone(), sender.clone());
                    let context = Arc::clone(&context);
                    let done = move || {
                        do_task(&*worker, (&shared, &task), &context, (partition, at_a_time), |batch| {
                            let gone = |_| {
                                io::Error::new(
                                    io::ErrorKind::Interrupted,
                                    "nobody waits for the task any more",
                                )
                            };
                            sender.blocking_send(Ok(batch)).map_err(gone)
                        })
                    };
                    let done = tokio::task::spawn_blocking(done).await;
                    done.map_err(|error| DataFusionError::ExecutionJoin(Box::new(error)))??;
                }
            }
            Ok(())
        });
        Ok(stream.build())
    }
}

/// Does a task. One of the engine's has several, at the same time: each gets the same share of half of its memory. The other
/// half is for what the engine makes of them.
fn do_task(
    worker: &dyn Worker,
    (shared, task): (&[u8], &[u8]),
    context: &TaskContext,
    (partition, tasks): (usize, usize),
    send: impl Fn(RecordBatch) -> io::Result<()>,
) -> Result<()> {
    let pool = context.memory_pool();
    let memory_bytes = match pool.memory_limit() {
        MemoryLimit::Finite(bytes) => Some(bytes / (2 * tasks)),
        MemoryLimit::Infinite | MemoryLimit::Unknown => None,
    };
    let reservation = MemoryConsumer::new(format!("TasksExec[{partition}]")).register(pool);
    reservation.try_grow(memory_bytes.unwrap_or_default())?;
    let mut rows = RowsBuilder::default();
    let mut give = |group, product: &[u8], counters| match rows.push(group, product, counters) {
        true => rows.take().map_or(Ok(()), &send),
        false => Ok(()),
    };
    // Of all errors it is only those of input and output that the engine tries again.
    let report =
        worker.work(shared, task, Room { memory_bytes }, &mut give).map_err(DataFusionError::IoError)?;
    rows.push(REPORTS, &report, [1, 0, 0]);
    rows.take().map_or(Ok(()), send).map_err(DataFusionError::IoError)
}
