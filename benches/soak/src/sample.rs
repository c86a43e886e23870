//! What the kernel knows of a process.

use std::fs;

/// A process at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Sample {
    /// Seconds since the run began.
    pub(crate) at_s: f64,
    /// Memory that is there, in MiB: the resident set.
    pub(crate) rss_mib: f64,
    /// Its part that is of no file, with what is shared divided among those that share it. Pages of programs come and
    /// go as the machine has room for them.
    pub(crate) own_mib: f64,
    /// Open descriptors.
    pub(crate) descriptors: usize,
    /// Threads.
    pub(crate) threads: u64,
    /// Time on a core so far.
    pub(crate) cpu_s: f64,
}

impl Sample {
    /// `None` for a process that has ended.
    pub(crate) fn read(process: u32, at_s: f64) -> Option<Self> {
        let memory = fs::read_to_string(format!("/proc/{process}/smaps_rollup")).ok()?;
        let mib = |name: &str| {
            let line = memory.lines().find_map(|line| line.strip_prefix(name))?;
            let kib: f64 = line.trim().strip_suffix(" kB")?.parse().ok()?;
            Some(kib / 1024.0)
        };
        let stat = Stat::read(process)?;
        Some(Self {
            at_s,
            rss_mib: mib("Rss:")?,
            own_mib: mib("Pss_Anon:")? + mib("Pss_Shmem:")?,
            descriptors: fs::read_dir(format!("/proc/{process}/fd")).ok()?.count(),
            threads: stat.field(20)?,
            cpu_s: stat.seconds([14, 15])?,
        })
    }
}

/// The fields of a process' `stat`, numbered as in proc_pid_stat(5).
struct Stat(Vec<u64>);

impl Stat {
    fn read(process: u32) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        // The name of the program may hold anything but ends with the last bracket.
        let fields = stat.rsplit_once(") ")?.1.split(' ');
        Some(Self(
            fields.map(|field| field.parse().unwrap_or(0)).collect(),
        ))
    }

    fn field(&self, number: usize) -> Option<u64> {
        self.0.get(number.checked_sub(3)?).copied()
    }

    fn seconds(&self, numbers: impl IntoIterator<Item = usize>) -> Option<f64> {
        let ticks = numbers.into_iter().map(|number| self.field(number));
        Some(ticks.sum::<Option<u64>>()? as f64 / TICKS_PER_S)
    }
}

/// USER_HZ, which is this on every Linux that matters here.
const TICKS_PER_S: f64 = 100.0;

/// The time that cores have spent so far on others than these processes and those of their children that have ended, in
/// seconds; what a host takes from a virtual machine counts too.
pub(crate) fn cpu_of_others_s(ours: impl IntoIterator<Item = u32>) -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    let fields: Vec<u64> = stat
        .lines()
        .next()?
        .split_ascii_whitespace()
        .skip(1)
        .map(|field| field.parse().unwrap_or(0))
        .collect();
    // user, nice, system, steal (proc_stat(5)).
    let busy: u64 = [0, 1, 2, 7].iter().filter_map(|&at| fields.get(at)).sum();
    let ours = ours
        .into_iter()
        .filter_map(|process| Stat::read(process)?.seconds(14..=17));
    Some(busy as f64 / TICKS_PER_S - ours.sum::<f64>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn our_own_work_is_not_that_of_others() {
        let id = std::process::id();
        let (ours, others) = (
            || Stat::read(id).unwrap().seconds(14..=17).unwrap(),
            || cpu_of_others_s([id]).unwrap(),
        );
        let (before, all_before) = (ours(), others());
        while ours() < before + 0.3 {}
        let all = others() - all_before + ours() - before;
        assert!(all >= 0.25, "{all}");
        assert!((cpu_of_others_s([]).unwrap() - others() - ours()).abs() < 0.5);
    }

    #[test]
    fn descriptors_and_mebibytes_are_seen() {
        let id = std::process::id();
        let before = Sample::read(id, 0.0).unwrap();
        // More than the other tests of this process may close or free meanwhile.
        let opened: Vec<_> = (0..100)
            .map(|_| fs::File::open("/dev/null").unwrap())
            .collect();
        let touched = vec![1u8; 64 << 20];
        let after = Sample::read(id, 1.0).unwrap();
        assert!(after.descriptors > before.descriptors);
        assert!(after.rss_mib > before.rss_mib + 32.0);
        assert!(after.own_mib > before.own_mib + 32.0);
        drop((opened, touched));
        assert!(Sample::read(u32::MAX, 0.0).is_none());
    }
}
