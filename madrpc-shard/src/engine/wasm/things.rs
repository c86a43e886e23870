//! Memories, tables and globals, for webassembly.js.
#![expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands arguments over by value"
)]

use super::super::exchange::Exchange;
use super::super::host::interrupted;
use super::host::{attempt, held, type_of_a_global, with};
use super::store::Held;
use super::values::{Kind, from_js, to_js};
use rquickjs::{Ctx, Value, qjs};
use std::ptr::null_mut;
use wasmtime::{
    Extern, Global, GlobalType, Memory, MemoryType, Mutability, Ref, RefType, Table, TableType, Val,
};

pub(super) fn new_memory<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    initial: u32,
    maximum: Option<u32>,
) -> rquickjs::Result<usize> {
    attempt(ctx, exchange, |held, mut store| {
        let memory = Memory::new(&mut store, MemoryType::new(initial, maximum))?;
        let number = held.number(&store, &Extern::Memory(memory));
        Ok(number.map_or(0, |(_, number)| number))
    })
}

/// In bytes.
pub(super) fn memory_size(
    ctx: &Ctx<'_>,
    exchange: &Exchange,
    number: usize,
) -> rquickjs::Result<f64> {
    with(ctx, exchange, |held, store| {
        Some(held.memory(number)?.data_size(store) as f64)
    })
}

/// The pages that there were, or -1.
pub(super) fn grow_memory<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    number: usize,
    pages: u32,
) -> rquickjs::Result<f64> {
    let grown = with(ctx, exchange, |held, store| {
        Some(held.memory(number)?.grow(store, pages.into()))
    })?;
    or_minus_one(ctx, exchange, grown)
}

/// What there was before something grew, or -1 where it may not.
fn or_minus_one(
    ctx: &Ctx<'_>,
    exchange: &Exchange,
    grown: wasmtime::Result<u64>,
) -> rquickjs::Result<f64> {
    match grown {
        Ok(before) => Ok(before as f64),
        Err(_) if exchange.must_stop().is_some() => Err(interrupted(ctx, exchange)),
        Err(_) => Ok(-1.0),
    }
}

/// An ArrayBuffer over the memory as it is now. The memory stays where it is for as long as the lane, so that it is safe whatever
/// becomes of the buffer.
pub(super) fn buffer_of<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    number: usize,
) -> rquickjs::Result<Value<'js>> {
    let (start, length) = with(ctx, exchange, |held, store| {
        let memory = held.memory(number)?;
        Some((memory.data_ptr(&store), memory.data_size(&store)))
    })?;
    // SAFETY: the memory is mapped until the lane's heap is gone, or is taken back to a time before it; nothing is freed with the buffer.
    let buffer = unsafe {
        let raw = ctx.as_raw().as_ptr();
        let buffer = qjs::JS_NewArrayBuffer(raw, start, length as _, 0, None, null_mut(), false);
        Value::from_raw(ctx.clone(), buffer)
    };
    match buffer.is_exception() {
        true => Err(rquickjs::Error::Exception),
        false => Ok(buffer),
    }
}

pub(super) fn detach<'js>(
    ctx: &Ctx<'js>,
    _: &Exchange,
    buffer: Value<'js>,
) -> rquickjs::Result<()> {
    // SAFETY: the value is alive and of this context; of another kind than a buffer's it is left as it is.
    unsafe { qjs::JS_DetachArrayBuffer(ctx.as_raw().as_ptr(), buffer.as_raw()) };
    Ok(())
}

/// The function with this number, or null.
fn element(held: &Held, number: i32) -> Ref {
    let number = usize::try_from(number).ok();
    Ref::Func(number.and_then(|number| held.function(number)))
}

pub(super) fn new_table<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    initial: u32,
    maximum: Option<u32>,
    first: i32,
) -> rquickjs::Result<usize> {
    attempt(ctx, exchange, |held, mut store| {
        let kind = TableType::new(RefType::FUNCREF, initial, maximum);
        let table = Table::new(&mut store, kind, element(held, first))?;
        let number = held.number(&store, &Extern::Table(table));
        Ok(number.map_or(0, |(_, number)| number))
    })
}

pub(super) fn table_size(
    ctx: &Ctx<'_>,
    exchange: &Exchange,
    number: usize,
) -> rquickjs::Result<f64> {
    with(ctx, exchange, |held, store| {
        Some(held.table(number)?.size(store) as f64)
    })
}

pub(super) fn grow_table<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    number: usize,
    elements: u32,
    first: i32,
) -> rquickjs::Result<f64> {
    let grown = with(ctx, exchange, |held, store| {
        let table = held.table(number)?;
        Some(table.grow(store, elements.into(), element(held, first)))
    })?;
    or_minus_one(ctx, exchange, grown)
}

/// The number of the function that is there, -1 where there is none, -2 beyond the table.
pub(super) fn get_element(
    ctx: &Ctx<'_>,
    exchange: &Exchange,
    number: usize,
    at: u32,
) -> rquickjs::Result<i32> {
    with(ctx, exchange, |held, mut store| {
        let element = held.table(number)?.get(&mut store, at.into());
        Some(match element {
            None => -2,
            Some(Ref::Func(Some(function))) => held.number_function(&store, function) as i32,
            Some(_) => -1,
        })
    })
}

/// Says whether that is in the table.
pub(super) fn set_element(
    ctx: &Ctx<'_>,
    exchange: &Exchange,
    number: usize,
    at: u32,
    function: i32,
) -> rquickjs::Result<bool> {
    with(ctx, exchange, |held, store| {
        let table = held.table(number)?;
        Some(table.set(store, at.into(), element(held, function)).is_ok())
    })
}

pub(super) fn new_global<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    letter: char,
    is_mutable: bool,
    first: Value<'js>,
) -> rquickjs::Result<usize> {
    let kind = Kind::from_letter(letter);
    // SAFETY: the value is alive, and of this context.
    let first = unsafe { from_js(held(ctx, exchange)?, ctx, kind, first.as_raw()) };
    let first = first.ok_or(rquickjs::Error::Exception)?;
    attempt(ctx, exchange, |held, mut store| {
        let mutability = match is_mutable {
            true => Mutability::Var,
            false => Mutability::Const,
        };
        let global = Global::new(
            &mut store,
            GlobalType::new(kind.value_type(), mutability),
            first,
        )?;
        let number = held.number(&store, &Extern::Global(global));
        Ok(number.map_or(0, |(_, number)| number))
    })
}

pub(super) fn type_of_global(
    ctx: &Ctx<'_>,
    exchange: &Exchange,
    number: usize,
) -> rquickjs::Result<String> {
    with(ctx, exchange, |held, store| {
        Some(type_of_a_global(&held.global(number)?.ty(store)))
    })
}

pub(super) fn get_global<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    number: usize,
) -> rquickjs::Result<Value<'js>> {
    let value = with(ctx, exchange, |held, mut store| {
        let value = held.global(number)?.get(&mut store);
        if let Val::FuncRef(Some(function)) = value {
            held.number_function(&store, function);
        }
        Some(value)
    })?;
    let value = to_js(held(ctx, exchange)?, ctx, &value);
    // SAFETY: the reference that was made is the handle's.
    let value = unsafe { Value::from_raw(ctx.clone(), value) };
    match value.is_exception() {
        true => Err(rquickjs::Error::Exception),
        false => Ok(value),
    }
}

pub(super) fn set_global<'js>(
    ctx: &Ctx<'js>,
    exchange: &Exchange,
    number: usize,
    value: Value<'js>,
) -> rquickjs::Result<()> {
    let kind = with(ctx, exchange, |held, store| {
        Some(Kind::of(held.global(number)?.ty(store).content()))
    })?;
    // SAFETY: the value is alive, and of this context.
    let value = unsafe { from_js(held(ctx, exchange)?, ctx, kind, value.as_raw()) };
    let value = value.ok_or(rquickjs::Error::Exception)?;
    with(ctx, exchange, |held, store| {
        held.global(number)?.set(store, value).ok()
    })
}
