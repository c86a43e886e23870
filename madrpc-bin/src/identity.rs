//! Which certificates this process has: those that flags name, that a service manager hands over, or that are this user's.

use crate::args::TlsArgs;
use crate::exit::{Failure, Reason};
use madrpc_core::identity::{Identity, IdentityError, Role};
use madrpc_shard::server::StartError;
use std::path::{Path, PathBuf};

/// Where systemd puts the credentials of a unit (systemd.exec(5)).
const CREDENTIALS: &str = "CREDENTIALS_DIRECTORY";

/// Where the unit has them from, for messages, and so that a key is refused that others can read there.
const CREDENTIALS_SOURCE: &str = "MADRPC_CREDENTIALS_SOURCE";

/// The identity of a process that only calls.
pub(crate) fn of_caller(args: &TlsArgs, role: Role) -> Result<Identity, Failure> {
    find(args, role)?.map_err(Failure::from)
}

/// The identity of a server, which has to be one of its role: its peers refuse any other.
pub(crate) fn of_server(args: &TlsArgs, role: Role) -> Result<Identity, Failure> {
    let identity = find(args, role)?.map_err(StartError::Identity)?;
    of_role(identity, role)
}

/// The identity, where it is one of this role.
pub(crate) fn of_role(identity: Identity, role: Role) -> Result<Identity, Failure> {
    match identity.role() {
        Some(other) if other != role => Err(Failure::unfit(format!(
            "the certificate is for the role {other}, and this server's is {role}: use one that `madrpc tls issue {role}` has made"
        ))),
        _ => Ok(identity),
    }
}

/// Looks whether a server would find its identity; says so in words, which also say where that cannot be seen from here.
pub(crate) fn check_server(args: &TlsArgs, role: Role) -> Result<&'static str, Failure> {
    let is_given = args.tls_ca.is_some() || args.tls_cert.is_some() || args.tls_key.is_some();
    if !is_given && credentials().is_none() && std::env::var_os(CREDENTIALS_SOURCE).is_some() {
        // systemd gives them to the server alone, and to nothing that ExecReload= runs.
        return Ok("settings are all right (credentials are not shown to this process)");
    }
    of_server(args, role)?;
    Ok("settings and certificates are all right")
}

fn find(args: &TlsArgs, role: Role) -> Result<Result<Identity, IdentityError>, Failure> {
    match (&args.tls_ca, &args.tls_cert, &args.tls_key) {
        (Some(ca), Some(cert), Some(key)) => Ok(Identity::from_files(ca, cert, key)),
        (None, None, None) => Ok(match credentials() {
            Some((dir, source)) => Identity::from_credentials(&dir, &source),
            None => Identity::of_this_user(role),
        }),
        (ca, cert, key) => {
            let flags = [("--tls-ca", ca), ("--tls-cert", cert), ("--tls-key", key)];
            let missing = flags.iter().filter(|(_, path)| path.is_none());
            let missing: Vec<_> = missing.map(|(flag, _)| *flag).collect();
            let missing = missing.join(" and ");
            let message = format!("{missing}: not given; the three --tls-* belong together");
            Err(Failure::new(Reason::Usage, message))
        }
    }
}

/// The directory that a service manager has put our credentials in, and where they come from.
fn credentials() -> Option<(PathBuf, PathBuf)> {
    let dir = PathBuf::from(std::env::var_os(CREDENTIALS)?);
    if !has_key(&dir) {
        return None;
    }
    let source = std::env::var_os(CREDENTIALS_SOURCE).map_or_else(|| dir.clone(), PathBuf::from);
    Some((dir, source))
}

/// A unit can have credentials of other kinds.
fn has_key(dir: &Path) -> bool {
    dir.join("key.pem").exists()
}
