//! A frame, an error, a catalogue, a snapshot: what is read without looking any further.

use madrpc_core::call::catalog::Catalog;
use madrpc_core::call::frame::{self, FrameError, Header};
use madrpc_core::call::{Announcement, CallError, Fields};
use madrpc_core::limits::{HEADER_MAX_BYTES, INLINE_FRAME_MAX_BYTES};
use madrpc_core::stats::Snapshot;

/// A whole frame is read as it was written; a header is the same whether its body has come or not; what has come of a
/// frame is none yet, and not another one.
pub fn run(input: &[u8]) {
    let rest = frame::skip_nothing(input);
    match frame::read(rest, INLINE_FRAME_MAX_BYTES) {
        Ok(Some((read, used))) => {
            assert!((frame::PREFIX_BYTES..=rest.len()).contains(&used));
            // Nobody writes what he does not know.
            if read.header == Header::Unknown {
                return;
            }
            let content = &rest[frame::PREFIX_BYTES..used];
            let by_postcard = postcard::take_from_bytes(content);
            assert_eq!(by_postcard.map(|(header, _)| header), Ok(read.header));
            let mut again = Vec::new();
            frame::write_head(&mut again, &read.header, read.fields, read.body.len());
            again.extend_from_slice(&read.body);
            let (second, length) = frame::read(&again, usize::MAX).unwrap().unwrap();
            assert_eq!((second, length), (read, again.len()));
            // A header that is longer than any is read with its frame, and not without.
            let head = used - read.body.len();
            let is_whole = head <= frame::PREFIX_BYTES + HEADER_MAX_BYTES;
            if used == again.len() && is_whole {
                assert_eq!(frame::read_header(&rest[..used]), Ok(read.header));
            }
            for cut in [used - 1, used / 2] {
                assert_eq!(frame::read(&rest[..cut], INLINE_FRAME_MAX_BYTES), Ok(None));
            }
        }
        Ok(None) => {
            let announced = frame::announced(rest);
            assert!(announced.is_none_or(|bytes| rest.len() < frame::PREFIX_BYTES + bytes));
        }
        Err(FrameError::TooLong { announced, limit }) => assert!(announced > limit),
        Err(_) => {}
    }
    let fields = Fields(input);
    let (call, reply) = (fields.of_call(), fields.of_reply());
    let mut written = Vec::new();
    call.write(&mut written);
    assert_eq!(Fields(&written).of_call(), call);
    written.clear();
    reply.write(&mut written);
    assert_eq!(Fields(&written).of_reply(), reply);
    let _ = Announcement::decode(input);
    let error = CallError::from_body(input);
    let written = postcard::to_stdvec(&error).unwrap();
    assert_eq!(CallError::from_body(&written), error);
    let mut catalog = Catalog::new("orchestrator", "here");
    if catalog.add_answer("there", input).is_ok() {
        catalog.encode().unwrap();
    }
    if let Ok(snapshot) = postcard::from_bytes::<Snapshot>(input) {
        // What `top` makes of it.
        for row in &snapshot.rows {
            assert!(row.since(row).error_count() <= row.error_count());
            assert!(row.latency().quantile_us(0.5) <= row.latency().quantile_us(0.99));
        }
    }
}
