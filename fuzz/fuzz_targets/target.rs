//! The targets of requests.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| api::fuzzed::check_target(bytes));
