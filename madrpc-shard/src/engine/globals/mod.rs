//! The globals of a script beside the language: `console`, text encodings, random numbers, `structuredClone`, `URL`; and
//! `WebAssembly`, where the build has it.
//!
//! What can be written in JavaScript is, in globals.js, url.js and console.js; here is what they need of the host. Nothing of
//! it reaches a file, a process or the network.

mod console;
pub(super) mod embedded;
mod text;
mod url;

pub(super) use console::ConsoleLog;

use super::exchange::Exchange;
use super::harden;
use super::host::function;
use super::values;
use embedded::Embedded;
use rquickjs::{Array, Ctx, Exception, Function, Object, TypedArray, Value};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

/// JavaScript that makes globals, and which.
struct Part {
    source: &'static Embedded,
    names: &'static [&'static str],
}

/// Few scripts use all of these, and every lane would hold them: each part is made where one of its names is first used.
static PARTS: &[Part] = &[
    Part {
        source: &embedded::GLOBALS,
        names: &["TextDecoder", "TextEncoder", "crypto", "structuredClone"],
    },
    Part {
        source: &embedded::URL,
        names: &["URL", "URLSearchParams"],
    },
    Part {
        source: &embedded::CONSOLE,
        names: &["console"],
    },
    #[cfg(feature = "wasm")]
    Part {
        source: &embedded::WEBASSEMBLY,
        names: &["WebAssembly"],
    },
];

/// Makes the globals, and freezes them with everything that the language brings. The prelude has run and has given
/// `tools`, the script has not.
pub(super) fn install<'js>(
    ctx: &Ctx<'js>,
    exchange: &Rc<Exchange>,
    script: &Arc<str>,
    tools: &Object<'js>,
) -> rquickjs::Result<Rc<ConsoleLog>> {
    let console_log = Rc::new(ConsoleLog::new(Rc::clone(exchange), Arc::clone(script)));
    let host = Object::new(ctx.clone())?;
    let of_host = |name, function: rquickjs::Result<Function<'js>>| host.set(name, function?);
    of_host("isLogged", function(ctx, exchange, ConsoleLog::is_logged))?;
    let speaker = Rc::clone(&console_log);
    let log = move |level: u8, line: rquickjs::String<'_>| {
        speaker.say(level, &values::head(line.as_value(), console::SHOWN_MAX).0);
    };
    of_host("log", function(ctx, exchange, log))?;
    let number = Rc::clone(exchange);
    let call = move || number.call.get() as f64;
    of_host("call", function(ctx, exchange, call))?;
    let begun = Instant::now();
    let now = move || begun.elapsed().as_secs_f64() * 1000.0;
    of_host("now", function(ctx, exchange, now))?;
    of_host("encode", function(ctx, exchange, text::encode))?;
    of_host("decode", function(ctx, exchange, text::decode))?;
    of_host("parseUrl", function(ctx, exchange, url::parse))?;
    of_host("setUrl", function(ctx, exchange, url::set))?;
    host.set("urlMaxBytes", url::MAX_BYTES)?;
    of_host("random", function(ctx, exchange, random))?;
    #[cfg(feature = "wasm")]
    of_host("webAssembly", super::wasm::maker(ctx, exchange))?;
    host.set("brought", Array::new(ctx.clone())?)?;
    let bring: Function<'js> = tools.get("bring")?;
    let make = function(ctx, exchange, make)?;
    // Not in the middle of a call, on what is left of its stack.
    embedded::LOCALE.compiled()?;
    for (at, part) in PARTS.iter().enumerate() {
        part.source.compiled()?;
        exchange.pause();
        let names = part.names.to_vec();
        bring.call::<_, ()>((names, at, make.clone(), host.clone()))?;
    }
    harden::freeze_all(ctx, || exchange.pause())?;
    Ok(console_log)
}

/// Random bytes at once (Web Cryptography, `getRandomValues`).
const RANDOM_MAX_BYTES: usize = 65_536;

/// Makes the globals of a part, frozen. No script can have changed anything that this uses.
#[expect(
    clippy::needless_pass_by_value,
    reason = "the engine hands arguments over by value"
)]
fn make<'js>(
    ctx: Ctx<'js>,
    part: usize,
    host: Object<'js>,
) -> rquickjs::Result<Option<Value<'js>>> {
    let Some(part) = PARTS.get(part) else {
        return Ok(None);
    };
    let make: Function<'js> = part.source.evaluate(&ctx)?;
    let made: Value<'js> = make.call((host,))?;
    harden::freeze(&ctx, &made)?;
    Ok(Some(made))
}

/// `host.random(length)`: bytes from the generator of the TLS library, which the system seeds.
fn random(ctx: Ctx<'_>, length: usize) -> rquickjs::Result<TypedArray<'_, u8>> {
    if length > RANDOM_MAX_BYTES {
        return Err(Exception::throw_range(&ctx, "crypto: too many bytes"));
    }
    let mut bytes = vec![0; length];
    boring::rand::rand_bytes(&mut bytes).map_err(|error| {
        Exception::throw_internal(&ctx, &format!("crypto: no random numbers: {error}"))
    })?;
    // Not by its own memory, which would be left where the lane is thrown away.
    TypedArray::new_copy(ctx, bytes)
}

#[cfg(test)]
#[path = "../globals_tests.rs"]
mod tests;

#[cfg(test)]
#[path = "../console_tests.rs"]
mod console_tests;

#[cfg(test)]
#[path = "../language_tests.rs"]
mod language_tests;
