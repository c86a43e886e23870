//! `madrpc tls init` and `issue`: the authority of a fleet, and what each machine gets from it.

use crate::args::{InitArgs, IssueArgs};
use crate::exit::{Failure, Reason};
use crate::output::say;
use madrpc_core::identity::{Authority, inspect};

pub(super) fn init(args: &InitArgs) -> Result<(), Failure> {
    Authority::init(&args.dir, &args.name)?;
    say(&format!(
        "made the authority `{}` in {}: keep ca.key from everybody, and off the machines of the fleet",
        args.name,
        args.dir.display()
    ));
    Ok(())
}

pub(super) fn issue(args: &IssueArgs) -> Result<(), Failure> {
    if !args.ca.join("ca.pem").exists() {
        return Err(Failure::new(
            Reason::Other,
            format!(
                "{} holds no authority: name the directory that `madrpc tls init` has made",
                args.ca.display()
            ),
        ));
    }
    let authority = Authority::load(&args.ca)?;
    let identity = authority.issue_to(&args.name, args.role, args.days)?;
    let dir = args.out.join(args.role.name());
    identity.save(&dir)?;
    let made = inspect(&dir.join("cert.pem"))?;
    let until = made.first().map_or("", |info| info.not_after.as_str());
    say(&format!(
        "made a certificate of the {} `{}`, valid until {until}: {}/ca.pem, cert.pem, key.pem",
        args.role,
        args.name,
        dir.display()
    ));
    Ok(())
}
