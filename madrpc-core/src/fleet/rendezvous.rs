//! Rendezvous hashing (Thaler and Ravishankar, 1998): whoever has the greatest weight for a key has the key.
//!
//! Nothing is agreed upon but names, so every orchestrator comes to the same. A member that comes or goes changes only what it
//! gets or had. The hash is written down here, as it must be the same in every process and version.

/// What a key or a name is told from others by: FNV-1a, mixed.
#[must_use]
pub fn digest(bytes: &[u8]) -> u64 {
    let hash = bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash: u64, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    mix(hash)
}

/// How much a member has to do with a key; both are digests.
#[inline]
pub(super) const fn weight(key: u64, member: u64) -> u64 {
    mix(key ^ member)
}

/// The last step of SplitMix64: every bit of the number counts for every bit of what comes out.
const fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

/// Which members the shards of one process have sessions to.
///
/// The members stand in an order of the process' own, by their weights for it, and each shard has the next `size` of them, from
/// the beginning again after the last: of one process no member has more than one shard more than another. A member that goes
/// moves those behind it up by one, so no shard changes more than one or two.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Subset {
    /// The digest of what tells the process from all others, and stays when it is started again.
    pub process: u64,
    /// Which shard of it.
    pub shard: usize,
    /// How many shards it has.
    pub shards: usize,
    /// How many members each has.
    pub size: usize,
}

impl Subset {
    /// Which of the members it has; `members` are the digests of their names, and what is given are places among them.
    #[must_use]
    pub fn of(&self, members: &[u64]) -> Vec<usize> {
        let mut order = self.order(members);
        order.truncate(self.size);
        order
    }

    /// All of the members in the order in which the shard has them.
    #[must_use]
    pub fn order(&self, members: &[u64]) -> Vec<usize> {
        let mut order = self.order_of_process(members);
        if !order.is_empty() {
            let begin = self.shard.wrapping_mul(self.size) % order.len();
            order.rotate_left(begin);
        }
        order
    }

    /// Those that no shard of the process has, and that are this one's to ask what they have.
    #[must_use]
    pub fn left_over(&self, members: &[u64]) -> Vec<usize> {
        let all = self.shards.saturating_mul(self.size);
        let order = self.order_of_process(members).into_iter();
        let own = order.skip(all.saturating_add(self.shard));
        own.step_by(self.shards.max(1)).collect()
    }

    fn order_of_process(&self, members: &[u64]) -> Vec<usize> {
        let mut order: Vec<usize> = (0..members.len()).collect();
        // Of two of one weight the digest decides, so that it does not depend on where they stand.
        order.sort_unstable_by_key(|&at| (weight(self.process, members[at]), members[at]));
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    fn names(count: usize) -> Vec<u64> {
        let name = |number| digest(format!("node-{number}.example:9001").as_bytes());
        (0..count).map(name).collect()
    }

    /// What each of so many processes of so many shards has, as digests.
    fn subsets(
        members: &[u64],
        processes: usize,
        shards: usize,
        size: usize,
    ) -> Vec<BTreeSet<u64>> {
        let of = |number: usize| {
            let process = digest(format!("orchestrator-{}", number / shards).as_bytes());
            let shard = number % shards;
            let subset = Subset {
                process,
                shard,
                shards,
                size,
            };
            let places = subset.of(members).into_iter();
            places.map(|place| members[place]).collect()
        };
        (0..processes * shards).map(of).collect()
    }

    #[test]
    fn the_hash_is_what_it_was() {
        // Processes of other versions come to the same.
        assert_eq!(digest(b""), 0xf52a_15e9_a9b5_e89b);
        assert_eq!(digest(b"node-1.example:9001"), 0x1c27_b160_ddb9_3828);
        assert_eq!(weight(1, 2), 0x1e53_5eed_e314_28f0);
    }

    #[test]
    #[cfg_attr(miri, ignore = "half a million weights are minutes")]
    fn each_shard_has_as_many_and_no_member_has_many_more_than_others() {
        let members = names(100);
        let subsets = subsets(&members, 10, 10, 20);
        assert!(subsets.iter().all(|subset| subset.len() == 20));
        let sessions = |member| {
            subsets
                .iter()
                .filter(|subset| subset.contains(member))
                .count()
        };
        // Ten processes with 200 sessions each: two to each member of each.
        assert!(members.iter().all(|member| sessions(member) == 20));
        // 1,000 members, of whom each process has a fifth.
        let members = names(1000);
        let subsets = self::subsets(&members, 50, 10, 20);
        let sessions = |member: &u64| {
            subsets
                .iter()
                .filter(|subset| subset.contains(member))
                .count()
        };
        let most = members.iter().map(sessions).max().unwrap();
        let none = members
            .iter()
            .filter(|member| sessions(member) == 0)
            .count();
        assert!(most <= 22 && none == 0, "{most}, {none}");
    }

    #[test]
    fn a_member_that_goes_changes_few_sessions() {
        let members = names(200);
        let before = subsets(&members, 5, 8, 20);
        let after = subsets(&members[..199], 5, 8, 20);
        let new =
            |(before, after): (&BTreeSet<u64>, &BTreeSet<u64>)| after.difference(before).count();
        let new: Vec<usize> = before.iter().zip(&after).map(new).collect();
        assert!(new.iter().all(|count| *count <= 2), "{new:?}");
    }

    #[test]
    fn fewer_members_than_a_subset_are_all_in_it() {
        let subset = Subset {
            process: 7,
            shard: 3,
            shards: 4,
            size: 20,
        };
        let mut three = subset.of(&names(3));
        three.sort_unstable();
        assert_eq!(three, [0, 1, 2]);
        assert_eq!(subset.left_over(&names(3)), [] as [usize; 0]);
        assert_eq!(subset.of(&[]), [] as [usize; 0]);
    }
}
