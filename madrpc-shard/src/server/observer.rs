//! What the server itself is told of its shards: what callers get as statistics, without a call.
#![cfg_attr(
    not(feature = "gateway"),
    expect(dead_code, reason = "it is HTTP that observes")
)]

use super::Server;
use super::control::ToControl;
use futures_channel::oneshot;
use madrpc_core::stats::Snapshot;
use std::sync::Arc;
use std::sync::mpsc::Sender;

/// Whoever waits for a snapshot; nothing comes where no shard answers.
pub(crate) type Asking = oneshot::Sender<Arc<Snapshot>>;

/// Asks the control thread for snapshots.
#[derive(Debug, Clone)]
pub(crate) struct Observer(Option<Sender<ToControl>>);

impl Observer {
    /// What the shards have counted, collected from now on; nothing where none of them answers. However many ask, and however
    /// often, there is one collection in 100 ms at the most.
    pub(crate) async fn snapshot(&self) -> Option<Arc<Snapshot>> {
        let (asking, answer) = oneshot::channel();
        let to_control = self.0.as_ref()?;
        // It fails only where the control thread has ended, and then the server has.
        to_control.send(ToControl::Observe(asking)).ok()?;
        answer.await.ok()
    }
}

impl Server {
    /// Somebody who asks for snapshots, for as long as the server runs.
    pub(crate) fn observer(&self) -> Observer {
        let running = self.running.as_ref();
        Observer(running.map(|running| running.to_control.clone()))
    }
}
