//! Who a process is, and whom it lets in: TLS identities.
//!
//! Owns roles, certificates and the TLS side of a `quiche::Config`. Sets nothing of QUIC itself (streams, windows,
//! timeouts, ALPN); that is the caller's. Used once at a process' start, never on the way of a call.
//!
//! ```text
//! state_dir() ─▶ Authority ─ issue(role) ─▶ Identity ─▶ server_config() / client_config()
//!            --tls-ca --tls-cert --tls-key ─▶ ┘
//! ```
//!
//! A role is a DNS name in the certificate. A caller says which name it expects; a node's certificate does not
//! carry the orchestrator's, so no node can pose as one.

mod alert;
mod authority;
mod error;
mod files;
#[cfg(test)]
mod from_files_tests;
#[cfg(test)]
mod handshake_tests;
mod inspect;
mod mode;
mod permissions;
mod revocation;

pub use alert::{refusal_by_peer, refusal_by_us};
pub use authority::Authority;
pub use error::IdentityError;
pub use files::state_dir;
pub use inspect::{CertificateInfo, PeerCertificate, inspect};
pub use permissions::{Joiner, Permissions, Rule};
pub use revocation::Revoked;

use boring::error::ErrorStack;
use boring::hash::hmac_sha256;
use boring::pkey::{PKey, Private};
use boring::ssl::{SslContextBuilder, SslMethod, SslOptions, SslVerifyMode, SslVersion};
use boring::stack::Stack;
use boring::x509::store::{X509Store, X509StoreBuilder};
use boring::x509::verify::X509CheckFlags;
use boring::x509::{X509, X509Ref, X509StoreContext, X509VerifyError};
use std::fmt;
use std::path::Path;
use std::sync::Arc;

/// The name that every server carries: what a caller asks for that accepts a node as well as an orchestrator.
pub const SERVER_NAME_ANY: &str = "server.madrpc.internal";

/// What [`Identity::save`] writes, and what lies in a directory that [`Identity::from_dir`] reads.
const CA_FILE: &str = "ca.pem";
const CERT_FILE: &str = "cert.pem";
const KEY_FILE: &str = "key.pem";

/// What a process is in the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// Runs functions.
    Node,
    /// Forwards calls to nodes.
    Orchestrator,
    /// Calls functions.
    Client,
    /// Looks after the cluster from a command line.
    Operator,
}

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Node, Self::Orchestrator, Self::Client, Self::Operator];

    /// The role's name in certificates, messages and logs.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Node => "node",
            Self::Orchestrator => "orchestrator",
            Self::Client => "client",
            Self::Operator => "operator",
        }
    }

    /// What a caller passes to `quiche::connect` that accepts only this role; `None` for a role that cannot serve.
    #[must_use]
    pub const fn server_name(self) -> Option<&'static str> {
        if self.is_server() {
            Some(self.dns_names()[0])
        } else {
            None
        }
    }

    /// The role of a peer by its certificate in DER, as `quiche::Connection::peer_cert` gives it.
    ///
    /// `None` where it names no role, or more than one. Says nothing about trust: that was decided in the handshake.
    #[must_use]
    pub fn of_certificate(der: &[u8]) -> Option<Self> {
        let certificate = X509::from_der(der).ok()?;
        Self::of(&certificate)
    }

    fn of(certificate: &X509Ref) -> Option<Self> {
        let names = dns_names(certificate);
        let mut roles = Self::ALL
            .into_iter()
            .filter(|role| names.iter().any(|name| name == role.dns_names()[0]));
        roles.next().filter(|_| roles.next().is_none())
    }

    const fn is_server(self) -> bool {
        matches!(self, Self::Node | Self::Orchestrator)
    }

    /// All names of the role; the first is its own.
    const fn dns_names(self) -> &'static [&'static str] {
        match self {
            Self::Node => &["node.madrpc.internal", SERVER_NAME_ANY],
            Self::Orchestrator => &["orchestrator.madrpc.internal", SERVER_NAME_ANY],
            Self::Client => &["client.madrpc.internal"],
            Self::Operator => &["operator.madrpc.internal"],
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A certificate, its key, and the authority whose peers are let in. Cheap to clone.
#[derive(Clone)]
pub struct Identity(Arc<Parts>);

struct Parts {
    authorities: Vec<X509>,
    leaf: X509,
    intermediates: Vec<X509>,
    key: PKey<Private>,
    /// What secrets are derived from; see [`Identity::derive_secret`].
    lasting: PKey<Private>,
}

impl Identity {
    fn new(
        authorities: Vec<X509>,
        leaf: X509,
        intermediates: Vec<X509>,
        key: PKey<Private>,
        lasting: PKey<Private>,
    ) -> Self {
        Self(Arc::new(Parts {
            authorities,
            leaf,
            intermediates,
            key,
            lasting,
        }))
    }

    /// An identity of this user's own authority, which is created where there is none yet ([`state_dir`]). Where a
    /// certificate lies there that was issued elsewhere ([`Identity::save`]), it is that one, whatever its role.
    ///
    /// # Errors
    /// Those of [`state_dir`], [`Authority::load_or_create`] and [`Authority::issue`], or [`Identity::from_dir`].
    pub fn of_this_user(role: Role) -> Result<Self, IdentityError> {
        let dir = state_dir()?;
        match files::exists(&dir.join(CERT_FILE))? {
            true => Self::from_dir(&dir),
            false => Authority::load_or_create(&dir)?.issue(role),
        }
    }

    /// An identity from a directory that [`Identity::save`] has written.
    ///
    /// # Errors
    /// Those of [`Identity::from_files`].
    pub fn from_dir(dir: &Path) -> Result<Self, IdentityError> {
        Self::from_files(
            &dir.join(CA_FILE),
            &dir.join(CERT_FILE),
            &dir.join(KEY_FILE),
        )
    }

    /// Writes `ca.pem`, `cert.pem` and `key.pem` to a directory, which is made where it is not there. All may read it,
    /// but for the key. What was there is replaced.
    ///
    /// # Errors
    /// Where a file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), IdentityError> {
        files::open_dir(dir)?;
        files::publish_as(dir, CA_FILE, &self.ca_pem()?, 0o644)?;
        files::publish(dir, KEY_FILE, &self.key_pem()?)?;
        files::publish_as(dir, CERT_FILE, &self.cert_pem()?, 0o644)
    }

    /// An identity that a service manager has handed over, as systemd does by `LoadCredential=`: copies, in `dir`, of the
    /// files in `source`. Who may read the copies is the service manager's affair; who may read the key itself is looked
    /// at where that can be done.
    ///
    /// # Errors
    /// Those of [`Identity::from_files`], and where a file was not there to be handed over.
    pub fn from_credentials(dir: &Path, source: &Path) -> Result<Self, IdentityError> {
        let [ca, cert, key] = [CA_FILE, CERT_FILE, KEY_FILE].map(|name| source.join(name));
        // A directory that nobody else may look into keeps us out too, and the key safe.
        if let Ok(found) = std::fs::metadata(&key) {
            files::check_key_mode(&found, &key)?;
        }
        let pem = |name| files::read_credential(dir, source, name);
        Self::from_parts(
            files::parse_certificates(&pem(CA_FILE)?, &ca)?,
            files::parse_certificates(&pem(CERT_FILE)?, &cert)?,
            files::parse_key(&pem(KEY_FILE)?, &key)?,
            (&ca, &cert, &key),
        )
    }

    /// An identity from PEM files: the authorities that are trusted, the certificate (its intermediates after it),
    /// and its key.
    ///
    /// # Errors
    /// Where a file cannot be read or holds something else, the key is open to others or belongs to another
    /// certificate, or the certificate is expired or not issued by one of `ca`.
    pub fn from_files(ca: &Path, cert: &Path, key: &Path) -> Result<Self, IdentityError> {
        Self::from_parts(
            files::read_certificates(ca)?,
            files::read_certificates(cert)?,
            files::read_key(key)?,
            (ca, cert, key),
        )
    }

    /// `paths` (of the authorities, the certificate and the key) only serve the messages.
    fn from_parts(
        authorities: Vec<X509>,
        mut chain: Vec<X509>,
        private_key: PKey<Private>,
        (ca, cert, key): (&Path, &Path, &Path),
    ) -> Result<Self, IdentityError> {
        let leaf = chain.remove(0);
        let intermediates = chain;
        if !leaf.public_key()?.public_eq(&private_key) {
            return Err(IdentityError::KeyMismatch {
                key: key.into(),
                certificate: cert.into(),
            });
        }
        verify(&authorities, &leaf, &intermediates, (ca, cert))?;
        let lasting = private_key.clone();
        Ok(Self::new(
            authorities,
            leaf,
            intermediates,
            private_key,
            lasting,
        ))
    }

    /// The role that the certificate names; see [`Role::of_certificate`].
    #[must_use]
    pub fn role(&self) -> Option<Role> {
        Role::of(&self.0.leaf)
    }

    /// SHA-256 of the certificate in DER, as [`PeerCertificate::fingerprint`] of its peers.
    ///
    /// # Errors
    /// Where the TLS library fails.
    pub fn fingerprint(&self) -> Result<[u8; 32], IdentityError> {
        Ok(boring::sha::sha256(&self.0.leaf.to_der()?))
    }

    /// A secret for one purpose, which a process has again after it was started anew: it follows from the key where that
    /// lies in a file, and from the authority's where the key was made by [`Authority::issue`].
    ///
    /// # Errors
    /// Where the TLS library fails.
    pub fn derive_secret(&self, purpose: &str) -> Result<[u8; 32], IdentityError> {
        let key = self.0.lasting.private_key_to_der_pkcs8()?;
        Ok(hmac_sha256(&key, purpose.as_bytes())?)
    }

    /// The trusted authorities in PEM: what belongs into `--tls-ca`.
    ///
    /// # Errors
    /// Where the TLS library fails.
    pub fn ca_pem(&self) -> Result<Vec<u8>, IdentityError> {
        pem_of(&self.0.authorities)
    }

    /// The certificate and its intermediates in PEM: what belongs into `--tls-cert`.
    ///
    /// # Errors
    /// Where the TLS library fails.
    pub fn cert_pem(&self) -> Result<Vec<u8>, IdentityError> {
        let mut pem = self.0.leaf.to_pem()?;
        pem.extend(pem_of(&self.0.intermediates)?);
        Ok(pem)
    }

    /// The private key in PEM (PKCS #8): what belongs into `--tls-key`, in a file of mode 0600.
    ///
    /// # Errors
    /// Where the TLS library fails.
    pub fn key_pem(&self) -> Result<Vec<u8>, IdentityError> {
        Ok(self.0.key.private_key_to_pem_pkcs8()?)
    }

    /// The TLS side of a server: a client without a certificate of our authority is refused.
    ///
    /// # Errors
    /// [`IdentityError::NotAServer`] where no caller would accept this certificate.
    pub fn server_config(&self) -> Result<quiche::Config, IdentityError> {
        let names = dns_names(&self.0.leaf);
        if !names.iter().any(|name| name == SERVER_NAME_ANY) {
            return Err(IdentityError::NotAServer {
                names: names.join(", "),
            });
        }
        self.config(trust(&self.0.authorities)?.build())
    }

    /// The TLS side of a caller: a server is refused that is not of our authority, or does not carry the name given
    /// to `quiche::connect` ([`Role::server_name`]). Without a name it must carry [`SERVER_NAME_ANY`].
    ///
    /// # Errors
    /// Where the TLS library fails.
    pub fn client_config(&self) -> Result<quiche::Config, IdentityError> {
        let mut store = trust(&self.0.authorities)?;
        // quiche checks no name where `connect` is given none; it overrides this one where it is.
        let rules = store.verify_param_mut();
        rules.set_host(SERVER_NAME_ANY)?;
        // A wildcard would carry every role, and a common name is no DNS name.
        rules.set_hostflags(X509CheckFlags::NO_WILDCARDS | X509CheckFlags::NEVER_CHECK_SUBJECT);
        self.config(store.build())
    }

    /// Built by hand because `quiche::Config::verify_peer(true)` lets clients without a certificate in.
    fn config(&self, store: X509Store) -> Result<quiche::Config, IdentityError> {
        let mut context = SslContextBuilder::new(SslMethod::tls())?;
        context.set_min_proto_version(Some(SslVersion::TLS1_3))?;
        context.set_max_proto_version(Some(SslVersion::TLS1_3))?;
        context.set_verify(SslVerifyMode::PEER | SslVerifyMode::FAIL_IF_NO_PEER_CERT);
        context.set_cert_store(store);
        // A ticket would carry a peer past these checks, even into another configuration (CVE-2025-23419).
        context.set_options(SslOptions::NO_TICKET);
        context.set_certificate(&self.0.leaf)?;
        for certificate in &self.0.intermediates {
            context.add_extra_chain_cert(certificate.clone())?;
        }
        context.set_private_key(&self.0.key)?;
        Ok(quiche::Config::with_boring_ssl_ctx_builder(
            quiche::PROTOCOL_VERSION,
            context,
        )?)
    }

    #[cfg(test)]
    fn leaf(&self) -> &X509Ref {
        &self.0.leaf
    }
}

/// Shows the role only: an identity ends up in logs.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("role", &self.role())
            .finish_non_exhaustive()
    }
}

fn trust(authorities: &[X509]) -> Result<X509StoreBuilder, ErrorStack> {
    let mut store = X509StoreBuilder::new()?;
    for authority in authorities {
        store.add_cert(authority)?;
    }
    Ok(store)
}

/// Checks the chain from `leaf` up to one of `authorities` as a peer will. `paths` (of the authorities, of the
/// certificate) only serve the message.
fn verify(
    authorities: &[X509],
    leaf: &X509Ref,
    intermediates: &[X509],
    paths: (&Path, &Path),
) -> Result<(), IdentityError> {
    let mut chain = Stack::new()?;
    for certificate in intermediates {
        chain.push(certificate.clone())?;
    }
    let store = trust(authorities)?.build();
    let failure = X509StoreContext::new()?.init(&store, leaf, &chain, |context| {
        context.verify_cert()?;
        let culprit = context.current_cert().map(ToOwned::to_owned);
        Ok(context.verify_result().err().map(|error| (error, culprit)))
    })?;
    let Some((error, culprit)) = failure else {
        return Ok(());
    };
    let (ca, cert) = paths;
    if let (
        X509VerifyError::CERT_HAS_EXPIRED | X509VerifyError::CERT_NOT_YET_VALID,
        Some(culprit),
    ) = (error, culprit)
    {
        let der = culprit.to_der()?;
        let is_authority = authorities
            .iter()
            .any(|authority| authority.to_der().is_ok_and(|other| other == der));
        return Err(IdentityError::NotValidNow {
            path: if is_authority { ca } else { cert }.into(),
            not_before: culprit.not_before().to_string(),
            not_after: culprit.not_after().to_string(),
        });
    }
    Err(IdentityError::NotIssued {
        certificate: cert.into(),
        authority: ca.into(),
        reason: error.error_string(),
    })
}

fn dns_names(certificate: &X509Ref) -> Vec<String> {
    let names = certificate.subject_alt_names();
    let names = names.iter().flat_map(|names| names.iter());
    names
        .filter_map(|name| name.dnsname().map(str::to_owned))
        .collect()
}

fn pem_of(certificates: &[X509]) -> Result<Vec<u8>, IdentityError> {
    let mut pem = Vec::new();
    for certificate in certificates {
        pem.extend(certificate.to_pem()?);
    }
    Ok(pem)
}
