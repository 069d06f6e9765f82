//! The counting table against a map, for any bytes: what the fuzz target `table` runs.
//!
//! The first byte tells which products have so many events already that 16 bits hold only a few more. The
//! others are operations. Of each the first byte tells group, counter, and whether it is taken back; the second
//! the length of the product's id; then come its first bytes, at most [`OWN_BYTES_MAX`], behind which letters
//! follow.

use crate::{
    memory::Share,
    padded::PaddedCopy,
    table::{COUNTERS, Counter, Product, Table},
};
use std::collections::BTreeMap;

const GROUPS: u32 = 4;

/// How many bytes of an id an operation tells.
const OWN_BYTES_MAX: usize = 3;

/// How many events a product may begin with.
const MANY: u32 = (1 << 16) - 3;

/// What a table holds: events by (group, product).
type Contents = BTreeMap<(u32, Vec<u8>), [i64; COUNTERS]>;

#[derive(Debug)]
struct Operation {
    group: u32,
    counter: Counter,
    is_undo: bool,
    id: Vec<u8>,
}

/// Does the operations that the bytes tell, and checks that the table holds what a map holds.
///
/// # Panics
/// When it does not.
pub fn check_table(bytes: &[u8]) {
    let Some((first, mut bytes)) = bytes.split_first() else { return };
    let mut table =
        Table::new(GROUPS as usize, Share::unlimited()).expect("there is memory for a small table");
    let mut map = Contents::new();
    let begun = [(1, &b"p"[..]), (2, b"pxxxxxxxxx"), (4, b"pxxxxxxxxxxxxxxxxxxx")];
    for (_, id) in begun.into_iter().filter(|(bit, _)| first & bit != 0) {
        let (group, counter) = (0, Counter::Clicks);
        let begin = Operation { group, counter, is_undo: false, id: id.to_vec() };
        begin.run(MANY, &mut table, &mut map);
    }
    while let Some(operation) = Operation::take(&mut bytes) {
        operation.run(1, &mut table, &mut map);
    }
    map.retain(|_, counters| *counters != [0; COUNTERS]);
    assert_eq!(contents(table), map);
}

impl Operation {
    fn take(bytes: &mut &[u8]) -> Option<Self> {
        let (&[what, length], rest) = bytes.split_first_chunk()?;
        let length = usize::from(length.max(1));
        let (own, rest) = rest.split_at_checked(length.min(OWN_BYTES_MAX))?;
        *bytes = rest;
        // An id has neither NUL nor 255.
        let own = own.iter().map(|byte| if matches!(byte, 0 | 255) { b'z' } else { *byte });
        Some(Self {
            group: u32::from(what & 3),
            counter: [Counter::Impressions, Counter::Clicks, Counter::Views][usize::from(what >> 2 & 3) % 3],
            is_undo: what & 16 != 0,
            id: own.chain(std::iter::repeat(b'x')).take(length).collect(),
        })
    }

    fn run(self, times: u32, table: &mut Table, map: &mut Contents) {
        let id = PaddedCopy::of(&self.id);
        table.take_back(self.is_undo);
        for _ in 0..times {
            let key = table.key(self.group, id.text());
            table.prefetch(&key);
            table.add(&key, self.counter, id.text()).expect("there is memory for a small table");
        }
        let step = if self.is_undo { -i64::from(times) } else { i64::from(times) };
        map.entry((self.group, self.id)).or_default()[self.counter as usize] += step;
    }
}

fn contents(mut table: Table) -> Contents {
    table.put_in_order();
    let mut contents = Contents::new();
    for group in 0..GROUPS {
        let entries = table.in_order(group as usize, Product::default(), None);
        let mut products = 0;
        for (product, counters) in entries {
            products += 1;
            let before = contents.insert((group, product.bytes(&mut [0; 16]).to_vec()), counters);
            assert_eq!(before, None, "a product has one place in its group");
        }
        assert_eq!(table.products(group as usize), products);
    }
    contents.retain(|_, counters| *counters != [0; COUNTERS]);
    contents
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, path::Path};

    #[test]
    fn the_kept_corpus_of_the_fuzz_target_is_counted_as_by_a_map() {
        let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/table");
        let mut files = 0;
        for file in fs::read_dir(&corpus).unwrap() {
            let file = file.unwrap().path();
            println!("{}", file.display());
            check_table(&fs::read(&file).unwrap());
            files += 1;
        }
        assert!(files > 0, "{} is empty", corpus.display());
    }
}
