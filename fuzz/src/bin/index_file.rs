//! The target `index-file` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dagstore_fuzz::index_file(input));
