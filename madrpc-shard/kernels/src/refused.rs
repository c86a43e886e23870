//! Why a text is no kernel, in one line.

use crate::abi::Place;
use std::fmt;

/// What kind of error it is for the script.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The text is not in the numeric subset: a `SyntaxError`.
    Syntax,
    /// Kinds that do not fit, of arguments or of values that meet: a `TypeError`.
    Type,
    /// It is larger than kernels may be: a `RangeError`.
    TooLarge,
    /// The machine does not give memory for code, or a thread for the parser: an internal error, and no fault of the script.
    System,
}

/// A kernel that is not made, and why. Displayed as one line: `pi.js:12:5: Math.random is not for kernels: pass a seed`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// What kind of error it is.
    pub reason: Reason,
    /// Where in the script.
    pub place: Place,
    /// What is wrong.
    pub what: String,
    /// What to write instead; empty if nothing can be said.
    pub remedy: String,
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.what)?;
        if !self.remedy.is_empty() {
            write!(f, ": {}", self.remedy)?;
        }
        Ok(())
    }
}

impl std::error::Error for Refused {}
