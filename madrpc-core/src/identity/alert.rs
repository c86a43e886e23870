//! Refused handshakes in words.
//!
//! Owns what a TLS alert means here, seen from either end; used where a closed connection is logged or shown.
//! QUIC carries an alert as the error code `0x100 + alert` (RFC 9001, section 4.8).

struct Alert {
    number: u8,
    /// The name in RFC 8446, section 6.
    name: &'static str,
    by_us: &'static str,
    by_peer: &'static str,
}

const ALERTS: [Alert; 13] = [
    Alert {
        number: 40,
        name: "handshake_failure",
        by_us: "the peer offers no cipher or key exchange that we accept",
        by_peer: "the peer accepts no cipher or key exchange that we offer",
    },
    Alert {
        number: 42,
        name: "bad_certificate",
        by_us: "the peer's certificate does not carry the name we asked for, or is damaged",
        by_peer: "our certificate does not carry the name the peer asked for, or is damaged",
    },
    Alert {
        number: 43,
        name: "unsupported_certificate",
        by_us: "the peer's certificate is not made for this use: one issued to a client cannot serve",
        by_peer: "our certificate is not made for this use: one issued to a client cannot serve",
    },
    Alert {
        number: 44,
        name: "certificate_revoked",
        by_us: "the peer's certificate is revoked",
        by_peer: "our certificate is revoked",
    },
    Alert {
        number: 45,
        name: "certificate_expired",
        by_us: "the peer's certificate has expired or is not valid yet: it needs a new one, or a clock is wrong",
        by_peer: "our certificate has expired or is not valid yet: issue a new one, or a clock is wrong",
    },
    Alert {
        number: 46,
        name: "certificate_unknown",
        by_us: "the peer's certificate cannot be accepted",
        by_peer: "the peer cannot accept our certificate",
    },
    Alert {
        number: 48,
        name: "unknown_ca",
        by_us: "the peer's certificate is not issued by the authority we trust: give both sides the same --tls-ca or MADRPC_TLS_DIR",
        by_peer: "our certificate is not issued by the authority the peer trusts: give both sides the same --tls-ca or MADRPC_TLS_DIR",
    },
    Alert {
        number: 49,
        name: "access_denied",
        by_us: "the peer's certificate is valid, but it may not connect here",
        by_peer: "our certificate is valid, but we may not connect there",
    },
    Alert {
        number: 51,
        name: "decrypt_error",
        by_us: "a signature of the peer is wrong: its key or certificate is not what it claims to be",
        by_peer: "the peer finds a signature of ours wrong: its authority did not sign our certificate",
    },
    Alert {
        number: 70,
        name: "protocol_version",
        by_us: "the peer does not speak TLS 1.3",
        by_peer: "the peer does not accept TLS 1.3",
    },
    Alert {
        number: 80,
        name: "internal_error",
        by_us: "our TLS library failed",
        by_peer: "the peer's TLS library failed",
    },
    Alert {
        number: 116,
        name: "certificate_required",
        by_us: "the peer sent no certificate, and we ask for one",
        by_peer: "the peer asks for a certificate, and we sent none",
    },
    Alert {
        number: 120,
        name: "no_application_protocol",
        by_us: "the peer speaks no version of madrpc that we speak",
        by_peer: "we speak no version of madrpc that the peer speaks",
    },
];

/// Why the peer refused our handshake, in words for a person.
///
/// `error` is `quiche::Connection::peer_error`; `None` where it is no TLS alert.
#[must_use]
pub fn refusal_by_peer(error: &quiche::ConnectionError) -> Option<String> {
    let number = alert_number(error)?;
    Some(match alert(number) {
        Some(alert) => format!("{} ({})", alert.by_peer, alert.name),
        None => format!("the peer refused our TLS handshake (alert {number})"),
    })
}

/// Why we refused the peer's handshake, in words for a person.
///
/// `error` is `quiche::Connection::local_error`; `None` where it is no TLS alert.
#[must_use]
pub fn refusal_by_us(error: &quiche::ConnectionError) -> Option<String> {
    let number = alert_number(error)?;
    Some(match alert(number) {
        Some(alert) => format!("{} ({})", alert.by_us, alert.name),
        None => format!("we refused the peer's TLS handshake (alert {number})"),
    })
}

fn alert_number(error: &quiche::ConnectionError) -> Option<u8> {
    let number = error.error_code.checked_sub(0x100)?;
    u8::try_from(number).ok().filter(|_| !error.is_app)
}

fn alert(number: u8) -> Option<&'static Alert> {
    ALERTS.iter().find(|alert| alert.number == number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn error(error_code: u64) -> quiche::ConnectionError {
        quiche::ConnectionError {
            is_app: false,
            error_code,
            reason: Vec::new(),
        }
    }

    #[test]
    fn both_ends_have_words_and_they_differ() {
        for alert in &ALERTS {
            let error = error(0x100 + u64::from(alert.number));
            let (ours, theirs) = (
                refusal_by_us(&error).unwrap(),
                refusal_by_peer(&error).unwrap(),
            );
            assert_ne!(ours, theirs);
            let name = format!("({})", alert.name);
            assert!(
                ours.ends_with(&name) && theirs.ends_with(&name),
                "{ours} / {theirs}"
            );
        }
        let required = error(0x174);
        assert_eq!(
            refusal_by_peer(&required).unwrap(),
            "the peer asks for a certificate, and we sent none (certificate_required)"
        );
    }

    #[test]
    fn only_alerts_are_described() {
        for code in [0, 0xff, 0x200, u64::MAX] {
            assert_eq!(refusal_by_us(&error(code)), None);
            assert_eq!(refusal_by_peer(&error(code)), None);
        }
        let mut of_the_application = error(0x130);
        of_the_application.is_app = true;
        assert_eq!(refusal_by_peer(&of_the_application), None);

        let unknown = error(0x1ff);
        assert_eq!(
            refusal_by_us(&unknown).unwrap(),
            "we refused the peer's TLS handshake (alert 255)"
        );
        assert_eq!(
            refusal_by_peer(&unknown).unwrap(),
            "the peer refused our TLS handshake (alert 255)"
        );
    }
}
