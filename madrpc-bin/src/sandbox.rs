//! What a server gives up before it serves.
//!
//! It speaks UDP and nothing else, so it may connect and bind no TCP socket, even where somebody makes it run code of
//! theirs. An orchestrator that looks up names may connect to the ports of name servers, whose long answers come by TCP, and
//! who sends spans to the port of their receiver. That is Landlock's to enforce (kernel 6.7 and later): io_uring, which we need, goes past the filters of system
//! calls that a systemd unit can set, and past no Landlock rule. The port of `--http` is listened at before, and accepting is no right of
//! its own, so that one needs no rule. Landlock does not look at multipath TCP
//! (landlock-lsm/linux#54); against that, the unit's `IPAddressDeny=` helps where the addresses of all peers are known.

use landlock::{
    ABI, Access, AccessNet, CompatLevel, Compatible, NetPort, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, RulesetStatus,
};
use tracing::{debug, warn};

/// Gives up TCP but to these ports, for this thread and all that it starts from now on. Names have to be resolved before, or
/// the name servers' ports are among them.
pub(crate) fn enter(ports: &[u16]) {
    match give_up_tcp_but(ports) {
        Ok(RulesetStatus::NotEnforced) => {
            debug!(
                "the kernel has no Landlock for the network (6.7 and later do): TCP stays possible"
            );
        }
        Ok(_) => debug!("TCP is given up (Landlock)"),
        Err(error) => warn!("TCP cannot be given up by Landlock, and stays possible: {error}"),
    }
}

/// As [`enter`], for a thread that was started before, and without a word.
pub(crate) fn give_up_tcp() -> Result<RulesetStatus, RulesetError> {
    give_up_tcp_but(&[])
}

fn give_up_tcp_but(ports: &[u16]) -> Result<RulesetStatus, RulesetError> {
    let mut rules = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessNet::from_all(ABI::V4))?
        .create()?;
    for port in ports {
        rules = rules.add_rule(NetPort::new(*port, AccessNet::ConnectTcp))?;
    }
    Ok(rules.restrict_self()?.ruleset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::ErrorKind;
    use std::net::{TcpListener, TcpStream, UdpSocket};

    #[test]
    fn tcp_is_refused_and_udp_is_not() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        // It holds for the thread that it was called on, and those that it starts.
        let outcome = std::thread::spawn(move || {
            if give_up_tcp().unwrap() == RulesetStatus::NotEnforced {
                return None;
            }
            UdpSocket::bind("127.0.0.1:0").unwrap();
            let refused = [
                TcpStream::connect(address).unwrap_err().kind(),
                TcpListener::bind("127.0.0.1:0").unwrap_err().kind(),
            ];
            Some(refused)
        });
        let refused = outcome.join().unwrap();
        assert!(refused.is_none_or(|refused| refused == [ErrorKind::PermissionDenied; 2]));
        TcpStream::connect(address).unwrap();
    }
}
