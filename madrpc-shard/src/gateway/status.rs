//! `GET /status.json`: the snapshot that `/metrics` is made of, as JSON for the page.
//!
//! All counts are since the start, so whoever shows rates takes the difference of two documents. It is bounded: the functions with the
//! most calls and the members that are worst off have entries of their own, and what is left is told in sums.

use super::failure::{failure, written};
use super::functions::{Calls, snapshot_bytes};
use super::routes::Served;
use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderValue, Response, StatusCode, header};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::stats::{OTHER_FUNCTIONS, Row, Snapshot, Upstream};
use madrpc_core::value::json::to_json;
use madrpc_core::value::{Value, ValueError, to_value};
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

/// Functions with an entry of their own.
const FUNCTIONS_MAX: usize = 100;

/// Members with one.
const MEMBERS_MAX: usize = 200;

/// Fields of a snapshot that are told in another way.
const RETOLD: [&str; 3] = ["rows", "upstreams", "script"];

/// What is told beside the snapshot's own fields.
#[derive(Serialize)]
struct Lists<'a> {
    version: &'static str,
    /// In hexadecimal: JavaScript's numbers are too small for it.
    script: String,
    functions: Vec<Function<'a>>,
    /// The worst first.
    members: Vec<Member<'a>>,
    /// How many of them there are, by how most of the shards see them.
    members_by_state: BTreeMap<&'a str, u64>,
}

#[derive(Serialize)]
struct Function<'a> {
    name: &'a str,
    calls: u64,
    /// By kind.
    errors: BTreeMap<&'a str, u64>,
    /// Pairs of microseconds and calls.
    latency_us: Vec<(u64, u64)>,
    cpu_us: u64,
}

#[derive(Serialize)]
struct Member<'a> {
    node: &'a str,
    state: &'a str,
    reason: &'a str,
    since_ms: u64,
    connected_shards: u16,
    functions: u64,
    under_way: u64,
    script: String,
}

/// Answers a request.
pub(super) async fn answer(State(served): State<Served>) -> Response<Body> {
    let Some(snapshot) = served.observer.snapshot().await else {
        return failure(&CallError::not_run(
            ErrorKind::Unavailable,
            "no shard answers",
        ));
    };
    let write = move |snapshot| document(snapshot).map(|document| to_json(&document));
    let bytes = snapshot_bytes(&snapshot);
    let text = served
        .bulk
        .run(bytes, move || write(Arc::unwrap_or_clone(snapshot)));
    let Some(Ok(text)) = text.await else {
        let error = "the status could not be written";
        return failure(&CallError::may_have_run(ErrorKind::Internal, error));
    };
    let mut response = written(StatusCode::OK, text);
    let no_store = HeaderValue::from_static("no-store");
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, no_store);
    response
}

fn document(mut snapshot: Snapshot) -> Result<Value, ValueError> {
    let rows = std::mem::take(&mut snapshot.rows);
    let upstreams = std::mem::take(&mut snapshot.upstreams);
    let (members, members_by_state) = members(&upstreams);
    let lists = to_value(&Lists {
        version: env!("CARGO_PKG_VERSION"),
        script: hex(snapshot.script),
        functions: functions(&rows),
        members,
        members_by_state,
    })?;
    let mut entries = fields(to_value(&snapshot)?);
    entries.retain(|(name, _)| !RETOLD.contains(&name.as_str()));
    entries.extend(fields(lists));
    Ok(Value::Object(entries))
}

fn fields(value: Value) -> Vec<(String, Value)> {
    match value {
        Value::Object(entries) => entries,
        _ => Vec::new(),
    }
}

fn functions(rows: &[Row]) -> Vec<Function<'_>> {
    let mut calls: BTreeMap<&str, u64> = BTreeMap::new();
    for row in rows {
        let sum = calls.entry(&row.function).or_default();
        *sum = sum.saturating_add(row.calls);
    }
    let mut most: Vec<(&str, u64)> = calls.into_iter().collect();
    // Of equal ones those that come first in the alphabet, as the order is stable.
    most.sort_by_key(|(_, calls)| Reverse(*calls));
    let kept: HashSet<&str> = most
        .iter()
        .take(FUNCTIONS_MAX)
        .map(|(name, _)| *name)
        .collect();
    let mut functions: BTreeMap<&str, Calls<'_>> = BTreeMap::new();
    for row in rows {
        let name = match kept.contains(row.function.as_str()) {
            true => &row.function,
            false => OTHER_FUNCTIONS,
        };
        functions.entry(name).or_default().add(row);
    }
    let functions = functions.into_iter().map(|(name, calls)| Function {
        name,
        calls: calls.calls,
        errors: calls.errors,
        latency_us: calls.latencies.into_iter().collect(),
        cpu_us: calls.cpu_us,
    });
    functions.collect()
}

fn members(upstreams: &[Upstream]) -> (Vec<Member<'_>>, BTreeMap<&str, u64>) {
    let mut by_state: BTreeMap<&str, u64> = BTreeMap::new();
    let mut members: Vec<Member<'_>> = Vec::with_capacity(upstreams.len());
    for upstream in upstreams {
        let state = upstream.state().unwrap_or_default();
        let count = by_state.entry(state).or_default();
        *count = count.saturating_add(1);
        members.push(Member {
            node: &upstream.node,
            state,
            reason: &upstream.reason,
            since_ms: upstream.since_ms,
            connected_shards: upstream.connected_shards,
            functions: upstream.functions,
            under_way: upstream.under_way,
            script: hex(upstream.script),
        });
    }
    members.sort_by_key(|member| (member.state == "up", member.reason.is_empty()));
    members.truncate(MEMBERS_MAX);
    (members, by_state)
}

fn hex(digest: u64) -> String {
    format!("{digest:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(node: &str, function: &str, calls: u64) -> Row {
        Row {
            node: node.into(),
            function: function.into(),
            calls,
            errors: vec![("JavaScript".into(), 1)],
            latency_us: vec![(9, calls)],
            latency_sum_us: 9,
            cpu_us: 5,
        }
    }

    #[test]
    fn functions_with_few_calls_are_told_together_and_none_is_lost() {
        let mut rows: Vec<Row> = (0..FUNCTIONS_MAX)
            .map(|number| row("a:1", &format!("f{number}"), 10))
            .collect();
        rows.push(row("a:1", "rare", 2));
        rows.push(row("b:1", "rarer", 1));
        rows.push(row("b:1", "f7", 3));
        let told = functions(&rows);
        assert_eq!(told.len(), FUNCTIONS_MAX + 1);
        let of = |name: &str| {
            let found = told.iter().find(|function| function.name == name);
            found.map(|function| (function.calls, function.errors["JavaScript"]))
        };
        assert_eq!(of("f7"), Some((13, 2)));
        assert_eq!(of(OTHER_FUNCTIONS), Some((3, 2)));
        assert_eq!(of("rare"), None);
    }

    #[test]
    fn members_that_are_worst_off_come_first_and_all_are_counted() {
        let seen = |node: usize, states: &[(&str, u16)]| Upstream {
            node: format!("n{node}:1"),
            states: states
                .iter()
                .map(|(state, shards)| ((*state).to_owned(), *shards))
                .collect(),
            ..Upstream::default()
        };
        let mut all: Vec<Upstream> = (0..MEMBERS_MAX)
            .map(|node| seen(node, &[("up", 2), ("down", 1)]))
            .collect();
        all.push(seen(1000, &[("up", 1), ("down", 2)]));
        let (members, by_state) = members(&all);
        assert_eq!(members.len(), MEMBERS_MAX);
        assert_eq!((members[0].node, members[0].state), ("n1000:1", "down"));
        assert_eq!(by_state, [("down", 1), ("up", 200)].into());
    }

    #[test]
    fn a_digest_is_told_whole() {
        let document = document(Snapshot {
            script: u64::MAX,
            ..Snapshot::default()
        });
        let text = to_json(&document.unwrap());
        assert!(text.contains(r#""script":"ffffffffffffffff""#), "{text}");
        assert_eq!(text.matches("\"script\"").count(), 1, "{text}");
    }
}
