//! The shards of the server: what each core was busy with.

use crate::commands::top::model::Model;
use crate::commands::top::shares::Shares;
use crate::commands::top::sheet::{Cell, Column, Sheet, bar};
use crate::commands::top::text::share;
use ratatui::text::Line as TextLine;

/// What the parts of a bar are drawn with: to be told apart without colours.
const MARKS: [char; 4] = ['#', '=', '~', '.'];

/// The bar has what is left of the width, within these.
const BAR: std::ops::RangeInclusive<usize> = 10..=60;

/// What the other columns take.
const OTHERS: usize = 68;

const COLUMNS: [Column; 9] = {
    const fn column(title: &'static str, is_number: bool, dispensable: u8) -> Column {
        Column {
            title,
            is_number,
            dispensable,
        }
    }
    [
        column("SHARD", true, 0),
        column("CORE", false, 1),
        column("# CALLS", true, 1),
        column("= NETWORK", true, 2),
        column("~ SPINS", true, 2),
        column(". IDLE", true, 2),
        column("SESSIONS", true, 5),
        column("UNDER WAY", true, 3),
        column("QUEUED", true, 4),
    ]
};

pub(super) fn sheet(model: &Model, width: usize) -> Sheet {
    let cores = model.cores();
    if cores.is_empty() {
        let text = "the server does not tell of its shards";
        let lines = model.latest().map(|_| TextLine::from(text));
        return Sheet::of_lines(lines.into_iter().collect());
    }
    let cells = width.saturating_sub(OTHERS).clamp(*BAR.start(), *BAR.end());
    let rows: Vec<[Cell; 9]> = cores
        .iter()
        .map(|(core, shares)| {
            let part = |part: fn(&Shares) -> f64| {
                shares
                    .as_ref()
                    .map_or_else(|| "-".to_owned(), |shares| share(part(shares)))
            };
            let drawn = shares.map_or_else(String::new, |shares| {
                let parts = [shares.calls, shares.network, shares.spinning, shares.idle];
                let parts: Vec<_> = MARKS.into_iter().zip(parts).collect();
                bar(&parts, cells)
            });
            [
                core.shard.to_string().into(),
                format!("[{drawn:cells$}]").into(),
                part(|shares| shares.calls).into(),
                part(|shares| shares.network).into(),
                part(|shares| shares.spinning).into(),
                part(|shares| shares.idle).into(),
                core.sessions.to_string().into(),
                core.under_way.to_string().into(),
                core.queued.to_string().into(),
            ]
        })
        .collect();
    Sheet::of_cells(COLUMNS, &rows, width)
}
