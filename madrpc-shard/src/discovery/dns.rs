//! Asking name servers.
//!
//! What a record says of time is kept to: asked again is when the first of the records is over, see [`Answer::good_for`].

use super::answer::{Answer, Part};
use super::source::DnsSource;
use crate::net::address::{Addresses, servers};
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    ConnectionConfig, NameServerConfig, ProtocolConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::lookup::Lookup;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use hickory_resolver::net::{DnsError, NetError};
use hickory_resolver::proto::op::ResponseCode;
use hickory_resolver::proto::rr::rdata::SRV;
use hickory_resolver::proto::rr::{Name, RData, Record};
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};
use tokio::task::JoinSet;

/// How long one server may take for one answer, whatever the system says, and how often it is asked again: a source is asked again
/// in any case, and what it said before holds.
const PATIENCE: Duration = Duration::from_secs(2);
const ATTEMPTS_MAX: usize = 1;

/// How long an answer is kept for others who ask the same. One that says that there is nothing may be wrong in a moment.
const KEPT_MAX: Duration = Duration::from_secs(30);
const NOTHING_KEPT_MAX: Duration = Duration::from_secs(1);

/// Nodes of one source: more is no fleet but an attack, or a mistake.
const NODES_MAX: usize = 10_000;

/// Names of targets that are asked for at the same time.
const AT_ONCE: usize = 16;

/// Somebody to ask; what he has said is kept for as long as its records hold.
///
/// # Errors
/// Where the system names no server.
pub(super) fn resolver(server: Option<SocketAddr>) -> Result<TokioResolver, String> {
    let mut builder = match server {
        None => TokioResolver::builder_tokio().map_err(|error| {
            format!(
                "/etc/resolv.conf names nobody to ask ({}); dns:NAME@SERVER does",
                plain(&error)
            )
        })?,
        Some(server) => {
            let connections = [ProtocolConfig::Udp, ProtocolConfig::Tcp].map(|protocol| {
                let mut connection = ConnectionConfig::new(protocol);
                connection.port = server.port();
                connection
            });
            let server = NameServerConfig::new(server.ip(), true, connections.into());
            let config = ResolverConfig::from_name_servers(vec![server]);
            TokioResolver::builder_with_config(config, TokioRuntimeProvider::default())
        }
    };
    set(builder.options_mut());
    builder.build().map_err(|error| plain(&error))
}

fn set(options: &mut ResolverOpts) {
    options.timeout = options.timeout.min(PATIENCE);
    options.attempts = options.attempts.min(ATTEMPTS_MAX);
    options.use_hosts_file = ResolveHosts::Never;
    options.positive_max_ttl = Some(KEPT_MAX);
    options.negative_max_ttl = Some(NOTHING_KEPT_MAX);
}

/// What the servers say of a source.
pub(super) async fn ask(resolver: TokioResolver, source: DnsSource) -> Answer {
    match source.port {
        Some(port) => {
            let (found, until) = addresses(&resolver, source.name, port).await;
            let part = Part {
                name: String::new(),
                priority: 0,
                nodes: found,
            };
            Answer::until(vec![part], until)
        }
        None => service(&resolver, source.name).await,
    }
}

/// The servers behind a name, and until when that holds.
async fn addresses(
    resolver: &TokioResolver,
    name: Name,
    port: u16,
) -> (Result<Vec<Addresses>, String>, Option<Instant>) {
    match resolver.lookup_ip(name).await {
        Ok(found) => {
            let nodes = servers(&preferred(found.iter().take(NODES_MAX), port));
            match nodes.is_empty() {
                true => (Err("it has no address".into()), None),
                false => (Ok(nodes), Some(found.valid_until())),
            }
        }
        Err(error) => (Err(reason(&error, "no address")), None),
    }
}

/// Those that this machine reaches first.
fn preferred(found: impl Iterator<Item = IpAddr>, port: u16) -> Vec<SocketAddr> {
    // Nobody is there, and what is sent there goes to many.
    let is_host = |ip: &IpAddr| {
        let is_broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
        !ip.is_unspecified() && !ip.is_multicast() && !is_broadcast
    };
    let all = found.filter(is_host);
    let all = all.map(|ip| SocketAddr::new(ip, port));
    let (v6, v4): (Vec<_>, Vec<_>) = all.partition(SocketAddr::is_ipv6);
    // Nothing is sent: the system only looks for a way.
    let is_reached = |address: &SocketAddr| {
        let socket = UdpSocket::bind((Ipv6Addr::UNSPECIFIED, 0));
        socket.is_ok_and(|socket| socket.connect(address).is_ok())
    };
    match v6.first().is_some_and(is_reached) {
        true => [v6, v4].concat(),
        false => [v4, v6].concat(),
    }
}

/// The nodes of SRV records.
async fn service(resolver: &TokioResolver, name: Name) -> Answer {
    let found = match resolver.srv_lookup(name).await {
        Ok(found) => found,
        Err(error) => return Answer::failed(reason(&error, "no SRV record")),
    };
    let mut records: Vec<SRV> = Vec::new();
    for record in found.answers() {
        if let RData::SRV(record) = &record.data {
            records.push(record.clone());
        }
    }
    let mut until = found.valid_until();
    let known = glue(&found);
    let (mut parts, mut asked) = (Vec::new(), JoinSet::new());
    while !records.is_empty() || !asked.is_empty() {
        if count(&parts) > NODES_MAX {
            return Answer::failed(format!("it names more than {NODES_MAX} nodes"));
        }
        if asked.len() < AT_ONCE
            && let Some(record) = records.pop()
        {
            match at_once(&record, &known) {
                Some(nodes) => parts.push(part(&record, nodes)),
                None => {
                    let resolver = resolver.clone();
                    asked.spawn(async move {
                        let target = record.target.clone();
                        let (nodes, until) = addresses(&resolver, target, record.port).await;
                        (part(&record, nodes), until)
                    });
                }
            }
            continue;
        }
        match asked.join_next().await {
            Some(Ok((part, valid))) => {
                until = valid.map_or(until, |valid| valid.min(until));
                parts.push(part);
            }
            // Nobody knows whose it was: the others alone would take that one away.
            Some(Err(_)) => return Answer::failed("the lookup of a target has broken off".into()),
            None => {}
        }
    }
    match parts.is_empty() {
        true => Answer::failed("it has no SRV record".into()),
        false => Answer::until(parts, Some(until)),
    }
}

fn count(parts: &[Part]) -> usize {
    let nodes = parts.iter().filter_map(|part| part.nodes.as_ref().ok());
    nodes.map(Vec::len).sum()
}

/// The nodes of a record, where nobody has to be asked for them.
fn at_once(
    record: &SRV,
    known: &HashMap<Name, Vec<IpAddr>>,
) -> Option<Result<Vec<Addresses>, String>> {
    if record.target.is_root() {
        return Some(Err("it says that there is no such service".into()));
    }
    if record.port == 0 {
        return Some(Err("port 0 cannot be called".into()));
    }
    let ips = known.get(&record.target.to_lowercase())?;
    Some(Ok(servers(&preferred(ips.iter().copied(), record.port))))
}

fn part(record: &SRV, nodes: Result<Vec<Addresses>, String>) -> Part {
    // In ASCII: what a name server says comes into the log.
    let target = record.target.to_lowercase().to_ascii();
    Part {
        name: format!("{target}:{}", record.port),
        priority: record.priority,
        nodes,
    }
}

/// The addresses that came with an answer, so that nobody has to ask for them.
fn glue(found: &Lookup) -> HashMap<Name, Vec<IpAddr>> {
    let mut known: HashMap<Name, Vec<IpAddr>> = HashMap::new();
    for Record { name, data, .. } in found.additionals() {
        let ip = match data {
            RData::A(ip) => IpAddr::V4(ip.0),
            RData::AAAA(ip) => IpAddr::V6(ip.0),
            _ => continue,
        };
        known.entry(name.to_lowercase()).or_default().push(ip);
    }
    known
}

/// Why there is no answer, in words that stay the same for as long as the reason does.
fn reason(error: &NetError, lacking: &str) -> String {
    match error {
        NetError::Dns(DnsError::NoRecordsFound(none)) => match none.response_code {
            ResponseCode::NXDomain => "the name does not exist".into(),
            _ => format!("it has {lacking}"),
        },
        NetError::Dns(DnsError::ResponseCode(code)) => {
            format!("the name server refuses to answer ({code})")
        }
        NetError::Timeout | NetError::NoConnections => "no name server answers".into(),
        NetError::Io(error) => format!("no name server can be reached ({error})"),
        NetError::Truncated => "the answer is cut off, and TCP has no more of it".into(),
        other => plain(other),
    }
}

/// An error of the library in one line.
fn plain(error: &NetError) -> String {
    error.to_string().replace(char::is_control, " ")
}
