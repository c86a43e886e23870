//! Room: the memory that bodies, results and answers may take, of all requests together.

use madrpc_core::call::{CallError, ErrorKind};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Bytes of all of them together.
pub(super) const ROOM_BYTES: usize = 64 * 1024 * 1024;

/// What is told to come again, where there is none left.
const RETRY: Duration = Duration::from_secs(1);

/// What is left of it.
#[derive(Debug, Clone)]
pub(super) struct Room(Arc<Semaphore>);

/// Room that is taken; it is given back where this is dropped.
#[derive(Debug)]
pub(super) struct Held(OwnedSemaphorePermit);

impl Room {
    pub(super) fn new() -> Self {
        Self(Arc::new(Semaphore::new(ROOM_BYTES)))
    }

    /// Takes room, where there is as much.
    pub(super) fn take(&self, bytes: usize) -> Option<Held> {
        let bytes = u32::try_from(bytes).ok()?;
        let taken = Arc::clone(&self.0).try_acquire_many_owned(bytes);
        taken.ok().map(Held)
    }

    /// Takes room for what is better with it and does without, where half of all stays for others.
    pub(super) fn take_spare(&self, bytes: usize) -> Option<Held> {
        let left = self.0.available_permits().checked_sub(bytes)?;
        (left >= ROOM_BYTES / 2).then(|| self.take(bytes))?
    }

    /// Takes room for what a call that has run gave.
    ///
    /// # Errors
    /// `PayloadTooLarge` where there never is as much, `Overloaded` where there is none now.
    pub(super) fn take_for_result(&self, bytes: usize) -> Result<Held, CallError> {
        match bytes > ROOM_BYTES {
            true => Err(too_large()),
            false => self.take(bytes).ok_or_else(|| no_room(true)),
        }
    }
}

impl Held {
    /// Adds what was taken besides.
    pub(super) fn merge(&mut self, Self(more): Self) {
        self.0.merge(more);
    }

    /// Keeps so many bytes, of which `room` gives those that are not there.
    ///
    /// # Errors
    /// As [`Room::take_for_result`].
    pub(super) fn resize(mut self, bytes: usize, room: &Room) -> Result<Self, CallError> {
        let before = self.0.num_permits();
        match before.checked_sub(bytes) {
            Some(less) => drop(self.0.split(less)),
            None if bytes > ROOM_BYTES => return Err(too_large()),
            None => self.merge(room.take_for_result(bytes.saturating_sub(before))?),
        }
        Ok(self)
    }
}

/// There is none left.
pub(super) fn no_room(may_have_run: bool) -> CallError {
    let error =
        format!("the bodies and results of all HTTP requests take {ROOM_BYTES} bytes already");
    let error = CallError::not_run(ErrorKind::Overloaded, error);
    CallError {
        may_have_run,
        ..error.with_retry_after(RETRY)
    }
}

fn too_large() -> CallError {
    let error = format!("the result has more than {ROOM_BYTES} bytes");
    CallError::may_have_run(ErrorKind::PayloadTooLarge, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_all_there_is_and_comes_back() {
        let room = Room::new();
        let half = room.take(ROOM_BYTES / 2).unwrap();
        assert!(room.take(ROOM_BYTES / 2 + 1).is_none());
        let more = half.resize(ROOM_BYTES, &room).unwrap();
        let kind = |error: CallError| (error.kind, error.may_have_run);
        let error = room.take_for_result(1).unwrap_err();
        assert_eq!(kind(error), (ErrorKind::Overloaded, true));
        let error = room.take_for_result(ROOM_BYTES + 1).unwrap_err();
        assert_eq!(kind(error), (ErrorKind::PayloadTooLarge, true));
        let less = more.resize(1, &room).unwrap();
        assert!(room.take(ROOM_BYTES - 1).is_some() && room.take(ROOM_BYTES).is_none());
        let error = less.resize(ROOM_BYTES + 1, &room).unwrap_err();
        assert_eq!(kind(error), (ErrorKind::PayloadTooLarge, true));
        assert!(room.take(ROOM_BYTES).is_some());
        let spare = room.take_spare(ROOM_BYTES / 2).unwrap();
        assert!(room.take_spare(1).is_none() && room.take(1).is_some());
        drop(spare);
        assert!(room.take_spare(ROOM_BYTES + 1).is_none());
    }
}
