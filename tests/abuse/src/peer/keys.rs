//! QUIC's packet protection (RFC 9001, section 5) with AES-128-GCM, for packets that quiche would never send.
//!
//! The keys of Initial packets follow from the connection ID, so anybody has them. Those of later packets are taken
//! from the log that TLS libraries keep for debugging.

use crate::error::AbuseError;
use boring::aead::{AeadCtx, Algorithm};
use boring::hash::MessageDigest;
use boring::hkdf::HkdfSuite;
use boring::symm::{Cipher, Crypter, Mode};

/// The salt of QUIC version 1 (RFC 9001, section 5.2).
const SALT: [u8; 20] = [
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17, 0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad,
    0xcc, 0xbb, 0x7f, 0x0a,
];

const KEY_BYTES: usize = 16;
const NONCE_BYTES: usize = 12;
const SECRET_BYTES: usize = 32;

/// Bytes that protection adds to a packet.
pub const TAG_BYTES: usize = 16;

/// Bytes of the packet numbers written here: always the longest form.
pub const NUMBER_BYTES: usize = 4;

/// One direction's protection.
pub struct Keys {
    aead: AeadCtx,
    nonce: [u8; NONCE_BYTES],
    mask: Crypter,
}

impl Keys {
    /// A client's protection of Initial packets, where its first destination ID is `first_id`.
    ///
    /// # Errors
    /// Where the TLS library fails.
    pub fn of_client(first_id: &[u8]) -> Result<Self, AbuseError> {
        let secret = HkdfSuite::new(MessageDigest::sha256()).extract(&SALT, first_id)?;
        Self::from_secret(&expand::<SECRET_BYTES>(&secret, "client in")?)
    }

    /// The protection that follows from a secret of TLS_AES_128_GCM_SHA256.
    ///
    /// # Errors
    /// Where the TLS library fails, or the secret is shorter than that cipher's.
    pub fn from_secret(secret: &[u8]) -> Result<Self, AbuseError> {
        let key: [u8; KEY_BYTES] = expand(secret, "quic key")?;
        let mask: [u8; KEY_BYTES] = expand(secret, "quic hp")?;
        let mut mask = Crypter::new(Cipher::aes_128_ecb(), Mode::Encrypt, &mask, None)?;
        mask.pad(false);
        Ok(Self {
            aead: AeadCtx::new_default_tag(&Algorithm::aes_128_gcm(), &key)?,
            nonce: expand(secret, "quic iv")?,
            mask,
        })
    }

    /// Protects a packet: `packet` holds header, packet number (of [`NUMBER_BYTES`] bytes, at `number_at`) and payload,
    /// and is left as it goes on the wire, [`TAG_BYTES`] longer.
    pub fn seal(
        &mut self,
        packet: &mut Vec<u8>,
        number_at: usize,
        number: u32,
    ) -> Result<(), AbuseError> {
        let payload_at = number_at + NUMBER_BYTES;
        let (header, payload) = packet.split_at_mut(payload_at);
        let mut tag = [0; TAG_BYTES];
        let nonce = self.nonce(u64::from(number));
        self.aead
            .seal_in_place_mut(&nonce, payload, &mut tag, header)?;
        packet.extend_from_slice(&tag);
        self.hide(packet, number_at, NUMBER_BYTES)
    }

    /// Takes the protection off a packet that ends with `packet`: its number and its payload. `None` where it is not
    /// protected by this.
    pub fn open<'a>(
        &mut self,
        packet: &'a mut [u8],
        number_at: usize,
    ) -> Result<Option<(u64, &'a [u8])>, AbuseError> {
        if packet.len() < number_at + NUMBER_BYTES + TAG_BYTES {
            return Ok(None);
        }
        let mask = self.mask(&packet[number_at + NUMBER_BYTES..])?;
        packet[0] ^= mask[0] & hidden_bits(packet[0]);
        let number_bytes = usize::from(packet[0] & 3) + 1;
        let mut number = 0;
        for (byte, mask) in packet[number_at..][..number_bytes]
            .iter_mut()
            .zip(&mask[1..])
        {
            *byte ^= mask;
            number = number << 8 | u64::from(*byte);
        }
        let (header, rest) = packet.split_at_mut(number_at + number_bytes);
        let (payload, tag) = rest.split_at_mut(rest.len() - TAG_BYTES);
        let nonce = self.nonce(number);
        let opened = self.aead.open_in_place_mut(&nonce, payload, tag, header);
        Ok(opened.is_ok().then_some((number, payload)))
    }

    fn nonce(&self, number: u64) -> [u8; NONCE_BYTES] {
        let mut nonce = self.nonce;
        for (byte, number) in nonce[4..].iter_mut().zip(number.to_be_bytes()) {
            *byte ^= number;
        }
        nonce
    }

    fn hide(
        &mut self,
        packet: &mut [u8],
        number_at: usize,
        number_bytes: usize,
    ) -> Result<(), AbuseError> {
        let mask = self.mask(&packet[number_at + NUMBER_BYTES..])?;
        packet[0] ^= mask[0] & hidden_bits(packet[0]);
        for (byte, mask) in packet[number_at..][..number_bytes]
            .iter_mut()
            .zip(&mask[1..])
        {
            *byte ^= mask;
        }
        Ok(())
    }

    /// The mask by a sample, the first 16 bytes from here (RFC 9001, section 5.4).
    fn mask(&mut self, sample: &[u8]) -> Result<[u8; 16], AbuseError> {
        let mut mask = [0; 32];
        self.mask.update(&sample[..16], &mut mask)?;
        let (mask, _) = mask.split_at(16);
        Ok(std::array::from_fn(|at| mask[at]))
    }
}

/// The bits of a first byte that are hidden: four of a long header's, five of a short one's.
fn hidden_bits(first: u8) -> u8 {
    if first & 0x80 == 0 { 0x1f } else { 0x0f }
}

/// HKDF-Expand-Label without a context (RFC 8446, section 7.1).
fn expand<const N: usize>(secret: &[u8], label: &str) -> Result<[u8; N], AbuseError> {
    let label = format!("tls13 {label}");
    let mut info = (N as u16).to_be_bytes().to_vec();
    info.push(label.len() as u8);
    info.extend_from_slice(label.as_bytes());
    info.push(0);
    let mut out = [0; N];
    HkdfSuite::new(MessageDigest::sha256()).expand(secret, &info, &mut out)?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 9001, appendix A.1.
    const FIRST_ID: [u8; 8] = [0x83, 0x94, 0xc8, 0xf0, 0x3e, 0x51, 0x57, 0x08];

    #[test]
    fn the_keys_are_those_of_the_specification() {
        let hkdf = HkdfSuite::new(MessageDigest::sha256());
        let secret = hkdf.extract(&SALT, &FIRST_ID).unwrap();
        let client: [u8; SECRET_BYTES] = expand(&secret, "client in").unwrap();
        assert_eq!(client[..4], [0xc0, 0x0c, 0xf1, 0x51]);
        let key: [u8; KEY_BYTES] = expand(&client, "quic key").unwrap();
        assert_eq!(key[..4], [0x1f, 0x36, 0x96, 0x13]);
        let nonce: [u8; NONCE_BYTES] = expand(&client, "quic iv").unwrap();
        assert_eq!(nonce[..4], [0xfa, 0x04, 0x4b, 0x2f]);
        let mask: [u8; KEY_BYTES] = expand(&client, "quic hp").unwrap();
        assert_eq!(mask[..4], [0x9f, 0x50, 0x44, 0x9e]);
    }

    #[test]
    fn what_is_sealed_is_opened_and_nothing_else() {
        let mut client = Keys::of_client(&FIRST_ID).unwrap();
        let mut other = Keys::of_client(&[1; 8]).unwrap();
        let mut plain = vec![0xc3; 20];
        plain.extend_from_slice(&7u32.to_be_bytes());
        plain.extend_from_slice(&[9; 100]);
        let mut packet = plain.clone();
        client.seal(&mut packet, 20, 7).unwrap();
        assert_eq!(packet.len(), plain.len() + TAG_BYTES);
        let mut copy = packet.clone();
        let (number, payload) = client.open(&mut copy, 20).unwrap().unwrap();
        assert_eq!((number, payload), (7, &[9; 100][..]));
        assert!(other.open(&mut packet.clone(), 20).unwrap().is_none());
        packet[60] ^= 1;
        assert!(client.open(&mut packet, 20).unwrap().is_none());
    }
}
