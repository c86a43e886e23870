//! Between wire bytes and JavaScript values, with nothing in between.
//!
//! | wire | JavaScript |
//! |---|---|
//! | undefined, null, boolean, string | the same |
//! | integer, float | number; a whole number within ±2^53 travels as an integer |
//! | big integer | BigInt |
//! | bytes | ArrayBuffer |
//! | typed array | the view of that kind |
//! | date | Date |
//! | array, object | array, object with its own enumerable string keys in their order |
//!
//! Functions, symbols, maps, sets and the like cannot travel.

use madrpc_core::error::{CallError, ErrorKind};
use madrpc_core::value::wire::{Build, DecodeError, EncodeError, Encoder, decode};
use madrpc_core::value::{BigInteger, TypedArrayKind};
use rquickjs::object::Property;
use rquickjs::{
    Array, ArrayBuffer, Atom, Ctx, Function, Object, String as JsString, TypedArray, Value,
};

/// Whole numbers up to here are exact in JavaScript.
const EXACT: f64 = 9_007_199_254_740_992.0;

/// The built-ins that the host needs, as they were before the script.
pub(super) struct Builtins<'js> {
    object_prototype: Option<Object<'js>>,
    classify: Function<'js>,
    time_of: Function<'js>,
    bytes_of: Function<'js>,
    hex_of: Function<'js>,
    make_big: Function<'js>,
    make_date: Function<'js>,
    make_view: Function<'js>,
}

impl<'js> Builtins<'js> {
    /// Takes them from what the prelude has returned.
    pub(super) fn new(ctx: &Ctx<'js>, prelude: &Object<'js>) -> rquickjs::Result<Self> {
        Ok(Self {
            object_prototype: Object::new(ctx.clone())?.get_prototype(),
            classify: prelude.get("classify")?,
            time_of: prelude.get("timeOf")?,
            bytes_of: prelude.get("bytesOf")?,
            hex_of: prelude.get("hexOf")?,
            make_big: prelude.get("makeBig")?,
            make_date: prelude.get("makeDate")?,
            make_view: prelude.get("makeView")?,
        })
    }
}

/// Makes the JavaScript value that `body` holds; an empty one holds `undefined`.
pub(super) fn from_wire<'js>(
    ctx: &Ctx<'js>,
    builtins: &Builtins<'js>,
    body: &[u8],
) -> Result<Value<'js>, CallError> {
    if body.is_empty() {
        return Ok(Value::new_undefined(ctx.clone()));
    }
    decode(body, &mut Builder { ctx, builtins }).map_err(|error| match error {
        DecodeError::Malformed(malformed) => CallError::not_run(
            ErrorKind::BadArguments,
            format!("the arguments cannot be decoded: {malformed}"),
        ),
        DecodeError::Build(rquickjs::Error::Exception) => CallError {
            may_have_run: false,
            ..super::exception::pending(ctx)
        },
        DecodeError::Build(error) => CallError::not_run(
            ErrorKind::BadArguments,
            format!("the arguments cannot be used: {error}"),
        ),
    })
}

struct Builder<'a, 'js> {
    ctx: &'a Ctx<'js>,
    builtins: &'a Builtins<'js>,
}

impl<'js> Build for Builder<'_, 'js> {
    type Value = Value<'js>;
    type Array = Array<'js>;
    type Object = Object<'js>;
    type Error = rquickjs::Error;

    fn undefined(&mut self) -> rquickjs::Result<Value<'js>> {
        Ok(Value::new_undefined(self.ctx.clone()))
    }

    fn null(&mut self) -> rquickjs::Result<Value<'js>> {
        Ok(Value::new_null(self.ctx.clone()))
    }

    fn bool(&mut self, bool: bool) -> rquickjs::Result<Value<'js>> {
        Ok(Value::new_bool(self.ctx.clone(), bool))
    }

    fn integer(&mut self, integer: i64) -> rquickjs::Result<Value<'js>> {
        Ok(match i32::try_from(integer) {
            Ok(small) => Value::new_int(self.ctx.clone(), small),
            Err(_) => Value::new_float(self.ctx.clone(), integer as f64),
        })
    }

    fn float(&mut self, float: f64) -> rquickjs::Result<Value<'js>> {
        Ok(Value::new_float(self.ctx.clone(), float))
    }

    fn big_integer(&mut self, big: BigInteger) -> rquickjs::Result<Value<'js>> {
        self.builtins
            .make_big
            .call((big.is_negative(), big.magnitude_hex()))
    }

    fn string(&mut self, text: &str) -> rquickjs::Result<Value<'js>> {
        Ok(JsString::from_str(self.ctx.clone(), text)?.into_value())
    }

    fn bytes(&mut self, bytes: &[u8]) -> rquickjs::Result<Value<'js>> {
        Ok(ArrayBuffer::new_copy(self.ctx.clone(), bytes)?.into_value())
    }

    fn typed_array(&mut self, kind: TypedArrayKind, bytes: &[u8]) -> rquickjs::Result<Value<'js>> {
        let buffer = ArrayBuffer::new_copy(self.ctx.clone(), bytes)?;
        self.builtins.make_view.call((kind as u8, buffer))
    }

    fn date(&mut self, ms: f64) -> rquickjs::Result<Value<'js>> {
        self.builtins.make_date.call((ms,))
    }

    fn begin_array(&mut self, _len: usize) -> rquickjs::Result<Array<'js>> {
        Array::new(self.ctx.clone())
    }

    fn push(
        &mut self,
        array: &mut Array<'js>,
        index: usize,
        value: Value<'js>,
    ) -> rquickjs::Result<()> {
        array.set(index, value)
    }

    fn end_array(&mut self, array: Array<'js>) -> rquickjs::Result<Value<'js>> {
        Ok(array.into_value())
    }

    fn begin_object(&mut self, _len: usize) -> rquickjs::Result<Object<'js>> {
        Object::new(self.ctx.clone())
    }

    fn set(
        &mut self,
        object: &mut Object<'js>,
        key: &str,
        value: Value<'js>,
    ) -> rquickjs::Result<()> {
        if key == "__proto__" {
            // Assigned, it would replace the prototype by what a peer says.
            return object.prop(
                key,
                Property::from(value).writable().enumerable().configurable(),
            );
        }
        object.set(key, value)
    }

    fn end_object(&mut self, object: Object<'js>) -> rquickjs::Result<Value<'js>> {
        Ok(object.into_value())
    }
}

/// Why a value cannot travel.
enum Unfit {
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

/// Appends the wire form of `value` to `out`.
pub(super) fn to_wire<'js>(
    ctx: &Ctx<'js>,
    builtins: &Builtins<'js>,
    value: &Value<'js>,
    out: &mut Vec<u8>,
    limit: usize,
) -> Result<(), CallError> {
    let mut writer = Writer {
        builtins,
        encoder: Encoder::new(out, limit),
    };
    writer.value(value).map_err(|unfit| match unfit {
        Unfit::Encode(error @ EncodeError::TooLarge { .. }) => CallError::may_have_run(
            ErrorKind::PayloadTooLarge,
            format!("the result cannot be sent: {error}"),
        ),
        Unfit::Encode(error) => CallError::may_have_run(
            ErrorKind::JavaScript,
            format!("the result cannot be sent: {error}; is there a cycle in it?"),
        ),
        Unfit::Kind(kind) => CallError::may_have_run(
            ErrorKind::JavaScript,
            format!("the result cannot be sent: there is a {kind} in it"),
        ),
        Unfit::Engine(rquickjs::Error::Exception) => super::exception::pending(ctx),
        Unfit::Engine(error) => CallError::may_have_run(
            ErrorKind::JavaScript,
            format!("the result cannot be sent: {error}"),
        ),
    })
}

struct Writer<'a, 'js> {
    builtins: &'a Builtins<'js>,
    encoder: Encoder<'a>,
}

impl<'js> Writer<'_, 'js> {
    fn value(&mut self, value: &Value<'js>) -> Result<(), Unfit> {
        if let Some(integer) = value.as_int() {
            self.encoder.integer(i64::from(integer))?;
        } else if let Some(object) = value.as_object() {
            return self.object(object);
        } else if let Some(string) = value.as_string() {
            self.encoder.string(string.clone().to_cstring()?.as_str())?;
        } else if let Some(float) = value.as_float() {
            self.number(float)?;
        } else if let Some(bool) = value.as_bool() {
            self.encoder.bool(bool)?;
        } else if value.is_null() {
            self.encoder.null()?;
        } else if value.is_undefined() {
            self.encoder.undefined()?;
        } else if value.as_big_int().is_some() {
            let hex: String = self.builtins.hex_of.call((value.clone(),))?;
            let big = BigInteger::from_hex(&hex)
                .map_err(|error| Unfit::Kind(format!("BigInt of which {error}")))?;
            self.encoder.big_integer(&big)?;
        } else {
            return Err(Unfit::Kind(value.type_name().to_owned()));
        }
        Ok(())
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

    fn object(&mut self, object: &Object<'js>) -> Result<(), Unfit> {
        if let Some(array) = object.as_array() {
            return self.array(array);
        }
        if object.as_function().is_some() {
            return Err(Unfit::Kind("function".to_owned()));
        }
        if object.get_prototype() == self.builtins.object_prototype {
            return self.entries(object);
        }
        let class: Value<'js> = self.builtins.classify.call((object.clone(),))?;
        match class.as_int() {
            Some(0) => self.entries(object),
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
        let length = array.len();
        self.encoder.begin_array(length)?;
        for index in 0..length {
            self.value(&array.get(index)?)?;
        }
        self.encoder.end();
        Ok(())
    }

    fn entries(&mut self, object: &Object<'js>) -> Result<(), Unfit> {
        let keys = object.keys::<Atom<'js>>();
        self.encoder.begin_object(keys.len())?;
        for key in keys {
            let key = key?;
            self.encoder
                .key(key.to_js_string()?.to_cstring()?.as_str())?;
            self.value(&object.get(key)?)?;
        }
        self.encoder.end();
        Ok(())
    }
}
