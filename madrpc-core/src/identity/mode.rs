//! Who may do what with a file or a directory, by the mode bits of Unix.
//!
//! Windows has none. What is made there has the rights that its directory hands on, of which a user's own gives none to other
//! users; they are neither set nor looked at here.

use std::fs::{DirBuilder, Metadata, OpenOptions};
use std::io;
use std::path::Path;

/// Makes directories with these bits, and those they lie in.
pub(super) fn dir_builder(mode: u32) -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode);
    #[cfg(not(unix))]
    let _ = mode;
    builder
}

/// Opens files for writing; one that it makes has these bits.
pub(super) fn writing(mode: u32) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, mode);
    #[cfg(not(unix))]
    let _ = mode;
    options
}

/// The bits of a file or directory that is there.
pub(super) fn of(found: &Metadata) -> u32 {
    #[cfg(unix)]
    let mode = std::os::unix::fs::PermissionsExt::mode(&found.permissions());
    #[cfg(not(unix))]
    let (mode, _) = (0, found);
    mode & 0o7777
}

/// Waits until the names in this directory are on the disk. Windows opens no directory for that, and keeps names by itself.
pub(super) fn sync_names(dir: &Path) -> io::Result<()> {
    #[cfg(unix)]
    std::fs::File::open(dir)?.sync_all()?;
    #[cfg(not(unix))]
    let _ = dir;
    Ok(())
}
