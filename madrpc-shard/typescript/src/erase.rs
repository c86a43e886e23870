//! The way of a text: bounded, parsed, erased.

use crate::eraser::Eraser;
use crate::memory::Memory;
use crate::nesting::bounded;
use crate::refused::{Refusal, Refused};
use oxc_ast_visit::VisitJs;
use oxc_parser::Parser;
use oxc_span::{LabeledSpan, SourceType};

/// What a syntax tree takes at most for each byte of its text, and what a text has at least for what is tried in vain.
const TREE_BYTES_A_BYTE: usize = 160;
const TREE_LEAST_BYTES: usize = 64 << 20;

/// The text without its types: as many bytes, and every line end where it was. A byte order mark has to be gone already.
///
/// # Errors
/// Where it is no TypeScript, has what cannot be erased, is larger than [`TEXT_MAX_BYTES`](crate::TEXT_MAX_BYTES) or too nested.
///
/// # Panics
/// Where the parser gives up: it has a bounded amount of memory, and tries some things in vain. A text that is made for that ends
/// there, and not with the machine's memory; so whoever cannot trust the text has to catch that.
pub fn erase(text: &str) -> Result<String, Refused> {
    bounded(text)
        .and_then(|()| erase_bounded(text))
        .map_err(|refusal| refusal.place_in(text))
}

fn erase_bounded(text: &str) -> Result<String, Refusal> {
    let bytes = TREE_LEAST_BYTES + text.len().saturating_mul(TREE_BYTES_A_BYTE);
    let Some(memory) = Memory::new(bytes) else {
        let what = format!(
            "the system gives no {} MiB of address space to read TypeScript in (ulimit -v): compile it to JavaScript first",
            bytes >> 20
        );
        return Err(Refusal { at: 0, what });
    };
    let source_type = SourceType::ts().with_module(true);
    let parsed = Parser::new(memory.allocator(), text, source_type).parse();
    if let Some(error) = parsed.diagnostics.errors().next() {
        let at = error.labels.first().map_or(0, LabeledSpan::offset);
        let help = error.help.iter().map(|help| format!(": {help}"));
        return Err(Refusal {
            at: at as usize,
            what: format!("{}{}", error.message, help.collect::<String>()),
        });
    }
    let mut eraser = Eraser::new(text);
    eraser.visit_program(&parsed.program);
    eraser.finish()
}

#[cfg(test)]
#[path = "erase_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "bounds_tests.rs"]
mod bounds_tests;
