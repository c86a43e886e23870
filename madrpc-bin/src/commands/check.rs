//! `madrpc check`: loads a script as a node does, and lists what it registers and the kernels that it has made.

use super::options::{Options, describe};
use crate::args::CheckArgs;
use crate::exit::{Failure, Reason};
use crate::output::{self, table::columns};
use madrpc_core::call::catalog::FunctionOptions;
use madrpc_shard::engine::{KernelInfo, LaneConfig, Registration, Script, ScriptError};
use serde::Serialize;
use std::path::Path;

/// The document of `--json`. Keys are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    script: &'a str,
    /// In the order in which they are registered.
    functions: Vec<Function<'a>>,
    /// In the order in which they are made.
    kernels: Vec<Kernel>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    options: Options,
    /// Whether the script registers nothing, and it is one of the functions that it exports.
    exported: bool,
}

/// A kernel that has been compiled.
#[derive(Serialize)]
struct Kernel {
    name: String,
    place: String,
    /// The kinds of arguments that it is compiled for as it is made.
    arguments: Vec<String>,
    code_bytes: usize,
}

impl From<KernelInfo> for Kernel {
    fn from(kernel: KernelInfo) -> Self {
        let KernelInfo {
            name,
            place,
            arguments,
            code_bytes,
        } = kernel;
        Self {
            name,
            place,
            arguments,
            code_bytes,
        }
    }
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
        true => json(&script, &functions)?,
        false => tables(&script, &functions),
    };
    Ok(output::result(&text)?)
}

fn json(script: &Script, functions: &[Registration]) -> Result<String, Failure> {
    let functions = functions.iter().map(|function| Function {
        name: &function.name,
        options: Options::from(&function.options.into()),
        exported: function.is_exported,
    });
    let document = Document {
        script: script.name(),
        functions: functions.collect(),
        kernels: script.kernels().into_iter().map(Kernel::from).collect(),
    };
    serde_json::to_string(&document)
        .map_err(|error| Failure::new(Reason::Other, format!("JSON: {error}")))
}

fn tables(script: &Script, functions: &[Registration]) -> String {
    let rows = functions.iter().map(|function| {
        let options: FunctionOptions = function.options.into();
        [function.name.clone(), describe(&options)]
    });
    let functions = columns(["FUNCTION", "OPTIONS"], rows);
    let kernels = script.kernels();
    if kernels.is_empty() {
        return functions;
    }
    let rows = kernels.into_iter().map(|kernel| {
        let code = format!("{} bytes", kernel.code_bytes);
        [kernel.name, kernel.arguments.join(", "), code, kernel.place]
    });
    let kernels = columns(["KERNEL", "COMPILED FOR", "CODE", "PLACE"], rows);
    format!("{functions}\n\n{kernels}")
}
