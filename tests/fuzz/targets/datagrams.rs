//! `madrpc_fuzz::datagrams`, for libFuzzer.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| madrpc_fuzz::datagrams::run(input));
