//! What can be wrong with certificates and keys on our own side.
//!
//! Each error is one line: what, where, what to do. What a peer did wrong is in `alert.rs`.

use boring::error::ErrorStack;
use std::io;
use std::path::PathBuf;

/// Why there is no identity to run with.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The environment names no place for the user's authority.
    #[error("no directory for certificates: set MADRPC_TLS_DIR, XDG_STATE_HOME or HOME")]
    NoStateDir,

    /// A file or directory cannot be used.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was tried: `read`, `write`, `lock`.
        action: &'static str,
        /// What it was tried on.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },

    /// Someone else may read or change a private key.
    #[error(
        "{} holds a private key and is open to others (mode {mode:04o}): run chmod 600 {}",
        path.display(), path.display()
    )]
    ExposedKey {
        /// The key's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },

    /// Someone else may put files of their own where the authority lies.
    #[error(
        "{} holds the authority and others may write to it (mode {mode:04o}): run chmod 700 {}",
        path.display(), path.display()
    )]
    ExposedDirectory {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },

    /// The service manager found no file to hand over.
    #[error(
        "{} is missing or empty: put there what `madrpc tls issue` has written for this machine", path.display()
    )]
    NoCredential {
        /// Where it should lie.
        path: PathBuf,
    },

    /// There is an authority already.
    #[error(
        "{} is there already: an authority is made once, and all certificates of it end with it; choose another directory",
        path.display()
    )]
    AuthorityExists {
        /// Its certificate.
        path: PathBuf,
    },

    /// A name or a time that no certificate can have.
    #[error("{0}")]
    Refused(String),

    /// A file does not hold what it should.
    #[error("{} holds no {wanted} in PEM: give a file that begins with -----BEGIN", path.display())]
    NotPem {
        /// The file.
        path: PathBuf,
        /// `certificate` or `private key`.
        wanted: &'static str,
    },

    /// Key and certificate are no pair.
    #[error(
        "the key {} does not belong to the certificate {}: give the two that were issued together",
        key.display(), certificate.display()
    )]
    KeyMismatch {
        /// The key's file.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },

    /// A certificate's time is over, or has not come.
    #[error(
        "the certificate {} is valid from {not_before} to {not_after}, not now: issue a new one, or set the clock",
        path.display()
    )]
    NotValidNow {
        /// The certificate's file.
        path: PathBuf,
        /// Its first moment.
        not_before: String,
        /// Its last moment.
        not_after: String,
    },

    /// A certificate does not lead to the authority.
    #[error(
        "the certificate {} is not issued by {} ({reason}): give the authority that issued it",
        certificate.display(), authority.display()
    )]
    NotIssued {
        /// The certificate's file.
        certificate: PathBuf,
        /// The authority's file.
        authority: PathBuf,
        /// The verifier's words.
        reason: &'static str,
    },

    /// The authority's certificate is there, its key is not.
    #[error(
        "{} is missing beside {}: put it back, or remove the certificate to start a new authority",
        key.display(), certificate.display()
    )]
    HalfAuthority {
        /// The key's file, which is missing.
        key: PathBuf,
        /// The certificate's file.
        certificate: PathBuf,
    },

    /// The certificate does not let its owner be a server.
    #[error(
        "this certificate cannot serve, its names are [{names}] without {}: issue one for a node or an orchestrator",
        super::SERVER_NAME_ANY
    )]
    NotAServer {
        /// The DNS names that it carries.
        names: String,
    },

    /// The TLS library failed in itself.
    #[error("the TLS library failed: {0}")]
    Library(#[from] ErrorStack),

    /// quiche did not accept the TLS context.
    #[error("QUIC did not accept the TLS context: {0}")]
    Quic(#[from] quiche::Error),
}
