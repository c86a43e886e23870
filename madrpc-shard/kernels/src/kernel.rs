//! A kernel, as it was written and as it was compiled.

use crate::abi::{ArgumentKind, Context, ElementKind, Fault, Place, ResultKind, Slot, Status};
use crate::limits::Budget;
use crate::memory::CodeMemory;
use crate::refused::{Reason, Refused};
use crate::text::Text;
use crate::tree::{Captured, Kernel, Parameter, Usage};
use crate::types::{self, Program};
use crate::{emit, read};
use std::io;
use std::ops::Range;
use std::sync::Arc;

impl Kernel {
    /// Reads a function: `text` is what `Function.prototype.toString` gave, `place` where it starts. The names of what it
    /// captured have to be unlike each other. It starts a thread for the parser, with stack for whatever the text has, and waits
    /// for it.
    ///
    /// # Errors
    /// What is not in the subset, where it is, and what to write instead; and a machine that gives no thread.
    pub fn new(
        text: &str,
        place: Place,
        captured: &[(Arc<str>, Captured)],
    ) -> Result<Self, Refused> {
        let text = Arc::new(Text::new(text, place)?);
        let function = read::read(&text, captured)?;
        Ok(Self { function, text })
    }

    /// The function's name; empty if it has none.
    pub fn name(&self) -> &Arc<str> {
        &self.function.name
    }

    /// Its parameters, in order. A call has to give them all; JavaScript ignores what it gives beyond.
    pub fn parameters(&self) -> &[Parameter] {
        &self.function.parameters
    }

    /// What it takes of memory, in bytes, about: its text and its tree. Without the kernels that it calls, and without what is
    /// compiled.
    pub fn memory_bytes(&self) -> usize {
        let place = self.text.start.file.len();
        size_of::<Self>()
            + size_of::<Text>()
            + self.text.text.len()
            + place
            + self.function.memory_bytes()
    }

    /// The kinds that it will most likely be called with: what is used as an array is a `Float64Array`, what meets truth values a
    /// boolean, all else a number.
    pub fn default_kinds(&self) -> Vec<ArgumentKind> {
        let kind = |(parameter, is_truth): (&Parameter, bool)| match parameter.usage {
            Usage::Array => ArgumentKind::Array(ElementKind::Float64),
            Usage::Scalar if is_truth => ArgumentKind::Boolean,
            Usage::Scalar => ArgumentKind::Double,
        };
        let parameters = self.parameters().iter();
        parameters.zip(types::truths(self)).map(kind).collect()
    }

    /// Compiles it for arguments of these kinds, as [`Kernel::specialise_within`] does, with a budget of its own.
    ///
    /// # Errors
    /// As there.
    pub fn specialise(&self, kinds: &[ArgumentKind]) -> Result<Compiled, Refused> {
        self.specialise_within(kinds, &mut Budget::default())
    }

    /// Compiles it for arguments of these kinds, together with the kernels that it calls, and takes from the budget.
    ///
    /// # Errors
    /// Kinds that do not fit how the parameters are used, their number included; values of different kinds that meet (a boolean and
    /// a number in one variable); a kernel that is too large; and a machine that gives no memory for code.
    pub fn specialise_within(
        &self,
        kinds: &[ArgumentKind],
        budget: &mut Budget,
    ) -> Result<Compiled, Refused> {
        let program = types::infer(self, kinds, budget)?;
        self.compile(&program, kinds)
    }

    fn compile(&self, program: &Program, kinds: &[ArgumentKind]) -> Result<Compiled, Refused> {
        let failed = |failure| match failure {
            emit::Failure::TooLarge => {
                let what = format!("{} is too large to be compiled", self.called());
                self.text.refuse(Reason::TooLarge, 0, what, "split it")
            }
            emit::Failure::Machine(what) => self.text.refuse(Reason::System, 0, what, ""),
        };
        let unit = emit::compile(program, kinds).map_err(failed)?;
        let code = emit::link(&unit.compiled).map_err(failed)?;
        let code = CodeMemory::new(&code).map_err(|error| {
            let what = format!("there is no memory for code: {error}");
            self.text
                .refuse(Reason::System, 0, what, for_memory(&error))
        })?;
        let sites = unit.sites.iter().map(|site| {
            let kernel = program.instances[site.instance].kernel;
            let array = &kernel.function.variables[site.array as usize];
            (Arc::clone(&kernel.text), site.at, Arc::clone(array))
        });
        let made = Made {
            kinds: kinds.into(),
            result: emit::result(program),
            code,
            sites: sites.collect(),
        };
        Ok(Compiled(Arc::new(made)))
    }
}

/// What gives a machine memory for code that has none.
fn for_memory(error: &io::Error) -> &'static str {
    match error.raw_os_error() {
        Some(libc::EACCES) => {
            "where the sysctl vm.memfd_noexec is 2, nothing that is in memory alone may be run: set it to 1"
        }
        _ => "kernels need memfd_create with MFD_EXEC, and mmap with PROT_EXEC",
    }
}

/// Machine code of a kernel, for arguments of certain kinds. A copy shares the code; the last one frees it.
#[derive(Debug, Clone)]
pub struct Compiled(Arc<Made>);

#[derive(Debug)]
struct Made {
    kinds: Box<[ArgumentKind]>,
    result: ResultKind,
    code: CodeMemory,
    sites: Box<[Site]>,
}

/// An access that may be out of bounds: the text, the offset in it, and the array.
type Site = (Arc<Text>, u32, Arc<str>);

type Entry = unsafe extern "C" fn(*mut Context, *const Slot, *mut Slot) -> u32;

impl Compiled {
    /// The kinds of its arguments.
    pub fn kinds(&self) -> &[ArgumentKind] {
        &self.0.kinds
    }

    /// The kind of its result.
    pub fn result(&self) -> ResultKind {
        self.0.result
    }

    /// The bytes of machine code and constants.
    pub fn code_bytes(&self) -> usize {
        self.0.code.range().len()
    }

    /// What it takes of memory, in bytes: whole pages, and one mapping.
    pub fn memory_bytes(&self) -> usize {
        self.0.code.mapped_bytes()
    }

    /// Where its code lies. It touches nothing but its stack, its context and its arrays, and holds nothing: it may be left
    /// for good at any instruction. It calls functions of this program and of the C library that do as little.
    pub fn code_range(&self) -> Range<usize> {
        self.0.code.range()
    }

    /// Runs it. Of a result that is NaN, the bits may be any that stand for it.
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
        // SAFETY: the code begins with a function of this type.
        let entry = unsafe { std::mem::transmute::<*const u8, Entry>(self.0.code.start()) };
        // SAFETY: the caller's.
        match unsafe { entry(context, arguments, result) } {
            0 => Status::Done,
            1 => Status::Stopped,
            2 => Status::OutOfBounds,
            _ => Status::StackOverflow,
        }
    }

    /// Which index was no place in which array, after a call that ended [`Status::OutOfBounds`].
    pub fn fault(&self, context: &Context) -> Option<Fault> {
        let site = usize::try_from(context.fault_site).ok()?;
        let (text, at, array) = self.0.sites.get(site)?;
        Some(Fault {
            place: text.place(*at),
            array: Arc::clone(array),
            index: context.fault_index,
            length: context.fault_length,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::types::lattice::{Range as Bounds, Type};
    use std::sync::atomic::AtomicU32;

    unsafe extern "C" fn go_on(_: *mut Context) -> crate::abi::Decision {
        crate::abi::Decision::GoOn
    }

    /// Types that are wrong give wrong values, and no trap, which would end the process.
    #[test]
    fn a_divisor_that_is_zero_against_its_type_does_not_trap() {
        let place = Place {
            file: "a.js".into(),
            line: 1,
            column: 1,
        };
        for (low, text) in [
            (1, "function f(a, b) { return (a & 7) % (b & 7); }"),
            (1, "function f(a, b) { return (a | 0) % (b & 7); }"),
            (-7, "function f(a, b) { return (a | 0) % (b | 0); }"),
            (
                1 << 40,
                "function f(a, b) { return (a >>> 0) % (b >>> 0); }",
            ),
            (-7, "function f(a, b) { return (a >>> 0) % (b | 0); }"),
        ] {
            let kernel = Kernel::new(text, place.clone(), &[]).unwrap();
            let kinds = [ArgumentKind::Int32; 2];
            let mut program = types::infer(&kernel, &kinds, &mut Budget::default()).unwrap();
            let instance = &mut program.instances[0];
            // The remainder is the last expression, and the right operand the one before.
            let [.., right, rest] = &mut instance.expressions[..] else {
                panic!("{text}");
            };
            *right = Type::Integer(Bounds::new(low, low.max(-1)));
            *rest = Type::Integer(Bounds::new(-(1 << 40), 1 << 40));
            instance.result = *rest;
            let compiled = kernel.compile(&program, &kinds).unwrap();
            for a in [0, 7, -1, i32::MIN] {
                for b in [0, -1] {
                    let flag = AtomicU32::new(0);
                    let none = std::ptr::null_mut();
                    let mut context = Context::new(&raw const flag, go_on, 0, none);
                    let arguments = [Slot { int32: a }, Slot { int32: b }];
                    let mut result = Slot { double: 0.0 };
                    // SAFETY: the arguments are of these kinds.
                    let status = unsafe {
                        compiled.call(&raw mut context, arguments.as_ptr(), &raw mut result)
                    };
                    assert_eq!(status, Status::Done, "{text}");
                }
            }
        }
    }
}
