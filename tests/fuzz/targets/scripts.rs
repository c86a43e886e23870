//! `madrpc_fuzz::scripts`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| madrpc_fuzz::scripts::run(input));
