//! A client, and the calls that are waited for one by one.

use crate::calls::{Batch, Calls};
use crate::decode;
use crate::encode::arguments;
use crate::errors::{self, to_py};
use crate::map::{Map, Mapping};
use crate::stream::Stream;
use crate::wait::wait;
use madrpc_core::call::Trace;
use madrpc_core::identity::{Identity, Role};
use madrpc_core::numbers::seconds;
use madrpc_shard::client::{ClientConfig, ClientError, Reply};
use pyo3::exceptions::{PyOSError, PyOverflowError, PyRuntimeError, PyTypeError, PyValueError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyTuple};
use std::mem::ManuallyDrop;
use std::path::{Path, PathBuf};

/// How a call is made, besides its function and its argument.
#[derive(Clone, FromPyObject)]
pub(crate) struct Options(f64, Option<Vec<u8>>, Option<String>, bool);

impl Options {
    pub(crate) fn prepare<'a>(
        &'a self,
        client: &'a madrpc_shard::client::Client,
        function: &'a str,
    ) -> madrpc_shard::client::Call<'a> {
        let call = client.prepare(function).timeout(seconds(self.0));
        let mut call = call.idempotent(self.3);
        if let Some(key) = &self.1 {
            call = call.key(key);
        }
        // It was looked at as the option was set.
        if let Some(trace) = self.2.as_deref().and_then(|text| text.parse().ok()) {
            call = call.trace(trace);
        }
        call
    }
}

/// Raises where a text is no `traceparent`.
#[pyfunction]
pub(crate) fn check_traceparent(text: &str) -> PyResult<()> {
    let read = text.parse::<Trace>();
    read.map(drop)
        .map_err(|error| PyValueError::new_err(format!("traceparent: {error}")))
}

/// What only its process has: dropped in a fork, it is none of its business. Each look at it is a system call.
pub(crate) struct OfProcess<T> {
    process: u32,
    inner: ManuallyDrop<T>,
}

impl<T> OfProcess<T> {
    pub(crate) fn new(inner: T) -> Self {
        let process = std::process::id();
        let inner = ManuallyDrop::new(inner);
        Self { process, inner }
    }

    pub(crate) fn get(&self) -> PyResult<&T> {
        self.check()?;
        Ok(&self.inner)
    }

    pub(crate) fn get_mut(&mut self) -> PyResult<&mut T> {
        self.check()?;
        Ok(&mut self.inner)
    }

    /// What was begun in one process cannot go on in its fork, which has no thread that would.
    fn check(&self) -> PyResult<()> {
        match self.process == std::process::id() {
            true => Ok(()),
            false => Err(PyRuntimeError::new_err(
                "it was begun in another process, before a fork: begin it anew",
            )),
        }
    }
}

impl<T> Drop for OfProcess<T> {
    fn drop(&mut self) {
        if self.process == std::process::id() {
            // SAFETY: it is not used again.
            unsafe { ManuallyDrop::drop(&mut self.inner) };
        }
    }
}

#[pyclass(frozen, module = "madrpc._native")]
pub(crate) struct Client(OfProcess<madrpc_shard::client::Client>);

#[pymethods]
impl Client {
    #[new]
    #[pyo3(signature = (address, tls_dir, tls_ca, tls_cert, tls_key, connections))]
    fn new(
        py: Python<'_>,
        address: &Bound<'_, PyAny>,
        tls_dir: Option<PathBuf>,
        tls_ca: Option<PathBuf>,
        tls_cert: Option<PathBuf>,
        tls_key: Option<PathBuf>,
        connections: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Self> {
        let files = (
            tls_dir.as_deref(),
            tls_ca.as_deref(),
            tls_cert.as_deref(),
            tls_key.as_deref(),
        );
        let identity = identity(files)?;
        let config = ClientConfig {
            connections: connections.map(count).transpose()?,
            ..ClientConfig::with_identity(text(address, "address")?, identity)
        };
        // Names are resolved.
        let client = py.detach(|| madrpc_shard::client::Client::new(&config));
        Ok(Self(OfProcess::new(client.map_err(refused)?)))
    }

    /// Calls a function and waits for its result, or for it and its bill.
    fn call<'py>(
        &self,
        py: Python<'py>,
        function: &Bound<'py, PyAny>,
        args: &Bound<'py, PyTuple>,
        kwargs: Option<&Bound<'py, PyDict>>,
        options: Options,
        with_bill: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let client = self.0.get()?;
        let body = arguments(args, kwargs)?;
        let mut calls = client.calls();
        let begun = calls.begin(
            0,
            &options.prepare(client, text(function, "function")?),
            body,
        );
        begun.map_err(|error| to_py(py, &error))?;
        // Dropped for a signal, they are cancelled.
        let ended = wait(py, &mut calls, None, false)?.pop();
        let ended = ended.ok_or_else(|| PyRuntimeError::new_err("the call is gone"))?;
        let Reply { result, bill } = ended.result.map_err(|error| to_py(py, &error))?;
        let value = decode::value(py, &result)?;
        match with_bill {
            false => Ok(value),
            true => Ok((value, errors::bill(py, &bill)?)
                .into_pyobject(py)?
                .into_any()),
        }
    }

    /// The items of a function that streams.
    fn stream(
        &self,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        options: Options,
    ) -> PyResult<Stream> {
        let client = self.0.get()?;
        let body = arguments(args, kwargs)?;
        let call = options.prepare(client, text(function, "function")?);
        Ok(Stream::new(call.stream_encoded(body)))
    }

    /// A place for many calls.
    fn calls(&self) -> PyResult<Calls> {
        Ok(Calls(OfProcess::new(Batch::new(self.0.get()?.clone()))))
    }

    /// A call for each item of an iterator; of none, where items are pushed.
    fn map(
        &self,
        function: &Bound<'_, PyAny>,
        input: Option<Py<PyAny>>,
        options: Options,
        concurrency: usize,
        ordered: bool,
        return_exceptions: bool,
    ) -> PyResult<Map> {
        let client = self.0.get()?.clone();
        let function = text(function, "function")?.to_owned();
        let bound = (concurrency, ordered);
        let mapping = Mapping::new(client, function, input, options, bound, return_exceptions);
        Ok(Map(OfProcess::new(mapping)))
    }

    /// Says goodbye to the servers.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        let client = self.0.get()?.clone();
        py.detach(|| client.close_blocking());
        Ok(())
    }
}

type Files<'a> = (
    Option<&'a Path>,
    Option<&'a Path>,
    Option<&'a Path>,
    Option<&'a Path>,
);

fn identity(files: Files<'_>) -> PyResult<Identity> {
    let identity = match files {
        (None, None, None, None) => Identity::of_this_user(Role::Client),
        (Some(dir), None, None, None) => Identity::from_dir(dir),
        (None, Some(ca), Some(cert), Some(key)) => Identity::from_files(ca, cert, key),
        _ => {
            let why = "give tls_dir, or tls_ca, tls_cert and tls_key together, or none of them";
            return Err(PyValueError::new_err(why));
        }
    };
    identity.map_err(|error| PyOSError::new_err(error.to_string()))
}

/// What has to be a str; `name` is what errors call it.
pub(crate) fn text<'a>(given: &'a Bound<'_, PyAny>, name: &str) -> PyResult<&'a str> {
    match given.cast::<PyString>() {
        Ok(given) => given.to_str(),
        Err(_) => {
            let kind = given.get_type().name()?;
            let why = format!("{name}: a str is wanted, not {kind}");
            Err(PyTypeError::new_err(why))
        }
    }
}

/// A number that no bound allows where it is too large or negative.
fn count(given: &Bound<'_, PyAny>) -> PyResult<usize> {
    match given.extract::<usize>() {
        Err(error) if error.is_instance_of::<PyOverflowError>(given.py()) => Ok(usize::MAX),
        given => given,
    }
}

fn refused(error: ClientError) -> PyErr {
    let why = error.to_string();
    match error {
        ClientError::Address(_) | ClientError::Connections => PyValueError::new_err(why),
        _ => PyOSError::new_err(why),
    }
}
