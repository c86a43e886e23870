//! What the members of a shard lack, and who of the fleet has it.

use super::scripts::{Script, Scripts};
use std::collections::{BTreeMap, BTreeSet, HashSet};

/// Members of a script that are tried until some are well.
const OF_SCRIPT_MOST: usize = 8;

/// What the members of a shard have not, and who has it. To see that takes all names of all scripts, so it is seen anew only
/// where it may have changed.
#[derive(Debug, Default)]
pub(super) struct Missing {
    /// What the members have, and all scripts that there are.
    own: BTreeSet<Script>,
    all: Vec<Script>,
    /// The scripts that have something besides, and the ranks of the first of those who have it.
    scripts: BTreeMap<Script, Vec<usize>>,
    /// What it was last seen in, see [`Scripts::content`].
    content: Option<u64>,
    /// How often names were compared.
    #[cfg(test)]
    pub(super) comparisons: usize,
}

impl Missing {
    /// Those who have something may be others.
    pub(super) fn members_changed(&mut self) {
        self.content = None;
    }

    /// The ranks of the first members that have something which the shard's have not: of each script of theirs.
    pub(super) fn ranks(&self) -> impl Iterator<Item = &[usize]> {
        self.scripts.values().map(Vec::as_slice)
    }

    /// The shard's members have these scripts.
    pub(super) fn look(
        &mut self,
        own: BTreeSet<Script>,
        scripts: &Scripts,
        rank: impl Fn(u64) -> Option<usize>,
    ) {
        let content = Some(scripts.content());
        if content == self.content && own == self.own {
            return;
        }
        if own != self.own || !scripts.all().eq(self.all.iter().copied()) {
            self.all = scripts.all().collect();
            self.own = own;
            self.compare(scripts);
        }
        for (script, ranks) in &mut self.scripts {
            // No more are ever had of it.
            let mut first: Vec<usize> = scripts.members(*script).filter_map(&rank).collect();
            first.sort_unstable();
            first.truncate(OF_SCRIPT_MOST);
            *ranks = first;
        }
        self.content = content;
    }

    fn compare(&mut self, scripts: &Scripts) {
        self.scripts.clear();
        #[cfg(test)]
        {
            self.comparisons += 1;
        }
        if self.all.iter().all(|script| self.own.contains(script)) {
            return;
        }
        let own = self.own.iter().flat_map(|script| scripts.names(*script));
        let mut has: HashSet<&str> = own.collect();
        for script in &self.all {
            let is_missing = scripts.names(*script).any(|name| !has.contains(name));
            if is_missing && !self.own.contains(script) {
                has.extend(scripts.names(*script));
                self.scripts.insert(*script, Vec::new());
            }
        }
    }
}
