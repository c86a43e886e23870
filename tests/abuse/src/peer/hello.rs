//! ClientHellos by the thousand: one is taken from quiche, and sent again under other connection IDs.
//!
//! A server looks at a ClientHello's keys only once, so that they are the same each time is nothing to it.

use super::keys::Keys;
use super::packet::{Frames, InitialHeader, read_initial, read_varint};
use crate::error::AbuseError;
use std::net::{Ipv4Addr, SocketAddr};

/// The source connection ID of all hellos: the transport parameters in them repeat it.
pub(crate) const SOURCE_ID: [u8; 16] = [0x5c; 16];

/// A ClientHello, as the TLS library wrote it.
pub(crate) struct Hello(Vec<u8>);

impl Hello {
    /// The ClientHello of a client with this configuration.
    ///
    /// # Errors
    /// Where quiche sends something else first.
    pub(crate) fn of(config: &mut quiche::Config) -> Result<Self, AbuseError> {
        let first = [0x1d; 16];
        let nowhere = SocketAddr::from((Ipv4Addr::LOCALHOST, 1));
        let ids = [&SOURCE_ID, &first].map(|id| quiche::ConnectionId::from_ref(id));
        let name = Some(madrpc_core::identity::SERVER_NAME_ANY);
        let mut quic = quiche::connect_with_dcid(name, &ids[0], &ids[1], nowhere, nowhere, config)?;
        let mut keys = Keys::of_client(&first)?;
        let mut stream = Vec::new();
        let mut datagram = [0; 2048];
        while let Ok((length, _)) = quic.send(&mut datagram) {
            let datagram = &mut datagram[..length];
            let Some((number_at, end, _)) = read_initial(datagram) else {
                continue;
            };
            if let Some((_, payload)) = keys.open(&mut datagram[..end], number_at)? {
                collect(payload, &mut stream);
            }
        }
        // A handshake message begins with its type and its length in three bytes (RFC 8446, section 4).
        let length = stream.get(1..4).unwrap_or_default();
        let length = length
            .iter()
            .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
        match !stream.is_empty() && stream.len() == 4 + length {
            true => Ok(Self(stream)),
            false => Err(AbuseError::not_made("no ClientHello could be taken")),
        }
    }

    /// Bytes of TLS that are no ClientHello.
    pub(crate) fn garbage() -> Self {
        let mut bytes = vec![0x01, 0x00, 0x02, 0x00];
        bytes.resize(4 + 0x200, 0xa5);
        Self(bytes)
    }

    /// The datagrams of the hello, numbered from `number`.
    pub(crate) fn datagrams(
        &self,
        header: &InitialHeader<'_>,
        mut number: u32,
    ) -> Result<Vec<Vec<u8>>, AbuseError> {
        // A frame's type, its offset and its length.
        const FRAME_BYTES: usize = 1 + 4 + 4;
        let mut keys = Keys::of_client(header.destination)?;
        let room = header.room() - FRAME_BYTES;
        let mut datagrams = Vec::new();
        for (at, chunk) in self.0.chunks(room).enumerate() {
            let mut frames = Frames::default();
            frames.crypto((at * room) as u64, chunk);
            datagrams.push(header.seal(&mut keys, number, &frames)?);
            number += 1;
        }
        Ok(datagrams)
    }
}

/// Puts the CRYPTO frames of a payload where they belong in the stream.
fn collect(mut payload: &[u8], stream: &mut Vec<u8>) {
    while let Some((&kind, rest)) = payload.split_first() {
        payload = rest;
        match kind {
            // PADDING and PING.
            0x00 | 0x01 => {}
            0x06 => {
                let numbers = [read_varint(&mut payload), read_varint(&mut payload)];
                let [Some(offset), Some(length)] = numbers.map(|number| number.map(|n| n as usize))
                else {
                    return;
                };
                let Some(data) = payload.get(..length) else {
                    return;
                };
                stream.resize(stream.len().max(offset + length), 0);
                stream[offset..offset + length].copy_from_slice(data);
                payload = &payload[length..];
            }
            _ => return,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_taken_whole_and_sent_in_two_datagrams() {
        let mut config = quiche::Config::new(quiche::PROTOCOL_VERSION).unwrap();
        config.set_application_protos(&[b"x"]).unwrap();
        let hello = Hello::of(&mut config).unwrap();
        assert_eq!(hello.0[0], 1, "a ClientHello");
        let header = InitialHeader {
            destination: &[7; 16],
            source: &SOURCE_ID,
            token: &[],
        };
        let datagrams = hello.datagrams(&header, 0).unwrap();
        let mut stream = Vec::new();
        let mut keys = Keys::of_client(&[7; 16]).unwrap();
        for mut datagram in datagrams {
            let (number_at, end, _) = read_initial(&datagram).unwrap();
            let opened = keys.open(&mut datagram[..end], number_at).unwrap();
            collect(opened.unwrap().1, &mut stream);
        }
        assert_eq!(stream, hello.0);
    }
}
