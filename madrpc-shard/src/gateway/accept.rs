//! What a client takes, by its `Accept` (RFC 9110, section 12.5.1).

use axum::http::{HeaderMap, header};

const EVENTS: &str = "text/event-stream";
const JSON: &str = "application/json";

/// Whether a client asks for events and would not rather have JSON. It has to name them: what takes anything is no reader of events.
pub(super) fn takes_events(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT).iter();
    let texts = values.filter_map(|value| value.to_str().ok());
    let (mut events, mut json, mut exactness) = (0, 0, 0);
    for (range, weight) in texts.flat_map(|text| text.split(',')).filter_map(weighed) {
        if range.eq_ignore_ascii_case(EVENTS) {
            events = weight;
        }
        // The range that says most counts.
        let exact = [
            range == "*/*",
            range.eq_ignore_ascii_case("application/*"),
            range.eq_ignore_ascii_case(JSON),
        ];
        let exact = exact.iter().rposition(|is_so| *is_so);
        if let Some(exact) = exact.filter(|exact| *exact >= exactness) {
            (json, exactness) = (weight, exact);
        }
    }
    events > 0 && events >= json
}

/// A range and its weight in thousandths; nothing where that is none.
fn weighed(range: &str) -> Option<(&str, u16)> {
    let mut parts = range.split(';').map(str::trim);
    let range = parts.next()?;
    let weight = parts.find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim()
            .eq_ignore_ascii_case("q")
            .then_some(value.trim())
    });
    let Some(weight) = weight else {
        return Some((range, 1000));
    };
    let (whole, part) = weight.split_once('.').unwrap_or((weight, ""));
    let is_number = part.len() <= 3 && part.bytes().all(|digit| digit.is_ascii_digit());
    let part: u16 = format!("{part:0<3}").parse().ok().filter(|_| is_number)?;
    match (whole, part) {
        ("0", part) => Some((range, part)),
        ("1", 0) => Some((range, 1000)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(lines: &[&str]) -> bool {
        let lines = lines
            .iter()
            .map(|line| (header::ACCEPT, line.parse().unwrap()));
        takes_events(&lines.collect())
    }

    #[test]
    fn events_are_for_those_who_ask_for_them_first() {
        for events in [
            &["text/event-stream"][..],
            &["Text/Event-Stream;charset=utf-8"],
            &["application/json, text/event-stream"],
            &["text/event-stream, */*;q=0.1"],
            &["application/json;q=0.5", "text/event-stream;q=0.6"],
            &["*/*;q=1, application/json;q=0.2, text/event-stream; Q=0.3"],
            &["text/event-stream;q=1.000"],
            &["application/json;q=0,text/event-stream;q=0.001"],
        ] {
            assert!(takes(events), "{events:?}");
        }
        for json in [
            &[][..],
            &["*/*"],
            &["text/*"],
            &["application/json"],
            &["text/event-stream;q=0"],
            &["text/event-stream;q=0.5, */*"],
            &["text/event-stream;q=0.5, application/*;q=0.6, */*;q=0.1"],
            &["text/event-stream;q=2"],
            &["text/event-stream;q=-1"],
            &["text/event-stream;q=0.0001"],
            &["text/event-stream;q=NaN"],
            &["text/event-streams"],
            &[",,;=,"],
        ] {
            assert!(!takes(json), "{json:?}");
        }
    }
}
