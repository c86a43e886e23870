//! The modules that a script imports: which it may, and their texts.
//!
//! A specifier is relative (`./x.js`, `../x.ts`) or the name of a package, and the file it leads to, symbolic links followed,
//! lies in the script's directory or below. Files are read while the first lane loads the script, and never again: the lanes
//! that come later have the same texts even where files have changed meanwhile, and no call waits for a disk. So `import()` in
//! a call finds what the load has imported, and nothing else.

mod binary;
mod commonjs;
mod exports;
mod packages;

pub(super) use commonjs::hint as hint_at_node;

use super::Script;
use super::faults::caught;
use super::preempt;
use super::program::source_of;
use super::typescript::{Language, frame, refused, without_types};
use super::wasm;
pub(crate) use binary::file_text;
use binary::is_wasm;
use madrpc_typescript::Refused;
use packages::{Manifests, leads_out};
use rquickjs::loader::{ImportAttributes, Loader, Resolver};
use rquickjs::module::Declared;
use rquickjs::{Ctx, Exception, Module, Runtime, TypedArray};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::sync::{Arc, OnceLock};

/// How large a module may be.
const MODULE_MAX_BYTES: u64 = 8 << 20;

/// The longest specifier, and the longest path that a package says: no file of the system has a longer one.
const PATH_MAX_BYTES: usize = 4096;

/// What the names of imports may take, which are kept as long as the script and are no part of its heap: some 50,000, of which each
/// spelling is one. And what each takes beside its letters, at the least.
const NAMES_MAX_BYTES: usize = 16 << 20;
const NAME_COST_BYTES: usize = 128;

/// Where a script's modules are, and what the first load has read. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Modules {
    /// A script from text has none, and imports nothing.
    place: Option<Arc<ScriptDirectory>>,
    read: Arc<OnceLock<ReadModules>>,
}

#[derive(Debug)]
struct ScriptDirectory {
    /// Both without symbolic links.
    script: PathBuf,
    directory: PathBuf,
    /// What stands before a module's path below the directory, in its name.
    prefix: String,
}

/// What has been read.
#[derive(Debug, Clone, Default)]
struct ReadModules {
    /// Names of modules by that of the importing one and the specifier.
    names: BTreeMap<(String, String), String>,
    names_bytes: usize,
    texts: BTreeMap<String, ModuleText>,
    /// The package.json files that have led to them.
    manifests: Vec<(PathBuf, Arc<str>)>,
}

impl ReadModules {
    /// Keeps that a module is called so where it is imported.
    fn keep_name(&mut self, key: (String, String), name: &str) -> Result<(), String> {
        let letters = key.0.len() + key.1.len() + name.len();
        let Entry::Vacant(vacant) = self.names.entry(key) else {
            return Ok(());
        };
        let bytes = self.names_bytes + letters + NAME_COST_BYTES;
        if bytes > NAMES_MAX_BYTES {
            return Err(format!(
                "the names of all that was imported so far take {} MiB, and may not take more",
                NAMES_MAX_BYTES >> 20
            ));
        }
        self.names_bytes = bytes;
        vacant.insert(name.to_owned());
        Ok(())
    }
}

/// A module's text, as its file has it and as the engine gets it, which are one for JavaScript.
#[derive(Debug, Clone)]
pub(super) struct ModuleText {
    pub(super) source: Arc<str>,
    pub(super) program: Arc<str>,
}

impl ModuleText {
    /// Of a file that has this name.
    pub(super) fn new(path: &Path, text: &str) -> Result<Self, Refused> {
        let source: Arc<str> = text.into();
        let program = match Language::of(path).map_err(refused)? {
            Language::JavaScript => Arc::clone(&source),
            Language::TypeScript => {
                without_types(text.strip_prefix('\u{feff}').unwrap_or(text))?.into()
            }
        };
        Ok(Self { source, program })
    }
}

impl Modules {
    /// The modules of the script in this file.
    pub(super) fn beside(script: &Path) -> std::io::Result<Self> {
        let real = script.canonicalize()?;
        let directory = real.parent().unwrap_or(&real).to_owned();
        // Modules are called as the script is, unless a link leads from its name to another place.
        let named = script.parent().unwrap_or(Path::new(""));
        let named_real = if named == Path::new("") {
            Path::new(".")
        } else {
            named
        }
        .canonicalize()?;
        let shown = if named_real == directory {
            named
        } else {
            &directory
        };
        let prefix = shown.join("").to_string_lossy().into_owned();
        Ok(Self {
            place: Some(Arc::new(ScriptDirectory {
                script: real,
                directory,
                prefix,
            })),
            read: Arc::default(),
        })
    }
}

impl Modules {
    /// The modules that have been read, the package.json files that led to them, and the script, each with its path and its
    /// text; none of a script from text.
    pub(super) fn files(&self, script: &Arc<str>) -> Vec<(PathBuf, Arc<str>)> {
        let Some(place) = &self.place else {
            return Vec::new();
        };
        let mut files = vec![(place.script.clone(), Arc::clone(script))];
        if let Some(read) = self.read.get() {
            let texts = read.texts.iter();
            files
                .extend(texts.filter_map(|(name, text)| {
                    Some((place.path(name)?, Arc::clone(&text.source)))
                }));
            files.extend(read.manifests.iter().cloned());
        }
        files
    }
}

/// What reads, or finds, the modules of one lane.
#[derive(Clone)]
pub(super) struct ModuleLoader {
    script: Script,
    /// What this lane has read, where it is the first.
    read: Rc<RefCell<ReadModules>>,
    manifests: Rc<RefCell<Manifests>>,
}

/// Why a module's text cannot be had.
enum NoText {
    Because(String),
    /// It is wrong here.
    At(Refused),
}

impl From<String> for NoText {
    fn from(why: String) -> Self {
        Self::Because(why)
    }
}

impl ModuleLoader {
    /// Sets it to work in a runtime.
    pub(super) fn install(runtime: &Runtime, script: &Script) -> Self {
        let module_loader = Self {
            script: script.clone(),
            read: Rc::default(),
            manifests: Rc::default(),
        };
        runtime.set_loader(module_loader.clone(), module_loader.clone());
        module_loader
    }

    /// The script is loaded: what has been read is all there is, for every lane.
    pub(super) fn close(&self) {
        let read = ReadModules {
            manifests: self.manifests.take().into_texts().collect(),
            ..self.read.take()
        };
        // Where another lane was faster, its texts count.
        let _ = self.script.modules.read.set(read);
    }

    /// The module's name that `specifier` leads to, or in words why it leads nowhere.
    fn find(&self, base: &str, specifier: &str) -> Result<String, String> {
        let modules = &self.script.modules;
        check(specifier)?;
        let key = (base.to_owned(), specifier.to_owned());
        let Some(place) = &modules.place else {
            return Err("a script that is no file has no directory to import from".to_owned());
        };
        if let Some(read) = modules.read.get() {
            let name = read.names.get(&key).cloned();
            return name.ok_or_else(|| {
                "it was not imported while the script loaded, and files are read only then; import it at the top level"
                    .to_owned()
            });
        }
        let manifests = &mut self.manifests.borrow_mut();
        let name = place.resolve(&self.script.name, base, specifier, manifests)?;
        self.read.borrow_mut().keep_name(key, &name)?;
        Ok(name)
    }

    fn text(&self, name: &str) -> Result<Arc<str>, NoText> {
        let modules = &self.script.modules;
        if let Some(text) = modules.read.get().and_then(|read| read.texts.get(name)) {
            return Ok(Arc::clone(&text.program));
        }
        let Some((place, path)) = modules
            .place
            .as_ref()
            .and_then(|place| Some((place, place.path(name)?)))
        else {
            return Err("it is not in the script's directory".to_owned().into());
        };
        if modules.read.get().is_some() {
            return Err("it was not read while the script loaded".to_owned().into());
        }
        let text = read(&path)?;
        if is_wasm(&path) {
            let text: Arc<str> = text.into();
            let module = ModuleText {
                source: Arc::clone(&text),
                program: Arc::clone(&text),
            };
            self.read.borrow_mut().texts.insert(name.to_owned(), module);
            return Ok(text);
        }
        let package = match commonjs::is_of_package(&path) {
            true => self
                .manifests
                .borrow_mut()
                .around(&path, &place.directory)?,
            false => None,
        };
        let is_of_modules = package.is_some_and(|(_, manifest)| manifest.is_of_modules());
        if commonjs::is_commonjs(&path, &text, is_of_modules) {
            return Err(commonjs::refusal(&place.script).into());
        }
        let text = ModuleText::new(&path, &text).map_err(NoText::At)?;
        let program = Arc::clone(&text.program);
        self.read.borrow_mut().texts.insert(name.to_owned(), text);
        Ok(program)
    }
}

impl ScriptDirectory {
    fn resolve(
        &self,
        script: &str,
        base: &str,
        specifier: &str,
        manifests: &mut Manifests,
    ) -> Result<String, String> {
        let importer = if base == script {
            self.script.clone()
        } else {
            self.path(base)
                .ok_or("only a module of the script's directory can import")?
        };
        let path = match is_relative(specifier) {
            true => importer.parent().unwrap_or(&self.directory).join(specifier),
            false => manifests.resolve(specifier, &importer, &self.directory)?,
        };
        let path = completed(path);
        let path = path.canonicalize().map_err(|error| {
            let near = near(&path).filter(|_| is_relative(specifier));
            let near = near.map(|name| format!("; there is {name}, and names are whole here"));
            format!("it cannot be found: {error}{}", near.unwrap_or_default())
        })?;
        if path == self.script {
            return Ok(script.to_owned());
        }
        let below = path
            .strip_prefix(&self.directory)
            .map_err(|_| leads_out(&self.directory))?;
        let below = below.to_str().ok_or("its path is no UTF-8")?;
        Ok(format!("{}{below}", self.prefix))
    }

    fn path(&self, name: &str) -> Option<PathBuf> {
        name.strip_prefix(&self.prefix)
            .map(|below| self.directory.join(below))
    }
}

/// What of a specifier is told where it leads nowhere.
fn shown(specifier: &str) -> String {
    match specifier.len() > PATH_MAX_BYTES {
        true => specifier.chars().take(64).chain(['…']).collect(),
        false => specifier.to_owned(),
    }
}

fn is_relative(specifier: &str) -> bool {
    specifier.starts_with("./") || specifier.starts_with("../")
}

/// Refuses what is neither a relative path nor the name of a package.
fn check(specifier: &str) -> Result<(), String> {
    if specifier.len() > PATH_MAX_BYTES {
        return Err(format!(
            "it has {} bytes, and none has more than {PATH_MAX_BYTES}",
            specifier.len()
        ));
    }
    let is_scheme = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_alphabetic())
            && text
                .chars()
                .all(|char| char.is_ascii_alphanumeric() || "+-.".contains(char))
    };
    let why = match specifier.split_once(':') {
        _ if specifier.starts_with('/') => "an absolute path cannot be imported",
        Some(("node", _)) => "modules of Node.js are not here",
        Some((scheme, _)) if is_scheme(scheme) => "a URL cannot be imported",
        _ => return Ok(()),
    };
    Err(why.to_owned())
}

/// The file that a path in a package means. Many packages are made for bundlers, and leave out what those add.
fn completed(path: PathBuf) -> PathBuf {
    if !commonjs::is_of_package(&path) || path.is_file() {
        return path;
    }
    let ends = [".js", ".mjs", "/index.js", "/index.mjs"].map(|end| {
        let mut name = path.as_os_str().to_owned();
        name.push(end);
        PathBuf::from(name)
    });
    let found = ends.into_iter().find(|path| path.is_file());
    found.unwrap_or(path)
}

/// The name of a file that may have been meant by a path at which there is none.
fn near(path: &Path) -> Option<String> {
    let added = ["ts", "js", "mts", "mjs"].map(|extension| {
        let mut name = path.as_os_str().to_owned();
        name.push(".");
        name.push(extension);
        PathBuf::from(name)
    });
    let changed = ["ts", "mts"].map(|extension| path.with_extension(extension));
    let inside = ["index.ts", "index.js"].map(|name| path.join(name));
    let mut near = added.into_iter().chain(changed).chain(inside);
    let near = near.find(|near| near.is_file())?;
    Some(near.file_name()?.to_string_lossy().into_owned())
}

fn read(path: &Path) -> Result<String, String> {
    let cannot = |error: std::io::Error| format!("it cannot be read: {error}");
    // A pipe or a device would be waited for without an end.
    let about = std::fs::metadata(path).map_err(cannot)?;
    if !about.is_file() {
        return Err("it is no file".to_owned());
    }
    if about.len() > MODULE_MAX_BYTES {
        return Err(format!(
            "it has {} bytes, and a module may have {MODULE_MAX_BYTES}",
            about.len()
        ));
    }
    file_text(path).map_err(cannot)
}

impl Resolver for ModuleLoader {
    fn resolve<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        base: &str,
        name: &str,
        _attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<String> {
        let find = || {
            let found = preempt::unstoppable(|| self.find(base, name));
            found.map_err(|error| {
                let name = shown(name);
                Exception::throw_type(ctx, &format!("import \"{name}\" in {base}: {error}"))
            })
        };
        caught(find).unwrap_or(Err(rquickjs::Error::Unknown))
    }
}

impl Loader for ModuleLoader {
    fn load<'js>(
        &mut self,
        ctx: &Ctx<'js>,
        name: &str,
        attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        let declare = || self.declare(ctx, name, attributes);
        caught(declare).unwrap_or(Err(rquickjs::Error::Unknown))
    }
}

impl ModuleLoader {
    fn declare<'js>(
        &self,
        ctx: &Ctx<'js>,
        name: &str,
        attributes: Option<ImportAttributes<'js>>,
    ) -> rquickjs::Result<Module<'js, Declared>> {
        let fail = |error: &str| Exception::throw_type(ctx, &format!("import of {name}: {error}"));
        let mut is_json = false;
        if let Some(attributes) = attributes {
            for key in attributes.keys() {
                let key = key?;
                if key != "type" || attributes.get_type()?.as_deref() != Some("json") {
                    return Err(fail(
                        "the only import attribute known here is type: \"json\"",
                    ));
                }
                is_json = true;
            }
        }
        let is_named_json = Path::new(name)
            .extension()
            .is_some_and(|extension| extension == "json");
        if is_named_json && !is_json {
            return Err(fail(
                "JSON is imported by `import x from \"…\" with { type: \"json\" }`",
            ));
        }
        let text = preempt::unstoppable(|| self.text(name)).map_err(|error| match error {
            NoText::Because(why) => fail(&why),
            NoText::At(error) => throw_at(ctx, name, &error),
        })?;
        if is_wasm(Path::new(name)) {
            let bytes = binary::bytes(&text);
            let text = wasm::module_text(&bytes).map_err(|error| fail(&error))?;
            let module = Module::declare(ctx.clone(), name, text)?;
            let bytes = TypedArray::new_copy(ctx.clone(), bytes)?;
            module.meta()?.set("bytes", bytes)?;
            return Ok(module);
        }
        if is_json {
            let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
            // Parsed twice, so that wrong JSON is refused here with its place, under its own name.
            ctx.json_parse(text.as_bytes()).map_err(|error| {
                match ctx.catch().as_exception().and_then(Exception::message) {
                    Some(message) => fail(&format!("it is no JSON: {message}")),
                    None => error,
                }
            })?;
            let source = format!("export default JSON.parse(\"{}\");", text.escape_default());
            return Module::declare(ctx.clone(), name, source);
        }
        Module::declare(ctx.clone(), name, source_of(&text).as_bytes())
    }
}

/// Throws what is wrong with a module's text, as the engine does where a text is no JavaScript.
fn throw_at(ctx: &Ctx<'_>, name: &str, error: &Refused) -> rquickjs::Error {
    let thrown = Exception::throw_syntax(ctx, &error.what);
    let value = ctx.catch();
    if let Some(exception) = value.as_object() {
        let _ = exception.set("stack", frame(error, name));
    }
    match value.is_error() {
        true => ctx.throw(value),
        false => thrown,
    }
}

#[cfg(test)]
#[path = "../modules_tests.rs"]
mod tests;
