//! From wire bytes to JavaScript values.

use super::Builtins;
use super::array::ArrayBuilder;
use super::buffers::array_buffer;
use super::pace::PART_BYTES;
use super::raw::Raw;
use crate::engine::preempt::stoppable;
use madrpc_core::value::wire::Build;
use madrpc_core::value::{BigInteger, TypedArrayKind};
use rquickjs::{ArrayBuffer, Ctx, Result, Value};

/// A buffer of no more than this is the engine's own affair.
const COPIED_AT_ONCE_BYTES: usize = 32 << 10;

pub(super) struct Builder<'a, 'js> {
    pub(super) ctx: &'a Ctx<'js>,
    pub(super) builtins: &'a Builtins<'js>,
}

impl<'a, 'js> Builder<'a, 'js> {
    /// Gives the core back now and then.
    #[inline]
    fn look(&self) -> Result<()> {
        match self.builtins.pace.look() {
            true => Ok(()),
            false => Err(rquickjs::Error::Unknown),
        }
    }

    /// An ArrayBuffer of these bytes.
    fn buffer(&self, bytes: &[u8]) -> Result<Raw<'a, 'js>> {
        if bytes.len() > COPIED_AT_ONCE_BYTES {
            return array_buffer(self.ctx, bytes, PART_BYTES, || {
                self.builtins.pace.note(PART_BYTES);
                self.look()
            });
        }
        self.builtins.pace.note(bytes.len());
        let buffer = stoppable(|| ArrayBuffer::new_copy(self.ctx.clone(), bytes))?;
        Ok(Raw::of(self.ctx, buffer.as_value()))
    }

    fn pause(&self) -> Result<()> {
        match self.builtins.pace.pause() {
            true => Ok(()),
            false => Err(rquickjs::Error::Unknown),
        }
    }
}

impl<'a, 'js> Build for Builder<'a, 'js> {
    type Value = Raw<'a, 'js>;
    type Array = ArrayBuilder<'a, 'js>;
    /// And how many properties it will have, as its sender says.
    type Object = (Raw<'a, 'js>, usize);
    type Error = rquickjs::Error;

    fn text<'b>(&mut self, bytes: &'b [u8]) -> Result<Option<&'b str>> {
        self.builtins.pace.note(bytes.len());
        if bytes.len() <= PART_BYTES {
            return Ok(std::str::from_utf8(bytes).ok());
        }
        let mut rest = bytes;
        while !rest.is_empty() {
            let part = &rest[..rest.len().min(PART_BYTES)];
            let checked = match std::str::from_utf8(part) {
                Ok(_) => part.len(),
                // A character that the next part ends.
                Err(error) if error.error_len().is_none() && part.len() < rest.len() => {
                    error.valid_up_to()
                }
                Err(_) => return Ok(None),
            };
            rest = &rest[checked..];
            self.pause()?;
        }
        // SAFETY: all of it is text, part by part, and every part ends with a character.
        Ok(Some(unsafe { std::str::from_utf8_unchecked(bytes) }))
    }

    fn undefined(&mut self) -> Result<Raw<'a, 'js>> {
        Ok(Raw::undefined(self.ctx))
    }

    fn null(&mut self) -> Result<Raw<'a, 'js>> {
        Ok(Raw::null(self.ctx))
    }

    fn bool(&mut self, bool: bool) -> Result<Raw<'a, 'js>> {
        Ok(Raw::bool(self.ctx, bool))
    }

    fn integer(&mut self, integer: i64) -> Result<Raw<'a, 'js>> {
        Ok(match i32::try_from(integer) {
            Ok(small) => Raw::int(self.ctx, small),
            Err(_) => Raw::float(self.ctx, integer as f64),
        })
    }

    fn float(&mut self, float: f64) -> Result<Raw<'a, 'js>> {
        Ok(Raw::float(self.ctx, float))
    }

    fn big_integer(&mut self, big: BigInteger) -> Result<Raw<'a, 'js>> {
        let parts = (big.is_negative(), big.magnitude_hex());
        let value: Value<'js> = self.builtins.call(&self.builtins.make_big, parts)?;
        Ok(Raw::of(self.ctx, &value))
    }

    fn string(&mut self, text: &str) -> Result<Raw<'a, 'js>> {
        Raw::string(self.ctx, text)
    }

    fn bytes(&mut self, bytes: &[u8]) -> Result<Raw<'a, 'js>> {
        self.buffer(bytes)
    }

    fn typed_array(&mut self, kind: TypedArrayKind, bytes: &[u8]) -> Result<Raw<'a, 'js>> {
        let buffer = self.buffer(bytes)?.into_value();
        let value: Value<'js> = self
            .builtins
            .call(&self.builtins.make_view, (kind as u8, buffer))?;
        Ok(Raw::of(self.ctx, &value))
    }

    fn date(&mut self, ms: f64) -> Result<Raw<'a, 'js>> {
        let value: Value<'js> = self.builtins.call(&self.builtins.make_date, (ms,))?;
        Ok(Raw::of(self.ctx, &value))
    }

    fn begin_array(&mut self, len: usize) -> Result<ArrayBuilder<'a, 'js>> {
        self.look()?;
        ArrayBuilder::new(self.ctx, len)
    }

    fn push(
        &mut self,
        array: &mut ArrayBuilder<'a, 'js>,
        index: usize,
        value: Raw<'a, 'js>,
    ) -> Result<()> {
        self.look()?;
        array.push(index, value)
    }

    fn end_array(&mut self, array: ArrayBuilder<'a, 'js>) -> Result<Raw<'a, 'js>> {
        array.end()
    }

    fn begin_object(&mut self, len: usize) -> Result<Self::Object> {
        self.look()?;
        Ok((Raw::object(self.ctx)?, len))
    }

    fn set(&mut self, object: &mut Self::Object, key: &str, value: Raw<'a, 'js>) -> Result<()> {
        self.look()?;
        let (object, count) = object;
        object.define(&self.builtins.keys, key, value, *count)
    }

    fn end_object(&mut self, (object, _): Self::Object) -> Result<Raw<'a, 'js>> {
        Ok(object)
    }
}
