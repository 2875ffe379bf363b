//! The last hour of each real server, from the daemon's events and reports. Pure.

use crate::state::{HISTORY, History, Part, ServerKey};
use ldirectord::event::{Event, What};
use ldirectord::metrics::MetricsReport;
use ldirectord::status::{ServerState, UnixTime};
use std::collections::{HashMap, HashSet};

/// Changes and failures of one server that are kept: a server that flaps each second for an hour has more.
const MOST: usize = 400;

/// Remembers.
#[derive(Debug, Default)]
pub struct Tracker {
    servers: HashMap<ServerKey, History>,
    /// The number of the last event that was taken.
    last: u64,
    /// Its time: a daemon that has started anew counts from 1 again.
    last_ms: u64,
}

impl Tracker {
    /// The number after which events are wanted.
    pub fn after(&self) -> u64 {
        self.last
    }

    /// Takes events. Whether there was one that this did not know.
    pub fn events(&mut self, text: &str) -> bool {
        let mut any = false;
        for event in text.lines().filter_map(|line| serde_json::from_str::<Event>(line).ok()) {
            if event.seq <= self.last && event.time_ms <= self.last_ms {
                continue;
            }
            any = true;
            self.last = event.seq;
            self.last_ms = self.last_ms.max(event.time_ms);
            self.event(event);
        }
        any
    }

    fn event(&mut self, event: Event) {
        let at = UnixTime::try_from(event.time_ms / 1000).unwrap_or(UnixTime::MAX);
        match event.what {
            What::Transition { service, server, to, .. } => {
                let state = match to.as_str() {
                    "up" => ServerState::Up,
                    "down" => ServerState::Down,
                    "maintenance" => ServerState::Maintenance,
                    _ => ServerState::Unknown,
                };
                self.servers.entry((service, server)).or_default().becomes(state, at);
            }
            What::SoftFailure { service, server, .. } => {
                let history = self.servers.entry((service, server)).or_default();
                history.soft_failures.push(at);
            }
            What::Started { .. }
            | What::Ending { .. }
            | What::Table { .. }
            | What::TableRefused { .. }
            | What::TableRecovered { .. }
            | What::Hook { .. }
            | What::Reload { .. }
            | What::Operator { .. }
            | What::Fault { .. } => {}
        }
    }

    /// Takes a report, and forgets servers that it does not have and what is older than an hour.
    pub fn report(&mut self, report: &MetricsReport, now: UnixTime) {
        let mut configured = HashSet::new();
        for service in &report.status.services {
            let id = service.id();
            for server in &service.servers {
                let key = (id.clone(), server.address.clone());
                let history = self.servers.entry(key.clone()).or_default();
                history.becomes(server.state, server.since.unwrap_or(now).min(now));
                if let (Some(at), Some(took)) = (server.checked, server.check_duration_us) {
                    history.took(at, took);
                }
                history.forget_before(now.saturating_sub(HISTORY));
                configured.insert(key);
            }
        }
        self.servers.retain(|key, _| configured.contains(key));
    }

    /// What is remembered.
    pub fn servers(&self) -> &HashMap<ServerKey, History> {
        &self.servers
    }
}

impl History {
    fn becomes(&mut self, state: ServerState, at: UnixTime) {
        match self.parts.last() {
            Some(last) if last.state == state => {}
            // A clock that was set back: the order of what happened counts.
            last => {
                let since = last.map_or(at, |last| last.since.max(at));
                self.parts.push(Part { since, state });
            }
        }
    }

    /// The longest of each minute.
    fn took(&mut self, at: UnixTime, micros: u64) {
        match self.durations.last_mut() {
            Some((minute, longest)) if *minute / 60 == at / 60 => *longest = micros.max(*longest),
            _ => self.durations.push((at, micros)),
        }
    }

    fn forget_before(&mut self, first: UnixTime) {
        // The part in which the hour begins is needed.
        let begun = self.parts.iter().rposition(|part| part.since <= first).unwrap_or_default();
        let surplus = self.parts.len().saturating_sub(MOST);
        self.parts.drain(..begun.max(surplus));
        self.soft_failures.retain(|&at| at >= first);
        let surplus = self.soft_failures.len().saturating_sub(MOST);
        self.soft_failures.drain(..surplus);
        self.durations.retain(|&(at, _)| at >= first);
        let surplus = self.durations.len().saturating_sub(MOST);
        self.durations.drain(..surplus);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples;

    const NOW: UnixTime = 1_000_000;

    fn transition(seq: u64, at: UnixTime, to: &str) -> String {
        format!(
            "{{\"seq\":{seq},\"time_ms\":{}000,\"event\":\"transition\",\"service\":\"tcp:10.0.0.1:80\",\
             \"server\":\"10.0.1.1:80\",\"from\":\"up\",\"to\":\"{to}\",\"cause\":\"\"}}\n",
            at
        )
    }

    fn history(tracker: &Tracker) -> &History {
        &tracker.servers()[&("tcp:10.0.0.1:80".to_owned(), "10.0.1.1:80".to_owned())]
    }

    fn report(state: ServerState, since: UnixTime) -> MetricsReport {
        let mut report = samples::report(1, 1);
        let server = &mut report.status.services[0].servers[0];
        (server.state, server.since) = (state, Some(since));
        (server.checked, server.check_duration_us) = (Some(NOW), Some(1500));
        report
    }

    fn parts(tracker: &Tracker) -> Vec<(UnixTime, ServerState)> {
        history(tracker).parts.iter().map(|part| (NOW - part.since, part.state)).collect()
    }

    #[test]
    fn events_make_the_past_and_a_report_the_present() {
        let mut tracker = Tracker::default();
        let text = transition(1, NOW - 500, "down") + &transition(2, NOW - 400, "up");
        assert!(tracker.events(&text));
        assert!(!tracker.events(&text), "known already");
        tracker.report(&report(ServerState::Up, NOW - 400), NOW);
        assert_eq!(parts(&tracker), [(500, ServerState::Down), (400, ServerState::Up)]);
        assert_eq!(history(&tracker).durations, [(NOW, 1500)]);
        tracker.report(&report(ServerState::Down, NOW - 10), NOW);
        assert_eq!(parts(&tracker).last(), Some(&(10, ServerState::Down)), "no event came");
        assert_eq!(tracker.after(), 2);
    }

    #[test]
    fn what_is_older_than_an_hour_or_not_configured_is_forgotten() {
        let mut tracker = Tracker::default();
        tracker.events(&(transition(1, NOW - 9000, "down") + &transition(2, NOW - 8000, "up")));
        tracker.report(&report(ServerState::Up, NOW - 8000), NOW);
        assert_eq!(parts(&tracker), [(8000, ServerState::Up)], "the hour begins in it");
        tracker.report(&samples::report(0, 0), NOW);
        assert!(tracker.servers().is_empty());
    }

    #[test]
    fn a_daemon_that_starts_anew_counts_from_1_and_nonsense_counts_for_nothing() {
        let mut tracker = Tracker::default();
        tracker.events(&transition(70, NOW - 500, "down"));
        assert!(tracker.events(&transition(1, NOW - 100, "up")));
        assert_eq!(tracker.after(), 1);
        assert!(!tracker.events("nonsense\n{\"seq\":-1}\n\n"));
        assert_eq!(parts(&tracker), [(500, ServerState::Down), (100, ServerState::Up)]);
    }

    #[test]
    fn a_server_that_flaps_for_an_hour_takes_no_more_than_its_share() {
        let mut tracker = Tracker::default();
        for second in 0..3600 {
            let to = if second % 2 == 0 { "down" } else { "up" };
            let seq = u64::try_from(second).expect("small") + 1;
            tracker.events(&transition(seq, NOW - 3600 + second, to));
        }
        tracker.report(&report(ServerState::Up, NOW - 1), NOW);
        assert_eq!(history(&tracker).parts.len(), MOST);
    }
}
