//! The globals of a script beside the language: `console`, text encodings, random numbers, `structuredClone`, `URL`.
//!
//! What can be written in JavaScript is, in globals.js, url.js and console.js; here is what they need of the host. Nothing of
//! it reaches a file, a process or the network.

mod console;
pub(super) mod embedded;
mod text;
mod url;

pub(super) use console::Voice;

use super::desk::Desk;
use super::harden::harden;
use rquickjs::{Ctx, Exception, Function, Object, TypedArray};
use std::rc::Rc;
use std::sync::Arc;

/// Makes the globals, and freezes them with everything that the language brings. The prelude has run, the script has not.
pub(super) fn install(
    ctx: &Ctx<'_>,
    desk: &Rc<Desk>,
    script: &Arc<str>,
) -> rquickjs::Result<Rc<Voice>> {
    let voice = Rc::new(Voice::new(Rc::clone(desk), Arc::clone(script)));
    let host = Object::new(ctx.clone())?;
    host.set("isLogged", Function::new(ctx.clone(), Voice::is_logged)?)?;
    let speaker = Rc::clone(&voice);
    let log = move |level: u8, line: rquickjs::String<'_>| {
        speaker.say(level, line.to_cstring()?.as_str());
        rquickjs::Result::Ok(())
    };
    host.set("log", Function::new(ctx.clone(), log)?)?;
    host.set("encode", Function::new(ctx.clone(), text::encode)?)?;
    host.set("decode", Function::new(ctx.clone(), text::decode)?)?;
    host.set("parseUrl", Function::new(ctx.clone(), url::parse)?)?;
    host.set("setUrl", Function::new(ctx.clone(), url::set)?)?;
    host.set("parseQuery", Function::new(ctx.clone(), url::parse_query)?)?;
    host.set("writeQuery", Function::new(ctx.clone(), url::write_query)?)?;
    host.set("random", Function::new(ctx.clone(), random)?)?;
    for part in [&embedded::GLOBALS, &embedded::URL, &embedded::CONSOLE] {
        let make: Function<'_> = part.evaluate(ctx)?;
        make.call::<_, ()>((host.clone(),))?;
    }
    harden(ctx)?;
    Ok(voice)
}

/// `host.random(length)`: bytes from the generator of the TLS library, which the system seeds.
fn random(ctx: Ctx<'_>, length: usize) -> rquickjs::Result<TypedArray<'_, u8>> {
    let mut bytes = vec![0; length];
    boring::rand::rand_bytes(&mut bytes).map_err(|error| {
        Exception::throw_internal(&ctx, &format!("crypto: no random numbers: {error}"))
    })?;
    TypedArray::new(ctx, bytes)
}

#[cfg(test)]
#[path = "../globals_tests.rs"]
mod tests;
