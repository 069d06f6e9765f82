//! The tasks of a job as a table: what a query is made of before it is planned.

use crate::{
    keep::KeepExec,
    node::{TasksExec, leaf},
    ranges::Ranges,
    rows::schema,
};
use arrow_schema::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use datafusion::{
    catalog::{Session, TableProvider},
    error::{DataFusionError, Result},
    logical_expr::{Expr, TableType},
    physical_plan::ExecutionPlan,
};
use std::{fmt, sync::Arc};

/// What the tasks give.
pub(crate) struct TasksTable {
    pub(crate) shared: Bytes,
    pub(crate) tasks: Vec<Bytes>,
    pub(crate) ranges: Ranges,
    /// Whether executors are asked to keep sums.
    pub(crate) keeps: bool,
}

impl fmt::Debug for TasksTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TasksTable({} tasks)", self.tasks.len())
    }
}

#[async_trait]
impl TableProvider for TasksTable {
    fn schema(&self) -> SchemaRef {
        schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        _: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if projection.is_some_and(|columns| !columns.iter().copied().eq(0..schema().fields().len())) {
            return Err(DataFusionError::Plan("tasks give all of their columns".to_owned()));
        }
        let tasks = TasksExec::new((self.shared.clone(), self.ranges.clone()), leaf(&self.tasks)?, None);
        let count = u32::try_from(self.tasks.len())
            .map_err(|_| DataFusionError::Plan("too many tasks".to_owned()))?;
        let of = (self.shared.clone(), self.keeps, count);
        // The engine puts between them what brings the rows of each range together, in order.
        Ok(Arc::new(KeepExec::new(of, Arc::new(tasks), None)))
    }
}
