//! Modules that are no text: of WebAssembly. A script's files are held as texts; one of these is a text of which each character is a
//! byte.

use std::path::Path;

/// Whether a file of this name is one.
pub(super) fn is_wasm(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "wasm")
}

/// What a script has of one of its files.
pub(crate) fn file_text(path: &Path) -> std::io::Result<String> {
    match is_wasm(path) {
        true => Ok(std::fs::read(path)?.into_iter().map(char::from).collect()),
        false => std::fs::read_to_string(path),
    }
}

/// The bytes again.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    text.chars().map(|byte| byte as u8).collect()
}
