//! The target `go-index` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dagstore_fuzz::go_index(input));
