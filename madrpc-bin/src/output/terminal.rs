//! The terminal as it was: whoever reads keys changes its ways, and a process may end meanwhile.

use nix::sys::termios::{
    ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, tcgetattr, tcsetattr,
};
use std::io::stdin;
use std::sync::OnceLock;

/// Its ways. The library's own type cannot be shared.
struct Ways {
    input: InputFlags,
    output: OutputFlags,
    control: ControlFlags,
    local: LocalFlags,
    characters: Vec<u8>,
}

static WAYS: OnceLock<Ways> = OnceLock::new();

/// Has the terminal be as it is now when the process ends.
pub(crate) fn keep_terminal() {
    if let Ok(now) = tcgetattr(stdin()) {
        WAYS.get_or_init(|| Ways {
            input: now.input_flags,
            output: now.output_flags,
            control: now.control_flags,
            local: now.local_flags,
            characters: now.control_chars.to_vec(),
        });
    }
}

/// The process ends.
pub(super) fn give_back() {
    if let Some(ways) = WAYS.get()
        && let Ok(mut now) = tcgetattr(stdin())
    {
        now.input_flags = ways.input;
        now.output_flags = ways.output;
        now.control_flags = ways.control;
        now.local_flags = ways.local;
        for (character, kept) in now.control_chars.iter_mut().zip(&ways.characters) {
            *character = *kept;
        }
        // It may have gone.
        let _ = tcsetattr(stdin(), SetArg::TCSANOW, &now);
    }
}
