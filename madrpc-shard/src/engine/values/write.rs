//! From JavaScript values to wire bytes.

use super::classes::{Class, words};
use super::keys::KeyText;
use super::pace::PART_BYTES;
use super::raw::{Entries, Kind, View};
use super::text::Text;
use super::{Builtins, EXACT, head};
use crate::engine::preempt::stoppable;
use madrpc_core::value::wire::{EncodeError, Encoder};
use madrpc_core::value::{BigInteger, TypedArrayKind};
use rquickjs::{ArrayBuffer, IntoJs, TypedArray, Value};

/// What the prelude's `classify` says of an object.
const DATA: i32 = 0;
const LIST: i32 = 1;
const ERROR: i32 = 2;
const HAS_JSON: i32 = 3;

/// Why a value cannot travel.
pub(super) enum Unfit {
    Encode(EncodeError),
    /// In words: what it is.
    Kind(String),
    /// Something that was asked for the value threw.
    Engine(rquickjs::Error),
    /// The call has to end.
    Stopped,
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

/// A part of the way to a value.
enum Step {
    Index(usize),
    Key(String),
}

/// The way to the value that cannot travel, from there to the outermost.
#[derive(Default)]
pub(super) struct Path(Vec<Step>);

/// Characters of a way that are told, and of a key in it.
const PATH_MAX: usize = 120;
const KEY_MAX: usize = 40;

/// And of what a value is: the name of its class is the script's.
const WORDS_MAX: usize = 200;

/// A key of no more is written in one go.
const SHORT_KEY_BYTES: usize = 4 << 10;

impl Path {
    /// `whole.rows[3]["the key"]`; `None` for the whole.
    pub(super) fn words(&self, whole: &str) -> Option<String> {
        let mut words = whole.to_owned();
        for step in self.0.iter().rev() {
            if words.len() > PATH_MAX {
                words.push('…');
                break;
            }
            match step {
                Step::Index(index) => words += &format!("[{index}]"),
                Step::Key(key) if is_name(key) => words += &format!(".{key}"),
                Step::Key(key) => words += &format!("[{key:?}]"),
            }
        }
        (!self.0.is_empty()).then_some(words)
    }
}

/// Whether a key can stand behind a dot.
fn is_name(key: &str) -> bool {
    let is_letter = |char: char| char.is_alphabetic() || char == '_' || char == '$';
    key.starts_with(is_letter) && key.chars().all(|char| is_letter(char) || char.is_numeric())
}

/// Where a value is, in what is asked for it.
#[derive(Clone, Copy)]
pub(super) enum At<'e, 'js> {
    Root,
    Index(usize),
    Entry(&'e Entries<'e, 'js>, usize),
}

/// As much of a key as is told.
fn beginning_of(key: &KeyText<'_, '_, '_>) -> String {
    let beginning = match *key {
        KeyText::Known(key) => key.into(),
        KeyText::Read(key) => key.parts(4 * KEY_MAX).next().unwrap_or_default(),
    };
    beginning.chars().take(KEY_MAX).collect()
}

/// Writes values one after the other.
pub(super) struct Writer<'a, 'js> {
    pub(super) builtins: &'a Builtins<'js>,
    pub(super) encoder: Encoder<'a>,
    /// Where it has stopped.
    pub(super) path: Path,
}

impl<'js> Writer<'_, 'js> {
    #[inline]
    pub(super) fn value(&mut self, value: View<'_, 'js>, at: At<'_, 'js>) -> Result<(), Unfit> {
        match value.is_object() {
            true => self.object(value, Some(at)),
            false => self.primitive(value),
        }
    }

    fn primitive(&mut self, value: View<'_, 'js>) -> Result<(), Unfit> {
        match value.kind() {
            Kind::Int(integer) => self.encoder.integer(i64::from(integer))?,
            // Of which nothing is asked that was asked for it.
            Kind::Object => return self.object(value, None),
            Kind::String => return self.string(value),
            Kind::Float(float) => self.number(float)?,
            Kind::Bool(bool) => self.encoder.bool(bool)?,
            Kind::Null => self.encoder.null()?,
            Kind::Undefined => self.encoder.undefined()?,
            Kind::Other => return self.other(&value.to_value()),
        }
        Ok(())
    }

    fn string(&mut self, value: View<'_, 'js>) -> Result<(), Unfit> {
        let text = value.to_text()?;
        if text.len() <= PART_BYTES {
            self.builtins.pace.note(text.len());
            return Ok(self.encoder.string(&text.as_str())?);
        }
        self.encoder.begin_string(text.len())?;
        self.text_parts(&text)
    }

    fn key(&mut self, key: &KeyText<'_, '_, 'js>) -> Result<(), Unfit> {
        match *key {
            KeyText::Known(key) => Ok(self.encoder.key(key)?),
            KeyText::Read(key) if key.len() <= SHORT_KEY_BYTES => {
                Ok(self.encoder.key(&key.as_str())?)
            }
            KeyText::Read(key) => {
                self.encoder.begin_key(key.len())?;
                self.text_parts(key)
            }
        }
    }

    fn text_parts(&mut self, text: &Text<'_, 'js>) -> Result<(), Unfit> {
        let mut left = text.len();
        for part in text.parts(PART_BYTES) {
            self.encoder.more(part.as_bytes())?;
            left = left.saturating_sub(part.len());
            if !self.builtins.pace.pause() {
                return Err(Unfit::Stopped);
            }
        }
        match left {
            0 => Ok(()),
            _ => Err(Unfit::Kind("a text that is no Unicode".to_owned())),
        }
    }

    fn other(&mut self, value: &Value<'js>) -> Result<(), Unfit> {
        if value.as_big_int().is_none() {
            return Err(Unfit::Kind("a symbol".to_owned()));
        }
        let hex: String = self
            .builtins
            .call(&self.builtins.hex_of, (value.clone(),))?;
        let big = BigInteger::from_hex(&hex)
            .map_err(|error| Unfit::Kind(format!("a BigInt of which {error}")))?;
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

    /// An object; its `toJSON` is asked with its key in what it is in, but for what that gives.
    fn object(&mut self, view: View<'_, 'js>, at: Option<At<'_, 'js>>) -> Result<(), Unfit> {
        let builtins = self.builtins;
        let number = view.class();
        let class = Class::from_number(number);
        let usual = match class {
            Class::Object => &builtins.object_prototype,
            Class::Array => &builtins.array_prototype,
            _ => return self.special(view, class, at),
        };
        if !view.has_prototype(usual)? || at.is_some() && view.has_own(&builtins.to_json)? {
            return self.special(view, class, at);
        }
        match class {
            Class::Array => self.array(view),
            _ => self.entries(view),
        }
    }

    fn special(
        &mut self,
        view: View<'_, 'js>,
        class: Class,
        at: Option<At<'_, 'js>>,
    ) -> Result<(), Unfit> {
        let builtins = self.builtins;
        if view.is_function() {
            return Err(Unfit::Kind("a function".to_owned()));
        }
        let value = view.to_value();
        let is_told = matches!(class, Class::Object | Class::Array | Class::Told);
        if let Some(at) = at
            && !is_told
            && self.has_own_json(view)?
        {
            return self.json(value, at);
        }
        match class {
            Class::Date => {
                let ms: f64 = builtins.call(&builtins.time_of, (value,))?;
                Ok(self.encoder.date(ms)?)
            }
            Class::Boxed => {
                let inside: Value<'js> = builtins.call(&builtins.unbox, (value,))?;
                self.primitive(View::of(&inside))
            }
            Class::Arguments => self.list(view),
            Class::ArrayBuffer => self.buffer(value),
            Class::View(kind) => self.view(value, kind),
            Class::Other(number) => Err(Unfit::Kind(words(value.ctx(), number))),
            Class::Object | Class::Array | Class::Told => {
                let asked = (value.clone(), at.is_some());
                let is: Value<'js> = builtins.call(&builtins.classify, asked)?;
                match (is.as_int(), at) {
                    (Some(DATA), _) => self.entries(view),
                    (Some(LIST), _) => self.list(view),
                    (Some(ERROR), _) => {
                        let data: Value<'js> = builtins.call(&builtins.error_data, (value,))?;
                        self.entries(View::of(&data))
                    }
                    (Some(HAS_JSON), Some(at)) => self.json(value, at),
                    _ => Err(Unfit::Kind(head(&is, WORDS_MAX).0)),
                }
            }
        }
    }

    /// Whether an object of a built-in class has another `toJSON` than that brings.
    fn has_own_json(&self, view: View<'_, 'js>) -> rquickjs::Result<bool> {
        let builtins = self.builtins;
        Ok(view.has_method(&builtins.to_json)?
            && builtins.call(&builtins.has_own_json, (view.to_value(),))?)
    }

    fn json(&mut self, value: Value<'js>, at: At<'_, 'js>) -> Result<(), Unfit> {
        let builtins = self.builtins;
        let key = match at {
            At::Root => String::new().into_js(value.ctx())?,
            At::Index(index) => index.to_string().into_js(value.ctx())?,
            At::Entry(entries, at) => entries.key_value(at)?.into_value(),
        };
        let json: Value<'js> = builtins.call(&builtins.json_of, (value, key))?;
        self.primitive(View::of(&json))
    }

    fn buffer(&mut self, value: Value<'js>) -> Result<(), Unfit> {
        if self
            .builtins
            .call(&self.builtins.is_detached, (value.clone(),))?
        {
            return Err(Unfit::Kind("a detached ArrayBuffer".to_owned()));
        }
        let buffer = value.into_object().and_then(ArrayBuffer::from_object);
        // SAFETY: no JavaScript of this lane runs while the bytes are borrowed, so the buffer is neither moved nor detached.
        let bytes = buffer
            .as_ref()
            .and_then(|buffer| unsafe { buffer.as_bytes() });
        let bytes = bytes.unwrap_or_default();
        self.encoder.begin_bytes(bytes.len())?;
        self.parts(bytes)
    }

    fn view(&mut self, value: Value<'js>, kind: TypedArrayKind) -> Result<(), Unfit> {
        let bytes: Value<'js> = self.builtins.call(&self.builtins.bytes_of, (value,))?;
        if let Some(words) = bytes.as_string() {
            return Err(Unfit::Kind(words.to_string()?));
        }
        let view: TypedArray<'js, u8> = bytes.get()?;
        // SAFETY: as above.
        let bytes = unsafe { view.as_bytes() };
        let bytes = bytes.unwrap_or_default();
        self.encoder.begin_typed_array(kind, bytes.len())?;
        self.parts(bytes)
    }

    /// Bytes, between the parts of which the core is given back.
    fn parts(&mut self, bytes: &[u8]) -> Result<(), Unfit> {
        for part in bytes.chunks(PART_BYTES) {
            self.encoder.more(part)?;
            if part.len() < PART_BYTES {
                self.builtins.pace.note(part.len());
            } else if !self.builtins.pace.pause() {
                return Err(Unfit::Stopped);
            }
        }
        Ok(())
    }

    fn array(&mut self, array: View<'_, 'js>) -> Result<(), Unfit> {
        self.elements(array, array.length()?)
    }

    /// An array behind a proxy, whose traps say what is in it; or arguments.
    fn list(&mut self, list: View<'_, 'js>) -> Result<(), Unfit> {
        let value = list.to_value();
        let Some(object) = value.as_object() else {
            return Err(Unfit::Kind(value.type_name().to_owned()));
        };
        let length: Value<'_> = stoppable(|| object.get("length"))?;
        let whole = length
            .as_number()
            .filter(|length| *length >= 0.0 && length.fract() == 0.0);
        match whole {
            Some(length) => self.elements(list, length as usize),
            None => Err(Unfit::Kind(
                "a proxied array whose length is none".to_owned(),
            )),
        }
    }

    fn elements(&mut self, list: View<'_, 'js>, length: usize) -> Result<(), Unfit> {
        self.encoder.begin_array(length)?;
        for index in 0..length {
            self.look()?;
            let written = match list.element(index) {
                Ok(element) => self.value(element.view(), At::Index(index)),
                Err(error) => Err(error.into()),
            };
            if let Err(unfit) = written {
                self.path.0.push(Step::Index(index));
                return Err(unfit);
            }
        }
        self.encoder.end();
        Ok(())
    }

    fn entries(&mut self, object: View<'_, 'js>) -> Result<(), Unfit> {
        let entries = object.entries()?;
        if entries.len() == 0 {
            let hollow: Value<'js> = self
                .builtins
                .call(&self.builtins.hollow, (object.to_value(),))?;
            if let Some(words) = hollow.as_string() {
                return Err(Unfit::Kind(head(words, WORDS_MAX).0));
            }
        }
        self.encoder.begin_object(entries.len())?;
        for at in 0..entries.len() {
            self.look()?;
            let keys = &self.builtins.keys;
            entries.key(keys, at, |key| self.key(&key))??;
            let written = match entries.value(at) {
                Ok(value) => self.value(value.view(), At::Entry(&entries, at)),
                Err(error) => Err(error.into()),
            };
            if let Err(unfit) = written {
                let key = entries.key(keys, at, |key| beginning_of(&key));
                self.path.0.push(Step::Key(key.unwrap_or_default()));
                return Err(unfit);
            }
        }
        self.encoder.end();
        Ok(())
    }

    /// Gives the core back now and then.
    #[inline]
    fn look(&self) -> Result<(), Unfit> {
        match self.builtins.pace.look() {
            true => Ok(()),
            false => Err(Unfit::Stopped),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_way_to_a_value_reads_as_in_a_script() {
        let path = |steps: Vec<Step>| Path(steps).words("result");
        assert_eq!(path(Vec::new()), None);
        let steps = vec![
            Step::Key("a b".into()),
            Step::Key("$total_1".into()),
            Step::Index(3),
            Step::Key("rows".into()),
        ];
        let expected = r#"result.rows[3].$total_1["a b"]"#;
        assert_eq!(path(steps).as_deref(), Some(expected));
        let odd = vec![
            Step::Key("1st".into()),
            Step::Key("\"\u{1b}".into()),
            Step::Key(String::new()),
        ];
        let expected = r#"result[""]["\"\u{1b}"]["1st"]"#;
        assert_eq!(path(odd).as_deref(), Some(expected));
        let deep = (0..128).map(|_| Step::Key("cause".into())).collect();
        let words = path(deep).unwrap();
        assert!(words.len() < 140 && words.ends_with(".cause…"), "{words}");
    }
}
