//! `madrpc tls show`: what certificates say.

use crate::args::ShowArgs;
use crate::exit::{Failure, Reason};
use crate::identity;
use crate::output::{self, printable};
use madrpc_core::identity::{CertificateInfo, Identity, Role, inspect};
use serde::Serialize;
use std::fmt::Write;
use std::path::{Path, PathBuf};

/// One certificate in the document of `--json`. Keys are only ever added.
#[derive(Serialize)]
struct Row<'a> {
    file: String,
    name: &'a str,
    /// `null` for an authority.
    role: Option<&'a str>,
    dns_names: &'a [String],
    /// Hexadecimal, as a file of revoked certificates has it.
    serial: &'a str,
    issuer: &'a str,
    not_before: &'a str,
    not_after: &'a str,
    /// Negative once it is over.
    days_left: i64,
    fingerprint_sha256: &'a str,
}

pub(super) fn run(args: &ShowArgs) -> Result<(), Failure> {
    if let Some(role) = args.check {
        return identity::of_role(Identity::from_dir(&args.path)?, role).map(drop);
    }
    let files = match args.path.is_dir() {
        true => ["cert.pem", "ca.pem"]
            .map(|name| args.path.join(name))
            .into_iter()
            .filter(|path| path.exists())
            .collect(),
        false => vec![args.path.clone()],
    };
    if files.is_empty() {
        let message = format!(
            "{}: there is no cert.pem and no ca.pem",
            args.path.display()
        );
        return Err(Failure::new(Reason::Other, message));
    }
    let mut shown = Vec::new();
    for file in files {
        let infos = inspect(&file)?;
        shown.extend(infos.into_iter().map(|info| (file.clone(), info)));
    }
    output::result(&match args.json {
        true => json(&shown)?,
        false => text(&shown),
    })?;
    if let Some((file, info)) = shown.iter().find(|(_, info)| info.days_left < 0) {
        let message = format!("{}: it was valid until {}", file.display(), info.not_after);
        return Err(Failure::new(Reason::Other, message));
    }
    if args.path.join("cert.pem").exists() {
        Identity::from_dir(&args.path)?;
    }
    Ok(())
}

fn json(shown: &[(PathBuf, CertificateInfo)]) -> Result<String, Failure> {
    let rows: Vec<_> = shown
        .iter()
        .map(|(file, info)| Row {
            file: file.display().to_string(),
            name: &info.name,
            role: info.role.map(Role::name),
            dns_names: &info.dns_names,
            serial: &info.serial,
            issuer: &info.issuer,
            not_before: &info.not_before,
            not_after: &info.not_after,
            days_left: info.days_left,
            fingerprint_sha256: &info.fingerprint,
        })
        .collect();
    serde_json::to_string(&rows)
        .map_err(|error| Failure::new(Reason::Other, format!("JSON: {error}")))
}

fn text(shown: &[(PathBuf, CertificateInfo)]) -> String {
    let mut out = String::new();
    for (file, info) in shown {
        // Writing to a String cannot fail.
        let _ = one(&mut out, file, info);
    }
    out.trim_end().to_owned()
}

fn one(out: &mut String, file: &Path, info: &CertificateInfo) -> std::fmt::Result {
    let role = info.role.map_or("authority", Role::name);
    writeln!(out, "{}", file.display())?;
    writeln!(out, "  name         {}", printable(&info.name))?;
    writeln!(out, "  role         {role}")?;
    if !info.dns_names.is_empty() {
        let names = info.dns_names.join(", ");
        writeln!(out, "  DNS names    {}", printable(&names))?;
    }
    writeln!(out, "  serial       {}", info.serial)?;
    writeln!(out, "  issued by    {}", printable(&info.issuer))?;
    writeln!(out, "  valid from   {}", info.not_before)?;
    writeln!(
        out,
        "  valid until  {} ({} days left)",
        info.not_after, info.days_left
    )?;
    writeln!(out, "  SHA-256      {}\n", info.fingerprint)
}
