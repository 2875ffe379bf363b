//! The decisions: events in, actions out. No clock, no socket, no log.
//!
//! The director knows what should be true: which real server is healthy, how the table shall list
//! it, whether the fallback serves, what the fallback command was last told. It does not know what
//! the table lists now; that is the dataplane's to compare.

mod action;
mod event;
mod fallback;
mod health;
mod overrides;
mod reload;
mod service;
mod wanted;
mod weight;

pub use action::{Action, Change, Report, Role, Want, WantedDestination};
pub use event::{CheckId, Checked, Event};
pub use fallback::{HookState, Tally};
pub use health::Health;
pub use overrides::{Override, Overrides, Scope, ServerName};
pub use reload::{Found, Removed};
pub use service::{ServerState, ServiceState};
pub use wanted::WantedService;
pub use weight::{Asked, Rise};

use crate::check::{CheckOutcome, Failure};
use crate::model::{CheckMethod, CheckPlan, Model, ServiceAddress, Step, VirtualService};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

/// The state of everything that is watched.
#[derive(Debug, Clone)]
pub struct Director {
    services: Vec<ServiceState>,
    by_address: HashMap<ServiceAddress, usize>,
    checks: HashMap<CheckId, CheckState>,
    next_check: u64,
    overrides: Overrides,
    /// Services whose fallback command waits for `fallbackholddown`. By address: indices do not
    /// survive a reload.
    holding_down: BTreeSet<ServiceAddress>,
    /// Services with servers whose weight rises.
    rising: BTreeSet<ServiceAddress>,
}

/// One check, and where its outcome counts.
#[derive(Debug, Clone)]
struct CheckState {
    plan: Arc<CheckPlan>,
    members: Vec<Member>,
    /// Consecutive failures.
    failures: u32,
    /// Consecutive successes.
    successes: u32,
    /// Of a combined check: connect checks that succeeded since the last negotiate check; `None`
    /// when a negotiate check is due.
    connects: Option<u32>,
    /// Whether there has been an outcome since the check was made.
    answered: bool,
}

/// A place where a check's outcome counts: indices into services and their servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Index into [`Director::services`].
    pub service: usize,
    /// Index into [`ServiceState::servers`].
    pub server: usize,
}

impl Director {
    /// A director for this model, over what the table listed and what an earlier process told the
    /// fallback commands (`told`).
    ///
    /// Real servers that the table lists in service are adopted: they keep their connections until
    /// a check says otherwise.
    /// `overrides` are what operators say of servers.
    pub fn new(
        model: &Model,
        found: &dyn Found,
        overrides: Overrides,
        told: impl Fn(&VirtualService) -> HookState,
        now: Instant,
    ) -> Self {
        let mut director = Self {
            services: Vec::new(),
            by_address: HashMap::new(),
            checks: HashMap::new(),
            next_check: 0,
            overrides,
            holding_down: BTreeSet::new(),
            rising: BTreeSet::new(),
        };
        director.install(model, found, now, &mut Vec::new());
        for state in &mut director.services {
            state.hook = told(&state.service);
        }
        director
    }

    /// Decides what follows from an event.
    pub fn handle(&mut self, event: Event, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        match event {
            Event::Checked(checked) => self.checked(&checked, now, &mut actions),
            Event::Overrides(overrides) => self.override_with(overrides, now, &mut actions),
            Event::Deadline => {
                for address in std::mem::take(&mut self.holding_down) {
                    if let Some(&index) = self.by_address.get(&address) {
                        self.decide_hook(index, now, &mut actions);
                    }
                }
                for address in std::mem::take(&mut self.rising) {
                    self.rise(address, now, &mut actions);
                }
            }
        }
        actions
    }

    /// The weights of a service that rise.
    fn rise(&mut self, address: ServiceAddress, now: Instant, actions: &mut Vec<Action>) {
        let Some(&index) = self.by_address.get(&address) else { return };
        let state = &mut self.services[index];
        for server in 0..state.servers.len() {
            state.rise(server, now, actions);
        }
        if state.next_step().is_some() {
            self.rising.insert(address);
        }
    }

    /// Actions due without an event. Call once after start and after each reload: a service whose
    /// servers all have a verdict already gets its hook decided here.
    pub fn settle(&mut self, now: Instant) -> Vec<Action> {
        let mut actions = Vec::new();
        for index in 0..self.services.len() {
            self.decide_hook(index, now, &mut actions);
        }
        actions
    }

    /// The actions before the services are purged at a clean stop: `start` for each service that
    /// asked for it with `fallbackcommandonstop` and is not known to be down.
    pub fn stop(&mut self) -> Vec<Action> {
        self.services.iter_mut().filter_map(ServiceState::hook_on_stop).collect()
    }

    /// When [`Event::Deadline`] shall be sent; `None` if nothing waits.
    pub fn next_deadline(&self) -> Option<Instant> {
        let hooks = self.holding_down.iter().filter_map(|&address| {
            let state = self.service(address)?;
            state.hook.deadline(&state.service)
        });
        let steps = self.rising.iter().filter_map(|&address| self.service(address)?.next_step());
        hooks.chain(steps).min()
    }

    /// The services in the order of the model.
    pub fn services(&self) -> &[ServiceState] {
        &self.services
    }

    /// The service with this address.
    pub fn service(&self, address: ServiceAddress) -> Option<&ServiceState> {
        self.by_address.get(&address).map(|&index| &self.services[index])
    }

    /// Every check that is to run: its plan, and the shortest interval that any of its services
    /// asks for.
    pub fn checks(&self) -> impl Iterator<Item = (CheckId, &Arc<CheckPlan>, std::time::Duration)> {
        self.checks.iter().filter(|(_, check)| check.plan.method != CheckMethod::Off).map(
            |(&id, check)| {
                let interval = check
                    .members
                    .iter()
                    .map(|member| self.services[member.service].service.check_interval)
                    .min()
                    .unwrap_or_default();
                (id, &check.plan, interval)
            },
        )
    }

    /// The plan of a check and the part of it that is due now; `None` if the check is gone or all
    /// its servers are in maintenance.
    pub fn due(&self, id: CheckId) -> Option<(&Arc<CheckPlan>, Step)> {
        let check = self.checks.get(&id)?;
        if self.rests(check) {
            return None;
        }
        let step = match (&check.plan.method, check.connects) {
            (CheckMethod::Combined { connects: limit, .. }, Some(done)) if done < *limit => {
                Step::Connect
            }
            _ => Step::Full,
        };
        Some((&check.plan, step))
    }

    /// The plan of a check, if a reload has not removed it.
    pub fn plan(&self, id: CheckId) -> Option<&Arc<CheckPlan>> {
        self.checks.get(&id).map(|check| &check.plan)
    }

    /// The consecutive failures of a check.
    pub fn failures(&self, id: CheckId) -> u32 {
        self.checks.get(&id).map_or(0, |check| check.failures)
    }

    /// How soon a check is to be repeated because the verdict on a server is open: the shortest
    /// `fastinterval` of those servers' services. `None` if no verdict is, or nobody asks for it.
    pub fn hurry(&self, id: CheckId) -> Option<std::time::Duration> {
        let check = self.checks.get(&id)?;
        let open =
            |member: &&Member| match self.services[member.service].servers[member.server].health {
                Health::Up | Health::Adopted | Health::Unknown => check.failures > 0,
                Health::Down(_) => check.successes > 0,
                Health::Maintenance => false,
            };
        let members = check.members.iter().filter(open);
        members.filter_map(|member| self.services[member.service].service.fast_interval).min()
    }

    /// Where the outcome of a check counts.
    pub fn members(&self, id: CheckId) -> &[Member] {
        self.checks.get(&id).map_or(&[], |check| &check.members)
    }

    /// Whether every check that runs has had an outcome: the end of starting or reloading.
    pub fn all_answered(&self) -> bool {
        self.checks.values().all(|check| {
            check.answered || check.plan.method == CheckMethod::Off || self.rests(check)
        })
    }

    /// Whether a check does not run because all its servers are in maintenance.
    fn rests(&self, check: &CheckState) -> bool {
        check.members.iter().all(|member| {
            let server = &self.services[member.service].servers[member.server];
            server.health == Health::Maintenance
        })
    }

    /// What operators say of servers.
    pub fn overrides(&self) -> &Overrides {
        &self.overrides
    }

    fn checked(&mut self, checked: &Checked, now: Instant, actions: &mut Vec<Action>) {
        let Some(check) = self.checks.get_mut(&checked.check) else { return };
        if matches!(checked.outcome, CheckOutcome::Down(Failure::Local(_))) {
            check.answered = true;
            return;
        }
        check.count(checked);
        let (failures, successes) = (check.failures, check.successes);
        let members = std::mem::take(&mut check.members);
        for &Member { service, server } in &members {
            let state = &mut self.services[service];
            let served_before = state.serving();
            let changed = match &checked.outcome {
                CheckOutcome::Up(note) => {
                    // A server that comes back has what its agent says from the beginning.
                    let heeded = state.heed(server, note.agent, actions);
                    let passed = state.passed(server, successes, now, actions);
                    heeded || passed
                }
                CheckOutcome::Down(why) => state.failed(server, why, failures, now, actions),
            };
            if state.servers[server].rise.is_some() {
                self.rising.insert(state.address());
            }
            if changed {
                self.after_change(service, served_before, now, actions);
            }
        }
        if let Some(check) = self.checks.get_mut(&checked.check) {
            check.members = members;
        }
    }

    fn override_with(&mut self, overrides: Overrides, now: Instant, actions: &mut Vec<Action>) {
        for index in 0..self.services.len() {
            let state = &mut self.services[index];
            let served_before = state.serving();
            let mut changed = false;
            for server in 0..state.servers.len() {
                let address = state.service.real_servers[server].address;
                let effective = overrides.of(state.address(), address);
                changed |= state.override_weight(server, effective.weight, actions);
                changed |= state.maintain(server, effective.maintenance, now, actions);
            }
            if changed {
                self.after_change(index, served_before, now, actions);
            }
        }
        self.overrides = overrides;
    }

    /// What a change of some server's health means for the fallback server and command.
    fn after_change(
        &mut self,
        index: usize,
        served_before: usize,
        now: Instant,
        actions: &mut Vec<Action>,
    ) {
        let state = &self.services[index];
        if (served_before == 0) != (state.serving() == 0) {
            actions.extend(state.fallback_changes().map(Action::Destination));
        }
        self.decide_hook(index, now, actions);
    }

    fn decide_hook(&mut self, index: usize, now: Instant, actions: &mut Vec<Action>) {
        let state = &mut self.services[index];
        actions.extend(state.decide_hook(now));
        if state.hook.deadline(&state.service).is_some() {
            self.holding_down.insert(state.address());
        } else {
            self.holding_down.remove(&state.address());
        }
    }
}

impl CheckState {
    /// Counts an outcome.
    fn count(&mut self, checked: &Checked) {
        self.answered = true;
        let up = checked.outcome.is_up();
        if up {
            self.failures = 0;
            self.successes = self.successes.saturating_add(1);
        } else {
            self.failures = self.failures.saturating_add(1);
            self.successes = 0;
        }
        self.connects = match (checked.step, up) {
            (Step::Full, true) => Some(0),
            (Step::Connect, true) => self.connects.map(|connects| connects + 1),
            (Step::Full | Step::Connect, false) => None,
        };
    }
}

#[cfg(test)]
mod tests;
