//! A call for each item: so many under way, replies taken and given in batches, in the order of the items or as they come.

use crate::client::{OfProcess, Options};
use crate::decode;
use crate::encode::argument;
use crate::errors::{apart, to_py};
use crate::wait::{Bell, take, this_thread_waker, wait};
use bytes::Bytes;
use madrpc_core::numbers::later;
use madrpc_shard::client::Ended;
use pyo3::prelude::*;
use pyo3::types::PyIterator;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// In order, results may wait for an earlier one: so many times those under way are begun or held.
const HELD_PER_CALL: usize = 8;

/// How long items are taken before results are looked for: the iterator may be slow.
const FILL_TIME: Duration = Duration::from_millis(1);

/// What has become of an item.
enum Slot {
    UnderWay,
    Value(Py<PyAny>),
    Failed(PyErr),
}

#[pyclass(module = "madrpc._native")]
pub(crate) struct Map(pub(crate) OfProcess<Mapping>);

pub(crate) struct Mapping {
    client: madrpc_shard::client::Client,
    calls: madrpc_shard::client::Calls,
    function: String,
    options: Options,
    /// The items; `None` where they have ended.
    input: Option<Py<PyAny>>,
    /// They are pushed, and have not ended.
    is_pushed: bool,
    concurrency: usize,
    is_ordered: bool,
    returns_exceptions: bool,
    /// Of the item that comes next.
    number: u64,
    /// In order: what has become of each item that was begun and whose result was not given, the oldest first.
    slots: VecDeque<Slot>,
    /// The number of the first of them.
    first: u64,
    /// Results to be given.
    out: Vec<Py<PyAny>>,
    failed: Option<PyErr>,
    bell: Option<Bell>,
}

impl Mapping {
    pub(crate) fn new(
        client: madrpc_shard::client::Client,
        function: String,
        input: Option<Py<PyAny>>,
        options: Options,
        (concurrency, is_ordered): (usize, bool),
        returns_exceptions: bool,
    ) -> Self {
        Self {
            calls: client.calls(),
            client,
            function,
            options,
            is_pushed: input.is_none(),
            input,
            concurrency,
            is_ordered,
            returns_exceptions,
            number: 0,
            slots: VecDeque::new(),
            first: 0,
            out: Vec::new(),
            failed: None,
            bell: None,
        }
    }

    fn room(&self) -> usize {
        let under_way = self.concurrency.saturating_sub(self.calls.len());
        let held = self.concurrency.saturating_mul(HELD_PER_CALL);
        let room = under_way.min(held.saturating_sub(self.slots.len()));
        if self.failed.is_some() { 0 } else { room }
    }

    /// Takes items and begins their calls, for a bounded time. Whether no more can be begun for now.
    fn fill(&mut self, py: Python<'_>) -> PyResult<bool> {
        let until = later(Instant::now(), FILL_TIME);
        while let Some(input) = &self.input {
            if self.room() == 0 {
                return Ok(true);
            }
            // It is one, as `iter` has made it.
            let mut items = input.bind(py).cast::<PyIterator>()?.clone();
            match items.next().map(|item| apart(py, item)).transpose()? {
                None => self.end(),
                Some(Err(error)) => {
                    self.end();
                    self.settle(py, None, Err(error));
                }
                Some(Ok(item)) => self.begin(&item)?,
            }
            if Instant::now() >= until {
                return Ok(self.input.is_none());
            }
        }
        Ok(true)
    }

    fn end(&mut self) {
        self.input = None;
        self.is_pushed = false;
    }

    fn begin(&mut self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        let (py, number) = (item.py(), self.number);
        let body = argument(item, "args").map_err(|error| in_item(py, number, error));
        let begun = body.and_then(|body: Bytes| {
            let call = self.options.prepare(&self.client, &self.function);
            let begun = self.calls.begin(number, &call, body);
            begun.map_err(|error| to_py(py, &error))
        });
        self.number = number.saturating_add(1);
        if self.is_ordered {
            self.slots.push_back(Slot::UnderWay);
        }
        if let Err(error) = apart(py, begun)? {
            let result = self.returned(py, error);
            self.settle(py, Some(number), result);
        }
        Ok(())
    }

    /// An exception as a result, where it is one.
    fn returned(&self, py: Python<'_>, error: PyErr) -> PyResult<Py<PyAny>> {
        match self.returns_exceptions {
            true => Ok(error.into_value(py).into_any()),
            false => Err(error),
        }
    }

    fn on_ended(&mut self, py: Python<'_>, ended: Vec<Ended>) -> PyResult<()> {
        for Ended { tag, result } in ended {
            let result = match result {
                Ok(reply) => decode::value(py, &reply.result).map(Bound::unbind),
                Err(error) => Err(to_py(py, &error)),
            };
            let result = apart(py, result)?.or_else(|error| self.returned(py, error));
            self.settle(py, Some(tag), result);
        }
        while self.is_ordered
            && self.failed.is_none()
            && let Some(slot) = self
                .slots
                .pop_front_if(|slot| !matches!(slot, Slot::UnderWay))
        {
            self.first = self.first.saturating_add(1);
            match slot {
                Slot::Value(value) => self.out.push(value),
                Slot::Failed(error) => self.failed = Some(error),
                Slot::UnderWay => {}
            }
        }
        Ok(())
    }

    /// What has become of this item; without a number, of the next one, which could not be had.
    fn settle(&mut self, py: Python<'_>, number: Option<u64>, result: PyResult<Py<PyAny>>) {
        if result.is_err() {
            // Nothing more is begun.
            self.end();
        }
        let slot = match (result, self.is_ordered) {
            (Ok(value), false) => return self.out.push(value),
            (Err(error), false) => {
                self.failed.get_or_insert_with(|| error.clone_ref(py));
                return;
            }
            (Ok(value), true) => Slot::Value(value),
            (Err(error), true) => Slot::Failed(error),
        };
        let index = number.map(|number| number.saturating_sub(self.first));
        let index = index.and_then(|index| usize::try_from(index).ok());
        match index.and_then(|index| self.slots.get_mut(index)) {
            Some(place) => *place = slot,
            None => self.slots.push_back(slot),
        }
    }

    /// The results that there are. An error comes after those before it.
    fn results(&mut self) -> PyResult<Option<Vec<Py<PyAny>>>> {
        if !self.out.is_empty() {
            return Ok(Some(std::mem::take(&mut self.out)));
        }
        match self.failed.take() {
            Some(error) => {
                self.slots.clear();
                self.end();
                self.calls = self.client.calls();
                Err(error)
            }
            None => Ok(None),
        }
    }

    fn is_over(&self) -> bool {
        let is_waited_for = !self.calls.is_empty() || !self.slots.is_empty();
        !is_waited_for && self.input.is_none() && !self.is_pushed
    }
}

#[pymethods]
impl Map {
    /// The next results, waited for; `None` at the end.
    fn next_batch(&mut self, py: Python<'_>) -> PyResult<Option<Vec<Py<PyAny>>>> {
        let map = self.0.get_mut()?;
        let waker = this_thread_waker();
        loop {
            let mut ended = Vec::new();
            take(&mut map.calls, &waker, &mut ended);
            map.on_ended(py, ended)?;
            let is_full = map.fill(py)?;
            // What could not be begun.
            map.on_ended(py, Vec::new())?;
            if let Some(results) = map.results()? {
                return Ok(Some(results));
            }
            if map.is_over() {
                return Ok(None);
            }
            if is_full {
                let ended = wait(py, &mut map.calls, None, false)?;
                map.on_ended(py, ended)?;
            }
            py.check_signals()?;
        }
    }

    /// A descriptor that can be read when `poll` has something to tell.
    fn fileno(&mut self) -> PyResult<i32> {
        Bell::fileno_of(&mut self.0.get_mut()?.bell)
    }

    /// The results that there are, and whether there may be more without waiting; `None` at the end.
    fn poll(&mut self, py: Python<'_>) -> PyResult<Option<(Vec<Py<PyAny>>, bool)>> {
        let map = self.0.get_mut()?;
        let Some(bell) = &map.bell else {
            return Ok(None);
        };
        bell.silence();
        let mut ended = Vec::new();
        take(&mut map.calls, bell.waker(), &mut ended);
        map.on_ended(py, ended)?;
        let is_full = map.fill(py)?;
        // It hears of what was begun since.
        let mut ended = Vec::new();
        if let Some(bell) = &map.bell {
            take(&mut map.calls, bell.waker(), &mut ended);
        }
        map.on_ended(py, ended)?;
        match map.results()? {
            Some(results) => Ok(Some((results, true))),
            None if map.is_over() => Ok(None),
            None => Ok(Some((Vec::new(), !is_full))),
        }
    }

    /// How many items can be pushed.
    fn wants(&self) -> PyResult<usize> {
        let map = self.0.get()?;
        Ok(if map.is_pushed { map.room() } else { 0 })
    }

    /// Begins the call of an item.
    fn push(&mut self, item: &Bound<'_, PyAny>) -> PyResult<()> {
        self.0.get_mut()?.begin(item)
    }

    /// There are no more items. An exception of theirs comes after the results before it, or at once where it is no `Exception`.
    #[pyo3(signature = (error=None))]
    fn finish(&mut self, py: Python<'_>, error: Option<Py<PyAny>>) -> PyResult<()> {
        let map = self.0.get_mut()?;
        map.end();
        let error = error.map(|error| PyErr::from_value(error.into_bound(py)));
        match error.map(|error| apart(py, Err(error))) {
            Some(Ok(error)) => map.settle(py, None, error),
            Some(Err(error)) => {
                map.out.clear();
                map.failed = Some(error);
            }
            None => {}
        }
        Ok(())
    }

    /// Gives up what is under way.
    fn cancel(&mut self) {
        // In a fork it is another's.
        if let Ok(map) = self.0.get_mut() {
            map.end();
            map.slots.clear();
            map.out.clear();
            map.failed = None;
            map.calls = map.client.calls();
        }
    }
}

/// The same error, which also says of which item it is.
fn in_item(py: Python<'_>, number: u64, error: PyErr) -> PyErr {
    use pyo3::exceptions::PyTypeError;
    match error.is_instance_of::<PyTypeError>(py) {
        true => PyTypeError::new_err(format!("item {number}: {}", error.value(py))),
        false => error,
    }
}
