//! Waiting for whatever comes first.

use std::future::poll_fn;
use std::task::Poll;

/// Ends at the first wake-up of the task, whatever it was for: put it first among the futures that are waited on.
///
/// What has happened shows in the next turn. Waited on further, the others would be polled again, and glommio keeps
/// one more waker for each poll of a socket's future: a sender that loses its core in the middle of waking us makes
/// its channel wake us over and over, and at 32,768 wakers glommio panics.
pub(crate) async fn any_wake() {
    let mut is_woken = false;
    poll_fn(|_| match std::mem::replace(&mut is_woken, true) {
        true => Poll::Ready(()),
        false => Poll::Pending,
    })
    .await;
}
