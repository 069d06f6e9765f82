//! Parquet written by the `parquet` crate and read by ours, for tests and for the fuzz target `parquet`.

pub(crate) mod case;
pub(crate) mod seen;
pub(crate) mod sheet;
