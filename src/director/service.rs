//! One virtual service: the health of its real servers and what follows from it.

use super::weight::{Asked, Rise};
use super::{Action, Change, Health, HookState, Report, Role, Tally, Want, WantedDestination};
use crate::check::{AgentAnswer, Failure};
use crate::model::{
    CheckMethod, DestinationAddress, Fallback, HookArgument, RealServer, ServiceAddress,
    VirtualService,
};
use std::collections::HashMap;
use std::time::Instant;

/// The scheduler that keeps the place of a server at weight 0 (net/netfilter/ipvs/ip_vs_mh.c, `last_weight`).
const MAGLEV: &str = "mh";

/// A virtual service and the state of its real servers.
#[derive(Debug, Clone)]
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
    /// An operator's weight in place of the configured one; 0 drains the server.
    pub weight: Option<u32>,
    /// What its agent asks for in place of the configured weight.
    pub agent: Option<Asked>,
    /// Its weight rises, because it has been down.
    pub rise: Option<Rise>,
    /// Its check.
    pub check: super::CheckId,
}

impl ServerState {
    /// Whether the table shall send it new connections. A configured weight of 0 does not count here.
    pub fn serves(&self) -> bool {
        self.health.serves() && !self.is_drained()
    }

    /// Whether an operator drains it, or its agent.
    pub fn is_drained(&self) -> bool {
        match self.weight {
            Some(weight) => weight == 0,
            None => self.agent.is_some_and(Asked::is_drain),
        }
    }

    /// The weight of a server that serves.
    fn effective_weight(&self, configured: u32) -> u32 {
        if let Some(weight) = self.weight {
            return weight;
        }
        let asked = self.agent.map_or(configured, |asked| asked.of(configured));
        self.rise.map_or(asked, |rise| rise.of(asked))
    }
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
    /// count otherwise. A drained one does not count: nobody new reaches it.
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        let servers = self.service.real_servers.iter().zip(&self.servers);
        for (server, state) in servers.filter(|(_, state)| !state.is_drained()) {
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

    /// Whether the fallback servers, if there are any, shall be in the table.
    pub fn fallbacks_serve(&self) -> bool {
        self.serving() == 0
    }

    /// A check has passed. Returns whether the server's health has changed.
    pub(super) fn passed(
        &mut self,
        server: usize,
        successes: u32,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> bool {
        if std::mem::take(&mut self.servers[server].soft) {
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

    /// What the agent has said with a check that has passed. Returns whether the server has begun or ceased to
    /// serve.
    pub(super) fn heed(
        &mut self,
        server: usize,
        said: AgentAnswer,
        actions: &mut Vec<Action>,
    ) -> bool {
        let before = self.servers[server].agent;
        let asked = match said {
            AgentAnswer::NotAsked => return false,
            AgentAnswer::Nothing => None,
            AgentAnswer::Percent(percent) => Some(Asked::percent(percent, before)),
            AgentAnswer::Weight(weight) => Some(Asked::Weight(weight)),
        };
        if before == asked {
            return false;
        }
        self.reweigh(server, |state| state.agent = asked, actions)
    }

    /// Time has passed: a server whose weight rises may have more now.
    pub(super) fn rise(&mut self, server: usize, now: Instant, actions: &mut Vec<Action>) {
        if let Some(rise) = self.servers[server].rise {
            self.reweigh(server, |state| state.rise = rise.at(now), actions);
        }
    }

    /// When the next step of a server's weight is due.
    pub(super) fn next_step(&self) -> Option<Instant> {
        self.servers.iter().filter_map(|server| server.rise.map(Rise::next)).min()
    }

    /// Changes what a weight follows from. Returns whether the server has begun or ceased to serve.
    fn reweigh(
        &mut self,
        server: usize,
        change: impl FnOnce(&mut ServerState),
        actions: &mut Vec<Action>,
    ) -> bool {
        let configured = self.service.real_servers[server].weight;
        let weight = self.servers[server].effective_weight(configured);
        let turned = self.alter(server, change);
        if turned || self.servers[server].effective_weight(configured) != weight {
            self.relist(server, actions);
        }
        turned
    }

    /// Changes a server's state. Returns whether it has begun or ceased to serve.
    fn alter(&mut self, server: usize, change: impl FnOnce(&mut ServerState)) -> bool {
        let state = &mut self.servers[server];
        let before = state.serves();
        change(state);
        let after = state.serves();
        self.serving += usize::from(after);
        self.serving -= usize::from(before);
        before != after
    }

    /// The table shall list a server that is up as it is now.
    fn relist(&self, server: usize, actions: &mut Vec<Action>) {
        if self.servers[server].health.serves() {
            let listed = self.service.real_servers[server].listed(self.address());
            let destination = self.wanted_at(listed, server);
            actions.push(Action::Destination(Change { service: self.address(), destination }));
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

    /// An operator changes a server's weight. Returns whether it has begun or ceased to serve.
    pub(super) fn override_weight(
        &mut self,
        server: usize,
        weight: Option<u32>,
        actions: &mut Vec<Action>,
    ) -> bool {
        if self.servers[server].weight == weight {
            return false;
        }
        let turned = self.alter(server, |state| state.weight = weight);
        self.relist(server, actions);
        turned
    }

    fn turn(&mut self, server: usize, to: Health, now: Instant, actions: &mut Vec<Action>) {
        let state = &mut self.servers[server];
        let before = state.serves();
        let from = std::mem::replace(&mut state.health, to.clone());
        self.serving += usize::from(state.serves());
        self.serving -= usize::from(before);
        let real = &self.service.real_servers[server];
        // What an earlier process has made of the weight is not known.
        let has_agent = real.check.agent.is_some();
        let verified = from == Health::Adopted && to == Health::Up && !has_agent;
        state.since = now;
        state.rise = match (&from, &to, self.service.slow_start) {
            (Health::Down(_), Health::Up, Some(time)) => Some(Rise::new(now, time)),
            // A check that has changed has only confirmed it.
            (Health::Adopted, Health::Up, Some(_)) => state.rise,
            _ => None,
        };
        if !to.serves() {
            state.agent = None;
        }
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
            let last = |serves: fn(&ServerState) -> bool| {
                servers.iter().copied().rfind(|&other| serves(&self.servers[other]))
            };
            last(ServerState::serves).or_else(|| last(|server| server.health.serves()))
        });
        let mut wanted = self.wanted_server(decisive.unwrap_or(server));
        if decisive.is_none() {
            self.agree(&mut wanted);
        }
        // Also one that is drained gives way to it, as one that is down does.
        self.fallback_at(listed).filter(|_| self.fallbacks_serve()).unwrap_or(wanted)
    }

    /// Of several real servers with one address and none in service, all say the same: else whoever
    /// speaks last would have the entry changed, and a reload again.
    fn agree(&self, wanted: &mut WantedDestination) {
        let Some([first, more @ ..]) = self.by_listed.get(&wanted.listed).map(Vec::as_slice) else {
            return;
        };
        if more.is_empty() {
            return;
        }
        let all = std::iter::once(first).chain(more).map(|&server| self.wanted_server(server));
        let mut decided = all.filter(|other| other.want != Want::AsFound);
        if let Some(WantedDestination { forwarding, thresholds, want, place, .. }) = decided.next()
        {
            *wanted = WantedDestination { forwarding, thresholds, want, place, ..*wanted };
        }
    }

    pub(super) fn wanted_server(&self, server: usize) -> WantedDestination {
        let real: &RealServer = &self.service.real_servers[server];
        let want = match &self.servers[server].health {
            Health::Adopted | Health::Up => match self.servers[server].weight {
                _ if self.servers[server].is_drained() => Want::Quiesce { relist: true },
                _ => Want::Serve { weight: self.servers[server].effective_weight(real.weight) },
            },
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
            place: (self.service.scheduler == MAGLEV && real.weight > 0).then_some(real.weight),
        }
    }

    fn out_of_service(&self) -> Want {
        if self.service.quiescent {
            Want::Quiesce { relist: self.service.readd_quiescent }
        } else {
            Want::Absent
        }
    }

    /// How the table shall list the fallback servers, each listed address once.
    pub(super) fn wanted_fallbacks(&self) -> Vec<WantedDestination> {
        let fallbacks = self.service.fallbacks.iter().enumerate();
        fallbacks
            .filter(|(index, fallback)| {
                let listed = fallback.listed(self.address());
                let mut later = self.service.fallbacks[index + 1..].iter();
                later.all(|later| later.listed(self.address()) != listed)
            })
            .map(|(_, fallback)| self.wanted_fallback(fallback))
            .collect()
    }

    /// The fallback server that is listed under this address; of several, the last one.
    fn fallback_at(&self, listed: DestinationAddress) -> Option<WantedDestination> {
        let mut fallbacks = self.service.fallbacks.iter();
        let fallback = fallbacks.rfind(|fallback| fallback.listed(self.address()) == listed)?;
        Some(self.wanted_fallback(fallback))
    }

    fn wanted_fallback(&self, fallback: &Fallback) -> WantedDestination {
        let serve = Want::Serve { weight: fallback.weight };
        WantedDestination {
            listed: fallback.listed(self.address()),
            configured: fallback.address,
            role: Role::Fallback,
            forwarding: fallback.forwarding,
            thresholds: Default::default(),
            want: if self.fallbacks_serve() { serve } else { Want::Absent },
            place: None,
        }
    }

    /// The changes of the table when the fallbacks start or stop to serve. Where a fallback has the
    /// address of real servers and stops, the entry is theirs.
    pub(super) fn fallback_changes(&self) -> impl Iterator<Item = Change> {
        self.wanted_fallbacks().into_iter().map(|mut destination| {
            let servers = self.by_listed.get(&destination.listed);
            if let Some(&server) = servers.and_then(|servers| servers.first())
                && !self.fallbacks_serve()
            {
                destination = self.wanted_at(destination.listed, server);
            }
            Change { service: self.address(), destination }
        })
    }

    pub(super) fn decide_hook(&mut self, now: Instant) -> Option<Action> {
        let command = self.service.fallback_command.clone()?;
        let tally = self.tally();
        let argument = self.hook.decide(&self.service, tally, now)?;
        Some(Action::Hook { service: self.address(), command, argument })
    }

    pub(super) fn hook_on_stop(&mut self) -> Option<Action> {
        if !self.service.starts_on_stop() || self.hook.surely(HookArgument::Start) {
            return None;
        }
        let command = self.service.fallback_command.clone()?;
        self.hook = HookState::remembered(Some(HookArgument::Start));
        Some(Action::Hook { service: self.address(), command, argument: HookArgument::Start })
    }
}
