//! Rows that a thread makes, which may wait for others, as a stream of the engine's.

use crate::{rows::RowsBuilder, worker::Give};
use arrow_schema::SchemaRef;
use datafusion::{
    error::{DataFusionError, Result},
    physical_plan::{SendableRecordBatchStream, stream::RecordBatchReceiverStreamBuilder},
};
use std::io;

/// The rows that `make` gives, each with the label of its range when `label` tells one.
pub(crate) fn stream(
    schema: SchemaRef,
    label: impl Fn(u32, &[u8]) -> Option<u32> + Send + 'static,
    make: impl FnOnce(&mut Give<'_>) -> Result<()> + Send + 'static,
) -> SendableRecordBatchStream {
    let mut stream = RecordBatchReceiverStreamBuilder::new(schema, 2);
    let sender = stream.tx();
    stream.spawn_blocking(move || {
        let gone = |_| io::Error::new(io::ErrorKind::Interrupted, "nobody waits for the rows any more");
        let mut rows = RowsBuilder::default();
        let mut give = |group, product: &[u8], counters| {
            if rows.push(label(group, product), group, product, counters) {
                rows.take().map_or(Ok(()), |batch| sender.blocking_send(Ok(batch)).map_err(gone))?;
            }
            Ok(())
        };
        make(&mut give)?;
        let rest = rows.take().map_or(Ok(()), |batch| sender.blocking_send(Ok(batch)).map_err(gone));
        rest.map_err(DataFusionError::IoError)
    });
    stream.build()
}
