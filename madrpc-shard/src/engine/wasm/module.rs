//! A module that is compiled: code that all lanes share, and what of its bytes is asked for later.

use super::bulk;
use super::configuration::engine;
use super::limits::{MODULE_MAX_BYTES, MODULES_MAX, MODULES_MAX_BYTES};
use std::fmt::Display;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use wasmtime::Module;
use wasmtime::wasmparser::{ExternalKind, Parser, Payload};

static COUNT: AtomicUsize = AtomicUsize::new(0);
static BYTES: AtomicUsize = AtomicUsize::new(0);

/// What an instance takes for itself, for each of its functions, and for each of its globals; as a rule.
const INSTANCE_BYTES: usize = 4 << 10;
const PER_FUNCTION_BYTES: usize = 64;
const PER_GLOBAL_BYTES: usize = 16;

/// A module. It counts among those of the process as long as somebody has it.
pub(super) struct Compiled {
    pub(super) module: Module,
    /// What an instance of it takes, beside memories and tables, in bytes.
    pub(super) instance_bytes: usize,
    /// Of each function that is exported the number in the module, in their order.
    pub(super) exported: Vec<u32>,
    customs: Vec<(String, Box<[u8]>)>,
    bytes: usize,
}

impl Compiled {
    /// Compiles it. It takes a second or more for each MiB, and a deep stack.
    ///
    /// # Errors
    /// In words, what is wrong with it or not supported, or why the machine has no room for it.
    pub(super) fn new(bytes: &[u8]) -> Result<Self, String> {
        check_size(bytes)?;
        let engine = engine()?;
        if COUNT.load(Ordering::Relaxed) >= MODULES_MAX
            || BYTES.load(Ordering::Relaxed) >= MODULES_MAX_BYTES
        {
            return Err(format!(
                "the node has {MODULES_MAX} modules in use, or {} MiB of them: compile them once, while the script loads",
                MODULES_MAX_BYTES >> 20
            ));
        }
        // What is no module is refused with the places of its own bytes.
        Module::validate(engine, bytes).map_err(|error| words(&error))?;
        let stepped = bulk::in_steps(bytes);
        let code = stepped.as_deref().unwrap_or(bytes);
        let module = Module::from_binary(engine, code).map_err(|error| words(&error))?;
        let mut compiled = Self {
            module,
            instance_bytes: INSTANCE_BYTES,
            exported: Vec::new(),
            customs: Vec::new(),
            bytes: 0,
        };
        COUNT.fetch_add(1, Ordering::Relaxed);
        compiled.read(bytes);
        let Range { start, end } = compiled.module.image_range();
        let customs: usize = compiled.customs.iter().map(|(_, data)| data.len()).sum();
        compiled.bytes = end.addr() - start.addr() + customs;
        BYTES.fetch_add(compiled.bytes, Ordering::Relaxed);
        Ok(compiled)
    }

    fn read(&mut self, bytes: &[u8]) {
        let per = |count: u32, bytes| (count as usize).saturating_mul(bytes);
        for payload in Parser::new(0).parse_all(bytes).map_while(Result::ok) {
            match payload {
                Payload::CustomSection(section) => {
                    let data = section.data().into();
                    self.customs.push((section.name().to_owned(), data));
                }
                Payload::ImportSection(imports) => {
                    self.instance_bytes += per(imports.count(), PER_FUNCTION_BYTES);
                }
                Payload::FunctionSection(functions) => {
                    self.instance_bytes += per(functions.count(), PER_FUNCTION_BYTES);
                }
                Payload::ExportSection(exports) => {
                    let exports = exports.into_iter().map_while(Result::ok);
                    let functions = exports.filter(|export| export.kind == ExternalKind::Func);
                    self.exported.extend(functions.map(|export| export.index));
                }
                Payload::GlobalSection(globals) => {
                    self.instance_bytes += per(globals.count(), PER_GLOBAL_BYTES);
                }
                _ => {}
            }
        }
    }

    /// What its custom sections of this name hold.
    pub(super) fn customs(&self, name: &str) -> impl Iterator<Item = &[u8]> {
        let named = self.customs.iter().filter(move |(of, _)| of == name);
        named.map(|(_, data)| &**data)
    }

    /// What it takes of memory.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Compiled {
    fn drop(&mut self) {
        COUNT.fetch_sub(1, Ordering::Relaxed);
        BYTES.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Whether these bytes are a module that could be compiled.
pub(super) fn is_valid(bytes: &[u8]) -> bool {
    check_size(bytes).is_ok()
        && engine().is_ok_and(|engine| Module::validate(engine, bytes).is_ok())
}

fn check_size(bytes: &[u8]) -> Result<(), String> {
    match bytes.len() <= MODULE_MAX_BYTES {
        true => Ok(()),
        false => Err(format!(
            "a module of {} bytes, and none has more than {} MiB: leave out what it does not need (wasm-opt -Oz --strip-debug)",
            bytes.len(),
            MODULE_MAX_BYTES >> 20
        )),
    }
}

/// What an error of wasmtime's says, in one line.
pub(super) fn words(error: &wasmtime::Error) -> String {
    let cause: &dyn Display = error.root_cause();
    let mut text = cause.to_string();
    if let Some(end) = text.find('\n') {
        text.truncate(end);
    }
    text
}
