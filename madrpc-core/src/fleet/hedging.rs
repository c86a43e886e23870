//! When a second member is asked for what a first one has not answered: after the time that a share of the calls of the same
//! function take ("The Tail at Scale", Dean and Barroso, 2013).

use std::time::Duration;

/// The latest calls that the time is taken from.
const SAMPLES: usize = 128;

/// So many are needed.
const SAMPLES_MIN: usize = 20;

/// How often the time is found out anew, in samples.
const EACH: usize = 16;

/// Calls that end sooner than this are never asked twice for: timers are not finer, and to ask costs as much.
const DELAY_MIN: Duration = Duration::from_millis(1);

/// What the latest calls of one function took, in microseconds.
#[derive(Debug)]
pub(super) struct Latencies {
    samples: [u32; SAMPLES],
    count: usize,
    delay: Option<Duration>,
}

impl Default for Latencies {
    fn default() -> Self {
        Self {
            samples: [0; SAMPLES],
            count: 0,
            delay: None,
        }
    }
}

impl Latencies {
    /// A call has taken so long; `percent` is the share of the calls that are not to be asked twice for.
    pub(super) fn note(&mut self, took: Duration, percent: u8) {
        self.samples[self.count % SAMPLES] = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
        self.count = self.count.wrapping_add(1);
        let known = self.count.min(SAMPLES);
        if known < SAMPLES_MIN || !self.count.is_multiple_of(EACH) && self.delay.is_some() {
            return;
        }
        let mut sorted = self.samples;
        let sorted = &mut sorted[..known];
        sorted.sort_unstable();
        let at = (known * usize::from(percent)).div_ceil(100);
        let us = sorted.get(at.saturating_sub(1)).copied();
        let delay = us.map(|us| Duration::from_micros(us.into()));
        self.delay = delay.map(|delay| delay.max(DELAY_MIN));
    }

    /// How long a first member has; `None` while too little is known.
    pub(super) const fn delay(&self) -> Option<Duration> {
        self.delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_delay_is_what_so_many_calls_take_and_follows_them() {
        let mut latencies = Latencies::default();
        let ms = Duration::from_millis;
        for call in 0..SAMPLES_MIN as u64 - 1 {
            latencies.note(ms(call), 95);
        }
        assert_eq!(latencies.delay(), None);
        for call in 0..1000 {
            latencies.note(ms(10 + call % 100), 95);
        }
        let delay = latencies.delay().unwrap();
        assert!((ms(100)..=ms(109)).contains(&delay), "{delay:?}");
        (0..200).for_each(|_| latencies.note(ms(2), 95));
        assert_eq!(latencies.delay(), Some(ms(2)));
        // Never so soon that the timers are all there is to it.
        (0..200).for_each(|_| latencies.note(Duration::from_micros(50), 95));
        assert_eq!(latencies.delay(), Some(DELAY_MIN));
    }
}
