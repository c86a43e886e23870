//! `madrpc check`: loads a script as a node does, and lists what it registers.

use super::options::{Options, describe};
use crate::args::CheckArgs;
use crate::exit::{Failure, Reason};
use crate::output::{self, table::columns};
use madrpc_core::call::catalog::FunctionOptions;
use madrpc_shard::engine::{LaneConfig, Registration, Script, ScriptError};
use serde::Serialize;
use std::path::Path;

/// The document of `--json`. Keys are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    script: &'a str,
    /// In the order in which they are registered.
    functions: Vec<Function<'a>>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    options: Options,
    /// Whether the script registers nothing, and it is one of the functions that it exports.
    exported: bool,
}

pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let dir = args.script.parent().unwrap_or(Path::new(""));
    let failed = |error: ScriptError| Failure::from(error).with_code(dir);
    let script = Script::read(&args.script).map_err(failed)?;
    let functions = script.registrations(&LaneConfig::default());
    let functions = functions.map_err(failed)?;
    if functions.iter().any(|function| function.is_exported) {
        output::say(&format!(
            "{} calls madrpc.register nowhere, so the functions that it exports are registered",
            script.name()
        ));
    }
    let text = match args.json {
        true => json(script.name(), &functions)?,
        false => table(&functions),
    };
    Ok(output::result(&text)?)
}

fn json(script: &str, functions: &[Registration]) -> Result<String, Failure> {
    let functions = functions.iter().map(|function| Function {
        name: &function.name,
        options: Options::from(&function.options.into()),
        exported: function.is_exported,
    });
    let document = Document {
        script,
        functions: functions.collect(),
    };
    serde_json::to_string(&document)
        .map_err(|error| Failure::new(Reason::Other, format!("JSON: {error}")))
}

fn table(functions: &[Registration]) -> String {
    let rows = functions.iter().map(|function| {
        let options: FunctionOptions = function.options.into();
        [function.name.clone(), describe(&options)]
    });
    columns(["FUNCTION", "OPTIONS"], rows)
}
