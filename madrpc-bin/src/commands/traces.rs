//! The spans of a command's calls, on their way to who collects them.

use crate::args::CallTraceArgs;
use crate::exit::{Failure, Reason};
use crate::output::say;
use madrpc_shard::client::CallRecorder;
use madrpc_shard::traces::Exporter;

/// What a service is called whose spans are those of this command.
const SERVICE: &str = "madrpc-client";

/// What sends them, where anything does.
#[must_use = "what is left is sent at the end"]
pub(super) struct Traces(Option<Exporter>);

impl Traces {
    /// Gives what records the calls of the command's client, too.
    pub(super) fn start(args: &CallTraceArgs) -> Result<(Self, Option<CallRecorder>), Failure> {
        let exporter = args
            .otlp
            .clone()
            .map(|receiver| Exporter::of_clients(receiver, SERVICE, args.otlp_sample));
        let exporter = exporter.transpose().map_err(|error| {
            Failure::new(Reason::Other, format!("the thread of traces: {error}"))
        })?;
        let (exporter, recorder) = exporter.unzip();
        Ok((Self(exporter), recorder))
    }

    /// Sends what is left, and says where it has not come. Call it once the client is closed.
    pub(super) fn end(self) {
        if let Some(Err(lost)) = self.0.map(Exporter::close) {
            say(&format!("--otlp: {lost}"));
        }
    }
}
