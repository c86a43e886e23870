//! The errors that calls ended with: which, where, how many, and how long ago.

use super::warning;
use crate::commands::top::model::Model;
use crate::commands::top::screen::Screen;
use crate::commands::top::sheet::{Cell, Column, Sheet};
use ratatui::text::Line as TextLine;

/// An error as young as this stands out.
const RECENT_MS: u64 = 5_000;

const COLUMNS: [Column; 5] = {
    const fn column(title: &'static str, is_number: bool, dispensable: u8) -> Column {
        Column {
            title,
            is_number,
            dispensable,
        }
    }
    [
        column("LAST SEEN", false, 2),
        column("ERROR", false, 0),
        column("COUNT", true, 1),
        column("FUNCTION", false, 0),
        column("NODE", false, 3),
    ]
};

pub(super) fn sheet(model: &Model, screen: &Screen, width: usize) -> Sheet {
    let Some(snapshot) = model.latest() else {
        return Sheet::default();
    };
    let failures = model.failures().of(snapshot);
    let is_empty = failures.is_empty();
    let rows: Vec<[Cell; 5]> = failures
        .into_iter()
        .filter(|one| screen.lets_through(&[one.node, one.function, one.kind]))
        .map(|one| {
            let is_recent = one.ago_ms.is_some_and(|ago| ago <= RECENT_MS);
            let ago = match one.ago_ms {
                Some(ago) => format!("{} ago", seconds(ago)),
                None => "before".to_owned(),
            };
            let ago = match is_recent {
                true => Cell::new(format!("! {ago}")).styled(warning()),
                false => Cell::new(format!("  {ago}")),
            };
            let [kind, function, node] = [one.kind, one.function, one.node].map(Cell::new);
            [ago, kind, one.count.to_string().into(), function, node]
        })
        .collect();
    if rows.is_empty() {
        let text = match is_empty {
            true => "no errors",
            false => "no error has the filter in its name or place",
        };
        return Sheet::of_lines(vec![TextLine::from(text)]);
    }
    Sheet::of_cells(COLUMNS, &rows, width)
}

/// A time in its largest unit.
fn seconds(ms: u64) -> String {
    match ms / 1000 {
        seconds @ ..60 => format!("{seconds} s"),
        seconds @ 60..3600 => format!("{} min", seconds / 60),
        seconds => format!("{} h", seconds / 3600),
    }
}
