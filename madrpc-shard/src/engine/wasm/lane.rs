//! What a lane has of `WebAssembly`: the modules that it knows by numbers, and a store once it has made something of them.

use super::super::exchange::{Exchange, lend};
use super::super::kernels::wait_until;
use super::compiler::{Asked, compile, validate};
use super::limits::{LANE_MODULES_KEPT, LANE_MODULES_MAX};
use super::module::Compiled;
use super::store::Held;
use bytes::Bytes;
use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::Arc;

/// What a lane has.
#[derive(Default)]
pub(in super::super) struct LaneWasm {
    modules: RefCell<Vec<Arc<Compiled>>>,
    /// How many of them the script made while it loaded.
    loaded: Cell<usize>,
    held: Cell<Option<NonNull<Held>>>,
}

/// How it was when the script was loaded.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Mark(usize);

/// Why there is no module.
pub(super) enum NoModule {
    /// The call has to end.
    Stopped,
    /// In words, what is wrong with it.
    Wrong(String),
    TooMany,
}

impl LaneWasm {
    /// What it can be taken back to; `None` where it has a store, which cannot be.
    pub(in super::super) fn mark(&self) -> Option<Mark> {
        self.held.get().is_none().then(|| Mark(self.loaded.get()))
    }

    /// The script is loaded.
    pub(in super::super) fn on_loaded(&self) {
        self.loaded.set(self.modules.borrow().len());
    }

    /// Takes it back. What runs in its store is dropped wherever it is.
    ///
    /// # Safety
    /// The lane is not resumed where it is, nor is any JavaScript object used that was made since.
    pub(in super::super) unsafe fn rewind(&self, mark: Mark) {
        self.drop_held();
        self.modules.borrow_mut().truncate(mark.0);
    }

    fn drop_held(&self) {
        if let Some(held) = self.held.take() {
            // SAFETY: it was leaked by `begin`, and nobody uses it any more.
            drop(unsafe { Box::from_raw(held.as_ptr()) });
        }
    }

    /// Whether calls have left so much that the lane has to be renewed.
    pub(in super::super) fn is_worn(&self) -> bool {
        self.modules.borrow().len() > self.loaded.get() + LANE_MODULES_KEPT
    }

    /// Gives a part of its memories back, where the lane runs no further step of a script's; says whether there was something.
    pub(in super::super) fn shrink(&self) -> bool {
        self.held().is_some_and(|held| {
            if held.running.take().is_some() {
                held.is_dropped.set(true);
            }
            held.memories_made.shrink()
        })
    }

    pub(super) fn held(&self) -> Option<&Held> {
        // SAFETY: it stays until the lane is taken back or dropped, where it does not run.
        self.held.get().map(|held| unsafe { held.as_ref() })
    }

    /// The store, which there is from here on.
    pub(super) fn begin(&self, exchange: &Exchange) -> Result<&Held, &'static str> {
        if self.held.get().is_none() {
            let held = Box::new(Held::new(&exchange.lane.heap)?);
            self.held.set(Some(NonNull::from(Box::leak(held))));
        }
        self.held().ok_or("there is no store")
    }

    pub(super) fn module(&self, number: usize) -> Option<Arc<Compiled>> {
        self.modules.borrow().get(number).cloned()
    }

    /// The number of a module, which is compiled where nobody has it yet. Meanwhile the lane waits without the core.
    pub(super) fn compile(&self, exchange: &Exchange, bytes: Bytes) -> Result<usize, NoModule> {
        let module = wait(exchange, bytes, compile)?;
        self.number(&module).ok_or(NoModule::TooMany)
    }

    fn number(&self, module: &Arc<Compiled>) -> Option<usize> {
        let mut modules = self.modules.borrow_mut();
        let known = modules.iter().position(|known| Arc::ptr_eq(known, module));
        if known.is_some() {
            return known;
        }
        let has_room = modules.len() < LANE_MODULES_MAX;
        has_room.then(|| {
            modules.push(Arc::clone(module));
            modules.len() - 1
        })
    }
}

/// Whether these bytes are a module.
pub(super) fn validate_in(exchange: &Exchange, bytes: Bytes) -> Result<bool, NoModule> {
    wait(exchange, bytes, validate)
}

/// Has the compiler asked, and waits for its answer. The bytes count as the lane's until then.
fn wait<T: Clone>(
    exchange: &Exchange,
    bytes: Bytes,
    ask: impl FnOnce(Bytes) -> Arc<Asked<T>>,
) -> Result<T, NoModule> {
    let (_, answer) = lend(&exchange.read, bytes, |bytes| {
        let asked = ask(bytes.clone());
        let is_done = wait_until(exchange, || asked.answer().is_some());
        asked.answer().filter(|_| is_done).cloned()
    });
    match answer {
        Some(Ok(made)) => Ok(made),
        Some(Err(words)) => Err(NoModule::Wrong(words)),
        None => Err(NoModule::Stopped),
    }
}

impl Drop for LaneWasm {
    fn drop(&mut self) {
        self.drop_held();
    }
}
