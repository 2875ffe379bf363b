//! Who is told about what has happened: mail, reminders, `monitorfile`.

use crate::alert::{Alerter, Mail, MonitorFiles, Reminders, Verdict, monitor_line, real_id};
use crate::check::CheckOutcome;
use crate::dataplane::{DestinationVerb, Notice};
use crate::director::{Director, Role};
use crate::model::{CheckMethod, DestinationAddress, Status, VirtualService};
use std::collections::HashSet;
use std::time::{Duration, Instant, SystemTime};

/// How long a stop waits for mail that is on its way.
const DRAIN: Duration = Duration::from_secs(3);

/// The ways of telling somebody.
pub(super) struct Alerts {
    alerter: Alerter,
    monitor_files: MonitorFiles,
    reminders: Reminders,
}

impl Alerts {
    /// Starts their threads.
    pub(super) fn start() -> Self {
        Self {
            alerter: Alerter::start(),
            monitor_files: MonitorFiles::start(),
            reminders: Reminders::default(),
        }
    }

    /// Writes a check's outcome to the service's `monitorfile`, if it has one.
    pub(super) fn monitor(&self, service: &VirtualService, server: usize, outcome: &CheckOutcome) {
        let Some(path) = &service.monitor_file else { return };
        // compat: these two write none (spec 5.10)
        let silent = matches!(
            service.real_servers[server].check.method,
            CheckMethod::On | CheckMethod::ExternalPerl(_)
        );
        if silent {
            return;
        }
        self.monitor_line(path, service, server, outcome.is_up(), &MonitorFiles::message(outcome));
    }

    /// Writes to the `monitorfile` that a server is in maintenance.
    pub(super) fn monitor_maintenance(&self, service: &VirtualService, server: usize) {
        let Some(path) = &service.monitor_file else { return };
        self.monitor_line(path, service, server, false, "Server in maintenance");
    }

    fn monitor_line(
        &self,
        path: &std::path::Path,
        service: &VirtualService,
        server: usize,
        up: bool,
        message: &str,
    ) {
        let id = real_id(service.address, &service.real_servers[server]);
        let verdict = if up { Verdict::Up } else { Verdict::Down };
        let line = monitor_line(SystemTime::now(), std::process::id(), &id, verdict, message);
        self.monitor_files.append(path, line);
    }

    /// Sends mail about a change of the table, and starts or ends reminders.
    pub(super) fn notice(
        &mut self,
        service: &VirtualService,
        notice: &Notice,
        status: Status,
        now: Instant,
    ) {
        let Notice::Destination { verb, role, configured, .. } = *notice else { return };
        if let Some(mail) = Mail::new(&service.alert, status, &notice.to_string()) {
            self.alerter.send(mail);
        }
        if role == Role::Fallback {
            return;
        }
        match verb {
            DestinationVerb::Deleted
            | DestinationVerb::Quiescent
            | DestinationVerb::ReaddQuiescent => self.down(service, configured, now),
            DestinationVerb::Added | DestinationVerb::Restored | DestinationVerb::Purged(_) => {
                self.reminders.clear(service.address, configured);
            }
        }
    }

    /// Reminds of a real server that is down from now on, also of one that has never been in the
    /// table.
    pub(super) fn down(
        &mut self,
        service: &VirtualService,
        server: DestinationAddress,
        now: Instant,
    ) {
        if let Some(frequency) = service.alert.frequency {
            self.reminders.down(service.address, server, frequency, now);
        }
    }

    /// When the next reminder is due.
    pub(super) fn next_reminder(&self) -> Option<Instant> {
        self.reminders.next_due()
    }

    /// Sends the reminders that are due.
    pub(super) fn remind(&mut self, director: &Director, status: Status, now: Instant) {
        for (service, server) in self.reminders.due(now) {
            let Some(state) = director.service(service) else { continue };
            let message = Reminders::message(service, server);
            if let Some(mail) = Mail::new(&state.service.alert, status, &message) {
                self.alerter.send(mail);
            }
        }
    }

    /// Forgets the reminders of servers that the configuration does not have any more.
    pub(super) fn retain(&mut self, director: &Director) {
        let known: HashSet<_> = director
            .services()
            .iter()
            .flat_map(|state| {
                let servers = state.service.real_servers.iter();
                servers.map(|real| (state.address(), real.address))
            })
            .collect();
        self.reminders.retain(|service, server| known.contains(&(service, server)));
    }

    /// Waits a moment for mail that is on its way.
    pub(super) fn drain(&self) {
        self.alerter.drain(DRAIN);
    }
}
