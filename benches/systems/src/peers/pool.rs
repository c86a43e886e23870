//! A pool of QuickJS contexts behind mutexes, called from `spawn_blocking`: what a program on tokio does.

#![expect(
    clippy::disallowed_types,
    reason = "the mutex is what is measured here"
)]

use crate::outcome::Outcome;
use rquickjs::{Context, Function, Runtime, Value};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Contexts, and threads to run them: one for the one core, with which both peers were fastest.
pub(super) const SIZE: usize = 1;

struct Engine(Context);

// SAFETY: the runtime and all that belongs to it is reached through this one context only, which is used by whoever
// holds its mutex. Stack checks, which are bound to the thread that made the runtime, are off.
unsafe impl Send for Engine {}

/// The pool; cheap to clone.
#[derive(Clone)]
pub(super) struct Pool {
    engines: Arc<[Mutex<Engine>]>,
    next: Arc<AtomicUsize>,
}

impl Pool {
    /// Contexts that have these functions.
    pub(super) fn new(functions: &str) -> Outcome<Self> {
        let engine = |_| Ok(Mutex::new(Engine::new(functions)?));
        let engines: Outcome<Vec<_>> = (0..SIZE).map(engine).collect();
        Ok(Self {
            engines: engines?.into(),
            next: Arc::default(),
        })
    }

    /// Calls a function with arguments in JSON; gives its result in JSON.
    pub(super) async fn call(&self, function: String, args: Vec<u8>) -> Outcome<String> {
        let pool = self.clone();
        tokio::task::spawn_blocking(move || {
            let next = pool.next.fetch_add(1, Relaxed) % pool.engines.len();
            let engine = pool.engines[next]
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            engine.call(&function, args)
        })
        .await?
    }
}

impl Engine {
    fn new(functions: &str) -> Outcome<Self> {
        let runtime = Runtime::new()?;
        runtime.set_max_stack_size(0);
        let context = Context::full(&runtime)?;
        context.with(|context| context.eval::<(), _>(functions))?;
        Ok(Self(context))
    }

    fn call(&self, function: &str, args: Vec<u8>) -> Outcome<String> {
        self.0.with(|context| {
            let function: Function<'_> = context.globals().get(function)?;
            let args: Value<'_> = context.json_parse(args)?;
            let result: Value<'_> = function.call((args,))?;
            let text = context
                .json_stringify(result)?
                .ok_or("the result has no JSON")?;
            Ok(text.to_string()?)
        })
    }
}
