//! The items of a function that streams, one by one: what is not taken keeps the function waiting.

use crate::client::OfProcess;
use crate::decode;
use crate::errors::{self, to_py};
use crate::wait::{Bell, until_ready};
use bytes::Bytes;
use futures_lite::Stream as _;
use madrpc_core::call::CallError;
use madrpc_shard::client::EncodedItems;
use pyo3::exceptions::{PyRuntimeError, PyStopAsyncIteration, PyStopIteration};
use pyo3::prelude::*;
use std::pin::Pin;
use std::task::{Context, Poll};

#[pyclass(module = "madrpc._native")]
pub(crate) struct Stream(OfProcess<Streaming>);

struct Streaming {
    items: EncodedItems,
    end: End,
    bell: Option<Bell>,
}

type Came = Result<Bytes, CallError>;

/// How it has ended.
enum End {
    NotYet,
    /// With this result, and this bill.
    Reply(Py<PyAny>, Py<PyAny>),
    Early,
}

impl Stream {
    pub(crate) fn new(items: EncodedItems) -> Self {
        let end = End::NotYet;
        let bell = None;
        Self(OfProcess::new(Streaming { items, end, bell }))
    }
}

impl Streaming {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Option<Came>> {
        Pin::new(&mut self.items).poll_next(context)
    }

    /// The same; where there is nothing, the bell rings when there is.
    fn poll_heard(&mut self) -> PyResult<Poll<Option<Came>>> {
        Bell::fileno_of(&mut self.bell)?;
        let Some(bell) = &self.bell else {
            return Ok(Poll::Pending);
        };
        let mut context = Context::from_waker(bell.waker());
        let mut items = Pin::new(&mut self.items);
        let polled = items.as_mut().poll_next(&mut context);
        if polled.is_ready() {
            return Ok(polled);
        }
        // It may ring for what was taken since.
        bell.silence();
        Ok(items.poll_next(&mut context))
    }

    /// An item, or nothing at the end. Whatever is raised is the end too.
    fn take<'py>(
        &mut self,
        py: Python<'py>,
        item: PyResult<Option<Came>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let taken = match item {
            Ok(Some(Ok(item))) => decode::value(py, &item).map(Some),
            Ok(Some(Err(error))) => Err(to_py(py, &error)),
            Ok(None) => self.settle(py).map(|()| None),
            Err(error) => Err(error),
        };
        if taken.is_err() {
            self.cancel();
        }
        taken
    }

    /// No more items come.
    fn settle(&mut self, py: Python<'_>) -> PyResult<()> {
        if let (End::NotYet, Some(reply)) = (&self.end, self.items.reply()) {
            let result = decode::value(py, &reply.result)?.unbind();
            self.end = End::Reply(result, errors::bill(py, &reply.bill)?.unbind());
        }
        Ok(())
    }

    fn cancel(&mut self) {
        self.items.cancel();
        if matches!(self.end, End::NotYet) {
            self.end = End::Early;
        }
    }
}

/// Who waits in a stream has it.
fn entered<'py>(stream: &Bound<'py, Stream>) -> PyResult<PyRefMut<'py, Stream>> {
    stream.try_borrow_mut().map_err(|_| {
        let why =
            "another thread waits for the next item of this stream: it alone can close it, or end";
        PyRuntimeError::new_err(why)
    })
}

#[pymethods]
impl Stream {
    /// Waits for the next item; `StopIteration` is the end.
    fn next<'py>(stream: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = stream.py();
        let mut stream = entered(stream)?;
        let streaming = stream.0.get_mut()?;
        let item = until_ready(py, None, false, |context| streaming.poll(context));
        let item = streaming.take(py, item.map(Option::flatten))?;
        item.ok_or_else(|| PyStopIteration::new_err(()))
    }

    /// A descriptor that can be read when `poll` has something to tell.
    fn fileno(&mut self) -> PyResult<i32> {
        Bell::fileno_of(&mut self.0.get_mut()?.bell)
    }

    /// The next item, alone in a tuple, where there is one; `StopAsyncIteration` is the end.
    fn poll<'py>(&mut self, py: Python<'py>) -> PyResult<Option<(Bound<'py, PyAny>,)>> {
        match self.0.get_mut()?.poll_heard()? {
            Poll::Pending => Ok(None),
            Poll::Ready(item) => match self.0.get_mut()?.take(py, Ok(item))? {
                Some(item) => Ok(Some((item,))),
                None => Err(PyStopAsyncIteration::new_err(())),
            },
        }
    }

    /// Cancels the call, where it has not ended; there are no more items.
    fn close(stream: &Bound<'_, Self>) -> PyResult<()> {
        // In a fork it is another's.
        if let Ok(streaming) = entered(stream)?.0.get_mut() {
            streaming.cancel();
        }
        Ok(())
    }

    /// The result and the bill.
    fn reply(&self, py: Python<'_>) -> PyResult<(Py<PyAny>, Py<PyAny>)> {
        let why = match &self.0.get()?.end {
            End::Reply(result, bill) => return Ok((result.clone_ref(py), bill.clone_ref(py))),
            End::NotYet => "the stream has not ended: its result and its bill come after its items",
            End::Early => "the stream has no result: it was closed, or failed, before its end",
        };
        Err(PyRuntimeError::new_err(why))
    }
}
