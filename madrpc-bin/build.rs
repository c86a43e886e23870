//! Tells the command which commit it is built from, for `madrpc --version`.

#[path = "build/commit.rs"]
mod commit;

use std::path::Path;

fn main() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let found = commit::find(&root);
    for path in ["build.rs", "build/commit.rs"]
        .map(Path::new)
        .into_iter()
        .chain(found.seen_in.iter().map(AsRef::as_ref))
    {
        println!("cargo:rerun-if-changed={}", path.display());
    }
    println!("cargo:rustc-env=MADRPC_COMMIT={}", found.commit);
}
