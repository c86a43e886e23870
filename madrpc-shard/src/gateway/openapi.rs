//! `GET /openapi.json`: what can be called, as an OpenAPI 3.1 document.
//!
//! JavaScript says nothing of types, so arguments and results are any JSON; names, options and errors are what there is to tell.

use super::access::Caller;
use super::failure::{failure, written};
use super::routes::Served;
use axum::Extension;
use axum::body::Body;
use axum::extract::State;
use axum::http::{Response, StatusCode};
use madrpc_core::call::catalog::{Catalog, FUNCTIONS, FunctionOptions};
use madrpc_core::call::{CallError, ErrorKind};
use madrpc_core::value::json::to_json;
use madrpc_core::value::{Value, from_value};
use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

/// About what it takes to tell one function.
const FUNCTION_BYTES: usize = 1024;

/// Answers a request.
pub(super) async fn answer(
    State(served): State<Served>,
    Extension(caller): Extension<Arc<Caller>>,
) -> Response<Body> {
    let catalog = match catalog(&caller).await {
        Ok(catalog) => catalog,
        Err(error) => return failure(&error),
    };
    let bytes = catalog.functions.len().saturating_mul(FUNCTION_BYTES);
    let text = served
        .bulk
        .run(bytes, move || to_json(&document(&catalog)))
        .await;
    match text {
        Some(text) => written(StatusCode::OK, text),
        None => {
            let error = "the document could not be written";
            failure(&CallError::may_have_run(ErrorKind::Internal, error))
        }
    }
}

async fn catalog(caller: &Caller) -> Result<Catalog, CallError> {
    let reply = caller
        .client()?
        .prepare(FUNCTIONS)
        .send(Value::Undefined)
        .await?;
    from_value(reply.result).map_err(|error| {
        CallError::may_have_run(ErrorKind::Protocol, format!("the catalogue: {error}"))
    })
}

/// The document of a catalogue.
fn document(catalog: &Catalog) -> Value {
    // Nodes may have registered one name with different options: it is one path all the same.
    let mut functions: BTreeMap<&str, Vec<(&FunctionOptions, &[String])>> = BTreeMap::new();
    for entry in &catalog.functions {
        let found = functions.entry(&entry.name).or_default();
        found.push((&entry.options, &entry.nodes));
    }
    let paths = functions.into_iter().map(|(name, found)| {
        let path = format!("/call/{}", encoded(name));
        (path, Value::object([("post", operation(name, &found))]))
    });
    let info = Value::object([
        (
            "title",
            format!("madrpc {} {}", catalog.role, catalog.name)
                .as_str()
                .into(),
        ),
        ("version", env!("CARGO_PKG_VERSION").into()),
    ]);
    Value::object([
        ("openapi", "3.1.0".into()),
        ("info", info),
        ("paths", Value::Object(paths.collect())),
        ("components", components()),
        (
            "security",
            vec![
                Value::object([("token", Value::Array(vec![]))]),
                Value::Object(vec![]),
            ]
            .into(),
        ),
    ])
}

fn operation(name: &str, found: &[(&FunctionOptions, &[String])]) -> Value {
    let nodes: Vec<&str> = found
        .iter()
        .flat_map(|(_, nodes)| *nodes)
        .map(String::as_str)
        .collect();
    let is_idempotent = found.iter().all(|(options, _)| options.idempotent);
    let any = || {
        Value::object([(
            "application/json",
            Value::object([("schema", Value::Object(vec![]))]),
        )])
    };
    let body = Value::object([
        ("description", "the argument; none is undefined".into()),
        ("content", any()),
    ]);
    let either = {
        let schema = reference("#/components/schemas/Events");
        let events = Value::object([("schema", schema)]);
        let json = Value::object([("schema", Value::Object(vec![]))]);
        Value::object([("application/json", json), ("text/event-stream", events)])
    };
    let response = |description: &str, content: Value| {
        Value::object([("description", description.into()), ("content", content)])
    };
    let error = Value::object([(
        "application/json",
        Value::object([("schema", reference("#/components/schemas/Error"))]),
    )]);
    Value::object([
        ("operationId", name.into()),
        (
            "description",
            format!("Runs on {}.", nodes.join(", ")).as_str().into(),
        ),
        ("x-idempotent", is_idempotent.into()),
        (
            "parameters",
            vec![
                reference("#/components/parameters/Timeout"),
                reference("#/components/parameters/Key"),
                reference("#/components/parameters/Trace"),
            ]
            .into(),
        ),
        ("requestBody", body),
        (
            "responses",
            Value::object([
                ("200", response("the result, or what is yielded", either)),
                ("default", response("why there is none", error)),
            ]),
        ),
    ])
}

fn reference(to: &str) -> Value {
    Value::object([("$ref", to.into())])
}

fn components() -> Value {
    let typed = |kind: &str| Value::object([("type", kind.into())]);
    let header = |name: &str, description: &str| {
        Value::object([
            ("name", name.into()),
            ("in", "header".into()),
            ("description", description.into()),
            ("schema", typed("string")),
        ])
    };
    let kinds: Vec<Value> = ErrorKind::ALL
        .iter()
        .map(|kind| kind.name().into())
        .collect();
    let kind = Value::object([("type", "string".into()), ("enum", kinds.into())]);
    let details = Value::object([
        ("kind", kind),
        ("message", typed("string")),
        ("may_have_run", typed("boolean")),
        ("name", typed("string")),
        ("stack", typed("string")),
        ("value", Value::Object(vec![])),
        ("retry_after_ms", typed("integer")),
    ]);
    let required: Vec<Value> = ["kind", "message", "may_have_run"].map(Value::from).into();
    let error = Value::object([
        ("type", "object".into()),
        ("properties", details),
        ("required", required.into()),
    ]);
    let schema = Value::object([
        ("type", "object".into()),
        ("properties", Value::object([("error", error)])),
        ("required", vec![Value::from("error")].into()),
    ]);
    let events = Value::object([
        ("type", "string".into()),
        (
            "description",
            "Server-Sent Events, of a function that streams or any other: one without a name for each item, whose number is its \
             `id` and whose data is the item as JSON; then `result` with {\"result\", \"bill\"}, or `error` with {\"error\", \
             \"bill\"}"
                .into(),
        ),
    ]);
    let token = Value::object([("type", "http".into()), ("scheme", "bearer".into())]);
    let timeout = header(
        "Madrpc-Timeout",
        "the time until the deadline, as 200ms, 5s or 1m; 30s if left out",
    );
    let key = header(
        "Madrpc-Key",
        "calls of the same key go to the same node, where the orchestrator balances by keys",
    );
    let trace = header(
        "traceparent",
        "the trace that the call belongs to (W3C Trace Context)",
    );
    Value::object([
        (
            "schemas",
            Value::object([("Error", schema), ("Events", events)]),
        ),
        (
            "parameters",
            Value::object([("Timeout", timeout), ("Key", key), ("Trace", trace)]),
        ),
        ("securitySchemes", Value::object([("token", token)])),
    ])
}

/// A name as a path has it (RFC 3986, section 2.3).
fn encoded(name: &str) -> String {
    let mut path = String::with_capacity(name.len());
    for byte in name.bytes() {
        match byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            true => path.push(byte.into()),
            // Writing to a String cannot fail.
            false => drop(write!(path, "%{byte:02X}")),
        }
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::value::json::to_json;

    #[test]
    fn a_name_is_one_path_whatever_it_holds_and_whoever_has_it() {
        let mut catalog = Catalog::new("orchestrator", "o");
        let isolated = FunctionOptions {
            isolate: true,
            ..FunctionOptions::default()
        };
        catalog.add(
            "a:1",
            [("pay/é {x}".to_owned(), FunctionOptions::default())],
        );
        catalog.add("b:1", [("pay/é {x}".to_owned(), isolated)]);
        let document = to_json(&document(&catalog));
        let path = r#""/call/pay%2F%C3%A9%20%7Bx%7D":{"post":{"operationId":"pay/é {x}""#;
        assert_eq!(document.matches(path).count(), 1, "{document}");
        assert!(document.contains("Runs on a:1, b:1."), "{document}");
        assert_eq!(document.matches("text/event-stream").count(), 1);
    }
}
