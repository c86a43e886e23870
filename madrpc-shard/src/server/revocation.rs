//! The file of revoked certificates of a server that runs: what is written there holds within a second.

use super::messages::{Inbox, ToShard};
use super::{Server, StartError, tell};
use crate::runtime::text_file::TextFile;
use madrpc_core::identity::Revoked;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tracing::{info, warn};

/// How often the file is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// A file of the serial numbers of revoked certificates, see [`Revoked::parse`].
#[derive(Debug)]
pub struct RevokedFile {
    file: TextFile,
    revoked: Arc<Revoked>,
    /// What is wrong with it, once that is told.
    fault: Option<String>,
}

impl RevokedFile {
    /// Reads it for the first time.
    ///
    /// # Errors
    /// Where it cannot be read, or has a line that is no serial number: nobody is to believe that somebody is kept out who is not.
    pub fn open(path: &Path) -> Result<Self, StartError> {
        let mut file = TextFile::new(path.to_owned());
        let revoked = read(&mut file).map_err(StartError::Settings)?;
        Ok(Self {
            file,
            revoked: Arc::new(revoked.unwrap_or_default()),
            fault: None,
        })
    }

    /// Reads it again; gives what it says where that is something else. What is wrong with it is told once, and changes nothing.
    fn look(&mut self) -> Option<Arc<Revoked>> {
        match read(&mut self.file) {
            Ok(None) => None,
            Ok(Some(revoked)) => {
                self.fault = None;
                if *self.revoked == revoked {
                    return None;
                }
                let (name, count) = (self.file.path().display(), revoked.len());
                info!("{name} names {count} revoked certificates now");
                self.revoked = Arc::new(revoked);
                Some(Arc::clone(&self.revoked))
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
}

/// What the file says, where that is news.
fn read(file: &mut TextFile) -> Result<Option<Revoked>, String> {
    let name = file.path().display().to_string();
    let text = file.look().map_err(|error| format!("{name}: {error}"))?;
    let revoked = text.map(Revoked::parse).transpose();
    revoked.map_err(|(line, error)| format!("{name}:{line}: {error}"))
}

impl Server {
    /// Keeps those out whose certificates a file names, and ends their sessions, for as long as the server serves.
    ///
    /// # Errors
    /// Where the system gives no thread.
    pub fn revoke_by(&self, mut file: RevokedFile) -> Result<(), StartError> {
        let Some(running) = &self.running else {
            return Ok(());
        };
        let inboxes = running.inboxes.clone();
        let revoke = |inboxes: &[Inbox], revoked: &Arc<Revoked>| {
            tell(inboxes, || ToShard::Revoke(Arc::clone(revoked)));
        };
        revoke(&inboxes, &file.revoked);
        let look = move || {
            while !inboxes.iter().all(Inbox::has_ended) {
                if let Some(revoked) = file.look() {
                    revoke(&inboxes, &revoked);
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
        let mut file = RevokedFile::open(&path).unwrap();
        assert!(file.revoked.contains("ab") && file.look().is_none());
        for bad in ["nonsense", "\u{0}", "ab cd"] {
            fs::write(&path, bad).unwrap();
            assert!(
                file.look().is_none() && file.look().is_none() && file.fault.is_some(),
                "{bad:?}"
            );
            assert!(file.revoked.contains("ab"));
        }
        fs::remove_file(&path).unwrap();
        assert!(file.look().is_none() && file.revoked.contains("ab"));
        fs::write(&path, "cd\n").unwrap();
        assert!(file.look().is_none());
        let now = file.look().unwrap();
        assert!(now.contains("cd") && !now.contains("ab") && file.fault.is_none());
    }
}
