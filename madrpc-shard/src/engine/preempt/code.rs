//! Where code lies, and in which of it a lane may be stopped.
//!
//! What runs in [`stoppable`](super::stoppable) is the engine, in this program's text, and what the engine calls. Of the C library
//! that is, besides functions which only look and copy, some that take locks (`malloc` for long numbers, `localtime`): in
//! those nobody is stopped. A library's table of symbols may be gone, so functions are found by the tables that it needs
//! for unwinding.

use std::ffi::{c_int, c_void};
use std::ops::Range;

/// Functions of the C library that call nothing and hold nothing.
const LEAVES: usize = 7;

pub(super) struct Code {
    program: Range<usize>,
    /// The library of mathematical functions, which hold nothing either.
    mathematics: Range<usize>,
    leaves: [Range<usize>; LEAVES],
}

impl Code {
    /// # Errors
    /// In words, what is not as it is expected.
    pub(super) fn find() -> Result<Self, String> {
        if !cfg!(all(target_arch = "x86_64", target_env = "gnu")) {
            return Err("it is built for x86-64 and the GNU C library only".to_owned());
        }
        let program = text_of(Self::find as *const () as usize)?;
        if program.contains(&(libc::malloc as *const () as usize)) {
            return Err("the C library is part of the program".to_owned());
        }
        let leaves = [
            libc::memcpy as *const (),
            libc::memmove as *const (),
            libc::memset as *const (),
            libc::memcmp as *const (),
            libc::memchr as *const (),
            libc::strlen as *const (),
            libc::strcmp as *const (),
        ];
        let mut found = [const { 0..0 }; LEAVES];
        for (leaf, found) in leaves.into_iter().zip(&mut found) {
            *found = function_at(leaf as usize)?;
        }
        Ok(Self {
            program,
            mathematics: text_of(pow as *const () as usize)?,
            leaves: found,
        })
    }

    /// Whether nothing is held where the processor is, if that is in a script. `top` is what lies on the top of the stack.
    pub(super) fn holds_nothing(&self, at: usize, top: usize) -> bool {
        // A leaf moves nothing there, so it is where it was called from.
        let is_leaf = || self.leaves.iter().any(|leaf| leaf.contains(&at));
        self.program.contains(&at)
            || self.mathematics.contains(&at)
            || is_leaf() && self.program.contains(&top)
    }
}

unsafe extern "C" {
    fn pow(base: f64, exponent: f64) -> f64;

    /// Of libgcc_s, by which Rust unwinds too: the entry for the function at this address (libgcc's unwind-dw2-fde.h).
    fn _Unwind_Find_FDE(at: *const c_void, bases: *mut Bases) -> *const u8;
}

/// `struct dwarf_eh_bases`.
#[repr(C)]
struct Bases {
    text: *const c_void,
    data: *const c_void,
    function: *const c_void,
}

/// The bounds of the function that is there.
fn function_at(address: usize) -> Result<Range<usize>, String> {
    let unknown = || "the C library's functions cannot be told apart".to_owned();
    let mut bases = Bases {
        text: std::ptr::null(),
        data: std::ptr::null(),
        function: std::ptr::null(),
    };
    // SAFETY: it looks the address up in tables that are loaded, and gives null where it is in none.
    let entry = unsafe { _Unwind_Find_FDE(address as *const c_void, &raw mut bases) };
    if entry.is_null() {
        return Err(unknown());
    }
    // An entry begins with two words about itself; its function follows, as a distance from that place, and the length.
    // SAFETY: every entry has four words at the least.
    let (distance, length) = unsafe {
        let words = entry.cast::<u32>();
        (words.add(2).read_unaligned(), words.add(3).read_unaligned())
    };
    let place = entry.addr() + 8;
    let begin = place.wrapping_add_signed(distance.cast_signed() as isize);
    let function = begin..begin.wrapping_add(length as usize);
    // In another encoding it would be another place.
    match begin == bases.function.addr() && function.contains(&address) {
        true => Ok(function),
        false => Err(unknown()),
    }
}

/// The code of the program or the library that has this address.
fn text_of(address: usize) -> Result<Range<usize>, String> {
    struct Search {
        address: usize,
        found: Option<Range<usize>>,
    }
    unsafe extern "C" fn look(
        object: *mut libc::dl_phdr_info,
        _: usize,
        search: *mut c_void,
    ) -> c_int {
        // SAFETY: both are as `dl_iterate_phdr` promises, and as `text_of` passes it.
        let (object, search) = unsafe { (&*object, &mut *search.cast::<Search>()) };
        for at in 0..usize::from(object.dlpi_phnum) {
            // SAFETY: there are so many.
            let part = unsafe { &*object.dlpi_phdr.add(at) };
            let begin = (object.dlpi_addr + part.p_vaddr) as usize;
            let text = begin..begin + part.p_memsz as usize;
            if part.p_type == libc::PT_LOAD
                && part.p_flags & libc::PF_X != 0
                && text.contains(&search.address)
            {
                search.found = Some(text);
            }
        }
        0
    }
    let mut search = Search {
        address,
        found: None,
    };
    // SAFETY: it calls `look` with what it is given, before it returns.
    unsafe { libc::dl_iterate_phdr(Some(look), (&raw mut search).cast()) };
    search
        .found
        .ok_or_else(|| "the program's code cannot be found".to_owned())
}

#[cfg(test)]
#[cfg(all(target_arch = "x86_64", target_env = "gnu"))]
mod tests {
    use super::*;

    #[test]
    fn code_is_told_apart_by_where_it_lies() {
        let code = Code::find().unwrap();
        let here = Code::find as *const () as usize;
        let copying = libc::memcpy as *const () as usize;
        let allocating = libc::malloc as *const () as usize;
        assert!(code.holds_nothing(here, 0));
        assert!(code.holds_nothing(pow as *const () as usize, 0));
        assert!(code.holds_nothing(copying, here));
        assert!(code.holds_nothing(copying + 8, here));
        // Called by the C library itself, which may hold a lock meanwhile.
        assert!(!code.holds_nothing(copying, allocating));
        assert!(!code.holds_nothing(allocating, here));
        assert!(!code.holds_nothing(0, here));
        for leaf in &code.leaves {
            assert!((1..65_536).contains(&leaf.len()), "{leaf:x?}");
        }
    }
}
