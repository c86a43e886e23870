//! The command `madrpc` as a process: started in a directory of its own, watched, and killed at the end of the test.

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::io::{BufRead, BufReader, Read};
use std::net::UdpSocket;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const SCRIPT: &str = r#"
madrpc.register("echo", (value) => value);
madrpc.register("add", ([a, b]) => a + b);
madrpc.register("fail", () => { throw new TypeError("no good"); });
madrpc.register("spin", () => { for (;;) {} });
madrpc.register("work", (ms) => { const end = Date.now() + ms; while (Date.now() < end) {} return "done"; });
"#;

/// A directory with a script and an authority.
pub struct Home {
    pub dir: TempDir,
}

impl Home {
    pub fn new() -> Self {
        let home = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        home.write("script.js", SCRIPT);
        home
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::write(&path, text).unwrap();
        path
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_madrpc"));
        command
            .args(args)
            .current_dir(self.dir.path())
            .env("MADRPC_TLS_DIR", self.path("tls"))
            .env_remove("RUST_LOG")
            .stdin(Stdio::null());
        command
    }

    pub fn run(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    pub fn call(&self, args: &[&str]) -> Output {
        self.run(&[&["call"], args].concat())
    }

    /// Starts a server and waits until it says that it is ready.
    pub fn serve(&self, args: &[&str]) -> Served {
        let mut served = Served::start(&mut self.command(args));
        served.wait_for("ready");
        served
    }

    pub fn node(&self, port: u16) -> Served {
        let bind = format!("127.0.0.1:{port}");
        self.serve(&[
            "node",
            "-s",
            "script.js",
            "-b",
            &bind,
            "--shards",
            "1",
            "--pool-size",
            "2",
        ])
    }
}

/// A running process; killed at the end of the test.
pub struct Served {
    pub child: Child,
    lines: Receiver<String>,
    pub seen: String,
}

impl Served {
    /// Starts a process and watches what it prints.
    pub fn start(command: &mut Command) -> Self {
        let child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        Self::watch(child)
    }

    /// Watches what a process prints to those of its streams that are piped.
    pub fn watch(mut child: Child) -> Self {
        let (sender, lines) = channel();
        let stdout = child.stdout.take().map(|stream| Box::new(stream) as _);
        let stderr = child.stderr.take().map(|stream| Box::new(stream) as _);
        let streams: [Option<Box<dyn Read + Send>>; 2] = [stdout, stderr];
        for stream in streams.into_iter().flatten() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    let _ = sender.send(line);
                }
            });
        }
        Self {
            child,
            lines,
            seen: String::new(),
        }
    }

    /// Waits until the process logs a line with these words.
    pub fn wait_for(&mut self, words: &str) {
        if let Err(error) = self.says(words, Duration::from_secs(20)) {
            panic!("no `{words}` ({error}) in:\n{}", self.seen);
        }
    }

    /// Waits for so long until the process logs a line with these words, or ends.
    ///
    /// # Errors
    /// Whether it has ended, or it was too long.
    pub fn says(&mut self, words: &str, within: Duration) -> Result<(), RecvTimeoutError> {
        let end = Instant::now() + within;
        while !self.seen.contains(words) {
            let left = end.saturating_duration_since(Instant::now());
            self.seen += &(self.lines.recv_timeout(left)? + "\n");
        }
        Ok(())
    }

    pub fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.child.id().try_into().unwrap()), signal).unwrap();
    }

    /// Waits for the end of the process.
    pub fn end(&mut self) -> ExitStatus {
        let end = Instant::now() + Duration::from_secs(20);
        while Instant::now() < end {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end; it said:\n{}", self.seen);
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A port at which nobody listens. The system gives it to nobody who asks for any, as tests beside this one do.
pub fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Below what Linux takes by itself, 32,768 and up (ip(7), ip_local_port_range); each process begins elsewhere.
    let first = std::process::id().wrapping_mul(37) as u16;
    loop {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + first.wrapping_add(step) % 10_000;
        if UdpSocket::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}

pub fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// A refusal: one line that says so, no result, this exit code.
pub fn refused(output: &Output, code: i32, words: &[&str]) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(code), "{said}");
    assert_eq!(stdout(output), "");
    assert_eq!(said.trim_end().lines().count(), 1, "{said}");
    for word in words {
        assert!(said.contains(word), "no `{word}` in: {said}");
    }
    assert!(!said.contains("panicked"), "{said}");
}
