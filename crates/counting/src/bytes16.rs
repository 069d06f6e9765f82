//! Up to 16 bytes of a field as two integers, loaded without a loop.

/// Bytes that must be readable past the end of any field handed to [`load`].
pub(crate) const PADDING_BYTES: usize = 16;

/// The first 16 bytes of a field, zero-padded, in memory order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Bytes16 {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

const MASKS: [(u64, u64); 17] = {
    let mut masks = [(0, 0); 17];
    let mut length = 0;
    while length <= 16 {
        let low = if length >= 8 { u64::MAX } else { (1 << (8 * length)) - 1 };
        let high = match length {
            0..=8 => 0,
            16 => u64::MAX,
            _ => (1 << (8 * (length - 8))) - 1,
        };
        masks[length] = (low, high);
        length += 1;
    }
    masks
};

impl Bytes16 {
    /// At most the first 16 bytes of `field`, whatever lies behind it in memory.
    pub(crate) fn of(field: &[u8]) -> Self {
        let mut padded = [0; 16];
        let length = field.len().min(16);
        padded[..length].copy_from_slice(&field[..length]);
        let value = u128::from_le_bytes(padded);
        Self::from_u128(value)
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the value")]
    fn from_u128(value: u128) -> Self {
        Self { low: value as u64, high: (value >> 64) as u64 }
    }

    /// The first `length` (0–16) bytes that begin at `at`; the rest is zero.
    #[inline(always)]
    pub(crate) fn load(buffer: &[u8], at: usize, length: usize) -> Self {
        let window: [u8; 16] = buffer[at..at + 16].try_into().expect("the window has 16 bytes");
        let value = u128::from_le_bytes(window);
        let all = Self::from_u128(value);
        let (low, high) = MASKS[length];
        Self { low: all.low & low, high: all.high & high }
    }

    /// Bytes in memory order as one big-endian integer: compares as the bytes do.
    pub(crate) fn sort_key(self) -> u128 {
        (u128::from(self.low.swap_bytes()) << 64) | u128::from(self.high.swap_bytes())
    }

    /// The 16 bytes in memory order.
    pub(crate) fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.low) | (u128::from(self.high) << 64)).to_le_bytes()
    }
}

/// Multiplies to 128 bits and folds the halves: the mixing step of wyhash (Wang Yi, 2019).
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "folding takes both halves")]
pub(crate) fn fold(left: u64, right: u64) -> u64 {
    let product = u128::from(left) * u128::from(right);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loading_ignores_what_lies_behind_the_field() {
        let buffer = b"abcdefghijklmnopqrstuvwxyz0123456789";
        for length in 0..=16 {
            let loaded = Bytes16::load(buffer, 3, length);
            assert_eq!(loaded, Bytes16::of(&buffer[3..3 + length]), "{length} bytes");
            assert_eq!(&loaded.to_bytes()[..length], &buffer[3..3 + length]);
        }
    }

    #[test]
    fn sort_keys_order_as_bytes() {
        let key = |text: &str| Bytes16::of(text.as_bytes()).sort_key();
        assert!(key("a") < key("ab"));
        assert!(key("ab") < key("b"));
        assert!(key("z") < key("é"));
    }
}
