//! Servers as their callers write them: `HOST:PORT`, or several of them with commas in between. Each address of a name is a server,
//! see [`servers`].

use super::address::{AddressError, Addresses, check_target, resolve_target, servers};
use std::collections::HashSet;
use std::net::SocketAddr;
use tracing::warn;

/// What stands between two commas, and the servers that it means.
#[derive(Debug, Clone)]
pub(crate) struct Named {
    pub(crate) text: String,
    /// Where it could be resolved.
    addresses: Option<Addresses>,
}

impl Named {
    /// Whether it may mean others another time.
    pub(crate) fn is_name(&self) -> bool {
        self.text.parse::<SocketAddr>().is_err()
    }

    /// It has these addresses now.
    pub(crate) fn set_addresses(&mut self, addresses: Addresses) {
        self.addresses = Some(addresses);
    }
}

/// The servers of a list.
///
/// # Errors
/// Where a part of it is no `HOST:PORT`, or none can be resolved. Those that cannot are warned of, where others can.
pub(crate) fn resolve_list(list: &str) -> Result<Vec<Named>, AddressError> {
    let (mut all, mut failed) = (Vec::new(), None);
    for text in list.split(',').map(str::trim) {
        check_target(text)?;
    }
    for text in list.split(',').map(str::trim) {
        let found = resolve_target(text).map_err(|error| failed.get_or_insert(error).clone());
        all.push(Named {
            text: text.to_owned(),
            addresses: found.ok(),
        });
    }
    let has_any = all.iter().any(|named| named.addresses.is_some());
    match failed {
        Some(error) if !has_any => Err(error),
        Some(error) => {
            warn!("{error}; the others of {list} are called");
            Ok(all)
        }
        None => Ok(all),
    }
}

/// The servers of all of them, each once.
pub(crate) fn distinct(all: &[Named]) -> Vec<Addresses> {
    let mut known = HashSet::new();
    let mut different = Vec::new();
    let found = all.iter().filter_map(|named| named.addresses.as_ref());
    for server in found.flat_map(|addresses| servers(addresses.all())) {
        if server.all().iter().all(|address| !known.contains(address)) {
            known.extend(server.all().iter().copied());
            different.push(server);
        }
    }
    different
}

/// All addresses of them, in their order, as those of one server.
///
/// # Errors
/// Where there is none.
pub(crate) fn as_one(all: &[Named]) -> Result<Addresses, AddressError> {
    // Its name is looked up again where none of its addresses answers.
    if let [
        Named {
            addresses: Some(only),
            ..
        },
    ] = all
    {
        return Ok(only.clone());
    }
    let servers = distinct(all);
    let addresses = servers.iter().flat_map(Addresses::all).copied();
    addresses.collect::<Vec<_>>().try_into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &str) -> Vec<String> {
        let all = resolve_list(list).unwrap();
        distinct(&all).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_list_is_as_many_servers_as_it_names() {
        assert_eq!(addresses("127.0.0.1:1"), ["127.0.0.1:1"]);
        let two = addresses("127.0.0.1:1, 127.0.0.1:2,0.0.0.0:1,[::1]:3");
        assert_eq!(two, ["127.0.0.1:1", "127.0.0.1:2", "[::1]:3"]);
        assert_eq!(addresses("127.0.0.1:1,localhost:1").len(), 1);
        let some = addresses("no-such-host.invalid:1,127.0.0.1:1");
        assert_eq!(some, ["127.0.0.1:1"]);
    }

    #[test]
    fn a_list_with_a_part_that_is_none_is_refused() {
        for list in [
            "",
            ",",
            "127.0.0.1:1,",
            "127.0.0.1:1,,127.0.0.1:2",
            "127.0.0.1:1,x",
        ] {
            let error = resolve_list(list).unwrap_err().to_string();
            assert!(error.contains("expected HOST:PORT"), "{list}: {error}");
        }
        assert!(resolve_list("127.0.0.1:1,127.0.0.1:0").is_err());
        let unknown = resolve_list("no-such-host.invalid:1").unwrap_err();
        assert!(unknown.to_string().contains("cannot be resolved"));
    }
}
