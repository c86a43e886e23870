//! What is around the code of a kernel: parameters, ends, the check of the stack.

use super::{ENTRY, Held, INTERRUPT, Repr, Unit, cost, name, signature};
use crate::abi::{ArgumentKind, Array, Context as CallContext, ElementKind, Slot, Status};
use cranelift_codegen::Context;
use cranelift_codegen::ir::condcodes::IntCC;
use cranelift_codegen::ir::types::{F64, I8, I32, I64};
use cranelift_codegen::ir::{
    AbiParam, Block, BlockArg, ExtFuncData, ExternalName, FuncRef, InstBuilder, MemFlagsData,
    Signature, Type, Value,
};
use cranelift_codegen::isa::CallConv;
use cranelift_frontend::{FunctionBuilder, FunctionBuilderContext, Variable};
use std::mem::offset_of;

/// Up to so many variables times loops, and times blocks, other kernels are compiled within a function: to find out where a
/// variable is, each has a place in each block.
const ROOM_LOOPS: usize = 12_500;
const ROOM_BLOCKS: usize = 4_000_000;

/// One function while it is written.
pub(super) struct Emitter<'f, 'u, 'p> {
    pub(super) b: FunctionBuilder<'f>,
    pub(super) unit: &'u mut Unit<'p>,
    pub(super) context: Value,
    /// Where the flag of interrupts is.
    interrupt: Value,
    interrupt_function: FuncRef,
    /// The kernel, and within it those that are compiled where they are called.
    pub(super) frames: Vec<Frame>,
    pub(super) arrays: Vec<LocalArray>,
    /// Ends the function with a status.
    pub(super) leave: Block,
    /// Ends it with an index (a number), a length and a site.
    pub(super) fault: Option<Block>,
    /// What [`Node::Old`](crate::tree::Node::Old) stands for.
    pub(super) old: Vec<Held>,
    /// Nothing comes here: what follows is not compiled.
    pub(super) dead: bool,
    /// How many variables and loops there are, but for those of arrays.
    variables: usize,
    pub(super) loops: usize,
}

/// A kernel whose statements are compiled.
pub(super) struct Frame {
    pub(super) instance: usize,
    pub(super) variables: Vec<Option<Variable>>,
    /// Which arrays of the function its parameters are.
    pub(super) arrays: Vec<Option<usize>>,
    /// What `break` and `continue` go to, and whether they do.
    pub(super) targets: Vec<Option<OpenTarget>>,
    pub(super) exit: Exit,
}

#[derive(Clone, Copy)]
pub(super) struct OpenTarget {
    pub(super) after: Block,
    pub(super) after_reached: bool,
    pub(super) next: Option<Block>,
    pub(super) next_reached: bool,
}

/// Where `return` goes.
#[derive(Clone, Copy)]
pub(super) enum Exit {
    /// To the host, with the result in this slot.
    Host(Value),
    /// To the kernel that called.
    Caller,
    /// On, in the same function; and whether anything comes there.
    Within(Block, bool),
}

/// An array in the function: what its [`Array`] says is held in variables, and read again where it may have changed.
#[derive(Clone, Copy)]
pub(super) struct LocalArray {
    pub(super) pointer: Value,
    pub(super) data: Variable,
    pub(super) length: Variable,
    pub(super) kind: ElementKind,
}

/// The function that is called from outside: it takes the arguments from their slots.
pub(super) fn entry(
    unit: &mut Unit,
    context: &mut Context,
    builders: &mut FunctionBuilderContext,
    kinds: &[ArgumentKind],
) {
    let mut declared = Signature::new(CallConv::SystemV);
    declared.params.extend([AbiParam::new(I64); 3]);
    declared.returns.push(AbiParam::new(I32));
    context.func.signature = declared;
    let b = FunctionBuilder::new(&mut context.func, builders);
    let mut e = Emitter::new(b, unit);
    let parameters = e.parameters();
    let (arguments, result) = (parameters[1], parameters[2]);
    let instance = &e.unit.program.instances[0];
    let itself = instance.kernel.function.calls_itself;
    let mut values = Vec::with_capacity(kinds.len());
    for (number, kind) in kinds.iter().enumerate() {
        let at = (number * size_of::<Slot>()) as i32;
        let (held, repr) = match kind {
            ArgumentKind::Int32 => (I32, Repr::Int32),
            ArgumentKind::Double => (F64, Repr::Double),
            ArgumentKind::Boolean => (I8, Repr::Boolean),
            ArgumentKind::Array(_) => (I64, Repr::Int64),
        };
        let value = e.b.ins().load(held, MemFlagsData::trusted(), arguments, at);
        values.push(match kind {
            ArgumentKind::Array(_) => value,
            _ => {
                let wanted = Repr::of(instance.variables[number]);
                e.convert(Held { value, repr }, wanted)
            }
        });
    }
    // Where it calls itself, there has to be a function to be called, and what the host calls is none.
    let exit = Exit::Host(result);
    if itself {
        let returned = e.call_function(0, &values);
        e.frames.push(Frame::new(0, e.unit, exit));
        e.give_back(returned);
    } else {
        e.body(0, &values, exit);
    }
    e.finish(false);
    debug_assert_eq!(ENTRY, 0);
}

/// The function of an instance, called by other kernels.
pub(super) fn instance(
    unit: &mut Unit,
    context: &mut Context,
    builders: &mut FunctionBuilderContext,
    number: usize,
) {
    context.func.signature = signature(unit.program, number);
    let b = FunctionBuilder::new(&mut context.func, builders);
    let mut e = Emitter::new(b, unit);
    let parameters = e.parameters();
    e.check_interrupt();
    e.body(number, &parameters[1..], Exit::Caller);
    e.finish(true);
}

/// Calls [`CallContext::on_interrupt`], see [`INTERRUPT`].
pub(super) fn interrupt(unit: &Unit, context: &mut Context, builders: &mut FunctionBuilderContext) {
    debug_assert_eq!(unit.compiled.len(), INTERRUPT as usize);
    context.func.signature = interrupt_signature();
    let mut b = FunctionBuilder::new(&mut context.func, builders);
    let mut of_host = Signature::new(CallConv::SystemV);
    of_host.params.push(AbiParam::new(I64));
    of_host.returns.push(AbiParam::new(I32));
    let of_host = b.import_signature(of_host);
    let block = b.create_block();
    b.append_block_params_for_function_params(block);
    b.switch_to_block(block);
    b.seal_block(block);
    let call_context = b.block_params(block)[0];
    let flags = MemFlagsData::trusted();
    let at = offset_of!(CallContext, on_interrupt) as i32;
    let host = b.ins().load(I64, flags, call_context, at);
    let call = b.ins().call_indirect(of_host, host, &[call_context]);
    let decision = b.inst_results(call)[0];
    let at = offset_of!(CallContext, decision) as i32;
    b.ins().store(flags, decision, call_context, at);
    b.ins().return_(&[]);
    b.finalize(unit.isa.frontend_config());
}

fn interrupt_signature() -> Signature {
    let mut signature = Signature::new(CallConv::PreserveAll);
    signature.params.push(AbiParam::new(I64));
    signature
}

impl Frame {
    pub(super) fn new(instance: usize, unit: &Unit, exit: Exit) -> Self {
        let function = &unit.program.instances[instance].kernel.function;
        Self {
            instance,
            variables: vec![None; function.variables.len()],
            arrays: vec![None; function.parameters.len()],
            targets: vec![None; function.targets as usize],
            exit,
        }
    }
}

impl<'f, 'u, 'p> Emitter<'f, 'u, 'p> {
    /// Opens the function, up to where its stack is checked.
    fn new(mut b: FunctionBuilder<'f>, unit: &'u mut Unit<'p>) -> Self {
        let block = b.create_block();
        b.append_block_params_for_function_params(block);
        b.switch_to_block(block);
        b.seal_block(block);
        let context = b.block_params(block)[0];
        let leave = b.create_block();
        b.append_block_param(leave, I32);
        b.set_cold_block(leave);
        let flags = MemFlagsData::trusted();
        let at = offset_of!(CallContext, stack_limit) as i32;
        let limit = b.ins().load(I64, flags, context, at);
        let stack = b.ins().get_stack_pointer(I64);
        let full = b.ins().icmp(IntCC::UnsignedLessThan, stack, limit);
        let status = b.ins().iconst(I32, Status::StackOverflow as i64);
        let go_on = b.create_block();
        b.ins()
            .brif(full, leave, &[BlockArg::Value(status)], go_on, &[]);
        b.switch_to_block(go_on);
        b.seal_block(go_on);
        let at = offset_of!(CallContext, interrupt) as i32;
        let interrupt = b.ins().load(I64, flags, context, at);
        let signature = b.import_signature(interrupt_signature());
        let interrupt_function = import(&mut b, INTERRUPT, signature);
        Self {
            b,
            unit,
            context,
            interrupt,
            interrupt_function,
            frames: Vec::new(),
            arrays: Vec::new(),
            leave,
            fault: None,
            old: Vec::new(),
            dead: false,
            variables: 0,
            loops: 0,
        }
    }

    /// Whether one more kernel may be compiled within this function.
    pub(super) fn has_room(&self) -> bool {
        let variables = self.variables + 2 * self.arrays.len();
        variables * self.loops < ROOM_LOOPS
            && variables * self.b.func.dfg.num_blocks() < ROOM_BLOCKS
    }

    fn parameters(&mut self) -> Vec<Value> {
        let first = self.b.func.layout.entry_block();
        first.map_or_else(Vec::new, |block| self.b.block_params(block).to_vec())
    }

    /// The statements of a kernel, whose arguments are held as its parameters are.
    fn body(&mut self, instance: usize, arguments: &[Value], exit: Exit) {
        self.frames.push(Frame::new(instance, self.unit, exit));
        let known = &self.unit.program.instances[instance];
        for (number, argument) in arguments.iter().enumerate() {
            match known.arrays[number] {
                Some(kind) => {
                    let array = LocalArray {
                        pointer: *argument,
                        data: self.b.declare_var(I64),
                        length: self.b.declare_var(I64),
                        kind,
                    };
                    self.frame().arrays[number] = Some(self.arrays.len());
                    self.arrays.push(array);
                }
                None => {
                    let variable = self.local(number as u32);
                    self.b.def_var(variable, *argument);
                }
            }
        }
        self.read_arrays();
        self.statements(&known.kernel.function.body);
        self.give_back(None);
    }

    /// Closes the function.
    fn finish(mut self, of_kernel: bool) {
        if let Some(fault) = self.fault {
            self.b.switch_to_block(fault);
            let given = self.b.block_params(fault).to_vec();
            let flags = MemFlagsData::trusted();
            let places = [
                offset_of!(CallContext, fault_index),
                offset_of!(CallContext, fault_length),
                offset_of!(CallContext, fault_site),
            ];
            for (value, at) in given.into_iter().zip(places) {
                self.b.ins().store(flags, value, self.context, at as i32);
            }
            let status = self.b.ins().iconst(I32, Status::OutOfBounds as i64);
            self.b.ins().jump(self.leave, &[BlockArg::Value(status)]);
        }
        self.b.switch_to_block(self.leave);
        let status = self.b.block_params(self.leave)[0];
        let mut returned = vec![status];
        if of_kernel && let Some(result) = self.b.func.signature.returns.get(1) {
            let held = result.value_type;
            returned.push(self.zero(held));
        }
        self.b.ins().return_(&returned);
        self.b.seal_all_blocks();
        let cost = cost::registers(self.b.func);
        self.unit.cost = self.unit.cost.saturating_add(cost);
        self.b.finalize(self.unit.isa.frontend_config());
    }

    fn zero(&mut self, held: Type) -> Value {
        match held {
            F64 => self.b.ins().f64const(0.0),
            held => self.b.ins().iconst(held, 0),
        }
    }

    pub(super) fn frame(&mut self) -> &mut Frame {
        let last = self.frames.len() - 1;
        &mut self.frames[last]
    }

    /// What holds a variable of the kernel.
    pub(super) fn local(&mut self, variable: u32) -> Variable {
        let known = self.frame().variables[variable as usize];
        known.unwrap_or_else(|| {
            let held = self.repr_of(variable).ir();
            let local = self.b.declare_var(held);
            self.variables += 1;
            self.frame().variables[variable as usize] = Some(local);
            local
        })
    }

    pub(super) fn repr_of(&mut self, variable: u32) -> Repr {
        let instance = self.frame().instance;
        Repr::of(self.unit.program.instances[instance].variables[variable as usize])
    }

    /// Reads what the host says about the arrays.
    pub(super) fn read_arrays(&mut self) {
        self.unit.cost += cost::READ * 2 * self.arrays.len() as u64;
        // This will not be compiled: it need not become larger still.
        if self.unit.is_too_large() {
            return;
        }
        for number in 0..self.arrays.len() {
            let array = self.arrays[number];
            let flags = MemFlagsData::trusted();
            let at = |place: usize| place as i32;
            let (data, length) = (at(offset_of!(Array, data)), at(offset_of!(Array, length)));
            let data = self.b.ins().load(I64, flags, array.pointer, data);
            let length = self.b.ins().load(I64, flags, array.pointer, length);
            self.b.def_var(array.data, data);
            self.b.def_var(array.length, length);
        }
    }

    /// Asks the host if the flag says so. Whatever it does meanwhile, the arrays are as it left them.
    pub(super) fn check_interrupt(&mut self) {
        // An ordinary load could be taken for the same as one before the loop.
        let flag = self
            .b
            .ins()
            .atomic_load(I32, MemFlagsData::trusted(), self.interrupt);
        let (asked, told, go_on) = (
            self.b.create_block(),
            self.b.create_block(),
            self.b.create_block(),
        );
        self.b.set_cold_block(asked);
        self.b.set_cold_block(told);
        self.b.ins().brif(flag, asked, &[], go_on, &[]);
        self.b.switch_to_block(asked);
        self.b.seal_block(asked);
        self.b.ins().call(self.interrupt_function, &[self.context]);
        let at = offset_of!(CallContext, decision) as i32;
        let flags = MemFlagsData::trusted();
        let decision = self.b.ins().load(I32, flags, self.context, at);
        let stopped = self.b.ins().iconst(I32, Status::Stopped as i64);
        let stopped = [BlockArg::Value(stopped)];
        self.b.ins().brif(decision, self.leave, &stopped, told, &[]);
        self.b.switch_to_block(told);
        self.b.seal_block(told);
        self.read_arrays();
        self.b.ins().jump(go_on, &[]);
        self.b.switch_to_block(go_on);
        self.b.seal_block(go_on);
    }
}

pub(super) fn import(
    b: &mut FunctionBuilder,
    number: u32,
    signature: cranelift_codegen::ir::SigRef,
) -> FuncRef {
    let name = b.func.declare_imported_user_function(name(number));
    b.import_function(ExtFuncData {
        name: ExternalName::user(name),
        signature,
        colocated: true,
        patchable: false,
    })
}
