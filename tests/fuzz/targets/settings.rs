//! `madrpc_fuzz::settings`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| madrpc_fuzz::settings::run(input));
