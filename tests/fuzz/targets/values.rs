//! `madrpc_fuzz::values`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| madrpc_fuzz::values::run(input));
