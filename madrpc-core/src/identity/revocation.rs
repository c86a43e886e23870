//! Certificates that are no longer to be trusted, by their serial numbers.

use std::collections::HashSet;
use std::fmt;

/// The longest serial number, in bytes (RFC 5280, section 4.1.2.2).
const SERIAL_MAX_BYTES: usize = 20;

/// The serial numbers of certificates whose owners are not let in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Revoked(HashSet<String>);

impl Revoked {
    /// From a text with a serial number on each line, in hexadecimal as `madrpc tls show` and OpenSSL write it; colons and what
    /// follows a `#` are left out.
    ///
    /// # Errors
    /// The number of the first line that holds none, and what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, (usize, String)> {
        let mut all = HashSet::new();
        for (number, line) in (1..).zip(text.lines()) {
            let serial = line.split('#').next().unwrap_or_default().trim();
            if serial.is_empty() {
                continue;
            }
            all.insert(plain(serial).ok_or_else(|| {
                let error =
                    "no serial number of a certificate: hexadecimal, as `madrpc tls show` says it";
                (number, error.to_owned())
            })?);
        }
        Ok(Self(all))
    }

    /// Whether this certificate is one of them; `serial` as in [`PeerCertificate`](super::PeerCertificate).
    #[must_use]
    pub fn contains(&self, serial: &str) -> bool {
        // Nobody is to pay for a list that is not there.
        !self.0.is_empty() && self.0.contains(serial)
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// How many there are, in words.
impl fmt::Display for Revoked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} revoked certificates", self.len())
    }
}

/// A serial number as it is compared: small digits, without colons and leading zeros.
fn plain(serial: &str) -> Option<String> {
    let digits = serial.strip_prefix("0x").unwrap_or(serial);
    let digits: String = digits.chars().filter(|one| *one != ':').collect();
    let digits = digits.trim_start_matches('0').to_ascii_lowercase();
    let is_serial = !digits.is_empty()
        && digits.len() <= 2 * SERIAL_MAX_BYTES
        && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_serial.then_some(digits)
}

/// The serial number of a certificate, as it is compared and shown.
pub(super) fn serial_of(bytes: &[u8]) -> String {
    let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    digits.trim_start_matches('0').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serials_are_read_as_people_and_tools_write_them() {
        let text = "# lost laptops\n0A:1b:2C # of web-3\r\n\n0xff01\n00ff02\n";
        let revoked = Revoked::parse(text).unwrap();
        assert_eq!((revoked.len(), revoked.is_empty()), (3, false));
        for serial in ["a1b2c", "ff01", "ff02"] {
            assert!(revoked.contains(serial), "{serial}");
        }
        assert!(!revoked.contains("ff03"));
        assert_eq!(serial_of(&[0, 0x0a, 0x1b, 0x2c]), "a1b2c");
        for (text, line) in [("ab\nweb-3\n", 2), ("0", 1), (&"a".repeat(41), 1)] {
            assert_eq!(Revoked::parse(text).unwrap_err().0, line, "{text}");
        }
        assert!(Revoked::parse("").unwrap().is_empty());
    }
}
