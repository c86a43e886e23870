//! How large and how nested a text may be, so that the parser's stack is enough: it recurses, and does not look how deep it is.

use crate::code::Code;
use crate::refused::Refusal;

/// The largest text that is read.
pub const TEXT_MAX_BYTES: usize = 1 << 20;

/// How many brackets may be open.
const NESTED_MAX: usize = 1000;

/// What the parser's stack takes at most for each of those, and for each byte that nests without a bracket, as `!` does.
const STACK_BYTES_A_BRACKET: usize = 16 << 10;
const STACK_BYTES_A_BYTE: usize = 1 << 10;

/// What it takes at least.
const STACK_LEAST_BYTES: usize = 1 << 20;

/// The stack that [`erase`](crate::erase()) may need for a text of so many bytes. Only what is used of it takes memory.
#[must_use]
pub fn stack_bytes(text_bytes: usize) -> usize {
    let of_text = text_bytes
        .min(TEXT_MAX_BYTES)
        .saturating_mul(STACK_BYTES_A_BYTE);
    STACK_LEAST_BYTES + NESTED_MAX * STACK_BYTES_A_BRACKET + of_text
}

/// Refuses what the parser would take too much stack for.
pub(crate) fn bounded(text: &str) -> Result<(), Refusal> {
    if text.len() > TEXT_MAX_BYTES {
        let what = format!(
            "it has {} bytes, and TypeScript may have {TEXT_MAX_BYTES}: compile it to JavaScript first",
            text.len()
        );
        return Err(Refusal { at: 0, what });
    }
    // Where what is code is not certain, those in strings and comments count too. Who hides a closing one there needs as many bytes
    // for it as the stack has room for.
    let mut open = 0;
    // How many `<` are open in the innermost bracket, and in each of those around it.
    let (mut angles, mut outer) = (0, Vec::new());
    let byte_at = |at: usize| text.as_bytes().get(at).copied();
    // The second of two that shift. Where they open types after all, as in `f<<T>() => T>()`, the bytes between are worth them.
    let mut shifts_at = None;
    for (at, byte) in Code::new(text) {
        match byte {
            b'<' if shifts_at == Some(at) => {}
            b'<' if byte_at(at + 1) == Some(b'<') => shifts_at = Some(at + 1),
            b'(' | b'[' | b'{' => {
                open += 1;
                outer.push(std::mem::take(&mut angles));
            }
            b')' | b']' | b'}' => {
                if let Some(around) = outer.pop() {
                    open -= angles + 1;
                    angles = around;
                }
            }
            b'<' => {
                open += 1;
                angles += 1;
            }
            b'>' if angles > 0 && byte_at(at.wrapping_sub(1)) != Some(b'=') => {
                open -= 1;
                angles -= 1;
            }
            // Those were comparisons.
            b';' => open -= std::mem::take(&mut angles),
            _ => {}
        }
        if open > NESTED_MAX {
            let what = format!(
                "more than {NESTED_MAX} brackets are open here, of which a < is one up to its >, a ; or the end of those around it"
            );
            return Err(Refusal { at, what });
        }
    }
    Ok(())
}
