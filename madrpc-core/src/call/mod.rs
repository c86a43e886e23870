//! A call: its frames on the wire, its errors, its bill, and the list of what can be called.

pub mod catalog;
pub mod frame;

mod bill;
mod body;
mod error;

pub use bill::Bill;
pub use body::Body;
pub use error::{CallError, ErrorKind, Exception};
