//! Runs one text twice: compiled, and by the engine that would interpret it.
#![allow(dead_code, unreachable_pub, reason = "each test uses its own part")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "of tests only")]

pub mod cases;
mod statements;
pub mod writer;

use madrpc_kernels::{
    ArgumentKind, Array, Captured, Compiled, Context, Decision, ElementKind, Kernel, Place,
    Refused, ResultKind, Slot, Status,
};
use rquickjs::function::Args;
use rquickjs::{ArrayBuffer, Ctx, Function, Runtime, Value};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

#[derive(Debug, Clone, PartialEq)]
pub enum Argument {
    Int32(i32),
    Double(f64),
    Boolean(bool),
    /// The kind, and the bytes of the elements.
    Array(ElementKind, Vec<u8>),
    /// So many elements of the buffer of the array that is this argument, from this byte on.
    View(ElementKind, usize, usize, usize),
}

impl Argument {
    pub fn kind(&self) -> ArgumentKind {
        match self {
            Self::Int32(_) => ArgumentKind::Int32,
            Self::Double(_) => ArgumentKind::Double,
            Self::Boolean(_) => ArgumentKind::Boolean,
            Self::Array(kind, _) | Self::View(kind, ..) => ArgumentKind::Array(*kind),
        }
    }
}

/// A number as the engine would pass it.
pub fn number(value: f64) -> Argument {
    let whole = value as i32;
    let same = f64::from(whole).to_bits() == value.to_bits();
    if same {
        Argument::Int32(whole)
    } else {
        Argument::Double(value)
    }
}

pub fn doubles(values: &[f64]) -> Argument {
    let bytes = values.iter().flat_map(|value| value.to_ne_bytes());
    Argument::Array(ElementKind::Float64, bytes.collect())
}

pub fn words(values: &[i32]) -> Argument {
    let bytes = values.iter().flat_map(|value| value.to_ne_bytes());
    Argument::Array(ElementKind::Int32, bytes.collect())
}

pub fn bytes(values: &[u8]) -> Argument {
    Argument::Array(ElementKind::Uint8, values.to_vec())
}

#[derive(Debug, Clone, Copy)]
pub enum Returned {
    Number(f64),
    Boolean(bool),
    Undefined,
}

impl PartialEq for Returned {
    /// Bit for bit, but that there is one NaN only.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Number(a), Self::Number(b)) => {
                a.to_bits() == b.to_bits() || a.is_nan() && b.is_nan()
            }
            (Self::Boolean(a), Self::Boolean(b)) => a == b,
            (Self::Undefined, Self::Undefined) => true,
            _ => false,
        }
    }
}

pub fn place() -> Place {
    Place {
        file: "test.js".into(),
        line: 1,
        column: 1,
    }
}

pub fn kernel(text: &str) -> Result<Kernel, Refused> {
    Kernel::new(text, place(), &[])
}

pub fn capturing(text: &str, captured: &[(&str, Captured)]) -> Result<Kernel, Refused> {
    let captured = captured
        .iter()
        .map(|(name, value)| (Arc::from(*name), value.clone()));
    let captured: Vec<_> = captured.collect();
    Kernel::new(text, place(), &captured)
}

/// How often an interrupt came: the flag is set before the call, and for as many turns as it says.
pub unsafe extern "C" fn go_on(context: *mut Context) -> Decision {
    // SAFETY: the tests put the flag there.
    let flag = unsafe { &*(*context).interrupt };
    flag.fetch_sub(1, Ordering::Relaxed);
    Decision::GoOn
}

/// An address on the stack that leaves as much of it as a test needs.
pub fn stack_limit() -> usize {
    let here = 0_u8;
    (&raw const here).addr() - (256 << 10)
}

#[derive(Debug, PartialEq)]
pub struct Outcome {
    pub status: Status,
    pub returned: Returned,
    pub arguments: Vec<Argument>,
    pub took: Took,
}

/// How long the call took, which makes no two outcomes different.
#[derive(Debug)]
pub struct Took(pub Duration);

impl PartialEq for Took {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

pub fn run(compiled: &Compiled, arguments: &[Argument], interrupts: u32) -> Outcome {
    let flag = AtomicU32::new(interrupts);
    let mut context = Context::new(&raw const flag, go_on, stack_limit(), std::ptr::null_mut());
    run_with(compiled, arguments, &mut context)
}

pub fn run_with(compiled: &Compiled, arguments: &[Argument], context: &mut Context) -> Outcome {
    let mut arguments = arguments.to_vec();
    // Elements have to be aligned.
    let mut memories: Vec<Vec<u64>> = Vec::new();
    let mut arrays = Vec::new();
    for argument in &arguments {
        let (data, length) = match argument {
            Argument::Array(kind, bytes) => {
                let mut memory = vec![0_u64; bytes.len().div_ceil(8)];
                let data = memory.as_mut_ptr().cast::<u8>();
                // SAFETY: there is room for them.
                unsafe { data.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len()) };
                memories.push(memory);
                (data, bytes.len() / kind.bytes())
            }
            Argument::View(_, of, offset, length) => {
                let of: &Array = &arrays[*of];
                // SAFETY: a view is within the buffer.
                (unsafe { of.data.add(*offset) }, *length)
            }
            _ => continue,
        };
        arrays.push(Array { data, length });
    }
    let mut next = arrays.iter();
    let slots: Vec<Slot> = arguments
        .iter()
        .map(|argument| match argument {
            Argument::Int32(int32) => Slot { int32: *int32 },
            Argument::Double(double) => Slot { double: *double },
            Argument::Boolean(boolean) => Slot {
                boolean: u8::from(*boolean),
            },
            Argument::Array(..) | Argument::View(..) => Slot {
                array: next.next().unwrap(),
            },
        })
        .collect();
    let mut result = Slot { double: 0.0 };
    let start = Instant::now();
    // SAFETY: the arguments are of the kinds that it was compiled for, or the tests are wrong.
    let status = unsafe { compiled.call(context, slots.as_ptr(), &raw mut result) };
    let took = start.elapsed();
    let mut memories = memories.iter();
    for argument in &mut arguments {
        if let Argument::Array(_, bytes) = argument {
            let data = memories.next().unwrap().as_ptr().cast::<u8>();
            // SAFETY: as many as were put there.
            unsafe { data.copy_to_nonoverlapping(bytes.as_mut_ptr(), bytes.len()) };
        }
    }
    // SAFETY: the field that the kind says was written.
    let returned = unsafe {
        match compiled.result() {
            ResultKind::Int32 => Returned::Number(result.int32.into()),
            ResultKind::Double => Returned::Number(result.double),
            ResultKind::Boolean => Returned::Boolean(result.boolean != 0),
            ResultKind::Undefined => Returned::Undefined,
        }
    };
    Outcome {
        status,
        returned,
        arguments,
        took: Took(took),
    }
}

pub fn compile(kernel: &Kernel, arguments: &[Argument]) -> Result<Compiled, Refused> {
    let kinds: Vec<ArgumentKind> = arguments.iter().map(Argument::kind).collect();
    kernel.specialise(&kinds)
}

pub fn call<'js>(
    ctx: &Ctx<'js>,
    function: &Function<'js>,
    arguments: &[Argument],
) -> (Returned, Vec<Argument>) {
    let mut given = Args::new(ctx.clone(), arguments.len());
    let mut buffers = Vec::new();
    for argument in arguments {
        match argument {
            Argument::Int32(value) => given.push_arg(*value).unwrap(),
            Argument::Double(value) => given.push_arg(*value).unwrap(),
            Argument::Boolean(value) => given.push_arg(*value).unwrap(),
            Argument::Array(kind, bytes) => {
                let buffer = ArrayBuffer::new_copy(ctx.clone(), bytes).unwrap();
                let text = format!("(buffer) => new {}(buffer)", kind.array_name());
                let make: Function = ctx.eval(text).unwrap();
                let array: Value = make.call((buffer.clone(),)).unwrap();
                given.push_arg(array).unwrap();
                buffers.push(buffer);
            }
            Argument::View(kind, of, offset, length) => {
                let text = format!(
                    "(buffer) => new {}(buffer, {offset}, {length})",
                    kind.array_name()
                );
                let make: Function = ctx.eval(text).unwrap();
                let array: Value = make.call((buffers[*of].clone(),)).unwrap();
                given.push_arg(array).unwrap();
            }
        }
    }
    let result: Value = function.call_arg(given).unwrap();
    let returned = match (result.as_number(), result.as_bool()) {
        (Some(value), _) => Returned::Number(value),
        (_, Some(value)) => Returned::Boolean(value),
        _ => Returned::Undefined,
    };
    let mut buffers = buffers.iter();
    let arguments = arguments.iter().map(|argument| match argument {
        Argument::Array(kind, _) => {
            // SAFETY: no script runs while they are copied.
            let bytes = unsafe { buffers.next().unwrap().as_bytes() };
            let bytes = bytes.unwrap().to_vec();
            Argument::Array(*kind, bytes)
        }
        other => other.clone(),
    });
    (returned, arguments.collect())
}

pub fn engine<T>(test: impl FnOnce(Ctx) -> T) -> T {
    let runtime = Runtime::new().unwrap();
    runtime.set_max_stack_size(1 << 20);
    let context = rquickjs::Context::full(&runtime).unwrap();
    context.with(test)
}

/// A number that the environment sets.
pub fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// A text, compiled for whatever comes and known to the engine.
pub struct Both<'js> {
    ctx: Ctx<'js>,
    text: String,
    kernel: Kernel,
    function: Function<'js>,
    compiled: HashMap<Vec<ArgumentKind>, Compiled>,
}

impl<'js> Both<'js> {
    pub fn new(ctx: &Ctx<'js>, text: &str) -> Self {
        Self {
            ctx: ctx.clone(),
            text: text.to_owned(),
            kernel: kernel(text).unwrap_or_else(|refused| panic!("{refused}\n{text}")),
            function: ctx.eval(format!("({text})")).unwrap(),
            compiled: HashMap::new(),
        }
    }

    /// Runs it both ways and compares all that comes of it; with whole numbers as int32 and as doubles.
    pub fn same(&mut self, arguments: &[Argument]) -> Returned {
        let (wanted, left) = call(&self.ctx, &self.function, arguments);
        let wider = arguments.iter().map(|argument| match argument {
            Argument::Int32(value) => Argument::Double((*value).into()),
            other => other.clone(),
        });
        let wider: Vec<Argument> = wider.collect();
        let text = &self.text;
        for arguments in [arguments, &wider] {
            let kinds = arguments.iter().map(Argument::kind).collect();
            let compiled = self.compiled.entry(kinds).or_insert_with(|| {
                compile(&self.kernel, arguments).unwrap_or_else(|e| panic!("{e}\n{text}"))
            });
            let found = run(compiled, arguments, 3);
            assert_eq!(found.status, Status::Done, "{text}\n{arguments:?}");
            assert_eq!(found.returned, wanted, "{text}\n{arguments:?}");
            for (found, wanted) in found.arguments.iter().zip(&left) {
                if let Argument::Array(..) = found {
                    assert_eq!(found, wanted, "{text}\n{arguments:?}");
                }
            }
        }
        wanted
    }
}

pub fn same(ctx: &Ctx, text: &str, arguments: &[Argument]) -> Returned {
    Both::new(ctx, text).same(arguments)
}
