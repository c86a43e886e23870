//! The one engine of the process, and where it has code from.
//!
//! No signal handler is wasmtime's: bounds and divisors are checked in the code. That leaves the handlers alone that this process
//! has, and a memory takes as much address space as it may grow to, without guards. It has a price: a loop over arrays takes a third
//! longer (matmul 256: 49 ms, and 35 by signals). To count fuel costs more (18.6 ms without), and is how the lane keeps the core from
//! it; an epoch would cost the same, and need a clock that ticks.

use super::limits::{HOST_STACK_BYTES, STACK_BYTES};
use super::memory::Memories;
use madrpc_kernels::{sealed_code, synchronise_code};
use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, OnceLock};
use wasmtime::{Config, CustomCodeMemory, Engine, OperatorCost};

/// It, or in words why there is none on this machine.
pub(super) fn engine() -> Result<&'static Engine, &'static str> {
    static ENGINE: OnceLock<Result<Engine, String>> = OnceLock::new();
    let engine = ENGINE.get_or_init(|| {
        Engine::new(&configuration()).map_err(|error| error.root_cause().to_string())
    });
    engine.as_ref().map_err(String::as_str)
}

fn configuration() -> Config {
    let mut config = Config::new();
    config.signals_based_traps(false);
    config.with_custom_code_memory(Some(Arc::new(Sealed)));
    config.with_host_memory(Arc::new(Memories));
    config.memory_may_move(false);
    config.memory_guard_size(0);
    config.guard_before_linear_memory(false);
    config.memory_init_cow(false);
    config.consume_fuel(true);
    config.operator_cost(costs());
    config.max_wasm_stack(STACK_BYTES);
    config.async_stack_size(STACK_BYTES + HOST_STACK_BYTES);
    config.wasm_memory64(false);
    // What would say where a trap was; each module would be a third larger, and to register it would lock others out.
    config.wasm_backtrace_max_frames(None);
    config.generate_address_map(false);
    config.native_unwind_info(false);
    config
}

/// Instructions that take longer than most, for which the lane would look at the clock too late.
fn costs() -> OperatorCost {
    let mut costs = OperatorCost::new();
    costs.MemoryGrow = 255;
    costs.TableGrow = 255;
    costs.I64DivS = 10;
    costs.I64DivU = 10;
    costs.I64RemS = 10;
    costs.I64RemU = 10;
    costs
}

/// Code in files that only memory has: sealed, then mapped in the place of what was written.
struct Sealed;

impl CustomCodeMemory for Sealed {
    fn required_alignment(&self) -> usize {
        // SAFETY: it only asks.
        let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
        usize::try_from(page).unwrap_or(4096)
    }

    fn publish_executable(&self, start: *const u8, length: usize) -> wasmtime::Result<()> {
        // A module without functions has no code.
        if length == 0 {
            return Ok(());
        }
        // SAFETY: it is wasmtime's, which has written it.
        let file = sealed_code(unsafe { std::slice::from_raw_parts(start, length) })?;
        let protection = libc::PROT_READ | libc::PROT_EXEC;
        put(
            start,
            length,
            protection,
            libc::MAP_PRIVATE,
            file.as_raw_fd(),
        )?;
        synchronise_code();
        Ok(())
    }

    fn unpublish_executable(&self, start: *const u8, length: usize) -> wasmtime::Result<()> {
        if length == 0 {
            return Ok(());
        }
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        Ok(put(start, length, protection, flags, -1)?)
    }
}

/// Maps something in the place of whole pages of wasmtime's, none of which is used meanwhile.
fn put(start: *const u8, length: usize, protection: i32, flags: i32, file: i32) -> io::Result<()> {
    let place = start.cast_mut().cast();
    // SAFETY: the pages are wasmtime's, which says what they are to be.
    let put = unsafe { libc::mmap(place, length, protection, flags | libc::MAP_FIXED, file, 0) };
    match put == libc::MAP_FAILED {
        true => Err(io::Error::last_os_error()),
        false => Ok(()),
    }
}
