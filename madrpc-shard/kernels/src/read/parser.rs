//! The parser calls itself for each level of its text, and does not look how deep it is: it runs on a stack that is enough for
//! whatever a text of this length may have.

use crate::limits::STACK;
use crate::refused::{Reason, Refused};
use crate::text::Text;
use std::panic::resume_unwind;
use std::thread::{Builder, scope};

/// What a byte of the text takes of the stack at the most. A bracket, which is one level, takes 1.6 KiB.
const STACK_BYTES_A_BYTE: usize = 4 << 10;

/// Runs it on a stack for this text. Of that only what is used takes memory.
///
/// # Errors
/// There is no such thread.
pub(super) fn on_large_stack<T: Send>(
    text: &Text,
    work: impl FnOnce() -> Result<T, Refused> + Send,
) -> Result<T, Refused> {
    let bytes = STACK + text.text.len() * STACK_BYTES_A_BYTE;
    let thread = Builder::new().name("kernel-parser".into());
    scope(|scope| {
        // It has what the compiler's thread has given up, too: rights go from a thread to those it starts.
        let started = thread.stack_size(bytes).spawn_scoped(scope, work);
        match started {
            Ok(started) => started.join().unwrap_or_else(|panic| resume_unwind(panic)),
            Err(error) => {
                let what = format!("there is no thread to read it on: {error}");
                let remedy = format!("it needs {} MiB of address space", bytes >> 20);
                Err(text.refuse(Reason::System, 0, what, remedy))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::abi::Place;
    use oxc_allocator::Allocator;
    use oxc_parser::Parser;
    use oxc_span::SourceType;

    /// Though nobody has looked how deep it is: otherwise this test ends with the process.
    #[test]
    fn whatever_a_text_has_there_is_stack_to_parse_it() {
        for level in [
            "(",
            "[",
            "{",
            "!",
            "~",
            "- ",
            "++",
            "a=",
            "a?",
            "a**",
            "a?b:",
            "a:",
            "if(a)",
            "do ",
            "if(a);else ",
            "new ",
            "[a,",
            "a[",
            "a(",
            "a(...",
            "a?.[",
            "({",
            "({a:",
            "({m(){",
            "()=>{",
            "a=>",
            "(function(){",
            "(class{[",
            "class{static{",
            "`${",
            "a&&(",
            "async(",
            "@(",
            "(class{@(",
            "switch(a){case b:",
            "try{}finally{",
            "let[a=",
            "for(",
        ] {
            for head in ["function f(){", "function f(){return ", "function f("] {
                let room = crate::limits::MAX_TEXT_BYTES - head.len();
                let text = format!("{head}{}", level.repeat(room / level.len()));
                let start = Place {
                    file: "a.js".into(),
                    line: 1,
                    column: 1,
                };
                let text = Text::new(&text, start).unwrap();
                let parsed = on_large_stack(&text, || {
                    let allocator = Allocator::default();
                    let parser = Parser::new(&allocator, &text.text, SourceType::mjs());
                    Ok(parser.parse_expression().is_ok())
                });
                assert_eq!(parsed, Ok(false), "{level}");
            }
        }
    }
}
