//! Up to 16 bytes of a field as two integers.

/// The first 16 bytes of a field, zero-padded, in memory order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
#[repr(C)]
pub(crate) struct Bytes16 {
    pub(crate) low: u64,
    pub(crate) high: u64,
}

const MASKS: [Bytes16; 17] = {
    let mut masks = [Bytes16::MIN; 17];
    let mut length = 0;
    while length <= 16 {
        let low = if length >= 8 { u64::MAX } else { (1 << (8 * length)) - 1 };
        let high = match length {
            0..=8 => 0,
            16 => u64::MAX,
            _ => (1 << (8 * (length - 8))) - 1,
        };
        masks[length] = Bytes16 { low, high };
        length += 1;
    }
    masks
};

impl Bytes16 {
    pub(crate) const MIN: Self = Self { low: 0, high: 0 };
    pub(crate) const MAX: Self = Self { low: u64::MAX, high: u64::MAX };

    /// At most the first 16 bytes of `field`, whatever lies behind it in memory.
    pub(crate) fn of(field: &[u8]) -> Self {
        let mut padded = [0; 16];
        let length = field.len().min(16);
        padded[..length].copy_from_slice(&field[..length]);
        Self::of_array(padded)
    }

    pub(crate) const fn of_array(bytes: [u8; 16]) -> Self {
        Self::from_u128(u128::from_le_bytes(bytes))
    }

    #[expect(clippy::cast_possible_truncation, reason = "the two halves of the value")]
    const fn from_u128(value: u128) -> Self {
        Self { low: value as u64, high: (value >> 64) as u64 }
    }

    /// All bits of the first `length` (0–16) bytes.
    #[inline(always)]
    pub(crate) fn mask(length: usize) -> Self {
        MASKS[length]
    }

    /// The bytes that a mask leaves.
    #[inline(always)]
    pub(crate) fn masked(self, mask: Self) -> Self {
        Self { low: self.low & mask.low, high: self.high & mask.high }
    }

    /// Bytes in memory order as one big-endian integer: compares as the bytes do.
    pub(crate) fn sort_key(self) -> u128 {
        (u128::from(self.low.swap_bytes()) << 64) | u128::from(self.high.swap_bytes())
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
    fn sort_keys_order_as_bytes() {
        let key = |text: &str| Bytes16::of(text.as_bytes()).sort_key();
        assert!(key("a") < key("ab"));
        assert!(key("ab") < key("b"));
        assert!(key("z") < key("é"));
    }
}
