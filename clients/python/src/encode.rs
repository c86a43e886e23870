//! Values on their way from Python.

use crate::errors::to_py;
use bytes::Bytes;
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::limits::BODY_MAX_BYTES;
use madrpc_core::value::wire::{EncodeError, Encoder, MAX_DEPTH};
use madrpc_core::value::{BigInteger, TypedArrayKind, Value};
use pyo3::buffer::PyUntypedBuffer;
use pyo3::exceptions::{PyTypeError, PyValueError};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyDateTime, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType,
};

/// The whole numbers between these bounds are the same in JavaScript; those beyond travel as big integers.
const EXACT: std::ops::RangeInclusive<i64> = -(1 << 53)..=1 << 53;

/// A path is said up to here, and so is a key.
const PATH_MAX: usize = 200;

/// The argument of a call: keywords are an object, one argument is itself, and nothing is `undefined`.
pub(crate) fn arguments(
    args: &Bound<'_, PyTuple>,
    kwargs: Option<&Bound<'_, PyDict>>,
) -> PyResult<Bytes> {
    match (args.len(), kwargs.filter(|kwargs| !kwargs.is_empty())) {
        (0, None) => Ok(Bytes::from_static(&Value::UNDEFINED_BYTES)),
        (0, Some(kwargs)) => argument(kwargs.as_any(), "args"),
        (1, None) => argument(&args.get_item(0)?, "args"),
        (_, None) => Err(PyTypeError::new_err(
            "a function takes one argument: give several as keywords, or as one list",
        )),
        (_, Some(_)) => Err(PyTypeError::new_err(
            "a function takes one argument: give keywords, which are its properties, or one value, and not both",
        )),
    }
}

/// A value as the argument of a call; `root` is what errors call it.
pub(crate) fn argument(value: &Bound<'_, PyAny>, root: &str) -> PyResult<Bytes> {
    let mut body = Vec::new();
    match write(&mut Encoder::new(&mut body, BODY_MAX_BYTES), value) {
        Ok(()) => Ok(body.into()),
        Err(fault) => Err(fault.raise(value.py(), root)),
    }
}

/// Why a value cannot travel.
enum Fault {
    Value { path: Vec<String>, why: String },
    TooLarge(EncodeError),
    Python(PyErr),
}

impl Fault {
    fn new(why: impl Into<String>) -> Self {
        Self::Value {
            path: Vec::new(),
            why: why.into(),
        }
    }

    /// The same, of what is there in another value.
    fn at(mut self, place: impl FnOnce() -> String) -> Self {
        if let Self::Value { path, .. } = &mut self {
            path.push(place());
        }
        self
    }

    fn raise(self, py: Python<'_>, root: &str) -> PyErr {
        match self {
            Self::Value { path, why } => {
                let mut place = root.to_owned();
                for step in path.iter().rev() {
                    if place.len() > PATH_MAX {
                        place.push('…');
                        break;
                    }
                    place.push_str(step);
                }
                PyTypeError::new_err(format!("{place}: {why}"))
            }
            Self::TooLarge(error) => {
                let why = format!("the arguments cannot be sent: {error}");
                to_py(py, &CallError::not_run(ErrorKind::PayloadTooLarge, why))
            }
            Self::Python(error) => error,
        }
    }
}

impl From<EncodeError> for Fault {
    fn from(error: EncodeError) -> Self {
        match error {
            // Nobody is asked for room here; it would be the same.
            EncodeError::TooLarge { .. } | EncodeError::NoRoom { .. } => Self::TooLarge(error),
            EncodeError::TooDeep => Self::new(format!(
                "more than {MAX_DEPTH} lists and dicts are inside each other"
            )),
            EncodeError::OddLength(error) => Self::new(error.to_string()),
        }
    }
}

impl From<PyErr> for Fault {
    fn from(error: PyErr) -> Self {
        Self::Python(error)
    }
}

fn write(out: &mut Encoder<'_>, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
    match write_own(out, value)? {
        true => Ok(()),
        false => write_other(out, value),
    }
}

/// Python's own types. Whether it is of one of them.
fn write_own(out: &mut Encoder<'_>, value: &Bound<'_, PyAny>) -> Result<bool, Fault> {
    if value.is_none() {
        out.null()?;
    } else if let Ok(text) = value.cast::<PyString>() {
        out.string(utf8(text)?)?;
    } else if let Ok(bool) = value.cast::<PyBool>() {
        out.bool(bool.is_true())?;
    } else if let Ok(integer) = value.cast::<PyInt>() {
        write_integer(out, integer)?;
    } else if let Ok(float) = value.cast::<PyFloat>() {
        out.float(float.value())?;
    } else if let Ok(dict) = value.cast::<PyDict>() {
        write_dict(out, dict)?;
    } else if let Ok(list) = value.cast::<PyList>() {
        // No code of the user's may change it meanwhile.
        write_items(out, &list.to_tuple())?;
    } else if let Ok(tuple) = value.cast::<PyTuple>() {
        write_items(out, tuple)?;
    } else if let Ok(bytes) = value.cast::<PyBytes>() {
        out.bytes(bytes.as_bytes())?;
    } else if let Ok(date) = value.cast::<PyDateTime>() {
        out.date(milliseconds(date)?)?;
    } else {
        return Ok(false);
    }
    Ok(true)
}

fn utf8<'a>(text: &'a Bound<'_, PyString>) -> Result<&'a str, Fault> {
    let fault = |_| Fault::new("a str with half of a surrogate pair, which is no Unicode");
    text.to_str().map_err(fault)
}

fn write_integer(out: &mut Encoder<'_>, integer: &Bound<'_, PyInt>) -> Result<(), Fault> {
    if let Ok(small) = integer.extract::<i64>()
        && EXACT.contains(&small)
    {
        return Ok(out.integer(small)?);
    }
    let int = integer.py().get_type::<PyInt>();
    let hex: String = int.call_method1("__format__", (integer, "x"))?.extract()?;
    let big = BigInteger::from_hex(&hex).map_err(|error| Fault::new(error.to_string()))?;
    Ok(out.big_integer(&big)?)
}

fn write_items(out: &mut Encoder<'_>, items: &Bound<'_, PyTuple>) -> Result<(), Fault> {
    out.begin_array(items.len())?;
    for (index, item) in items.iter().enumerate() {
        write(out, &item).map_err(|fault| fault.at(|| format!("[{index}]")))?;
    }
    out.end();
    Ok(())
}

fn write_dict(out: &mut Encoder<'_>, dict: &Bound<'_, PyDict>) -> Result<(), Fault> {
    // A list of its own: the iterator panics where code of the user's changes the dict meanwhile.
    let items = dict.items();
    out.begin_object(items.len())?;
    for item in items.iter() {
        let (key, value) = item.extract::<(Bound<'_, PyAny>, Bound<'_, PyAny>)>()?;
        let Ok(key) = key.cast::<PyString>() else {
            let (said, kind) = (key.repr()?, key.get_type().name()?);
            let said = said.to_string_lossy();
            let start: String = said.chars().take(PATH_MAX).collect();
            let rest = if said.len() > start.len() { "…" } else { "" };
            let why = format!("the key {start}{rest} is of the type {kind}, and keys are str");
            return Err(Fault::new(why));
        };
        let key = utf8(key)?;
        out.key(key)?;
        write(out, &value).map_err(|fault| fault.at(|| step(key)))?;
    }
    out.end();
    Ok(())
}

/// The way to a property.
fn step(key: &str) -> String {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    match !key.is_empty() && key.bytes().all(is_name) {
        true => format!(".{key}"),
        false => format!("[{key:?}]"),
    }
}

/// Since 1970.
fn milliseconds(date: &Bound<'_, PyDateTime>) -> Result<f64, Fault> {
    static TO_MS: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = date.py();
    let load = || Ok::<_, PyErr>(py.import("madrpc._dates")?.getattr("to_ms")?.unbind());
    let ms = TO_MS.get_or_try_init(py, load)?.bind(py).call1((date,))?;
    ms.extract::<Option<f64>>()?.ok_or_else(|| {
        Fault::new("a datetime without a time zone: give it one, as by .astimezone()")
    })
}

/// Buffers, numpy's scalars, and what cannot travel.
fn write_other(out: &mut Encoder<'_>, value: &Bound<'_, PyAny>) -> Result<(), Fault> {
    if let Some(dtype) = value.getattr_opt(intern!(value.py(), "dtype"))? {
        if let Some(why) = why_not_as_it_is(value, &dtype)? {
            return Err(Fault::new(why));
        }
        if is_scalar(value)? {
            let item = value.call_method0(intern!(value.py(), "item"))?;
            // Asked once: items of items might have no end.
            return match write_own(out, &item)? {
                true => Ok(()),
                false => Err(cannot_travel(&item)?),
            };
        }
    }
    match PyUntypedBuffer::get(value) {
        Ok(buffer) => write_buffer(out, &buffer),
        // As of a memoryview that was released.
        Err(error) if error.is_instance_of::<PyValueError>(value.py()) => {
            let name = value.get_type().fully_qualified_name()?;
            let why = error.value(value.py());
            Err(Fault::new(format!("a {name} cannot travel: {why}")))
        }
        Err(_) => Err(cannot_travel(value)?),
    }
}

/// One of numpy's, or an array of no dimension.
fn is_scalar(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    let dimensions = value.getattr_opt(intern!(value.py(), "ndim"))?;
    Ok(dimensions.is_some_and(|dimensions| matches!(dimensions.extract(), Ok(0))))
}

/// What would travel as numbers that say something else.
fn why_not_as_it_is(
    value: &Bound<'_, PyAny>,
    dtype: &Bound<'_, PyAny>,
) -> PyResult<Option<&'static str>> {
    // A class has attributes that are no values.
    let kind = dtype.getattr_opt(intern!(value.py(), "kind"))?;
    Ok(match kind.and_then(|kind| kind.extract::<char>().ok()) {
        Some('M') => Some(
            "a numpy datetime64 cannot travel: give milliseconds since 1970, as by .astype('M8[ms]').astype(float)",
        ),
        Some('m') => Some(
            "a numpy timedelta64 cannot travel: give milliseconds, as by .astype('m8[ms]').astype(float)",
        ),
        _ if is_masked(value)? => {
            Some("a masked array cannot travel: give its filled(), or its tolist()")
        }
        _ => None,
    })
}

/// Where nobody has imported that module, there is none. To ask for attributes that are not there would cost a scalar as much as
/// all else.
fn is_masked(value: &Bound<'_, PyAny>) -> PyResult<bool> {
    static MODULES: PyOnceLock<Py<PyDict>> = PyOnceLock::new();
    static MASKED: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let py = value.py();
    if let Some(class) = MASKED.get(py) {
        return value.is_instance(class.bind(py));
    }
    let modules = || {
        let modules = py.import("sys")?.getattr("modules")?;
        Ok::<_, PyErr>(modules.cast_into::<PyDict>()?.unbind())
    };
    let modules = MODULES.get_or_try_init(py, modules)?.bind(py);
    let Some(module) = modules.get_item(intern!(py, "numpy.ma"))? else {
        return Ok(false);
    };
    // While it is being imported it has none.
    let Some(class) = module.getattr_opt("MaskedArray")? else {
        return Ok(false);
    };
    let is_masked = value.is_instance(&class);
    // Another thread may have been first.
    let _ = MASKED.set(py, class.unbind());
    is_masked
}

/// Says what to give instead.
fn cannot_travel(value: &Bound<'_, PyAny>) -> PyResult<Fault> {
    let kind = value.get_type();
    let hint = match kind.name()?.to_str()? {
        "set" | "frozenset" => ": give a list",
        "date" => ": give a datetime, or its isoformat()",
        "time" => ": give its isoformat()",
        "timedelta" | "Timedelta" => ": give its total_seconds()",
        "Decimal" | "Fraction" => ": give a float or a str",
        "complex" => ": give a list of its real and its imag",
        "UUID" => ": give its str()",
        "Series" | "Index" => ": give its to_numpy()",
        "DataFrame" => ": give its to_dict('list')",
        _ if value.hasattr("__fspath__")? => ": give its str()",
        _ if value.hasattr("__array__")? => {
            ": give numpy.asarray() of it, converted as by .astype(float)"
        }
        _ if value.hasattr("__dataclass_fields__")? => ": give its dataclasses.asdict()",
        _ if value.hasattr("__next__")? => ": give a list, or use map",
        // Of a class it is that of its instances.
        _ if value.hasattr("__iter__")? && !value.is_instance_of::<PyType>() => ": give a list",
        _ => "",
    };
    let name = kind.fully_qualified_name()?;
    Ok(Fault::new(format!("a {name} cannot travel{hint}")))
}

fn write_buffer(out: &mut Encoder<'_>, buffer: &PyUntypedBuffer) -> Result<(), Fault> {
    let (format, size) = (buffer.format().to_bytes(), buffer.item_size());
    let Some(kind) = kind(format, size) else {
        let format = String::from_utf8_lossy(format);
        let why = format!(
            "an array of elements {format:?} of {size} bytes, which no typed array has: give its tolist(), or convert it, as by .astype(float)"
        );
        return Err(Fault::new(why));
    };
    if buffer.dimensions() != 1 {
        let dimensions = buffer.dimensions();
        let why = format!(
            "an array of {dimensions} dimensions, and typed arrays have one: give its ravel(), and its shape beside it"
        );
        return Err(Fault::new(why));
    }
    let pointer = buffer.buf_ptr().cast_const().cast::<u8>();
    if buffer.is_c_contiguous() {
        let bytes = match buffer.len_bytes() {
            0 => &[],
            // SAFETY: the buffer is of so many bytes, and is held until they are copied.
            len => unsafe { std::slice::from_raw_parts(pointer, len) },
        };
        return Ok(out.typed_array(kind, bytes)?);
    }
    if buffer.suboffsets().is_some() {
        return Err(Fault::new("an array of pointers: give a copy"));
    }
    let stride = buffer.strides().first().copied().unwrap_or_default();
    out.begin_typed_array(kind, buffer.len_bytes())?;
    for index in 0..buffer.item_count() {
        let offset = stride.wrapping_mul(index.cast_signed());
        // SAFETY: the element is there, as the buffer's shape and stride say.
        let element = unsafe { std::slice::from_raw_parts(pointer.offset(offset), size) };
        out.more(element)?;
    }
    Ok(())
}

/// What has elements of this format, as the module struct writes it.
fn kind(format: &[u8], size: usize) -> Option<TypedArrayKind> {
    let format = match format {
        [b'@' | b'=' | b'<', rest @ ..] => rest,
        all => all,
    };
    Some(match (format, size) {
        (b"b", 1) => TypedArrayKind::Int8,
        (b"B", 1) => TypedArrayKind::Uint8,
        (b"h", 2) => TypedArrayKind::Int16,
        (b"H", 2) => TypedArrayKind::Uint16,
        (b"i" | b"l", 4) => TypedArrayKind::Int32,
        (b"I" | b"L", 4) => TypedArrayKind::Uint32,
        (b"e", 2) => TypedArrayKind::Float16,
        (b"f", 4) => TypedArrayKind::Float32,
        (b"d", 8) => TypedArrayKind::Float64,
        (b"l" | b"q", 8) => TypedArrayKind::BigInt64,
        (b"L" | b"Q", 8) => TypedArrayKind::BigUint64,
        _ => return None,
    })
}
