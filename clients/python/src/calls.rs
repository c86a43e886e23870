//! Many calls of one thread or one event loop, each known by a number of its own.

use crate::client::{OfProcess, Options, text};
use crate::decode;
use crate::encode::arguments;
use crate::errors::{self, apart, to_py};
use crate::wait::{Bell, take, wait};
use madrpc_core::numbers::{later, seconds};
use madrpc_shard::client::Ended;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::time::Instant;

#[pyclass(module = "madrpc._native")]
pub(crate) struct Calls(pub(crate) OfProcess<Batch>);

pub(crate) struct Batch {
    client: madrpc_shard::client::Client,
    calls: madrpc_shard::client::Calls,
    /// Those that nobody was told of yet.
    ended: Vec<Ended>,
    bell: Option<Bell>,
}

/// The number of a call, whether it returned, what it returned or the exception, and the bill.
type Told<'py> = (u64, bool, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

impl Batch {
    pub(crate) fn new(client: madrpc_shard::client::Client) -> Self {
        Self {
            calls: client.calls(),
            client,
            ended: Vec::new(),
            bell: None,
        }
    }

    fn tell<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Told<'py>>> {
        let told: PyResult<Vec<_>> = self.ended.iter().map(|ended| told(py, ended)).collect();
        match (&told, &self.bell) {
            (Ok(_), _) => self.ended.clear(),
            // Who was interrupted is told of all of them the next time.
            (Err(_), Some(bell)) => bell.waker().wake_by_ref(),
            (Err(_), None) => {}
        }
        told
    }
}

#[pymethods]
impl Calls {
    fn begin(
        &mut self,
        py: Python<'_>,
        tag: u64,
        function: &Bound<'_, PyAny>,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        options: Options,
    ) -> PyResult<()> {
        let Batch { client, calls, .. } = self.0.get_mut()?;
        let body = arguments(args, kwargs)?;
        let begun = calls.begin(
            tag,
            &options.prepare(client, text(function, "function")?),
            body,
        );
        begun.map_err(|error| to_py(py, &error))
    }

    fn cancel(&mut self, tag: u64) -> PyResult<()> {
        self.0.get_mut()?.calls.cancel(tag);
        Ok(())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.0.get()?.calls.len())
    }

    /// Waits for calls that end, at most for so many seconds; ends with none where the thread is woken.
    fn wait<'py>(&mut self, py: Python<'py>, timeout: f64) -> PyResult<Vec<Told<'py>>> {
        let batch = self.0.get_mut()?;
        if batch.ended.is_empty() {
            let until = later(Instant::now(), seconds(timeout));
            batch.ended = wait(py, &mut batch.calls, Some(until), true)?;
        }
        batch.tell(py)
    }

    /// A descriptor that can be read when `poll` has something to tell.
    fn fileno(&mut self) -> PyResult<i32> {
        Bell::fileno_of(&mut self.0.get_mut()?.bell)
    }

    /// The calls that have ended.
    fn poll<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Told<'py>>> {
        let batch = self.0.get_mut()?;
        if let Some(bell) = &batch.bell {
            bell.silence();
            take(&mut batch.calls, bell.waker(), &mut batch.ended);
        }
        batch.tell(py)
    }
}

fn told<'py>(py: Python<'py>, ended: &Ended) -> PyResult<Told<'py>> {
    let tag = ended.tag;
    let told = match &ended.result {
        Ok(reply) => decode::value(py, &reply.result)
            .and_then(|value| Ok((tag, true, value, Some(errors::bill(py, &reply.bill)?)))),
        Err(error) => errors::exception(py, error).map(|error| (tag, false, error, None)),
    };
    let failed = |error: PyErr| {
        let error = error.into_value(py).into_bound(py).into_any();
        (tag, false, error, None)
    };
    Ok(apart(py, told)?.unwrap_or_else(failed))
}
