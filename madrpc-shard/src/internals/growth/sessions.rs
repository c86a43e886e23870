//! Sessions that are real, of which there can be a few thousand.

use super::{Failure, Silent};
use crate::net::endpoint::{Endpoint, SessionKey};
use madrpc_core::call::frame::Header;
use std::time::Instant;

/// Sessions of one endpoint, whose handshakes go on.
pub struct Sessions {
    endpoint: Endpoint,
    keys: Vec<SessionKey>,
    now: Instant,
    _server: Silent,
}

impl Sessions {
    /// So many sessions.
    ///
    /// # Errors
    /// Where there can be none.
    pub fn new(sessions: usize) -> Result<Self, Failure> {
        let (server, now) = (Silent::new()?, Instant::now());
        let mut endpoint = server.endpoint(now)?;
        let mut keys = Vec::new();
        for _ in 0..sessions {
            keys.push(server.session(&mut endpoint, now)?);
        }
        let mut made = Self {
            endpoint,
            keys,
            now,
            _server: server,
        };
        made.turn();
        Ok(made)
    }

    /// Takes in that nothing has come, and sends what there is to say.
    pub fn turn(&mut self) {
        self.endpoint.receive(self.now);
        self.endpoint.flush(self.now);
    }

    /// There is something to say in this session.
    pub fn say(&mut self, session: usize) {
        if let Some(outbox) = self.endpoint.outbox(self.keys[session]) {
            outbox.send(&Header::Cancel { id: 1 }, &[]);
        }
    }

    /// Ends this session, and takes the turn in which it goes; says whether it was there.
    pub fn end(&mut self, session: usize) -> bool {
        self.endpoint.break_off(self.keys[session], "enough");
        self.turn();
        self.endpoint.next_ended().is_some()
    }
}
