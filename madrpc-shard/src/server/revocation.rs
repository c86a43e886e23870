//! The file of revoked certificates of a server that runs: what is written there holds within a second.

use super::messages::{Inbox, ToShard};
use super::{Server, StartError, tell};
use crate::runtime::text_file::ListFile;
use madrpc_core::identity::Revoked;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// How often the file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A file of the serial numbers of revoked certificates, see [`Revoked::parse`].
#[derive(Debug)]
pub struct RevokedFile(ListFile<Revoked>);

impl RevokedFile {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// Where it cannot be read, or has a line that is no serial number: nobody is to believe that somebody is kept out who is not.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let file = ListFile::open(path, Revoked::parse);
        file.map(Self).map_err(StartError::Settings)
    }
}

impl Server {
    /// Keeps those out whose certificates a file names, and ends their sessions, for as long as the server serves.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn revoke_by(&self, RevokedFile(mut file): RevokedFile) -> Result<(), StartError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let inboxes = running.inboxes.clone();
        let revoke = |inboxes: &[Inbox], revoked: &Arc<Revoked>| {
            tell(inboxes, || ToShard::Revoke(Arc::clone(revoked)));
        };
        revoke(&inboxes, file.list());
        let look = move || {
            while !inboxes.iter().all(Inbox::has_ended) {
                if let Some(revoked) = file.look() {
                    revoke(&inboxes, revoked);
                }
                std::thread::sleep(LOOK_INTERVAL);
            }
        };
        let thread = std::thread::Builder::new().name("revocation".into());
        thread
            .spawn(look)
            .map(drop)
            .map_err(|reason| StartError::System {
                what: "the thread that looks for revoked certificates",
                reason,
            })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn what_is_wrong_with_the_file_lets_nobody_in_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("revoked");
        let refused = |path: &Path| RevokedFile::open(path).unwrap_err().to_string();
        assert!(
            refused(&path).contains("No such file"),
            "{}",
            refused(&path)
        );
        fs::write(&path, "ab\nweb-3\n").unwrap();
        assert!(refused(&path).contains("revoked:2: "), "{}", refused(&path));
        fs::write(&path, "ab # lost\n").unwrap();
        let RevokedFile(mut file) = RevokedFile::open(&path).unwrap();
        assert!(file.list().contains("ab") && file.look().is_none());
        for bad in ["nonsense", "\u{0}", "ab cd"] {
            fs::write(&path, bad).unwrap();
            assert!(file.look().is_none() && file.look().is_none(), "{bad:?}");
            assert!(file.list().contains("ab"));
        }
        fs::remove_file(&path).unwrap();
        assert!(file.look().is_none() && file.list().contains("ab"));
        fs::write(&path, "cd\n").unwrap();
        assert!(file.look().is_none());
        let now = Arc::clone(file.look().unwrap());
        assert!(now.contains("cd") && !now.contains("ab"));
    }
}
