//! Texts of the engine's, as UTF-8.

use super::raw::pointer;
use crate::engine::preempt::stoppable;
use rquickjs::{Ctx, Error, Result, qjs};
use std::borrow::Cow;
use std::marker::PhantomData;
use std::os::raw::c_char;

/// A text of the engine's.
pub(super) struct Text<'a, 'js> {
    ctx: &'a Ctx<'js>,
    bytes: *const c_char,
    length: usize,
    lent: PhantomData<&'a [u8]>,
}

impl Drop for Text<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: the engine gave it to us.
        stoppable(|| unsafe { qjs::JS_FreeCString(pointer(self.ctx), self.bytes) });
    }
}

impl<'a, 'js> Text<'a, 'js> {
    pub(super) fn new(ctx: &'a Ctx<'js>, bytes: *const c_char, length: usize) -> Result<Self> {
        if bytes.is_null() {
            return Err(Error::Exception);
        }
        Ok(Self {
            ctx,
            bytes,
            length,
            lent: PhantomData,
        })
    }

    /// Its bytes as the engine has them: UTF-8, but for surrogates that stand alone.
    pub(super) fn bytes(&self) -> &[u8] {
        // SAFETY: the engine gave as many bytes, and keeps them until they are freed.
        unsafe { std::slice::from_raw_parts(self.bytes.cast(), self.length) }
    }

    /// Its bytes, which are as many once it is well-formed.
    pub(super) fn len(&self) -> usize {
        self.length
    }

    /// Of one that is known to be short: all of it is looked at in one go.
    pub(super) fn as_str(&self) -> Cow<'_, str> {
        well_formed(self.bytes())
    }

    /// Any other, in parts of at most so many bytes, each of whole characters; `most` is at least 4.
    pub(super) fn parts(&self, most: usize) -> impl Iterator<Item = Cow<'_, str>> {
        let mut rest = self.bytes();
        std::iter::from_fn(move || {
            let mut end = rest.len().min(most);
            while end < rest.len() && end > 1 && rest[end] & 0xc0 == 0x80 {
                end -= 1;
            }
            let (part, left) = rest.split_at(end);
            rest = left;
            (!part.is_empty()).then(|| well_formed(part))
        })
    }
}

/// Text as JavaScript has it, in which a surrogate can stand alone, as Unicode has it: U+FFFD stands for each (WebIDL
/// section 3.2.11, USVString). The engine encodes a lone surrogate as if it were a character.
fn well_formed(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return text.into();
    }
    let mut mended = bytes.to_vec();
    let mut rest = &mut mended[..];
    while let Some(at) = rest
        .windows(3)
        .position(|three| three[0] == 0xed && three[1] >= 0xa0)
    {
        rest[at..at + 3].copy_from_slice("\u{fffd}".as_bytes());
        rest = &mut rest[at + 3..];
    }
    match String::from_utf8(mended) {
        Ok(text) => text.into(),
        Err(error) => String::from_utf8_lossy(error.as_bytes())
            .into_owned()
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::well_formed;
    use crate::engine::values::raw::Raw;
    use rquickjs::{Context, Runtime};

    #[test]
    fn a_text_in_parts_is_the_text() {
        let runtime = Runtime::new().unwrap();
        let context = Context::full(&runtime).unwrap();
        context.with(|ctx| {
            let value = ctx
                .eval("'aé漢🦀\\ud800\\udc00\\udc00b'.repeat(9)")
                .unwrap();
            let raw = Raw::of(&ctx, &value);
            let text = raw.view().to_text().unwrap();
            let whole = text.as_str();
            assert_eq!(whole.len(), text.len());
            for most in 4..200 {
                let parts: Vec<_> = text.parts(most).collect();
                assert!(parts.iter().all(|part| part.len() <= most), "{most}");
                assert_eq!(parts.concat(), whole, "{most}");
            }
        });
    }

    #[test]
    fn a_lone_surrogate_becomes_one_replacement_character() {
        assert_eq!(well_formed("grüße 🦀".as_bytes()), "grüße 🦀");
        assert_eq!(well_formed(b"a\xed\xa0\x80b"), "a\u{fffd}b");
        assert_eq!(
            well_formed(b"\xed\xbf\xbf\xed\xa0\x80\xed\x9f\xbf"),
            "\u{fffd}\u{fffd}\u{d7ff}"
        );
    }
}
