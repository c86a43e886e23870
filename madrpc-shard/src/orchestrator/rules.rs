//! Rules of `--allow` that speak of a function which no node has: most likely it is spelt otherwise, and what it is to keep from
//! callers is free to all. Nodes may still be starting, so that is told a while after the first has said what it has.

use madrpc_core::fleet::Router;
use madrpc_core::identity::Permissions;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tracing::warn;

/// How long the other nodes have to come, and those that have come, to say what they have.
const PATIENCE: Duration = Duration::from_secs(5);
const PATIENCE_MAX: Duration = Duration::from_secs(60);

/// How often it is seen whether they have.
const INTERVAL: Duration = Duration::from_secs(1);

/// What is told once.
pub(super) struct Rules {
    permissions: Arc<Permissions>,
    due: Option<Due>,
}

/// When it is looked next, and for the last time.
#[derive(Clone, Copy)]
struct Due {
    next: Instant,
    last: Instant,
}

impl Rules {
    pub(super) const fn new(permissions: Arc<Permissions>) -> Self {
        Self {
            permissions,
            due: None,
        }
    }

    /// Says it, when it is time; whether that is over.
    #[cold]
    pub(super) fn look(&mut self, router: &Router, now: Instant) -> bool {
        let Some(warning) = self.judge(router, now) else {
            return false;
        };
        if !warning.is_empty() {
            warn!("{warning}");
        }
        true
    }

    /// What is to be said, which may be nothing; `None` while it is too early.
    fn judge(&mut self, router: &Router, now: Instant) -> Option<String> {
        if !router.has_functions() {
            self.due = None;
            return None;
        }
        let due = self.due.get_or_insert(Due {
            next: now + PATIENCE,
            last: now + PATIENCE_MAX,
        });
        if now < due.next {
            return None;
        }
        // One that has said nothing may have anything.
        let have_all_said = router.have_all_said();
        if !have_all_said && now < due.last {
            due.next = now + INTERVAL;
            return None;
        }
        let named = self.permissions.named();
        let idle = named.filter(|(function, _)| router.find(function).is_none());
        let rules: Vec<String> = idle.map(|(_, rule)| format!("'{rule}'")).collect();
        if rules.is_empty() {
            return Some(String::new());
        }
        let none = match have_all_said {
            true => "no node has such a function",
            false => "no node that has said what it has has such a function",
        };
        Some(format!("--allow {}: {none}", rules.join(" and ")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use madrpc_core::call::Announcement;
    use madrpc_core::call::catalog::FunctionOptions;

    fn announcement() -> Announcement {
        let functions = vec![("once".to_owned(), FunctionOptions::default())];
        Announcement { functions }
    }

    fn rules() -> Rules {
        let rules = ["once=*:*", "onc=*:*"].map(|rule| rule.parse().unwrap());
        Rules::new(Arc::new(Permissions::new(rules.to_vec())))
    }

    #[test]
    fn what_a_node_has_not_said_in_time_is_waited_for_but_not_for_ever() {
        let begun = Instant::now();
        let at = |ms| begun + Duration::from_millis(ms);
        let (mut late, mut never) = (rules(), rules());
        let mut router = Router::new(begun);
        for node in 0..2 {
            router.add(node);
            router.set_reachable(node, true, false);
        }
        assert_eq!(late.judge(&router, at(0)), None);
        router.announce(0, 1, &announcement());
        for second in 1..60 {
            for rules in [&mut late, &mut never] {
                assert_eq!(rules.judge(&router, at(second * 1000)), None);
            }
        }
        let told = never.judge(&router, at(61_000)).unwrap();
        let all = "--allow 'onc=*:*': no node that has said what it has has such a function";
        assert_eq!(told, all);
        router.announce(1, 1, &announcement());
        let told = late.judge(&router, at(60_000)).unwrap();
        assert_eq!(told, "--allow 'onc=*:*': no node has such a function");
    }
}
