//! The abuse table, in Markdown.

use super::row::Row;
use crate::attack::By;

const MIB: f64 = (1u64 << 20) as f64;

/// The table of these rows, for each group of attackers one, in the order of the attacks.
#[must_use]
pub fn markdown(rows: &[Row]) -> String {
    let mut text = String::new();
    for (by, title) in [
        (By::Strangers, "Strangers, who have no certificate"),
        (By::Callers, "Callers, who have one"),
        (By::Nodes, "Nodes of the cluster"),
    ] {
        let of_group = crate::attacks().filter(|attack| attack.by == by);
        let lines: Vec<_> = of_group
            .filter_map(|attack| {
                let row = rows.iter().rev().find(|row| row.attack == attack.name)?;
                let bound = Row::memory_max(&attack.bounds) as f64 / MIB;
                Some(line(row, attack.what, bound))
            })
            .collect();
        if lines.is_empty() {
            continue;
        }
        text += &format!(
            "### {title}\n\n| attack | what is done | kept | p99 | memory, MiB: most / 10 s after / bound | log lines | | \
             what else was looked at |\n|---|---|---|---|---|---|---|---|\n"
        );
        text += &lines.concat();
        text.push('\n');
    }
    text
}

fn line(row: &Row, what: &str, bound: f64) -> String {
    let kept = row
        .kept()
        .filter(|_| row.is_quiet())
        .map(|kept| format!("{:.0} %", kept * 100.0));
    let p99 = row
        .p99_ratio()
        .filter(|_| row.is_quiet())
        .map(|ratio| format!("{ratio:.1} ×"));
    let or_dash = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let failed = row.failed.iter().map(|what| format!("**{what}**"));
    let notes: Vec<_> = failed.chain(row.held.iter().cloned()).collect();
    format!(
        "| `{}` | {what} | {} | {} | {:.0} / {:.0} / {bound:.0} | {} | {} | {} |\n",
        row.attack,
        or_dash(kept),
        or_dash(p99),
        row.grown_bytes as f64 / MIB,
        row.left_bytes as f64 / MIB,
        row.lines,
        if row.is_within() { "ok" } else { "**no**" },
        notes.join("; ").replace('|', "\\|"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_later_row_replaces_an_earlier_one() {
        let row = |lines| Row {
            attack: "junk".to_owned(),
            lines,
            ..Row::default()
        };
        let text = markdown(&[row(7), row(8)]);
        assert!(text.contains("| 8 | ok |"), "{text}");
        assert!(!text.contains("| 7 |"), "{text}");
        assert!(!text.contains("Callers"), "{text}");
    }
}
