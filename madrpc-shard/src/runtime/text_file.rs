//! Small files of text that people write and servers read again and again.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// More than this is no such file.
const BYTES_MAX: u64 = 4 << 20;

/// The text of a file. A pipe would be waited for, and a device has no end.
///
/// # Errors
/// Where it cannot be read, is no file, or is far longer than such files are.
pub(crate) fn read(path: &Path) -> io::Result<String> {
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
