//! The keys of objects that were seen lately: the engine's name for each beside its text.
//!
//! Most calls of a function have objects of the same few keys. To ask the engine for the name of a text makes a string and
//! throws it away, and to ask for the text of a name makes another; together a tenth of the time of a tiny call.

use super::raw::{Raw, pointer};
use super::text::Text;
use crate::engine::preempt::stoppable;
use rquickjs::{Ctx, Error, Result, qjs};
use std::array::from_fn;
use std::cell::RefCell;

/// Places of each table, a power of two.
const PLACES: usize = 64;

/// Longer keys are rarely seen again.
const KEPT_MAX_BYTES: usize = 32;

/// A key, whose name is counted as in use for as long as it is here. All of it lies within the table: a lane is taken back to
/// what it was by its memory alone.
struct Key {
    atom: qjs::JSAtom,
    length: u8,
    bytes: [u8; KEPT_MAX_BYTES],
}

impl Key {
    fn is(&self, text: &str) -> bool {
        self.bytes() == text.as_bytes()
    }

    fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }

    fn text(&self) -> &str {
        // SAFETY: they were copied from a text.
        unsafe { std::str::from_utf8_unchecked(self.bytes()) }
    }
}

/// The text of a key.
pub(super) enum KeyText<'t, 'a, 'js> {
    Known(&'t str),
    /// It may be long.
    Read(&'t Text<'a, 'js>),
}

type Table = RefCell<[Option<Key>; PLACES]>;

/// The keys of one context, found by their text and by their name.
pub(super) struct Keys<'js> {
    ctx: Ctx<'js>,
    by_text: Table,
    by_atom: Table,
}

impl<'js> Keys<'js> {
    pub(super) fn new(ctx: &Ctx<'js>) -> Self {
        Self {
            ctx: ctx.clone(),
            by_text: RefCell::new(from_fn(|_| None)),
            by_atom: RefCell::new(from_fn(|_| None)),
        }
    }

    /// Lends out the engine's name for this text.
    pub(super) fn with_atom<R>(
        &self,
        text: &str,
        use_it: impl FnOnce(qjs::JSAtom) -> R,
    ) -> Result<R> {
        let (ctx, place) = (pointer(&self.ctx), place_of(text));
        let known = self.by_text.borrow()[place]
            .as_ref()
            .filter(|key| key.is(text))
            .map(|key| {
                // SAFETY: the name is in use, and is counted once more: what is done with it could run a script, which
                // puts other keys here.
                unsafe { qjs::JS_DupAtom(ctx, key.atom) }
            });
        let atom = match known {
            Some(atom) => atom,
            None => {
                let atom = stoppable(|| new_atom(&self.ctx, text))?;
                self.keep(&self.by_text, place, atom, text);
                atom
            }
        };
        let used = use_it(atom);
        // SAFETY: it was counted above, and is given up once.
        unsafe { qjs::JS_FreeAtom(ctx, atom) };
        Ok(used)
    }

    /// Lends out the text of a name that is in use, which `text_of` reads where it was not seen lately. One that is known is lent
    /// to what runs no script.
    pub(super) fn with_text<'a, R>(
        &self,
        atom: qjs::JSAtom,
        use_it: impl FnOnce(KeyText<'_, 'a, 'js>) -> R,
        text_of: impl FnOnce() -> Result<Text<'a, 'js>>,
    ) -> Result<R>
    where
        'js: 'a,
    {
        let place = atom as usize % PLACES;
        if let Some(key) = &self.by_atom.borrow()[place]
            && key.atom == atom
        {
            return Ok(use_it(KeyText::Known(key.text())));
        }
        let text = text_of()?;
        if text.len() <= KEPT_MAX_BYTES {
            self.keep(&self.by_atom, place, atom, &text.as_str());
        }
        Ok(use_it(KeyText::Read(&text)))
    }

    /// Puts a key in its place; the one that was there is forgotten.
    fn keep(&self, table: &Table, place: usize, atom: qjs::JSAtom, text: &str) {
        if text.len() > KEPT_MAX_BYTES {
            return;
        }
        // SAFETY: the name is in use, and is counted once more.
        let atom = unsafe { qjs::JS_DupAtom(pointer(&self.ctx), atom) };
        let mut bytes = [0; KEPT_MAX_BYTES];
        bytes[..text.len()].copy_from_slice(text.as_bytes());
        let length = text.len() as u8;
        let key = Key {
            atom,
            length,
            bytes,
        };
        let old = table.borrow_mut()[place].replace(key);
        if let Some(old) = old {
            self.release(&old);
        }
    }

    fn release(&self, key: &Key) {
        // SAFETY: it was counted when it was kept.
        unsafe { qjs::JS_FreeAtom(pointer(&self.ctx), key.atom) };
    }
}

impl Drop for Keys<'_> {
    fn drop(&mut self) {
        for table in [&self.by_text, &self.by_atom] {
            for key in table.borrow().iter().flatten() {
                self.release(key);
            }
        }
    }
}

/// The engine's name for this text, counted once for us.
fn new_atom(ctx: &Ctx<'_>, text: &str) -> Result<qjs::JSAtom> {
    let atom = if text.is_ascii() {
        // SAFETY: the engine copies the bytes.
        unsafe { qjs::JS_NewAtomLen(pointer(ctx), text.as_ptr().cast(), text.len() as _) }
    } else {
        // JS_NewAtomLen takes the bytes of "é" for the text of another key that is in use (quickjs.c says so itself); the
        // name of a string is right whatever is in it.
        let string = Raw::string(ctx, text)?;
        string.to_atom()
    };
    match atom {
        qjs::JS_ATOM_NULL => Err(Error::Exception),
        atom => Ok(atom),
    }
}

/// A few bytes tell most keys of a program apart; those they do not tell apart take turns.
fn place_of(text: &str) -> usize {
    let bytes = text.as_bytes();
    let at = |index: usize| usize::from(bytes.get(index).copied().unwrap_or(0));
    let (first, middle, last) = (at(0), at(bytes.len() / 2), at(bytes.len().wrapping_sub(1)));
    (first.wrapping_mul(31) + middle.wrapping_mul(7) + last + bytes.len()) % PLACES
}
