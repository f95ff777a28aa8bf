//! The target `record` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dagstore_fuzz::record(input));
