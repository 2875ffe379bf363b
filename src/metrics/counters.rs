//! What a daemon counts. Plain data: it crosses a hand-over in a file and reaches programs as JSON.

use crate::check::{CheckOutcome, Failure};
use crate::director::Health;
use crate::hook::{HookReport, HookResult};
use crate::model::{DestinationAddress, HookArgument, ServiceAddress};
use crate::status::UnixTime;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

/// Upper bounds of the histogram of check durations, in microseconds.
const BOUNDS: [u64; 12] = [
    1_000, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000, 2_500_000,
    5_000_000, 10_000_000,
];

/// What was counted since the daemon started, hand-overs included.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Counters {
    /// Of each virtual service that is configured.
    pub services: HashMap<ServiceAddress, ServiceCounters>,
    /// Configurations that were accepted at a reload.
    pub reloads: u64,
    /// Configurations that were refused, or taken back.
    pub refused_reloads: u64,
    /// When a configuration was accepted last, by a reload or the start.
    pub accepted: UnixTime,
    /// Changes that the table has refused; the same refusal counts once until it is over.
    pub table_refusals: u64,
    /// Faults of the program itself, or of the machine.
    pub internal_faults: u64,
    /// Checks that had no answer in time and were run again.
    pub unanswered_checks: u64,
    /// How often a prober was started.
    pub prober_starts: u64,
    /// Mails that a mail server or program has taken.
    pub mails_sent: u64,
    /// Mails that nobody has taken.
    pub mails_failed: u64,
}

/// Of a virtual service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServiceCounters {
    /// Of each real server that is configured.
    pub servers: HashMap<DestinationAddress, ServerCounters>,
    /// Failed checks by their cause ([`Failure::cause`]).
    pub failures: BTreeMap<String, u64>,
    /// How long checks took.
    pub durations: Histogram,
    /// `fallbackcommand start`.
    pub hook_start: HookCounters,
    /// `fallbackcommand stop`.
    pub hook_stop: HookCounters,
}

/// Of a real server of a virtual service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ServerCounters {
    /// Checks that passed.
    pub passed: u64,
    /// Checks that failed.
    pub failed: u64,
    /// Checks that this machine could not make.
    pub unable: u64,
    /// How often it went down.
    pub went_down: u64,
    /// How often it came up.
    pub came_up: u64,
    /// How often it was taken into maintenance.
    pub into_maintenance: u64,
}

/// Runs of `fallbackcommand` with one argument.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct HookCounters {
    /// Ended with status 0.
    pub succeeded: u64,
    /// Ended otherwise, or could not be started.
    pub failed: u64,
    /// Ended because their time was over.
    pub timed_out: u64,
    /// How long all of them took together, in milliseconds.
    pub duration_ms: u64,
}

/// Durations by size.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Histogram {
    /// How many were at most so long, in microseconds, and longer than the bound before.
    pub buckets: BTreeMap<u64, u64>,
    /// How many there were, longer ones included.
    pub count: u64,
    /// All together, in microseconds.
    pub sum_us: u64,
}

impl Counters {
    /// A check of a real server has its outcome.
    pub fn checked(
        &mut self,
        service: ServiceAddress,
        server: DestinationAddress,
        outcome: &CheckOutcome,
        duration: Duration,
    ) {
        let service = self.services.entry(service).or_default();
        let counted = service.servers.entry(server).or_default();
        match outcome {
            CheckOutcome::Up(_) => counted.passed += 1,
            CheckOutcome::Down(failure) => {
                match failure {
                    Failure::Local(_) => counted.unable += 1,
                    _ => counted.failed += 1,
                }
                let cause = failure.cause();
                match service.failures.get_mut(cause) {
                    Some(count) => *count += 1,
                    None => drop(service.failures.insert(cause.to_owned(), 1)),
                }
            }
        }
        service.durations.add(duration);
    }

    /// A real server's health has changed.
    pub fn changed(
        &mut self,
        service: ServiceAddress,
        server: DestinationAddress,
        from: &Health,
        to: &Health,
    ) {
        let service = self.services.entry(service).or_default();
        let counted = service.servers.entry(server).or_default();
        match (from, to) {
            // The first verdict of all is no change of the server.
            (Health::Unknown | Health::Adopted, Health::Up) => {}
            (_, Health::Up) => counted.came_up += 1,
            (_, Health::Down(_)) => counted.went_down += 1,
            (_, Health::Maintenance) => counted.into_maintenance += 1,
            (_, Health::Unknown | Health::Adopted) => {}
        }
    }

    /// A run of `fallbackcommand` has ended.
    pub fn hook(&mut self, report: &HookReport) {
        let service = self.services.entry(report.job.service).or_default();
        let counted = match report.job.argument {
            HookArgument::Start => &mut service.hook_start,
            HookArgument::Stop => &mut service.hook_stop,
        };
        match report.result {
            HookResult::Exited(0) => counted.succeeded += 1,
            HookResult::TimedOut => counted.timed_out += 1,
            HookResult::Exited(_) | HookResult::Signalled(_) | HookResult::Failed(_) => {
                counted.failed += 1;
            }
        }
        counted.duration_ms += u64::try_from(report.duration.as_millis()).unwrap_or_default();
    }

    /// Forgets what is no longer configured, and has an entry for what is.
    pub fn keep(
        &mut self,
        services: impl Iterator<Item = (ServiceAddress, impl Iterator<Item = DestinationAddress>)>,
    ) {
        let mut before = std::mem::take(&mut self.services);
        for (address, servers) in services {
            let mut service = before.remove(&address).unwrap_or_default();
            let mut known = std::mem::take(&mut service.servers);
            let of = |server| (server, known.remove(&server).unwrap_or_default());
            service.servers = servers.map(of).collect();
            self.services.insert(address, service);
        }
    }
}

impl Histogram {
    /// Adds one.
    pub fn add(&mut self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        self.count += 1;
        self.sum_us = self.sum_us.saturating_add(micros);
        if let Some(bound) = BOUNDS.into_iter().find(|&bound| micros <= bound) {
            *self.buckets.entry(bound).or_default() += 1;
        }
    }

    /// How many were at most so long, for each bound in microseconds.
    pub fn cumulative(&self) -> impl Iterator<Item = (u64, u64)> {
        let mut below = 0_u64;
        // What another version has counted may have other bounds.
        let mut bounds: Vec<u64> = BOUNDS.into_iter().chain(self.buckets.keys().copied()).collect();
        bounds.sort_unstable();
        bounds.dedup();
        bounds.into_iter().map(move |bound| {
            below = below.saturating_add(self.buckets.get(&bound).copied().unwrap_or_default());
            (bound, below)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    fn vip(host: u8) -> ServiceAddress {
        let address = DestinationAddress::from(([10, 0, 0, host], 80));
        ServiceAddress::Address { protocol: Protocol::Tcp, address }
    }

    fn real(host: u8) -> DestinationAddress {
        DestinationAddress::from(([10, 0, 1, host], 80))
    }

    #[test]
    fn checks_are_counted_by_server_result_cause_and_duration() {
        let mut counters = Counters::default();
        let local = CheckOutcome::Down(Failure::Local("no descriptor".into()));
        for (outcome, millis) in [
            (CheckOutcome::up(), 1),
            (CheckOutcome::up(), 2),
            (CheckOutcome::Down(Failure::Refused), 3),
            (local, 20_000),
        ] {
            counters.checked(vip(1), real(2), &outcome, Duration::from_millis(millis));
        }
        let service = &counters.services[&vip(1)];
        let server = &service.servers[&real(2)];
        assert_eq!((server.passed, server.failed, server.unable), (2, 1, 1));
        assert_eq!(service.failures["refused"], 1);
        assert_eq!(service.failures["local"], 1);
        let cumulative: Vec<_> = service.durations.cumulative().take(2).collect();
        assert_eq!(cumulative, [(1_000, 1), (5_000, 3)]);
        assert_eq!(service.durations.cumulative().last(), Some((10_000_000, 3)), "one was longer");
        assert_eq!((service.durations.count, service.durations.sum_us), (4, 20_006_000));
    }

    #[test]
    fn the_first_verdict_is_no_transition_unless_it_is_bad() {
        let mut counters = Counters::default();
        let down = || Health::Down(Failure::Refused);
        for (from, to) in [
            (Health::Unknown, Health::Up),
            (Health::Adopted, Health::Up),
            (Health::Up, down()),
            (down(), Health::Up),
            (Health::Unknown, down()),
            (down(), Health::Maintenance),
            (Health::Maintenance, Health::Unknown),
        ] {
            counters.changed(vip(1), real(2), &from, &to);
        }
        let server = &counters.services[&vip(1)].servers[&real(2)];
        assert_eq!((server.came_up, server.went_down, server.into_maintenance), (1, 2, 1));
    }

    #[test]
    fn what_is_no_longer_configured_is_forgotten_and_what_is_new_begins_at_zero() {
        let mut counters = Counters::default();
        for (service, server) in [(1, 2), (1, 3), (2, 2)] {
            let outcome = CheckOutcome::up();
            counters.checked(vip(service), real(server), &outcome, Duration::ZERO);
        }
        counters.keep([(vip(1), vec![real(3), real(4)].into_iter())].into_iter());
        assert_eq!(counters.services.len(), 1);
        let service = &counters.services[&vip(1)];
        assert_eq!(service.servers.len(), 2);
        assert_eq!(service.servers[&real(3)].passed, 1);
        assert_eq!(service.servers[&real(4)], ServerCounters::default());
        assert_eq!(service.durations.count, 2);
    }

    #[test]
    fn counters_are_read_as_they_were_written_and_fields_may_be_missing() {
        let mut counters = Counters { reloads: 3, ..Counters::default() };
        counters.checked(vip(1), real(2), &CheckOutcome::up(), Duration::from_millis(7));
        let json = serde_json::to_string(&counters).expect("JSON");
        assert!(json.contains("\"tcp:10.0.0.1:80\":{\"servers\":{\"10.0.1.2:80\":{"), "{json}");
        assert_eq!(serde_json::from_str::<Counters>(&json).expect("the same"), counters);
        assert_eq!(serde_json::from_str::<Counters>("{}").expect("nothing"), Counters::default());
        assert!(serde_json::from_str::<Counters>("{\"services\":{\"x\":{}}}").is_err());
    }
}
