//! A collector of OTLP over HTTP, and what it has got.

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value::Value};
use prost::Message;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

/// How it answers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Answers {
    Well,
    /// With this status.
    With(u16),
    /// It reads and says nothing.
    Never,
}

/// A span, as it has come.
#[derive(Debug, Clone)]
pub struct Span {
    pub service: String,
    pub trace: String,
    pub id: String,
    /// Empty where there is none.
    pub parent: String,
    pub name: String,
    /// 2: SERVER, 3: CLIENT.
    pub kind: i32,
    pub begun: u64,
    pub ended: u64,
    pub attributes: Vec<(String, String)>,
    /// The code of its status, 2 where that is an error, and its words.
    pub status: (i32, String),
}

impl Span {
    pub fn attribute(&self, key: &str) -> &str {
        let found = self.attributes.iter().find(|(name, _)| name == key);
        found.map_or("", |(_, value)| value)
    }

    pub fn is_within(&self, outer: &Self) -> bool {
        outer.begun <= self.begun && self.begun <= self.ended && self.ended <= outer.ended
    }
}

pub struct Collector {
    pub url: String,
    spans: Receiver<Span>,
    seen: Vec<Span>,
}

impl Collector {
    pub fn start(answers: Answers) -> Self {
        Self::at(0, answers)
    }

    pub fn at(port: u16, answers: Answers) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (sender, spans) = channel();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let sender = sender.clone();
                std::thread::spawn(move || serve(stream, answers, &sender));
            }
        });
        Self {
            url,
            spans,
            seen: Vec::new(),
        }
    }

    /// Waits until there are at least so many spans that `is_wanted`, and a moment longer for what should not be there.
    pub fn wait(&mut self, count: usize, is_wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let found = self.seen.iter().filter(|span| is_wanted(span));
            let found: Vec<Span> = found.cloned().collect();
            if found.len() >= count {
                return found;
            }
            match self.spans.recv_timeout(left) {
                Ok(span) => self.seen.push(span),
                Err(_) => panic!("{} of {count} spans in {:#?}", found.len(), self.seen),
            }
        }
    }

    /// All that have come.
    pub fn all(&mut self) -> &[Span] {
        self.seen.extend(self.spans.try_iter());
        &self.seen
    }
}

fn serve(mut stream: TcpStream, answers: Answers, spans: &Sender<Span>) {
    let mut reader = BufReader::new(stream.try_clone().unwrap());
    let (mut length, mut line) = (0, String::new());
    let mut head = Vec::new();
    while reader.read_line(&mut line).is_ok_and(|bytes| bytes > 2) {
        head.push(line.trim_end().to_ascii_lowercase());
        line.clear();
    }
    if head.is_empty() {
        return;
    }
    assert_eq!(head[0], "post /v1/traces http/1.1");
    for line in &head {
        if let Some(text) = line.strip_prefix("content-length: ") {
            length = text.parse().unwrap();
        }
    }
    assert!(head.contains(&"content-type: application/x-protobuf".to_owned()));
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    let status = match answers {
        Answers::Well => 200,
        Answers::With(status) => status,
        Answers::Never => {
            std::thread::sleep(Duration::from_secs(60));
            return;
        }
    };
    let request = ExportTraceServiceRequest::decode(body.as_slice()).unwrap();
    let _ = write!(stream, "HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
    if status == 200 {
        read(request)
            .into_iter()
            .for_each(|span| drop(spans.send(span)));
    }
}

fn read(request: ExportTraceServiceRequest) -> Vec<Span> {
    let mut spans = Vec::new();
    for batch in request.resource_spans {
        let resource = attributes(&batch.resource.unwrap().attributes);
        let (_, service) = resource
            .into_iter()
            .find(|(key, _)| key == "service.name")
            .unwrap();
        let all = batch.scope_spans.into_iter().flat_map(|scope| scope.spans);
        spans.extend(all.map(|span| {
            let status = span.status.unwrap_or_default();
            Span {
                service: service.clone(),
                trace: hex(&span.trace_id),
                id: hex(&span.span_id),
                parent: hex(&span.parent_span_id),
                name: span.name,
                kind: span.kind,
                begun: span.start_time_unix_nano,
                ended: span.end_time_unix_nano,
                attributes: attributes(&span.attributes),
                status: (status.code, status.message),
            }
        }));
    }
    spans
}

fn attributes(attributes: &[KeyValue]) -> Vec<(String, String)> {
    let value = |one: &KeyValue| match one.value.as_ref().and_then(|any| any.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => panic!("{other:?}"),
    };
    attributes
        .iter()
        .map(|one| (one.key.clone(), value(one)))
        .collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
