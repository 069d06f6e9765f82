//! Random numbers that a seed fixes, on every machine.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub(super) struct Random(u64);

impl Random {
    pub(super) fn of(seed: u64) -> Self {
        Self(seed)
    }

    /// Another stream, which has nothing to do with this one.
    pub(super) fn split(&mut self) -> Self {
        Self(self.next())
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From 0 to below 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits fit")]
    pub(super) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// How long until something happens that happens so often, and without memory; infinite when it never does.
    pub(super) fn until(&mut self, rate: f64) -> f64 {
        let share = self.share();
        if rate > 0.0 { -(1.0 - share).ln() / rate } else { f64::INFINITY }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_is_a_stream() {
        let stream = |seed| {
            let mut random = Random::of(seed);
            [(); 3].map(|()| random.next())
        };
        // The reference's first numbers for seed 1234567.
        assert_eq!(
            stream(1_234_567),
            [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]
        );
        assert_ne!(stream(1), stream(2));
    }

    #[test]
    fn what_happens_so_often_does_so_on_average() {
        let mut random = Random::of(1);
        let mean = (0..100_000).map(|_| random.until(0.25)).sum::<f64>() / 1e5;
        assert!((mean - 4.0).abs() < 0.05, "{mean}");
        assert_eq!(random.until(0.0), f64::INFINITY);
    }
}
