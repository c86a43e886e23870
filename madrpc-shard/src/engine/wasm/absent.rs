//! What stands in the place of `WebAssembly` in a build without it.

const ABSENT: &str = "this madrpc is built without WebAssembly: build it with --features wasm";

/// What a script is told that uses it.
pub(super) fn hint(message: &str) -> Option<String> {
    (message == "WebAssembly is not defined").then(|| ABSENT.to_owned())
}

/// What is told where it is imported.
///
/// # Errors
/// Always.
pub(super) fn module_text(_: &[u8]) -> Result<String, String> {
    Err(ABSENT.to_owned())
}

/// What a lane has of it.
#[derive(Default)]
pub(super) struct LaneWasm {}

/// How it was.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark;

impl LaneWasm {
    pub(super) fn mark(&self) -> Option<Mark> {
        Some(Mark)
    }

    pub(super) fn on_loaded(&self) {}

    /// # Safety
    /// None is needed.
    pub(super) unsafe fn rewind(&self, _: Mark) {}

    pub(super) fn is_worn(&self) -> bool {
        false
    }

    pub(super) fn shrink(&self) -> bool {
        false
    }
}
