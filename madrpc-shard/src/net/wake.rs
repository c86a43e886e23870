//! Waiting for whatever comes first, without waiting on it too often.

use std::future::poll_fn;
use std::task::Poll;

/// Wake-ups after which a wait is begun anew.
const WAKES_MAX: u32 = 1000;

/// Ends after [`WAKES_MAX`] wake-ups of the task: put it first among the futures that are waited on.
///
/// glommio keeps one more waker for each poll of a socket's future, and panics at 32,768: a sender that loses its core
/// in the middle of waking us makes its channel wake us over and over. A single wake-up must not end the wait, as
/// giving up a socket's future wakes the task by itself, and the next wait would end at once.
pub(crate) async fn too_many_wakes() {
    let mut polls = 0;
    poll_fn(|_| {
        polls += 1;
        if polls > WAKES_MAX {
            return Poll::Ready(());
        }
        Poll::Pending
    })
    .await;
}
