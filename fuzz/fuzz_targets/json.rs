//! Logs of JSON lines, counted and read naively.
#![no_main]

#[allow(dead_code, reason = "some of it is for the tests that share it")]
#[path = "../../crates/counting/tests/count/readings/mod.rs"]
mod readings;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| readings::case::check(bytes, &readings::case::JSON_LINES));
