//! The lines of a script around the place that an error names.

use std::fs;
use std::path::Path;

/// Lines before the place, and after it.
const AROUND: usize = 2;

/// Characters of a line that are shown, as many as a terminal of 80 has room for: a bundle may have all of its text in one.
const WIDTH_MAX: usize = 70;

/// The lines around the first place that a stack names, of a file below `dir`; none where there is no such file.
pub(crate) fn code_frame(stack: &str, dir: &Path) -> Vec<String> {
    let places = stack.lines().filter_map(place);
    let mut frames = places.filter_map(|(file, line, column)| {
        let path = Path::new(file);
        // Modules are told by their paths below the script's directory.
        let is_below = path.is_relative() && !file.contains("..");
        let text = fs::read_to_string(dir.join(path))
            .ok()
            .filter(|_| is_below)?;
        frame(&text, line, column)
    });
    frames.next().unwrap_or_default()
}

/// The file, the line and the column of `at f (file.js:3:7)` or `at file.js:3:7`.
fn place(frame: &str) -> Option<(&str, usize, usize)> {
    let frame = frame.trim().trim_end_matches(')');
    let (rest, column) = frame.rsplit_once(':')?;
    let (rest, line) = rest.rsplit_once(':')?;
    let file = rest.rsplit_once(" (").map_or(rest, |(_, file)| file);
    let file = file.strip_prefix("at ").unwrap_or(file);
    Some((file, line.parse().ok()?, column.parse().ok()?))
}

fn frame(text: &str, line: usize, column: usize) -> Option<Vec<String>> {
    let first = line.saturating_sub(AROUND).max(1);
    let last = line.saturating_add(AROUND);
    // There where the place is not to the left of what is shown.
    let left = column.saturating_sub(WIDTH_MAX / 2);
    let width = last.to_string().len();
    let mut shown = Vec::new();
    let mut is_there = false;
    // What is missing at the end of a file is missed after its last line.
    let end = text.split_inclusive('\n').count() + 1;
    let lines = text.lines().chain((line == end).then_some(""));
    for (number, text) in (1..).zip(lines).skip(first.saturating_sub(1)) {
        if number > last {
            break;
        }
        let mark = if number == line { '>' } else { ' ' };
        let part: String = text.chars().skip(left).take(WIDTH_MAX).collect();
        let part = part.replace('\t', " ");
        shown.push(
            format!("{mark} {number:width$} | {part}")
                .trim_end()
                .to_owned(),
        );
        if number == line {
            is_there = true;
            let before = column.saturating_sub(left).saturating_sub(1);
            shown.push(format!("  {:width$} | {:before$}^", "", ""));
        }
    }
    is_there.then_some(shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lines_around_the_first_place_of_the_script_are_shown() {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("a.js"), "one();\n\ttwo(\n3);\n4;\n5;\n").unwrap();
        let stack = "at native (native)\n    at f (a.js:2:2)\n    at b.js:1:1";
        let expected = [
            "  1 | one();",
            "> 2 |  two(",
            "    |  ^",
            "  3 | 3);",
            "  4 | 4;",
        ];
        assert_eq!(code_frame(stack, dir.path()), expected);
        let at_end = code_frame("at a.js:6:1", dir.path());
        assert_eq!(at_end, ["  4 | 4;", "  5 | 5;", "> 6 |", "    | ^"]);
        for none in [
            "",
            "at a.js:7:1",
            "at ../a.js:1:1",
            "at /etc/passwd:1:1",
            "at c.js:1:1",
        ] {
            assert_eq!(code_frame(none, dir.path()), [""; 0], "{none}");
        }
    }

    #[test]
    fn of_a_long_line_the_part_around_the_place_is_shown() {
        let text = format!("{}here();{}", " ".repeat(5000), "x".repeat(5000));
        let shown = frame(&text, 1, 5001).unwrap();
        assert!(shown[0].contains("here();xxx"), "{}", shown[0]);
        assert!(shown[0].len() < 120);
        let at = shown[1].find('^').unwrap();
        assert_eq!(&shown[0][at..at + 4], "here");
    }
}
