//! What webassembly.js asks of the host. It names functions, memories, tables, globals and modules by their numbers.
#![expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands arguments over by value"
)]

use super::super::exchange::Exchange;
use super::super::host::{function, interrupted};
use super::super::values;
use super::call::{LINK, bind, throw};
use super::drive::{Failure, Order, import};
use super::lane::{NoModule, validate_in};
use super::limits::{LANE_MODULES_MAX, MODULE_MAX_BYTES};
use super::module::words;
use super::store::{Data, FUNCTION, GLOBAL, Held, MEMORY, TABLE};
use super::things;
use super::values::Kind;
use bytes::Bytes;
use rquickjs::{Array, ArrayBuffer, Ctx, Exception, Function, Object, TypedArray, Value};
use std::ptr::NonNull;
use std::rc::Rc;
use wasmtime::{
    AsContextMut, Extern, ExternType, GlobalType, Mutability, StoreContextMut, ValType,
};

/// A function of the host's that makes `WebAssembly`.
pub(in super::super) fn maker<'js>(
    ctx: &Ctx<'js>,
    exchange: &Rc<Exchange>,
) -> rquickjs::Result<Function<'js>> {
    let of = Rc::clone(exchange);
    let make = move |ctx: Ctx<'js>| object(&ctx, &of);
    function(ctx, exchange, make)
}

fn object<'js>(ctx: &Ctx<'js>, exchange: &Rc<Exchange>) -> rquickjs::Result<Object<'js>> {
    let host = Object::new(ctx.clone())?;
    let of = || Rc::clone(exchange);
    macro_rules! with_exchange {
        ($name:literal, $function:path, $($argument:ident),*) => {{
            let of = of();
            let run = move |ctx: Ctx<'js>, $($argument),*| $function(&ctx, &of, $($argument),*);
            host.set($name, function(ctx, exchange, run)?)?;
        }};
    }
    with_exchange!("compile", compile, bytes);
    with_exchange!("validate", validate, bytes);
    with_exchange!("exportsOf", exports_of, module);
    with_exchange!("importsOf", imports_of, module);
    with_exchange!("sectionsOf", sections_of, module, name);
    with_exchange!("instantiate", instantiate, module, imports, kinds, numbers);
    with_exchange!("typeOf", type_of, number);
    with_exchange!("bind", bind_number, imports, number);
    with_exchange!("newMemory", things::new_memory, initial, maximum);
    with_exchange!("memorySize", things::memory_size, number);
    with_exchange!("growMemory", things::grow_memory, number, pages);
    with_exchange!("bufferOf", things::buffer_of, number);
    with_exchange!("detach", things::detach, buffer);
    with_exchange!("newTable", things::new_table, initial, maximum, first);
    with_exchange!("tableSize", things::table_size, number);
    with_exchange!("growTable", things::grow_table, number, elements, first);
    with_exchange!("getElement", things::get_element, number, at);
    with_exchange!("setElement", things::set_element, number, at, element);
    with_exchange!("newGlobal", things::new_global, letter, is_mutable, first);
    with_exchange!("typeOfGlobal", things::type_of_global, number);
    with_exchange!("getGlobal", things::get_global, number);
    with_exchange!("setGlobal", things::set_global, number, value);
    Ok(host)
}

/// The bytes of a module, out of the script's hands.
fn bytes_of<'js>(ctx: &Ctx<'js>, bytes: &TypedArray<'js, u8>) -> rquickjs::Result<Bytes> {
    // SAFETY: they are copied before JavaScript runs.
    let bytes = unsafe { bytes.as_bytes() }.unwrap_or_default();
    // No more is looked at than what may be copied.
    if bytes.len() > MODULE_MAX_BYTES {
        let error = format!(
            "WebAssembly: a module of {} bytes, and none has more than {} MiB",
            bytes.len(),
            MODULE_MAX_BYTES >> 20
        );
        return Err(Exception::throw_range(ctx, &error));
    }
    Ok(Bytes::copy_from_slice(bytes))
}

/// The module's number, or in words what is wrong with it.
fn compile<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    bytes: TypedArray<'js, u8>,
) -> rquickjs::Result<Value<'js>> {
    let bytes = bytes_of(ctx, &bytes)?;
    match exchange.wasm.compile(exchange, bytes) {
        Ok(number) => Ok(Value::new_int(ctx.clone(), number as i32)),
        Err(NoModule::Stopped) => Err(interrupted(ctx, exchange)),
        Err(NoModule::Wrong(words)) => {
            rquickjs::String::from_str(ctx.clone(), &words).map(rquickjs::String::into_value)
        }
        Err(NoModule::TooMany) => Err(Exception::throw_range(
            ctx,
            &format!(
                "WebAssembly: a lane has at most {LANE_MODULES_MAX} modules: compile them once, while the script loads"
            ),
        )),
    }
}

fn validate<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    bytes: TypedArray<'js, u8>,
) -> rquickjs::Result<bool> {
    // SAFETY: they are copied before JavaScript runs.
    let bytes = unsafe { bytes.as_bytes() };
    let Some(bytes) = bytes.filter(|bytes| bytes.len() <= MODULE_MAX_BYTES) else {
        return Ok(false);
    };
    match validate_in(exchange, Bytes::copy_from_slice(bytes)) {
        Ok(is_valid) => Ok(is_valid),
        Err(NoModule::Wrong(words)) => Err(Exception::throw_message(ctx, &words)),
        Err(NoModule::Stopped | NoModule::TooMany) => Err(interrupted(ctx, exchange)),
    }
}

/// Of a type: the letter of a global's with `m` where it can be changed, or a function's parameters and results.
fn detail(kind: &ExternType) -> String {
    let letters = |kinds: &mut dyn Iterator<Item = ValType>| {
        let letters = kinds.map(|kind| Kind::of(&kind).letter());
        letters.collect::<String>()
    };
    match kind {
        ExternType::Func(function) => {
            let parameters = letters(&mut function.params());
            format!("{parameters}:{}", letters(&mut function.results()))
        }
        ExternType::Global(global) => type_of_a_global(global),
        _ => String::new(),
    }
}

pub(super) fn type_of_a_global(global: &GlobalType) -> String {
    let letter = Kind::of(global.content()).letter();
    match global.mutability() {
        Mutability::Var => format!("{letter}m"),
        Mutability::Const => letter.to_string(),
    }
}

fn kind_of(kind: &ExternType) -> u32 {
    match kind {
        ExternType::Func(_) => FUNCTION,
        ExternType::Table(_) => TABLE,
        ExternType::Memory(_) => MEMORY,
        ExternType::Global(_) => GLOBAL,
        ExternType::Tag(_) => u32::MAX,
    }
}

/// A flat list: the name and the kind of each, and of a function its number in the module.
fn exports_of<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    module: usize,
) -> rquickjs::Result<Array<'js>> {
    let list = Array::new(ctx.clone())?;
    let module = exchange
        .wasm
        .module(module)
        .ok_or(rquickjs::Error::Unknown)?;
    let mut functions = module.exported.iter();
    for (at, export) in module.module.exports().enumerate() {
        let kind = kind_of(&export.ty());
        list.set(3 * at, export.name())?;
        list.set(3 * at + 1, kind)?;
        let number = (kind == FUNCTION).then(|| functions.next()).flatten();
        list.set(3 * at + 2, number)?;
    }
    Ok(list)
}

/// A flat list: of each the module, the name, the kind and the detail.
fn imports_of<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    module: usize,
) -> rquickjs::Result<Array<'js>> {
    let list = Array::new(ctx.clone())?;
    let module = exchange
        .wasm
        .module(module)
        .ok_or(rquickjs::Error::Unknown)?;
    for (at, import) in module.module.imports().enumerate() {
        list.set(4 * at, import.module())?;
        list.set(4 * at + 1, import.name())?;
        list.set(4 * at + 2, kind_of(&import.ty()))?;
        list.set(4 * at + 3, detail(&import.ty()))?;
    }
    Ok(list)
}

/// No section's name is longer: the parser takes none (wasmparser, `MAX_WASM_STRING_SIZE`).
const NAME_MAX_BYTES: usize = 100_000;

fn sections_of<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    module: usize,
    name: rquickjs::String<'js>,
) -> rquickjs::Result<Array<'js>> {
    let list = Array::new(ctx.clone())?;
    let module = exchange
        .wasm
        .module(module)
        .ok_or(rquickjs::Error::Unknown)?;
    let (name, units) = values::head(name.as_value(), NAME_MAX_BYTES);
    if units > NAME_MAX_BYTES {
        return Ok(list);
    }
    for (at, section) in module.customs(&name).enumerate() {
        list.set(at, ArrayBuffer::new_copy(ctx.clone(), section)?)?;
    }
    Ok(list)
}

fn failed(
    ctx: &Ctx<'_>,
    exchange: &Exchange,
    imports: &Value<'_>,
    failure: Failure,
) -> rquickjs::Error {
    throw(ctx, exchange, imports.as_raw(), LINK, failure);
    rquickjs::Error::Exception
}

pub(super) fn held<'e>(ctx: &Ctx<'_>, exchange: &'e Exchange) -> rquickjs::Result<&'e Held> {
    let held = exchange.wasm.begin(exchange);
    held.map_err(|words| Exception::throw_internal(ctx, &format!("WebAssembly: {words}")))
}

/// Does something with the store, unless the call has to end.
pub(super) fn with<R>(
    ctx: &Ctx<'_>,
    exchange: &Exchange,
    run: impl FnOnce(&Held, StoreContextMut<'_, Data>) -> Option<R>,
) -> rquickjs::Result<R> {
    let held = held(ctx, exchange)?;
    match held.with_store(|store| run(held, store)) {
        Some(result) => result.ok_or(rquickjs::Error::Unknown),
        None => Err(interrupted(ctx, exchange)),
    }
}

/// Does something with the store that may fail for want of memory, or beyond a maximum.
pub(super) fn attempt<R>(
    ctx: &Ctx<'_>,
    exchange: &Exchange,
    run: impl FnOnce(&Held, StoreContextMut<'_, Data>) -> wasmtime::Result<R>,
) -> rquickjs::Result<R> {
    let result = with(ctx, exchange, |held, store| Some(run(held, store)))?;
    result.map_err(|error| match exchange.must_stop() {
        Some(_) => interrupted(ctx, exchange),
        None => Exception::throw_range(ctx, &format!("WebAssembly: {}", words(&error))),
    })
}

/// Makes an instance: of each import the kind and the number, where a function of JavaScript's has that of its place in `imports` and
/// more by `HOST`. Gives those of its exports, one after the other.
fn instantiate<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    module: usize,
    imports: Value<'js>,
    kinds: Vec<u32>,
    numbers: Vec<usize>,
) -> rquickjs::Result<Vec<usize>> {
    let compiled = exchange
        .wasm
        .module(module)
        .ok_or(rquickjs::Error::Unknown)?;
    let held = held(ctx, exchange)?;
    if !exchange.lane.heap.take_outside(compiled.instance_bytes) {
        return Err(interrupted(ctx, exchange));
    }
    let given = with(ctx, exchange, |held, mut store| {
        let types = compiled.module.imports();
        let given = types.zip(kinds.iter().zip(&numbers));
        let given = given.map(|(needed, (kind, number))| {
            Some(match *kind {
                HOST => {
                    let ExternType::Func(function) = needed.ty() else {
                        return None;
                    };
                    let place = u32::try_from(*number).ok()?;
                    Extern::Func(import(store.as_context_mut(), held, function, place))
                }
                FUNCTION => Extern::Func(held.function(*number)?),
                TABLE => Extern::Table(held.table(*number)?),
                MEMORY => Extern::Memory(held.memory(*number)?),
                GLOBAL => Extern::Global(held.global(*number)?),
                _ => return None,
            })
        });
        given.collect::<Option<Vec<_>>>()
    })?;
    let mut made = None;
    let order = Order::Instantiate {
        module: compiled.module.clone(),
        imports: given,
        made: NonNull::from(&mut made),
    };
    held.run(ctx, exchange, imports.as_raw(), order)
        .map_err(|failure| failed(ctx, exchange, &imports, failure))?;
    let instance = made.ok_or(rquickjs::Error::Unknown)?;
    with(ctx, exchange, |held, mut store| {
        let exports = compiled.module.exports();
        let exports = exports.map(|export| {
            let thing = instance.get_export(&mut store, export.name())?;
            held.number(&store, &thing).map(|(_, number)| number)
        });
        exports.collect()
    })
}

/// What webassembly.js calls a function of JavaScript's among the imports.
const HOST: u32 = 4;

fn type_of(ctx: &Ctx<'_>, exchange: &Exchange, number: usize) -> rquickjs::Result<String> {
    let export = held(ctx, exchange)?.export(number);
    let export = export.ok_or(rquickjs::Error::Unknown)?;
    let letters = |kinds: &[Kind]| kinds.iter().map(|kind| kind.letter()).collect::<String>();
    Ok(format!(
        "{}:{}",
        letters(&export.parameters),
        letters(&export.results)
    ))
}

fn bind_number<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    imports: Value<'js>,
    number: usize,
) -> rquickjs::Result<Value<'js>> {
    bind(ctx, exchange, &imports, number)
}
