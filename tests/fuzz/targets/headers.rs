//! `madrpc_fuzz::headers`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| madrpc_fuzz::headers::run(input));
