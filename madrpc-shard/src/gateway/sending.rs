//! An answer on its way: its room is held until it is sent, and its connection knows when that is.

use super::connections::Place;
use super::room::Held;
use axum::body::Body;
use bytes::Bytes;
use hyper::body::{Frame, SizeHint};
use std::collections::VecDeque;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

/// What is handed over at a time. The connection asks for more once nearly all of it is written, and else would take an answer
/// whole and call it sent.
const PART_BYTES: usize = 32 * 1024;

/// The room that an answer has itself: an extension of the response.
pub(super) type Kept = Vec<Arc<Held>>;

/// The body of an answer.
pub(super) struct Sending {
    body: Body,
    /// What is left of what was last taken out of it.
    rest: Bytes,
    _kept: Kept,
    place: Rc<Place>,
}

impl Sending {
    pub(super) fn new(body: Body, kept: Kept, place: Rc<Place>) -> Self {
        Self {
            body,
            rest: Bytes::new(),
            _kept: kept,
            place,
        }
    }
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.place.has_said_all();
    }
}

impl hyper::body::Body for Sending {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        while self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(frame) => return Poll::Ready(Some(Ok(frame))),
                },
                end => return Poll::Ready(end),
            }
        }
        let part = self.rest.len().min(PART_BYTES);
        Poll::Ready(Some(Ok(Frame::data(self.rest.split_to(part)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut all = SizeHint::new();
        all.set_lower(body.lower().saturating_add(rest));
        if let Some(upper) = body.upper() {
            all.set_upper(upper.saturating_add(rest));
        }
        all
    }
}

/// A body of several parts.
pub(super) struct Parts(VecDeque<Bytes>);

impl Parts {
    /// A JSON array of what is written already; small items are put together.
    pub(super) fn of_list(items: Vec<String>) -> Self {
        let mut parts = VecDeque::new();
        let mut small = String::from("[");
        for (number, item) in items.into_iter().enumerate() {
            if number > 0 {
                small.push(',');
            }
            if small.len().saturating_add(item.len()) <= PART_BYTES {
                small.push_str(&item);
            } else {
                parts.push_back(std::mem::take(&mut small).into());
                parts.push_back(item.into());
            }
        }
        small.push(']');
        parts.push_back(small.into());
        Self(parts)
    }
}

impl hyper::body::Body for Parts {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        Poll::Ready(self.0.pop_front().map(|part| Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.0.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        let bytes = self.0.iter().map(|part| part.len() as u64);
        SizeHint::with_exact(bytes.fold(0, u64::saturating_add))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;
    use hyper::body::Body as _;

    #[test]
    fn a_list_is_sent_in_few_parts_and_whole() {
        let large = "a".repeat(PART_BYTES + 1);
        for items in [
            vec![],
            vec!["1".to_owned()],
            vec!["1".to_owned(); 1000],
            vec![large.clone(), "2".into(), "3".into(), large.clone(), large],
        ] {
            let expected = format!("[{}]", items.join(","));
            let parts = Parts::of_list(items);
            assert!(parts.0.len() < 10, "{}", parts.0.len());
            assert!(parts.0.iter().all(|part| !part.is_empty()));
            assert_eq!(parts.size_hint().exact(), Some(expected.len() as u64));
            let sent = futures_lite::future::block_on(parts.collect()).unwrap();
            assert_eq!(sent.to_bytes(), expected);
        }
    }
}
