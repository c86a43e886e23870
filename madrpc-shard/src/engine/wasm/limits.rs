//! Bounds that no setting changes, with what goes wrong beyond them.

/// The bytes of a module. A compiler takes a second or more for each MiB.
pub(super) const MODULE_MAX_BYTES: usize = 8 << 20;

/// The most that a memory can have: the engine's buffers end at 2 GiB.
pub(super) const MEMORY_MAX_PAGES: u32 = (1 << 15) - 1;
pub(super) const PAGE_BYTES: usize = 64 << 10;

/// Memories of the whole process, each with two of the 65,530 mappings that one may have and 2 GiB of address space.
pub(super) const MEMORIES_MAX: usize = 8192;

/// The elements of a table: to fill it is one step, which must not take long.
pub(super) const TABLE_MAX_ELEMENTS: u32 = 1_000_000;

/// Modules of one lane, and how many may come by calls until it is renewed.
pub(super) const LANE_MODULES_MAX: usize = 256;
pub(super) const LANE_MODULES_KEPT: usize = 16;

/// Modules in use in the process, each with two mappings or three, and the bytes that they take.
pub(super) const MODULES_MAX: usize = 4096;
pub(super) const MODULES_MAX_BYTES: usize = 1 << 30;

/// Those that are kept for whoever compiles them again.
pub(super) const CACHED_MAX: usize = 256;
pub(super) const CACHED_MAX_BYTES: usize = 256 << 20;

/// Instances, memories and tables of one lane.
pub(super) const INSTANCES_MAX: usize = 4096;

/// How deep calls of exports may nest by way of imports: each has a stack.
pub(super) const NESTED_MAX: usize = 32;

/// What WebAssembly's frames may take of its stack, and what functions of the host may take beyond that.
pub(super) const STACK_BYTES: usize = 512 << 10;
pub(super) const HOST_STACK_BYTES: usize = 256 << 10;

/// What a lane with instances is taken to hold beside its memories: the store, and what is usually in use of its stack.
pub(super) const STORE_BYTES: usize = 64 << 10;

/// After so many instructions the lane looks at the clock: a fifth of a millisecond at the most.
pub(super) const LOOK_EVERY_FUEL: u64 = 100_000;

/// The same after so many calls of exports and imports.
pub(super) const LOOK_EVERY_CALLS: u32 = 256;

/// Bytes that are filled or copied in one step.
pub(super) const BULK_STEP_BYTES: u32 = 256 << 10;

const _: () = assert!((MEMORY_MAX_PAGES as usize) * PAGE_BYTES <= i32::MAX as usize);
