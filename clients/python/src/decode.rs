//! Values on their way to Python.

use crate::errors::protocol;
use madrpc_core::value::wire::{Build, DecodeError, decode};
use madrpc_core::value::{BigInteger, TypedArrayKind};
use pyo3::exceptions::{PyImportError, PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyByteArray, PyBytes, PyDict, PyInt, PyList, PyString};

/// The value that these bytes hold.
pub(crate) fn value<'py>(py: Python<'py>, bytes: &[u8]) -> PyResult<Bound<'py, PyAny>> {
    decode(bytes, &mut Builder(py)).map_err(|error| match error {
        DecodeError::Build(error) => error,
        DecodeError::Malformed(why) => protocol(py, format!("the result cannot be decoded: {why}")),
    })
}

struct Builder<'py>(Python<'py>);

impl<'py> Build for Builder<'py> {
    type Value = Bound<'py, PyAny>;
    type Array = Vec<Bound<'py, PyAny>>;
    type Object = Bound<'py, PyDict>;
    type Error = PyErr;

    fn undefined(&mut self) -> PyResult<Self::Value> {
        self.null()
    }

    fn null(&mut self) -> PyResult<Self::Value> {
        Ok(self.0.None().into_bound(self.0))
    }

    fn bool(&mut self, bool: bool) -> PyResult<Self::Value> {
        Ok(bool.into_pyobject(self.0)?.to_owned().into_any())
    }

    fn integer(&mut self, integer: i64) -> PyResult<Self::Value> {
        Ok(integer.into_pyobject(self.0)?.into_any())
    }

    fn float(&mut self, float: f64) -> PyResult<Self::Value> {
        Ok(float.into_pyobject(self.0)?.into_any())
    }

    fn big_integer(&mut self, big: BigInteger) -> PyResult<Self::Value> {
        let magnitude = self
            .0
            .get_type::<PyInt>()
            .call1((big.magnitude_hex(), 16))?;
        match big.is_negative() {
            true => magnitude.neg(),
            false => Ok(magnitude),
        }
    }

    fn string(&mut self, text: &str) -> PyResult<Self::Value> {
        Ok(PyString::new(self.0, text).into_any())
    }

    fn bytes(&mut self, bytes: &[u8]) -> PyResult<Self::Value> {
        Ok(PyBytes::new(self.0, bytes).into_any())
    }

    fn typed_array(&mut self, kind: TypedArrayKind, bytes: &[u8]) -> PyResult<Self::Value> {
        let py = self.0;
        if let Some(frombuffer) = frombuffer(py)? {
            // The one copy: what is made of it looks at the same bytes, and can be written to.
            return frombuffer.call1((PyByteArray::new(py, bytes), dtype(kind)));
        }
        let Some(format) = format(kind) else {
            let why = "a Float16Array came back, which nothing but numpy can hold";
            return Err(PyImportError::new_err(why));
        };
        let array = py.import("array")?.getattr("array")?;
        array.call1((format, PyBytes::new(py, bytes)))
    }

    fn date(&mut self, ms: f64) -> PyResult<Self::Value> {
        static OF_DATE: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
        if ms.is_nan() {
            return self.null();
        }
        let py = self.0;
        let load = || Ok::<_, PyErr>(py.import("madrpc._dates")?.getattr("from_ms")?.unbind());
        let of_date = OF_DATE.get_or_try_init(py, load)?;
        of_date.bind(py).call1((ms,)).map_err(|error| {
            let is_of_date = error.is_instance_of::<PyOverflowError>(py)
                || error.is_instance_of::<PyValueError>(py);
            if !is_of_date {
                return error;
            }
            let why = format!("a date came back that datetime has not: {ms} ms after 1970");
            PyValueError::new_err(why)
        })
    }

    fn begin_array(&mut self, _: usize) -> PyResult<Self::Array> {
        Ok(Vec::new())
    }

    fn push(&mut self, array: &mut Self::Array, _: usize, value: Self::Value) -> PyResult<()> {
        array.push(value);
        Ok(())
    }

    fn end_array(&mut self, array: Self::Array) -> PyResult<Self::Value> {
        Ok(PyList::new(self.0, array)?.into_any())
    }

    fn begin_object(&mut self, _: usize) -> PyResult<Self::Object> {
        Ok(PyDict::new(self.0))
    }

    fn set(&mut self, object: &mut Self::Object, key: &str, value: Self::Value) -> PyResult<()> {
        object.set_item(key, value)
    }

    fn end_object(&mut self, object: Self::Object) -> PyResult<Self::Value> {
        Ok(object.into_any())
    }
}

/// numpy's, where there is numpy. It is looked for once, when the first typed array comes.
fn frombuffer(py: Python<'_>) -> PyResult<Option<&Bound<'_, PyAny>>> {
    static FROMBUFFER: PyOnceLock<Option<Py<PyAny>>> = PyOnceLock::new();
    let found = FROMBUFFER.get_or_try_init(py, || match py.import("numpy") {
        Ok(numpy) => Ok(Some(numpy.getattr("frombuffer")?.unbind())),
        Err(error) if error.is_instance_of::<PyImportError>(py) => Ok(None),
        Err(error) => Err(error),
    })?;
    Ok(found.as_ref().map(|frombuffer| frombuffer.bind(py)))
}

fn dtype(kind: TypedArrayKind) -> &'static str {
    match kind {
        TypedArrayKind::Int8 => "i1",
        TypedArrayKind::Uint8 | TypedArrayKind::Uint8Clamped => "u1",
        TypedArrayKind::Int16 => "i2",
        TypedArrayKind::Uint16 => "u2",
        TypedArrayKind::Int32 => "i4",
        TypedArrayKind::Uint32 => "u4",
        TypedArrayKind::Float16 => "f2",
        TypedArrayKind::Float32 => "f4",
        TypedArrayKind::Float64 => "f8",
        TypedArrayKind::BigInt64 => "i8",
        TypedArrayKind::BigUint64 => "u8",
    }
}

/// As the module array names it.
fn format(kind: TypedArrayKind) -> Option<&'static str> {
    Some(match kind {
        TypedArrayKind::Int8 => "b",
        TypedArrayKind::Uint8 | TypedArrayKind::Uint8Clamped => "B",
        TypedArrayKind::Int16 => "h",
        TypedArrayKind::Uint16 => "H",
        TypedArrayKind::Int32 => "i",
        TypedArrayKind::Uint32 => "I",
        TypedArrayKind::Float16 => return None,
        TypedArrayKind::Float32 => "f",
        TypedArrayKind::Float64 => "d",
        TypedArrayKind::BigInt64 => "q",
        TypedArrayKind::BigUint64 => "Q",
    })
}
