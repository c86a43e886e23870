//! Calls of other kernels: small ones are compiled where they are called.

use super::function::{Emitter, Exit, Frame, import};
use super::{Held, Repr, signature};
use crate::tree::{Argument, Expression};
use cranelift_codegen::ir::types::{F64, I32};
use cranelift_codegen::ir::{AbiParam, BlockArg, InstBuilder, Signature, Type, Value};
use cranelift_codegen::isa::CallConv;

/// A kernel of up to so many expressions is compiled where it is called, as a call costs a loop its registers.
const SMALL_KERNEL: usize = 160;
/// And not nested deeper than so, as the compiler's own stack is as deep as all that is compiled in one place.
const SHALLOW: usize = 40;
/// How deep that goes.
const MAX_WITHIN: usize = 6;
/// The most expressions that are compiled so, in all.
const MAX_INLINED: usize = 20_000;

impl<'p> Emitter<'_, '_, 'p> {
    /// The result of a call, if it has one.
    pub(super) fn call(&mut self, call: &'p Expression, arguments: &'p [Argument]) -> Option<Held> {
        let caller = self.frame().instance;
        let program = self.unit.program;
        let callee = program.instances[caller].calls.get(&call.number).copied()?;
        let known = &program.instances[callee];
        let size = known.expressions.len();
        let within = !known.kernel.function.calls_itself
            && size <= SMALL_KERNEL
            && known.kernel.function.depth <= SHALLOW
            && self.frames.len() < MAX_WITHIN
            && self.has_room()
            && self.unit.inlined + size <= MAX_INLINED;
        if within {
            self.unit.inlined += size;
            return self.call_within(callee, arguments);
        }
        let mut values = Vec::with_capacity(arguments.len());
        for (number, argument) in arguments.iter().enumerate() {
            values.push(match argument {
                Argument::Array(array) => self.array(*array).pointer,
                Argument::Value(value) => self.held_as(value, Repr::of(known.variables[number])),
            });
        }
        self.call_function(callee, &values)
    }

    /// Calls the function of an instance.
    pub(super) fn call_function(&mut self, callee: usize, arguments: &[Value]) -> Option<Held> {
        let program = self.unit.program;
        let number = self.unit.number(callee);
        let declared = signature(program, callee);
        let declared = self.b.import_signature(declared);
        let function = import(&mut self.b, number, declared);
        let given: Vec<Value> = [self.context]
            .into_iter()
            .chain(arguments.iter().copied())
            .collect();
        let call = self.b.ins().call(function, &given);
        let returned = self.b.inst_results(call).to_vec();
        let status = returned[0];
        let go_on = self.b.create_block();
        let ended = [BlockArg::Value(status)];
        self.b.ins().brif(status, self.leave, &ended, go_on, &[]);
        self.b.seal_block(go_on);
        self.b.switch_to_block(go_on);
        // It may have been interrupted.
        self.read_arrays();
        let repr = Repr::of(program.instances[callee].result);
        returned.get(1).map(|value| Held {
            value: *value,
            repr,
        })
    }

    fn call_within(&mut self, callee: usize, arguments: &'p [Argument]) -> Option<Held> {
        let program = self.unit.program;
        let known = &program.instances[callee];
        let after = self.b.create_block();
        let repr = Repr::of(known.result);
        let returns = known.kernel.function.returns;
        if returns {
            self.b.append_block_param(after, repr.ir());
        }
        // All arguments before the first is assigned: they are variables of the caller's.
        let mut values = Vec::with_capacity(arguments.len());
        let mut arrays = vec![None; arguments.len()];
        for (number, argument) in arguments.iter().enumerate() {
            match argument {
                Argument::Array(array) => {
                    arrays[number] = self.frame().arrays[*array as usize];
                }
                Argument::Value(value) => {
                    let wanted = Repr::of(known.variables[number]);
                    values.push((number as u32, self.held_as(value, wanted)));
                }
            }
        }
        let mut frame = Frame::new(callee, self.unit, Exit::Within(after, false));
        frame.arrays = arrays;
        self.frames.push(frame);
        for (variable, value) in values {
            let local = self.local(variable);
            self.b.def_var(local, value);
        }
        self.statements(&known.kernel.function.body);
        self.give_back(None);
        let exit = self.frame().exit;
        self.frames.pop();
        // A kernel that never returns: nothing comes after it. What is compiled of it all the same has to have its values.
        self.b.seal_block(after);
        self.b.switch_to_block(after);
        self.dead = false;
        if matches!(exit, Exit::Within(_, false)) {
            return returns.then(|| Held {
                value: self.nothing(repr),
                repr,
            });
        }
        returns.then(|| Held {
            value: self.b.block_params(after)[0],
            repr,
        })
    }

    /// Calls a function of this program.
    pub(super) fn call_address(
        &mut self,
        address: usize,
        (parameter, result): (Type, Type),
        arguments: &[Value],
    ) -> Value {
        let mut declared = Signature::new(CallConv::SystemV);
        for _ in arguments {
            declared.params.push(AbiParam::new(parameter));
        }
        declared.returns.push(AbiParam::new(result));
        let declared = self.b.import_signature(declared);
        let function = self.constant64(address as i64);
        let call = self.b.ins().call_indirect(declared, function, arguments);
        self.b.inst_results(call)[0]
    }

    /// A function of numbers.
    pub(super) fn call_library(&mut self, address: usize, arguments: &[Value]) -> Value {
        self.call_address(address, (F64, F64), arguments)
    }

    pub(super) fn half_to_double(&mut self, bits: Value) -> Value {
        let address = crate::math::from_half as *const () as usize;
        self.call_address(address, (I32, F64), &[bits])
    }

    pub(super) fn double_to_half(&mut self, value: Value) -> Value {
        let address = crate::math::to_half as *const () as usize;
        self.call_address(address, (F64, I32), &[value])
    }
}
