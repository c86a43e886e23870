//! How much of its cores a process may have: shards that have less than a core each are stopped in the middle of calls, so
//! that is told at the start.

use std::fs;
use std::path::Path;

/// What to say where the control group grants less CPU time than so many shards can use.
pub(crate) fn lacking(shards: usize) -> Option<String> {
    let groups = fs::read_to_string("/proc/self/cgroup").ok()?;
    let cores = quota(Path::new("/sys/fs/cgroup"), &groups)?;
    (cores < shards as f64).then(|| {
        format!(
            "the control group grants {cores:.2} cores to {shards} shards (cpu.max): all of them are stopped for a part of \
             each period, in the middle of calls; raise CPUQuota=, or ask for fewer shards"
        )
    })
}

/// The CPU time that control groups (version 2) below `root` grant this process, in cores; `None`: no bound. `groups` is
/// what /proc/self/cgroup says.
fn quota(root: &Path, groups: &str) -> Option<f64> {
    let group = groups.lines().find_map(|line| line.strip_prefix("0::/"))?;
    let bound = |group: &Path| {
        let text = fs::read_to_string(root.join(group).join("cpu.max")).ok()?;
        let (quota, period) = text.trim().split_once(' ')?;
        Some(quota.parse::<f64>().ok()? / period.parse::<f64>().ok()?)
    };
    // The tightest of all groups that it is in holds.
    let bounds = Path::new(group).ancestors().filter_map(bound);
    bounds.min_by(f64::total_cmp)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tightest_quota_on_the_way_up_holds() {
        let root = tempfile::tempdir().unwrap();
        let unit = root.path().join("system.slice/madrpc-node.service");
        fs::create_dir_all(&unit).unwrap();
        let groups = "1:cpu:/elsewhere\n0::/system.slice/madrpc-node.service\n";
        let write = |group: &Path, text: &str| fs::write(group.join("cpu.max"), text).unwrap();
        assert_eq!(quota(root.path(), groups), None);
        write(&unit, "max 100000\n");
        assert_eq!(quota(root.path(), groups), None);
        write(&unit, "350000 100000\n");
        assert_eq!(quota(root.path(), groups), Some(3.5));
        write(&root.path().join("system.slice"), "100000 50000\n");
        assert_eq!(quota(root.path(), groups), Some(2.0));
        assert_eq!(quota(root.path(), "0::/\n"), None);
        assert_eq!(quota(root.path(), "4:cpu:/only-version-1\n"), None);
    }
}
