//! What the Python package `madrpc` is made of: calls in flight, and values on their way between Python and the wire.
//!
//! The package's own files decide what its users see; here is what has to be quick. Nothing here runs Python code on the
//! client's thread, and nobody who waits here holds the GIL.

mod calls;
mod client;
mod decode;
mod encode;
mod errors;
mod map;
mod stream;
mod wait;

#[cfg(target_endian = "big")]
compile_error!("typed arrays travel little endian, and are handed to Python as they are");

use pyo3::prelude::*;

#[pymodule]
mod _native {
    #[pymodule_export]
    use crate::calls::Calls;
    #[pymodule_export]
    use crate::client::{Client, check_traceparent};
    #[pymodule_export]
    use crate::map::Map;
    #[pymodule_export]
    use crate::stream::Stream;
    #[pymodule_export]
    use crate::wait::{Thread, this_thread};
}
