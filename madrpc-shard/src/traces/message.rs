//! Spans as OTLP has them, by OpenTelemetry's conventions for RPC.
//!
//! A call has one span at each server that it comes to, of the kind `SERVER`, and of the kind `CLIENT` one at the client, and one for each
//! try of an orchestrator's. What a call waited, and how long it had the core, are attributes and no spans of their own: a call has the core in
//! slices, between those of others.

use crate::net::traces::{Span, Work};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{self as otlp, ResourceSpans, ScopeSpans, Status};
use prost::Message;

/// Flags of a span that is in a trace which is recorded.
const SAMPLED: u32 = 1;

/// Whose spans they are.
pub(super) struct From(Resource);

impl From {
    pub(super) fn new(service: &str, instance: &str) -> Self {
        Self(Resource {
            attributes: vec![
                text("service.name", service),
                text("service.instance.id", instance),
                text("service.version", env!("CARGO_PKG_VERSION")),
            ],
            ..Resource::default()
        })
    }

    /// A batch, as it is sent.
    pub(super) fn batch(&self, spans: Vec<Span>) -> Vec<u8> {
        let scope = InstrumentationScope {
            name: "madrpc".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        };
        let spans = ScopeSpans {
            scope: Some(scope),
            spans: spans.into_iter().map(converted).collect(),
            ..ScopeSpans::default()
        };
        let batch = ResourceSpans {
            resource: Some(self.0.clone()),
            scope_spans: vec![spans],
            ..ResourceSpans::default()
        };
        ExportTraceServiceRequest {
            resource_spans: vec![batch],
        }
        .encode_to_vec()
    }
}

fn converted(span: Span) -> otlp::Span {
    let mut attributes = vec![
        text("rpc.system.name", "madrpc"),
        text("rpc.method", &span.function),
    ];
    let kind = match &span.work {
        Work::Called { address } => {
            attributes.extend(server(address));
            SpanKind::Client
        }
        Work::Run {
            queue_us,
            cpu_us,
            slices,
            shard,
        } => {
            attributes.extend([
                number("madrpc.queue_us", *queue_us),
                number("madrpc.cpu_us", *cpu_us),
                number("madrpc.slices", (*slices).into()),
                number("madrpc.shard", (*shard).into()),
            ]);
            SpanKind::Server
        }
        Work::PassedOn { tries } => {
            attributes.push(number("madrpc.tries", (*tries).into()));
            SpanKind::Server
        }
        Work::Try { node, number: at } => {
            attributes.push(number("madrpc.try", *at as u64));
            attributes.extend(server(node));
            SpanKind::Client
        }
    };
    let status = span.error.map(|error| {
        attributes.push(text("error.type", error.name()));
        Status {
            message: error.name().to_owned(),
            code: StatusCode::Error.into(),
        }
    });
    let parent = match span.parent {
        0 => Vec::new(),
        parent => parent.to_be_bytes().into(),
    };
    otlp::Span {
        trace_id: span.trace.to_be_bytes().into(),
        span_id: span.span.to_be_bytes().into(),
        parent_span_id: parent,
        flags: SAMPLED,
        name: span.function.into(),
        kind: kind.into(),
        start_time_unix_nano: span.begun,
        end_time_unix_nano: span.ended,
        attributes,
        status,
        ..otlp::Span::default()
    }
}

/// Who is called at an address, `HOST:PORT`; several have no port of theirs.
fn server(address: &str) -> Vec<KeyValue> {
    let one = address.rsplit_once(':').filter(|_| !address.contains(','));
    match one.and_then(|(host, port)| Some((host, port.parse().ok()?))) {
        Some((host, port)) => vec![text("server.address", host), number("server.port", port)],
        None => vec![text("server.address", address)],
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(
        key,
        Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)),
    )
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}
