//! `madrpc --version`: the commit that it was built from, wherever that was.
//!
//! Setup: source trees as git makes them, of a few files; git itself only where this test is run in a checkout.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "that is how a test fails"
)]

#[path = "../madrpc-bin/build/commit.rs"]
mod commit;
mod support;

use commit::find;
use std::fs;
use std::path::Path;
use support::process::{Home, stdout};

const FIRST: &str = "1111111111111111111111111111111111111111";
const SECOND: &str = "2222222222222222222222222222222222222222";

/// Files with their texts, in a directory that is gone after the test.
fn tree(files: &[(&str, &str)]) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    for (path, text) in files {
        write(dir.path(), path, text);
    }
    dir
}

fn write(root: &Path, path: &str, text: &str) {
    let path = root.join(path);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, format!("{text}\n")).unwrap();
}

#[test]
fn a_checkout_says_its_commit_and_where_that_will_change() {
    let checkout = tree(&[
        (".git/HEAD", "ref: refs/heads/main"),
        (".git/refs/heads/other", SECOND),
        (
            ".git/packed-refs",
            &format!("# pack-refs with: peeled\n{FIRST} refs/heads/main\n^{SECOND}"),
        ),
    ]);
    let root = checkout.path();
    let found = find(root);
    assert_eq!(found.commit, "111111111111");
    // The branch has no file yet: its directory is what changes.
    assert!(found.seen_in.contains(&root.join(".git/refs/heads")));
    write(root, ".git/refs/heads/main", SECOND);
    let found = find(root);
    assert_eq!(found.commit, "222222222222");
    assert!(found.seen_in.contains(&root.join(".git/refs/heads/main")));
    assert!(found.seen_in.contains(&root.join(".git/HEAD")));
    // What cargo is told to watch and is not there would be built anew each time.
    assert!(found.seen_in[1..].iter().all(|path| path.exists()));
    write(root, ".git/HEAD", FIRST);
    assert_eq!(find(root).commit, "111111111111");
}

#[test]
fn a_worktree_finds_its_branch_in_the_repository_beside_it() {
    let both = tree(&[
        ("main/.git/worktrees/w/HEAD", "ref: refs/heads/w"),
        ("main/.git/worktrees/w/commondir", "../.."),
        ("main/.git/HEAD", SECOND),
        ("main/.git/refs/heads/w", FIRST),
        ("w/.git", "gitdir: ../main/.git/worktrees/w"),
    ]);
    assert_eq!(find(&both.path().join("w")).commit, "111111111111");
}

#[test]
fn an_archive_has_it_written_in_and_a_copy_without_either_is_unknown() {
    let archive = tree(&[
        (".git/HEAD", SECOND),
        ("archive/madrpc-bin/build/commit.txt", FIRST),
        ("copy/madrpc-bin/build/commit.txt", "$Format:%H$"),
        ("empty/file", ""),
    ]);
    assert_eq!(find(&archive.path().join("archive")).commit, "111111111111");
    for name in ["copy", "empty"] {
        assert_eq!(find(&archive.path().join(name)).commit, "unknown", "{name}");
    }
}

#[test]
fn the_command_says_version_commit_and_features() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let version = stdout(&Home::new().run(&["--version"]));
    let commit = find(&root).commit;
    let expected = format!(
        "madrpc {} (commit {commit}, features: discovery, engine, gateway, traces)\n",
        env!("CARGO_PKG_VERSION")
    );
    assert_eq!(version, expected);
    if let Ok(git) = std::process::Command::new("git")
        .arg("-C")
        .arg(&root)
        .args(["rev-parse", "HEAD"])
        .output()
        && git.status.success()
        && root.join(".git").exists()
    {
        assert_eq!(stdout(&git)[..12], commit);
    }
}
