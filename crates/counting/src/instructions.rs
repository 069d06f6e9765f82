//! Which of the processor's instructions the hot loop uses.

/// Which of the processor's instructions counting uses; what is counted is the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Instructions {
    /// The widest that the processor is found to have.
    #[default]
    Best,
    /// Those that every processor of its kind has, without vectors of our own.
    Portable,
}

impl Instructions {
    /// Whether AVX2 and the instructions on bits that came with it are to be used.
    #[cfg(target_arch = "x86_64")]
    pub(crate) fn use_avx2(self) -> bool {
        self == Self::Best
            && is_x86_feature_detected!("avx2")
            && is_x86_feature_detected!("bmi1")
            && is_x86_feature_detected!("bmi2")
            && is_x86_feature_detected!("popcnt")
            && is_x86_feature_detected!("lzcnt")
    }
}
