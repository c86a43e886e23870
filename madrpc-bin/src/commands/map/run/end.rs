//! How it ends, and what there is to say of it.

use super::Run;
use crate::exit::{Failure, Reason};
use std::time::Instant;

impl Run<'_> {
    pub(super) fn end(mut self, is_signalled: bool) -> Result<(), Failure> {
        self.save();
        self.progress.end(&self.told(), Instant::now());
        let is_done = self.is_done();
        if let Some(failure) = self.broken {
            return Err(failure);
        }
        let go_on = match self.args.checkpoint {
            Some(_) => "; started again, it goes on from there",
            None => "",
        };
        match self.failure {
            Some((number, error)) if !self.args.keep_going => Err(Failure::new(
                error.kind.into(),
                format!("line {number}: {error}{go_on}"),
            )),
            _ if is_signalled && !is_done => {
                let why = format!("ended by a signal after {} lines{go_on}", self.done);
                Err(Failure::new(Reason::Other, why))
            }
            Some((number, error)) => {
                let (failed, done) = (self.failed, self.done);
                let why =
                    format!("{failed} of {done} lines have failed, first line {number}: {error}");
                Err(Failure::new(error.kind.into(), why))
            }
            None if self.failed > 0 => {
                let why = format!(
                    "{} of {} lines have failed, in an earlier run",
                    self.failed, self.done
                );
                Err(Failure::new(Reason::Other, why))
            }
            None => Ok(()),
        }
    }
}
