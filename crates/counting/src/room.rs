//! How much memory a thread's tables may take.

use std::{
    io,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
};

/// Bytes that are still free. Clones share them; they are all used by one thread at a time.
#[derive(Debug, Clone)]
pub(crate) struct Room(Arc<AtomicUsize>);

impl Room {
    /// So many bytes.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(Arc::new(bytes.into()))
    }

    /// How many bytes are free.
    pub(crate) fn bytes(&self) -> usize {
        self.0.load(Relaxed)
    }

    /// Takes bytes, before the memory is touched.
    ///
    /// # Errors
    /// `OutOfMemory`, and nothing is taken, when fewer are free.
    pub(crate) fn take(&self, bytes: usize) -> io::Result<()> {
        let rest = self.bytes().checked_sub(bytes).ok_or(io::ErrorKind::OutOfMemory)?;
        self.0.store(rest, Relaxed);
        Ok(())
    }

    /// Gives bytes back that were taken.
    pub(crate) fn give_back(&self, bytes: usize) {
        self.0.store(self.bytes() + bytes, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_that_is_not_there() {
        let room = Room::of(10);
        let same = room.clone();
        room.take(7).unwrap();
        assert_eq!(same.take(4).unwrap_err().kind(), io::ErrorKind::OutOfMemory);
        same.take(3).unwrap();
        room.give_back(4);
        assert_eq!((room.bytes(), same.bytes()), (4, 4));
    }
}
