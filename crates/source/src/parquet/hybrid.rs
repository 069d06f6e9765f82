//! Small integers as Parquet packs them: runs of one value, and runs of values of a few bits each.

use super::{Broken, PADDING_BYTES};
use std::ops::Range;

/// A reader of integers of at most 32 bits in the hybrid of run lengths and packed bits, which lie
/// somewhere in a page.
#[derive(Debug, Clone)]
pub(super) struct Hybrid {
    /// Where in the page the next run begins, and the last ends.
    place: Range<usize>,
    /// Bits of each value.
    width: usize,
    run: Run,
}

/// What is left of a run.
#[derive(Debug, Clone, Copy)]
enum Run {
    Repeated {
        value: u32,
        left: usize,
    },
    Packed {
        /// Where in the page the run's bytes begin.
        start: usize,
        /// Values of it that were read.
        read: usize,
        left: usize,
    },
}

/// A window of bytes, which holds a value of 32 bits wherever in a byte it begins.
const WINDOW_BYTES: usize = 8;

const _: () = assert!(WINDOW_BYTES <= PADDING_BYTES, "a window may reach behind the last value");

impl Hybrid {
    /// A reader of values of `width` bits each.
    pub(super) fn new(place: Range<usize>, width: u8) -> Result<Self, Broken> {
        if width > 32 {
            return Err(Broken(format!("values of {width} bits")));
        }
        let run = Run::Repeated { value: 0, left: 0 };
        Ok(Self { place, width: usize::from(width), run })
    }

    /// Fills `out` with the next values. `page` has padding behind them.
    pub(super) fn read(&mut self, page: &[u8], mut out: &mut [u32]) -> Result<(), Broken> {
        while !out.is_empty() {
            let (Run::Repeated { left, .. } | Run::Packed { left, .. }) = self.run;
            if left == 0 {
                self.run = self.next_run(page)?;
                continue;
            }
            let (now, later) = out.split_at_mut(out.len().min(left));
            match &mut self.run {
                Run::Repeated { value, left } => {
                    now.fill(*value);
                    *left -= now.len();
                }
                Run::Packed { start, read, left } => {
                    unpack(&page[*start..], self.width, *read, now);
                    *read += now.len();
                    *left -= now.len();
                }
            }
            out = later;
        }
        Ok(())
    }

    fn next_run(&mut self, page: &[u8]) -> Result<Run, Broken> {
        let header = self.varint(page)?;
        let count = usize::try_from(header >> 1).unwrap_or(usize::MAX);
        if header & 1 == 0 {
            return Ok(Run::Repeated { value: self.repeated(page)?, left: count });
        }
        // Packed values come by eights. Whoever writes them may leave out the end of the last bytes.
        let start = self.place.start;
        let length = count.saturating_mul(self.width).min(self.place.len());
        self.place.start += length;
        let count = count.saturating_mul(8);
        let left = count.min((length * 8).checked_div(self.width).unwrap_or(count));
        if left == 0 && count > 0 {
            return Err(ends_too_early());
        }
        Ok(Run::Packed { start, read: 0, left })
    }

    /// The value of a run of one value.
    fn repeated(&mut self, page: &[u8]) -> Result<u32, Broken> {
        let mut value = [0; 4];
        for byte in &mut value[..self.width.div_ceil(8)] {
            *byte = self.byte(page)?;
        }
        let value = u32::from_le_bytes(value);
        if self.width < 32 && value >> self.width != 0 {
            return Err(Broken(format!("a value of more than {} bits", self.width)));
        }
        Ok(value)
    }

    fn varint(&mut self, page: &[u8]) -> Result<u64, Broken> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte(page)?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Broken("a run's length of too many bytes".to_owned()))
    }

    fn byte(&mut self, page: &[u8]) -> Result<u8, Broken> {
        let at = self.place.next().ok_or_else(ends_too_early)?;
        Ok(page[at])
    }
}

fn ends_too_early() -> Broken {
    Broken("its values end too early".to_owned())
}

/// Takes the values from number `first` on. Behind them there is padding.
fn unpack(bytes: &[u8], width: usize, first: usize, out: &mut [u32]) {
    if width == 0 {
        return out.fill(0);
    }
    // Eights begin with a byte.
    let lone = (first.next_multiple_of(8) - first).min(out.len());
    let (lone, eights) = out.split_at_mut(lone);
    let (first_of_eights, at) = (first + lone.len(), (first + lone.len()) / 8 * width);
    let (eights, rest) = eights.as_chunks_mut::<8>();
    for (number, value) in (first..).zip(lone) {
        *value = packed(bytes, number * width, width);
    }
    let first_of_rest = first_of_eights + 8 * eights.len();
    match width {
        1..=16 => unpack_narrow(&bytes[at..], width, eights),
        _ => {
            for (number, value) in (first_of_eights..).zip(eights.as_flattened_mut()) {
                *value = packed(bytes, number * width, width);
            }
        }
    }
    for (number, value) in (first_of_rest..).zip(rest) {
        *value = packed(bytes, number * width, width);
    }
}

/// Eights of values of at most 16 bits, of which a window holds four.
#[expect(clippy::cast_possible_truncation, reason = "a value has at most 16 bits")]
fn unpack_narrow(bytes: &[u8], width: usize, eights: &mut [[u32; 8]]) {
    let mask = (1_u64 << width) - 1;
    let (half, shift) = (4 * width / 8, 4 * width % 8);
    let mut at = 0;
    for eight in eights {
        let windows = [window(bytes, at), window(bytes, at + half) >> shift];
        let (first, second) = eight.split_at_mut(4);
        for (number, (one, other)) in first.iter_mut().zip(second).enumerate() {
            *one = ((windows[0] >> (number * width)) & mask) as u32;
            *other = ((windows[1] >> (number * width)) & mask) as u32;
        }
        at += width;
    }
}

/// The `width` bits from `bit` on.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "a value has at most 32 bits")]
fn packed(bytes: &[u8], bit: usize, width: usize) -> u32 {
    ((window(bytes, bit / 8) >> (bit % 8)) & ((1 << width) - 1)) as u32
}

#[inline(always)]
fn window(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + WINDOW_BYTES].try_into().expect("a window of as many bytes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn packed_bytes(values: &[u32], width: usize) -> Vec<u8> {
        let mut bytes = vec![0; values.len().div_ceil(8) * width];
        for (number, value) in values.iter().enumerate() {
            for bit in (0..width).filter(|bit| value >> bit & 1 == 1) {
                let at = number * width + bit;
                bytes[at / 8] |= 1 << (at % 8);
            }
        }
        bytes
    }

    /// The values that lie behind three other bytes of a page.
    fn read(bytes: Vec<u8>, width: u8, steps: &[usize]) -> Result<Vec<u32>, String> {
        let page = [&[0xFF; 3], &bytes[..], &[0xFF; PADDING_BYTES]].concat();
        let mut hybrid = Hybrid::new(3..3 + bytes.len(), width).map_err(|broken| broken.0)?;
        let mut all = Vec::new();
        for step in steps {
            let mut some = vec![7; *step];
            hybrid.read(&page, &mut some).map_err(|broken| broken.0)?;
            all.extend(some);
        }
        Ok(all)
    }

    #[test]
    fn runs_of_every_width_read_back_in_any_steps() {
        for width in 0..=32_u8 {
            let mask = if width == 32 { u32::MAX } else { (1 << width) - 1 };
            let values: Vec<u32> = (0..48_u32).map(|n| n.wrapping_mul(2_654_435_761) & mask).collect();
            let repeated = 0xAAAA_AAAA & mask;
            let mut bytes = vec![(6 << 1) | 1];
            bytes.extend(packed_bytes(&values, usize::from(width)));
            bytes.extend([200, 1]);
            bytes.extend(&repeated.to_le_bytes()[..usize::from(width).div_ceil(8)]);
            let expected: Vec<u32> = values.iter().copied().chain([repeated; 100]).collect();
            for steps in [vec![148], vec![1; 148], vec![3, 45, 0, 99, 1], vec![47, 101]] {
                assert_eq!(read(bytes.clone(), width, &steps).unwrap(), expected, "{width} bits");
            }
        }
    }

    #[test]
    fn what_is_not_there_is_an_error_and_no_panic() {
        let early = Err("its values end too early".to_owned());
        assert_eq!(read(vec![], 3, &[1]), early);
        assert_eq!(read(vec![3], 3, &[1]), early);
        assert_eq!(read(vec![4], 3, &[1]), early);
        assert_eq!(read(vec![3, 0xFF], 3, &[2]), Ok(vec![7, 7]));
        assert_eq!(read(vec![3, 0xFF], 3, &[3]), early);
        assert_eq!(read(vec![4, 8], 3, &[2]), Err("a value of more than 3 bits".to_owned()));
        assert_eq!(read(vec![0xFF; 12], 3, &[1]), Err("a run's length of too many bytes".to_owned()));
        assert_eq!(read(vec![], 33, &[]), Err("values of 33 bits".to_owned()));
        let most = [0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1, 5];
        assert_eq!(read(most.to_vec(), 3, &[2]), Ok(vec![5, 5]));
        assert_eq!(read(vec![0; 100], 3, &[1]), early, "runs of nothing");
    }
}
