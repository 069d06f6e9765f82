//! How what is ours travels in the engine's plans; all else is the engine's own.

use crate::{Worker, keep::KeepExec, node::TasksExec, program, ranges::Ranges, table::TasksTable};
use arrow_schema::SchemaRef;
use ballista_core::serde::{BallistaLogicalExtensionCodec, BallistaPhysicalExtensionCodec};
use bytes::Bytes;
use datafusion::{
    catalog::TableProvider,
    common::TableReference,
    datasource::file_format::FileFormatFactory,
    error::{DataFusionError, Result},
    execution::TaskContext,
    logical_expr::{AggregateUDF, Extension, LogicalPlan, ScalarUDF, WindowUDF},
    physical_plan::ExecutionPlan,
};
use datafusion_proto::{
    logical_plan::LogicalExtensionCodec,
    physical_plan::{PhysicalExtensionCodec, PhysicalProtoConverterExtension},
};
use std::{any::Any, sync::Arc};

/// Who reads plans, and is no executor.
const SCHEDULER: &str = "the scheduler";

/// A [`TasksTable`].
#[derive(Clone, PartialEq, prost::Message)]
struct TableMessage {
    #[prost(bytes = "bytes", tag = "1")]
    shared: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    tasks: Vec<Bytes>,
    #[prost(message, required, tag = "3")]
    ranges: Ranges,
    #[prost(bool, tag = "4")]
    keeps: bool,
}

/// A node, without its input.
#[derive(Clone, PartialEq, prost::Message)]
struct NodeMessage {
    #[prost(bytes = "bytes", tag = "1")]
    shared: Bytes,
    /// Of a [`TasksExec`]; a [`KeepExec`] has none.
    #[prost(message, optional, tag = "2")]
    ranges: Option<Ranges>,
    #[prost(bool, tag = "3")]
    keeps: bool,
    #[prost(uint32, tag = "4")]
    tasks: u32,
}

/// Logical plans.
#[derive(Debug, Default)]
pub(crate) struct LogicalCodec(BallistaLogicalExtensionCodec);

impl LogicalExtensionCodec for LogicalCodec {
    fn try_decode_table_provider(
        &self,
        bytes: &[u8],
        table: &TableReference,
        schema: SchemaRef,
        context: &TaskContext,
    ) -> Result<Arc<dyn TableProvider>> {
        match program::decode(SCHEDULER, bytes) {
            Some(message) => {
                let TableMessage { shared, tasks, ranges, keeps } = message?;
                Ok(Arc::new(TasksTable { shared, tasks, ranges, keeps }))
            }
            None => self.0.try_decode_table_provider(bytes, table, schema, context),
        }
    }

    fn try_encode_table_provider(
        &self,
        table: &TableReference,
        provider: Arc<dyn TableProvider>,
        buffer: &mut Vec<u8>,
    ) -> Result<()> {
        match (&*provider as &dyn Any).downcast_ref::<TasksTable>() {
            Some(TasksTable { shared, tasks, ranges, keeps }) => {
                let (shared, tasks, ranges) = (shared.clone(), tasks.clone(), ranges.clone());
                program::encode(&TableMessage { shared, tasks, ranges, keeps: *keeps }, buffer);
                Ok(())
            }
            None => self.0.try_encode_table_provider(table, provider, buffer),
        }
    }

    fn try_decode(&self, bytes: &[u8], inputs: &[LogicalPlan], context: &TaskContext) -> Result<Extension> {
        self.0.try_decode(bytes, inputs, context)
    }

    fn try_encode(&self, node: &Extension, buffer: &mut Vec<u8>) -> Result<()> {
        self.0.try_encode(node, buffer)
    }

    fn try_decode_file_format(
        &self,
        bytes: &[u8],
        context: &TaskContext,
    ) -> Result<Arc<dyn FileFormatFactory>> {
        self.0.try_decode_file_format(bytes, context)
    }

    fn try_encode_file_format(&self, buffer: &mut Vec<u8>, node: Arc<dyn FileFormatFactory>) -> Result<()> {
        self.0.try_encode_file_format(buffer, node)
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.0.try_decode_udf(name, bytes)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buffer: &mut Vec<u8>) -> Result<()> {
        self.0.try_encode_udf(node, buffer)
    }

    fn try_decode_udaf(&self, name: &str, bytes: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.0.try_decode_udaf(name, bytes)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buffer: &mut Vec<u8>) -> Result<()> {
        self.0.try_encode_udaf(node, buffer)
    }

    fn try_decode_udwf(&self, name: &str, bytes: &[u8]) -> Result<Arc<WindowUDF>> {
        self.0.try_decode_udwf(name, bytes)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buffer: &mut Vec<u8>) -> Result<()> {
        self.0.try_encode_udwf(node, buffer)
    }
}

/// Physical plans, with who does their tasks where they are executed.
#[derive(Debug, Default)]
pub(crate) struct PhysicalCodec {
    engine: BallistaPhysicalExtensionCodec,
    executor: Option<(String, Arc<dyn Worker>)>,
}

impl PhysicalCodec {
    /// That of the executor of this name.
    pub(crate) fn of_executor(name: &str, worker: Arc<dyn Worker>) -> Self {
        Self { executor: Some((format!("executor {name}"), worker)), ..Self::default() }
    }
}

impl PhysicalExtensionCodec for PhysicalCodec {
    fn try_decode(
        &self,
        bytes: &[u8],
        inputs: &[Arc<dyn ExecutionPlan>],
        context: &TaskContext,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let reader = self.executor.as_ref().map_or(SCHEDULER, |(name, _)| name);
        match program::decode(reader, bytes) {
            Some(message) => {
                let NodeMessage { shared, ranges, keeps, tasks } = message?;
                let [input] = inputs else {
                    return Err(DataFusionError::Internal("a node of topshelf has one input".to_owned()));
                };
                let (input, worker) =
                    (Arc::clone(input), self.executor.as_ref().map(|(_, worker)| Arc::clone(worker)));
                Ok(match ranges {
                    Some(ranges) => Arc::new(TasksExec::new((shared, ranges), input, worker)),
                    None => Arc::new(KeepExec::new((shared, keeps, tasks), input, worker)),
                })
            }
            None => self.engine.try_decode(bytes, inputs, context, converter),
        }
    }

    fn try_encode(
        &self,
        node: Arc<dyn ExecutionPlan>,
        buffer: &mut Vec<u8>,
        converter: &dyn PhysicalProtoConverterExtension,
    ) -> Result<()> {
        let any = &*node as &dyn Any;
        let message = if let Some(TasksExec { shared, ranges, .. }) = any.downcast_ref() {
            NodeMessage { shared: shared.clone(), ranges: Some(ranges.clone()), keeps: false, tasks: 0 }
        } else if let Some(KeepExec { shared, keeps, tasks, .. }) = any.downcast_ref() {
            NodeMessage { shared: shared.clone(), ranges: None, keeps: *keeps, tasks: *tasks }
        } else {
            return self.engine.try_encode(node, buffer, converter);
        };
        program::encode(&message, buffer);
        Ok(())
    }

    fn try_decode_udf(&self, name: &str, bytes: &[u8]) -> Result<Arc<ScalarUDF>> {
        self.engine.try_decode_udf(name, bytes)
    }

    fn try_encode_udf(&self, node: &ScalarUDF, buffer: &mut Vec<u8>) -> Result<()> {
        self.engine.try_encode_udf(node, buffer)
    }

    fn try_decode_udaf(&self, name: &str, bytes: &[u8]) -> Result<Arc<AggregateUDF>> {
        self.engine.try_decode_udaf(name, bytes)
    }

    fn try_encode_udaf(&self, node: &AggregateUDF, buffer: &mut Vec<u8>) -> Result<()> {
        self.engine.try_encode_udaf(node, buffer)
    }

    fn try_decode_udwf(&self, name: &str, bytes: &[u8]) -> Result<Arc<WindowUDF>> {
        self.engine.try_decode_udwf(name, bytes)
    }

    fn try_encode_udwf(&self, node: &WindowUDF, buffer: &mut Vec<u8>) -> Result<()> {
        self.engine.try_encode_udwf(node, buffer)
    }
}
