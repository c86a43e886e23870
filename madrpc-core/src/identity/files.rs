//! Certificates and keys on disk.
//!
//! Owns where they lie, who may read them, and how a file appears all at once or not at all.
//! Knows nothing of what a certificate says.

use super::{IdentityError, mode};
use boring::pkey::{PKey, Private};
use boring::x509::X509;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::path::{Path, PathBuf};

/// Where this user's authority lies.
///
/// `$MADRPC_TLS_DIR`, else `$XDG_STATE_HOME/madrpc/tls`, else `$HOME/.local/state/madrpc/tls`.
/// An empty variable counts as unset, and so does an `XDG_STATE_HOME` that is not absolute (XDG base directory
/// specification).
///
/// # Errors
/// [`IdentityError::NoStateDir`] where none of the three is set.
pub fn state_dir() -> Result<PathBuf, IdentityError> {
    state_dir_in(|name| std::env::var_os(name))
}

fn state_dir_in(variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, IdentityError> {
    let set = |name| {
        variable(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("MADRPC_TLS_DIR")
        .or_else(|| {
            set("XDG_STATE_HOME")
                .filter(|path| path.is_absolute())
                .or_else(|| set("HOME").map(|home| home.join(".local/state")))
                .map(|state| state.join("madrpc/tls"))
        })
        .ok_or(IdentityError::NoStateDir)
}

/// Makes the directory for us alone, or checks that nobody else can put files into the one that is there.
pub(super) fn private_dir(dir: &Path) -> Result<(), IdentityError> {
    mode::dir_builder(0o700)
        .create(dir)
        .map_err(failed("create", dir))?;
    check_dir(dir)
}

/// Fails where others may put files into the directory.
pub(super) fn check_dir(dir: &Path) -> Result<(), IdentityError> {
    let mode = mode::of(&fs::metadata(dir).map_err(failed("read", dir))?);
    if mode & 0o022 == 0 {
        return Ok(());
    }
    let path = dir.into();
    Err(IdentityError::ExposedDirectory { path, mode })
}

/// Waits until no other process holds the lock. It is given up when the file is dropped, or its process dies.
pub(super) fn lock(path: &Path) -> Result<File, IdentityError> {
    let file = mode::writing(0o600)
        .create(true)
        .truncate(false)
        .open(path)
        .map_err(failed("open", path))?;
    file.lock().map_err(failed("lock", path))?;
    Ok(file)
}

/// Writes a file that only its owner may read. It appears whole or not at all, even where the machine dies.
///
/// One writer at a time: the temporary name is always the same, so that a crash leaves one behind at most.
pub(super) fn publish(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), IdentityError> {
    publish_as(dir, name, bytes, 0o600)
}

/// As [`publish`], with these permissions.
pub(super) fn publish_as(
    dir: &Path,
    name: &str,
    bytes: &[u8],
    bits: u32,
) -> Result<(), IdentityError> {
    let path = dir.join(name);
    let temporary = dir.join("ca.new");
    let write = || {
        match fs::remove_file(&temporary) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = mode::writing(bits).create_new(true).open(&temporary)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        // The name is on the disk only when the directory is.
        mode::sync_names(dir)
    };
    write().map_err(failed("write", &path))
}

/// Makes a directory that others may look into, or finds it there.
pub(super) fn open_dir(dir: &Path) -> Result<(), IdentityError> {
    mode::dir_builder(0o755)
        .create(dir)
        .map_err(failed("create", dir))
}

/// Whether the file is there. A file that cannot be asked about is an error, not an absence.
pub(super) fn exists(path: &Path) -> Result<bool, IdentityError> {
    path.try_exists().map_err(failed("read", path))
}

/// All certificates of a PEM file, at least one.
pub(super) fn read_certificates(path: &Path) -> Result<Vec<X509>, IdentityError> {
    let pem = fs::read(path).map_err(failed("read", path))?;
    parse_certificates(&pem, path)
}

/// All certificates in this PEM, at least one; `path` is for the message.
pub(super) fn parse_certificates(pem: &[u8], path: &Path) -> Result<Vec<X509>, IdentityError> {
    X509::stack_from_pem(pem)
        .ok()
        .filter(|certificates| !certificates.is_empty())
        .ok_or_else(|| IdentityError::NotPem {
            path: path.into(),
            wanted: "certificate",
        })
}

/// The private key of a PEM file that nobody else may read or write.
pub(super) fn read_key(path: &Path) -> Result<PKey<Private>, IdentityError> {
    let mut file = File::open(path).map_err(failed("read", path))?;
    // Asked of the open file: the name may lead to another one a moment later.
    check_key_mode(&file.metadata().map_err(failed("read", path))?, path)?;
    let mut pem = Vec::new();
    file.read_to_end(&mut pem).map_err(failed("read", path))?;
    parse_key(&pem, path)
}

/// The private key in this PEM; `path` is for the message.
pub(super) fn parse_key(pem: &[u8], path: &Path) -> Result<PKey<Private>, IdentityError> {
    PKey::private_key_from_pem(pem).map_err(|_| IdentityError::NotPem {
        path: path.into(),
        wanted: "private key",
    })
}

/// Fails where others may read or write a private key.
pub(super) fn check_key_mode(found: &fs::Metadata, path: &Path) -> Result<(), IdentityError> {
    let mode = mode::of(found);
    if mode & 0o077 == 0 {
        return Ok(());
    }
    let path = path.into();
    Err(IdentityError::ExposedKey { path, mode })
}

/// What stands in a credential whose file was not there: the units say so by `SetCredential=`.
const MISSING: &[u8] = b"missing";

/// What a service manager was to hand over from `source` (systemd's `LoadCredential=`), from where it lies now.
pub(super) fn read_credential(
    dir: &Path,
    source: &Path,
    name: &str,
) -> Result<Vec<u8>, IdentityError> {
    let path = dir.join(name);
    let bytes = fs::read(&path).map_err(failed("read", &path))?;
    match bytes.is_empty() || bytes == MISSING {
        true => Err(IdentityError::NoCredential {
            path: source.join(name),
        }),
        false => Ok(bytes),
    }
}

pub(super) fn failed(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> IdentityError {
    move |source| IdentityError::Io {
        action,
        path: path.into(),
        source,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn of(variables: &[(&str, &str)]) -> Option<PathBuf> {
        state_dir_in(|name| {
            let found = variables.iter().find(|(key, _)| *key == name);
            found.map(|(_, value)| OsString::from(value))
        })
        .ok()
    }

    #[test]
    fn the_state_dir_follows_the_environment() {
        let all = [
            ("MADRPC_TLS_DIR", "/a"),
            ("XDG_STATE_HOME", "/b"),
            ("HOME", "/c"),
        ];
        assert_eq!(of(&all), Some("/a".into()));
        assert_eq!(of(&all[1..]), Some("/b/madrpc/tls".into()));
        assert_eq!(of(&all[2..]), Some("/c/.local/state/madrpc/tls".into()));
        assert_eq!(
            of(&[("MADRPC_TLS_DIR", ""), all[1]]),
            Some("/b/madrpc/tls".into())
        );
        let relative = [("XDG_STATE_HOME", "b"), all[2]];
        assert_eq!(of(&relative), Some("/c/.local/state/madrpc/tls".into()));
        assert_eq!(of(&[]), None);
        assert!(
            IdentityError::NoStateDir
                .to_string()
                .contains("MADRPC_TLS_DIR")
        );
    }

    #[test]
    fn an_exposed_key_is_refused_with_its_remedy() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("leaf.key");
        fs::write(&path, "no matter what").unwrap();
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            let error = read_key(&path).unwrap_err().to_string();
            let name = path.display();
            assert_eq!(
                error,
                format!(
                    "{name} holds a private key and is open to others (mode {mode:04o}): run chmod 600 {name}"
                )
            );
        }
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let error = read_key(&path).unwrap_err();
        assert!(matches!(error, IdentityError::NotPem { .. }), "{error}");
    }

    #[test]
    fn a_file_left_by_a_crash_does_not_stop_the_next_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("ca.key");
        fs::write(dir.path().join("ca.new"), "half").unwrap();
        publish(dir.path(), "ca.key", b"whole").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(
            fs::metadata(&path).unwrap().permissions().mode() & 0o777,
            0o600
        );
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
    }
}
