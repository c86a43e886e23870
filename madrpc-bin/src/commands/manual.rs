//! What is made of the command line's definition: manual pages, and completions for shells.

use crate::args::{Args, CompletionsArgs, ManArgs};
use crate::exit::{Failure, Reason};
use crate::output;
use clap::CommandFactory;
use clap_mangen::Man;
use std::fs;

pub(crate) fn completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Args::command(), "madrpc", &mut text);
    Ok(output::result(String::from_utf8_lossy(&text).trim_end())?)
}

/// A page for the command and for each of its subcommands, which are called as `man madrpc-node`.
pub(crate) fn pages(args: &ManArgs) -> Result<(), Failure> {
    let mut root = Args::command();
    root.build();
    write(&root, args)
}

fn write(command: &clap::Command, args: &ManArgs) -> Result<(), Failure> {
    for sub in command.get_subcommands().filter(|sub| !sub.is_hide_set()) {
        write(sub, args)?;
    }
    // `build` gives subcommands the name with which they are called; a page's has no spaces.
    let name = command.get_bin_name().unwrap_or("madrpc").replace(' ', "-");
    let path = args.dir.join(format!("{name}.1"));
    let mut page = Vec::new();
    let failed =
        |error: std::io::Error| Failure::new(Reason::Other, format!("{}: {error}", path.display()));
    let title = name.to_uppercase();
    let source = format!("madrpc {}", env!("CARGO_PKG_VERSION"));
    Man::new(command.clone().name(name))
        .title(title)
        .source(source)
        .manual("madrpc")
        .render(&mut page)
        .map_err(failed)?;
    fs::create_dir_all(&args.dir)
        .and_then(|()| fs::write(&path, page))
        .map_err(failed)
}
