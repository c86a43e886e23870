//! Modules, the console and the isolation of calls, by the command `madrpc` and its log.
//!
//! Setup: a node of one shard as a process, in a directory of its own with a script of several files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use support::process::{Home, free_port, stderr};

const MAIN: &str = "
import { greet } from './lib/greet.js';
madrpc.register('greet', ({ name }) => { console.warn('greeting', { name }); return greet(name); });
madrpc.register('poison', () => { 'use strict'; Array.prototype.map = () => ['poisoned']; });
madrpc.register('map', (list) => list.map((n) => n + 1));
madrpc.register('late', async () => (await import('./lib/unread.js')).default);
";

const GREET: &str = "
export const greet = (name) => {
  if (name === '') throw new RangeError('nobody to greet');
  return `hello, ${name}`;
};
";

fn home() -> Home {
    let home = Home::new();
    std::fs::create_dir_all(home.path("lib")).unwrap();
    home.write("script.js", MAIN);
    home.write("lib/greet.js", GREET);
    home.write("lib/unread.js", "export default 1;");
    home
}

#[test]
fn a_script_of_several_files_speaks_to_the_log() {
    let home = home();
    let port = free_port();
    let mut node = home.node(port);
    let address = format!("127.0.0.1:{port}");
    let output = home.call(&[&address, "greet", "{\"name\": \"world\"}"]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "\"hello, world\"\n",
        "{}",
        stderr(&output)
    );
    node.wait_for("greeting { name: \"world\" }");
    let line = node
        .seen
        .lines()
        .find(|line| line.contains("greeting"))
        .unwrap();
    for words in ["WARN", "script", "greet", "call"] {
        assert!(line.contains(words), "{line}");
    }

    let output = home.call(&[&address, "greet", "{\"name\": \"\"}"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("lib/greet.js:3:"),
        "{}",
        stderr(&output)
    );

    let output = home.call(&[&address, "poison"]);
    assert_eq!(output.status.code(), Some(3), "{}", stderr(&output));
    for _ in 0..4 {
        let output = home.call(&[&address, "map", "[1, 2]"]);
        assert_eq!(
            String::from_utf8_lossy(&output.stdout).replace(char::is_whitespace, ""),
            "[2,3]"
        );
    }

    let output = home.call(&[&address, "late"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(
        stderr(&output).contains("while the script loaded"),
        "{}",
        stderr(&output)
    );
}

#[test]
fn an_import_that_cannot_be_stops_the_start() {
    let home = home();
    for (source, words) in [
        (
            "import '../secret.js';",
            "\"../secret.js\" in script.js: it cannot be found",
        ),
        (
            "import '/etc/hostname';",
            "\"/etc/hostname\" in script.js: an absolute path",
        ),
        (
            "import 'https://example.com/x.js';",
            "a URL cannot be imported",
        ),
        (
            "import 'lodash';",
            "\"lodash\" in script.js: there is no package lodash in ",
        ),
        ("import './lib/broken.js';", "lib/broken.js:2:"),
    ] {
        home.write("script.js", source);
        home.write("lib/broken.js", "\nlet = ;");
        let bind = format!("127.0.0.1:{}", free_port());
        let output = home.run(&["node", "-s", "script.js", "-b", &bind]);
        assert_ne!(output.status.code(), Some(0), "{source}");
        assert!(
            stderr(&output).contains(words),
            "{source}: {}",
            stderr(&output)
        );
    }
}
