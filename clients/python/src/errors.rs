//! Errors of calls as the exceptions of the package.

use crate::decode;
use madrpc_core::call::{Bill, CallError, ErrorKind};
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;

/// A function of the package's Python files.
fn python<'py>(
    py: Python<'py>,
    cache: &PyOnceLock<Py<PyAny>>,
    name: &str,
) -> PyResult<Bound<'py, PyAny>> {
    let load = || Ok::<_, PyErr>(py.import("madrpc._errors")?.getattr(name)?.unbind());
    Ok(cache.get_or_try_init(py, load)?.bind(py).clone())
}

pub(crate) fn bill<'py>(py: Python<'py>, bill: &Bill<String>) -> PyResult<Bound<'py, PyAny>> {
    static BILL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    python(py, &BILL, "Bill")?.call1((
        bill.queue_us,
        bill.cpu_us,
        bill.slices,
        bill.heap_peak_bytes,
        bill.shard,
        bill.node.as_str(),
    ))
}

/// Keeps what is no `Exception` apart: `KeyboardInterrupt` and its like are about the program or the task, whatever was done when
/// they came. They go up at once, and are nobody's result.
pub(crate) fn apart<T>(py: Python<'_>, result: PyResult<T>) -> PyResult<PyResult<T>> {
    match result {
        Err(error) if !error.is_instance_of::<PyException>(py) => Err(error),
        result => Ok(result),
    }
}

/// The exception, as an object.
pub(crate) fn exception<'py>(py: Python<'py>, error: &CallError) -> PyResult<Bound<'py, PyAny>> {
    static OF_CALL: PyOnceLock<Py<PyAny>> = PyOnceLock::new();
    let thrown = error.exception.as_deref();
    // What cannot be decoded is left out: the error matters more.
    let data = thrown.map(|thrown| apart(py, decode::value(py, &thrown.value)));
    let data = data.transpose()?.and_then(Result::ok);
    let bill = error.bill.as_deref().map(|bill| self::bill(py, bill));
    python(py, &OF_CALL, "of_call")?.call1((
        error.kind.name(),
        error.message.as_str(),
        error.may_have_run,
        error.retry_after.map(|after| after.as_secs_f64()),
        thrown.map(|thrown| thrown.stack.as_str()),
        data,
        bill.transpose()?,
    ))
}

pub(crate) fn to_py(py: Python<'_>, error: &CallError) -> PyErr {
    match exception(py, error) {
        Ok(exception) => PyErr::from_value(exception),
        Err(why) => why,
    }
}

pub(crate) fn protocol(py: Python<'_>, why: String) -> PyErr {
    to_py(py, &CallError::may_have_run(ErrorKind::Protocol, why))
}
