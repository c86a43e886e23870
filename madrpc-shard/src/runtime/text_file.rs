//! Small files of text that people write and servers read again and again.

use std::fmt;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tracing::{info, warn};

/// More than this is no such file.
const BYTES_MAX: u64 = 4 << 20;

/// A file that is looked at again and again.
///
/// Who writes it may have written half of it at a look: another text counts once two looks in a row have found it.
#[derive(Debug)]
pub(crate) struct TextFile {
    path: PathBuf,
    /// Nobody but its owner and group may open it.
    is_secret: bool,
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
            is_secret: false,
            text: None,
            found: None,
            is_new: true,
        }
    }

    #[cfg_attr(
        not(feature = "discovery"),
        expect(dead_code, reason = "it is files of nodes that are named by it")
    )]
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Reads it; gives its text where that is news, which it is after an error too.
    ///
    /// # Errors
    /// Where it cannot be read, is no file, is far longer than such files are, or is secret and open to others.
    pub(crate) fn look(&mut self) -> io::Result<Option<&str>> {
        let text = match read(&self.path, self.is_secret) {
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

/// A list in such a file, which has to be all right from the start: nobody is to believe that it holds where it does not.
pub(crate) struct ListFile<T> {
    file: TextFile,
    parse: Parse<T>,
    list: Arc<T>,
    /// What is wrong with it, once that is told.
    fault: Option<String>,
}

/// Reads a list; else the number of the first line that is none, and what is wrong with it.
type Parse<T> = fn(&str) -> Result<T, (usize, String)>;

impl<T> fmt::Debug for ListFile<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("ListFile").field(&self.file.path).finish()
    }
}

impl<T: Default + PartialEq + fmt::Display> ListFile<T> {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// Where it cannot be read, or a line of it.
    pub(crate) fn open(path: &Path, parse: Parse<T>) -> Result<Self, String> {
        Self::begin(TextFile::new(path.to_owned()), parse)
    }

    /// As [`ListFile::open`], of a file that only its owner and group may open, now and whenever it is looked at.
    #[cfg_attr(
        not(feature = "gateway"),
        expect(dead_code, reason = "only HTTP has such a file")
    )]
    pub(crate) fn open_secret(path: &Path, parse: Parse<T>) -> Result<Self, String> {
        let file = TextFile {
            is_secret: true,
            ..TextFile::new(path.to_owned())
        };
        Self::begin(file, parse)
    }

    fn begin(file: TextFile, parse: Parse<T>) -> Result<Self, String> {
        let mut list = Self {
            file,
            parse,
            list: Arc::default(),
            fault: None,
        };
        if let Some(read) = list.read()? {
            list.list = Arc::new(read);
        }
        Ok(list)
    }

    /// What it says.
    pub(crate) const fn list(&self) -> &Arc<T> {
        &self.list
    }

    /// Reads it again; gives what it says where that is something else. What is wrong with it is told once, and changes nothing.
    pub(crate) fn look(&mut self) -> Option<&Arc<T>> {
        match self.read() {
            Ok(None) => None,
            Ok(Some(list)) => {
                self.fault = None;
                if *self.list == list {
                    return None;
                }
                info!("{} names {list} now", self.file.path.display());
                self.list = Arc::new(list);
                Some(&self.list)
            }
            Err(fault) => {
                if self.fault.as_ref() != Some(&fault) {
                    warn!("{fault}; what it said before holds");
                }
                self.fault = Some(fault);
                None
            }
        }
    }

    /// What it says, where that is news.
    fn read(&mut self) -> Result<Option<T>, String> {
        let name = self.file.path.display().to_string();
        let text = self.file.look();
        let text = text.map_err(|error| format!("{name}: {error}"))?;
        let list = text.map(self.parse).transpose();
        list.map_err(|(line, error)| format!("{name}:{line}: {error}"))
    }
}

/// The text of a file. A pipe would be waited for, and a device has no end.
fn read(path: &Path, is_secret: bool) -> io::Result<String> {
    let file = File::options()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path)?;
    // Of what was opened: the path may lead elsewhere by now.
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mode = found.permissions().mode() & 0o7777;
    if is_secret && mode & 0o007 != 0 {
        let error = format!(
            "it holds secrets and is open to others (mode {mode:04o}): chmod o= {}",
            path.display()
        );
        return Err(io::Error::other(error));
    }
    let mut text = String::new();
    let read = file.take(BYTES_MAX + 1).read_to_string(&mut text)?;
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

    #[test]
    fn a_secret_that_others_may_open_does_not_count_and_changes_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        let write = |text: &str, mode| {
            let _ = fs::remove_file(&path);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        };
        let open = || ListFile::<String>::open_secret(&path, |text| Ok(text.to_owned()));
        for open_to_others in [0o644, 0o601, 0o602] {
            write("a", open_to_others);
            let error = open().unwrap_err();
            assert!(error.contains("chmod o="), "{error}");
        }
        write("a", 0o640);
        let mut file = open().unwrap();
        write("b", 0o644);
        for _ in 0..3 {
            assert_eq!((file.look().is_some(), file.list().as_str()), (false, "a"));
        }
        write("b", 0o600);
        assert!(file.look().is_none());
        assert_eq!(file.look().unwrap().as_str(), "b");
    }

    #[test]
    fn a_pipe_is_not_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let error = TextFile::new(path).look().unwrap_err().to_string();
        assert_eq!(error, "it is no file");
    }
}
