//! What a node says it can run: the body of a frame of functions.

use super::catalog::FunctionOptions;
use crate::limits::ANNOUNCEMENT_MAX_BYTES;
use crate::value::{Value, from_value, to_value};
use serde::{Deserialize, Serialize};

/// The functions of a node's script.
///
/// It travels as a value, so that options can be added: who does not know one overlooks it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Announcement {
    /// Each name with its options.
    pub functions: Vec<(String, FunctionOptions)>,
}

impl Announcement {
    /// As it travels; nothing where there are more functions than are read.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut body = Vec::new();
        // Strings, numbers and booleans: all of them can be values.
        match to_value(self) {
            Ok(value) if value.encode(&mut body, ANNOUNCEMENT_MAX_BYTES).is_ok() => body,
            _ => Vec::new(),
        }
    }

    /// What [`Announcement::encode`] gave; `None` where it is not that, or longer than is read.
    #[must_use]
    pub fn decode(body: &[u8]) -> Option<Self> {
        if body.len() > ANNOUNCEMENT_MAX_BYTES {
            return None;
        }
        from_value(Value::decode(body).ok()?).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_read_back_with_options_that_are_not_known() {
        let options = FunctionOptions {
            idempotent: true,
            ..FunctionOptions::default()
        };
        let announcement = Announcement {
            functions: vec![("f".into(), options), ("g".into(), Default::default())],
        };
        let body = announcement.encode();
        assert_eq!(Announcement::decode(&body), Some(announcement.clone()));

        let later = Value::object([("idempotent", true.into()), ("later", Value::Null)]);
        let later = Value::Array(vec![Value::Array(vec!["f".into(), later])]);
        let mut body = Vec::new();
        later.encode(&mut body, usize::MAX).unwrap();
        let read = Announcement::decode(&body).unwrap();
        assert_eq!(read.functions, announcement.functions[..1]);
        assert_eq!(Announcement::decode(b"nonsense"), None);
    }
}
