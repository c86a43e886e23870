//! What the shards of an orchestrator know of the nodes, where each has sessions to a part of them: it is told to all.

use super::tell;
use crate::net::dial::FleetNews;
use crate::server::messages::{Inbox, ToShard};
use madrpc_core::fleet::Scripts;
use madrpc_core::numbers::later;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How often the shards are told: a script goes through a fleet, and each node says so.
const TELL_EACH: Duration = Duration::from_millis(50);

pub(super) struct Known {
    inboxes: Vec<Inbox>,
    scripts: Scripts,
    has_news: bool,
    told_at: Option<Instant>,
}

impl Known {
    pub(super) fn new(inboxes: Vec<Inbox>) -> Self {
        Self {
            inboxes,
            scripts: Scripts::default(),
            has_news: false,
            told_at: None,
        }
    }

    pub(super) fn note(&mut self, news: Vec<FleetNews>) {
        for one in news {
            self.has_news |= match one {
                FleetNews::Has {
                    member,
                    script,
                    announcement,
                } => self.scripts.note(member, script, &announcement),
                FleetNews::Gone(member) => self.scripts.forget(member),
            };
        }
    }

    /// When to take the next turn at the latest.
    pub(super) fn next_timer(&self, now: Instant) -> Option<Instant> {
        let due = self.told_at.map_or(now, |at| later(at, TELL_EACH));
        self.has_news.then_some(due)
    }

    /// Tells the shards, where there are news and it is not too soon.
    pub(super) fn turn(&mut self, now: Instant) {
        if self.next_timer(now).is_some_and(|due| now >= due) {
            let scripts = Arc::new(self.scripts.clone());
            tell(&self.inboxes, || ToShard::Scripts(Arc::clone(&scripts)));
            (self.has_news, self.told_at) = (false, Some(now));
        }
    }
}
