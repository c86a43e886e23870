//! The store of a lane, and what has a number in it: functions, memories, tables and globals, as JavaScript knows them.
//!
//! All of that stays as long as the store does: wasmtime gives nothing of a store back before.

use super::super::heap::Heap;
use super::configuration::engine;
use super::drive::Link;
use super::limits::{
    INSTANCES_MAX, LOOK_EVERY_FUEL, MEMORY_MAX_PAGES, PAGE_BYTES, STORE_BYTES, TABLE_MAX_ELEMENTS,
};
use super::memory::List;
use super::values::Kind;
use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::pin::Pin;
use std::ptr::NonNull;
use std::rc::Rc;
use wasmtime::{AsContext, Extern, Func, Global, Memory, ResourceLimiter, Store, Table};

type Random = foldhash::fast::RandomState;

/// What an element of a table takes.
const ELEMENT_BYTES: usize = 16;

/// What runs in a store, and has it.
pub(super) type Running = Pin<Box<dyn Future<Output = wasmtime::Result<()>>>>;

/// What a store knows of its lane.
pub(super) struct Data {
    link: NonNull<Link>,
    limiter: Limiter,
}

// SAFETY: a store and its lane stay on one thread; wasmtime asks for it of what async functions see.
unsafe impl Send for Data {}
// SAFETY: as above.
unsafe impl Sync for Data {}

impl Data {
    pub(super) fn link(&self) -> NonNull<Link> {
        self.link
    }
}

/// The store of a lane. Fields go in their order: what runs in the store before it.
pub(super) struct Held {
    /// What has the store, while WebAssembly runs or waits for JavaScript.
    pub(super) running: RefCell<Option<Running>>,
    /// Used by `running` while there is one.
    store: NonNull<Store<Data>>,
    pub(super) link: Box<Link>,
    /// How many calls wait for each other.
    pub(super) nested: Cell<usize>,
    /// Calls of exports and imports, see [`Held::run`].
    pub(super) calls: Cell<u32>,
    /// Whether what ran was dropped, and those who called it have still to hear of that.
    pub(super) is_dropped: Cell<bool>,
    pub(super) memories_made: Rc<List>,
    functions: Numbered<Func>,
    /// By the functions' numbers.
    exports: RefCell<Vec<Rc<Function>>>,
    memories: Numbered<Memory>,
    tables: Numbered<Table>,
    globals: Numbered<Global>,
}

/// A function that JavaScript can call.
pub(super) struct Function {
    pub(super) function: Func,
    pub(super) parameters: Box<[Kind]>,
    pub(super) results: Box<[Kind]>,
}

/// Things with numbers; of one thing there is one.
struct Numbered<T> {
    all: RefCell<Vec<T>>,
    /// wasmtime does not say whether two handles are of one thing, but they print alike.
    known: RefCell<HashMap<String, usize, Random>>,
}

impl<T> Default for Numbered<T> {
    fn default() -> Self {
        Self {
            all: RefCell::default(),
            known: RefCell::default(),
        }
    }
}

impl<T: Copy + std::fmt::Debug> Numbered<T> {
    fn number(&self, thing: T) -> usize {
        let mut known = self.known.borrow_mut();
        *known.entry(format!("{thing:?}")).or_insert_with(|| {
            let mut all = self.all.borrow_mut();
            all.push(thing);
            all.len() - 1
        })
    }

    fn find(&self, thing: T) -> Option<usize> {
        self.known.borrow().get(&format!("{thing:?}")).copied()
    }

    fn get(&self, number: usize) -> Option<T> {
        self.all.borrow().get(number).copied()
    }
}

impl Held {
    /// An empty one, which counts as this heap's.
    ///
    /// # Errors
    /// In words, why there can be none.
    pub(super) fn new(heap: &Rc<Heap>) -> Result<Self, &'static str> {
        let link = Box::<Link>::default();
        let data = Data {
            link: NonNull::from(&*link),
            limiter: Limiter {
                heap: NonNull::from(&**heap),
                link: NonNull::from(&*link),
            },
        };
        let mut store = Box::new(Store::new(engine()?, data));
        let has_fuel = store
            .fuel_async_yield_interval(Some(LOOK_EVERY_FUEL))
            .and_then(|()| store.set_fuel(u64::MAX));
        if has_fuel.is_err() {
            return Err("WebAssembly cannot be interrupted here");
        }
        store.limiter(|data| &mut data.limiter);
        heap.take_outside(STORE_BYTES);
        Ok(Self {
            running: RefCell::new(None),
            store: NonNull::from(Box::leak(store)),
            link,
            nested: Cell::new(0),
            calls: Cell::new(0),
            is_dropped: Cell::new(false),
            memories_made: Rc::default(),
            functions: Numbered::default(),
            exports: RefCell::default(),
            memories: Numbered::default(),
            tables: Numbered::default(),
            globals: Numbered::default(),
        })
    }

    /// The store itself. Nobody may use it while something runs in it but that.
    pub(super) fn store(&self) -> NonNull<Store<Data>> {
        self.store
    }

    pub(super) fn export(&self, number: usize) -> Option<Rc<Function>> {
        self.exports.borrow().get(number).cloned()
    }

    pub(super) fn function(&self, number: usize) -> Option<Func> {
        self.functions.get(number)
    }

    /// The number of a function that has one.
    pub(super) fn function_number(&self, function: Func) -> Option<usize> {
        self.functions.find(function)
    }

    /// The number of a function, which it has from here on.
    pub(super) fn number_function(&self, store: impl AsContext, function: Func) -> usize {
        let number = self.functions.number(function);
        let mut exports = self.exports.borrow_mut();
        if number == exports.len() {
            let kind = function.ty(store);
            exports.push(Rc::new(Function {
                function,
                parameters: kind.params().map(|kind| Kind::of(&kind)).collect(),
                results: kind.results().map(|kind| Kind::of(&kind)).collect(),
            }));
        }
        number
    }

    /// The number of what an instance exports, with that of its kind; `None` of what JavaScript cannot have.
    pub(super) fn number(&self, store: impl AsContext, thing: &Extern) -> Option<(u32, usize)> {
        Some(match thing {
            Extern::Func(function) => (FUNCTION, self.number_function(store, *function)),
            Extern::Table(table) => (TABLE, self.tables.number(*table)),
            Extern::Memory(memory) => (MEMORY, self.memories.number(*memory)),
            Extern::Global(global) => (GLOBAL, self.globals.number(*global)),
            Extern::SharedMemory(_) | Extern::Tag(_) => return None,
        })
    }

    pub(super) fn memory(&self, number: usize) -> Option<Memory> {
        self.memories.get(number)
    }

    pub(super) fn table(&self, number: usize) -> Option<Table> {
        self.tables.get(number)
    }

    pub(super) fn global(&self, number: usize) -> Option<Global> {
        self.globals.get(number)
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        // It uses the store.
        drop(self.running.take());
        // SAFETY: it was leaked by `new`, and nobody has it any more.
        drop(unsafe { Box::from_raw(self.store.as_ptr()) });
    }
}

/// What the host's JavaScript calls the kinds of what is imported and exported.
pub(super) const FUNCTION: u32 = 0;
pub(super) const TABLE: u32 = 1;
pub(super) const MEMORY: u32 = 2;
pub(super) const GLOBAL: u32 = 3;

/// Counts memories and tables as the lane's heap. What that refuses ends the call, as it does in JavaScript.
struct Limiter {
    /// Both outlive the store.
    heap: NonNull<Heap>,
    link: NonNull<Link>,
}

// SAFETY: as of `Data`.
unsafe impl Send for Limiter {}
// SAFETY: as above.
unsafe impl Sync for Limiter {}

impl Limiter {
    fn take(&self, bytes: usize) -> wasmtime::Result<bool> {
        // SAFETY: the lane's exchange has the heap, and outlives the store.
        match unsafe { self.heap.as_ref() }.take_outside(bytes) {
            true => Ok(true),
            false => Err(wasmtime::Error::msg("the call may have no more memory")),
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let most = MEMORY_MAX_PAGES as usize * PAGE_BYTES;
        if desired > maximum.unwrap_or(most).min(most) {
            return Ok(false);
        }
        // SAFETY: it is the held store's.
        unsafe { self.link.as_ref() }.has_grown.set(true);
        self.take(desired.saturating_sub(current))
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let most = TABLE_MAX_ELEMENTS as usize;
        if desired > maximum.unwrap_or(most).min(most) {
            return Ok(false);
        }
        self.take(
            desired
                .saturating_sub(current)
                .saturating_mul(ELEMENT_BYTES),
        )
    }

    fn instances(&self) -> usize {
        INSTANCES_MAX
    }

    fn tables(&self) -> usize {
        INSTANCES_MAX
    }

    fn memories(&self) -> usize {
        INSTANCES_MAX
    }
}
