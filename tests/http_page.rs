//! The page: its files, what a browser may do with them, and the document that it shows.
//!
//! Setup: a node and an orchestrator as processes, raw sockets; Chromium where it is installed.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "that is how a test fails"
)]

mod support;

use std::process::Command;
use support::http::{get, node, orchestrator, post, request, tokens};
use support::process::Home;

const SCRIPT: &str = "madrpc.register('add', ([a, b]) => a + b);
    madrpc.register('<b id=evil>x</b>', () => { throw new Error('no'); });";

/// A name that is no markup where it is shown as it is.
const EVIL: &str = "%3Cb%20id%3Devil%3Ex%3C%2Fb%3E";

#[test]
fn the_page_is_files_of_this_server_that_may_do_nothing_else() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let (_node, _, http) = node(&home, &[]);
    for (path, kind) in [
        ("/", "text/html; charset=utf-8"),
        ("/page/page.css", "text/css; charset=utf-8"),
        ("/page/page.js", "text/javascript; charset=utf-8"),
        ("/page/icon.svg", "image/svg+xml"),
    ] {
        let answer = get(http, path);
        assert_eq!(
            (answer.status, answer.header("content-type")),
            (200, Some(kind)),
            "{path}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"));
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'; "), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        for banned in ["innerHTML", "https://", " style=", "onclick"] {
            assert!(!answer.body.contains(banned), "{banned} in {path}");
        }
    }
    assert_eq!(get(http, "/page/mod.rs").status, 404);
    let call = r#"{"jsonrpc": "2.0", "method": "add", "params": [1, 2], "id": 1}"#;
    assert_eq!(post(http, "/", call).json()["result"], 3);
}

#[test]
fn the_status_is_what_has_been_counted() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let (_node, bind, http) = node(&home, &[]);
    let (_orchestrator, front) = orchestrator(&home, &bind);
    assert_eq!(post(front, "/call/add", "[1, 2]").body, "3");
    assert_eq!(post(front, &format!("/call/{EVIL}"), "").status, 500);
    for (http, role, members) in [(http, "node", 0), (front, "orchestrator", 1)] {
        let answer = get(http, "/status.json");
        assert_eq!(
            (answer.status, answer.header("cache-control")),
            (200, Some("no-store"))
        );
        let status = answer.json();
        assert_eq!(
            (&status["role"], &status["state"]),
            (&role.into(), &"serving".into())
        );
        let functions = status["functions"].as_array().unwrap();
        let of = |name: &str| {
            let mut all = functions.iter();
            all.find(|one| one["name"] == name).unwrap()
        };
        assert_eq!(of("add")["calls"], 1);
        assert!(of("add")["latency_us"][0][0].as_u64().unwrap() > 0);
        assert_eq!(of("<b id=evil>x</b>")["errors"]["JavaScript"], 1);
        let listed = status["members"].as_array().unwrap();
        assert_eq!(listed.len(), members);
        assert!(
            listed.iter().all(|member| member["state"] == "up"),
            "{status}"
        );
        for number in ["uptime_ms", "memory_max_bytes", "shards"] {
            assert!(status[number].as_u64().unwrap() > 0, "{number}");
        }
        assert!(status["rows"].is_null() && status["upstreams"].is_null());
    }
}

#[test]
fn the_page_is_for_everybody_and_what_it_shows_is_for_operators() {
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let text = "client-token-0123456789 client:a\noperator-token-0123456789 operator:b\n";
    tokens(&home, text);
    let (_node, _, http) = node(&home, &["--http-tokens", "tokens"]);
    for path in ["/", "/page/page.js"] {
        assert_eq!(get(http, path).status, 200, "{path}");
    }
    assert_eq!(post(http, "/", "[]").status, 401);
    assert_eq!(post(http, "/page/page.js", "").status, 401);
    assert_eq!(get(http, "/status.json").status, 401);
    for (token, status) in [
        ("client-token", 403),
        ("operator-token", 200),
        ("other", 401),
    ] {
        let header = format!("Authorization: Bearer {token}-0123456789");
        let answer = request(http, "GET /status.json", &[&header], "");
        assert_eq!(answer.status, status, "{token}");
    }
}

#[test]
fn a_browser_shows_names_as_text() {
    let browser = ["chromium", "chromium-browser", "google-chrome"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").output().is_ok());
    let Some(browser) = browser else {
        eprintln!("skipped: there is no chromium");
        return;
    };
    let home = Home::new();
    home.write("script.js", SCRIPT);
    let (_node, _, http) = node(&home, &[]);
    assert_eq!(post(http, "/call/add", "[1, 2]").status, 200);
    assert_eq!(post(http, &format!("/call/{EVIL}"), "").status, 500);
    let profile = tempfile::tempdir().unwrap();
    let output = Command::new(browser)
        .args([
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--virtual-time-budget=5000",
            "--dump-dom",
        ])
        .arg(format!("--user-data-dir={}", profile.path().display()))
        .arg(format!("http://{http}/"))
        .output()
        .unwrap();
    let dom = String::from_utf8_lossy(&output.stdout);
    assert!(dom.contains("<td>add</td>"), "{output:?}");
    assert!(dom.contains("&lt;b id=evil&gt;x&lt;/b&gt;"), "{dom}");
    assert!(!dom.contains("<b id"), "{dom}");
}
