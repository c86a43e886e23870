//! Text to bytes and back, for `TextEncoder` and `TextDecoder`.

use super::super::preempt::stoppable;
use super::super::values;
use rquickjs::convert::List;
use rquickjs::{Ctx, Exception, TypedArray};

/// `host.encode(text)`: the bytes of a text, which has no lone surrogates.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands arguments over by value"
)]
pub(super) fn encode<'js>(
    ctx: Ctx<'js>,
    text: rquickjs::String<'js>,
) -> rquickjs::Result<TypedArray<'js, u8>> {
    values::with_utf8(text.as_value(), |bytes| {
        stoppable(|| TypedArray::new_copy(ctx, bytes))
    })?
}

/// `host.decode(bytes, fatal, stream, from)`: the text, and how many bytes it is made of. In a stream, a character that the
/// end cuts off is left for the next time. The bytes are few, and there were `from` before them.
///
/// # Errors
/// A `TypeError` where the bytes are not UTF-8 and must be.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands arguments over by value"
)]
pub(super) fn decode<'js>(
    ctx: Ctx<'js>,
    view: TypedArray<'js, u8>,
    is_fatal: bool,
    is_stream: bool,
    from: usize,
) -> rquickjs::Result<List<(String, usize)>> {
    // SAFETY: no JavaScript runs while the bytes are borrowed, so the buffer is neither moved nor detached.
    let bytes = unsafe { view.as_bytes() }.unwrap_or_default();
    let used = if is_stream {
        bytes.len() - cut_off(bytes)
    } else {
        bytes.len()
    };
    let bytes = &bytes[..used];
    if is_fatal && let Err(error) = std::str::from_utf8(bytes) {
        let error = format!(
            "TextDecoder.decode: the byte at {} is no UTF-8",
            from.saturating_add(error.valid_up_to())
        );
        return Err(Exception::throw_type(&ctx, &error));
    }
    Ok(List((String::from_utf8_lossy(bytes).into_owned(), used)))
}

/// How many bytes at the end begin a character that is not complete.
fn cut_off(bytes: &[u8]) -> usize {
    // A character has at most four bytes.
    let from = bytes.len().saturating_sub(3);
    (from..bytes.len())
        .find_map(|at| match std::str::from_utf8(&bytes[at..]) {
            Err(error) if error.valid_up_to() == 0 && error.error_len().is_none() => {
                Some(bytes.len() - at)
            }
            _ => None,
        })
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::cut_off;

    #[test]
    fn only_a_character_that_could_go_on_is_cut_off() {
        for (bytes, cut) in [
            (&b""[..], 0),
            (b"abc", 0),
            (b"ab\xc3", 1),
            (b"a\xe6\xbc", 2),
            (b"\xf0\x9f\x98", 3),
            (b"\xf0\x9f\x98\x80", 0),
            (b"x\xff\x80", 0),
            (b"\xe6\xff", 0),
            (b"\xf0\x9f\xe6\xbc", 2),
        ] {
            assert_eq!(cut_off(bytes), cut, "{bytes:?}");
        }
    }
}
