//! A certificate that is not valid now: its time is over, or the clock of a machine that has just booted is wrong. It is
//! one answer wherever the certificate comes from: exit code 1, which has a service manager try again.
//!
//! Setup: certificates that were over a year ago, made here because the command makes none.
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
use boring::x509::extension::{BasicConstraints, SubjectAlternativeName};
use boring::x509::{X509, X509Name};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use support::process::{Home, refused};

const YEAR: Duration = Duration::from_secs(365 * 24 * 3600);

/// A time so many years before now.
fn ago(years: u32) -> Asn1Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    Asn1Time::from_unix((now - YEAR * years).as_secs().try_into().unwrap()).unwrap()
}

/// A certificate that was over a year ago, of its own authority where `issuer` is none.
fn over(names: &[&str], issuer: Option<&(X509, PKey<Private>)>) -> (X509, PKey<Private>) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509Name::builder().unwrap();
    name.append_entry_by_nid(
        Nid::COMMONNAME,
        if issuer.is_none() { "over ca" } else { "over" },
    )
    .unwrap();
    let name = name.build();
    let mut builder = X509::builder().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(7).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name).unwrap();
    let of_issuer = issuer.map_or(&*name, |(issuer, _)| issuer.subject_name());
    builder.set_issuer_name(of_issuer).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder.set_not_before(&ago(3)).unwrap();
    builder.set_not_after(&ago(1)).unwrap();
    let mut constraints = BasicConstraints::new();
    if issuer.is_none() {
        constraints.ca();
    }
    builder
        .append_extension(&constraints.critical().build().unwrap())
        .unwrap();
    if !names.is_empty() {
        let mut alternative = SubjectAlternativeName::new();
        for name in names {
            alternative.dns(name);
        }
        let context = builder.x509v3_context(None, None);
        let alternative = alternative.build(&context).unwrap();
        builder.append_extension(&alternative).unwrap();
    }
    let signer = issuer.map_or(&key, |(_, signer)| signer);
    builder.sign(signer, MessageDigest::sha256()).unwrap();
    (builder.build(), key)
}

/// A home with directories: `issued`, as `madrpc tls issue` writes them, and `own`, with an authority as processes make it.
fn home() -> Home {
    let home = Home::new();
    let authority = over(&[], None);
    let names = [
        "node.madrpc.internal",
        "orchestrator.madrpc.internal",
        "server.madrpc.internal",
    ];
    let leaf = over(&names, Some(&authority));
    let write = |path: &str, pem: Vec<u8>| {
        let path = home.write(path, &String::from_utf8(pem).unwrap());
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600)).unwrap();
    };
    for dir in ["issued", "own"] {
        std::fs::create_dir(home.path(dir)).unwrap();
        std::fs::set_permissions(home.path(dir), std::fs::Permissions::from_mode(0o700)).unwrap();
        write(&format!("{dir}/ca.pem"), authority.0.to_pem().unwrap());
    }
    write(
        "own/ca.key",
        authority.1.private_key_to_pem_pkcs8().unwrap(),
    );
    write("issued/cert.pem", leaf.0.to_pem().unwrap());
    write("issued/key.pem", leaf.1.private_key_to_pem_pkcs8().unwrap());
    home
}

#[test]
fn a_server_whose_certificate_is_over_is_to_be_started_again() {
    let home = home();
    let command = |args: &[&str], more: &[&str], dir: &str| -> Command {
        let mut command = home.command(&[args, more].concat());
        command.env("MADRPC_TLS_DIR", home.path(dir));
        command
    };
    let node = ["node", "-s", "script.js", "-b", "127.0.0.1:0"];
    let orchestrator = ["orchestrator", "-n", "127.0.0.1:1", "-b", "127.0.0.1:0"];
    let files = [
        "--tls-ca",
        "issued/ca.pem",
        "--tls-cert",
        "issued/cert.pem",
        "--tls-key",
        "issued/key.pem",
    ];
    let words = ["is valid from", "not now", "set the clock"];
    for server in [&node[..], &orchestrator[..]] {
        for dir in ["issued", "own"] {
            refused(&command(server, &[], dir).output().unwrap(), 1, &words);
            refused(
                &command(server, &["--check"], dir).output().unwrap(),
                1,
                &words,
            );
        }
        refused(
            &command(server, &files, "nowhere").output().unwrap(),
            1,
            &words,
        );
        let mut of_unit = command(server, &[], "nowhere");
        of_unit.env("CREDENTIALS_DIRECTORY", home.path("issued"));
        refused(&of_unit.output().unwrap(), 1, &words);
    }
    refused(
        &command(&["dev", "script.js"], &[], "own").output().unwrap(),
        1,
        &words,
    );
    let shown = home.run(&["tls", "show", "issued", "--check", "node"]);
    refused(&shown, 1, &words);
}
