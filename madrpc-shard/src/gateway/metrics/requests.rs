//! The metrics of HTTP itself.

use super::families::escaped;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Where requests can go; all other paths count as one.
const ROUTES: [&str; 8] = [
    "/",
    "/call/",
    "/healthz",
    "/readyz",
    "/metrics",
    "/openapi.json",
    "/status.json",
    "/page/",
];

/// Requests that were answered, and connections that are open.
#[derive(Debug, Default, Clone)]
pub(in crate::gateway) struct Requests {
    answered: Family<Vec<(&'static str, String)>, Counter>,
    connections: Gauge,
}

impl Requests {
    /// A request for this path was answered with this status.
    pub(in crate::gateway) fn answered(&self, path: &str, status: u16) {
        let route = ROUTES.iter().find(|route| match **route {
            "/call/" | "/page/" => path.starts_with(**route),
            route => path == route,
        });
        let route = route.copied().unwrap_or("(other)");
        let status = status.to_string();
        let labels = escaped(&[("route", route), ("code", &status)]);
        self.answered.get_or_create(&labels).inc();
    }

    /// So many connections are open.
    pub(in crate::gateway) fn connections(&self, open: usize) {
        self.connections
            .set(i64::try_from(open).unwrap_or(i64::MAX));
    }

    pub(super) fn register(&self, registry: &mut Registry) {
        let help = "HTTP requests that were answered, by route and status";
        registry.register("madrpc_http_requests", help, self.answered.clone());
        let help = "HTTP connections that are open";
        registry.register("madrpc_http_connections", help, self.connections.clone());
    }
}
