//! Runs: partial counts in order, on disk, while there is no memory for them.
//!
//! A run is a series of blocks, which begin without regard to the one before. What is needed to find and
//! to check a block — where it lies, the first key in it, a checksum — stays in memory: a file of runs means
//! nothing to another process, and a damaged block is an error, never a wrong count.

use crate::{
    bytes16::{Bytes16, fold},
    merge::Place,
    table::{COUNTERS, INLINE_BYTES_MAX, Product},
};
use std::{fmt, io, ops::Range, sync::Arc};

/// Gives files for partial counts that do not fit in memory.
pub trait SpillPlace: fmt::Debug + Send + Sync {
    /// An empty file, of which nothing is left once it is dropped or the process ends.
    ///
    /// # Errors
    /// When there can be none.
    fn create(&self) -> io::Result<Box<dyn SpillFile>>;
}

/// A file that several threads read while it is written.
pub trait SpillFile: fmt::Debug + Send + Sync {
    /// Writes all of the bytes.
    ///
    /// # Errors
    /// When the disk takes no more.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Fills all of `bytes`.
    ///
    /// # Errors
    /// When they cannot be read, or the file ends before.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;
}

/// The most bytes that an entry takes: what is told of it, its group, its id, its counters.
const ENTRY_BYTES_MAX: usize = 1 + 5 + 2 + 255 + COUNTERS * 10;

/// The bit that says that an entry is of the group of the one before; those below tell of the counters.
const SAME_GROUP: u8 = 1 << COUNTERS;

/// Partial counts in order of group and product, each once.
#[derive(Debug)]
pub(crate) struct Run {
    file: Arc<dyn SpillFile>,
    blocks: Vec<Block>,
    /// The first product id of each block.
    ids: Vec<u8>,
}

#[derive(Debug)]
struct Block {
    offset: u64,
    checksum: u64,
    /// Where its first id is in `ids`.
    id_start: usize,
    bytes: u32,
    entries: u32,
    /// The group of the first entry.
    group: u32,
}

/// The beginning of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct BlockStart<'a> {
    pub(crate) group: u32,
    pub(crate) id: &'a [u8],
    pub(crate) entries: u32,
}

impl Run {
    /// How long it is on disk.
    pub(crate) fn bytes(&self) -> u64 {
        self.blocks.iter().map(|block| u64::from(block.bytes)).sum()
    }

    /// Where the blocks begin, in order.
    pub(crate) fn starts(&self) -> impl Iterator<Item = BlockStart<'_>> {
        (0..self.blocks.len()).map(|block| self.start(block))
    }

    fn start(&self, at: usize) -> BlockStart<'_> {
        let Block { id_start, entries, group, .. } = self.blocks[at];
        let id_end = self.blocks.get(at + 1).map_or(self.ids.len(), |next| next.id_start);
        BlockStart { group, id: &self.ids[id_start..id_end], entries }
    }

    /// The blocks that may hold entries from `from` on and before `to`.
    fn blocks_between(&self, from: &Place, to: &Place) -> Range<usize> {
        let before = |place: &Place| {
            let (mut low, mut high) = (0, self.blocks.len());
            while low < high {
                let middle = low.midpoint(high);
                let start = self.start(middle);
                if (start.group as usize, start.id) < (place.group, &place.id) {
                    low = middle + 1;
                } else {
                    high = middle;
                }
            }
            low
        };
        // The one that begins before `from` may go on behind it.
        let start = before(from).saturating_sub(1);
        start..before(to).max(start)
    }

    /// Calls `take` with each entry from `from` on and before `to`, in order.
    ///
    /// # Errors
    /// When the blocks cannot be read, or are not what was written.
    pub(crate) fn read(
        &self,
        from: &Place,
        to: &Place,
        mut take: impl FnMut(u32, Product<'_>, [i64; COUNTERS]),
    ) -> io::Result<()> {
        let blocks = &self.blocks[self.blocks_between(from, to)];
        let (Some(first), Some(last)) = (blocks.first(), blocks.last()) else { return Ok(()) };
        let length = last.offset + u64::from(last.bytes) - first.offset;
        let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
        self.file.read_at(&mut bytes, first.offset)?;
        let mut rest = bytes.as_slice();
        for block in blocks {
            let (bytes, behind) = rest.split_at(block.bytes as usize);
            rest = behind;
            if checksum(block.offset, bytes) != block.checksum {
                let message = "partial counts on disk are not what was written";
                return Err(io::Error::new(io::ErrorKind::InvalidData, message));
            }
            decode(bytes, |group, id, counters| {
                let key = (group as usize, id);
                if key >= (from.group, &from.id) && key < (to.group, &to.id) {
                    take(group, Product::of(id), counters);
                }
            });
        }
        Ok(())
    }
}

/// Finds what a disk does to bytes, not what an adversary does.
fn checksum(offset: u64, bytes: &[u8]) -> u64 {
    const ODD: [u64; 2] = [0x9E37_79B9_7F4A_7C15, 0xC2B2_AE3D_27D4_EB4F];
    let sum = |sum: u64, chunk: &[u8]| {
        let chunk = Bytes16::of(chunk);
        fold(sum ^ chunk.low ^ ODD[0], chunk.high ^ ODD[1]).wrapping_add(sum)
    };
    bytes.chunks(16).fold(offset ^ bytes.len() as u64, sum)
}

/// A file that runs are written to, one behind the other.
#[derive(Debug)]
pub(crate) struct RunFile {
    file: Arc<dyn SpillFile>,
    end: u64,
    block_bytes: usize,
}

impl RunFile {
    /// Takes an empty file, for runs whose blocks have about so many bytes.
    pub(crate) fn new(file: Box<dyn SpillFile>, block_bytes: usize) -> Self {
        Self { file: file.into(), end: 0, block_bytes }
    }

    /// Begins the next run.
    pub(crate) fn begin(&mut self) -> RunWriter<'_> {
        let run = Run { file: Arc::clone(&self.file), blocks: Vec::new(), ids: Vec::new() };
        let bytes = Vec::with_capacity(self.block_bytes + ENTRY_BYTES_MAX);
        RunWriter { file: self, run, bytes, entries: 0, last: None, last_id: Vec::new() }
    }
}

/// Writes a run.
pub(crate) struct RunWriter<'f> {
    file: &'f mut RunFile,
    run: Run,
    /// The block under way.
    bytes: Vec<u8>,
    entries: u32,
    /// The group of the block's last entry.
    last: Option<u32>,
    last_id: Vec<u8>,
}

impl RunWriter<'_> {
    /// Adds the next product's counters. One whose events were all taken back is left out.
    pub(crate) fn push(
        &mut self,
        group: u32,
        product: Product<'_>,
        counters: [i64; COUNTERS],
    ) -> io::Result<()> {
        if counters == [0; COUNTERS] {
            return Ok(());
        }
        let mut inline = [0; INLINE_BYTES_MAX];
        let id = product.bytes(&mut inline);
        if self.last.is_none() {
            let (offset, id_start) = (self.file.end, self.run.ids.len());
            self.run.blocks.push(Block { offset, checksum: 0, id_start, bytes: 0, entries: 0, group });
            self.run.ids.extend_from_slice(id);
            self.last_id.clear();
        }
        self.encode(group, id, counters);
        (self.entries, self.last) = (self.entries + 1, Some(group));
        if self.bytes.len() >= self.file.block_bytes { self.end_block() } else { Ok(()) }
    }

    fn encode(&mut self, group: u32, id: &[u8], counters: [i64; COUNTERS]) {
        let is_same = self.last == Some(group);
        let bit = |(number, counter): (usize, &i64)| u8::from(*counter != 0) << number;
        let told = counters.iter().enumerate().map(bit).sum::<u8>();
        self.bytes.push(told | if is_same { SAME_GROUP } else { 0 });
        if !is_same {
            push_varint(&mut self.bytes, group.into());
        }
        let shared = self.last_id.iter().zip(id).take_while(|(left, right)| left == right).count();
        for length in [shared, id.len() - shared] {
            self.bytes.push(u8::try_from(length).expect("an id has at most 255 bytes"));
        }
        self.bytes.extend_from_slice(&id[shared..]);
        self.last_id.truncate(shared);
        self.last_id.extend_from_slice(&id[shared..]);
        for counter in counters.into_iter().filter(|counter| *counter != 0) {
            push_varint(&mut self.bytes, zigzag(counter));
        }
    }

    fn end_block(&mut self) -> io::Result<()> {
        let Some(block) = self.run.blocks.last_mut().filter(|_| self.last.is_some()) else { return Ok(()) };
        self.file.file.write_at(&self.bytes, block.offset)?;
        block.checksum = checksum(block.offset, &self.bytes);
        block.bytes = u32::try_from(self.bytes.len()).expect("a block is small");
        block.entries = self.entries;
        self.file.end += u64::from(block.bytes);
        self.bytes.clear();
        (self.entries, self.last) = (0, None);
        Ok(())
    }

    /// The run that was written.
    pub(crate) fn end(mut self) -> io::Result<Run> {
        self.end_block()?;
        self.run.blocks.shrink_to_fit();
        self.run.ids.shrink_to_fit();
        Ok(self.run)
    }
}

/// Calls `take` with each entry of a block.
fn decode(mut bytes: &[u8], mut take: impl FnMut(u32, &[u8], [i64; COUNTERS])) {
    let (mut group, mut id) = (0, Vec::with_capacity(255));
    while let Some((told, rest)) = bytes.split_first() {
        bytes = rest;
        if told & SAME_GROUP == 0 {
            group = u32::try_from(take_varint(&mut bytes)).expect("groups have 32 bits");
        }
        let (shared, suffix) = (usize::from(bytes[0]), usize::from(bytes[1]));
        id.truncate(shared);
        id.extend_from_slice(&bytes[2..2 + suffix]);
        bytes = &bytes[2 + suffix..];
        let mut counters = [0; COUNTERS];
        for (number, counter) in counters.iter_mut().enumerate() {
            if told & (1 << number) != 0 {
                *counter = unzigzag(take_varint(&mut bytes));
            }
        }
        take(group, &id, counters);
    }
}

/// Small numbers of either sign as small ones without.
fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Seven bits a byte, the lowest first; the last byte is below 128.
#[expect(clippy::cast_possible_truncation, reason = "the lowest bits are meant")]
fn push_varint(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 1 << 7 {
        bytes.push(number as u8 | 1 << 7);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn take_varint(bytes: &mut &[u8]) -> u64 {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a block that passed its check is whole");
        *bytes = rest;
        number |= u64::from(byte & 0x7F) << shift;
        if *byte < 1 << 7 {
            break;
        }
    }
    number
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::sync::Mutex;

    /// Files in memory.
    #[derive(Debug, Default)]
    pub(crate) struct InMemory;

    #[derive(Debug, Default)]
    struct MemoryFile(Mutex<Vec<u8>>);

    impl SpillPlace for InMemory {
        fn create(&self) -> io::Result<Box<dyn SpillFile>> {
            Ok(Box::new(MemoryFile::default()))
        }
    }

    impl SpillFile for MemoryFile {
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            let mut file = self.0.lock().unwrap();
            assert_eq!(file.len() as u64, offset, "runs are written one behind the other");
            file.extend_from_slice(bytes);
            Ok(())
        }

        fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
            let file = self.0.lock().unwrap();
            bytes.copy_from_slice(&file[usize::try_from(offset).unwrap()..][..bytes.len()]);
            Ok(())
        }
    }

    /// A file whose bits can be turned.
    #[derive(Debug)]
    struct Damaged {
        whole: Box<dyn SpillFile>,
        bit: u64,
    }

    impl SpillFile for Damaged {
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            self.whole.write_at(bytes, offset)
        }

        fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
            self.whole.read_at(bytes, offset)?;
            let at = usize::try_from((self.bit / 8).checked_sub(offset).unwrap()).unwrap();
            bytes[at] ^= 1 << (self.bit % 8);
            Ok(())
        }
    }

    type Rows = Vec<((u32, String), [i64; COUNTERS])>;

    fn written(file: &mut RunFile, rows: &Rows) -> Run {
        let mut writer = file.begin();
        for ((group, id), counters) in rows {
            writer.push(*group, Product::of(id.as_bytes()), *counters).unwrap();
        }
        writer.end().unwrap()
    }

    fn read(run: &Run, from: &Place, to: &Place) -> io::Result<Rows> {
        let mut rows = Rows::new();
        run.read(from, to, |group, product, counters| {
            let id = String::from_utf8(product.bytes(&mut [0; 16]).to_vec()).unwrap();
            rows.push(((group, id), counters));
        })?;
        Ok(rows)
    }

    fn rows() -> impl Strategy<Value = Rows> {
        let counter = prop_oneof![Just(0), -3i64..4, Just(i64::MIN), Just(i64::MAX), any::<i64>()];
        let key = (prop_oneof![0u32..5, Just(u32::MAX)], "[a-b]{1,3}|x{14,17}[ab]{0,2}|y{250}[ab]{0,5}");
        proptest::collection::btree_map(key, [counter.clone(), counter.clone(), counter], 0..60)
            .prop_map(|rows| rows.into_iter().collect())
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(
            runs in proptest::collection::vec(rows(), 1..4),
            block_bytes in 1usize..500,
            bounds in proptest::collection::vec((0usize..6, "[a-bxy]{0,17}"), 2),
        ) {
            let mut file = RunFile::new(InMemory.create().unwrap(), block_bytes);
            let written: Vec<_> = runs.iter().map(|rows| written(&mut file, rows)).collect();
            let places = bounds.iter().map(|(group, id)| Place { group: *group, id: id.as_bytes().into() });
            let places: Vec<_> = places.collect();
            let (start, end) = (Place::before(0), Place::before(1 << 33));
            for (rows, run) in runs.into_iter().zip(&written) {
                let told: Rows = rows.into_iter().filter(|(_, counters)| *counters != [0; COUNTERS]).collect();
                prop_assert_eq!(run.starts().map(|start| start.entries as usize).sum::<usize>(), told.len());
                prop_assert!(run.starts().is_sorted());
                prop_assert_eq!(&read(run, &start, &end).unwrap(), &told);
                let is_between = |((group, id), _): &&((u32, String), _)| {
                    let key = Place { group: *group as usize, id: id.as_bytes().into() };
                    places[0] <= key && key < places[1]
                };
                let between: Rows = told.iter().filter(is_between).cloned().collect();
                prop_assert_eq!(read(run, &places[0], &places[1]).unwrap(), between);
            }
        }

        #[test]
        fn any_turned_bit_is_found(rows in rows(), bit: prop::sample::Index) {
            let mut file = RunFile::new(InMemory.create().unwrap(), 50);
            let mut run = written(&mut file, &rows);
            let end = file.end;
            drop(file);
            let whole = std::mem::replace(&mut run.file, Arc::new(MemoryFile::default()));
            let whole = Box::new(Shared(whole));
            if end > 0 {
                run.file = Arc::new(Damaged { whole, bit: bit.index(usize::try_from(end * 8).unwrap()) as u64 });
                let error = read(&run, &Place::before(0), &Place::before(1 << 33)).unwrap_err();
                prop_assert_eq!(error.kind(), io::ErrorKind::InvalidData);
            }
        }
    }

    /// A file that someone else has too.
    #[derive(Debug)]
    struct Shared(Arc<dyn SpillFile>);

    impl SpillFile for Shared {
        fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
            self.0.write_at(bytes, offset)
        }

        fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
            self.0.read_at(bytes, offset)
        }
    }
}
