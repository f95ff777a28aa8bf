//! The target `mount-url` under libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| dagstore_fuzz::mount_url(input));
