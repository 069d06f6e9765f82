//! Parquet objects: written by the `parquet` crate in many ways, read by ours, whole, spoilt and cut off.

mod damage;
mod read;
mod writer;
