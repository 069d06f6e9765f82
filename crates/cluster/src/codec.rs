//! How what is ours travels in the engine's plans; all else is the engine's own.

use crate::{Worker, node::TasksExec, program, table::TasksTable};
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

/// A [`TasksTable`].
#[derive(Clone, PartialEq, prost::Message)]
struct TableMessage {
    #[prost(bytes = "bytes", tag = "1")]
    shared: Bytes,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    tasks: Vec<Bytes>,
}

/// A [`TasksExec`], without its input.
#[derive(Clone, PartialEq, prost::Message)]
struct NodeMessage {
    #[prost(bytes = "bytes", tag = "1")]
    shared: Bytes,
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
        match program::decode(bytes) {
            Some(message) => {
                let TableMessage { shared, tasks } = message?;
                Ok(Arc::new(TasksTable { shared, tasks }))
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
            Some(TasksTable { shared, tasks }) => {
                program::encode(&TableMessage { shared: shared.clone(), tasks: tasks.clone() }, buffer);
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
    worker: Option<Arc<dyn Worker>>,
}

impl PhysicalCodec {
    pub(crate) fn with(worker: Arc<dyn Worker>) -> Self {
        Self { worker: Some(worker), ..Self::default() }
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
        match program::decode(bytes) {
            Some(message) => {
                let NodeMessage { shared } = message?;
                let [input] = inputs else {
                    return Err(DataFusionError::Internal("TasksExec has one input".to_owned()));
                };
                Ok(Arc::new(TasksExec::new(shared, Arc::clone(input), self.worker.clone())))
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
        match (&*node as &dyn Any).downcast_ref::<TasksExec>() {
            Some(tasks) => {
                program::encode(&NodeMessage { shared: tasks.shared.clone() }, buffer);
                Ok(())
            }
            None => self.engine.try_encode(node, buffer, converter),
        }
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
