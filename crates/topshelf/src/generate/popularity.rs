//! Random streams, and what is drawn from them with unequal chances.
//!
//! Only operations whose results IEEE 754 fixes (no `powf`, no `ln`) touch a number that decides a byte,
//! so a seed means the same logs on every machine.

use rand_xoshiro::{SplitMix64, Xoshiro256PlusPlus, rand_core::RngCore, rand_core::SeedableRng};

/// The generator of every draw. It is named, not a library's "small" or "standard" one: those may
/// become another algorithm in a later version, and then a seed would mean other logs.
pub(super) type Stream = Xoshiro256PlusPlus;

/// The random stream that belongs to `key`; streams of different keys are unrelated.
pub(super) fn stream(key: [u64; 4]) -> Stream {
    let folded = key.into_iter().fold(0, |state, word| SplitMix64::seed_from_u64(state ^ word).next_u64());
    Stream::seed_from_u64(folded)
}

/// A number below `bound` made of 32 random bits, all nearly alike (Lemire 2019, without rejection:
/// the bias is below `bound` ÷ 2³²).
pub(super) fn below(bound: u32, bits: u32) -> u32 {
    ((u64::from(bound) * u64::from(bits)) >> 32) as u32
}

/// Draws ranks from 0 with chances proportional to 1 ÷ (rank + 1), Zipf's law with exponent 1.
///
/// Walker's alias method as Vose (1991) builds it: a draw costs one look into a table.
#[derive(Debug)]
pub(super) struct Zipf {
    /// A slot keeps the draw when the draw's low bits are at most this.
    keep: Vec<u32>,
    alias: Vec<u32>,
}

impl Zipf {
    /// Ranks below `ranks`, which is at least 1.
    pub(super) fn new(ranks: u32) -> Self {
        let weight = |rank: u32| 1.0 / (f64::from(rank) + 1.0);
        let total: f64 = (0..ranks).map(weight).sum();
        let mut share: Vec<f64> = (0..ranks).map(|rank| weight(rank) * f64::from(ranks) / total).collect();
        let mut keep = vec![u32::MAX; ranks as usize];
        let mut alias: Vec<u32> = (0..ranks).collect();
        let (mut small, mut large): (Vec<u32>, Vec<u32>) =
            (0..ranks).partition(|rank| share[*rank as usize] < 1.0);
        while let (Some(poor), Some(rich)) = (small.pop(), large.last().copied()) {
            let (poor, rich_at) = (poor as usize, rich as usize);
            keep[poor] = (share[poor] * f64::from(u32::MAX)) as u32;
            alias[poor] = rich;
            share[rich_at] -= 1.0 - share[poor];
            if share[rich_at] < 1.0 {
                large.pop();
                small.push(rich);
            }
        }
        Self { keep, alias }
    }

    /// The rank that 64 random bits stand for.
    pub(super) fn rank(&self, bits: u64) -> u32 {
        let slot = below(self.keep.len() as u32, (bits >> 32) as u32);
        if bits as u32 <= self.keep[slot as usize] { slot } else { self.alias[slot as usize] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_rank_is_drawn_as_often_as_zipf_says() {
        let (zipf, mut stream, draws) = (Zipf::new(4), stream([1, 2, 3, 4]), 120_000);
        let mut drawn = [0u32; 4];
        for _ in 0..draws {
            drawn[zipf.rank(stream.next_u64()) as usize] += 1;
        }
        // 1, 1/2, 1/3, 1/4 of 25/12.
        for (rank, share) in [0.48, 0.24, 0.16, 0.12].into_iter().enumerate() {
            let expected = share * f64::from(draws);
            assert!((f64::from(drawn[rank]) - expected).abs() < expected * 0.05, "{drawn:?}");
        }
    }

    #[test]
    fn streams_differ_by_every_word_of_their_key() {
        let first = |key| stream(key).next_u64();
        let all = [[0; 4], [1, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1], [1, 1, 0, 0]];
        let distinct: std::collections::HashSet<_> = all.map(first).into_iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
