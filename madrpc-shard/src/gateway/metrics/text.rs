//! The text format that Prometheus had before OpenMetrics (0.0.4), which people read and `promtool check metrics` knows.
//!
//! The lines are the same, but for the comments: there a family is called as its lines are, `_total` and `_info` included, an info is a
//! gauge, and units and the end are not told.

/// The suffix that lines of a family of this type have and its name has not.
fn suffix(kind: &str) -> &'static str {
    match kind {
        "counter" => "_total",
        "info" => "_info",
        _ => "",
    }
}

/// A text in OpenMetrics, in that format.
pub(super) fn from_open_metrics(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut help = None;
    for line in text.lines() {
        let mut words = line.splitn(4, ' ');
        match (words.next(), words.next(), words.next(), words.next()) {
            // What a family is called depends on its type, which comes behind.
            (Some("#"), Some("HELP"), Some(_), said) => help = said,
            (Some("#"), Some("TYPE"), Some(name), Some(kind)) => {
                let name = format!("{name}{}", suffix(kind));
                let kind = if kind == "info" { "gauge" } else { kind };
                let help = help.take().unwrap_or_default();
                out += &format!("# HELP {name} {help}\n# TYPE {name} {kind}\n");
            }
            (Some("#"), ..) => {}
            _ => {
                out += line;
                out.push('\n');
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::from_open_metrics;

    #[test]
    fn families_are_called_as_their_lines_are() {
        let open = "# HELP a Some calls.\n# TYPE a counter\na_total{f=\"# x\"} 1\n# HELP b_seconds Time.\n# TYPE b_seconds \
                    histogram\n# UNIT b_seconds seconds\nb_seconds_sum 1\n# HELP c It.\n# TYPE c info\nc_info{v=\"1\"} 1\n# EOF\n";
        let text = "# HELP a_total Some calls.\n# TYPE a_total counter\na_total{f=\"# x\"} 1\n# HELP b_seconds Time.\n# TYPE \
                    b_seconds histogram\nb_seconds_sum 1\n# HELP c_info It.\n# TYPE c_info gauge\nc_info{v=\"1\"} 1\n";
        assert_eq!(from_open_metrics(open), text);
    }
}
