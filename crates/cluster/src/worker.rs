//! Who does a task.

use std::{fmt, io};

/// Takes partial counts: the group, the product's id, and what is added to its impressions, clicks and views.
pub type Give<'g> = dyn FnMut(u32, &[u8], [i64; 3]) -> io::Result<()> + 'g;

/// A sum: its group, the product's id, its impressions, clicks and views.
pub type Sum<'s> = (u32, &'s [u8], [i64; 3]);

/// Sums, in order of group and product, each key once.
pub trait Sums {
    /// The next; none when there are no more.
    ///
    /// # Errors
    /// When it did not come: whoever asked should end.
    fn next_sum(&mut self) -> io::Result<Option<Sum<'_>>>;
}

/// What a task may take.
#[derive(Debug, Clone, Copy)]
pub struct Room {
    /// Bytes of memory; none when there is no limit.
    pub memory_bytes: Option<usize>,
}

/// Does tasks on an executor.
pub trait Worker: fmt::Debug + Send + Sync + 'static {
    /// Does a task: gives its partial counts and returns its report. It may block, and should end soon after `give`
    /// has failed.
    ///
    /// `shared` is what all tasks of the job have in common.
    ///
    /// # Errors
    /// What may pass by itself, and is worth another try. What is final is told by the report.
    fn work(&self, shared: &[u8], task: &[u8], room: Room, give: &mut Give<'_>) -> io::Result<Vec<u8>>;

    /// Keeps sums of consecutive keys, all there are of a range, where they were added up, gives back those that it does
    /// not keep, in any order, and returns the report of it. It may be asked again for the same sums, and must then
    /// leave what it left before. It may block.
    ///
    /// # Errors
    /// As [`Worker::work`].
    fn keep(&self, shared: &[u8], sums: &mut dyn Sums, give: &mut Give<'_>) -> io::Result<Vec<u8>>;
}
