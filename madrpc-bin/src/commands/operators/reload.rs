//! `madrpc reload`: a server reads its script and its certificates anew.

use super::{json, on_each};
use crate::args::OperatorArgs;
use crate::exit::Failure;
use crate::output;
use madrpc_core::call::control::RELOAD;
use serde::Serialize;
use std::time::Duration;

/// How long a script may take to load on all shards.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(90);

/// The document of `--json`. Keys are only ever added.
#[derive(Serialize)]
struct Document<'a> {
    /// Where it was asked.
    server: &'a str,
    /// What the server has now, in words.
    reloaded: &'a str,
}

pub(crate) fn reload(args: &OperatorArgs) -> Result<(), Failure> {
    on_each(args, ANSWER_TIMEOUT, |server, client| {
        let answer = client.call_blocking::<_, String>(RELOAD, &());
        client.close_blocking();
        let reloaded = answer?;
        let text = match args.json {
            true => json(&Document {
                server,
                reloaded: &reloaded,
            })?,
            false => format!("{server}: reloaded: {reloaded}"),
        };
        Ok(output::result(&text)?)
    })
}
