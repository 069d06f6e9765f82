//! Rows that a thread makes, which may wait for others, as a stream of the engine's.

use crate::rows::RowsBuilder;
use arrow_schema::SchemaRef;
use datafusion::{
    error::{DataFusionError, Result},
    physical_plan::{SendableRecordBatchStream, stream::RecordBatchReceiverStreamBuilder},
};
use std::io;

/// Takes a row: the label of its range, if rows have one, its group, product and counters.
pub(crate) type Push<'p> = dyn FnMut(Option<u32>, u32, &[u8], [i64; 3]) -> io::Result<()> + 'p;

/// The rows that `make` pushes.
pub(crate) fn stream(
    schema: SchemaRef,
    make: impl FnOnce(&mut Push<'_>) -> Result<()> + Send + 'static,
) -> SendableRecordBatchStream {
    let mut stream = RecordBatchReceiverStreamBuilder::new(schema, 2);
    let sender = stream.tx();
    stream.spawn_blocking(move || {
        let gone = |_| io::Error::new(io::ErrorKind::Interrupted, "nobody waits for the rows any more");
        let mut rows = RowsBuilder::default();
        let mut push = |range, group, product: &[u8], counters| {
            if rows.push(range, group, product, counters) {
                rows.take().map_or(Ok(()), |batch| sender.blocking_send(Ok(batch)).map_err(gone))?;
            }
            Ok(())
        };
        make(&mut push)?;
        let rest = rows.take().map_or(Ok(()), |batch| sender.blocking_send(Ok(batch)).map_err(gone));
        rest.map_err(DataFusionError::IoError)
    });
    stream.build()
}
