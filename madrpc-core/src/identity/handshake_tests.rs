//! Who gets in, and what either end says of it: handshakes in memory, two quiche connections back to back.

use super::authority::{Profile, unix_time};
use super::*;
use std::net::SocketAddr;

const ALPN: &[&[u8]] = &[b"test"];

/// What became of a handshake.
pub(super) struct Outcome {
    client: quiche::Connection,
    server: quiche::Connection,
}

impl Outcome {
    pub(super) fn of(
        mut server: quiche::Config,
        mut client: quiche::Config,
        name: Option<&str>,
    ) -> Self {
        for config in [&mut server, &mut client] {
            config.set_application_protos(ALPN).unwrap();
            config.set_initial_max_data(1 << 16);
        }
        Self::connect(&mut server, &mut client, name)
    }

    fn connect(
        server: &mut quiche::Config,
        client: &mut quiche::Config,
        name: Option<&str>,
    ) -> Self {
        let here = SocketAddr::from(([127, 0, 0, 1], 1));
        let there = SocketAddr::from(([127, 0, 0, 1], 2));
        let id = |byte| quiche::ConnectionId::from_vec(vec![byte; 16]);
        let mut outcome = Self {
            client: quiche::connect(name, &id(1), here, there, client).unwrap(),
            server: quiche::accept(&id(2), None, there, here, server).unwrap(),
        };
        while deliver(&mut outcome.client, &mut outcome.server)
            | deliver(&mut outcome.server, &mut outcome.client)
        {}
        outcome
    }

    pub(super) fn accepted(&self) -> bool {
        let open = |end: &quiche::Connection| {
            end.is_established() && end.local_error().is_none() && end.peer_error().is_none()
        };
        open(&self.client) && open(&self.server)
    }

    /// What the server and the client would say of the refusal.
    #[track_caller]
    fn words(&self) -> (String, String) {
        assert!(!self.accepted(), "the handshake should have been refused");
        let words = |end: &quiche::Connection| match (end.local_error(), end.peer_error()) {
            (Some(error), _) => refusal_by_us(error),
            (None, Some(error)) => refusal_by_peer(error),
            (None, None) => None,
        };
        let words = |end| words(end).expect("an end that does not know why");
        (words(&self.server), words(&self.client))
    }
}

/// Hands over all that `from` has to send; whether there was anything.
fn deliver(from: &mut quiche::Connection, to: &mut quiche::Connection) -> bool {
    let mut buffer = [0; 1500];
    let mut any = false;
    while let Ok((length, info)) = from.send(&mut buffer) {
        any = true;
        // A refusal shows as an error here; what counts is what the connection then says.
        let _ = to.recv(
            &mut buffer[..length],
            quiche::RecvInfo {
                from: info.from,
                to: info.to,
            },
        );
    }
    any
}

pub(super) fn authority() -> Authority {
    Authority::create("test").unwrap()
}

fn server(authority: &Authority, role: Role) -> quiche::Config {
    authority.issue(role).unwrap().server_config().unwrap()
}

pub(super) fn client(authority: &Authority, role: Role) -> quiche::Config {
    authority.issue(role).unwrap().client_config().unwrap()
}

/// The server's side without our own check that the certificate can serve.
fn unchecked_server(identity: &Identity) -> quiche::Config {
    let store = trust(&identity.0.authorities).unwrap().build();
    identity.config(store).unwrap()
}

/// A certificate that no role would get.
fn odd(authority: &Authority, dns_names: &[&str], serves: bool, calls: bool) -> Identity {
    let profile = Profile {
        // Names are looked for where they belong only, so this one gives nobody anything.
        subject: SERVER_NAME_ANY,
        dns_names,
        serves,
        calls,
        not_before: &unix_time(-60).unwrap(),
        not_after: &unix_time(60).unwrap(),
    };
    authority.sign(&profile).unwrap()
}

pub(super) fn expired(authority: &Authority, role: Role) -> Identity {
    let profile = Profile {
        subject: "expired",
        dns_names: role.dns_names(),
        serves: role.is_server(),
        calls: true,
        not_before: &unix_time(-7200).unwrap(),
        not_after: &unix_time(-3600).unwrap(),
    };
    authority.sign(&profile).unwrap()
}

#[test]
fn one_authority_lets_every_role_in_and_each_end_sees_the_other() {
    let ca = authority();
    for server_role in [Role::Node, Role::Orchestrator] {
        for client_role in Role::ALL {
            for name in [server_role.server_name(), Some(SERVER_NAME_ANY), None] {
                let (server, client) = (server(&ca, server_role), client(&ca, client_role));
                let outcome = Outcome::of(server, client, name);
                assert!(
                    outcome.accepted(),
                    "{client_role} calls {server_role} as {name:?}"
                );
                let seen =
                    |end: &quiche::Connection| Role::of_certificate(end.peer_cert().unwrap());
                assert_eq!(seen(&outcome.server), Some(client_role));
                assert_eq!(seen(&outcome.client), Some(server_role));
            }
        }
    }
}

#[test]
fn nothing_is_left_to_resume_from() {
    let ca = authority();
    let (server, mut client) = (server(&ca, Role::Node), client(&ca, Role::Client));
    // Early data is off unless it is asked for; a ticket would be kept by the client as its session.
    client.enable_early_data();
    let outcome = Outcome::of(server, client, Some(SERVER_NAME_ANY));
    assert!(outcome.accepted());
    assert!(outcome.client.session().is_none());
    assert!(!outcome.client.is_resumed());
}

#[test]
fn a_client_without_a_certificate_is_refused() {
    let mut bare = quiche::Config::new(quiche::PROTOCOL_VERSION).unwrap();
    bare.verify_peer(false);
    let outcome = Outcome::of(
        server(&authority(), Role::Node),
        bare,
        Some(SERVER_NAME_ANY),
    );
    let (at_server, at_client) = outcome.words();
    assert_eq!(
        at_server,
        "the peer sent no certificate, and we ask for one (certificate_required)"
    );
    assert_eq!(
        at_client,
        "the peer asks for a certificate, and we sent none (certificate_required)"
    );
    assert!(outcome.server.peer_cert().is_none());
}

#[test]
fn a_client_of_another_authority_is_refused() {
    let (ours, theirs) = (authority(), authority());
    // The stranger trusts us, so that it is the server who refuses.
    let stranger = theirs.issue(Role::Client).unwrap();
    let stranger = Identity::new(
        vec![ours.certificate().to_owned()],
        stranger.0.leaf.clone(),
        Vec::new(),
        stranger.0.key.clone(),
        stranger.0.key.clone(),
    );
    let outcome = Outcome::of(
        server(&ours, Role::Node),
        stranger.client_config().unwrap(),
        Some(SERVER_NAME_ANY),
    );
    let (at_server, at_client) = outcome.words();
    assert_eq!(
        at_server,
        "the peer's certificate is not issued by the authority we trust: give both sides the same --tls-ca or MADRPC_TLS_DIR (unknown_ca)"
    );
    assert_eq!(
        at_client,
        "our certificate is not issued by the authority the peer trusts: give both sides the same --tls-ca or MADRPC_TLS_DIR (unknown_ca)"
    );
}

#[test]
fn a_server_of_another_authority_is_refused() {
    let (ours, theirs) = (authority(), authority());
    for name in [Some(SERVER_NAME_ANY), None] {
        let outcome = Outcome::of(
            server(&theirs, Role::Node),
            client(&ours, Role::Client),
            name,
        );
        let (at_server, at_client) = outcome.words();
        assert!(
            at_client.starts_with("the peer's certificate is not issued by"),
            "{at_client}"
        );
        assert!(
            at_server.starts_with("our certificate is not issued by"),
            "{at_server}"
        );
    }
}

#[test]
fn a_client_cannot_serve() {
    let ca = authority();
    let identity = ca.issue(Role::Client).unwrap();
    let error = identity.server_config().err().unwrap();
    assert!(
        matches!(&error, IdentityError::NotAServer { names } if names == "client.madrpc.internal")
    );

    // Nor where it says nothing of the sort, not even under the names of a server.
    let disguised = odd(&ca, Role::Node.dns_names(), false, true);
    for (identity, name) in [(&identity, None), (&disguised, Some(SERVER_NAME_ANY))] {
        let outcome = Outcome::of(unchecked_server(identity), client(&ca, Role::Client), name);
        let (at_server, at_client) = outcome.words();
        assert_eq!(
            at_client,
            "the peer's certificate is not made for this use: one issued to a client cannot serve \
             (unsupported_certificate)"
        );
        assert!(
            at_server.starts_with("our certificate is not made for this use"),
            "{at_server}"
        );
    }
}

#[test]
fn a_caller_needs_a_certificate_made_for_calling() {
    let ca = authority();
    let only_serves = odd(&ca, Role::Node.dns_names(), true, false);
    let outcome = Outcome::of(
        server(&ca, Role::Node),
        only_serves.client_config().unwrap(),
        Some(SERVER_NAME_ANY),
    );
    let (at_server, at_client) = outcome.words();
    assert!(
        at_server.ends_with("(unsupported_certificate)"),
        "{at_server}"
    );
    assert!(
        at_client.starts_with("our certificate is not made for this use"),
        "{at_client}"
    );
}

#[test]
fn a_node_cannot_pose_as_the_orchestrator() {
    let ca = authority();
    let node = ca.issue(Role::Node).unwrap();
    // No role gets a wildcard, but an authority of somebody's own might issue one: it would be every role at once.
    let wildcard = odd(&ca, &["*.madrpc.internal"], true, true);
    for identity in [node, wildcard] {
        let outcome = Outcome::of(
            unchecked_server(&identity),
            client(&ca, Role::Client),
            Role::Orchestrator.server_name(),
        );
        let (at_server, at_client) = outcome.words();
        assert_eq!(
            at_client,
            "the peer's certificate does not carry the name we asked for, or is damaged (bad_certificate)"
        );
        assert_eq!(
            at_server,
            "our certificate does not carry the name the peer asked for, or is damaged (bad_certificate)"
        );
    }
}

#[test]
fn a_caller_that_names_nobody_still_wants_a_server() {
    let ca = authority();
    for names in [&["somewhere.else"][..], &[]] {
        let stranger = odd(&ca, names, true, true);
        let outcome = Outcome::of(unchecked_server(&stranger), client(&ca, Role::Client), None);
        let (_, at_client) = outcome.words();
        assert!(at_client.ends_with("(bad_certificate)"), "{at_client}");
    }
}

#[test]
fn a_certificate_of_two_roles_has_none() {
    let names = [Role::Node.dns_names(), Role::Operator.dns_names()].concat();
    assert_eq!(odd(&authority(), &names, true, true).role(), None);
    assert_eq!(Role::of_certificate(b"no certificate"), None);
}

#[test]
fn an_expired_certificate_is_refused() {
    let ca = authority();
    let old = expired(&ca, Role::Client).client_config().unwrap();
    let outcome = Outcome::of(server(&ca, Role::Node), old, Some(SERVER_NAME_ANY));
    let (at_server, at_client) = outcome.words();
    assert!(
        at_server.starts_with("the peer's certificate has expired"),
        "{at_server}"
    );
    assert!(
        at_client.starts_with("our certificate has expired"),
        "{at_client}"
    );
}

#[test]
fn another_protocol_is_refused() {
    let ca = authority();
    let (mut server, mut client) = (server(&ca, Role::Node), client(&ca, Role::Client));
    server.set_application_protos(&[b"one"]).unwrap();
    client.set_application_protos(&[b"other"]).unwrap();
    let outcome = Outcome::connect(&mut server, &mut client, Some(SERVER_NAME_ANY));
    let (at_server, at_client) = outcome.words();
    assert_eq!(
        at_server,
        "the peer speaks no version of madrpc that we speak (no_application_protocol)"
    );
    assert_eq!(
        at_client,
        "we speak no version of madrpc that the peer speaks (no_application_protocol)"
    );
}

#[test]
fn an_identity_may_cross_threads() {
    fn crosses<T: Send + Sync + Clone>() {}
    crosses::<Identity>();
    let shown = format!("{:?}", authority().issue(Role::Node).unwrap());
    assert_eq!(shown, "Identity { role: Some(Node), .. }");
}
