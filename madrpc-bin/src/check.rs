//! `madrpc check`: loads a script as a node does, and lists what it registers.

use crate::args::CheckArgs;
use crate::exit::{Failure, Reason};
use crate::functions::{Options, columns, describe};
use crate::output;
use madrpc_core::call::catalog::FunctionOptions;
use madrpc_shard::engine::{LaneConfig, Registration, Script};
use serde::Serialize;

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
}

pub(crate) fn run(args: &CheckArgs) -> Result<(), Failure> {
    let script = Script::read(&args.script)?;
    let functions = script.registrations(&LaneConfig::default())?;
    let text = match args.json {
        true => json(script.name(), &functions)?,
        false => table(&functions),
    };
    output::result(&text)
}

fn json(script: &str, functions: &[Registration]) -> Result<String, Failure> {
    let functions = functions.iter().map(|function| Function {
        name: &function.name,
        options: Options::from(&function.options.into()),
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
