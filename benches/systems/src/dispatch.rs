//! How each system is served and how it is loaded.

use crate::ceiling::quic;
use crate::child::ServeArguments;
use crate::figures::{Figure, Load, Work};
use crate::madrpc;
use crate::outcome::Outcome;
use crate::peers::{ancestor, grpc, node};
use crate::system::System;
use std::net::SocketAddr;
use std::path::Path;

/// Who loads a system, and from where.
pub(crate) struct Site<'a> {
    pub(crate) address: SocketAddr,
    pub(crate) dir: &'a Path,
    pub(crate) core: usize,
}

/// Serves the system that is asked for; returns only with an error.
pub(crate) fn serve(serve: &ServeArguments) -> Outcome<()> {
    match serve.system {
        System::Direct => madrpc::serve_node(serve, "compute"),
        System::Kernel => madrpc::serve_node(serve, "madrpc.kernel(compute)"),
        System::Programs => madrpc::serve_programs(serve),
        System::Orchestrator => madrpc::serve_orchestrator(serve),
        System::Ancestor => ancestor::serve(serve),
        System::Tonic => grpc::serve(serve),
        System::NodeHttp => node::serve(serve, "http"),
        System::NodePiscina => node::serve(serve, "piscina"),
        System::Quic => quic::serve(serve),
    }
}

/// Loads a system.
pub(crate) fn measure(
    system: System,
    site: &Site<'_>,
    work: &Work,
    load: &Load,
) -> Outcome<Figure> {
    let Site { address, dir, core } = *site;
    let figure = match system {
        System::Programs => return Err("its programs are not called at a rate".into()),
        System::Direct | System::Kernel | System::Orchestrator => madrpc::check(address, dir, work)
            .and_then(|()| madrpc::measure(address, dir, core, work, load)),
        System::Ancestor => ancestor::measure(address, dir, core, work, load),
        System::Tonic => grpc::measure(address, core, work, load),
        System::NodeHttp | System::NodePiscina => node::measure(address, core, work, load),
        System::Quic => quic::measure(address, dir, core, load),
    };
    figure.map_err(|error| {
        let (name, function) = (system.name(), work.function);
        format!(
            "{name}, {function}, {} in flight: {error}",
            load.concurrency
        )
        .into()
    })
}
