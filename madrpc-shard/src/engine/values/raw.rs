//! The engine's values without rquickjs' handles.
//!
//! A handle counts a reference to the context, and asks an object for everything that it might be before it says that it
//! is one; together that took a seventh of the time of a tiny call. What is made and read for every call goes through here;
//! all else through rquickjs.

use super::classes::Class;
use super::keys::{KeyText, Keys};
use super::text::Text;
use crate::engine::preempt::stoppable;
use rquickjs::{Ctx, Error, Function, Result, Value, qjs};
use std::mem::ManuallyDrop;
use std::ptr::null_mut;

/// Properties as an assignment makes them.
const PLAIN: i32 = qjs::JS_PROP_C_W_E as i32;

/// An object's own enumerable properties that have strings for keys.
const OWN_ENTRIES: i32 = (qjs::JS_GPN_STRING_MASK | qjs::JS_GPN_ENUM_ONLY) as i32;

/// What a value is, by its tag alone.
pub(super) enum Kind {
    Undefined,
    Null,
    Bool(bool),
    Int(i32),
    Float(f64),
    String,
    Object,
    /// A BigInt, a symbol and the like.
    Other,
}

/// A value that is owned, in the context that it borrows.
pub(in crate::engine) struct Raw<'a, 'js> {
    ctx: &'a Ctx<'js>,
    value: qjs::JSValue,
}

impl Drop for Raw<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: the value is ours, and its context is borrowed for as long as we are.
        let free = || unsafe { qjs::JS_FreeValue(pointer(self.ctx), self.value) };
        // SAFETY: it looks at the tag.
        if unsafe { qjs::JS_VALUE_HAS_REF_COUNT(self.value) } {
            stoppable(free);
        }
    }
}

impl<'a, 'js> Raw<'a, 'js> {
    /// Takes over what the engine gave, which may be that something was thrown.
    pub(super) fn owned(ctx: &'a Ctx<'js>, value: qjs::JSValue) -> Result<Self> {
        let raw = Self { ctx, value };
        // SAFETY: it looks at the tag.
        match unsafe { qjs::JS_IsException(value) } {
            true => Err(Error::Exception),
            false => Ok(raw),
        }
    }

    pub(super) fn undefined(ctx: &'a Ctx<'js>) -> Self {
        let value = qjs::JS_UNDEFINED;
        Self { ctx, value }
    }

    pub(super) fn null(ctx: &'a Ctx<'js>) -> Self {
        let value = qjs::JS_NULL;
        Self { ctx, value }
    }

    pub(super) fn bool(ctx: &'a Ctx<'js>, bool: bool) -> Self {
        let value = if bool { qjs::JS_TRUE } else { qjs::JS_FALSE };
        Self { ctx, value }
    }

    pub(super) fn int(ctx: &'a Ctx<'js>, int: i32) -> Self {
        let value = qjs::JS_MKVAL(qjs::JS_TAG_INT, int);
        Self { ctx, value }
    }

    pub(super) fn float(ctx: &'a Ctx<'js>, float: f64) -> Self {
        let value = qjs::__JS_NewFloat64(float);
        Self { ctx, value }
    }

    pub(super) fn string(ctx: &'a Ctx<'js>, text: &str) -> Result<Self> {
        let (bytes, length) = (text.as_ptr().cast(), text.len() as _);
        // SAFETY: the engine copies the bytes.
        let make = || unsafe { qjs::JS_NewStringLen(pointer(ctx), bytes, length) };
        Self::owned(ctx, stoppable(make))
    }

    pub(super) fn array(ctx: &'a Ctx<'js>) -> Result<Self> {
        // SAFETY: the context is alive. With an object it may be that garbage is looked for, in all of the heap.
        Self::owned(ctx, stoppable(|| unsafe { qjs::JS_NewArray(pointer(ctx)) }))
    }

    /// An array of these, which the engine takes over, whatever comes of it.
    pub(super) fn array_of(ctx: &'a Ctx<'js>, values: &[qjs::JSValue]) -> Result<Self> {
        let (length, values) = (values.len() as i32, values.as_ptr());
        // SAFETY: the context is alive; the engine takes over the values, and copies the slice.
        let make = || unsafe { qjs::JS_NewArrayFrom(pointer(ctx), length, values) };
        Self::owned(ctx, stoppable(make))
    }

    pub(super) fn object(ctx: &'a Ctx<'js>) -> Result<Self> {
        // SAFETY: the context is alive.
        Self::owned(
            ctx,
            stoppable(|| unsafe { qjs::JS_NewObject(pointer(ctx)) }),
        )
    }

    /// A reference of ours to the value of a handle.
    pub(in crate::engine) fn of(ctx: &'a Ctx<'js>, value: &Value<'js>) -> Self {
        // SAFETY: the handle keeps the value alive until it is counted once more.
        let value = unsafe { qjs::JS_DupValue(pointer(ctx), value.as_raw()) };
        Self { ctx, value }
    }

    /// Calls a function with nothing but this. What rquickjs keeps a list of arguments for, whatever their number, took a fiftieth
    /// of the time of a tiny call.
    pub(in crate::engine) fn pass_to(self, function: &Function<'js>) -> Result<Self> {
        let (ctx, function) = (self.ctx, function.as_raw());
        let mut arguments = [self.value];
        // SAFETY: the function and the argument are alive until it returns.
        let call = || unsafe {
            let (count, first) = (arguments.len() as i32, arguments.as_mut_ptr());
            qjs::JS_Call(pointer(ctx), function, qjs::JS_UNDEFINED, count, first)
        };
        Self::owned(ctx, stoppable(call))
    }

    /// The reference that was ours.
    pub(super) fn into_raw(self) -> qjs::JSValue {
        ManuallyDrop::new(self).value
    }

    /// The handle of it.
    pub(in crate::engine) fn into_value(self) -> Value<'js> {
        let raw = ManuallyDrop::new(self);
        // SAFETY: the reference that was ours goes over to the handle.
        unsafe { Value::from_raw(raw.ctx.clone(), raw.value) }
    }

    /// Puts `value` at this index of the array that this is.
    pub(super) fn push(&mut self, index: usize, value: Self) -> Result<()> {
        let (value, at) = (value.into_raw(), index as u32);
        // SAFETY: the reference to `value` goes over to the engine, whatever comes of it.
        let push =
            || unsafe { qjs::JS_SetPropertyUint32(pointer(self.ctx), self.value, at, value) };
        done(stoppable_in_large(index, push))
    }

    /// Gives the object that this is one of so many properties. It is defined and not assigned: `__proto__` is a name like others.
    pub(super) fn define(
        &mut self,
        keys: &Keys<'js>,
        key: &str,
        value: Self,
        count: usize,
    ) -> Result<()> {
        let (ctx, object) = (pointer(self.ctx), self.value);
        keys.with_atom(key, |atom| {
            let value = value.into_raw();
            // SAFETY: the name is in use; the reference to `value` goes over to the engine, whatever comes of it.
            let define = || unsafe { qjs::JS_DefinePropertyValue(ctx, object, atom, value, PLAIN) };
            done(stoppable_in_large(count, define))
        })?
    }

    /// The engine's name for the string that this is, counted once for the caller.
    pub(super) fn to_atom(&self) -> qjs::JSAtom {
        // SAFETY: the context is alive, and the value is.
        unsafe { qjs::JS_ValueToAtom(pointer(self.ctx), self.value) }
    }

    pub(in crate::engine) fn view(&self) -> View<'_, 'js> {
        View {
            ctx: self.ctx,
            value: self.value,
        }
    }
}

/// A value that somebody else keeps alive.
#[derive(Clone, Copy)]
pub(in crate::engine) struct View<'a, 'js> {
    ctx: &'a Ctx<'js>,
    value: qjs::JSValue,
}

impl<'a, 'js> View<'a, 'js> {
    /// Of a handle.
    pub(in crate::engine) fn of(value: &'a Value<'js>) -> Self {
        Self {
            ctx: value.ctx(),
            value: value.as_raw(),
        }
    }

    pub(super) fn kind(self) -> Kind {
        let value = self.value;
        // SAFETY: each reads the tag, or what belongs to it.
        unsafe {
            match qjs::JS_VALUE_GET_NORM_TAG(value) {
                qjs::JS_TAG_INT => Kind::Int(qjs::JS_VALUE_GET_INT(value)),
                qjs::JS_TAG_OBJECT => Kind::Object,
                qjs::JS_TAG_STRING | qjs::JS_TAG_STRING_ROPE => Kind::String,
                qjs::JS_TAG_FLOAT64 => Kind::Float(qjs::JS_VALUE_GET_FLOAT64(value)),
                qjs::JS_TAG_BOOL => Kind::Bool(qjs::JS_VALUE_GET_BOOL(value)),
                qjs::JS_TAG_NULL => Kind::Null,
                qjs::JS_TAG_UNDEFINED => Kind::Undefined,
                _ => Kind::Other,
            }
        }
    }

    pub(super) fn is_object(self) -> bool {
        // SAFETY: it looks at the tag.
        unsafe { qjs::JS_IsObject(self.value) }
    }

    /// The handle of it.
    pub(super) fn to_value(self) -> Value<'js> {
        // SAFETY: somebody keeps the value alive until it is counted once more, for the handle.
        unsafe {
            let value = qjs::JS_DupValue(pointer(self.ctx), self.value);
            Value::from_raw(self.ctx.clone(), value)
        }
    }

    /// Whether the prototype of the object that this is, is that one.
    pub(super) fn has_prototype(self, prototype: &Value<'js>) -> Result<bool> {
        // SAFETY: the context is alive, and the value is.
        let found = stoppable(|| unsafe { qjs::JS_GetPrototype(pointer(self.ctx), self.value) });
        let found = Raw::owned(self.ctx, found)?;
        let address = |value| {
            // SAFETY: of an object, it is the address; of null, which is no object's, it is never compared.
            unsafe { qjs::JS_VALUE_GET_PTR(value) }
        };
        let is_object = matches!(found.view().kind(), Kind::Object);
        Ok(is_object && address(found.value) == address(prototype.as_raw()))
    }

    /// The engine's number for the class of the object that this is.
    pub(super) fn class(self) -> u32 {
        // SAFETY: it looks at the class of the value.
        unsafe { qjs::JS_GetClassID(self.value) }
    }

    /// Whether this can be called.
    pub(super) fn is_function(self) -> bool {
        // SAFETY: it looks at the class of the value.
        unsafe { qjs::JS_IsFunction(pointer(self.ctx), self.value) }
    }

    /// Whether the object that this is has a property of this name by itself.
    pub(super) fn has_own(self, name: &Atom<'js>) -> Result<bool> {
        // SAFETY: the object is alive, and the name is; nothing is written where there is nowhere to write.
        let found = stoppable(|| unsafe {
            qjs::JS_GetOwnProperty(pointer(self.ctx), null_mut(), self.value, name.atom)
        });
        done(found).map(|()| found > 0)
    }

    /// Whether the object that this is has a method of this name; a getter runs.
    pub(super) fn has_method(self, name: &Atom<'js>) -> Result<bool> {
        // SAFETY: the object is alive, and the name is.
        let found =
            stoppable(|| unsafe { qjs::JS_GetProperty(pointer(self.ctx), self.value, name.atom) });
        let found = Raw::owned(self.ctx, found)?;
        Ok(found.view().is_function())
    }

    /// Whether this is an object of no class but `Object`, whose prototype that is.
    pub(super) fn is_plain(self, prototype: &Value<'js>) -> Result<bool> {
        Ok(Class::from_number(self.class()) == Class::Object && self.has_prototype(prototype)?)
    }

    /// Whether this is a promise.
    pub(super) fn is_promise(self) -> bool {
        // SAFETY: it looks at the class of the value.
        let state = unsafe { qjs::JS_PromiseState(pointer(self.ctx), self.value) };
        state != qjs::JSPromiseStateEnum_JS_PROMISE_NOT_A_PROMISE
    }

    /// The first so many units of the string that this is, as a string, and how many it has in all. No script has a part in it,
    /// as nobody can change what a text's prototype has.
    pub(super) fn head(self, most: usize) -> Result<(Raw<'a, 'js>, usize)> {
        let units = self.length()?;
        let slice = Atom::new(self.ctx, "slice")?;
        let number = |number| qjs::JS_MKVAL(qjs::JS_TAG_INT, number);
        let mut range = [number(0), number(i32::try_from(most).unwrap_or(i32::MAX))];
        // SAFETY: the context, the string and the name are alive, and numbers need no keeping.
        let head = stoppable(|| unsafe {
            let (count, first) = (range.len() as i32, range.as_mut_ptr());
            qjs::JS_Invoke(pointer(self.ctx), self.value, slice.atom, count, first)
        });
        Ok((Raw::owned(self.ctx, head)?, units))
    }

    /// The text of the string that this is.
    pub(super) fn to_text(self) -> Result<Text<'a, 'js>> {
        let (ctx, mut length) = (pointer(self.ctx), 0);
        // SAFETY: the engine gives as many bytes as it says, or null.
        let bytes =
            stoppable(|| unsafe { qjs::JS_ToCStringLen2(ctx, &mut length, self.value, false) });
        Text::new(self.ctx, bytes, length as usize)
    }

    /// How many elements the array that this is has, or units the string.
    pub(super) fn length(self) -> Result<usize> {
        let mut length = 0;
        // SAFETY: the array is alive, and the length is written or it fails.
        done(stoppable(|| unsafe {
            qjs::JS_GetLength(pointer(self.ctx), self.value, &mut length)
        }))?;
        Ok(usize::try_from(length).unwrap_or_default())
    }

    /// An element of the array that this is; a getter runs.
    pub(super) fn element(self, index: usize) -> Result<Raw<'a, 'js>> {
        // An array has no more of them.
        let index = u32::try_from(index).unwrap_or(u32::MAX);
        // SAFETY: the array is alive.
        let element = stoppable(|| unsafe {
            qjs::JS_GetPropertyUint32(pointer(self.ctx), self.value, index)
        });
        Raw::owned(self.ctx, element)
    }

    /// The own enumerable properties of the object that this is.
    pub(super) fn entries(self) -> Result<Entries<'a, 'js>> {
        let (mut table, mut length) = (null_mut(), 0);
        // SAFETY: the engine writes a table and its length, or fails and writes nothing.
        done(stoppable(|| unsafe {
            let ctx = pointer(self.ctx);
            qjs::JS_GetOwnPropertyNames(ctx, &mut table, &mut length, self.value, OWN_ENTRIES)
        }))?;
        Ok(Entries {
            object: self,
            table,
            length,
        })
    }
}

/// The properties of an object, as they were when it was asked for them.
pub(super) struct Entries<'a, 'js> {
    object: View<'a, 'js>,
    table: *mut qjs::JSPropertyEnum,
    length: u32,
}

impl Drop for Entries<'_, '_> {
    fn drop(&mut self) {
        // SAFETY: the table is the engine's and as long as it said.
        stoppable(|| unsafe {
            qjs::JS_FreePropertyEnum(pointer(self.object.ctx), self.table, self.length);
        });
    }
}

impl<'a, 'js> Entries<'a, 'js> {
    pub(super) fn len(&self) -> usize {
        self.length as usize
    }

    fn atom(&self, at: usize) -> qjs::JSAtom {
        assert!(at < self.len());
        // SAFETY: `at` lies within the table, which holds its atoms.
        unsafe { (*self.table.add(at)).atom }
    }

    /// Lends out the key of a property.
    pub(super) fn key<R>(
        &self,
        keys: &Keys<'js>,
        at: usize,
        use_it: impl FnOnce(KeyText<'_, 'a, 'js>) -> R,
    ) -> Result<R> {
        let atom = self.atom(at);
        keys.with_text(atom, use_it, || {
            let (ctx, mut length) = (self.object.ctx, 0);
            // SAFETY: the name is in use; the engine gives as many bytes as it says, or null.
            let read = || unsafe { qjs::JS_AtomToCStringLen(pointer(ctx), &mut length, atom) };
            let bytes = stoppable(read);
            Text::new(ctx, bytes, length as usize)
        })
    }

    /// The key of a property, as a script has it.
    pub(super) fn key_value(&self, at: usize) -> Result<Raw<'a, 'js>> {
        let ctx = self.object.ctx;
        // SAFETY: the context is alive, and the name is in use.
        let key = stoppable(|| unsafe { qjs::JS_AtomToString(pointer(ctx), self.atom(at)) });
        Raw::owned(ctx, key)
    }

    /// The value of a property; a getter runs.
    pub(super) fn value(&self, at: usize) -> Result<Raw<'a, 'js>> {
        let View { ctx, value } = self.object;
        // SAFETY: the object is alive, and the atom is.
        let value =
            stoppable(|| unsafe { qjs::JS_GetProperty(pointer(ctx), value, self.atom(at)) });
        Raw::owned(ctx, value)
    }
}

pub(super) fn pointer(ctx: &Ctx<'_>) -> *mut qjs::JSContext {
    ctx.as_raw().as_ptr()
}

/// A name of the engine's that is kept.
pub(super) struct Atom<'js> {
    ctx: Ctx<'js>,
    atom: qjs::JSAtom,
}

impl<'js> Atom<'js> {
    /// Of an ASCII text.
    pub(super) fn new(ctx: &Ctx<'js>, text: &str) -> Result<Self> {
        // SAFETY: the engine copies the bytes.
        let atom =
            unsafe { qjs::JS_NewAtomLen(pointer(ctx), text.as_ptr().cast(), text.len() as _) };
        match atom {
            qjs::JS_ATOM_NULL => Err(Error::Exception),
            atom => Ok(Self {
                ctx: ctx.clone(),
                atom,
            }),
        }
    }
}

impl Drop for Atom<'_> {
    fn drop(&mut self) {
        // SAFETY: it was counted when it was made.
        unsafe { qjs::JS_FreeAtom(pointer(&self.ctx), self.atom) };
    }
}

/// To add one more to that many may move all that are there, which takes long where they are very many; to say so of each would
/// cost more than it takes.
#[inline]
fn stoppable_in_large<R>(many: usize, add: impl FnOnce() -> R) -> R {
    match many < 1 << 14 {
        true => add(),
        false => stoppable(add),
    }
}

/// What the engine says of something done: negative where it threw.
fn done(result: i32) -> Result<()> {
    match result {
        0.. => Ok(()),
        _ => Err(Error::Exception),
    }
}
