//! Small files of text that people write and servers read again and again.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// More than this is no such file.
const BYTES_MAX: u64 = 4 << 20;

/// A file that is looked at again and again.
///
/// Who writes it may have written half of it at a look: another text counts once two looks in a row have found it.
#[derive(Debug)]
pub(crate) struct TextFile {
    path: PathBuf,
    /// What counts.
    text: Option<String>,
    /// What the last look has found, where that is something else.
    found: Option<String>,
    /// Nothing of it has counted yet: then the first text does.
    is_new: bool,
}

impl TextFile {
    pub(crate) const fn new(path: PathBuf) -> Self {
        Self {
            path,
            text: None,
            found: None,
            is_new: true,
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it; gives its text where that is news, which it is after an error too.
    ///
    /// # Errors
    /// Where it cannot be read, is no file, or is far longer than such files are.
    pub(crate) fn look(&mut self) -> io::Result<Option<&str>> {
        let text = match read(&self.path) {
            Ok(text) => text,
            Err(error) => {
                (self.text, self.found) = (None, None);
                return Err(error);
            }
        };
        if self.text.as_ref() == Some(&text) {
            self.found = None;
            return Ok(None);
        }
        if !self.is_new && self.found.as_ref() != Some(&text) {
            self.found = Some(text);
            return Ok(None);
        }
        (self.is_new, self.found) = (false, None);
        Ok(Some(self.text.insert(text)))
    }
}

/// The text of a file. A pipe would be waited for, and a device has no end.
fn read(path: &Path) -> io::Result<String> {
    if !std::fs::metadata(path)?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut text = String::new();
    let read = File::open(path)?
        .take(BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if read as u64 > BYTES_MAX {
        let error = format!("it has more than {BYTES_MAX} bytes, which is no list");
        return Err(io::Error::other(error));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn half_a_text_does_not_count_and_a_whole_one_does_at_the_second_look() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("list");
        let mut file = TextFile::new(path.clone());
        let look = |file: &mut TextFile| file.look().unwrap().map(str::to_owned);
        assert!(file.look().is_err());
        fs::write(&path, "a\nb\n").unwrap();
        assert_eq!(look(&mut file).as_deref(), Some("a\nb\n"));
        // It is emptied, written by and by, and is what it was.
        for half in ["", "a", "a\nb", "a\nb\n"] {
            fs::write(&path, half).unwrap();
            assert_eq!(look(&mut file), None, "{half:?}");
        }
        assert_eq!(look(&mut file), None);
        fs::write(&path, "c\n").unwrap();
        assert_eq!(look(&mut file), None);
        assert_eq!(look(&mut file).as_deref(), Some("c\n"));
        assert_eq!(look(&mut file), None);
        // Gone and there again, half at first.
        fs::remove_file(&path).unwrap();
        assert!(file.look().is_err());
        for half in ["", "c\n"] {
            fs::write(&path, half).unwrap();
            assert_eq!(look(&mut file), None, "{half:?}");
        }
        assert_eq!(look(&mut file).as_deref(), Some("c\n"));
    }
}
