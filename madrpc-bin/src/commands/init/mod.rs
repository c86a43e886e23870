//! `madrpc init`: a first script, and what an editor needs to complete and check it.

use crate::args::InitScriptArgs;
use crate::exit::{Failure, Reason};
use crate::output::say;
use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};

/// What is written, in this order; of the types of the script API, the package has a copy.
const FILES: [(&str, &str); 3] = [
    ("script.js", include_str!("script.js")),
    ("jsconfig.json", include_str!("jsconfig.json")),
    ("madrpc.d.ts", include_str!("madrpc.d.ts")),
];

pub(crate) fn run(args: &InitScriptArgs) -> Result<(), Failure> {
    let dir = args.dir.display();
    let failed = |what: String| Failure::new(Reason::Other, what);
    let there = FILES.iter().find(|(name, _)| {
        // A link that leads nowhere is one too.
        fs::symlink_metadata(args.dir.join(name)).is_ok()
    });
    if let Some((name, _)) = there {
        let path = args.dir.join(name);
        return Err(failed(format!(
            "{} is there already: nothing was written",
            path.display()
        )));
    }
    fs::create_dir_all(&args.dir)
        .map_err(|error| failed(format!("{dir}: cannot be made: {error}")))?;
    for (name, text) in FILES {
        let path = args.dir.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&path);
        let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
        written.map_err(|error| match error.kind() {
            ErrorKind::AlreadyExists => failed(format!("{} is there already", path.display())),
            _ => failed(format!("{}: cannot be written: {error}", path.display())),
        })?;
    }
    let script = args.dir.join("script.js");
    say(&format!(
        "made script.js, jsconfig.json and madrpc.d.ts in {dir}: run it with `madrpc dev {}`",
        script.display()
    ));
    Ok(())
}
