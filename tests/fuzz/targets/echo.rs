//! `madrpc_fuzz::echo`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| madrpc_fuzz::echo::run(input));
