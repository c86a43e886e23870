//! How large kernels may be.

/// The most bytes of text that a kernel may have.
pub const MAX_TEXT_BYTES: usize = 64 << 10;
/// The most parameters.
pub const MAX_PARAMETERS: usize = 32;
/// How deep statements and expressions may be nested.
pub const MAX_DEPTH: usize = 200;
/// The most operations in a kernel: numbers, names, operators and calls.
pub const MAX_EXPRESSIONS: u32 = 20_000;
/// How deep kernels may call others that they captured.
pub const MAX_CALL_DEPTH: usize = 64;
/// The most variables and parameters in a kernel.
pub const MAX_VARIABLES: usize = 500;
/// The most loops in a kernel.
pub const MAX_LOOPS: u32 = 100;
/// The most operations in all kernels that are compiled together.
pub const MAX_TOGETHER: usize = 50_000;
/// The most steps in which the types of a kernel, and of those that it calls, are found: see [`Budget`].
pub const MAX_STEPS: usize = 8_000_000;
/// The stack that [`Kernel::specialise`](crate::Kernel::specialise) needs, in bytes. [`Kernel::new`](crate::Kernel::new) has one
/// of its own, for the parser.
pub const STACK: usize = 2 << 20;

/// What the inference of types may still cost, for one kernel: [`MAX_STEPS`] of some tens of nanoseconds.
#[derive(Debug)]
pub struct Budget {
    pub(crate) steps: usize,
}

impl Budget {
    /// How many steps are left.
    pub fn steps(&self) -> usize {
        self.steps
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self { steps: MAX_STEPS }
    }
}
