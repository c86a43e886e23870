//! Calls of kernels from JavaScript: on the lane's stack, on its arrays in place.
//!
//! What a kernel returns within some nanoseconds must not wait for much: the kinds of the arguments are found by their tags, and
//! where they are those of the last call its code is at hand. All else is done out of the way.

use super::super::exchange::Exchange;
use super::super::faults::caught;
use super::super::host::interrupted;
use super::super::preempt::{in_kernel, unstoppable};
use super::super::values::object_name;
use super::array;
use super::compiler;
use super::lane::{has_to_end_for_flag, wait_for, wait_until};
use super::specialisations::{BOOLEAN, DOUBLE, INT32, Key, SPECIALISATIONS_MAX, Specialisation};
use super::table::Entry;
use madrpc_core::call::ErrorKind;
use madrpc_kernels::{
    Array, Compiled, Context, Kernel, MAX_PARAMETERS, Reason, Refused, ResultKind, Slot, Status,
    Usage,
};
use rquickjs::{Ctx, Exception, Value, qjs};
use std::cell::{Cell, OnceCell, RefCell};
use std::ffi::{c_int, c_void};
use std::mem::MaybeUninit;
use std::ptr::{NonNull, null};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// From so many on the words of an error are cut off.
const CUT_OFF_BYTES: usize = 255;

/// Kinds of arguments of which a function knows the code; it forgets all where there are more.
const KNOWN_MAX: usize = SPECIALISATIONS_MAX;

/// A kernel of a lane's.
pub(super) struct Bound {
    entry: Arc<Entry>,
    kernel: Arc<Kernel>,
    /// It owns this.
    exchange: *const Exchange,
    context: *mut Context,
    /// One of those below, or none.
    last: Cell<Known>,
    known: RefCell<Vec<(Known, Arc<Specialisation>)>>,
}

/// Code for certain kinds of arguments.
#[derive(Clone, Copy)]
struct Known {
    key: Key,
    /// The arguments, as bits, that are whole numbers, and to be passed as any.
    doubles: u32,
    result: ResultKind,
    /// It stays as long as the function knows it.
    compiled: *const Compiled,
}

impl Known {
    const NONE: Self = Self {
        key: Key::NONE,
        doubles: 0,
        result: ResultKind::Undefined,
        compiled: null(),
    };
}

const _: () = assert!(MAX_PARAMETERS <= u32::BITS as usize);

/// What the engine calls: with as many arguments as the kernel has parameters, or more.
pub(super) unsafe extern "C" fn call(
    ctx: *mut qjs::JSContext,
    _this: qjs::JSValue,
    _count: c_int,
    arguments: *mut qjs::JSValue,
    _magic: c_int,
    bound: *mut c_void,
) -> qjs::JSValue {
    // SAFETY: it is that with which the function was made, and stays as long as the lane.
    let bound = unsafe { &*bound.cast::<Bound>() };
    // SAFETY: the engine fills up what is missing with `undefined`, to as many as the function was made with.
    unsafe { bound.call(ctx, arguments) }
}

impl Bound {
    /// That of the lane with this exchange, which owns it.
    pub(super) fn new(
        entry: Arc<Entry>,
        kernel: Arc<Kernel>,
        exchange: *const Exchange,
        context: *mut Context,
    ) -> Self {
        Self {
            entry,
            kernel,
            exchange,
            context,
            last: Cell::new(Known::NONE),
            known: RefCell::default(),
        }
    }

    pub(super) fn entry(&self) -> &Arc<Entry> {
        &self.entry
    }

    pub(super) fn kernel(&self) -> &Kernel {
        &self.kernel
    }

    /// # Safety
    /// There are as many arguments as the kernel has parameters, and they stay as long as this runs.
    #[inline]
    unsafe fn call(
        &self,
        ctx: *mut qjs::JSContext,
        arguments: *const qjs::JSValue,
    ) -> qjs::JSValue {
        let mut slots = [const { MaybeUninit::<Slot>::uninit() }; MAX_PARAMETERS];
        let mut arrays = [const { MaybeUninit::<Array>::uninit() }; MAX_PARAMETERS];
        let mut key = Key::default();
        let count = self.kernel.parameters().len();
        let places = slots.iter_mut().zip(&mut arrays).take(count);
        for (at, (slot, array)) in places.enumerate() {
            // SAFETY: the caller says so; each branch reads what belongs to the tag.
            let kind = unsafe {
                let argument = *arguments.add(at);
                match qjs::JS_VALUE_GET_NORM_TAG(argument) {
                    qjs::JS_TAG_INT => {
                        let int32 = qjs::JS_VALUE_GET_INT(argument);
                        slot.write(Slot { int32 });
                        INT32
                    }
                    qjs::JS_TAG_FLOAT64 => {
                        let double = qjs::JS_VALUE_GET_FLOAT64(argument);
                        let int32 = double as i32;
                        // -0 is none.
                        match f64::from(int32).to_bits() == double.to_bits() {
                            true => {
                                slot.write(Slot { int32 });
                                INT32
                            }
                            false => {
                                slot.write(Slot { double });
                                DOUBLE
                            }
                        }
                    }
                    qjs::JS_TAG_BOOL => {
                        let boolean = qjs::JS_VALUE_GET_BOOL(argument).into();
                        slot.write(Slot { boolean });
                        BOOLEAN
                    }
                    qjs::JS_TAG_OBJECT => match array::kind(argument) {
                        Some(kind) if !array::is_immutable(argument) => {
                            let array = array.write(array::elements(argument));
                            slot.write(Slot { array });
                            kind
                        }
                        _ => return self.refuse(ctx, at, argument),
                    },
                    _ => return self.refuse(ctx, at, argument),
                }
            };
            key = key.with(at, kind);
        }
        let mut known = self.last.get();
        if known.key != key {
            match self.find(ctx, key) {
                Some(found) => known = found,
                None => return qjs::JS_EXCEPTION,
            }
        }
        let mut doubles = known.doubles;
        while doubles != 0 {
            let at = doubles.trailing_zeros() as usize;
            doubles &= doubles - 1;
            // SAFETY: it was written above, and as a whole number.
            let int32 = unsafe { slots[at].assume_init().int32 };
            slots[at].write(Slot {
                double: int32.into(),
            });
        }
        let mut result = MaybeUninit::<Slot>::uninit();
        // SAFETY: the slots are of the kinds for which it was compiled. Nothing but the kernel runs in the lane, so the arrays stay
        // where they are; they may be written, by whoever holds a typed array.
        let status = in_kernel(|| unsafe {
            let (slots, result) = (slots.as_ptr().cast(), result.as_mut_ptr());
            (*known.compiled).call(self.context, slots, result)
        });
        if status != Status::Done {
            return self.end(ctx, status, known.compiled);
        }
        // SAFETY: the lane has its context and the flag for as long as it lives.
        let is_asked = unsafe { (*(*self.context).interrupt).load(Ordering::Relaxed) != 0 };
        // A kernel without a loop does not look, and the engine seldom does in a loop that calls it.
        if is_asked && !self.gives_core(ctx) {
            return qjs::JS_EXCEPTION;
        }
        // SAFETY: it was written, as that which it says.
        unsafe {
            match known.result {
                ResultKind::Int32 => qjs::JS_MKVAL(qjs::JS_TAG_INT, result.assume_init().int32),
                ResultKind::Double => qjs::__JS_NewFloat64(result.assume_init().double),
                ResultKind::Boolean => match result.assume_init().boolean {
                    0 => qjs::JS_FALSE,
                    _ => qjs::JS_TRUE,
                },
                ResultKind::Undefined => qjs::JS_UNDEFINED,
            }
        }
    }

    /// Gives the core back where the slice is over; says whether the call goes on, and throws where it has to end.
    #[cold]
    fn gives_core(&self, ctx: *mut qjs::JSContext) -> bool {
        let look = |ctx: &Ctx<'_>| {
            // SAFETY: the lane's exchange owns this.
            let exchange = unsafe { &*self.exchange };
            match has_to_end_for_flag(exchange) {
                true => Err(interrupted(ctx, exchange)),
                false => Ok(()),
            }
        };
        self.aside(ctx, look).is_some()
    }

    /// The code for other kinds of arguments than those of the last call; `None` where something is thrown.
    #[cold]
    fn find(&self, ctx: *mut qjs::JSContext, key: Key) -> Option<Known> {
        let known = |all: &[(Known, _)]| {
            let mut all = all.iter().map(|(known, _)| *known);
            all.find(|known| known.key == key)
        };
        // In the middle of a look nobody is stopped, who may be thrown away then: it would never end.
        let known = unstoppable(|| known(&self.known.borrow()));
        let known = match known {
            Some(known) => known,
            None => self.aside(ctx, |ctx| self.compiled(ctx, key))?,
        };
        self.last.set(known);
        Some(known)
    }

    /// Forgets all code. None of it runs: kernels call no JavaScript, which alone comes here.
    pub(super) fn let_go(&self) {
        self.last.set(Known::NONE);
        self.known.borrow_mut().clear();
    }

    fn compiled(&self, ctx: &Ctx<'_>, key: Key) -> rquickjs::Result<Known> {
        let parameters = self.kernel.parameters();
        for (at, parameter) in parameters.iter().enumerate() {
            let is_array = key.kind(at) < INT32;
            if is_array != (parameter.usage == Usage::Array) {
                let given = match key.kind(at) {
                    BOOLEAN => "a boolean".to_owned(),
                    INT32 | DOUBLE => "a number".to_owned(),
                    _ => "a typed array".to_owned(),
                };
                return Err(self.unfit(ctx, at, &given));
            }
        }
        let count = parameters.len();
        // SAFETY: the lane's exchange owns this.
        let exchange = unsafe { &*self.exchange };
        let found = OnceCell::new();
        let is_found = || match self.entry.specialisation(key) {
            Some(specialisation) => found.set(specialisation).is_ok(),
            None => false,
        };
        let is_found = wait_until(exchange, is_found);
        let Some(specialisation) = found.into_inner().filter(|_| is_found) else {
            return Err(interrupted(ctx, exchange));
        };
        let has_asked = Cell::new(false);
        let ask = || {
            has_asked.set(true);
            compiler::ask(&self.entry, Some(&specialisation))
        };
        let compiled = wait_for(exchange, &specialisation.compiled, ask);
        // Whoever has much compiled has the less time to run it.
        if has_asked.get()
            && let Some(took) = specialisation.took.get()
        {
            exchange.meter.charge(*took);
        }
        let compiled = match compiled {
            Some(Ok(compiled)) => compiled,
            Some(Err(refused)) => return Err(refuse(ctx, refused)),
            None => return Err(interrupted(ctx, exchange)),
        };
        let known = Known {
            key,
            doubles: places(count, |at| {
                key.kind(at) == INT32 && specialisation.key.kind(at) == DOUBLE
            }),
            result: compiled.result(),
            compiled,
        };
        if self.entry.held().is_scarce() {
            exchange.kernels.let_go();
        }
        if self.known.borrow().len() >= KNOWN_MAX {
            self.let_go();
        }
        let mut all = self.known.borrow_mut();
        let before = all.capacity();
        all.push((known, Arc::clone(&specialisation)));
        let more = (all.capacity() - before) * size_of::<(Known, Arc<Specialisation>)>();
        exchange.kernels.note_bytes(more);
        Ok(known)
    }

    /// Throws for an argument of no kind that there is.
    #[cold]
    fn refuse(&self, ctx: *mut qjs::JSContext, at: usize, argument: qjs::JSValue) -> qjs::JSValue {
        self.aside(ctx, |ctx| {
            // SAFETY: the engine keeps it until the call is over; the handle has a reference of its own.
            let argument = unsafe {
                let argument = qjs::JS_DupValue(ctx.as_raw().as_ptr(), argument);
                Value::from_raw(ctx.clone(), argument)
            };
            // SAFETY: it is an object, and where it has a kind a typed array.
            let is_view =
                argument.is_object() && unsafe { array::kind(argument.as_raw()) }.is_some();
            let given = match is_view {
                true => "a view of an immutable ArrayBuffer, which kernels may write".to_owned(),
                false => object_name(&argument),
            };
            Err::<(), _>(self.unfit(ctx, at, &given))
        });
        qjs::JS_EXCEPTION
    }

    fn unfit(&self, ctx: &Ctx<'_>, at: usize, given: &str) -> rquickjs::Error {
        let Some(parameter) = self.kernel.parameters().get(at) else {
            return rquickjs::Error::Unknown;
        };
        let wanted = match parameter.usage {
            Usage::Array => "a typed array of numbers",
            Usage::Scalar => "a number or a boolean",
        };
        let error = format!(
            "{}: argument {} ({}) is {given}, and must be {wanted}",
            self.name(),
            at + 1,
            parameter.name
        );
        throw(ctx, Reason::Type, &error)
    }

    fn name(&self) -> String {
        match &**self.kernel.name() {
            "" => format!("the kernel at {}", self.entry.source().place),
            name => format!("kernel {name}"),
        }
    }

    /// Throws what a kernel has ended by that has no result.
    #[cold]
    fn end(
        &self,
        ctx: *mut qjs::JSContext,
        status: Status,
        compiled: *const Compiled,
    ) -> qjs::JSValue {
        self.aside(ctx, |ctx| {
            // SAFETY: the entry's code stays, and so does the lane's exchange; the kernel has returned, so nobody writes the context.
            let (compiled, context, exchange) =
                unsafe { (&*compiled, &*self.context, &*self.exchange) };
            Err::<(), _>(match status {
                Status::OutOfBounds => {
                    let fault = compiled.fault(context).map(|fault| fault.to_string());
                    let fault = fault.unwrap_or_else(|| "an index is out of bounds".to_owned());
                    throw(ctx, Reason::TooLarge, &fault)
                }
                // In the engine's words.
                Status::StackOverflow => {
                    Exception::throw_range(ctx, "Maximum call stack size exceeded")
                }
                Status::Stopped | Status::Done => interrupted(ctx, exchange),
            })
        });
        qjs::JS_EXCEPTION
    }

    /// Does what is the host's, in which no lane is stopped; `None` where something is thrown.
    fn aside<R>(
        &self,
        ctx: *mut qjs::JSContext,
        run: impl FnOnce(&Ctx<'_>) -> rquickjs::Result<R>,
    ) -> Option<R> {
        let ctx = NonNull::new(ctx)?;
        unstoppable(|| {
            // SAFETY: the engine calls with the context of the function.
            let ctx = unsafe { Ctx::from_raw(ctx) };
            let done = caught(|| run(&ctx)).unwrap_or_else(|| {
                // SAFETY: the lane's exchange owns this.
                let exchange = unsafe { &*self.exchange };
                exchange.stop.set(Some(ErrorKind::Internal));
                Err(interrupted(&ctx, exchange))
            });
            match done {
                Ok(done) => Some(done),
                Err(rquickjs::Error::Exception) => None,
                Err(error) => {
                    Exception::throw_internal(&ctx, &error.to_string());
                    None
                }
            }
        })
    }
}

/// The places of which this holds, as bits.
fn places(count: usize, holds: impl Fn(usize) -> bool) -> u32 {
    let bit = |at| if holds(at) { 1_u32 << at } else { 0 };
    (0..count).map(bit).fold(0, |all, bit| all | bit)
}

/// Throws what the compiler says.
pub(super) fn refuse(ctx: &Ctx<'_>, refused: &Refused) -> rquickjs::Error {
    throw(ctx, refused.reason, &refused.to_string())
}

/// Throws an error with these words. The engine's own function cuts them off after 255 bytes.
pub(super) fn throw(ctx: &Ctx<'_>, reason: Reason, words: &str) -> rquickjs::Error {
    let error = match reason {
        Reason::Syntax => Exception::throw_syntax(ctx, words),
        Reason::Type => Exception::throw_type(ctx, words),
        Reason::TooLarge => Exception::throw_range(ctx, words),
        Reason::System => Exception::throw_internal(ctx, words),
    };
    if words.len() < CUT_OFF_BYTES {
        return error;
    }
    let thrown = ctx.catch();
    if let Some(object) = thrown.as_object()
        && object.set("message", words).is_err()
    {
        ctx.catch();
    }
    ctx.throw(thrown)
}
