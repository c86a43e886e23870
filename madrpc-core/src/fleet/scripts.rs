//! What the members of a fleet have said that they have: the shards of a process tell each other.

use super::rendezvous::{digest, weight};
use crate::call::Announcement;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

/// A script by what a member says of it: the digest that it tells, and that of what it has by it. Two versions of madrpc may have
/// different functions by the same script, and a member may say anything: what one says holds for itself.
pub(super) type Script = (u64, u64);

/// What the members of a fleet have, as far as it is known: by their digests.
#[derive(Debug, Clone, Default)]
pub struct Scripts {
    members: HashMap<u64, Script>,
    scripts: BTreeMap<Script, Known>,
    content: u64,
}

#[derive(Debug, Clone)]
struct Known {
    said: Arc<Announcement>,
    members: BTreeSet<u64>,
}

impl Scripts {
    /// A member has this; says whether that is new.
    pub fn note(&mut self, member: u64, script: u64, announcement: &Arc<Announcement>) -> bool {
        let script = (script, digest(&announcement.encode()));
        let before = self.members.insert(member, script);
        if before == Some(script) {
            return false;
        }
        self.content ^= mark(member, script);
        let known = self.scripts.entry(script);
        let known = known.or_insert_with(|| Known {
            said: Arc::clone(announcement),
            members: BTreeSet::new(),
        });
        known.members.insert(member);
        if let Some(before) = before {
            self.leave(member, before);
        }
        true
    }

    /// A member is none any more; says whether anything was known of it.
    pub fn forget(&mut self, member: u64) -> bool {
        let script = self.members.remove(&member);
        if let Some(script) = script {
            self.leave(member, script);
        }
        script.is_some()
    }

    fn leave(&mut self, member: u64, script: Script) {
        self.content ^= mark(member, script);
        if let Some(known) = self.scripts.get_mut(&script) {
            known.members.remove(&member);
            if known.members.is_empty() {
                self.scripts.remove(&script);
            }
        }
    }

    /// By which script a member has what it has, as it tells itself.
    #[must_use]
    pub fn script_of(&self, member: u64) -> Option<u64> {
        self.members.get(&member).map(|(script, _)| *script)
    }

    /// What a member has.
    #[must_use]
    pub fn of(&self, member: u64) -> Option<&Arc<Announcement>> {
        let known = self.scripts.get(self.members.get(&member)?)?;
        Some(&known.said)
    }

    /// Tells which scripts which members have from any others, whoever has noted it and in whatever order.
    pub(super) const fn content(&self) -> u64 {
        self.content
    }

    pub(super) fn get(&self, member: u64) -> Option<Script> {
        self.members.get(&member).copied()
    }

    /// All scripts that some member has, in their order.
    pub(super) fn all(&self) -> impl Iterator<Item = Script> {
        self.scripts.keys().copied()
    }

    /// Who has a script.
    pub(super) fn members(&self, script: Script) -> impl Iterator<Item = u64> {
        let known = self.scripts.get(&script).into_iter();
        known.flat_map(|known| known.members.iter().copied())
    }

    /// The names of the functions that a script has.
    pub(super) fn names(&self, script: Script) -> impl Iterator<Item = &str> {
        let known = self.scripts.get(&script).into_iter();
        let functions = known.flat_map(|known| known.said.functions.iter());
        functions.map(|(name, _)| name.as_str())
    }
}

/// What is noted and left out again by the same step: a number for a member with a script.
const fn mark(member: u64, (script, said): Script) -> u64 {
    weight(weight(member, script).wrapping_add(1), said)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::catalog::FunctionOptions;

    fn said(name: &str) -> Arc<Announcement> {
        let functions = vec![(name.to_owned(), FunctionOptions::default())];
        Arc::new(Announcement { functions })
    }

    #[test]
    fn what_a_member_says_holds_for_itself_whatever_others_say_by_the_same_script() {
        let mut scripts = Scripts::default();
        assert!(scripts.note(1, 7, &said("a lie")));
        assert!(scripts.note(2, 7, &said("f")));
        assert!(scripts.note(3, 7, &said("f")) && !scripts.note(3, 7, &said("f")));
        assert_eq!(scripts.script_of(2), Some(7));
        assert_eq!(scripts.of(2), Some(&said("f")));
        assert!(Arc::ptr_eq(scripts.of(2).unwrap(), scripts.of(3).unwrap()));
        assert_eq!(scripts.all().count(), 2);
        assert!(scripts.note(1, 7, &said("f")) && scripts.all().count() == 1);
        assert!((1..4).all(|member| scripts.forget(member)) && !scripts.forget(1));
        assert_eq!(scripts.all().count(), 0);
    }

    #[test]
    fn who_has_what_is_told_from_anything_else_that_members_may_have() {
        let note = |scripts: &mut Scripts, all: &[(u64, u64)]| {
            for (member, script) in all {
                scripts.note(*member, *script, &said("f"));
            }
            scripts.content()
        };
        let mut seen = BTreeSet::new();
        for all in [[(1, 7), (2, 8)], [(1, 8), (2, 7)], [(1, 7), (2, 7)]] {
            let content = note(&mut Scripts::default(), &all);
            let mut otherwise = Scripts::default();
            note(&mut otherwise, &[(3, 7), (2, 9), all[1], all[0]]);
            assert!(otherwise.forget(3) && otherwise.content() == content);
            assert!(seen.insert(content));
        }
        assert_eq!(Scripts::default().content(), 0);
    }
}
