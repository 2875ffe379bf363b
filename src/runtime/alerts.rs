//! Who is told about what has happened: mail, reminders, `monitorfile`. Pure.

use super::effect::Effect;
use super::input::Now;
use crate::alert::{Mail, MonitorFiles, Reminders, Verdict, monitor_line, real_id};
use crate::check::CheckOutcome;
use crate::dataplane::{DestinationVerb, Notice};
use crate::director::{Director, Role, ServiceState};
use crate::model::{CheckMethod, DestinationAddress, ServiceAddress, Status, VirtualService};
use std::collections::HashSet;
use std::time::Instant;

/// The reminders that are to come, and the forms of everything else.
#[derive(Debug, Default)]
pub(super) struct Alerts {
    reminders: Reminders,
}

impl Alerts {
    /// Writes a check's outcome to the service's `monitorfile`, if it has one.
    pub(super) fn monitor(
        service: &VirtualService,
        server: usize,
        outcome: &CheckOutcome,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        // compat: these two write none (spec 5.10)
        let silent = matches!(
            service.real_servers[server].check.method,
            CheckMethod::On | CheckMethod::ExternalPerl(_)
        );
        if service.monitor_file.is_some() && !silent {
            let verdict = if outcome.is_up() { Verdict::Up } else { Verdict::Down };
            let message = MonitorFiles::message(outcome);
            monitored(service, server, verdict, &message, now, effects);
        }
    }

    /// Writes to the `monitorfile` that a server is in maintenance.
    pub(super) fn monitor_maintenance(
        service: &VirtualService,
        server: usize,
        now: Now,
        effects: &mut Vec<Effect>,
    ) {
        monitored(service, server, Verdict::Down, "Server in maintenance", now, effects);
    }

    /// Sends mail about a change of the table, and starts or ends reminders.
    pub(super) fn notice(
        &mut self,
        state: &ServiceState,
        notice: &Notice,
        status: Status,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        let Notice::Destination { verb, role, configured, .. } = *notice else { return };
        let service = &state.service;
        let mail = Mail::new(&service.alert, status, &notice.to_string());
        effects.extend(mail.map(Effect::Mail));
        if role == Role::Fallback {
            return;
        }
        // Nobody is reminded of a server that passes its checks: an operator drains it.
        let drained = service.real_servers.iter().zip(&state.servers).any(|(real, server)| {
            real.address == configured && server.is_drained() && server.health.serves()
        });
        match verb {
            DestinationVerb::Quiescent | DestinationVerb::ReaddQuiescent if drained => {}
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

    /// Reminds of a real server no more: it is up.
    pub(super) fn up(&mut self, service: ServiceAddress, server: DestinationAddress) {
        self.reminders.clear(service, server);
    }

    /// When the next reminder is due.
    pub(super) fn next_reminder(&self) -> Option<Instant> {
        self.reminders.next_due()
    }

    /// Sends the reminders that are due.
    pub(super) fn remind(
        &mut self,
        director: &Director,
        status: Status,
        now: Instant,
        effects: &mut Vec<Effect>,
    ) {
        if self.reminders.next_due().is_none_or(|due| due > now) {
            return;
        }
        for (service, server) in self.reminders.due(now) {
            let Some(state) = director.service(service) else { continue };
            let message = Reminders::message(service, server);
            let mail = Mail::new(&state.service.alert, status, &message);
            effects.extend(mail.map(Effect::Mail));
        }
    }

    /// Forgets the reminders of servers that the configuration does not have any more. Of several under
    /// one address, the one that was down may be gone, and the others up.
    pub(super) fn retain(&mut self, director: &Director) {
        let known: HashSet<_> = director
            .services()
            .iter()
            .flat_map(|state| {
                let servers = state.service.real_servers.iter().zip(&state.servers);
                let out = servers.filter(|(_, server)| !server.health.serves());
                out.map(|(real, _)| (state.address(), real.address))
            })
            .collect();
        self.reminders.retain(|service, server| known.contains(&(service, server)));
    }
}

fn monitored(
    service: &VirtualService,
    server: usize,
    verdict: Verdict,
    message: &str,
    now: Now,
    effects: &mut Vec<Effect>,
) {
    let Some(path) = &service.monitor_file else { return };
    let id = real_id(service.address, &service.real_servers[server]);
    let line = monitor_line(now.wall, std::process::id(), &id, verdict, message);
    effects.push(Effect::Monitor(path.clone(), line));
}
