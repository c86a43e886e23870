//! What host and machine code share: arguments, results, and the context of a call.

use std::ffi::c_void;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::AtomicU32;

/// The most elements that an array may have; QuickJS has no longer ones.
pub const MAX_LENGTH: usize = i32::MAX as usize;

/// A place in a script.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// The file, as it is to be shown.
    pub file: Arc<str>,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.file, self.line, self.column)
    }
}

/// What the elements of a typed array are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ElementKind {
    /// `Int8Array`.
    Int8,
    /// `Uint8Array`.
    Uint8,
    /// `Uint8ClampedArray`.
    Uint8Clamped,
    /// `Int16Array`.
    Int16,
    /// `Uint16Array`.
    Uint16,
    /// `Int32Array`.
    Int32,
    /// `Uint32Array`.
    Uint32,
    /// `Float16Array`.
    Float16,
    /// `Float32Array`.
    Float32,
    /// `Float64Array`.
    Float64,
}

impl ElementKind {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Int8,
        Self::Uint8,
        Self::Uint8Clamped,
        Self::Int16,
        Self::Uint16,
        Self::Int32,
        Self::Uint32,
        Self::Float16,
        Self::Float32,
        Self::Float64,
    ];

    /// What one element takes, in bytes.
    pub fn bytes(self) -> usize {
        match self {
            Self::Int8 | Self::Uint8 | Self::Uint8Clamped => 1,
            Self::Int16 | Self::Uint16 | Self::Float16 => 2,
            Self::Int32 | Self::Uint32 | Self::Float32 => 4,
            Self::Float64 => 8,
        }
    }

    /// The name of JavaScript's constructor.
    pub fn array_name(self) -> &'static str {
        match self {
            Self::Int8 => "Int8Array",
            Self::Uint8 => "Uint8Array",
            Self::Uint8Clamped => "Uint8ClampedArray",
            Self::Int16 => "Int16Array",
            Self::Uint16 => "Uint16Array",
            Self::Int32 => "Int32Array",
            Self::Uint32 => "Uint32Array",
            Self::Float16 => "Float16Array",
            Self::Float32 => "Float32Array",
            Self::Float64 => "Float64Array",
        }
    }
}

/// What an argument is. A kernel is compiled for the kinds of all its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ArgumentKind {
    /// A whole number of 32 bits, and not -0: [`Slot::int32`].
    Int32,
    /// Any number: [`Slot::double`].
    Double,
    /// `true` or `false`: [`Slot::boolean`].
    Boolean,
    /// A typed array: [`Slot::array`].
    Array(ElementKind),
}

impl fmt::Display for ArgumentKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Int32 => "int32",
            Self::Double => "number",
            Self::Boolean => "boolean",
            Self::Array(kind) => kind.array_name(),
        })
    }
}

/// What a kernel returns: the same for every call of what was compiled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ResultKind {
    /// In [`Slot::int32`].
    Int32,
    /// In [`Slot::double`].
    Double,
    /// In [`Slot::boolean`].
    Boolean,
    /// No value; the slot of the result is left alone.
    Undefined,
}

/// A typed array as it is at the moment: made and kept by the host, read by the kernel. The elements are aligned to their size.
#[derive(Debug)]
#[repr(C)]
pub struct Array {
    /// The first element. Not looked at where `length` is 0, so that null will do.
    pub data: *mut u8,
    /// In elements, [`MAX_LENGTH`] at the most. 0 for an array whose buffer is detached.
    pub length: usize,
}

/// One argument, or the result. Which field counts is the business of [`ArgumentKind`] and [`ResultKind`].
#[derive(Clone, Copy)]
#[repr(C)]
pub union Slot {
    /// A whole number.
    pub int32: i32,
    /// A number.
    pub double: f64,
    /// A truth value: 0 or 1.
    pub boolean: u8,
    /// A typed array.
    pub array: *const Array,
}

/// What [`Context::on_interrupt`] says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Decision {
    /// The kernel goes on.
    GoOn = 0,
    /// The kernel returns at once, with [`Status::Stopped`].
    Stop = 1,
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u32)]
pub enum Status {
    /// The result is in its slot.
    Done = 0,
    /// [`Context::on_interrupt`] said so. What was written to arrays stays there; that holds for the other ends too.
    Stopped = 1,
    /// An index was no place in its array: a `RangeError`. [`Compiled::fault`](crate::Compiled::fault) tells which.
    OutOfBounds = 2,
    /// Calls within calls came to [`Context::stack_limit`]: a `RangeError`.
    StackOverflow = 3,
}

/// What a call has from its host. The kernel keeps no pointer to it when it has returned.
#[derive(Debug)]
#[repr(C)]
pub struct Context {
    /// Looked at in each turn of a loop; not zero: [`Context::on_interrupt`] is called. It has to live as long as the call.
    pub interrupt: *const AtomicU32,
    /// Called on the kernel's stack, in the middle of it, with all of this context: it must not unwind. Until it returns the kernel
    /// stands still, so it may suspend the coroutine that both run on, and be resumed on another thread. It resets the
    /// flag, or it is called again in the next turn.
    pub on_interrupt: unsafe extern "C" fn(*mut Self) -> Decision,
    /// A call within the kernel that would have its frame below this address ends the kernel. Below it, there have to be 64 KiB
    /// of stack left: for one frame of the kernel, the C library's functions, and `on_interrupt` and what it calls.
    pub stack_limit: usize,
    /// The host's own; the kernel does not look at it.
    pub host: *mut c_void,
    /// Written where a call ends [`Status::OutOfBounds`].
    pub(crate) fault_index: f64,
    pub(crate) fault_length: u64,
    pub(crate) fault_site: u64,
    /// What `on_interrupt` said last.
    pub(crate) decision: u32,
}

impl Context {
    /// What a call has from its host.
    pub fn new(
        interrupt: *const AtomicU32,
        on_interrupt: unsafe extern "C" fn(*mut Self) -> Decision,
        stack_limit: usize,
        host: *mut c_void,
    ) -> Self {
        Self {
            interrupt,
            on_interrupt,
            stack_limit,
            host,
            fault_index: 0.0,
            fault_length: 0,
            fault_site: 0,
            decision: 0,
        }
    }
}

/// An index that is no place in its array. Displayed as one line:
/// `pi.js:12:5: words[16] is out of bounds: the array has 16 elements`.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    /// Where the kernel has the access.
    pub place: Place,
    /// The parameter that is the array.
    pub array: Arc<str>,
    /// The index.
    pub index: f64,
    /// How many elements there were at that moment.
    pub length: u64,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            place,
            array,
            index,
            length,
        } = self;
        let index = javascript(*index);
        let elements = if *length == 1 { "element" } else { "elements" };
        write!(
            f,
            "{place}: {array}[{index}] is out of bounds: the array has {length} {elements}"
        )
    }
}

/// A number as JavaScript writes it.
fn javascript(number: f64) -> String {
    match number.abs() {
        f64::INFINITY if number > 0.0 => "Infinity".to_owned(),
        f64::INFINITY => "-Infinity".to_owned(),
        0.0 => "0".to_owned(),
        size if size >= 1e21 => format!("{number:e}").replace('e', "e+"),
        size if size < 1e-6 => format!("{number:e}"),
        _ => number.to_string(),
    }
}
