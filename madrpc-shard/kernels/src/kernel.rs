//! A kernel, as it was written and as it was compiled.

use crate::abi::{ArgumentKind, Context, ElementKind, Fault, Place, ResultKind, Slot, Status};
use crate::refused::{Reason, Refused};
use std::ops::Range;
use std::sync::Arc;

/// What a kernel uses besides its parameters.
#[derive(Debug, Clone)]
pub enum Captured {
    /// A constant.
    Number(f64),
    /// A constant.
    Boolean(bool),
    /// A kernel that it may call.
    Kernel(Arc<Kernel>),
}

/// What a parameter is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Usage {
    /// A number or a truth value.
    Scalar,
    /// A typed array.
    Array,
}

/// A parameter of a kernel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: Arc<str>,
    /// What it is used as. A parameter that is not used is a scalar.
    pub usage: Usage,
}

/// A function of the numeric subset, read and checked.
#[derive(Debug)]
pub struct Kernel {
    name: Arc<str>,
    parameters: Vec<Parameter>,
    place: Place,
}

impl Kernel {
    /// Reads a function: `text` is what `Function.prototype.toString` gave, `place` where it starts. The names of what it
    /// captured have to be unlike each other.
    ///
    /// # Errors
    /// What is not in the subset, where it is, and what to write instead.
    pub fn new(
        text: &str,
        place: Place,
        captured: &[(Arc<str>, Captured)],
    ) -> Result<Self, Refused> {
        let _ = (text, captured);
        Err(Refused {
            reason: Reason::Syntax,
            place,
            what: "this build has no compiler of kernels".to_owned(),
            remedy: String::new(),
        })
    }

    /// The function's name; empty if it has none.
    pub fn name(&self) -> &Arc<str> {
        &self.name
    }

    /// Its parameters, in order. A call has to give them all; JavaScript ignores what it gives beyond.
    pub fn parameters(&self) -> &[Parameter] {
        &self.parameters
    }

    /// The kinds that it will most likely be called with: what is used as an array is a `Float64Array`, all else a number.
    pub fn default_kinds(&self) -> Vec<ArgumentKind> {
        let kind = |parameter: &Parameter| match parameter.usage {
            Usage::Array => ArgumentKind::Array(ElementKind::Float64),
            Usage::Scalar => ArgumentKind::Double,
        };
        self.parameters.iter().map(kind).collect()
    }

    /// Compiles it for arguments of these kinds, together with the kernels that it calls.
    ///
    /// # Errors
    /// Kinds that do not fit how the parameters are used, their number included; values of different kinds that meet (a boolean and
    /// a number in one variable); a kernel that is too large; and a machine that gives no memory for code.
    pub fn specialise(&self, kinds: &[ArgumentKind]) -> Result<Compiled, Refused> {
        let _ = kinds;
        Err(Refused {
            reason: Reason::System,
            place: self.place.clone(),
            what: "this build has no compiler of kernels".to_owned(),
            remedy: String::new(),
        })
    }
}

/// Machine code of a kernel, for arguments of certain kinds. A copy shares the code; the last one frees it.
#[derive(Debug, Clone)]
pub struct Compiled {
    kinds: Arc<[ArgumentKind]>,
    result: ResultKind,
    code: Range<usize>,
}

impl Compiled {
    /// The kinds of its arguments.
    pub fn kinds(&self) -> &[ArgumentKind] {
        &self.kinds
    }

    /// The kind of its result.
    pub fn result(&self) -> ResultKind {
        self.result
    }

    /// The bytes of machine code and constants.
    pub fn code_bytes(&self) -> usize {
        self.code.len()
    }

    /// What it takes of memory, in bytes: whole pages, and one mapping.
    pub fn memory_bytes(&self) -> usize {
        self.code.len().next_multiple_of(4096)
    }

    /// Where its code lies. It touches nothing but its stack, its context and its arrays, and holds nothing: it may be left
    /// for good at any instruction. It calls functions of this program and of the C library that do as little.
    pub fn code_range(&self) -> Range<usize> {
        self.code.clone()
    }

    /// Runs it.
    ///
    /// # Safety
    /// `context` is as its fields say. `arguments` has a slot for each of [`Compiled::kinds`], of that kind. Each [`Array`]
    /// tells of memory that may be written, and stays until the call returns or [`Context::on_interrupt`] is called; by the
    /// time that returns, it has to tell what is true then. `result` may be written.
    ///
    /// [`Array`]: crate::Array
    #[inline]
    pub unsafe fn call(
        &self,
        context: *mut Context,
        arguments: *const Slot,
        result: *mut Slot,
    ) -> Status {
        let _ = (context, arguments, result);
        Status::Stopped
    }

    /// Which index was no place in which array, after a call that ended [`Status::OutOfBounds`].
    pub fn fault(&self, context: &Context) -> Option<Fault> {
        let _ = context;
        None
    }
}
