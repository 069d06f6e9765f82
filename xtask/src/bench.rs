//! `cargo xtask bench`: how fast topshelf counts and serves beside others and its floor, and as its work grows.
//!
//! What is measured is always the release build, on logs that `topshelf generate` makes again from a
//! seed. `benches/README.md` tells how to read and repeat it.

mod contender;
mod count;
mod floor;
mod growth;
mod image;
mod logs;
mod machine;
mod measure;
mod memory;
mod micro;
mod page;
mod peers;
mod report;
mod runs;
mod s3;
mod scale;
mod serve;
mod serve_size;

use crate::{
    Failure,
    repository::{cargo, succeed},
    say,
};

/// What to measure.
#[derive(clap::Subcommand)]
pub(crate) enum Bench {
    /// Measure a whole night beside DuckDB, Polars, chDB, DataFusion and pandas, and counting beside its floor
    Count(count::Options),
    /// Measure a whole night as rows, groups and threads grow
    Growth(growth::Options),
    /// Measure the image: its size, how soon it serves, how much memory it takes
    Image(image::Options),
    /// Count far more products than fit in a memory limit, and check that all is exact and the limit kept
    Memory(memory::Options),
    /// Measure the steps of counting and ranking one at a time
    Micro(micro::Options),
    /// Measure counting from a bucket beside a plain download of it
    S3(s3::Options),
    /// Measure counting on a cluster beside Spark and DuckDB, and tell what far larger days would take
    Scale(scale::Options),
    /// Measure the server beside a constant, and beside servers that read PostgreSQL on each request
    Serve(serve::Options),
    /// Measure the server as what is published grows: loading, memory, throughput, a new publication
    ServeSize(serve_size::Options),
}

/// Measures, prints and, when asked to, writes into the documentation.
pub(crate) fn run(bench: &Bench) -> Result<(), Failure> {
    match bench {
        Bench::Count(options) => count::run(options),
        Bench::Growth(options) => growth::run(options),
        Bench::Image(options) => image::run(options),
        Bench::Memory(options) => memory::run(options),
        Bench::Micro(options) => micro::run(options),
        Bench::S3(options) => s3::run(options),
        Bench::Scale(options) => scale::run(options),
        Bench::Serve(options) => serve::run(options),
        Bench::ServeSize(options) => serve_size::run(options),
    }
}

/// Builds what is measured.
fn build_release() -> Result<(), Failure> {
    say("building the release binary");
    succeed(&mut cargo(&["build", "--release", "--package", "topshelf", "--bin", "topshelf"]))
}

/// A duration in seconds, as people read it.
fn seconds(duration: std::time::Duration) -> f64 {
    duration.as_secs_f64()
}

/// Bytes in units of 10⁹, as people read them.
#[expect(clippy::cast_precision_loss, reason = "people read three digits of it")]
fn gigabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e9
}

/// A number with commas between groups of three digits.
fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<_> = digits.as_bytes().rchunks(3).rev().map(String::from_utf8_lossy).collect();
    groups.join(",")
}

/// The middle value; of an even number the higher of the two in the middle.
fn median<T: PartialOrd>(values: impl Iterator<Item = T>) -> Option<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_by(|left, right| left.partial_cmp(right).expect("what is measured is ordered"));
    let middle = values.len() / 2;
    values.into_iter().nth(middle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped() {
        assert_eq!([thousands(7), thousands(1_000), thousands(40_000_000)], ["7", "1,000", "40,000,000"]);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median([3.0, 1.0, 2.0].into_iter()), Some(2.0));
        assert_eq!(median([4, 1, 3, 2].into_iter()), Some(3));
        assert_eq!(median([0; 0].into_iter()), None);
    }
}
