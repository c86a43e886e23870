//! Requests to a server's HTTP, by raw sockets: what a client library would mend is seen as it is.

use super::process::{Home, Served, free_port};
use serde_json::Value;
use std::fs::Permissions;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;

/// No answer takes longer, on whatever machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// An answer.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    /// In small letters.
    pub headers: Vec<(String, String)>,
    pub body: String,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(one, _)| one == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The kind of the error that it tells of.
    pub fn kind(&self) -> String {
        self.json()["error"]["kind"].as_str().unwrap().to_owned()
    }
}

/// Sends bytes as they are; gives all that comes until the server closes.
pub fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = connect(address);
    stream.write_all(bytes).unwrap();
    let mut all = Vec::new();
    // A reset after an answer is an end too.
    let _ = stream.read_to_end(&mut all);
    String::from_utf8(all).unwrap()
}

pub fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

/// One request on a connection of its own; each header is `Name: value`.
pub fn request(address: SocketAddr, line: &str, headers: &[&str], body: &str) -> Answer {
    let mut text = format!("{line} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n");
    for header in headers {
        text += &format!("{header}\r\n");
    }
    if line.starts_with("POST") {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    parse(&raw(address, format!("{text}\r\n{body}").as_bytes()))
}

pub fn parse(text: &str) -> Answer {
    let (head, body) = text
        .split_once("\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer: {text:?}"));
    let mut lines = head.lines();
    let status = lines.next().unwrap().split(' ').nth(1).unwrap();
    let headers = lines.map(|line| {
        let (name, value) = line.split_once(": ").unwrap();
        (name.to_ascii_lowercase(), value.to_owned())
    });
    Answer {
        status: status.parse().unwrap(),
        headers: headers.collect(),
        body: body.to_owned(),
    }
}

pub fn get(address: SocketAddr, path: &str) -> Answer {
    request(address, &format!("GET {path}"), &[], "")
}

pub fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    request(address, &format!("POST {path}"), &[], body)
}

/// A node with HTTP; where it is called, and where it is asked.
pub fn node(home: &Home, more: &[&str]) -> (Served, String, SocketAddr) {
    let bind = format!("127.0.0.1:{}", free_port());
    let args = [
        "node",
        "-s",
        "script.js",
        "-b",
        &bind,
        "--shards",
        "1",
        "--http",
        "0",
    ];
    let served = home.serve(&[&args, more].concat());
    let http = address(&served);
    (served, bind, http)
}

/// An orchestrator of one node with HTTP, and where it is asked.
pub fn orchestrator(home: &Home, node: &str) -> (Served, SocketAddr) {
    let bind = format!("127.0.0.1:{}", free_port());
    let args = [
        "orchestrator",
        "-b",
        &bind,
        "-n",
        node,
        "--shards",
        "1",
        "--http",
        "0",
    ];
    let served = home.serve(&args);
    let http = address(&served);
    (served, http)
}

/// The file `tokens`, which nobody else may open.
pub fn tokens(home: &Home, text: &str) {
    let path = home.write("tokens", text);
    std::fs::set_permissions(path, Permissions::from_mode(0o600)).unwrap();
}

/// Where a server that has said that it is ready serves HTTP.
pub fn address(served: &Served) -> SocketAddr {
    let (_, told) = served.seen.rsplit_once("HTTP at ").unwrap();
    told.split_whitespace().next().unwrap().parse().unwrap()
}
