//! `madrpc_fuzz::certificates`, for cargo-fuzz.
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|input: &[u8]| madrpc_fuzz::certificates::run(input));

#[cfg(not(fuzzing))]
fn main() {
    madrpc_fuzz::replay(madrpc_fuzz::certificates::run);
}
