//! Node.js: JSON-RPC over HTTP/1.1, a kept-alive connection for each caller; with piscina's worker threads or without.

use super::closed_loop::{self, Caller};
use crate::child::ServeArguments;
use crate::cores;
use crate::figures::{FUNCTIONS, Figure, Load, Work};
use crate::outcome::Outcome;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::Request;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{CONTENT_TYPE, HOST};
use hyper_util::rt::TokioIo;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use tokio::net::TcpStream;

/// The Node.js package, as it is in the source tree.
const FILES: [(&str, &str); 5] = [
    ("package.json", include_str!("../../node/package.json")),
    ("functions.js", include_str!("../../node/functions.js")),
    ("programs.mjs", include_str!("../../node/programs.mjs")),
    ("server.js", include_str!("../../node/server.js")),
    ("worker.js", include_str!("../../node/worker.js")),
];

/// Puts the servers into `dir`; gives the version of Node.js, or why there is none.
pub(crate) fn prepare(dir: &Path) -> Outcome<Result<String, String>> {
    let node = dir.join("node");
    fs::create_dir_all(&node)?;
    for (name, text) in FILES {
        fs::write(node.join(name), text)?;
    }
    fs::write(dir.join("functions.js"), FUNCTIONS)?;
    let version = Command::new("node").arg("--version").output();
    Ok(match version {
        Ok(output) if output.status.success() => {
            Ok(String::from_utf8_lossy(&output.stdout).trim().into())
        }
        Ok(output) => Err(format!("node --version ends with {}", output.status)),
        Err(error) => Err(format!("node cannot be run: {error}")),
    })
}

/// Installs piscina; says why it cannot be had where it cannot.
pub(crate) fn install_piscina(dir: &Path) -> Result<(), String> {
    let output = Command::new("npm")
        .args(["install", "--silent", "--no-audit", "--no-fund"])
        .args(["--no-package-lock", "--no-update-notifier"])
        .current_dir(dir.join("node"))
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("npm cannot be run: {error}"))?;
    match output.status.success() {
        true => Ok(()),
        false => {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = said.lines().next().unwrap_or("it says nothing");
            Err(format!("npm install fails: {said}"))
        }
    }
}

/// Becomes the Node.js server.
pub(crate) fn serve(serve: &ServeArguments, mode: &str) -> Outcome<()> {
    cores::pin(serve.core)?;
    let error = Command::new("node")
        .arg(serve.dir.join("node/server.js"))
        .arg(mode)
        .env("FUNCTIONS", serve.dir.join("functions.js"))
        .exec();
    Err(format!("node cannot be run: {error}").into())
}

struct HttpCaller {
    sender: SendRequest<Full<Bytes>>,
    host: String,
    body: Bytes,
    /// The text around the result.
    before: &'static str,
    after: &'static str,
}

impl Caller for HttpCaller {
    async fn call(&mut self) -> Outcome<String> {
        let request = Request::post("/")
            .header(HOST, &self.host)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(self.body.clone()))?;
        self.sender.ready().await?;
        let response = self.sender.send_request(request).await?;
        let body = response.into_body().collect().await?.to_bytes();
        let text = std::str::from_utf8(&body)?;
        let result = text
            .strip_prefix(self.before)
            .and_then(|text| text.strip_suffix(self.after));
        Ok(result
            .ok_or_else(|| format!("Node.js answers {text}"))?
            .into())
    }
}

pub(crate) fn measure(
    address: SocketAddr,
    core: usize,
    work: &Work,
    load: &Load,
) -> Outcome<Figure> {
    let body = format!(
        r#"{{"jsonrpc":"2.0","id":1,"method":"{}","params":{}}}"#,
        work.function, work.args
    );
    let body = Bytes::from(body);
    closed_loop::run(core, work, load, async move |callers| {
        let mut connected = Vec::new();
        for _ in 0..callers {
            let stream = TcpStream::connect(address).await?;
            stream.set_nodelay(true)?;
            let (sender, connection) = handshake(TokioIo::new(stream)).await?;
            tokio::task::spawn_local(connection);
            connected.push(HttpCaller {
                sender,
                host: address.to_string(),
                body: body.clone(),
                before: r#"{"jsonrpc":"2.0","id":1,"result":"#,
                after: "}",
            });
        }
        Ok(connected)
    })
}
