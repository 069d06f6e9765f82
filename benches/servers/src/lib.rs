//! What `cargo xtask bench serve` and `serve-size` run beside topshelf: two servers to compare it with, a
//! client that keeps its own pace, and a filler of stores. Nothing of it is part of the program.
//!
//! This library is what their programs (`src/bin`) have in common or is worth a test.

pub mod answers;
pub mod latencies;
pub mod listening;
pub mod rankings;
