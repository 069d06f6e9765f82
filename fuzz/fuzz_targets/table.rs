//! The counting table beside a map.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| counting::fuzzed::check_table(bytes));
