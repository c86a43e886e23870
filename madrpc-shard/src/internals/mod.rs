//! What lies behind the interface, for the benches and the fuzzing of this repository. No promise: it changes with any commit,
//! and no program needs it.
