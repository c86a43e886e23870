//! What certificates say, for people and programs that look after them.

use super::revocation::serial_of;
use super::{IdentityError, Role, dns_names, files};
use crate::numbers::later;
use boring::asn1::{Asn1Time, Asn1TimeRef};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::x509::{X509, X509NameRef, X509Ref};
use std::path::Path;
use std::time::{Duration, Instant};

/// What a certificate says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateInfo {
    /// Its owner: a machine, a person, or an authority.
    pub name: String,
    /// The role that it gives; `None` for an authority's.
    pub role: Option<Role>,
    /// Its DNS names.
    pub dns_names: Vec<String>,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// The authority that issued it.
    pub issuer: String,
    /// Its first moment, as OpenSSL writes it.
    pub not_before: String,
    /// Its last moment.
    pub not_after: String,
    /// Days until that; negative once it is over.
    pub days_left: i64,
    /// SHA-256 of its DER form, in hexadecimal.
    pub fingerprint: String,
}

/// What the certificates of a PEM file say, in their order.
///
/// # Errors
/// Where the file cannot be read or holds none.
pub fn inspect(path: &Path) -> Result<Vec<CertificateInfo>, IdentityError> {
    let certificates = files::read_certificates(path)?;
    certificates
        .iter()
        .map(|certificate| info(certificate))
        .collect()
}

fn info(certificate: &X509Ref) -> Result<CertificateInfo, IdentityError> {
    let digest = certificate.digest(MessageDigest::sha256())?;
    Ok(CertificateInfo {
        name: common_name(certificate.subject_name()),
        role: Role::of(certificate),
        dns_names: dns_names(certificate),
        serial: serial(certificate),
        issuer: common_name(certificate.issuer_name()),
        not_before: certificate.not_before().to_string(),
        not_after: certificate.not_after().to_string(),
        days_left: days_until(certificate.not_after())?,
        fingerprint: digest.iter().map(|byte| format!("{byte:02x}")).collect(),
    })
}

fn days_until(time: &Asn1TimeRef) -> Result<i64, IdentityError> {
    let now = Asn1Time::days_from_now(0)?;
    let left = now.diff(time)?;
    // Whole days are cut off towards zero: less than a day over is over.
    Ok(i64::from(left.days) - i64::from(left.days == 0 && left.secs < 0))
}

fn common_name(name: &X509NameRef) -> String {
    let entry = name.entries_by_nid(Nid::COMMONNAME).next();
    let text = entry.and_then(|entry| entry.data().as_utf8().ok());
    text.map(|text| text.to_string()).unwrap_or_default()
}

fn serial(certificate: &X509Ref) -> String {
    let number = certificate.serial_number().to_bn();
    number
        .map(|number| serial_of(&number.to_vec()))
        .unwrap_or_default()
}

/// What matters of the certificate that a peer has shown in a handshake.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerCertificate {
    /// The role that it gives; `None` for a certificate of the authority that is not for madrpc.
    pub role: Option<Role>,
    /// Its owner, as it was issued to.
    pub name: String,
    /// Its serial number in hexadecimal, without leading zeros.
    pub serial: String,
    /// SHA-256 of its DER form.
    pub fingerprint: [u8; 32],
    /// Its last moment, by our clock.
    pub valid_until: Instant,
}

impl PeerCertificate {
    /// Reads it, from its DER form; `None` where it cannot be read. Says nothing about trust: that was decided in the
    /// handshake.
    #[must_use]
    pub fn read(der: &[u8], now: Instant) -> Option<Self> {
        let certificate = X509::from_der(der).ok()?;
        let today = Asn1Time::days_from_now(0).ok()?;
        let left = today.diff(certificate.not_after()).ok()?;
        let left = i64::from(left.days) * 24 * 60 * 60 + i64::from(left.secs);
        let left = Duration::from_secs(u64::try_from(left).unwrap_or_default());
        Some(Self {
            role: Role::of(&certificate),
            name: common_name(certificate.subject_name()),
            serial: serial(&certificate),
            fingerprint: boring::sha::sha256(der),
            valid_until: later(now, left),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Authority, Identity};
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn mode(path: &Path) -> u32 {
        std::fs::metadata(path).unwrap().permissions().mode() & 0o7777
    }

    #[test]
    fn what_is_issued_to_a_machine_is_saved_read_back_and_told() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::init(&dir.path().join("ca"), "fleet").unwrap();
        let out = dir.path().join("out/node");
        authority
            .issue_to("web-1", Role::Node, 30)
            .unwrap()
            .save(&out)
            .unwrap();
        assert_eq!(Identity::from_dir(&out).unwrap().role(), Some(Role::Node));
        assert_eq!(mode(&out.join("key.pem")), 0o600);
        assert_eq!(mode(&out.join("cert.pem")), 0o644);
        let told = inspect(&out.join("cert.pem")).unwrap().remove(0);
        assert_eq!(
            (told.name.as_str(), told.issuer.as_str()),
            ("web-1", "fleet")
        );
        assert_eq!(told.role, Some(Role::Node));
        assert!((29..=30).contains(&told.days_left), "{}", told.days_left);
        assert_eq!(told.fingerprint.len(), 64);
        let ca = inspect(&out.join("ca.pem")).unwrap().remove(0);
        assert_eq!((ca.name.as_str(), ca.role), ("fleet", None));
        // Never longer than the authority.
        authority
            .issue_to("web-1", Role::Node, 100_000)
            .unwrap()
            .save(&out)
            .unwrap();
        let told = inspect(&out.join("cert.pem")).unwrap().remove(0);
        assert_eq!(told.not_after, ca.not_after);
    }

    #[test]
    fn an_authority_is_made_once_and_names_have_bounds() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::init(dir.path(), "fleet").unwrap();
        let again = Authority::init(dir.path(), "fleet")
            .err()
            .unwrap()
            .to_string();
        assert!(again.contains("is there already"), "{again}");
        for name in ["", "a\nb", &"x".repeat(65)] {
            let refused = authority.issue_to(name, Role::Client, 1);
            assert!(matches!(refused, Err(IdentityError::Refused(_))), "{name}");
        }
        assert!(authority.issue_to("me", Role::Client, 0).is_err());
    }

    #[test]
    fn credentials_are_read_and_what_is_wrong_is_said_of_their_source() {
        let dir = tempfile::tempdir().unwrap();
        let authority = Authority::create("fleet").unwrap();
        let (source, copies) = (dir.path().join("source"), dir.path().join("copies"));
        let issued = authority.issue_to("web-1", Role::Node, 1).unwrap();
        issued.save(&source).unwrap();
        issued.save(&copies).unwrap();
        let permit = |path: &Path, mode: u32| {
            std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
        };
        // As systemd leaves it: an access list for the service's user shows as rights of the group.
        permit(&copies.join("key.pem"), 0o440);
        let read = Identity::from_credentials(&copies, &source).unwrap();
        assert_eq!(read.role(), Some(Role::Node));
        let refused = || {
            let refused = Identity::from_credentials(&copies, &source);
            refused.err().unwrap().to_string()
        };
        permit(&source.join("key.pem"), 0o644);
        let told = refused();
        assert!(told.contains("open to others (mode 0644)"), "{told}");
        assert!(told.contains("source/key.pem"), "{told}");
        permit(&source.join("key.pem"), 0o600);
        std::fs::write(copies.join("cert.pem"), "missing").unwrap();
        let told = refused();
        assert!(
            told.contains("source/cert.pem is missing or empty"),
            "{told}"
        );
        std::fs::write(copies.join("cert.pem"), "nonsense").unwrap();
        let told = refused();
        assert!(
            told.contains("source/cert.pem holds no certificate"),
            "{told}"
        );
    }
}
