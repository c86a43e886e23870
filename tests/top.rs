//! `madrpc top` at a terminal: panes, a filter and a lost connection, with and without colours.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

#[path = "support/mod.rs"]
mod support;

use nix::sys::signal::Signal;
use support::process::{Home, free_port};
use support::terminal::Terminal;

#[test]
fn top_shows_its_panes_and_survives_a_lost_server() {
    let home = Home::new();
    let port = free_port();
    let address = format!("127.0.0.1:{port}");
    let mut node = home.node(port);
    home.call(&[&address, "add", "[1, 2]"]);
    let mut top = Terminal::start(&home, &["top", &address], (80, 24), &[("NO_COLOR", "1")]);
    top.wait_for("FUNCTION");
    top.wait_for("add");
    // Only what has changed is written: these words are of another style than what stood there before.
    top.type_in("3");
    top.wait_for("[3 shards]");
    top.type_in("5");
    top.wait_for("received");
    home.call(&[&address, "fail"]);
    top.type_in("4");
    top.wait_for("LAST SEEN");
    top.type_in("/");
    top.wait_for("Enter keeps it");
    top.type_in("zz");
    top.wait_for("no error has the filter");
    top.type_in("\r");
    node.signal(Signal::SIGKILL);
    node.end();
    top.wait_for("! no answer for");
    let _node = home.node(port);
    top.wait_for("Esc shows all");
    top.type_in("q");
    assert_eq!(top.child.wait().unwrap().code(), Some(0));
    for colour in ["[30m", "[32m", "[38;5;", "[31m", "[33m", "[36m", "[38;2;"] {
        assert!(!top.all.contains(colour), "{:?}", top.all);
    }
    let mut small = Terminal::start(&home, &["top", &address], (30, 10), &[]);
    small.wait_for("40x12,");
}
