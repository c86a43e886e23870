//! The connection-ID rule: the first two bytes of an ID, modulo the number of shards, name the shard.
//!
//! Every ID that a shard issues keeps to the rule, so a datagram finds its shard without a table, in the kernel's
//! filter as well as here. The other bytes are random. A client's first ID is its own choice and falls anywhere.

/// Length of the IDs we issue.
pub const ID_BYTES: usize = 16;

/// The most shards that the two bytes can name without favouring the low ones noticeably.
pub const SHARDS_MAX: u16 = 1024;

/// The shard that a datagram with this destination ID belongs to; `None` for an ID too short to carry one.
#[must_use]
pub fn shard_of(id: &[u8], shards: u16) -> Option<u16> {
    let key = id.first_chunk::<2>()?;
    Some(u16::from_be_bytes(*key) % shards)
}

/// The destination ID in a datagram's first packet (RFC 9000, section 17), or `None` where there is none.
///
/// A short header does not tell the ID's length; it is taken to be one of ours.
#[must_use]
pub fn destination_of(datagram: &[u8]) -> Option<&[u8]> {
    let (first, rest) = datagram.split_first()?;
    if first & 0x80 == 0 {
        return rest.get(..ID_BYTES);
    }
    let length = usize::from(*datagram.get(5)?);
    datagram.get(6..6 + length)
}

/// What every version of QUIC has in a long header (RFC 8999, section 5.1): the version, the destination ID and the source
/// ID, of any length up to 255 bytes. `None` for a short header, or where the datagram ends before.
#[must_use]
pub fn long_header(datagram: &[u8]) -> Option<(u32, &[u8], &[u8])> {
    let (first, rest) = datagram.split_first()?;
    let (version, rest) = rest.split_first_chunk()?;
    let (length, rest) = rest.split_first()?;
    let (destination, rest) = rest.split_at_checked(usize::from(*length))?;
    let (length, rest) = rest.split_first()?;
    let source = rest.get(..usize::from(*length))?;
    (first & 0x80 != 0).then_some((u32::from_be_bytes(*version), destination, source))
}

/// An ID that leads to `shard`, made from random bytes.
///
/// `shard` is below `shards`, and `shards` is between 1 and [`SHARDS_MAX`].
#[must_use]
pub fn issue(mut random: [u8; ID_BYTES], shard: u16, shards: u16) -> [u8; ID_BYTES] {
    let key = u16::from_be_bytes([random[0], random[1]]);
    let rounded = key - key % shards;
    // The topmost multiple may leave no room for the shard's number: use the one below it.
    let key = match rounded.checked_add(shard) {
        Some(key) => key,
        None => rounded - shards + shard,
    };
    random[..2].copy_from_slice(&key.to_be_bytes());
    random
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Miri takes a thousand times as long: there, not every key has its turn.
    const KEY_STEP: usize = if cfg!(miri) { 1021 } else { 1 };

    #[test]
    fn an_issued_id_leads_back_for_every_key() {
        for shards in [1, 2, 3, 7, 64, 1000, SHARDS_MAX] {
            for shard in [0, shards / 2, shards - 1] {
                for key in (0..=u16::MAX).step_by(KEY_STEP) {
                    let mut random = [0xab; ID_BYTES];
                    random[..2].copy_from_slice(&key.to_be_bytes());
                    let id = issue(random, shard, shards);
                    assert_eq!(
                        shard_of(&id, shards),
                        Some(shard),
                        "key {key}, {shard} of {shards}"
                    );
                    assert_eq!(id[2..], random[2..]);
                }
            }
        }
    }

    #[test]
    fn the_destination_is_found_in_both_header_forms() {
        let mut short = vec![0x40];
        short.extend(1..=20);
        assert_eq!(destination_of(&short), Some(&short[1..17]));
        let long = [0xc0, 0, 0, 0, 1, 3, 7, 8, 9, 0];
        assert_eq!(destination_of(&long), Some(&[7, 8, 9][..]));
        for cut in 0..9 {
            assert_eq!(destination_of(&long[..cut]), None, "cut at {cut}");
        }
        assert_eq!(destination_of(&short[..16]), None);
    }

    #[test]
    fn a_long_header_is_read_whatever_the_version() {
        let long = [0xc0, 1, 2, 3, 4, 3, 7, 8, 9, 2, 5, 6, 99];
        let read = (0x0102_0304, &[7, 8, 9][..], &[5, 6][..]);
        assert_eq!(long_header(&long), Some(read));
        for cut in 0..12 {
            assert_eq!(long_header(&long[..cut]), None, "cut at {cut}");
        }
        assert_eq!(long_header(&[0x40; 30]), None);
    }

    #[test]
    fn a_short_id_names_no_shard() {
        assert_eq!(shard_of(&[], 4), None);
        assert_eq!(shard_of(&[1], 4), None);
        assert_eq!(shard_of(&[0, 5], 4), Some(1));
    }
}
