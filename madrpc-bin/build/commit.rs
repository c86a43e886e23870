//! Which commit a source tree is of: what git says of a checkout, or what it wrote into an archive that it made.
//!
//! Git's files are read and git is not run: it may not be installed, it refuses a checkout of somebody else, and it would
//! speak of the repository around an unpacked archive.

use std::fs;
use std::path::{Path, PathBuf};

/// Digits of a commit that are shown.
const DIGITS: usize = 12;

/// What is known of a tree.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The first digits of its commit, or `unknown`.
    pub(crate) commit: String,
    /// Files and directories that change when the commit does.
    pub(crate) seen_in: Vec<PathBuf>,
}

/// Finds the commit of the tree below `root`.
pub(crate) fn find(root: &Path) -> Found {
    // `git archive` replaces the placeholder that stands there (.gitattributes).
    let archived = root.join("madrpc-bin/build/commit.txt");
    let mut seen_in = vec![archived.clone()];
    let commit = of_checkout(root, &mut seen_in).or_else(|| read(&archived));
    let commit = commit.filter(|commit| is_commit(commit));
    Found {
        commit: commit.map_or("unknown".into(), |commit| commit[..DIGITS].into()),
        seen_in,
    }
}

fn of_checkout(root: &Path, seen_in: &mut Vec<PathBuf>) -> Option<String> {
    let mut dir = root.join(".git");
    if dir.is_file() {
        // A worktree beside its repository.
        dir = root.join(read(&dir)?.strip_prefix("gitdir: ")?);
    }
    let head = dir.join("HEAD");
    let text = read(&head)?;
    seen_in.push(head);
    let Some(branch) = text.strip_prefix("ref: ") else {
        return Some(text);
    };
    let common = read(&dir.join("commondir")).map_or(dir.clone(), |common| dir.join(common));
    let file = common.join(branch);
    // A branch that has no file yet gets one with its next commit.
    seen_in.extend(
        file.ancestors()
            .find(|path| path.exists())
            .map(Path::to_owned),
    );
    let packed = common.join("packed-refs");
    let of_packed = || {
        let lines = read(&packed)?;
        let mut found = lines.lines().filter_map(|line| line.split_once(' '));
        found.find_map(|(commit, name)| (name == branch).then(|| commit.to_owned()))
    };
    let commit = read(&file).or_else(of_packed);
    seen_in.extend(packed.exists().then_some(packed));
    commit
}

fn read(path: &Path) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.trim().to_owned())
}

/// SHA-1 or SHA-256, in hexadecimal.
fn is_commit(text: &str) -> bool {
    [40, 64].contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}
