//! A test authority, and what peers of every kind show for a certificate.

use crate::error::AbuseError;
use madrpc_core::identity::{Authority, Identity, Role};
use madrpc_core::session::set_transport;
use std::path::{Path, PathBuf};
use std::time::Duration;
use tempfile::TempDir;

const IDLE: Duration = Duration::from_secs(30);

/// A protocol that no server of madrpc speaks.
const OTHER_PROTOCOL: &[u8] = b"h3";

/// An authority in a directory of its own, which goes with it.
pub struct Fleet {
    dir: TempDir,
    authority: Authority,
}

impl Fleet {
    /// A new authority.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn new() -> Result<Self, AbuseError> {
        let dir = tempfile::tempdir()?;
        let authority = Authority::load_or_create(&dir.path().join("tls"))?;
        Ok(Self { dir, authority })
    }

    /// The directory for servers to run in.
    #[must_use]
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// What `MADRPC_TLS_DIR` has to be for processes of this fleet.
    #[must_use]
    pub fn tls_dir(&self) -> PathBuf {
        self.dir.path().join("tls")
    }

    /// A certificate of this fleet.
    ///
    /// # Errors
    /// Where the TLS library fails.
    pub fn identity(&self, role: Role) -> Result<Identity, AbuseError> {
        Ok(self.authority.issue(role)?)
    }

    /// A caller's configuration: one who may ask for statistics, too, as those cost a server the most.
    pub(crate) fn caller(&self) -> Result<quiche::Config, AbuseError> {
        let mut config = self.identity(Role::Operator)?.client_config()?;
        set_transport(&mut config, IDLE)?;
        config.log_keys();
        Ok(config)
    }

    /// A node's configuration.
    pub(crate) fn node(&self) -> Result<quiche::Config, AbuseError> {
        let mut config = self.identity(Role::Node)?.server_config()?;
        set_transport(&mut config, IDLE)?;
        Ok(config)
    }

    /// A client without a certificate.
    pub(crate) fn stranger() -> Result<quiche::Config, AbuseError> {
        let mut config = quiche::Config::new(quiche::PROTOCOL_VERSION)?;
        config.verify_peer(false);
        set_transport(&mut config, IDLE)?;
        Ok(config)
    }

    /// A client without a certificate that speaks another protocol.
    pub(crate) fn stranger_of_another_protocol() -> Result<quiche::Config, AbuseError> {
        let mut config = Self::stranger()?;
        config.set_application_protos(&[OTHER_PROTOCOL])?;
        Ok(config)
    }

    /// A client with a certificate of another authority, which takes any server.
    pub(crate) fn stranger_of_another_authority() -> Result<quiche::Config, AbuseError> {
        let other = Authority::create("another authority")?;
        let mut config = other.issue(Role::Client)?.client_config()?;
        config.verify_peer(false);
        set_transport(&mut config, IDLE)?;
        Ok(config)
    }
}
