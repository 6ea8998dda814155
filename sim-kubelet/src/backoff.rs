//! Back-off of restarts and image pulls (client-go util/flowcontrol/backoff.go as the kubelet uses it). Pure.

use sim_core::time::{Span, Time, secs};

/// First and longest delay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// First delay.
    pub initial: Span,
    /// Longest delay. An entry is forgotten after twice this long.
    pub max: Span,
}

impl Default for Limits {
    /// 10 s, doubled up to 300 s: restarts and image pulls alike.
    fn default() -> Limits {
        Limits { initial: secs(10), max: secs(300) }
    }
}

/// What is remembered of one container or image. No entry at all is `None` in the functions that take one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Current delay.
    pub delay: Span,
    /// When it was last lengthened: the last start, or the last failed pull.
    pub updated: Time,
}

impl Limits {
    fn expired(&self, entry: &Entry, event: Time) -> bool {
        event - entry.updated > self.max * 2
    }

    /// The instant until which an event (an exit at `event`) must be followed by waiting, if that is after `now`.
    ///
    /// ```
    /// use sim_core::time::{Time, secs};
    /// use sim_kubelet::backoff::Limits;
    /// let limits = Limits::default();
    /// let first = limits.next(None, Time::ZERO, Time::ZERO);
    /// assert_eq!(limits.until(Some(&first), Time::ZERO + secs(3), Time::ZERO + secs(4)), Some(Time::ZERO + secs(13)));
    /// ```
    pub fn until(&self, entry: Option<&Entry>, event: Time, now: Time) -> Option<Time> {
        let entry = entry.filter(|e| !self.expired(e, event))?;
        Some(event + entry.delay).filter(|end| now < *end)
    }

    /// The entry after one more round: doubled, or the first delay if there was none or the container outran it.
    pub fn next(&self, entry: Option<&Entry>, event: Time, now: Time) -> Entry {
        let delay = match entry.filter(|e| !self.expired(e, event)) {
            Some(entry) => (entry.delay * 2).min(self.max),
            None => self.initial,
        };
        Entry { delay, updated: now }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sim_core::time::{mins, nanos};

    #[test]
    fn restarts_wait_ten_seconds_doubled_up_to_five_minutes() {
        let limits = Limits::default();
        let (mut entry, mut exit, mut waits) = (None, Time::ZERO, Vec::new());
        for _ in 0..8 {
            let start = limits.until(entry.as_ref(), exit, exit).unwrap_or(exit);
            waits.push((start - exit).as_secs());
            entry = Some(limits.next(entry.as_ref(), exit, start));
            exit = start + secs(1);
        }
        assert_eq!(waits, [0, 10, 20, 40, 80, 160, 300, 300]);
    }

    #[test]
    fn ten_minutes_of_running_reset_it() {
        let limits = Limits::default();
        let entry = Entry { delay: secs(300), updated: Time::ZERO };
        let at = |span| Time::ZERO + span;
        assert_eq!(limits.until(Some(&entry), at(mins(10)), at(mins(10))), Some(at(mins(15))));
        let late = at(mins(10) + nanos(1));
        assert_eq!(limits.until(Some(&entry), late, late), None);
        assert_eq!(limits.next(Some(&entry), late, late).delay, secs(10));
    }
}
