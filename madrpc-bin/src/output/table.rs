//! Tables for people, without anything that needs a terminal.

use super::printable;

/// Rows below their titles, aligned.
pub(crate) fn columns<const N: usize>(
    titles: [&str; N],
    rows: impl Iterator<Item = [String; N]>,
) -> String {
    let rows = rows.map(|row| row.map(|cell| printable(&cell).into_owned()));
    let rows: Vec<[String; N]> = std::iter::once(titles.map(str::to_owned))
        .chain(rows)
        .collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let line = |row: &[String; N]| {
        let cells = row.iter().zip(widths);
        let cells: Vec<String> = cells
            .map(|(cell, width)| format!("{cell:width$}"))
            .collect();
        cells.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_aligned_and_cannot_drive_a_terminal() {
        let rows = [["a", "-"], ["grüße\u{1b}[2J", "isolated"]];
        let text = columns(
            ["NAME", "OPTIONS"],
            rows.map(|row| row.map(str::to_owned)).into_iter(),
        );
        let expected = "\
NAME            OPTIONS
a               -
grüße\\u{1b}[2J  isolated";
        assert_eq!(text, expected);
    }
}
