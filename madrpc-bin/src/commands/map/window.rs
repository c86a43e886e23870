//! The lines between the first that is not done and the last that has been read: a bounded number of them, whatever the input has.
//!
//! In order, a result waits here until all before it are there. Else it is written at once, and only that its line is done is kept.

use std::collections::VecDeque;
use std::ops::RangeInclusive;

/// Lines that may be read beyond the first that is not done.
const LINES_MAX: usize = 1 << 16;

/// Bytes of results that may wait for those before them.
const BYTES_MAX: usize = 64 << 20;

/// A line that has been read.
struct Line {
    /// Bytes of the input up to its end.
    end: u64,
    state: State,
}

enum State {
    Open,
    /// Done; its result, where it has to wait for others.
    Done(Option<Vec<u8>>),
}

/// Where the input has been dealt with up to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Position {
    /// Lines that are all done.
    pub(super) lines: u64,
    /// Their bytes.
    pub(super) bytes: u64,
}

pub(super) struct Window {
    is_ordered: bool,
    done: Position,
    lines: VecDeque<Line>,
    waiting_bytes: usize,
}

impl Window {
    /// A window that begins after what is done.
    pub(super) fn new(is_ordered: bool, done: Position) -> Self {
        Self {
            is_ordered,
            done,
            lines: VecDeque::new(),
            waiting_bytes: 0,
        }
    }

    /// Whether another line may be read.
    pub(super) fn has_room(&self) -> bool {
        self.lines.len() < LINES_MAX && self.waiting_bytes < BYTES_MAX
    }

    pub(super) fn done(&self) -> Position {
        self.done
    }

    /// Lines that are done after one that is not, by their numbers, the first of the input being 1.
    pub(super) fn done_beyond(&self) -> Vec<RangeInclusive<u64>> {
        let mut ranges: Vec<RangeInclusive<u64>> = Vec::new();
        // Those that wait are not written, and have to be done again.
        let numbered = (self.done.lines.saturating_add(1)..).zip(&self.lines);
        for (number, line) in numbered {
            if !matches!(line.state, State::Done(None)) {
                continue;
            }
            match ranges.last_mut() {
                Some(last) if last.end().saturating_add(1) == number => {
                    *last = *last.start()..=number;
                }
                _ => ranges.push(number..=number),
            }
        }
        ranges
    }

    /// The next line of the input, which ends there, has been read; gives its number.
    pub(super) fn read(&mut self, end: u64) -> u64 {
        let state = State::Open;
        self.lines.push_back(Line { end, state });
        self.done.lines.saturating_add(self.lines.len() as u64)
    }

    /// The line of this number is done, with this result, or without one; hands out the results that can be written now.
    pub(super) fn finish(
        &mut self,
        number: u64,
        result: Option<Vec<u8>>,
        mut write: impl FnMut(&[u8]),
    ) {
        let place = number
            .checked_sub(self.done.lines)
            .and_then(|place| place.checked_sub(1));
        let Some(line) = place.and_then(|place| self.lines.get_mut(usize::try_from(place).ok()?))
        else {
            return;
        };
        match result {
            Some(result) if self.is_ordered => {
                self.waiting_bytes = self.waiting_bytes.saturating_add(result.len());
                line.state = State::Done(Some(result));
            }
            Some(result) => {
                write(&result);
                line.state = State::Done(None);
            }
            None => line.state = State::Done(None),
        }
        while let Some(Line {
            end,
            state: State::Done(_),
        }) = self.lines.front()
        {
            self.done.bytes = *end;
            self.done.lines = self.done.lines.saturating_add(1);
            if let Some(Line {
                state: State::Done(Some(result)),
                ..
            }) = self.lines.pop_front()
            {
                self.waiting_bytes = self.waiting_bytes.saturating_sub(result.len());
                write(&result);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn position(lines: u64, bytes: u64) -> Position {
        Position { lines, bytes }
    }

    fn finish(window: &mut Window, number: u64, result: Option<&str>) -> String {
        let mut written = String::new();
        let result = result.map(|result| result.as_bytes().to_vec());
        window.finish(number, result, |result| {
            written += std::str::from_utf8(result).unwrap();
        });
        written
    }

    #[test]
    fn in_order_results_wait_for_those_before_them() {
        let mut window = Window::new(true, position(10, 100));
        assert_eq!([110, 120, 130].map(|end| window.read(end)), [11, 12, 13]);
        assert_eq!(finish(&mut window, 12, Some("b")), "");
        assert_eq!(finish(&mut window, 13, None), "");
        assert_eq!(window.done(), position(10, 100));
        // One that waits has to be done again after a crash, one that has failed has not.
        assert_eq!(window.done_beyond(), [13..=13]);
        assert_eq!(finish(&mut window, 11, Some("a")), "ab");
        assert_eq!(window.done(), position(13, 130));
        assert_eq!(window.waiting_bytes, 0);
    }

    #[test]
    fn out_of_order_they_are_written_at_once_and_what_is_done_is_known() {
        let mut window = Window::new(false, Position::default());
        for end in 1..=6 {
            window.read(end);
        }
        for number in [2, 3, 6] {
            assert_eq!(finish(&mut window, number, Some("x")), "x");
        }
        assert_eq!(window.done(), position(0, 0));
        assert_eq!(window.done_beyond(), [2..=3, 6..=6]);
        assert_eq!(finish(&mut window, 1, Some("y")), "y");
        assert_eq!(window.done(), position(3, 3));
        assert_eq!(window.done_beyond(), [6..=6]);
    }

    #[test]
    fn it_is_bounded_in_lines_and_in_bytes() {
        let mut window = Window::new(true, Position::default());
        for end in 0..LINES_MAX as u64 {
            assert!(window.has_room());
            window.read(end);
        }
        assert!(!window.has_room());
        finish(&mut window, 1, None);
        assert!(window.has_room());
        window.finish(3, Some(vec![0; BYTES_MAX]), |_| {});
        assert!(!window.has_room());
        finish(&mut window, 2, Some("2"));
        assert!(window.has_room());
    }
}
