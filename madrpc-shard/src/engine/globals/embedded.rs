//! The JavaScript that every lane has before its script: compiled once in the process, as compiling took half of the
//! time that a lane takes to make.

use rquickjs::module::WriteOptions;
use rquickjs::{Context, Ctx, FromJs, Module, Runtime};
use std::sync::OnceLock;

/// A JavaScript expression of our own.
pub(in super::super) struct Embedded {
    /// What stack traces call it.
    name: &'static str,
    source: &'static str,
    compiled: OnceLock<Vec<u8>>,
}

pub(in super::super) static PRELUDE: Embedded =
    Embedded::new("madrpc:prelude.js", include_str!("../prelude.js"));
pub(in super::super) static OPTIONS: Embedded =
    Embedded::new("madrpc:options.js", include_str!("../options.js"));
pub(in super::super) static KERNELS: Embedded =
    Embedded::new("madrpc:kernels.js", include_str!("../kernels/kernels.js"));
pub(in super::super) static GLOBALS: Embedded =
    Embedded::new("madrpc:globals.js", include_str!("globals.js"));
pub(in super::super) static URL: Embedded = Embedded::new("madrpc:url.js", include_str!("url.js"));
pub(in super::super) static CONSOLE: Embedded =
    Embedded::new("madrpc:console.js", include_str!("console.js"));
#[cfg(feature = "wasm")]
pub(in super::super) static WEBASSEMBLY: Embedded = Embedded::new(
    "madrpc:webassembly.js",
    include_str!("../wasm/webassembly.js"),
);
pub(in super::super) static LOCALE: Embedded =
    Embedded::new("madrpc:locale.js", include_str!("locale.js"));
pub(in super::super) static HARDEN: Embedded =
    Embedded::new("madrpc:harden.js", include_str!("../harden.js"));

impl Embedded {
    const fn new(name: &'static str, source: &'static str) -> Self {
        Self {
            name,
            source,
            compiled: OnceLock::new(),
        }
    }

    /// The expression's value in this context.
    pub(in super::super) fn evaluate<'js, T: FromJs<'js>>(
        &self,
        ctx: &Ctx<'js>,
    ) -> rquickjs::Result<T> {
        let compiled = self.compiled()?;
        // SAFETY: the same engine has written it in this process, and nobody else can have changed it.
        let module = unsafe { Module::load(ctx.clone(), compiled)? };
        let (module, evaluated) = module.eval()?;
        evaluated.finish::<()>()?;
        module.get("default")
    }

    /// The bytecode; compiled by the first lane that needs it, in an engine of its own.
    pub(super) fn compiled(&self) -> rquickjs::Result<&[u8]> {
        if let Some(compiled) = self.compiled.get() {
            return Ok(compiled);
        }
        let compiled = self.compile()?;
        Ok(self.compiled.get_or_init(|| compiled))
    }

    fn compile(&self) -> rquickjs::Result<Vec<u8>> {
        let context = Context::full(&Runtime::new()?)?;
        let source = format!("export default {}", self.source);
        let options = WriteOptions {
            strip_source: true,
            ..WriteOptions::default()
        };
        context.with(|ctx| Module::declare(ctx, self.name, source)?.write(options))
    }
}
