//! Machine code, by Cranelift: from the tree and its types to bytes, in which only absolute addresses of this program are fixed.

mod arithmetic;
mod arrays;
mod calls;
mod conversions;
mod cost;
mod expressions;
mod function;
mod link;
mod maths;
mod statements;

pub(crate) use link::link;

use crate::abi::{ArgumentKind, ResultKind};
use crate::types::Program;
use crate::types::lattice::Type;
use cranelift_codegen::control::ControlPlane;
use cranelift_codegen::ir::types::{F64, I8, I32, I64};
use cranelift_codegen::ir::{self, AbiParam, Signature, TrapCode, UserExternalName, UserFuncName};
use cranelift_codegen::isa::{CallConv, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use cranelift_codegen::{CodegenError, Context};
use cranelift_frontend::FunctionBuilderContext;
use std::collections::HashMap;
use std::sync::OnceLock;

/// The most that a function may take of the stack: [`Context::stack_limit`](crate::Context::stack_limit) leaves room for it.
const MAX_FRAME: u32 = 32 << 10;

/// What one compilation has made so far.
pub(crate) struct Unit<'p> {
    program: &'p Program<'p>,
    isa: OwnedTargetIsa,
    /// The functions, in the order of their numbers; see [`ENTRY`] and [`INTERRUPT`].
    pub(crate) compiled: Vec<link::Function>,
    /// The numbers of the functions of instances, and those that are still to be compiled.
    numbers: HashMap<usize, u32>,
    to_do: Vec<usize>,
    /// Where an index can be out of bounds.
    pub(crate) sites: Vec<Site>,
    /// How many expressions have been compiled where they are called, and not as a function.
    inlined: usize,
    /// What the functions so far cost, see [`cost::MAX_COST`].
    cost: u64,
}

/// An access to an array: the instance, where in its text, and the parameter.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Site {
    pub(crate) instance: usize,
    pub(crate) at: u32,
    pub(crate) array: u32,
}

/// The function that is called from outside.
const ENTRY: u32 = 0;
/// Calls the host, and keeps all registers: the loop around it need not put its own away in each turn.
const INTERRUPT: u32 = 1;

/// Why there is no code.
#[derive(Debug)]
pub(crate) enum Failure {
    TooLarge,
    Machine(String),
}

/// Compiles the first instance for arguments of these kinds, with all that it calls.
pub(crate) fn compile<'p>(
    program: &'p Program<'p>,
    kinds: &[ArgumentKind],
) -> Result<Unit<'p>, Failure> {
    let mut unit = Unit {
        program,
        isa: isa()?,
        compiled: Vec::new(),
        numbers: HashMap::new(),
        to_do: Vec::new(),
        sites: Vec::new(),
        inlined: 0,
        cost: 0,
    };
    let mut builders = FunctionBuilderContext::new();
    let mut context = Context::new();
    function::entry(&mut unit, &mut context, &mut builders, kinds);
    unit.finish(&mut context)?;
    function::interrupt(&unit, &mut context, &mut builders);
    unit.finish(&mut context)?;
    let mut next = 0;
    while let Some(instance) = unit.to_do.get(next).copied() {
        function::instance(&mut unit, &mut context, &mut builders, instance);
        unit.finish(&mut context)?;
        next += 1;
    }
    Ok(unit)
}

/// What the first instance returns.
pub(crate) fn result(program: &Program) -> ResultKind {
    let instance = &program.instances[0];
    match Repr::of(instance.result) {
        _ if !instance.kernel.function.returns => ResultKind::Undefined,
        Repr::Int32 => ResultKind::Int32,
        Repr::Int64 | Repr::Double => ResultKind::Double,
        Repr::Boolean => ResultKind::Boolean,
    }
}

impl Unit<'_> {
    fn is_too_large(&self) -> bool {
        self.cost > cost::MAX_COST
    }

    fn finish(&mut self, context: &mut Context) -> Result<(), Failure> {
        if self.is_too_large() {
            return Err(Failure::TooLarge);
        }
        let number = self.compiled.len() as u32;
        context.func.name = UserFuncName::user(0, number);
        context
            .compile(&*self.isa, &mut ControlPlane::default())
            .map_err(|error| match error.inner {
                CodegenError::ImplLimitExceeded | CodegenError::CodeTooLarge => Failure::TooLarge,
                other => Failure::Machine(other.to_string()),
            })?;
        let Some(compiled) = context.compiled_code() else {
            return Err(Failure::Machine("nothing was compiled".to_owned()));
        };
        debug_assert!(
            compiled
                .buffer
                .traps()
                .iter()
                .all(|trap| trap.code == TrapCode::INTEGER_DIVISION_BY_ZERO),
            "a trap that nobody has thought of: {:?}",
            compiled.buffer.traps()
        );
        let frame = compiled.buffer.frame_layout();
        if frame.is_some_and(|frame| frame.frame_to_fp_offset > MAX_FRAME) {
            return Err(Failure::TooLarge);
        }
        let function = link::Function::new(compiled, &context.func)?;
        self.compiled.push(function);
        context.clear();
        Ok(())
    }

    /// The number of an instance's function, which is compiled if nobody has asked for it before.
    fn number(&mut self, instance: usize) -> u32 {
        let next = 2 + self.to_do.len() as u32;
        let number = *self.numbers.entry(instance).or_insert(next);
        if number == next {
            self.to_do.push(instance);
        }
        number
    }
}

/// The machine that this program runs on.
fn isa() -> Result<OwnedTargetIsa, Failure> {
    static ISA: OnceLock<Result<OwnedTargetIsa, String>> = OnceLock::new();
    let made = ISA.get_or_init(|| {
        let mut flags = settings::builder();
        let settings = [
            ("opt_level", "speed"),
            (
                "enable_verifier",
                if cfg!(debug_assertions) {
                    "true"
                } else {
                    "false"
                },
            ),
            // Frames are smaller than a guard page is thought to catch, and checked by the stack's limit.
            ("enable_probestack", "false"),
            ("unwind_info", "false"),
        ];
        for (name, value) in settings {
            flags.set(name, value).map_err(|error| error.to_string())?;
        }
        let builder = cranelift_native::builder().map_err(str::to_owned)?;
        let isa = builder.finish(settings::Flags::new(flags));
        isa.map_err(|error| error.to_string())
    });
    made.clone().map_err(Failure::Machine)
}

/// How a value is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repr {
    Int32,
    Int64,
    Double,
    Boolean,
}

impl Repr {
    fn of(found: Type) -> Self {
        match found {
            Type::Integer(range) if range.negative_zero => Self::Double,
            Type::Integer(range) if range.is_int32() => Self::Int32,
            Type::Integer(_) => Self::Int64,
            Type::Boolean => Self::Boolean,
            Type::Double | Type::Never | Type::Mixed => Self::Double,
        }
    }

    fn ir(self) -> ir::Type {
        match self {
            Self::Int32 => I32,
            Self::Int64 => I64,
            Self::Double => F64,
            Self::Boolean => I8,
        }
    }
}

/// A value, and how it is held.
#[derive(Debug, Clone, Copy)]
struct Held {
    value: ir::Value,
    repr: Repr,
}

/// `(context, values and arrays) -> (status, result)`.
fn signature(program: &Program, instance: usize) -> Signature {
    let instance = &program.instances[instance];
    let function = &instance.kernel.function;
    let mut signature = Signature::new(CallConv::SystemV);
    signature.params.push(AbiParam::new(I64));
    for (variable, _) in function.parameters.iter().enumerate() {
        let held = match instance.arrays[variable] {
            Some(_) => I64,
            None => Repr::of(instance.variables[variable]).ir(),
        };
        signature.params.push(AbiParam::new(held));
    }
    signature.returns.push(AbiParam::new(I32));
    if function.returns {
        let result = Repr::of(instance.result).ir();
        signature.returns.push(AbiParam::new(result));
    }
    signature
}

fn name(number: u32) -> UserExternalName {
    UserExternalName::new(0, number)
}
