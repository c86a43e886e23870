//! What a package says about its files: `exports` and `imports` of its package.json, as Node.js reads them.
//!
//! Touches no file. (Node.js, "Packages", and "Resolution algorithm" of its ECMAScript modules.)

use super::PATH_MAX_BYTES;
use madrpc_core::value::Value;

/// The conditions that hold here; the first one in a package's own order counts. `browser` is where packages do without the
/// modules of Node.js.
const CONDITIONS: [&str; 5] = ["madrpc", "import", "module", "browser", "default"];

/// Where a name in `exports` or `imports` leads.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Target {
    /// To a file of the package, by its path in it.
    File(String),
    /// To another package, from `imports`.
    Package(String),
}

/// Where `subpath` leads, which is `.` or begins with `./`; `None` where the package does not export it.
///
/// # Errors
/// In words, where the package says what cannot be.
pub(super) fn exported(exports: &Value, subpath: &str) -> Result<Option<String>, String> {
    let is_map = matches!(exports, Value::Object(entries) if entries.iter().any(|(key, _)| key.starts_with('.')));
    let found = match is_map {
        true => matched(exports, subpath, false),
        false if subpath == "." => target(exports, "", false).map(Option::flatten),
        false => Ok(None),
    };
    Ok(match found? {
        Some(Target::File(path)) => Some(path),
        Some(Target::Package(_)) | None => None,
    })
}

/// Where a name that begins with `#` leads; `None` where the package does not know it.
///
/// # Errors
/// In words, where the package says what cannot be.
pub(super) fn imported(imports: &Value, name: &str) -> Result<Option<Target>, String> {
    matched(imports, name, true)
}

/// The target of the key that is the name, or else of the pattern that fits best.
fn matched(map: &Value, name: &str, is_imports: bool) -> Result<Option<Target>, String> {
    let Value::Object(entries) = map else {
        return Ok(None);
    };
    let exact = entries
        .iter()
        .find(|(key, _)| key == name && !key.contains('*'));
    if let Some((_, value)) = exact {
        return Ok(target(value, "", is_imports)?.flatten());
    }
    let patterns = entries.iter().filter_map(|(key, value)| {
        let (before, after) = key.split_once('*')?;
        let rest = name.strip_prefix(before)?;
        let star = rest.strip_suffix(after)?;
        // `*` stands for something, and once.
        (!star.is_empty() && !after.contains('*')).then_some((before.len(), key.len(), star, value))
    });
    match patterns.max_by_key(|(before, key, ..)| (*before, *key)) {
        Some((_, _, star, value)) => Ok(target(value, star, is_imports)?.flatten()),
        None => Ok(None),
    }
}

/// The target that a value names: `Some(None)` where it says that there is none, `None` where no condition holds.
fn target(value: &Value, star: &str, is_imports: bool) -> Result<Option<Option<Target>>, String> {
    match value {
        Value::String(path) => named(path, star, is_imports).map(|target| Some(Some(target))),
        Value::Null => Ok(Some(None)),
        Value::Object(conditions) => {
            for (condition, value) in conditions {
                if CONDITIONS.contains(&condition.as_str())
                    && let Some(found) = target(value, star, is_imports)?
                {
                    return Ok(Some(found));
                }
            }
            Ok(None)
        }
        Value::Array(choices) => {
            let mut last = Ok(None);
            for value in choices {
                last = target(value, star, is_imports);
                if let Ok(Some(Some(_))) = last {
                    return last;
                }
            }
            last
        }
        _ => Err("its package.json has a target that is no text".to_owned()),
    }
}

fn named(path: &str, star: &str, is_imports: bool) -> Result<Target, String> {
    // Each of thousands of stars may stand for thousands of letters.
    let stars = path.matches('*').count();
    let bytes = (path.len() - stars).saturating_add(stars.saturating_mul(star.len()));
    if path.len().max(bytes) > PATH_MAX_BYTES {
        return Err(format!(
            "its package.json leads to a path of {bytes} bytes, and none has more than {PATH_MAX_BYTES}"
        ));
    }
    let full = path.replace('*', star);
    let Some(below) = full.strip_prefix("./") else {
        let is_package = is_imports && !full.starts_with(['.', '/', '#']) && !full.contains(':');
        return match is_package {
            true => Ok(Target::Package(full)),
            false => Err(format!(
                "its package.json has the target \"{path}\", which is no path in the package"
            )),
        };
    };
    match is_plain(below) {
        true => Ok(Target::File(below.to_owned())),
        false => Err(format!(
            "its package.json leads to \"{full}\", which is no plain path in the package"
        )),
    }
}

/// Whether each part of the path is the name of a file or a directory in the package.
pub(super) fn is_plain(path: &str) -> bool {
    path.split(['/', '\\'])
        .all(|part| !matches!(part, "" | "." | ".." | "node_modules"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::value::json::from_json;

    fn leads(exports: &str, subpath: &str) -> Result<Option<String>, String> {
        exported(&from_json(exports).unwrap(), subpath)
    }

    fn file(path: &str) -> Result<Option<String>, String> {
        Ok(Some(path.to_owned()))
    }

    #[test]
    fn the_first_condition_that_holds_counts() {
        let exports = r#"{"types": "./a.d.ts", "node": "./node.js", "import": {"require": "./r.cjs", "default": "./a.mjs"}, "default": "./d.js"}"#;
        assert_eq!(leads(exports, "."), file("a.mjs"));
        assert_eq!(
            leads(
                r#"{"node": "./n.js", "browser": "./b.js", "default": "./d.js"}"#,
                "."
            ),
            file("b.js")
        );
        assert_eq!(
            leads(
                r#"{"import": {"node": "./n.js"}, "default": "./d.js"}"#,
                "."
            ),
            file("d.js")
        );
        assert_eq!(leads(r#"{"require": "./r.cjs"}"#, "."), Ok(None));
        assert_eq!(
            leads(r#"{"import": null, "default": "./d.js"}"#, "."),
            Ok(None)
        );
        assert_eq!(leads(r#"["no:path", "./a.js"]"#, "."), file("a.js"));
    }

    #[test]
    fn subpaths_lead_where_the_longest_pattern_says() {
        let exports = r#"{".": "./main.js", "./*": "./src/*.js", "./deep/*": "./src/deep/*/index.js", "./deep/*.css": null,
            "./exact": "./x.js", "./own/*": null}"#;
        for (subpath, path) in [
            (".", Some("main.js")),
            ("./a", Some("src/a.js")),
            ("./a/b", Some("src/a/b.js")),
            ("./deep/a", Some("src/deep/a/index.js")),
            ("./deep/a.css", None),
            ("./exact", Some("x.js")),
            ("./own/a", None),
            ("./", None),
        ] {
            assert_eq!(
                leads(exports, subpath),
                Ok(path.map(str::to_owned)),
                "{subpath}"
            );
        }
        assert_eq!(leads(r#""./only.js""#, "./a"), Ok(None));
        assert_eq!(leads("{}", "."), Ok(None));
    }

    #[test]
    fn nothing_leads_out_of_the_package() {
        for exports in [
            r#""../out.js""#,
            r#""./../out.js""#,
            r#""./a/../../out.js""#,
            r#""./node_modules/other/a.js""#,
            r#""/etc/hostname""#,
            r#""file:///etc/hostname""#,
            r#""other""#,
            r#""./""#,
            r#""./a\\..\\..\\out.js""#,
            "7",
        ] {
            assert!(leads(exports, ".").is_err(), "{exports}");
        }
        let error = leads(r#"{"./*": "./src/*"}"#, "./../../out.js").unwrap_err();
        assert!(error.contains("./src/../../out.js"), "{error}");
    }

    #[test]
    fn a_path_that_would_be_too_long_is_not_made() {
        let exports = |stars| format!(r#"{{"./*": "./{}"}}"#, "*".repeat(stars));
        let letters = "a".repeat(100);
        let subpath = format!("./{letters}");
        assert_eq!(leads(&exports(40), &subpath), file(&letters.repeat(40)));
        let error = leads(&exports(41), &subpath).unwrap_err();
        assert!(error.contains("4102 bytes"), "{error}");
        let error = leads(&exports(200_000), &subpath).unwrap_err();
        assert!(error.contains("20000002 bytes"), "{error}");
        // What does not hold any more stands in no words either.
        let error = leads(&format!(r#""{}""#, "b".repeat(5_000)), ".").unwrap_err();
        assert!(error.contains("5000 bytes"), "{error}");
    }

    #[test]
    fn imports_lead_to_files_and_packages() {
        let imports = r##"{"#a": "./a.js", "#b/*": {"node": "x", "default": "other/*"}, "#c": "#a", "#d": "node:fs"}"##;
        let leads = |name| imported(&from_json(imports).unwrap(), name);
        assert_eq!(leads("#a"), Ok(Some(Target::File("a.js".into()))));
        assert_eq!(leads("#b/x"), Ok(Some(Target::Package("other/x".into()))));
        assert_eq!(leads("#e"), Ok(None));
        assert!(leads("#c").is_err());
        assert!(leads("#d").is_err());
    }
}
