//! Who may come by HTTP: by tokens, from this machine, by TLS; and what is refused at the start.
//!
//! Setup: real processes, raw sockets, curl where there is TLS.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "that is how a test fails"
)]

mod support;

use nix::sys::signal::Signal;
use std::net::{SocketAddr, TcpListener};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use support::http::{address, get, node, parse, raw, request, tokens};
use support::process::{Home, Served, free_port, refused, stdout};

const CLIENT: &str = "Authorization: Bearer client-token-0123456789";
const OPERATOR: &str = "Authorization: Bearer operator-token-0123456789";

fn both_tokens(home: &Home) {
    tokens(
        home,
        "client-token-0123456789 client:billing\noperator-token-0123456789 operator:ann # on call\n",
    );
}

/// Asks again until it is so.
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(20);
    while !is_so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn nobody_comes_in_without_a_token_and_each_may_what_is_his() {
    let home = Home::new();
    both_tokens(&home);
    let more = [
        "--http-tokens",
        "tokens",
        "--allow",
        "add=client:billing",
        "--allow",
        "work=client:other,operator:*",
    ];
    let (_node, bind, http) = node(&home, &more);
    for path in ["/healthz", "/readyz"] {
        assert_eq!(get(http, path).status, 200, "{path}");
    }
    for headers in [
        &[][..],
        &["Authorization: Bearer client-token-012345678"],
        &["Authorization: Basic client-token-0123456789"],
        &["Authorization: Bearer"],
    ] {
        for line in [
            "POST /call/add",
            "POST /",
            "GET /metrics",
            "GET /openapi.json",
            "GET /nothing",
        ] {
            let answer = request(http, line, headers, "[1, 2]");
            assert_eq!(
                (answer.status, answer.header("www-authenticate")),
                (401, Some("Bearer")),
                "{line} {headers:?}"
            );
        }
    }
    let status = |line: &str, who: &str| request(http, line, &[who], "[1, 2]").status;
    assert_eq!(status("POST /call/add", CLIENT), 200);
    assert_eq!(status("POST /call/add", OPERATOR), 403);
    assert_eq!(status("POST /call/work", CLIENT), 403);
    assert_eq!(status("POST /call/work", OPERATOR), 200);
    assert_eq!(status("POST /call/echo", CLIENT), 200);
    assert_eq!(status("GET /metrics", CLIENT), 403);
    assert_eq!(status("GET /metrics", OPERATOR), 200);
    assert_eq!(status("GET /openapi.json", CLIENT), 200);
    let refused = request(
        http,
        "POST /",
        &[CLIENT],
        r#"{"jsonrpc":"2.0","method":"work","id":1}"#,
    )
    .json();
    assert_eq!(refused["error"]["code"], -32012);
    assert!(
        refused["error"]["message"]
            .as_str()
            .unwrap()
            .contains("client:billing"),
        "{refused}"
    );
    // What the gateway may, its certificate's other callers may not.
    assert_eq!(home.call(&[&bind, "add", "[1, 2]"]).status.code(), Some(6));
}

#[test]
fn tokens_are_read_again_and_what_is_wrong_with_them_changes_nothing() {
    let home = Home::new();
    both_tokens(&home);
    let (mut node, _, http) = node(&home, &["--http-tokens", "tokens"]);
    let status = |who: &str| request(http, "POST /call/add", &[who], "[1, 2]").status;
    assert_eq!(status(CLIENT), 200);
    tokens(&home, "short client:a\n");
    node.wait_for("what it said before holds");
    assert_eq!(status(CLIENT), 200);
    tokens(&home, "another-token-0123456789 client:new\n");
    until("the new token does not hold", || {
        status("Authorization: Bearer another-token-0123456789") == 200
    });
    assert_eq!((status(CLIENT), status(OPERATOR)), (401, 401));
    assert!(!node.seen.contains("0123456789"), "{}", node.seen);
}

/// The niceness of a process' thread.
fn niceness(node: &Served, name: &str) -> i32 {
    let tasks = std::fs::read_dir(format!("/proc/{}/task", node.child.id())).unwrap();
    let mut all =
        tasks.map(|task| std::fs::read_to_string(task.unwrap().path().join("stat")).unwrap());
    let stat = all
        .find(|stat| stat.contains(&format!("({name})")))
        .unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    // The 19th of them all (proc_pid_stat(5)); the first two are before.
    fields.split(' ').nth(16).unwrap().parse().unwrap()
}

#[test]
fn the_client_thread_does_not_stand_back_as_http_does() {
    let home = Home::new();
    tokens(&home, "# nobody yet\n");
    let (node, _, http) = node(&home, &["--http-tokens", "tokens"]);
    both_tokens(&home);
    until("the token does not hold", || {
        request(http, "POST /call/add", &[CLIENT], "[1, 2]").status == 200
    });
    let own = niceness(&node, "madrpc");
    assert!(niceness(&node, "http") > own);
    assert_eq!(niceness(&node, "madrpc-client"), own);
}

#[test]
fn calls_are_let_in_while_the_certificate_changes() {
    let home = Home::new();
    let issue = |dir: &str| {
        let output = home.run(&["tls", "issue", "node", dir, "--ca", "ca", "--out", dir]);
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    };
    home.run(&["tls", "init", "ca"]);
    issue("machine");
    let args = [
        "node",
        "-s",
        "script.js",
        "-b",
        "127.0.0.1:0",
        "--shards",
        "1",
        "--http",
        "0",
    ];
    let mut command = home.command(&[&args[..], &["--allow", "add=client:http"]].concat());
    command.env("MADRPC_TLS_DIR", home.path("machine/node"));
    let mut node = Served::start(&mut command);
    node.wait_for("ready");
    let http = address(&node);
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    let answer = request(http, "POST /call/add", &[], "[1, 2]");
                    assert_ne!(answer.status, 403, "{answer:?}");
                }
            });
        }
        for number in 0..10 {
            let next = format!("next-{number}");
            issue(&next);
            for file in ["cert.pem", "key.pem"] {
                let from = home.path(&next).join("node").join(file);
                std::fs::rename(from, home.path("machine/node").join(file)).unwrap();
            }
            node.signal(Signal::SIGHUP);
            node.wait_for("madrpc: reloaded: ");
        }
        is_over.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_page_in_a_browser_may_not_call() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let from = |header: &str| request(http, "POST /call/add", &[header], "[1, 2]");
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1"] {
        let answer = from(&format!("Origin: {origin}"));
        assert_eq!(
            (answer.status, answer.kind().as_str()),
            (403, "Unauthorized"),
            "{origin}"
        );
        assert!(answer.header("access-control-allow-origin").is_none());
    }
    assert_eq!(from(&format!("Origin: http://{http}")).status, 200);
    let preflight = request(
        http,
        "OPTIONS /call/add",
        &[
            "Origin: http://evil.example",
            "Access-Control-Request-Method: POST",
        ],
        "",
    );
    assert!(
        preflight.header("access-control-allow-origin").is_none(),
        "{preflight:?}"
    );
    // A name of somebody else's that leads here.
    for host in ["evil.example", "evil.example:80", "127.0.0.1.evil.example"] {
        for line in ["GET /metrics", "GET /openapi.json"] {
            let text = format!("{line} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
            assert_eq!(
                parse(&raw(http, text.as_bytes())).status,
                403,
                "{host} {line}"
            );
        }
    }
}

#[test]
fn whom_a_request_means_is_clear() {
    let home = Home::new();
    let (_node, _, http) = node(&home, &[]);
    let status = |line: &str, hosts: &[&[u8]]| {
        let mut text = format!("{line} HTTP/1.1\r\nConnection: close\r\n").into_bytes();
        for host in hosts {
            text.extend_from_slice(&[b"Host: ", *host, b"\r\n"].concat());
        }
        text.extend_from_slice(b"\r\n");
        parse(&raw(http, &text)).status
    };
    let own = http.to_string();
    let own = own.as_bytes();
    for line in ["GET /metrics", "GET /healthz", "GET /"] {
        assert_eq!(status(line, &[own]), 200);
        assert_eq!(status(line, &[own, b"evil.example"]), 400, "{line}");
        assert_eq!(status(line, &[b"evil.example\xe9"]), 400, "{line}");
    }
    assert_eq!(status("GET http://evil.example/metrics", &[own]), 403);
    let meant = format!("GET http://{http}/metrics");
    assert_eq!(status(&meant, &[b"evil.example"]), 200);
}

#[test]
fn what_does_not_fit_is_refused_at_the_start() {
    let home = Home::new();
    let holder = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = holder.local_addr().unwrap().to_string();
    let bind = format!("127.0.0.1:{}", free_port());
    let run = |more: &[&str]| {
        home.run(
            &[
                &["node", "-s", "script.js", "-b", &bind, "--shards", "1"],
                more,
            ]
            .concat(),
        )
    };
    refused(&run(&["--http", &taken]), 78, &[&taken, "in use", "--http"]);
    drop(holder);
    refused(&run(&["--http-tokens", "tokens"]), 2, &["--http"]);
    refused(&run(&["--http", "0.0.0.0:0"]), 78, &["--http-tokens"]);
    refused(
        &run(&["--http", "0.0.0.0:1", "--check"]),
        78,
        &["--http-tokens"],
    );
    refused(
        &run(&["--http", "0", "--http-tokens", "nowhere"]),
        78,
        &["nowhere"],
    );
    home.write("tokens", "client-token-0123456789 client:a\n");
    refused(
        &run(&["--http", "0", "--http-tokens", "tokens"]),
        78,
        &["chmod o= tokens"],
    );
    tokens(&home, "client-token-0123456789 node:a\n");
    refused(
        &run(&["--http", "0", "--http-tokens", "tokens"]),
        78,
        &["tokens:1: "],
    );
    refused(
        &run(&["--http", "0", "--http-tokens", "/dev/null"]),
        78,
        &["/dev/null"],
    );
    both_tokens(&home);
    refused(
        &run(&["--http", "192.0.2.1:80", "--http-tokens", "tokens"]),
        1,
        &["192.0.2.1:80", "--http"],
    );
}

#[test]
fn others_than_this_machine_come_by_tls() {
    let home = Home::new();
    both_tokens(&home);
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
        "0.0.0.0:0",
        "--http-tokens",
        "tokens",
    ];
    let node = home.serve(&args);
    let port = address(&node).port();
    let authority = home.path("tls/ca.pem");
    let name = "node.madrpc.internal";
    let curl = |authority: &std::path::Path| {
        Command::new("curl")
            .args(["-sS", "--max-time", "60", "--cacert"])
            .arg(authority)
            .args([
                "--resolve",
                &format!("{name}:{port}:127.0.0.1"),
                "-H",
                CLIENT,
                "-d",
                "[1, 2]",
            ])
            .arg(format!("https://{name}:{port}/call/add"))
            .output()
    };
    let Ok(output) = curl(&authority) else {
        return eprintln!("skipped: there is no curl");
    };
    assert_eq!(stdout(&output), "3", "{output:?}");
    // Nobody else's authority, and nothing in the clear.
    let other = Home::new();
    other.run(&["tls", "init", "ca"]);
    assert!(!curl(&other.path("ca/ca.pem")).unwrap().status.success());
    let plain = raw(
        SocketAddr::from(([127, 0, 0, 1], port)),
        b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert!(!plain.contains("200"), "{plain}");
}
