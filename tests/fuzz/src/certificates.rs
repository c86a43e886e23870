//! What is done to the files of a certificate directory.

use crate::fleet::NODE;
use arbitrary::{Result, Unstructured};
use boring::base64::{decode_block, encode_block};
use madrpc_core::identity::{Authority, Identity, inspect};
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

const FILES: [&str; 3] = ["ca.pem", "cert.pem", "key.pem"];

/// Good files are changed, in their text or in what that encodes; they serve, or are refused in one line. What serves makes
/// a server's and a client's configuration, or is refused in one line too.
pub fn run(input: &[u8]) {
    let dir = tempfile::Builder::new().tempdir_in("/dev/shm").unwrap();
    NODE.save(dir.path()).unwrap();
    let mut input = Unstructured::new(input);
    while !input.is_empty() {
        if change(&mut input, dir.path()).is_err() {
            break;
        }
    }
    match Identity::from_dir(dir.path()) {
        Ok(identity) => {
            let _ = identity.role();
            let made = [identity.server_config(), identity.client_config()];
            for error in made.into_iter().filter_map(std::result::Result::err) {
                in_one_line(&error);
            }
            identity.derive_secret("fuzzing").unwrap();
        }
        Err(error) => in_one_line(&error),
    }
    for name in FILES {
        match inspect(&dir.path().join(name)) {
            Ok(found) => assert!(!found.is_empty()),
            Err(error) => in_one_line(&error),
        }
    }
    if let Err(error) = Authority::load(dir.path()) {
        in_one_line(&error);
    }
}

fn in_one_line(error: &impl ToString) {
    let text = error.to_string();
    assert!(!text.chars().any(char::is_control), "{text:?}");
}

/// Replaces a piece of a file, of what its PEM encodes where that is wished.
fn change(input: &mut Unstructured<'_>, dir: &Path) -> Result<()> {
    let path = dir.join(*input.choose(&FILES)?);
    let mut text = fs::read(&path).unwrap_or_default();
    let is_encoded = input.arbitrary::<bool>()?;
    let mut content = if is_encoded {
        decoded(&text)
    } else {
        text.clone()
    };
    let at = input.int_in_range(0..=content.len())?;
    let end = (at + input.int_in_range(0..=64)?).min(content.len());
    let length = input.int_in_range(0..=64)?;
    let length = length.min(input.len());
    content.splice(at..end, input.bytes(length)?.iter().copied());
    if input.ratio(1, 8)? {
        let times = input.int_in_range(0..=3)?;
        content = content.repeat(times);
    }
    text = if is_encoded {
        encoded(&text, &content)
    } else {
        content
    };
    fs::write(&path, text).unwrap();
    if input.ratio(1, 32)? {
        fs::set_permissions(&path, Permissions::from_mode(0o644)).unwrap();
    }
    Ok(())
}

/// What the first block of a PEM file encodes.
fn decoded(pem: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(pem);
    let lines = text
        .lines()
        .skip(1)
        .take_while(|line| !line.starts_with('-'));
    decode_block(&lines.collect::<String>()).unwrap_or_default()
}

/// A PEM file of the kind of `like`.
fn encoded(like: &[u8], content: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(like);
    let first = text.lines().next().unwrap_or_default();
    let last = first.replacen("BEGIN", "END", 1);
    let base64 = encode_block(content);
    let lines = base64.as_bytes().chunks(64).map(String::from_utf8_lossy);
    let lines: Vec<_> = lines.collect();
    format!("{first}\n{}\n{last}\n", lines.join("\n")).into_bytes()
}
