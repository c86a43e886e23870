//! The certificates of the peers of an endpoint's open sessions.

use madrpc_core::identity::PeerCertificate;
use madrpc_core::session::Goodbye;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::time::Instant;

/// Counts open sessions by the certificates that their peers have shown.
#[derive(Default)]
pub(super) struct Certificates(HashMap<[u8; 32], usize>);

impl Certificates {
    /// What a peer has shown. It is of our authority, or the handshake had not come to its end.
    ///
    /// # Errors
    /// Why the peer may not stay.
    pub(super) fn read(
        &self,
        der: Option<&[u8]>,
        now: Instant,
    ) -> Result<PeerCertificate, (Goodbye, String)> {
        let shown = der.and_then(|der| PeerCertificate::read(der, now));
        shown.filter(|shown| shown.role.is_some()).ok_or_else(|| {
            let reason = "the certificate names no role of madrpc: issue it by `madrpc tls issue`";
            (Goodbye::Unauthorized, reason.to_owned())
        })
    }

    /// One more session of this certificate, of which there may be so `many`.
    ///
    /// # Errors
    /// Where there are as many already; it counts all the same, until [`Certificates::remove`].
    pub(super) fn add(
        &mut self,
        fingerprint: [u8; 32],
        many: Option<usize>,
    ) -> Result<(), (Goodbye, String)> {
        let sessions = self.0.entry(fingerprint).or_default();
        *sessions += 1;
        match many {
            Some(many) if *sessions > many => {
                let reason = format!("{many} sessions of this certificate are open already");
                Err((Goodbye::Overloaded, reason))
            }
            _ => Ok(()),
        }
    }

    /// A session of this certificate is gone.
    pub(super) fn remove(&mut self, fingerprint: [u8; 32]) {
        if let Entry::Occupied(mut sessions) = self.0.entry(fingerprint) {
            *sessions.get_mut() -= 1;
            if *sessions.get() == 0 {
                sessions.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_certificate_has_so_many_sessions_and_others_have_theirs() {
        let mut certificates = Certificates::default();
        for _ in 0..3 {
            certificates.add([1; 32], Some(3)).unwrap();
        }
        let (goodbye, _) = certificates.add([1; 32], Some(3)).unwrap_err();
        assert_eq!(goodbye, Goodbye::Overloaded);
        certificates.add([2; 32], Some(3)).unwrap();
        for _ in 0..2 {
            certificates.remove([1; 32]);
        }
        certificates.add([1; 32], Some(3)).unwrap();
        for _ in 0..5 {
            certificates.remove([1; 32]);
            certificates.remove([2; 32]);
        }
        assert!(certificates.0.is_empty());
    }

    #[test]
    fn what_is_no_certificate_is_refused() {
        let certificates = Certificates::default();
        for der in [None, Some(&b"junk"[..])] {
            let (goodbye, _) = certificates.read(der, Instant::now()).unwrap_err();
            assert_eq!(goodbye, Goodbye::Unauthorized);
        }
    }
}
