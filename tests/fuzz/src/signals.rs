//! Where the program was that a signal ends. libFuzzer keeps the input and says "deadly signal", which does not say whether a lane, our
//! own code or the fuzzer was at fault.

use std::fmt::Write;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::sync::Once;

const DEADLY: [libc::c_int; 6] = [
    libc::SIGSEGV,
    libc::SIGBUS,
    libc::SIGABRT,
    libc::SIGILL,
    libc::SIGFPE,
    libc::SIGTRAP,
];

/// The lane that overflows its stack has none left for the handler.
const STACK_BYTES: usize = 64 << 10;

/// What was there before, by the place of the signal above.
static mut BEFORE: [Option<libc::sigaction>; DEADLY.len()] = [None; DEADLY.len()];

/// Tells of such a signal before the fuzzer does. Called by the thread that fuzzes, once it is set up.
pub(crate) fn tell() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let stack = Box::leak(Box::new([0_u8; STACK_BYTES]));
        let stack = libc::stack_t {
            ss_sp: stack.as_mut_ptr().cast(),
            ss_flags: 0,
            ss_size: STACK_BYTES,
        };
        // SAFETY: the stack lives for ever; the handler keeps to what a handler may do, and is written before it can run.
        unsafe {
            libc::sigaltstack(&raw const stack, null_mut());
            for (place, signal) in DEADLY.into_iter().enumerate() {
                let mut ours: libc::sigaction = zeroed();
                ours.sa_sigaction = on_signal as *const () as usize;
                ours.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
                let mut before: libc::sigaction = zeroed();
                libc::sigaction(signal, &raw const ours, &raw mut before);
                BEFORE[place] = Some(before);
            }
        }
    });
}

/// A line that needs no memory.
struct Line {
    bytes: [u8; 160],
    length: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let end = self.length + text.len();
        let room = self
            .bytes
            .get_mut(self.length..end)
            .ok_or(std::fmt::Error)?;
        room.copy_from_slice(text.as_bytes());
        self.length = end;
        Ok(())
    }
}

extern "C" fn on_signal(
    signal: libc::c_int,
    info: *mut libc::siginfo_t,
    context: *mut libc::c_void,
) {
    let mut line = Line {
        bytes: [0; 160],
        length: 0,
    };
    // SAFETY: the kernel gives both; what was there before is written before this runs, and only read since.
    unsafe {
        let (code, address) = ((*info).si_code, (*info).si_addr());
        let registers = (*context.cast::<libc::ucontext_t>()).uc_mcontext.gregs;
        let [at, stack] = [libc::REG_RIP, libc::REG_RSP].map(|name| registers[name as usize]);
        let _ = writeln!(
            line,
            "signal {signal}, code {code}, address {address:p}, at {at:#x}, stack {stack:#x}; /proc/self/maps:"
        );
        libc::write(2, line.bytes.as_ptr().cast(), line.length);
        tell_maps();
        let place = DEADLY.iter().position(|deadly| *deadly == signal);
        if let Some(before) = place.and_then(|place| BEFORE[place]) {
            libc::sigaction(signal, &raw const before, null_mut());
        }
    }
    // SAFETY: it comes again once this returns, to whom it went before.
    unsafe { libc::raise(signal) };
}

/// Which file an address is in: the program lies elsewhere each time.
fn tell_maps() {
    let mut bytes = [0_u8; 4096];
    // SAFETY: the buffer is as long as it is said to be.
    unsafe {
        let file = libc::open(c"/proc/self/maps".as_ptr(), libc::O_RDONLY);
        loop {
            let length = libc::read(file, bytes.as_mut_ptr().cast(), bytes.len());
            if length <= 0 {
                break;
            }
            libc::write(2, bytes.as_ptr().cast(), length as usize);
        }
        libc::close(file);
    }
}
