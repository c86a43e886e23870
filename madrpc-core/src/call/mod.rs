//! A call: its frames on the wire, its errors, its bill, and the list of what can be called.

pub mod catalog;
pub mod control;
pub mod frame;
pub mod items;

mod announcement;
mod bill;
mod body;
mod error;
pub(crate) mod fast_header;
mod fields;
mod trace;

pub use announcement::Announcement;
pub use bill::Bill;
pub use body::Body;
pub use error::{CallError, ErrorKind, Exception};
pub use fields::{CallFields, Fields, Load, NodesAbove, ReplyFields};
pub use trace::{NoTrace, Trace};
