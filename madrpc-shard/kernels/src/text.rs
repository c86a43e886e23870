//! The text of a kernel, and where in its script it is.

use crate::abi::Place;
use crate::limits::MAX_TEXT_BYTES;
use crate::refused::{Reason, Refused};
use std::sync::Arc;

/// The text, and where it starts in its script.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) text: Arc<str>,
    pub(crate) start: Place,
}

impl Text {
    /// # Errors
    /// A text that is too long.
    pub(crate) fn new(text: &str, start: Place) -> Result<Self, Refused> {
        if text.len() > MAX_TEXT_BYTES {
            return Err(Refused {
                reason: Reason::TooLarge,
                place: start,
                what: format!(
                    "a kernel of {} bytes of text; the most is {MAX_TEXT_BYTES}",
                    text.len()
                ),
                remedy: "split it into several, and capture those".to_owned(),
            });
        }
        let text = Self {
            text: text.into(),
            start,
        };
        Ok(text)
    }

    /// Where an offset is in the script.
    pub(crate) fn place(&self, offset: u32) -> Place {
        let before = self.text.get(..offset as usize).unwrap_or(&self.text);
        let (lines, last) = match before.rfind('\n') {
            None => (0, before),
            Some(end) => (before.matches('\n').count(), &before[end + 1..]),
        };
        let columns = u32::try_from(last.chars().count()).unwrap_or(u32::MAX);
        let lines = u32::try_from(lines).unwrap_or(u32::MAX);
        let first = if lines == 0 { self.start.column } else { 1 };
        Place {
            file: Arc::clone(&self.start.file),
            line: self.start.line.saturating_add(lines),
            column: first.saturating_add(columns),
        }
    }

    pub(crate) fn refuse(
        &self,
        reason: Reason,
        offset: u32,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Refused {
        Refused {
            reason,
            place: self.place(offset),
            what: what.into(),
            remedy: remedy.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_has_its_place_in_the_script() {
        let start = Place {
            file: "a.js".into(),
            line: 10,
            column: 5,
        };
        let text = Text::new("one\nä two", start).unwrap();
        assert_eq!(text.place(1).to_string(), "a.js:10:6");
        assert_eq!(text.place(7).to_string(), "a.js:11:3");
        assert_eq!(text.place(9999).to_string(), "a.js:11:6");
    }
}
