//! Text of others, as long as there is room for in a line.

use std::borrow::Cow;

/// What is shown of an entry of a file, a name or an address: longer than any that is one.
pub(crate) const ENTRY_MAX_BYTES: usize = 300;

/// The text, cut where it is longer than so many bytes; then it says how long it is.
pub(crate) fn shortened(text: &str, max_bytes: usize) -> Cow<'_, str> {
    if text.len() <= max_bytes {
        return text.into();
    }
    let (begin, rest) = text.split_at(text.floor_char_boundary(max_bytes));
    format!("{begin}… {} bytes more", rest.len()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters() {
        assert_eq!(shortened("grün … 漢", 13), "grün … 漢");
        assert_eq!(shortened("grün … 漢", 3), "gr… 11 bytes more");
        let text = "漢".repeat(10_000);
        let line = shortened(&text, 100);
        assert!(line.len() < 140 && line.ends_with("bytes more"), "{line}");
    }
}
