//! From JavaScript values to wire bytes.

use super::raw::{Kind, View};
use super::{Builtins, EXACT};
use madrpc_core::value::wire::{EncodeError, Encoder};
use madrpc_core::value::{BigInteger, TypedArrayKind};
use rquickjs::{Array, ArrayBuffer, Object, TypedArray, Value};

/// Why a value cannot travel.
pub(super) enum Unfit {
    Encode(EncodeError),
    /// In words: what it is.
    Kind(String),
    /// Something that was asked for the value threw.
    Engine(rquickjs::Error),
}

impl From<EncodeError> for Unfit {
    fn from(error: EncodeError) -> Self {
        Self::Encode(error)
    }
}

impl From<rquickjs::Error> for Unfit {
    fn from(error: rquickjs::Error) -> Self {
        Self::Engine(error)
    }
}

/// Writes values one after the other.
pub(super) struct Writer<'a, 'js> {
    pub(super) builtins: &'a Builtins<'js>,
    pub(super) encoder: Encoder<'a>,
}

impl<'js> Writer<'_, 'js> {
    pub(super) fn value(&mut self, value: View<'_, 'js>) -> Result<(), Unfit> {
        match value.kind() {
            Kind::Int(integer) => self.encoder.integer(i64::from(integer))?,
            Kind::Object => return self.object(value),
            Kind::String => value.text(|text| self.encoder.string(text))??,
            Kind::Float(float) => self.number(float)?,
            Kind::Bool(bool) => self.encoder.bool(bool)?,
            Kind::Null => self.encoder.null()?,
            Kind::Undefined => self.encoder.undefined()?,
            Kind::Other => return self.other(&value.to_value()),
        }
        Ok(())
    }

    fn other(&mut self, value: &Value<'js>) -> Result<(), Unfit> {
        if value.as_big_int().is_none() {
            return Err(Unfit::Kind(value.type_name().to_owned()));
        }
        let hex: String = self.builtins.hex_of.call((value.clone(),))?;
        let big = BigInteger::from_hex(&hex)
            .map_err(|error| Unfit::Kind(format!("BigInt of which {error}")))?;
        Ok(self.encoder.big_integer(&big)?)
    }

    fn number(&mut self, float: f64) -> Result<(), EncodeError> {
        let is_whole = float.fract() == 0.0 && float.abs() <= EXACT;
        let is_negative_zero = float == 0.0 && float.is_sign_negative();
        if is_whole && !is_negative_zero {
            self.encoder.integer(float as i64)
        } else {
            self.encoder.float(float)
        }
    }

    fn object(&mut self, view: View<'_, 'js>) -> Result<(), Unfit> {
        if !view.is_array_or_function() && view.has_prototype(&self.builtins.object_prototype)? {
            return self.entries(view);
        }
        let value = view.to_value();
        let Some(object) = value.as_object() else {
            return Err(Unfit::Kind(value.type_name().to_owned()));
        };
        if let Some(array) = object.as_array() {
            return self.array(array);
        }
        if object.as_function().is_some() {
            return Err(Unfit::Kind("function".to_owned()));
        }
        let class: Value<'js> = self.builtins.classify.call((object.clone(),))?;
        match class.as_int() {
            Some(-1) => self.elements(object),
            Some(0) => self.entries(view),
            Some(1) => {
                let ms: f64 = self.builtins.time_of.call((object.clone(),))?;
                Ok(self.encoder.date(ms)?)
            }
            Some(2) => {
                let buffer = ArrayBuffer::from_object(object.clone());
                // SAFETY: no JavaScript runs while the bytes are borrowed, so the buffer is neither moved nor detached.
                let bytes = buffer
                    .as_ref()
                    .and_then(|buffer| unsafe { buffer.as_bytes() });
                Ok(self.encoder.bytes(bytes.unwrap_or_default())?)
            }
            Some(view) => {
                let kind = u8::try_from(view - 3)
                    .ok()
                    .and_then(TypedArrayKind::from_number);
                let kind = kind.ok_or_else(|| Unfit::Kind("view of an unknown kind".to_owned()))?;
                let view: TypedArray<'js, u8> = self.builtins.bytes_of.call((object.clone(),))?;
                // SAFETY: as above.
                let bytes = unsafe { view.as_bytes() };
                Ok(self.encoder.typed_array(kind, bytes.unwrap_or_default())?)
            }
            None => Err(Unfit::Kind(class.get().unwrap_or_default())),
        }
    }

    fn array(&mut self, array: &Array<'js>) -> Result<(), Unfit> {
        let length = length_of(array.as_object())?;
        self.encoder.begin_array(length)?;
        for index in 0..length {
            let value: Value<'js> = array.get(index)?;
            self.value(View::of(&value))?;
        }
        self.encoder.end();
        Ok(())
    }

    /// An array behind a proxy, whose traps say what is in it.
    fn elements(&mut self, array: &Object<'js>) -> Result<(), Unfit> {
        let length = length_of(array)?;
        self.encoder.begin_array(length)?;
        for index in 0..length {
            // No array that can travel has more of them.
            let value: Value<'js> = array.get(u32::try_from(index).unwrap_or(u32::MAX))?;
            self.value(View::of(&value))?;
        }
        self.encoder.end();
        Ok(())
    }

    fn entries(&mut self, object: View<'_, 'js>) -> Result<(), Unfit> {
        let entries = object.entries()?;
        self.encoder.begin_object(entries.len())?;
        for at in 0..entries.len() {
            entries.key(&self.builtins.keys, at, |key| self.encoder.key(key))??;
            self.value(entries.value(at)?.view())?;
        }
        self.encoder.end();
        Ok(())
    }
}

/// Not by `Array::len`, which panics where a script has made the length vast, or a proxy says what it likes.
fn length_of(array: &Object<'_>) -> Result<usize, Unfit> {
    let length: Value<'_> = array.get("length")?;
    let whole = length
        .as_number()
        .filter(|length| *length >= 0.0 && length.fract() == 0.0);
    let whole =
        whole.ok_or_else(|| Unfit::Kind("proxied array whose length is none".to_owned()))?;
    Ok(whole as usize)
}
