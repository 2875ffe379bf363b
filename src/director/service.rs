//! One virtual service: the health of its real servers and what follows from it.

use super::{Action, Change, Health, HookState, Report, Role, Tally, Want, WantedDestination};
use crate::check::Failure;
use crate::model::{
    CheckMethod, DestinationAddress, HookArgument, RealServer, ServiceAddress, VirtualService,
};
use std::collections::HashMap;
use std::time::Instant;

/// A virtual service and the state of its real servers.
#[derive(Debug)]
pub struct ServiceState {
    /// Its configuration.
    pub service: VirtualService,
    /// The state of each of `service.real_servers`, in the same order.
    pub servers: Vec<ServerState>,
    /// What its fallback command was told.
    pub hook: HookState,
    /// How many of them serve.
    pub(super) serving: usize,
    /// Servers by the address the table lists them under: more than one if the configuration names
    /// a server twice, or with `gate` and different ports.
    pub(super) by_listed: HashMap<DestinationAddress, Vec<usize>>,
}

/// The state of one real server in one virtual service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerState {
    /// Its health.
    pub health: Health,
    /// Since when.
    pub since: Instant,
    /// Whether failures have been reported that were not yet a verdict.
    pub soft: bool,
    /// Its check.
    pub check: super::CheckId,
}

impl ServiceState {
    /// The identity of the service.
    pub fn address(&self) -> ServiceAddress {
        self.service.address
    }

    /// The number of real servers in service.
    pub fn serving(&self) -> usize {
        self.serving
    }

    /// The verdicts, counted.
    ///
    /// A server with `checktype=off` is never checked: it is undecided while it serves and does not
    /// count otherwise.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for (server, state) in self.service.real_servers.iter().zip(&self.servers) {
            tally.serving += usize::from(state.health.serves());
            tally.passed += usize::from(state.health == Health::Up);
            let may_pass = match state.health {
                Health::Adopted => true,
                Health::Unknown => server.check.method != CheckMethod::Off,
                Health::Up | Health::Down(_) | Health::Maintenance => false,
            };
            tally.undecided += usize::from(may_pass);
        }
        tally
    }

    /// Whether the fallback server shall be in the table.
    pub fn fallback_serves(&self) -> bool {
        self.service.fallback.is_some() && self.serving() == 0
    }

    /// A check has passed. Returns whether the server's health has changed.
    pub(super) fn passed(
        &mut self,
        server: usize,
        failures_before: u32,
        successes: u32,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        if failures_before > 0 && std::mem::take(&mut self.servers[server].soft) {
            actions.push(Action::Report(Report::SoftFailuresForgiven {
                service: self.address(),
                server: self.service.real_servers[server].address,
            }));
        }
        match self.servers[server].health {
            Health::Up | Health::Maintenance => false,
            Health::Down(_) if successes < self.service.rise_count => false,
            Health::Unknown | Health::Adopted | Health::Down(_) => {
                self.turn(server, Health::Up, now, actions);
                true
            }
        }
    }

    /// A check has failed. Returns whether the server's health has changed.
    pub(super) fn failed(
        &mut self,
        server: usize,
        why: &Failure,
        failures: u32,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let limit = self.service.failure_count;
        match &mut self.servers[server].health {
            Health::Maintenance => false,
            Health::Down(known) => {
                if known != why {
                    *known = why.clone();
                }
                false
            }
            Health::Up | Health::Adopted if failures < limit => {
                self.servers[server].soft = true;
                actions.push(Action::Report(Report::SoftFailure {
                    service: self.address(),
                    server: self.service.real_servers[server].address,
                    failures,
                    limit,
                }));
                false
            }
            Health::Unknown | Health::Up | Health::Adopted => {
                self.servers[server].soft = false;
                self.turn(server, Health::Down(why.clone()), now, actions);
                true
            }
        }
    }

    /// A file in `maintenancedir` is there or is gone. Returns whether the health has changed.
    pub(super) fn maintain(
        &mut self,
        server: usize,
        in_maintenance: bool,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        let was = self.servers[server].health == Health::Maintenance;
        let to = match (was, in_maintenance) {
            (false, true) => Health::Maintenance,
            (true, false) => Health::Unknown,
            _ => return false,
        };
        self.turn(server, to, now, actions);
        true
    }

    fn turn(&mut self, server: usize, to: Health, now: Instant, actions: &mut Vec<Action>) {
        let state = &mut self.servers[server];
        let from = std::mem::replace(&mut state.health, to.clone());
        self.serving += usize::from(to.serves());
        self.serving -= usize::from(from.serves());
        let verified = from == Health::Adopted && to == Health::Up;
        state.since = now;
        let real = &self.service.real_servers[server];
        actions.push(Action::Report(Report::Transition {
            service: self.address(),
            server: real.address,
            from,
            to,
        }));
        // The table lists an adopted server already, and a weight that somebody set by hand stays.
        if !verified {
            let destination = self.wanted_at(real.listed(self.address()), server);
            actions.push(Action::Destination(Change { service: self.address(), destination }));
        }
    }

    /// How the table shall list the address that `server` has there. If several real servers share
    /// the address, the last one in service decides; the fallback gives way to a real server in
    /// service.
    pub(super) fn wanted_at(&self, listed: DestinationAddress, server: usize) -> WantedDestination {
        let decisive = self.by_listed.get(&listed).and_then(|servers| {
            // compat: the last one, as each that comes up puts in its own weight (compat/cases/303)
            servers.iter().copied().rfind(|&other| self.servers[other].health.serves())
        });
        let wanted = self.wanted_server(decisive.unwrap_or(server));
        match self.wanted_fallback() {
            Some(fallback) if fallback.listed == listed && decisive.is_none() => {
                if self.fallback_serves() { fallback } else { wanted }
            }
            _ => wanted,
        }
    }

    pub(super) fn wanted_server(&self, server: usize) -> WantedDestination {
        let real: &RealServer = &self.service.real_servers[server];
        let want = match &self.servers[server].health {
            Health::Adopted | Health::Up => Want::Serve { weight: real.weight },
            Health::Down(_) | Health::Maintenance => self.out_of_service(),
            Health::Unknown if real.check.method == CheckMethod::Off => self.out_of_service(),
            Health::Unknown if self.service.quiescent => Want::Quiesce { relist: true },
            Health::Unknown => Want::AsFound,
        };
        WantedDestination {
            listed: real.listed(self.address()),
            configured: real.address,
            role: Role::RealServer,
            forwarding: real.forwarding,
            thresholds: real.thresholds,
            want,
        }
    }

    fn out_of_service(&self) -> Want {
        if self.service.quiescent {
            Want::Quiesce { relist: self.service.readd_quiescent }
        } else {
            Want::Absent
        }
    }

    /// How the table shall list the fallback server; `None` if there is none.
    pub(super) fn wanted_fallback(&self) -> Option<WantedDestination> {
        let fallback = self.service.fallback?;
        let want = if self.fallback_serves() { Want::Serve { weight: 1 } } else { Want::Absent };
        Some(WantedDestination {
            listed: fallback.listed(self.address()),
            configured: fallback.address,
            role: Role::Fallback,
            forwarding: fallback.forwarding,
            thresholds: Default::default(),
            want,
        })
    }

    /// The change of the table when the fallback starts or stops to serve. None if the fallback is
    /// one of the real servers' addresses and a real server's entry is what has to stand there.
    pub(super) fn fallback_change(&self) -> Option<Change> {
        let mut destination = self.wanted_fallback()?;
        if let Some(servers) = self.by_listed.get(&destination.listed)
            && !self.fallback_serves()
        {
            destination = self.wanted_at(destination.listed, *servers.first()?);
        }
        Some(Change { service: self.address(), destination })
    }

    pub(super) fn decide_hook(&mut self, now: Instant) -> Option<Action> {
        let command = self.service.fallback_command.clone()?;
        let tally = self.tally();
        let argument = self.hook.decide(&self.service, tally, now)?;
        Some(Action::Hook { service: self.address(), command, argument })
    }

    pub(super) fn hook_on_stop(&mut self) -> Option<Action> {
        let wants = self.service.fallback_command_on_stop && self.service.clean_stop;
        if !wants || self.hook.told == Some(HookArgument::Start) {
            return None;
        }
        let command = self.service.fallback_command.clone()?;
        self.hook = HookState::remembered(Some(HookArgument::Start));
        Some(Action::Hook { service: self.address(), command, argument: HookArgument::Start })
    }
}
