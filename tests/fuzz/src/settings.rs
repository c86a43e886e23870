//! A settings file.

#[allow(
    dead_code,
    unreachable_pub,
    reason = "it is the command's, and read by its own tests too"
)]
#[path = "../../../madrpc-bin/src/settings/file.rs"]
mod file;

use std::fs;
use std::os::unix::ffi::OsStrExt;

/// A file is read, or refused in one line that says where; an entry's key is one of those that there are, and its line is one
/// of the file's.
pub fn run(input: &[u8]) {
    let dir = tempfile::Builder::new().tempdir_in("/dev/shm").unwrap();
    let path = dir.path().join("node.toml");
    fs::write(&path, input).unwrap();
    let keys = [
        "bind",
        "script",
        "shards",
        "node",
        "queue_max",
        "memory_max",
        "watch",
    ];
    let keys = keys.map(String::from);
    match file::read(&path, &keys) {
        Ok(entries) => {
            let lines = input.iter().filter(|byte| **byte == b'\n').count() + 1;
            for entry in entries {
                assert!(keys.contains(&entry.key));
                assert!((1..=lines).contains(&entry.line));
            }
        }
        Err(line) => {
            assert!(
                line.as_bytes().starts_with(path.as_os_str().as_bytes()),
                "{line}"
            );
            assert!(!line.contains('\n'), "{line}");
        }
    }
}
