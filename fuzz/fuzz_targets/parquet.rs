//! Parquet objects, sound and spoilt.
#![no_main]

#[allow(dead_code, reason = "some of it is for the tests that share it")]
#[path = "../../crates/source/tests/source/parquet/sheets/mod.rs"]
mod sheets;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sheets::case::check(bytes));
