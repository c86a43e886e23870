//! Packages: where a bare name leads, through `node_modules` in the script's directory or below.
//!
//! As Node.js looks for them, but never above the script's directory. What package.json files say is read once in a load.

use super::exports::{self, Target};
use madrpc_core::value::Value;
use madrpc_core::value::json::from_json;
use std::collections::BTreeMap;
use std::fs;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::Arc;

/// How large a package.json may be.
const MANIFEST_MAX_BYTES: u64 = 1 << 20;

const MANIFEST: &str = "package.json";
const FOLDER: &str = "node_modules";

/// The package.json files that have been looked for, by their directories.
#[derive(Debug, Default)]
pub(super) struct Manifests(BTreeMap<PathBuf, Option<Rc<Manifest>>>);

#[derive(Debug)]
pub(super) struct Manifest {
    text: Arc<str>,
    says: Value,
}

impl Manifest {
    /// Whether its `.js` files are ES modules by what it says.
    pub(super) fn is_of_modules(&self) -> bool {
        self.says.get("type").and_then(Value::as_str) == Some("module")
    }
}

impl Manifests {
    /// Those that there are, each with its text.
    pub(super) fn into_texts(self) -> impl Iterator<Item = (PathBuf, Arc<str>)> {
        let manifests = self.0.into_iter();
        manifests
            .filter_map(|(at, manifest)| Some((at.join(MANIFEST), Arc::clone(&manifest?.text))))
    }

    /// The package.json in a directory, where there is one.
    fn of(&mut self, directory: &Path, top: &Path) -> Result<Option<Rc<Manifest>>, String> {
        if let Some(known) = self.0.get(directory) {
            return Ok(known.clone());
        }
        let path = directory.join(MANIFEST);
        let manifest = read(&path, top).map_err(|error| format!("{}: {error}", path.display()))?;
        let manifest = manifest.map(Rc::new);
        self.0.insert(directory.to_owned(), manifest.clone());
        Ok(manifest)
    }

    /// The nearest package.json to a file, and its directory; none above `top`.
    pub(super) fn around(
        &mut self,
        file: &Path,
        top: &Path,
    ) -> Result<Option<(PathBuf, Rc<Manifest>)>, String> {
        for directory in directories(file, top) {
            if directory.ends_with(FOLDER) {
                break;
            }
            if let Some(manifest) = self.of(directory, top)? {
                return Ok(Some((directory.to_owned(), manifest)));
            }
        }
        Ok(None)
    }

    /// Where a bare name, or one that begins with `#`, leads from a file below `top`; the path may be none of a file.
    pub(super) fn resolve(
        &mut self,
        specifier: &str,
        importer: &Path,
        top: &Path,
    ) -> Result<PathBuf, String> {
        if !specifier.starts_with('#') {
            return self.resolve_bare(specifier, importer, top);
        }
        let own = self.around(importer, top)?;
        let Some((directory, manifest)) = own else {
            return Err(
                "names with # are in `imports` of a package.json, and there is none".into(),
            );
        };
        let imports = manifest.says.get("imports").unwrap_or(&Value::Null);
        match exports::imported(imports, specifier)? {
            Some(Target::File(path)) => Ok(directory.join(path)),
            Some(Target::Package(name)) => self.resolve_bare(&name, importer, top),
            None => Err(format!(
                "{} has no such name in `imports`",
                directory.join(MANIFEST).display()
            )),
        }
    }

    fn resolve_bare(
        &mut self,
        specifier: &str,
        importer: &Path,
        top: &Path,
    ) -> Result<PathBuf, String> {
        let (name, subpath) = split(specifier)
            .ok_or("it is no name of a package, and a path begins with ./ or ../")?;
        let own = self.around(importer, top)?;
        let (directory, manifest) = match own {
            // A package may import itself by its name.
            Some((directory, manifest))
                if manifest.says.get("name").and_then(Value::as_str) == Some(name)
                    && manifest.says.get("exports").is_some() =>
            {
                (directory, Some(manifest))
            }
            _ => {
                let directory = find(name, importer, top)?;
                let manifest = self.of(&directory, top)?;
                (directory, manifest)
            }
        };
        let exports = manifest
            .as_ref()
            .and_then(|manifest| manifest.says.get("exports"));
        let exports = exports.filter(|exports| **exports != Value::Null);
        match (exports, subpath) {
            (Some(exports), subpath) => {
                let subpath = subpath.map_or_else(|| ".".to_owned(), |path| format!("./{path}"));
                let path = exports::exported(exports, &subpath)?;
                let path = path.ok_or_else(|| {
                    format!("the package {name} does not export \"{subpath}\" for `import`")
                })?;
                Ok(directory.join(path))
            }
            (None, Some(subpath)) if exports::is_plain(subpath) => Ok(directory.join(subpath)),
            (None, Some(_)) => Err("it is no plain path in a package".to_owned()),
            (None, None) => main(&directory, manifest.as_deref())
                .ok_or_else(|| format!("the package {name} names no file to begin with")),
        }
    }
}

/// The directories around a file, the innermost first, up to `top`.
fn directories<'p>(file: &'p Path, top: &'p Path) -> impl Iterator<Item = &'p Path> {
    let around = file.ancestors().skip(1);
    around.take_while(move |directory| directory.starts_with(top))
}

/// The name of the package, and what follows it.
fn split(specifier: &str) -> Option<(&str, Option<&str>)> {
    let slashes = if specifier.starts_with('@') { 2 } else { 1 };
    let end = specifier.match_indices('/').nth(slashes - 1);
    let (name, subpath) = match end {
        Some((at, _)) => (specifier.get(..at)?, specifier.get(at + 1..)),
        None => (specifier, None),
    };
    let is_name = |part: &str| {
        !part.is_empty()
            && !part.starts_with('.')
            && !part.contains(['\\', '%', '\0'])
            && part != FOLDER
    };
    let scope = name.strip_prefix('@').map(|name| name.split_once('/'));
    let is_right = match scope {
        None => is_name(name),
        Some(Some((scope, name))) => is_name(scope) && is_name(name),
        Some(None) => false,
    };
    is_right.then_some((name, subpath))
}

/// The directory of a package, symbolic links followed.
fn find(name: &str, importer: &Path, top: &Path) -> Result<PathBuf, String> {
    for directory in directories(importer, top) {
        if directory.ends_with(FOLDER) {
            continue;
        }
        let package = directory.join(FOLDER).join(name);
        let Ok(real) = package.canonicalize() else {
            continue;
        };
        if !real.starts_with(top) {
            return Err(format!("{}: {}", package.display(), leads_out(top)));
        }
        if real.is_dir() {
            return Ok(real);
        }
    }
    Err(format!(
        "there is no package {name} in {}, and modules of Node.js are not here",
        top.join(FOLDER).display()
    ))
}

/// The file that a package without `exports` begins with.
fn main(directory: &Path, manifest: Option<&Manifest>) -> Option<PathBuf> {
    let field = |name| manifest.and_then(|manifest| manifest.says.get(name)?.as_str());
    let named = ["module", "main"].into_iter().filter_map(field);
    let is_inside = |path: &&str| !path.split('/').any(|part| part == "..");
    let named = named
        .filter(is_inside)
        .flat_map(|path| ["", ".js", "/index.js"].map(|ending| format!("{path}{ending}")));
    named
        .chain(["index.js".to_owned()])
        .map(|path| directory.join(below(&path)))
        .find(|path| path.is_file())
}

/// The path in a package that `main` says, of which Node.js reads the beginning so: `/a.js` is in the package too.
fn below(mut path: &str) -> &str {
    while let Some(rest) = path.strip_prefix("./").or(path.strip_prefix('/')) {
        path = rest;
    }
    path
}

/// What is said of a path outside of the script's directory.
pub(super) fn leads_out(top: &Path) -> String {
    format!("it leads out of the script's directory {}", top.display())
}

fn read(path: &Path, top: &Path) -> Result<Option<Manifest>, String> {
    let cannot = |error: std::io::Error| format!("it cannot be read: {error}");
    let path = match path.canonicalize() {
        Ok(path) => path,
        Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => {
            return Ok(None);
        }
        Err(error) => return Err(cannot(error)),
    };
    if !path.starts_with(top) {
        return Err(leads_out(top));
    }
    if !fs::metadata(&path).map_err(cannot)?.is_file() {
        return Err("it is no file".to_owned());
    }
    let mut text = String::new();
    let file = fs::File::open(path).map_err(cannot)?;
    let length = file.take(MANIFEST_MAX_BYTES + 1).read_to_string(&mut text);
    if length.map_err(cannot)? as u64 > MANIFEST_MAX_BYTES {
        return Err(format!("it has more than {MANIFEST_MAX_BYTES} bytes"));
    }
    let says = from_json(text.trim_start_matches('\u{feff}'));
    let says = says.map_err(|error| format!("it is no JSON: {error}"))?;
    Ok(Some(Manifest {
        text: text.into(),
        says,
    }))
}

#[cfg(test)]
#[path = "../packages_tests.rs"]
mod tests;
