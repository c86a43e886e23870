//! `import … from "./x.wasm"`: an instance is made, once in the lane, and its exports are the module's (the ESM integration of
//! WebAssembly, as Node.js has it without a flag since 24.5). What it imports are modules, found from where it is. A global that it
//! exports is its value.

use std::collections::BTreeSet;
use std::fmt::Write;
use wasmtime::wasmparser::{BinaryReaderError, Parser, Payload};

/// A module's text in JavaScript that does this; the bytes are in `import.meta.bytes`.
///
/// # Errors
/// In words, where the bytes are no module.
pub(in super::super) fn module_text(bytes: &[u8]) -> Result<String, String> {
    let (imports, exports) = read(bytes)
        .map_err(|error| format!("it is no module of WebAssembly: {}", error.message()))?;
    let mut text = String::new();
    let mut given = String::new();
    for (at, module) in imports.iter().enumerate() {
        let module = module.escape_default();
        // Writing to a text cannot fail.
        let _ = writeln!(text, "import * as i{at} from \"{module}\";");
        // In brackets `__proto__` is a name as any.
        let _ = write!(given, "[\"{module}\"]: i{at}, ");
    }
    let _ = writeln!(
        text,
        "const {{ Module, Instance, Global }} = WebAssembly;\n\
         const {{ exports }} = new Instance(new Module(import.meta.bytes), {{ {given}}});\n\
         delete import.meta.bytes;\n\
         const valueOf = (name) => (exports[name] instanceof Global ? exports[name].value : exports[name]);"
    );
    for (at, export) in exports.iter().enumerate() {
        let export = export.escape_default();
        let _ = writeln!(
            text,
            "const e{at} = valueOf(\"{export}\"); export {{ e{at} as \"{export}\" }};"
        );
    }
    Ok(text)
}

/// The modules that it imports from, and the names that it exports.
fn read(bytes: &[u8]) -> Result<(BTreeSet<String>, Vec<String>), BinaryReaderError> {
    let (mut imports, mut exports) = (BTreeSet::new(), Vec::new());
    for payload in Parser::new(0).parse_all(bytes) {
        match payload? {
            Payload::ImportSection(all) => {
                for import in all.into_imports() {
                    imports.insert(import?.module.to_owned());
                }
            }
            Payload::ExportSection(all) => {
                for export in all {
                    exports.push(export?.name.to_owned());
                }
            }
            _ => {}
        }
    }
    Ok((imports, exports))
}
