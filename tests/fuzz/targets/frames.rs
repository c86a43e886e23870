//! `madrpc_fuzz::frames`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| madrpc_fuzz::frames::run(input));
