//! Arrays that begin as zeros, in pages of their own that cost nothing until they are written.

use memmap2::{MmapMut, MmapOptions};
use std::{
    io,
    marker::PhantomData,
    ops::{Deref, DerefMut},
};

/// Integers only, so that any bits are a value, zeros too.
///
/// # Safety
/// As just said. Padding is allowed: values are only ever read and written as such.
pub(crate) unsafe trait Plain: Copy {}

/// A fixed number of values, zero at first; in huge pages where the system has them.
#[derive(Debug)]
pub(crate) struct Zeroed<T> {
    memory: MmapMut,
    length: usize,
    values: PhantomData<T>,
}

impl<T: Plain> Zeroed<T> {
    /// So many zeros.
    ///
    /// # Errors
    /// When the system gives no memory.
    pub(crate) fn new(length: usize) -> io::Result<Self> {
        const { assert!(align_of::<T>() <= 4096, "a mapping begins with a page") };
        let bytes = length.checked_mul(size_of::<T>()).ok_or(io::ErrorKind::OutOfMemory)?;
        // Room for the largest table is not memory until it is used, and no claim to any.
        let memory = MmapOptions::new().len(bytes.max(1)).no_reserve_swap().map_anon()?;
        // Fewer misses of the address cache; a system without huge pages says no and loses nothing.
        #[cfg(target_os = "linux")]
        let _ = memory.advise(memmap2::Advice::HugePage);
        Ok(Self { memory, length, values: PhantomData })
    }

    /// So many zeros, or the largest half, quarter, … of them that the system has addresses for.
    ///
    /// # Errors
    /// When it gives none.
    pub(crate) fn up_to(mut length: usize) -> io::Result<Self> {
        loop {
            match Self::new(length) {
                Err(_) if length > 1 => length /= 2,
                made => return made,
            }
        }
    }
}

impl<T: Plain> Deref for Zeroed<T> {
    type Target = [T];

    #[inline(always)]
    fn deref(&self) -> &[T] {
        // SAFETY: the mapping is page-aligned, holds `length` values, of which any bits are one, and
        // lives as long as `self`.
        unsafe { std::slice::from_raw_parts(self.memory.as_ptr().cast(), self.length) }
    }
}

impl<T: Plain> DerefMut for Zeroed<T> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut [T] {
        // SAFETY: as in `deref`, and `&mut self` makes the access exclusive.
        unsafe { std::slice::from_raw_parts_mut(self.memory.as_mut_ptr().cast(), self.length) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // SAFETY: an integer.
    unsafe impl Plain for u32 {}

    #[test]
    fn values_are_zero_until_they_are_written() {
        let mut zeroed = Zeroed::<u32>::new(3000).unwrap();
        zeroed[2999] = 7;
        assert_eq!((zeroed.len(), zeroed.iter().sum::<u32>()), (3000, 7));
        assert!(Zeroed::<u32>::new(0).unwrap().is_empty());
        assert!(Zeroed::<u32>::new(usize::MAX).is_err());
        assert!(Zeroed::<u32>::up_to(usize::MAX).unwrap().len() > 1 << 20);
    }
}
