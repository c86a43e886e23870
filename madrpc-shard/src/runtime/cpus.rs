//! The cores that shards are pinned to.
//!
//! glommio's own placement ignores the process' CPU mask, so the cores are chosen here, within what the mask allows.

use core_affinity::CoreId;
use std::collections::BTreeSet;
use std::str::FromStr;

/// A set of cores as written on the command line: `0,2-5`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CpuSet(BTreeSet<usize>);

impl FromIterator<usize> for CpuSet {
    fn from_iter<I: IntoIterator<Item = usize>>(cores: I) -> Self {
        Self(cores.into_iter().collect())
    }
}

/// A core set or a shard count that this process cannot have.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CpuError {
    /// The text is no list of cores.
    #[error("`{0}` is no list of cores: write numbers and ranges, as in 0,2-5")]
    Syntax(String),
    /// A core is named that this process may not use.
    #[error(
        "core {0} is not among those this process may use ({1}): choose others, or widen its CPU mask"
    )]
    NotAllowed(usize, String),
    /// More shards than cores.
    #[error(
        "{shards} shards need as many cores, and there are {cores} ({names}): ask for fewer shards"
    )]
    TooFew {
        /// Shards asked for.
        shards: usize,
        /// Cores there are.
        cores: usize,
        /// Their numbers.
        names: String,
    },
    /// The operating system does not say which cores there are.
    #[error("the cores of this process cannot be read")]
    Unknown,
}

impl FromStr for CpuSet {
    type Err = CpuError;

    fn from_str(text: &str) -> Result<Self, CpuError> {
        let refuse = || CpuError::Syntax(text.to_owned());
        let mut cores = BTreeSet::new();
        for part in text.split(',') {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let first: u16 = first.trim().parse().map_err(|_| refuse())?;
            let last: u16 = last.trim().parse().map_err(|_| refuse())?;
            if first > last {
                return Err(refuse());
            }
            cores.extend((first..=last).map(usize::from));
        }
        Ok(Self(cores))
    }
}

/// The cores for the shards of a server: `shards` of them where given, else all; within `wanted` where given.
///
/// Call it from a thread that is not pinned.
///
/// # Errors
/// Where a core is not allowed, or there are too few.
pub fn choose(wanted: Option<&CpuSet>, shards: Option<usize>) -> Result<Vec<CoreId>, CpuError> {
    let allowed = core_affinity::get_core_ids().ok_or(CpuError::Unknown)?;
    let names = |cores: &[CoreId]| {
        let ids: Vec<_> = cores.iter().map(|core| core.id.to_string()).collect();
        ids.join(",")
    };
    let mut chosen = match wanted {
        None => allowed,
        Some(CpuSet(wanted)) => {
            let missing = wanted
                .iter()
                .find(|&&id| allowed.iter().all(|core| core.id != id));
            if let Some(&id) = missing {
                return Err(CpuError::NotAllowed(id, names(&allowed)));
            }
            allowed
                .into_iter()
                .filter(|core| wanted.contains(&core.id))
                .collect()
        }
    };
    if let Some(shards) = shards {
        if shards > chosen.len() || shards == 0 {
            return Err(CpuError::TooFew {
                shards,
                cores: chosen.len(),
                names: names(&chosen),
            });
        }
        chosen.truncate(shards);
    }
    Ok(chosen)
}

/// Lets this thread run on every core that the process' first thread may use, where it was started by one that is pinned.
#[cfg(feature = "engine")]
pub(crate) fn unpin() {
    // SAFETY: the set is as long as is said, zeros are an empty one, and both calls fail with no more than an error: then the
    // thread stays where it is.
    unsafe {
        let mut cores: libc::cpu_set_t = std::mem::zeroed();
        let length = size_of::<libc::cpu_set_t>();
        if libc::sched_getaffinity(libc::getpid(), length, &raw mut cores) == 0 {
            libc::sched_setaffinity(0, length, &raw const cores);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(cores: &[usize]) -> CpuSet {
        cores.iter().copied().collect()
    }

    #[test]
    fn lists_and_ranges_are_read() {
        assert_eq!("0,2-5".parse(), Ok(set(&[0, 2, 3, 4, 5])));
        assert_eq!("3".parse(), Ok(set(&[3])));
        for text in ["", "a", "5-2", "1,", "-1", "99999999"] {
            assert_eq!(
                text.parse::<CpuSet>(),
                Err(CpuError::Syntax(text.to_owned()))
            );
        }
    }

    #[test]
    fn only_allowed_cores_are_chosen() {
        let all = choose(None, None).unwrap();
        let one = choose(Some(&set(&[all[0].id])), None).unwrap();
        assert_eq!(one, [all[0]]);
        assert_eq!(choose(None, Some(1)).unwrap(), [all[0]]);
        assert!(matches!(
            choose(Some(&set(&[60_000])), None),
            Err(CpuError::NotAllowed(60_000, _))
        ));
        assert!(matches!(
            choose(None, Some(all.len() + 1)),
            Err(CpuError::TooFew { .. })
        ));
    }
}
