//! `madrpc.kernel(fn, captured)`: a function of the script's becomes a kernel.

use super::super::exchange::Exchange;
use super::super::host::{function, interrupted};
use super::super::values;
use super::call::{refuse, throw};
use super::compiler;
use super::lane::wait_for;
use super::table::{Constant, Source};
use madrpc_kernels::{MAX_TEXT_BYTES, Place, Reason};
use rquickjs::convert::List;
use rquickjs::{Ctx, Object};
use std::rc::Rc;
use std::sync::Arc;

/// What kernels.js says that something captured is.
const NUMBER: u32 = 0;
const BOOLEAN: u32 = 1;

/// Names that a kernel captures at the most, and the characters (of UTF-16) of them all. kernels.js sees to it before it goes through
/// them: they are kept as long as the script, and the compiler looks each of the kernel's names up among them.
const CAPTURED_MAX: u32 = 64;
const CAPTURED_NAMES_MAX: u32 = 16 << 10;

/// What kernels.js is called with.
pub(in super::super) fn object<'js>(
    ctx: &Ctx<'js>,
    exchange: &Rc<Exchange>,
) -> rquickjs::Result<Object<'js>> {
    let host = Object::new(ctx.clone())?;
    host.set("capturedMax", CAPTURED_MAX)?;
    host.set("capturedNamesMax", CAPTURED_NAMES_MAX)?;
    let of = Rc::clone(exchange);
    let make_kernel =
        move |ctx: Ctx<'js>, text, place, captured| make(&of, &ctx, &text, place, captured);
    host.set("make", function(ctx, exchange, make_kernel)?)?;
    let of = Rc::clone(exchange);
    let bind = move |ctx: Ctx<'js>, number| of.kernels.function(&ctx, number);
    host.set("bind", function(ctx, exchange, bind)?)?;
    Ok(host)
}

/// `host.make(text, [file, line, column], [names, kinds, values])`: the number of the kernel in the lane.
fn make<'js>(
    exchange: &Exchange,
    ctx: &Ctx<'js>,
    text: &rquickjs::String<'js>,
    List((file, line, column)): List<(rquickjs::String<'js>, u32, u32)>,
    List((names, kinds, numbers)): List<(Vec<rquickjs::String<'js>>, Vec<u32>, Vec<f64>)>,
) -> rquickjs::Result<usize> {
    // No name or text of a kernel is longer.
    let text_of = |text: &rquickjs::String<'js>| values::head(text.as_value(), MAX_TEXT_BYTES).0;
    let place = Place {
        file: text_of(&file).into(),
        line,
        column,
    };
    // It would be kept for as long as the script.
    let bytes = values::text_bytes(text.as_value());
    if bytes > MAX_TEXT_BYTES {
        let error = format!(
            "{place}: a kernel of {bytes} bytes of text, and none has more than {MAX_TEXT_BYTES}: \
             make several, of which one calls the others"
        );
        return Err(throw(ctx, Reason::TooLarge, &error));
    }
    let kernels = &exchange.kernels;
    kernels.begin(ctx, exchange)?;
    let constants = kinds.into_iter().zip(numbers);
    let constants = constants.map(|(kind, number)| match kind {
        NUMBER => Some(Constant::Number(number)),
        BOOLEAN => Some(Constant::Boolean(number != 0.0)),
        _ => kernels.entry(number as usize).map(Constant::Kernel),
    });
    let names = names.iter().map(|name| Arc::from(text_of(name)));
    let captured = names.zip(constants);
    let captured = captured.filter_map(|(name, constant)| Some((name, constant?)));
    let source = Source::new(text_of(text), place, captured.collect());
    let entry = kernels.script().get(source);
    let entry = entry.map_err(|refused| refuse(ctx, &refused))?;
    match wait_for(exchange, entry.made(), || compiler::ask(&entry, None)) {
        Some(Ok(kernel)) => Ok(kernels.number(exchange, &entry, kernel)),
        Some(Err(refused)) => Err(refuse(ctx, refused)),
        None => Err(interrupted(ctx, exchange)),
    }
}
