//! The private authority that issues every certificate of a cluster.
//!
//! Owns the authority's key and how a user's processes come to one and the same. Never reads a certificate of
//! anyone else; a process asks it for an identity at its start and forgets it.
//!
//! On disk it is two files of mode 0600, `ca.key` and `ca.pem`. The certificate is written last, and from the key
//! that lies beside it: where it exists the authority is whole, and a creator that died half-way is finished by
//! the next one, with the same key. Creators exclude each other by a lock on `ca.lock`, which stays there.

use super::{Identity, IdentityError, Role, files};
use boring::asn1::{Asn1Time, Asn1TimeRef};
use boring::bn::{BigNum, MsbOption};
use boring::ec::{EcGroup, EcKey};
use boring::error::ErrorStack;
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, PKeyRef, Private};
use boring::x509::extension::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAlternativeName,
    SubjectKeyIdentifier,
};
use boring::x509::{X509, X509Builder, X509Name, X509Ref};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

const CERTIFICATE: &str = "ca.pem";
const KEY: &str = "ca.key";
const LOCK: &str = "ca.lock";

/// The name of an authority that nobody named. The same for all of them: a certificate made again from its key
/// must still be the issuer of those that were issued before.
const NAME: &str = "madrpc private authority";

/// The longest name of an authority, a machine or a person.
const NAME_MAX_BYTES: usize = 64;

const HOUR_S: i64 = 3600;
const LIFETIME_S: i64 = 10 * 365 * 24 * HOUR_S;
const SERIAL_BITS: i32 = 128;

/// What a certificate says of its owner.
pub(super) struct Profile<'a> {
    pub(super) subject: &'a str,
    pub(super) dns_names: &'a [&'a str],
    /// May accept connections (extended key usage `serverAuth`).
    pub(super) serves: bool,
    /// May open connections (`clientAuth`).
    pub(super) calls: bool,
    pub(super) not_before: &'a Asn1TimeRef,
    pub(super) not_after: &'a Asn1TimeRef,
}

/// A certificate authority: its certificate and its key (ECDSA P-256).
pub struct Authority {
    certificate: X509,
    key: PKey<Private>,
}

impl Authority {
    /// A new authority, in memory only. It is valid for ten years, beginning an hour ago, so that a peer whose
    /// clock is a little behind accepts it.
    ///
    /// # Errors
    /// Where `name` is empty or longer than 64 bytes, or the TLS library fails.
    pub fn create(name: &str) -> Result<Self, IdentityError> {
        let key = generate_key()?;
        let certificate = self_signed(name, &key)?;
        Ok(Self { certificate, key })
    }

    /// A new authority of this name in `dir`, which is made with mode 0700 where it is not there.
    ///
    /// # Errors
    /// Where one lies there already, a file cannot be written, or `name` is none (see [`Authority::create`]).
    pub fn init(dir: &Path, name: &str) -> Result<Self, IdentityError> {
        check_name(name)?;
        files::private_dir(dir)?;
        let _lock = files::lock(&dir.join(LOCK))?;
        for path in [dir.join(CERTIFICATE), dir.join(KEY)] {
            if files::exists(&path)? {
                return Err(IdentityError::AuthorityExists { path });
            }
        }
        complete(dir, name)?;
        Self::load(dir)
    }

    /// The authority that lies in `dir`.
    ///
    /// # Errors
    /// Where a file is missing, unreadable, expired or no pair with the other, where the key is open to others, or
    /// where others may write to `dir`.
    pub fn load(dir: &Path) -> Result<Self, IdentityError> {
        files::check_dir(dir)?;
        let (certificate_path, key_path) = (dir.join(CERTIFICATE), dir.join(KEY));
        let certificate = files::read_certificates(&certificate_path)?.swap_remove(0);
        if !files::exists(&key_path)? {
            return Err(IdentityError::HalfAuthority {
                key: key_path,
                certificate: certificate_path,
            });
        }
        let key = files::read_key(&key_path)?;
        if !certificate.public_key()?.public_eq(&key) {
            return Err(IdentityError::KeyMismatch {
                key: key_path,
                certificate: certificate_path,
            });
        }
        super::verify(
            std::slice::from_ref(&certificate),
            &certificate,
            &[],
            (&certificate_path, &certificate_path),
        )?;
        Ok(Self { certificate, key })
    }

    /// The authority that lies in `dir`; where there is none, one is created (the directory too, with mode 0700).
    ///
    /// Any number of processes may call this at once: all get the same one. A directory that holds both files is
    /// only read, so it may be read-only.
    ///
    /// # Errors
    /// Those of [`Authority::load`], and where a file cannot be written.
    pub fn load_or_create(dir: &Path) -> Result<Self, IdentityError> {
        if !files::exists(&dir.join(CERTIFICATE))? {
            files::private_dir(dir)?;
            let _lock = files::lock(&dir.join(LOCK))?;
            if !files::exists(&dir.join(CERTIFICATE))? {
                complete(dir, NAME)?;
            }
        }
        Self::load(dir)
    }

    /// A certificate for `role` with a fresh key in memory, valid as long as the authority.
    ///
    /// # Errors
    /// Where the TLS library fails.
    pub fn issue(&self, role: Role) -> Result<Identity, IdentityError> {
        let not_before = unix_time(-HOUR_S)?;
        self.sign(&Profile {
            subject: role.name(),
            dns_names: role.dns_names(),
            serves: role.is_server(),
            calls: true,
            not_before: &not_before,
            not_after: self.certificate.not_after(),
        })
    }

    /// A certificate for a machine or a person of this name, in this role, with a fresh key in memory. It is valid for so
    /// many days from now, or as long as the authority where that is less.
    ///
    /// # Errors
    /// Where `name` is empty or longer than 64 bytes, `days` is 0, or the TLS library fails.
    pub fn issue_to(&self, name: &str, role: Role, days: u32) -> Result<Identity, IdentityError> {
        check_name(name)?;
        if days == 0 {
            return Err(IdentityError::Refused(
                "a certificate is valid for at least 1 day".into(),
            ));
        }
        let not_before = unix_time(-HOUR_S)?;
        let asked = unix_time(i64::from(days) * 24 * HOUR_S)?;
        let of_authority = self.certificate.not_after();
        let left = asked.diff(of_authority)?;
        let not_after = match left.days < 0 || left.secs < 0 {
            true => of_authority,
            false => &asked,
        };
        self.sign(&Profile {
            subject: name,
            dns_names: role.dns_names(),
            serves: role.is_server(),
            calls: true,
            not_before: &not_before,
            not_after,
        })
    }

    #[cfg(test)]
    pub(super) fn certificate(&self) -> &X509Ref {
        &self.certificate
    }

    pub(super) fn sign(&self, profile: &Profile<'_>) -> Result<Identity, IdentityError> {
        let key = generate_key()?;
        let mut builder = certificate(profile.subject, &key)?;
        builder.set_issuer_name(self.certificate.subject_name())?;
        builder.set_not_before(profile.not_before)?;
        builder.set_not_after(profile.not_after)?;

        let mut usage = ExtendedKeyUsage::new();
        if profile.serves {
            usage.server_auth();
        }
        if profile.calls {
            usage.client_auth();
        }
        for extension in [
            BasicConstraints::new().critical().build()?,
            KeyUsage::new().critical().digital_signature().build()?,
            usage.build()?,
        ] {
            builder.append_extension(&extension)?;
        }
        // An empty list would be invalid (RFC 5280, section 4.2.1.6).
        if !profile.dns_names.is_empty() {
            let mut names = SubjectAlternativeName::new();
            for name in profile.dns_names {
                names.dns(name);
            }
            let names = names.build(&builder.x509v3_context(Some(&self.certificate), None))?;
            builder.append_extension(&names)?;
        }
        append_key_ids(&mut builder, Some(&self.certificate))?;

        builder.sign(&self.key, MessageDigest::sha256())?;
        Ok(Identity::new(
            vec![self.certificate.clone()],
            builder.build(),
            Vec::new(),
            key,
            self.key.clone(),
        ))
    }
}

/// Creates what is missing. The caller holds the lock and saw no certificate.
fn complete(dir: &Path, name: &str) -> Result<(), IdentityError> {
    let key_path = dir.join(KEY);
    if !files::exists(&key_path)? {
        let pem = generate_key()?.private_key_to_pem_pkcs8()?;
        files::publish(dir, KEY, &pem)?;
    }
    let key = files::read_key(&key_path)?;
    let certificate = self_signed(name, &key)?;
    files::publish(dir, CERTIFICATE, &certificate.to_pem()?)
}

fn self_signed(name: &str, key: &PKeyRef<Private>) -> Result<X509, IdentityError> {
    let mut builder = certificate(name, key)?;
    let issuer = common_name(name)?;
    builder.set_issuer_name(&issuer)?;
    let (not_before, not_after) = (unix_time(-HOUR_S)?, unix_time(LIFETIME_S)?);
    builder.set_not_before(&not_before)?;
    builder.set_not_after(&not_after)?;
    let usage = KeyUsage::new()
        .critical()
        .key_cert_sign()
        .crl_sign()
        .build()?;
    for extension in [
        BasicConstraints::new().critical().ca().pathlen(0).build()?,
        usage,
    ] {
        builder.append_extension(&extension)?;
    }
    append_key_ids(&mut builder, None)?;
    builder.sign(key, MessageDigest::sha256())?;
    Ok(builder.build())
}

/// What every certificate has: version 3, a random serial, its subject and its key.
fn certificate(name: &str, key: &PKeyRef<Private>) -> Result<X509Builder, ErrorStack> {
    let mut serial = BigNum::new()?;
    serial.rand(SERIAL_BITS, MsbOption::MAYBE_ZERO, false)?;
    let serial = serial.to_asn1_integer()?;
    let subject = common_name(name)?;
    let mut builder = X509::builder()?;
    // Counted from zero.
    builder.set_version(2)?;
    builder.set_serial_number(&serial)?;
    builder.set_subject_name(&subject)?;
    builder.set_pubkey(key)?;
    Ok(builder)
}

/// Authorities may share a name; by these identifiers a verifier tells them apart, and answers `unknown_ca` where
/// it would otherwise find a bad signature.
fn append_key_ids(builder: &mut X509Builder, issuer: Option<&X509Ref>) -> Result<(), ErrorStack> {
    let subject_id = SubjectKeyIdentifier::new().build(&builder.x509v3_context(issuer, None))?;
    builder.append_extension(&subject_id)?;
    let issuer_id = AuthorityKeyIdentifier::new()
        .keyid(true)
        .build(&builder.x509v3_context(issuer, None))?;
    builder.append_extension(&issuer_id)
}

/// Refuses what no certificate can have as its name (RFC 5280, appendix A: ub-common-name).
fn check_name(name: &str) -> Result<(), IdentityError> {
    match name.len() {
        1..=NAME_MAX_BYTES if !name.chars().any(char::is_control) => Ok(()),
        _ => Err(IdentityError::Refused(format!(
            "the name `{}` cannot stand in a certificate: 1 to {NAME_MAX_BYTES} bytes without control characters are \
             wanted",
            name.escape_debug()
        ))),
    }
}

fn common_name(name: &str) -> Result<X509Name, ErrorStack> {
    let mut builder = X509Name::builder()?;
    builder.append_entry_by_nid(Nid::COMMONNAME, name)?;
    Ok(builder.build())
}

fn generate_key() -> Result<PKey<Private>, ErrorStack> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1)?;
    PKey::from_ec_key(EcKey::generate(&group)?)
}

/// The time `offset_s` seconds from now.
pub(super) fn unix_time(offset_s: i64) -> Result<Asn1Time, ErrorStack> {
    // A clock before 1970 gives certificates of that time: they are then refused as not valid now.
    let now = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Asn1Time::from_unix(i64::try_from(now.as_secs()).unwrap_or(0) + offset_s)
}

#[cfg(test)]
#[path = "authority_tests.rs"]
mod tests;
