//! Ranges of keys: what lies in one is added up in one place.

use arrow_array::{RecordBatch, UInt32Array, cast::AsArray, types::UInt32Type};
use arrow_schema::{DataType, Field, Schema};
use bytes::Bytes;
use datafusion::{
    error::Result,
    physical_expr::expressions::col,
    physical_plan::{metrics::Time, repartition::BatchPartitioner},
};
use std::sync::Arc;

/// Where ranges begin, but the first: at a group's product.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Ranges {
    #[prost(uint32, repeated, tag = "1")]
    groups: Vec<u32>,
    #[prost(bytes = "bytes", repeated, tag = "2")]
    products: Vec<Bytes>,
}

impl Ranges {
    /// Ranges that are cut at each of these, in any order.
    #[must_use]
    pub fn cut_at(mut cuts: Vec<(u32, Bytes)>) -> Self {
        cuts.sort_unstable();
        cuts.dedup();
        let (groups, products) = cuts.into_iter().unzip();
        Self { groups, products }
    }

    /// How many there are; at least one.
    pub(crate) fn count(&self) -> usize {
        self.groups.len() + 1
    }

    /// The place of the range of a group's product.
    pub(crate) fn of(&self, group: u32, product: &[u8]) -> usize {
        let (mut from, mut to) = (0, self.groups.len());
        while from < to {
            let middle = from.midpoint(to);
            match (self.groups[middle], &*self.products[middle]) <= (group, product) {
                true => from = middle + 1,
                false => to = middle,
            }
        }
        from
    }

    /// For each range a number that the engine, which shuffles by the hash of it, brings to a partition that no other
    /// has: else some would have several and others none.
    pub(crate) fn labels(&self) -> Result<Vec<u32>> {
        let count = self.count();
        let schema = Arc::new(Schema::new(vec![Field::new("range", DataType::UInt32, false)]));
        let by = vec![col("range", &schema)?];
        let mut partitioner = BatchPartitioner::new_hash_partitioner(by, count, Time::default())?;
        let mut labels: Vec<Option<u32>> = vec![None; count];
        for start in (0..).step_by(4096) {
            let tried = UInt32Array::from_iter_values(start..start + 4096);
            let tried = RecordBatch::try_new(Arc::clone(&schema), vec![Arc::new(tried)])?;
            partitioner.partition(tried, |partition, batch| {
                let first = batch.column(0).as_primitive::<UInt32Type>().values().first();
                labels[partition] = labels[partition].or(first.copied());
                Ok(())
            })?;
            if labels.iter().all(Option::is_some) {
                break;
            }
        }
        Ok(labels.into_iter().flatten().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn a_range_begins_with_its_cut() {
        let cut = |group, product: &'static str| (group, Bytes::from(product));
        let ranges = Ranges::cut_at(vec![cut(3, "m"), cut(1, "b"), cut(3, "m"), cut(3, "")]);
        assert_eq!(ranges.count(), 4);
        for (group, product, range) in [
            (0, "z", 0),
            (1, "a", 0),
            (1, "b", 1),
            (2, "", 1),
            (3, "", 2),
            (3, "l", 2),
            (3, "m", 3),
            (9, "", 3),
        ] {
            assert_eq!(ranges.of(group, product.as_bytes()), range, "{group} {product}");
        }
        assert_eq!(Ranges::default().count(), 1);
    }

    #[test]
    fn each_range_has_a_partition_of_its_own() {
        for cuts in [0, 1, 31, 499] {
            let ranges = Ranges::cut_at((0..cuts).map(|group| (group, Bytes::new())).collect());
            let labels = ranges.labels().unwrap();
            let distinct: BTreeSet<_> = labels.iter().collect();
            assert_eq!((labels.len(), distinct.len()), (ranges.count(), ranges.count()));
        }
    }
}
