//! HTTP clients that are slow, greedy or no HTTP clients at all: they get an error or lose their place, others are answered, and a
//! caller by QUIC notices nothing.
//!
//! Setup: a node as a process, raw sockets, and `madrpc bench` beside them, of whose calls none may fail.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};
use support::http::{connect, get, node, parse, post, raw, request, tokens};
use support::process::{Home, Served, stdout};

/// Connections that a server has at a time.
const PLACES: usize = 512;

/// Bytes of a body that are taken.
const BODY_MAX_BYTES: usize = 8 << 20;

/// Calls by QUIC for as long as this test does what it does.
struct Beside(Child);

impl Beside {
    fn start(home: &Home, bind: &str) -> Self {
        let mut command = home.command(&[
            "bench",
            bind,
            "echo",
            "1",
            "--rate",
            "200",
            "--duration",
            "4s",
            "--warm-up",
            "0s",
            "--json",
            "--fail-above",
            "errors=0",
        ]);
        Self(command.stdout(Stdio::piped()).spawn().unwrap())
    }

    /// Waits for its end: not one call has failed.
    fn ends_well(self) {
        let output = self.0.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let told: serde_json::Value = serde_json::from_str(&stdout(&output)).unwrap();
        assert!(told["results"].as_u64().unwrap() > 100, "{told}");
    }
}

/// Others are answered. (On a machine that is far too slow, the session of HTTP's own client may have to be opened anew.)
fn is_well(http: SocketAddr) {
    assert_eq!(get(http, "/healthz").body, "ok\n");
    let end = Instant::now() + Duration::from_secs(20);
    let mut answer = post(http, "/call/add", "[1, 2]");
    while answer.status == 503 && Instant::now() < end {
        answer = post(http, "/call/add", "[1, 2]");
    }
    assert_eq!(answer.body, "3");
}

/// Whether the server has ended a connection.
fn is_over(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let mut byte = [0; 1];
    match stream.read(&mut byte) {
        Ok(read) => read == 0,
        Err(error) => error.kind() != ErrorKind::WouldBlock,
    }
}

/// More connections than there are places, each with these bytes and no more.
fn crowd(http: SocketAddr, bytes: &[u8]) -> Vec<TcpStream> {
    let open = |_| {
        let mut stream = connect(http);
        // It may have lost its place already.
        let _ = stream.write_all(bytes);
        stream
    };
    (0..PLACES + 100).map(open).collect()
}

#[test]
fn slow_headers_and_half_bodies_cost_nobody_else_his_place() {
    let home = Home::new();
    let (_node, bind, http) = node(&home, &[]);
    let beside = Beside::start(&home, &bind);
    let half = format!("POST /call/add HTTP/1.1\r\nHost: {http}\r\nContent-Length: 100\r\n\r\n[1");
    for bytes in [b"".as_slice(), b"GET /healthz HT", half.as_bytes()] {
        let mut crowd = crowd(http, bytes);
        is_well(http);
        // Those who came first have gone for those who came last.
        let over = crowd
            .iter_mut()
            .filter_map(|stream| is_over(stream).then_some(()))
            .count();
        assert!((90..=200).contains(&over), "{over}");
        assert!(is_over(&mut crowd[0]) && !is_over(crowd.last_mut().unwrap()));
    }
    beside.ends_well();
}

#[test]
fn a_call_under_way_keeps_its_place_whoever_comes() {
    let home = Home::new();
    home.write(
        "script.js",
        "madrpc.register('echo', (value) => value); madrpc.register('add', ([a, b]) => a + b);
         madrpc.register('wait', (ms) => new Promise((done) => setTimeout(done, ms)));",
    );
    let (_node, bind, http) = node(&home, &[]);
    let beside = Beside::start(&home, &bind);
    let mut under_way = connect(http);
    let call =
        format!("POST /call/wait HTTP/1.1\r\nHost: {http}\r\nContent-Length: 5\r\n\r\n20000");
    under_way.write_all(call.as_bytes()).unwrap();
    while !get(http, "/metrics")
        .body
        .contains("madrpc_calls_under_way 1\n")
    {}
    // Ten thousand, of which the test's own limit of descriptors lets some hundred be open at a time.
    for _ in 0..16 {
        drop(crowd(http, b"GET / HTTP/1.1\r\n"));
    }
    // It is there, with an answer or without.
    under_way.set_nonblocking(true).unwrap();
    match under_way.read(&mut [0; 12]) {
        Ok(read) => assert_eq!(read, 12),
        Err(error) => assert_eq!(error.kind(), ErrorKind::WouldBlock),
    }
    drop(under_way);
    is_well(http);
    beside.ends_well();
}

#[test]
fn a_body_that_is_encoded_is_refused() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let body = "5\r\n[1,2]\r\n0\r\n\r\n";
    for (header, status) in [
        ("Transfer-Encoding: Chunked", 200),
        ("Transfer-Encoding: gzip, chunked", 415),
        ("Transfer-Encoding: chunked\r\nContent-Encoding: gzip", 415),
    ] {
        let text = format!(
            "POST /call/add HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n{header}\r\n\r\n{body}"
        );
        let answer = parse(&raw(http, text.as_bytes()));
        assert_eq!(answer.status, status, "{header}: {answer:?}");
        let told = (status == 415).then(|| answer.kind());
        assert_eq!(told.as_deref(), told.is_some().then_some("BadArguments"));
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let long = format!("X: {}", "a".repeat(100_000));
    assert_eq!(request(http, "GET /healthz", &[&long], "").status, 431);
    let many: Vec<String> = (0..100).map(|number| format!("X-{number}: 1")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    assert_eq!(request(http, "GET /healthz", &many, "").status, 431);
    let path = format!("GET /{}", "a".repeat(100_000));
    assert!([414, 431].contains(&request(http, &path, &[], "").status));
    // By its length, without a byte of it.
    let said = format!(
        "POST /call/echo HTTP/1.1\r\nHost: {http}\r\nContent-Length: {}\r\n\r\n",
        BODY_MAX_BYTES + 1
    );
    let answer = parse(&raw(http, said.as_bytes()));
    assert_eq!(
        (answer.status, answer.kind().as_str()),
        (413, "PayloadTooLarge")
    );
    // Not at all where nobody asks for one.
    let said = said.replace("/call/echo", "/healthz");
    assert_eq!(parse(&raw(http, said.as_bytes())).status, 405);
    // As it comes, and no further.
    let mut endless = connect(http);
    let head = format!("POST / HTTP/1.1\r\nHost: {http}\r\nTransfer-Encoding: chunked\r\n\r\n");
    endless.write_all(head.as_bytes()).unwrap();
    let chunk = format!("10000\r\n{}\r\n", "1".repeat(0x10000));
    let taken = (0..1000)
        .take_while(|_| endless.write_all(chunk.as_bytes()).is_ok())
        .count();
    // What lies in the buffers of two sockets besides.
    assert!((BODY_MAX_BYTES >> 16..600).contains(&taken), "{taken}");
    let largest = format!("\"{}\"", "a".repeat(BODY_MAX_BYTES - 2));
    assert_eq!(post(http, "/call/echo", &largest).body.len(), largest.len());
    is_well(http);
}

#[test]
fn what_is_no_http_is_told_so_and_forgotten() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let hello = [0x16, 3, 1, 2, 0, 1, 0, 1, 0xfc, 3, 3];
    for bytes in [
        b"\r\n\0\0\0\r\n\r\n".as_slice(),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET  /healthz\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12",
        b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        b"POST / HTTP/1.1\r\nTransfer-Encoding: gzip\r\n\r\n",
        &hello,
        &[0xff; 5000],
    ] {
        let mut stream = connect(http);
        stream.write_all(bytes).unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut told = Vec::new();
        let _ = stream.read_to_end(&mut told);
        let told = String::from_utf8(told).unwrap();
        assert!(
            told.is_empty() || told.starts_with("HTTP/1.1 4"),
            "{told} for {bytes:?}"
        );
    }
    is_well(http);
}

#[test]
fn requests_in_one_go_are_answered_in_their_order() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let mut all = String::new();
    for number in 0..1000 {
        let body = number.to_string();
        let close = if number == 999 {
            "Connection: close\r\n"
        } else {
            ""
        };
        all += &format!(
            "POST /call/echo HTTP/1.1\r\nHost: {http}\r\n{close}Content-Length: {}\r\n\r\n{body}",
            body.len()
        );
    }
    let told = raw(http, all.as_bytes());
    let bodies: Vec<&str> = told
        .split("HTTP/1.1 200 OK")
        .skip(1)
        .map(|one| one.split_once("\r\n\r\n").unwrap().1)
        .collect();
    let expected: Vec<String> = (0..1000).map(|number| number.to_string()).collect();
    assert_eq!(bodies, expected);
}

/// The most memory that a process has had, in MiB.
fn peak_mib(node: &Served) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.child.id())).unwrap();
    let mut lines = status.lines();
    let peak = lines.find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    let peak: u64 = peak.trim().trim_end_matches(" kB").parse().unwrap();
    peak >> 10
}

/// As large as a body may be, and many times as large as a value.
fn vast() -> String {
    let mut body = "[0],".repeat(BODY_MAX_BYTES / 4 - 1);
    body.insert(0, '[');
    body.pop();
    body + "]"
}

#[test]
fn bodies_of_clients_that_have_gone_hold_nothing_and_nobody_up() {
    let home = Home::new();
    let (node, _, http) = node(&home, &[]);
    let body = vast();
    let head = format!(
        "POST /call/nope HTTP/1.1\r\nHost: {http}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    for _ in 0..100 {
        let mut stream = connect(http);
        let _ = stream.write_all(head.as_bytes());
        let _ = stream.write_all(body.as_bytes());
        std::thread::sleep(Duration::from_millis(10));
    }
    is_well(http);
    // Of the thread beside, which has not read a hundred of them.
    let large = format!("\"{}\"", "a".repeat(1 << 20));
    let end = Instant::now() + Duration::from_secs(20);
    while post(http, "/call/echo", &large).status != 200 {
        assert!(Instant::now() < end, "there is no room");
    }
    // 800 MiB were sent. 64 MiB of bodies, twice as much while they grow, and one as a value.
    let peak = peak_mib(&node);
    assert!(peak < 400, "{peak} MiB");
}

#[test]
fn arguments_are_values_one_at_a_time() {
    let home = Home::new();
    let (node, _, http) = node(&home, &[]);
    let body = vast();
    std::thread::scope(|scope| {
        for _ in 0..7 {
            scope.spawn(|| {
                let answer = post(http, "/call/nope", &body);
                assert_eq!(answer.kind(), "NoSuchFunction");
            });
        }
    });
    let peak = peak_mib(&node);
    assert!(peak < 400, "{peak} MiB");
    is_well(http);
}

#[test]
fn results_without_room_are_errors_of_their_own() {
    let home = Home::new();
    home.write(
        "script.js",
        "const large = 'a'.repeat(1 << 20); madrpc.register('large', () => large);
         madrpc.register('add', ([a, b]) => a + b);",
    );
    let (node, _, http) = node(&home, &[]);
    let batch: Vec<String> = (0..1000)
        .map(|id| match id % 500 {
            0 => format!(r#"{{"jsonrpc":"2.0","method":"add","params":[1,2],"id":{id}}}"#),
            _ => format!(r#"{{"jsonrpc":"2.0","method":"large","id":{id}}}"#),
        })
        .collect();
    let answer = post(http, "/", &format!("[{}]", batch.join(",")));
    assert_eq!(answer.status, 200);
    let answers = answer.json();
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 1000);
    let mut results = 0;
    for (id, answer) in answers.iter().enumerate() {
        assert_eq!(answer["id"], id);
        match answer["result"].as_str() {
            Some(result) => {
                assert_eq!(result.len(), 1 << 20);
                results += 1;
            }
            None if answer["result"] == 3 => assert_eq!(id % 500, 0),
            None => {
                let error = &answer["error"];
                let told = (&error["code"], &error["data"]["may_have_run"]);
                assert_eq!(told, (&(-32009).into(), &true.into()), "{error}");
            }
        }
    }
    assert!((20..64).contains(&results), "{results}");
    let peak = peak_mib(&node);
    assert!(peak < 400, "{peak} MiB");
    is_well(http);
}

#[test]
fn calls_leave_places_for_whoever_asks_whether_it_is_well() {
    let home = Home::new();
    home.write(
        "script.js",
        "madrpc.register('wait', () => new Promise((done) => setTimeout(done, 3600000)));
         madrpc.register('add', ([a, b]) => a + b);",
    );
    tokens(
        &home,
        "first-token-0123456789 client:a\nother-token-0123456789 client:b\noperator-token-0123456789 operator:c\n",
    );
    let (_node, _, http) = node(&home, &["--http-tokens", "tokens"]);
    let mut under_way: Vec<TcpStream> = Vec::new();
    for (token, kept) in [("first", 256), ("other", 128)] {
        let call = format!(
            "POST /call/wait HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\nAuthorization: Bearer {token}-token-0123456789\r\nMadrpc-Timeout: 1h\r\nContent-Length: 0\r\n\r\n"
        );
        let mut calls = Vec::new();
        for _ in 0..kept + 20 {
            let mut stream = connect(http);
            stream.write_all(call.as_bytes()).unwrap();
            calls.push(stream);
        }
        // Those that are too many are told so, which need not be those that came last.
        let (status, of) = match token {
            "first" => (429, "client:a"),
            _ => (503, "too many"),
        };
        let end = Instant::now() + Duration::from_secs(20);
        while calls.len() > kept {
            assert!(Instant::now() < end, "{} of {kept} stay", calls.len());
            calls.retain_mut(|call| {
                let mut told = String::new();
                call.set_nonblocking(true).unwrap();
                if call.peek(&mut [0]).is_err() {
                    return true;
                }
                call.set_nonblocking(false).unwrap();
                call.read_to_string(&mut told).unwrap();
                let told = parse(&told);
                assert_eq!(
                    (told.status, told.header("retry-after")),
                    (status, Some("1")),
                    "{told:?}"
                );
                assert!(told.body.contains(of), "{told:?}");
                false
            });
        }
        under_way.extend(calls);
    }
    assert_eq!(get(http, "/healthz").body, "ok\n");
    let operator = "Authorization: Bearer operator-token-0123456789";
    assert_eq!(request(http, "GET /metrics", &[operator], "").status, 200);
    drop(crowd(http, b""));
    assert_eq!(get(http, "/readyz").status, 200);
    // Once they have gone there are places again.
    drop(under_way);
    let end = Instant::now() + Duration::from_secs(20);
    while request(http, "POST /call/add", &[operator], "[1, 2]").status != 200 {
        assert!(Instant::now() < end, "there is no place");
    }
}

#[test]
fn an_answer_on_its_way_keeps_its_place_whoever_comes() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let body = format!("\"{}\"", "a".repeat(7 << 20));
    let mut stream = connect(http);
    let head = format!(
        "POST /call/echo HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body.as_bytes()).unwrap();
    let mut told = vec![0; 1000];
    stream.read_exact(&mut told).unwrap();
    drop(crowd(http, b""));
    stream.read_to_end(&mut told).unwrap();
    assert_eq!(
        parse(&String::from_utf8(told).unwrap()).body.len(),
        body.len()
    );
}

#[test]
fn answers_that_nobody_takes_are_bounded() {
    let home = Home::new();
    let (node, bind, http) = node(&home, &[]);
    let beside = Beside::start(&home, &bind);
    let body = format!("\"{}\"", "a".repeat(6 << 20));
    let head = format!(
        "POST /call/echo HTTP/1.1\r\nHost: {http}\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    let unread: Vec<TcpStream> = (0..20)
        .map(|_| {
            let mut stream = connect(http);
            let _ = stream.write_all(head.as_bytes());
            let _ = stream.write_all(body.as_bytes());
            stream
        })
        .collect();
    is_well(http);
    beside.ends_well();
    let peak = peak_mib(&node);
    // 64 MiB of bodies, what a call of 6 MiB takes in the node, and the process itself; 20 of each would be far more.
    assert!(peak < 500, "{peak} MiB");
    drop(unread);
    // Once they have gone there is room again.
    let end = Instant::now() + Duration::from_secs(20);
    while post(http, "/call/echo", &body).status != 200 {
        assert!(Instant::now() < end, "there is no room");
    }
}
