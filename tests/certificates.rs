//! Claim: a certificate of a wrong kind lets nobody in, whichever is wrong with it: its owner is told in one line, the server's log
//! has one for many attempts, and who calls meanwhile does not notice.
//!
//! Setup: for each kind a node of its own, as a process, with a caller at work; the certificate is shown by the command `madrpc`,
//! and by a peer that does not look at it first.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

mod support;

use boring::asn1::Asn1Time;
use boring::bn::BigNum;
use boring::ec::{EcGroup, EcKey};
use boring::hash::MessageDigest;
use boring::nid::Nid;
use boring::pkey::{PKey, Private};
use boring::x509::extension::{ExtendedKeyUsage, SubjectAlternativeName};
use boring::x509::{X509, X509Name};
use madrpc_core::identity::{Authority, SERVER_NAME_ANY, inspect};
use madrpc_core::session::set_transport;
use std::net::{SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use support::fleet::load_at;
use support::process::{Home, Served, free_port, refused, stderr};

const DAY: i64 = 24 * 3600;

const SCRIPT: &str = "madrpc.register('once', (x) => x);";

/// Attempts by the peer that does not look.
const ATTEMPTS: usize = 30;

/// A time so many days from now.
fn days(days: i64) -> Asn1Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Asn1Time::from_unix(i64::try_from(now.as_secs()).unwrap() + days * DAY).unwrap()
}

/// An authority in `tls`, where the servers' certificates come from, and one that nobody knows in `other`.
fn home() -> Home {
    let home = Home::new();
    home.write("f.js", SCRIPT);
    for dir in ["tls", "other"] {
        Authority::load_or_create(&home.path(dir)).unwrap();
    }
    home
}

/// Writes a certificate of the authority in `ca`, with these names and times, to a directory, as `madrpc tls issue` does.
fn issue(home: &Home, dir: &str, ca: &str, names: &[&str], (from, until): (i64, i64)) {
    let read = |file: &str| std::fs::read(home.path(ca).join(file)).unwrap();
    let issuer = X509::from_pem(&read("ca.pem")).unwrap();
    let signer: PKey<Private> = PKey::private_key_from_pem(&read("ca.key")).unwrap();
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(Nid::COMMONNAME, dir).unwrap();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(77).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name.build()).unwrap();
    builder.set_issuer_name(issuer.subject_name()).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&days(from)).unwrap();
    builder.set_not_after(&days(until)).unwrap();
    let usage = ExtendedKeyUsage::new().client_auth().server_auth().build();
    builder.append_extension(&usage.unwrap()).unwrap();
    let mut alternative = SubjectAlternativeName::new();
    names.iter().for_each(|name| {
        alternative.dns(name);
    });
    let context = builder.x509v3_context(None, None);
    let alternative = alternative.build(&context).unwrap();
    builder.append_extension(&alternative).unwrap();
    builder.sign(&signer, MessageDigest::sha256()).unwrap();
    std::fs::create_dir(home.path(dir)).unwrap();
    for (file, pem) in [
        ("ca.pem", read("ca.pem")),
        ("cert.pem", builder.build().to_pem().unwrap()),
        ("key.pem", key.private_key_to_pem_pkcs8().unwrap()),
    ] {
        let path = home.write(&format!("{dir}/{file}"), &String::from_utf8(pem).unwrap());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    }
}

/// The flags by which the command shows a certificate.
fn shown(dir: &str) -> [String; 6] {
    let file = |file: &str| format!("{dir}/{file}.pem");
    ["--tls-ca", "ca", "--tls-cert", "cert", "--tls-key", "key"].map(|part| match part {
        "ca" | "cert" | "key" => file(part),
        flag => flag.to_owned(),
    })
}

/// Runs the command with this certificate.
fn run(home: &Home, args: &[&str], dir: &str) -> std::process::Output {
    let flags = shown(dir);
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    home.run(&[args, &flags].concat())
}

/// Shows a certificate to a server without a look at it; whether the server has closed the session.
fn show(home: &Home, dir: &str, server: SocketAddr) -> bool {
    let mut config = quiche::Config::new(quiche::PROTOCOL_VERSION).unwrap();
    set_transport(&mut config, Duration::from_secs(5)).unwrap();
    let path = |file: &str| home.path(dir).join(file).display().to_string();
    config
        .load_cert_chain_from_pem_file(&path("cert.pem"))
        .unwrap();
    config
        .load_priv_key_from_pem_file(&path("key.pem"))
        .unwrap();
    config.verify_peer(false);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let wait = Some(Duration::from_millis(20));
    socket.set_read_timeout(wait).unwrap();
    let local = socket.local_addr().unwrap();
    let id = quiche::ConnectionId::from_ref(&[7; 16]);
    let name = Some(SERVER_NAME_ANY);
    let mut quic = quiche::connect(name, &id, local, server, &mut config).unwrap();
    let (mut buffer, end) = ([0; 65_535], Instant::now() + Duration::from_secs(5));
    while Instant::now() < end && quic.peer_error().is_none() {
        while let Ok((length, info)) = quic.send(&mut buffer) {
            socket.send_to(&buffer[..length], info.to).unwrap();
        }
        match socket.recv_from(&mut buffer) {
            Ok((length, from)) => {
                let _ = quic.recv(&mut buffer[..length], quiche::RecvInfo { from, to: local });
            }
            Err(_) => quic.on_timeout(),
        }
    }
    quic.peer_error().is_some()
}

fn node(home: &Home) -> (Served, String) {
    let address = format!("127.0.0.1:{}", free_port());
    let args = ["node", "-s", "f.js", "-b", &address, "--shards", "1"];
    (
        home.serve(&[&args[..], &["--revoked", "revoked"]].concat()),
        address,
    )
}

/// A certificate is shown to a node that has a caller: the command ends with this code and these words, the log has these.
fn is_refused(home: &Home, dir: &str, code: i32, at_caller: &[&str], at_server: &str) {
    let (mut node, address) = node(home);
    let load = load_at(home, &address, "once", 500, "2s");
    refused(
        &run(home, &["call", &address, "once", "1"], dir),
        code,
        at_caller,
    );
    for _ in 0..ATTEMPTS {
        assert!(
            show(home, dir, address.parse().unwrap()),
            "{dir}: not closed"
        );
    }
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 500,
        "{dir}: {outcome:?}"
    );
    node.wait_for("refused");
    let _ = node.says("never", Duration::from_millis(100));
    let told = node.seen.lines().filter(|line| line.contains("refused"));
    let told: Vec<&str> = told.collect();
    assert!(told.len() < ATTEMPTS / 2, "{dir}: {told:#?}");
    assert!(
        told.iter().any(|line| line.contains(at_server)),
        "{dir}: no `{at_server}` in {told:#?}"
    );
}

#[test]
fn whatever_is_wrong_with_it_a_certificate_lets_nobody_in() {
    let home = home();
    home.write("revoked", "# nobody yet\n");
    let client = ["client.madrpc.internal"];
    issue(&home, "expired", "tls", &client, (-20, -10));
    issue(&home, "early", "tls", &client, (10, 20));
    issue(&home, "stranger", "other", &client, (-1, 1));
    issue(&home, "nobody", "tls", &["www.example.org"], (-1, 1));
    issue(&home, "revoked-one", "tls", &client, (-1, 1));
    let serial = &inspect(&home.path("revoked-one/cert.pem")).unwrap()[0].serial;
    let times = ["is valid from", "not now"];
    is_refused(&home, "expired", 1, &times, "certificate_expired");
    is_refused(&home, "early", 1, &times, "certificate_expired");
    is_refused(&home, "stranger", 6, &["authority"], "authority");
    is_refused(&home, "nobody", 6, &["role"], "role");
    home.write("revoked", &format!("{serial}\n"));
    is_refused(&home, "revoked-one", 6, &["revoked"], "revoked");
}

/// Each has to be refused where it is used, and nothing else changes.
#[test]
fn a_certificate_of_another_role_is_refused_where_it_is_used() {
    let home = home();
    home.write("revoked", "");
    let (node, address) = node(&home);
    let server = "server.madrpc.internal";
    issue(&home, "client", "tls", &["client.madrpc.internal"], (-1, 1));
    issue(
        &home,
        "front",
        "tls",
        &["orchestrator.madrpc.internal", server],
        (-1, 1),
    );
    issue(
        &home,
        "node",
        "tls",
        &["node.madrpc.internal", server],
        (-1, 1),
    );
    let load = load_at(&home, &address, "once", 500, "4s");
    let here = ["-b", "127.0.0.1:0", "--shards", "1"];
    let other = [&["node", "-s", "f.js"], &here[..]].concat();
    for dir in ["client", "front"] {
        let output = run(&home, &other, dir);
        assert_eq!(output.status.code(), Some(78), "{}", stderr(&output));
        refused(&output, 78, &["role"]);
    }
    refused(
        &run(&home, &["drain", &address], "node"),
        6,
        &["for operators", "role node"],
    );
    // An orchestrator that is to pass calls on to another one, and a node that is to announce itself to a node.
    let front = format!("127.0.0.1:{}", free_port());
    let args = ["orchestrator", "-b", &front, "--shards", "1"];
    let _front = home.serve(&args);
    let mut behind = home.serve(&[
        "orchestrator",
        "-b",
        "127.0.0.1:0",
        "--shards",
        "1",
        "-n",
        &front,
    ]);
    behind.wait_for("it has to be a `node.madrpc.internal`");
    let mut lost = home.serve(&[&other[..], &["--orchestrator", &address]].concat());
    lost.wait_for("no session to orchestrator");
    let outcome = load.end();
    assert!(
        outcome.errors.is_empty() && outcome.results > 1_000,
        "{outcome:?}"
    );
    drop(node);
    for (server, of) in [(&mut behind, front), (&mut lost, address)] {
        let _ = server.says("never", Duration::from_millis(100));
        let told = server.seen.lines().filter(|line| line.contains("WARN"));
        let told: Vec<&str> = told.collect();
        let is_clear = told
            .iter()
            .all(|line| line.contains(&of) && line.contains("our authority"));
        assert!(told.len() == 1 && is_clear, "{told:#?}");
    }
}
