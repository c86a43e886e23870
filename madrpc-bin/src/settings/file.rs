//! The settings file: TOML, one table, its keys known.

use std::path::Path;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// A key of the file with its values: as flags take them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
    /// Counted from 1.
    pub(crate) line: usize,
}

/// Reads the file, whose keys must be among these.
///
/// # Errors
/// One line: the place and what is wrong there.
pub(crate) fn read(path: &Path, keys: &[String]) -> Result<Vec<Entry>, String> {
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("{}: cannot be read: {error}", path.display()))?;
    let line = |at: usize| text[..at.min(text.len())].matches('\n').count() + 1;
    let place = |at: usize| format!("{}:{}", path.display(), line(at));
    let table = DeTable::parse(&text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        let message = error.message().lines().collect::<Vec<_>>().join("; ");
        format!("{}: {message}", place(at))
    })?;
    let entries = table.into_inner().into_iter().map(|(key, value)| {
        let at = key.span().start;
        let key = key.into_inner().into_owned();
        if !keys.contains(&key) {
            return Err(format!("{}: {}", place(at), unknown(&key, keys)));
        }
        let values = values(&value).map_err(|why| format!("{}: {key}: {why}", place(at)))?;
        Ok(Entry {
            key,
            values,
            line: line(at),
        })
    });
    let mut entries = entries.collect::<Result<Vec<_>, String>>()?;
    entries.sort_by_key(|entry| entry.line);
    Ok(entries)
}

/// What to say of a key that there is not.
fn unknown(key: &str, keys: &[String]) -> String {
    let nearest = keys
        .iter()
        .map(|known| (strsim::damerau_levenshtein(key, known), known))
        .min()
        // Half of the letters wrong is no slip of the pen.
        .filter(|(distance, known)| *distance * 2 <= known.len());
    // A quoted key may have anything in it, and this is to be one line.
    let key = key.escape_debug();
    match nearest {
        Some((_, known)) => format!("there is no key `{key}`: did you mean `{known}`?"),
        None => {
            let hint = "`madrpc config --template node` lists all, and `orchestrator` likewise";
            format!("there is no key `{key}`; {hint}")
        }
    }
}

fn values(value: &Spanned<DeValue<'_>>) -> Result<Vec<String>, String> {
    match value.get_ref() {
        DeValue::Array(list) => list.iter().map(|item| word(item.get_ref())).collect(),
        one => Ok(vec![word(one)?]),
    }
}

fn word(value: &DeValue<'_>) -> Result<String, String> {
    match value {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Integer(number) if number.radix() == 10 => Ok(number.as_str().replace('_', "")),
        DeValue::Boolean(switch) => Ok(switch.to_string()),
        DeValue::Table(_) => Err("one value is wanted, and this is a table".into()),
        DeValue::Array(_) => Err("a list of lists says nothing".into()),
        _ => Err("write a string, a whole number in decimal, or true or false".into()),
    }
}
