//! Many calls of one thread or one event loop, each known by a number of its own.

use crate::client::{OfProcess, Options};
use crate::decode;
use crate::encode::arguments;
use crate::errors::{self, to_py};
use crate::wait::{Bell, take, wait};
use madrpc_core::numbers::{later, seconds};
use madrpc_shard::client::Ended;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};
use std::time::Instant;

#[pyclass(module = "madrpc._native")]
pub(crate) struct Calls {
    client: OfProcess<madrpc_shard::client::Client>,
    calls: OfProcess<madrpc_shard::client::Calls>,
    bell: Option<Bell>,
}

/// The number of a call, whether it returned, what it returned or the exception, and the bill.
type Told<'py> = (u64, bool, Bound<'py, PyAny>, Option<Bound<'py, PyAny>>);

impl Calls {
    pub(crate) fn new(client: madrpc_shard::client::Client) -> Self {
        Self {
            calls: OfProcess::new(client.calls()),
            client: OfProcess::new(client),
            bell: None,
        }
    }
}

#[pymethods]
impl Calls {
    fn begin(
        &mut self,
        py: Python<'_>,
        tag: u64,
        function: &str,
        args: &Bound<'_, PyTuple>,
        kwargs: Option<&Bound<'_, PyDict>>,
        options: Options,
    ) -> PyResult<()> {
        let body = arguments(args, kwargs)?;
        let call = options.prepare(self.client.get()?, function);
        let begun = self.calls.get_mut()?.begin(tag, &call, body);
        begun.map_err(|error| to_py(py, &error))
    }

    fn cancel(&mut self, tag: u64) -> PyResult<()> {
        self.calls.get_mut()?.cancel(tag);
        Ok(())
    }

    fn __len__(&self) -> PyResult<usize> {
        Ok(self.calls.get()?.len())
    }

    /// Waits for calls that end, at most for so many seconds; ends with none where the thread is woken.
    fn wait<'py>(&mut self, py: Python<'py>, timeout: f64) -> PyResult<Vec<Told<'py>>> {
        let until = later(Instant::now(), seconds(timeout));
        let ended = wait(py, self.calls.get_mut()?, Some(until), true)?;
        Ok(ended.into_iter().map(|ended| told(py, ended)).collect())
    }

    /// A descriptor that can be read when `poll` has something to tell.
    fn fileno(&mut self) -> PyResult<i32> {
        self.calls.get()?;
        if self.bell.is_none() {
            self.bell = Some(Bell::new()?);
        }
        Ok(self.bell.as_ref().map_or(-1, Bell::fileno))
    }

    /// The calls that have ended.
    fn poll<'py>(&mut self, py: Python<'py>) -> PyResult<Vec<Told<'py>>> {
        let mut ended = Vec::new();
        if let Some(bell) = &self.bell {
            bell.silence();
            take(self.calls.get_mut()?, bell.waker(), &mut ended);
        }
        Ok(ended.into_iter().map(|ended| told(py, ended)).collect())
    }
}

fn told(py: Python<'_>, ended: Ended) -> Told<'_> {
    let tag = ended.tag;
    let told = match ended.result {
        Ok(reply) => decode::value(py, &reply.result)
            .and_then(|value| Ok((tag, true, value, Some(errors::bill(py, &reply.bill)?)))),
        Err(error) => errors::exception(py, &error).map(|error| (tag, false, error, None)),
    };
    let failed = |error: PyErr| {
        (
            tag,
            false,
            error.into_value(py).into_bound(py).into_any(),
            None,
        )
    };
    told.unwrap_or_else(failed)
}
