//! Freezes everything that the language and the host bring, in every lane, after the globals are made and before the
//! script runs: no call leaves behind an Array, a Promise or a JSON other than it found.
//!
//! Frozen is every object that can be reached from the global object or by syntax: constructors, prototypes, functions,
//! namespaces. The globals that hold them can be neither assigned nor removed; new globals are the script's own affair.
//!
//! A frozen prototype would also forbid `this.name = "A"` on the instances of a class of one's own, because assigning
//! stops at an inherited property that is read-only (the "override mistake"). What can be assigned to in a prototype is an
//! accessor therefore, which puts the value on the instance: that costs some 10 ns for each use, and 280 bytes in each lane,
//! 120 KB for the 440 that there are. Classes inherit from constructors too, and scripts make objects of namespaces.
//!
//! The walk is made here and not in JavaScript, where it took seven tenths of the time that a lane takes to make. It
//! meets only objects of the engine and the host that no script has touched yet: no getter runs, and nothing goes away
//! meanwhile. What is closed to further properties has been met.

mod keys;

use super::globals::embedded::HARDEN;
use keys::Keys;
use rquickjs::{Array, Ctx, Object, Value, qjs};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::ffi::c_int;

/// Freezes what `ctx` holds; `pause` is called every so often.
pub(super) fn freeze_all<'js>(ctx: &Ctx<'js>, pause: impl Fn()) -> rquickjs::Result<()> {
    let [others, prototypes]: [Vec<Value<'js>>; 2] = {
        let found = HARDEN.evaluate(ctx)?;
        [list(&found, "others")?, list(&found, "prototypes")?]
    };
    let mut walk = Walk::new(ctx)?;
    for object in others {
        walk.close(&object)?;
        walk.pending.push(object);
    }
    for prototype in prototypes {
        walk.prototypes.insert(address(&prototype));
        walk.reach(prototype)?;
    }
    walk.freeze_globals()?;
    walk.finish(pause)
}

/// Freezes this object, whose values become globals, and what it leads to, where all else is frozen already.
pub(super) fn freeze<'js>(ctx: &Ctx<'js>, object: &Value<'js>) -> rquickjs::Result<()> {
    let mut walk = Walk::new(ctx)?;
    walk.note_namespaces(object)?;
    walk.reach(object.clone())?;
    walk.finish(|| ())
}

fn list<'js>(found: &Object<'js>, name: &str) -> rquickjs::Result<Vec<Value<'js>>> {
    found.get::<_, Array<'js>>(name)?.iter().collect()
}

/// A property's key, as the engine knows it.
struct Name<'js> {
    value: Value<'js>,
    atom: qjs::JSAtom,
}

impl<'js> Name<'js> {
    fn new(ctx: &Ctx<'js>, value: Value<'js>) -> rquickjs::Result<Self> {
        // SAFETY: the value is alive and of this context.
        let atom = unsafe { qjs::JS_ValueToAtom(ctx.as_raw().as_ptr(), value.as_raw()) };
        if atom == qjs::JS_ATOM_NULL {
            return Err(rquickjs::Error::Exception);
        }
        Ok(Self { value, atom })
    }
}

impl Drop for Name<'_> {
    fn drop(&mut self) {
        // SAFETY: `new` has taken the atom.
        unsafe { qjs::JS_FreeAtom(self.value.ctx().as_raw().as_ptr(), self.atom) };
    }
}

/// A property as it was found. What it holds lives as long as the object that has it.
struct Property<'js> {
    is_accessor: bool,
    /// A value that can be assigned to, and could be made an accessor.
    is_plain: bool,
    is_changeable: bool,
    value: Value<'js>,
    getter: Value<'js>,
    setter: Value<'js>,
}

struct Walk<'a, 'js> {
    ctx: &'a Ctx<'js>,
    prototype: Name<'js>,
    globals: usize,
    pending: Vec<Value<'js>>,
    prototypes: HashSet<usize>,
    /// What becomes an accessor if it is a prototype's: which objects are is known at the end.
    left: Vec<(Value<'js>, qjs::JSAtom, Property<'js>)>,
}

impl<'a, 'js> Walk<'a, 'js> {
    fn new(ctx: &'a Ctx<'js>) -> rquickjs::Result<Self> {
        let prototype = rquickjs::String::from_str(ctx.clone(), "prototype")?;
        Ok(Self {
            ctx,
            prototype: Name::new(ctx, prototype.into_value())?,
            globals: address(&ctx.globals()),
            pending: Vec::new(),
            prototypes: HashSet::new(),
            left: Vec::new(),
        })
    }

    /// Freezes what is pending, and what that leads to.
    fn finish(mut self, pause: impl Fn()) -> rquickjs::Result<()> {
        while let Some(object) = self.pending.pop() {
            self.freeze(&object)?;
            pause();
        }
        self.freeze_left(pause)
    }

    fn raw(&self) -> *mut qjs::JSContext {
        self.ctx.as_raw().as_ptr()
    }

    fn reach(&mut self, value: Value<'js>) -> rquickjs::Result<()> {
        if !value.is_object() || !self.close(&value)? {
            return Ok(());
        }
        // Four of five objects are functions with no more than a name and a length. That nothing can be added to them
        // is enough; freezing them would take twice the time and 60 KB.
        if !value.is_function() || self.has_prototype_property(&value)? {
            self.pending.push(value);
        }
        Ok(())
    }

    /// The objects of functions among the values of this one are inherited from too, as `Object.create(console)`. Not `Math`: what
    /// it has is called in loops, and takes no longer than to ask an accessor for it.
    fn note_namespaces(&mut self, of: &Value<'js>) -> rquickjs::Result<()> {
        let math: Value<'js> = self.ctx.globals().get("Math")?;
        for key in Keys::of(self.ctx, of)?.as_slice() {
            let property = self.property(of, key.atom)?;
            let value = property.map(|property| property.value);
            if let Some(value) = value.filter(|value| value.is_object() && !value.is_function())
                && ![address(&math), self.globals].contains(&address(&value))
            {
                self.prototypes.insert(address(&value));
            }
        }
        Ok(())
    }

    fn freeze_globals(&mut self) -> rquickjs::Result<()> {
        let globals = self.ctx.globals().into_value();
        self.note_namespaces(&globals)?;
        for key in Keys::of(self.ctx, &globals)?.as_slice() {
            let property = self.property(&globals, key.atom)?;
            // With all that it has, even where it looks like a plain function: `Proxy` has no prototype, and `revocable`.
            let value = property.map(|property| property.value);
            if let Some(value) = value.filter(Value::is_object)
                && self.close(&value)?
            {
                self.pending.push(value);
            }
        }
        self.freeze_properties(&globals)
    }

    fn freeze(&mut self, object: &Value<'js>) -> rquickjs::Result<()> {
        // SAFETY: the object is alive and of this context; the prototype is given with a reference of its own.
        let prototype = unsafe {
            let prototype = qjs::JS_GetPrototype(self.raw(), object.as_raw());
            Value::from_raw(self.ctx.clone(), prototype)
        };
        self.prototypes.insert(address(&prototype));
        self.reach(prototype)?;
        self.freeze_properties(object)
    }

    fn freeze_properties(&mut self, object: &Value<'js>) -> rquickjs::Result<()> {
        let keys = Keys::of(self.ctx, object)?;
        for key in keys.as_slice() {
            let Some(property) = self.property(object, key.atom)? else {
                continue;
            };
            if key.atom == self.prototype.atom {
                self.prototypes.insert(address(&property.value));
                // A class can inherit from it.
                self.prototypes.insert(address(object));
            }
            for value in [&property.value, &property.getter, &property.setter] {
                self.reach(value.clone())?;
            }
            if property.is_plain {
                self.left.push((object.clone(), key.atom, property));
            } else {
                self.freeze_property(object, key.atom, &property)?;
            }
        }
        Ok(())
    }

    /// Makes the accessors, and freezes what need not be one.
    fn freeze_left(&mut self, pause: impl Fn()) -> rquickjs::Result<()> {
        let mut setters: HashMap<qjs::JSAtom, Value<'js>> = HashMap::new();
        for (object, atom, property) in std::mem::take(&mut self.left) {
            pause();
            if !self.prototypes.contains(&address(&object)) {
                self.freeze_property(&object, atom, &property)?;
                continue;
            }
            let setter = match setters.entry(atom) {
                Entry::Occupied(known) => known.into_mut(),
                Entry::Vacant(new) => new.insert(self.setter(atom)?),
            };
            let getter = self.getter(&property.value)?;
            let flags = qjs::JS_PROP_HAS_GET | qjs::JS_PROP_HAS_SET | qjs::JS_PROP_HAS_CONFIGURABLE;
            self.define(&object, atom, [&getter, setter], flags)?;
        }
        Ok(())
    }

    /// A function that gives this value.
    fn getter(&self, value: &Value<'js>) -> rquickjs::Result<Value<'js>> {
        unsafe extern "C" fn give(
            ctx: *mut qjs::JSContext,
            _this: qjs::JSValue,
            _count: c_int,
            _arguments: *mut qjs::JSValue,
            _magic: c_int,
            data: *mut qjs::JSValue,
        ) -> qjs::JSValue {
            // SAFETY: the engine calls this with the one value that the function was made with.
            unsafe { qjs::JS_DupValue(ctx, *data) }
        }
        // SAFETY: the function takes a reference of its own to the one value.
        let getter = unsafe {
            let mut data = value.as_raw();
            let getter = qjs::JS_NewCFunctionData(self.raw(), Some(give), 0, 0, 1, &raw mut data);
            Value::from_raw(self.ctx.clone(), getter)
        };
        self.closed(getter)
    }

    /// What assigning this property does, whichever prototype it is inherited from: what it would do if the prototype's were
    /// a plain property that can be written (ECMA-262, 10.1.9.2, steps 2.b to 2.e).
    fn setter(&self, atom: qjs::JSAtom) -> rquickjs::Result<Value<'js>> {
        unsafe extern "C" fn set(
            ctx: *mut qjs::JSContext,
            this: qjs::JSValue,
            assigned: qjs::JSValue,
            magic: c_int,
        ) -> qjs::JSValue {
            let atom = magic as u16 as qjs::JSAtom;
            // SAFETY: the engine calls this with values that live until it returns. The prototype keeps the atom.
            let done = unsafe {
                match own(ctx, this, atom) {
                    Own::Thrown => -1,
                    Own::None => {
                        let assigned = qjs::JS_DupValue(ctx, assigned);
                        let flags = qjs::JS_PROP_C_W_E | qjs::JS_PROP_THROW;
                        qjs::JS_DefinePropertyValue(ctx, this, atom, assigned, flags as c_int)
                    }
                    Own::Value => {
                        qjs::JS_SetProperty(ctx, this, atom, qjs::JS_DupValue(ctx, assigned))
                    }
                    Own::Accessor if is_same(ctx, this, atom, assigned) => 0,
                    Own::Accessor => {
                        let name = qjs::JS_AtomToCStringLen(ctx, std::ptr::null_mut(), atom);
                        let format = c"\"%s\" of a built-in is read-only";
                        if !name.is_null() {
                            qjs::JS_ThrowTypeError(ctx, format.as_ptr(), name);
                            qjs::JS_FreeCString(ctx, name);
                        }
                        -1
                    }
                }
            };
            if done < 0 {
                qjs::JS_EXCEPTION
            } else {
                qjs::JS_UNDEFINED
            }
        }
        // The engine keeps 16 bits with a function. Atoms are numbered as they come, and those of the language are its first 2,000.
        // A global that is made after a script with very many names can only be read, where its own come after them.
        let Ok(magic) = u16::try_from(atom) else {
            return Ok(Value::new_undefined(self.ctx.clone()));
        };
        let function = qjs::JSCFunctionType {
            setter_magic: Some(set),
        };
        let kind = qjs::JSCFunctionEnum_JS_CFUNC_setter_magic;
        // SAFETY: the engine calls a function of this kind by this member of the union. The context lives.
        let setter = unsafe {
            let (name, function) = (c"".as_ptr(), function.generic);
            let setter = qjs::JS_NewCFunction2(self.raw(), function, name, 1, kind, magic.into());
            Value::from_raw(self.ctx.clone(), setter)
        };
        self.closed(setter)
    }

    /// A function that was just made, and which nothing can be added to.
    fn closed(&self, function: Value<'js>) -> rquickjs::Result<Value<'js>> {
        if function.is_exception() {
            return Err(rquickjs::Error::Exception);
        }
        self.close(&function)?;
        Ok(function)
    }

    fn property(
        &self,
        object: &Value<'js>,
        atom: qjs::JSAtom,
    ) -> rquickjs::Result<Option<Property<'js>>> {
        let mut found = std::mem::MaybeUninit::<qjs::JSPropertyDescriptor>::uninit();
        // SAFETY: the object is alive and of this context, the atom one of its keys.
        let done = unsafe {
            qjs::JS_GetOwnProperty(self.raw(), found.as_mut_ptr(), object.as_raw(), atom)
        };
        if !is_true(done)? {
            return Ok(None);
        }
        // SAFETY: it was found, so that all is filled in, and each value has a reference of its own.
        let found = unsafe { found.assume_init() };
        let flags = found.flags as u32;
        // SAFETY: as above.
        let value = |raw| unsafe { Value::from_raw(self.ctx.clone(), raw) };
        Ok(Some(Property {
            is_accessor: flags & qjs::JS_PROP_GETSET != 0,
            is_plain: flags & (qjs::JS_PROP_C_W_E | qjs::JS_PROP_GETSET) & !qjs::JS_PROP_ENUMERABLE
                == qjs::JS_PROP_CONFIGURABLE | qjs::JS_PROP_WRITABLE,
            is_changeable: flags & (qjs::JS_PROP_CONFIGURABLE | qjs::JS_PROP_WRITABLE) != 0,
            value: value(found.value),
            getter: value(found.getter),
            setter: value(found.setter),
        }))
    }

    fn freeze_property(
        &self,
        object: &Value<'js>,
        atom: qjs::JSAtom,
        property: &Property<'js>,
    ) -> rquickjs::Result<()> {
        if !property.is_changeable {
            return Ok(());
        }
        let none = Value::new_undefined(self.ctx.clone());
        let flags = if property.is_accessor {
            qjs::JS_PROP_HAS_CONFIGURABLE
        } else {
            qjs::JS_PROP_HAS_CONFIGURABLE | qjs::JS_PROP_HAS_WRITABLE
        };
        self.define(object, atom, [&none, &none], flags)
    }

    fn define(
        &self,
        object: &Value<'js>,
        atom: qjs::JSAtom,
        [getter, setter]: [&Value<'js>; 2],
        flags: u32,
    ) -> rquickjs::Result<()> {
        // SAFETY: all of it is alive and of this context; the engine takes references of its own.
        let done = unsafe {
            qjs::JS_DefineProperty(
                self.raw(),
                object.as_raw(),
                atom,
                qjs::JS_UNDEFINED,
                getter.as_raw(),
                setter.as_raw(),
                (flags | qjs::JS_PROP_THROW) as c_int,
            )
        };
        is_true(done).map(drop)
    }

    /// Allows no further properties; `false` where none were allowed already, which is the mark of what has been met.
    fn close(&self, object: &Value<'js>) -> rquickjs::Result<bool> {
        if address(object) == self.globals {
            return Ok(false);
        }
        // SAFETY: the object is alive and of this context.
        if !is_true(unsafe { qjs::JS_IsExtensible(self.raw(), object.as_raw()) })? {
            return Ok(false);
        }
        // SAFETY: as above.
        is_true(unsafe { qjs::JS_PreventExtensions(self.raw(), object.as_raw()) })
    }

    fn has_prototype_property(&self, function: &Value<'js>) -> rquickjs::Result<bool> {
        let nothing = std::ptr::null_mut();
        // SAFETY: the function is alive and of this context; without a place for it, nothing is given.
        let has = unsafe {
            qjs::JS_GetOwnProperty(self.raw(), nothing, function.as_raw(), self.prototype.atom)
        };
        is_true(has)
    }
}

/// What an object has itself under a key.
enum Own {
    None,
    Value,
    Accessor,
    Thrown,
}

/// # Safety
///
/// All of it is alive and of this context.
unsafe fn own(ctx: *mut qjs::JSContext, object: qjs::JSValue, atom: qjs::JSAtom) -> Own {
    let mut found = std::mem::MaybeUninit::<qjs::JSPropertyDescriptor>::uninit();
    // SAFETY: the caller's word. What is no object has nothing, and the engine throws where it is given none.
    unsafe {
        if !qjs::JS_IsObject(object) {
            return Own::None;
        }
        match qjs::JS_GetOwnProperty(ctx, found.as_mut_ptr(), object, atom) {
            0 => Own::None,
            1.. => {
                let found = found.assume_init();
                for value in [found.value, found.getter, found.setter] {
                    qjs::JS_FreeValue(ctx, value);
                }
                match found.flags as u32 & qjs::JS_PROP_GETSET {
                    0 => Own::Value,
                    _ => Own::Accessor,
                }
            }
            ..0 => Own::Thrown,
        }
    }
}

/// Whether the object has this value already: libraries write `Object.assign = Object.assign || …`.
///
/// # Safety
///
/// All of it is alive and of this context; a script's getter may run, where the accessor is not one of ours.
unsafe fn is_same(
    ctx: *mut qjs::JSContext,
    object: qjs::JSValue,
    atom: qjs::JSAtom,
    value: qjs::JSValue,
) -> bool {
    // SAFETY: the caller's word; the getter gives a reference of ours.
    unsafe {
        let present = qjs::JS_GetProperty(ctx, object, atom);
        let is_same = qjs::JS_IsSameValue(ctx, present, value);
        qjs::JS_FreeValue(ctx, present);
        is_same
    }
}

/// What tells an object from others.
fn address(object: &Value<'_>) -> usize {
    // SAFETY: the address is compared and never followed.
    unsafe { qjs::JS_VALUE_GET_PTR(object.as_raw()) as usize }
}

/// What the engine says: yes, no, or that it has thrown.
fn is_true(said: c_int) -> rquickjs::Result<bool> {
    if said < 0 {
        return Err(rquickjs::Error::Exception);
    }
    Ok(said > 0)
}

#[cfg(test)]
#[path = "harden_tests.rs"]
mod tests;
