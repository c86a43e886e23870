//! CommonJS: modules that are none here, as far as that can be seen before they fail.

use std::path::Path;

/// Whether a file lies in `node_modules`.
pub(super) fn is_of_package(path: &Path) -> bool {
    path.iter().any(|part| part == "node_modules")
}

/// Whether a file is a CommonJS module: by its name, or where its package says nothing else, by its text.
pub(super) fn is_commonjs(path: &Path, text: &str, is_of_modules: bool) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    match extension {
        Some("cjs") => true,
        Some("js") => {
            is_of_package(path) && !is_of_modules && !has_declarations(text) && has_exports(text)
        }
        _ => false,
    }
}

/// In words, with the way out.
pub(super) fn refusal(script: &Path) -> String {
    format!(
        "it is a CommonJS module, and only ES modules run here: {}",
        remedy(script)
    )
}

/// What to do where a package is none for here.
fn remedy(script: &Path) -> String {
    let name = script.file_name().unwrap_or_default().to_string_lossy();
    format!(
        "bundle the script with what it imports, by `npx esbuild {name} --bundle --format=esm --outfile=bundle.js`"
    )
}

/// What to do where a script has thrown this while it was loaded, as it takes the place for Node.js.
pub(in super::super) fn hint(message: &str, script: &Path) -> Option<String> {
    let name = message.strip_suffix(" is not defined")?;
    let is_of_node = ["process", "module", "exports", "require", "Buffer"].contains(&name);
    is_of_node.then(|| format!("nothing of Node.js is here: {}", remedy(script)))
}

/// Whether some line or statement seems to begin with `import` or `export`.
fn has_declarations(text: &str) -> bool {
    ["import", "export"].iter().any(|word| {
        text.match_indices(word).any(|(at, _)| {
            let before = text.get(..at).unwrap_or_default();
            let before = before.trim_end_matches([' ', '\t']);
            let begins = before.is_empty()
                || before.ends_with("*/")
                || before.ends_with(['\n', '\r', ';', '}', '\u{feff}']);
            let after = text
                .get(at + word.len()..)
                .and_then(|rest| rest.chars().next());
            begins && after.is_some_and(|after| after.is_whitespace() || "{*\"'".contains(after))
        })
    })
}

fn has_exports(text: &str) -> bool {
    ["module.exports", "exports.", "exports[", "require("]
        .iter()
        .any(|part| text.contains(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_says_what_it_is() {
        let of = |path: &str, text: &str| is_commonjs(Path::new(path), text, false);
        let package = "/s/node_modules/p/index.js";
        for text in [
            "module.exports = 1;",
            "'use strict';\nexports.a = 1; // export this",
            "var b = require('b')",
        ] {
            assert!(of(package, text), "{text}");
            assert!(!of("/s/index.js", text), "{text}");
            assert!(!is_commonjs(Path::new(package), text, true), "{text}");
        }
        for text in [
            "export const require = (x) => require(x);",
            "var a=exports.b;export{a as default};",
            "/* exports.a */import a from 'a';",
            "globalThis.a = 1;",
        ] {
            assert!(!of(package, text), "{text}");
        }
        assert!(of("/s/a.cjs", "export {};"));
    }

    #[test]
    fn who_takes_the_place_for_node_is_told() {
        let hint = |message| hint(message, Path::new("dir/app.ts"));
        let said = hint("process is not defined").unwrap();
        assert!(said.contains("npx esbuild app.ts --bundle"), "{said}");
        assert_eq!(hint("window is not defined"), None);
        assert_eq!(hint("process"), None);
    }
}
