//! `madrpc_fuzz::shard`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| madrpc_fuzz::shard::run(input));
