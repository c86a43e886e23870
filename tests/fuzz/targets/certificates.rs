//! `madrpc_fuzz::certificates`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| madrpc_fuzz::certificates::run(input));
