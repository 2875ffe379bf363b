//! From one model to the next: what is unchanged keeps its state.

use super::{
    Action, CheckId, CheckState, Director, Health, HookState, Member, Overrides, Report,
    ServerState, ServiceState,
};
use crate::model::{
    CheckPlan, DestinationAddress, Model, RealServer, ServiceAddress, VirtualService,
};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// What the table lists, as far as the director has to know it: who is in service already.
pub trait Found {
    /// The weight with which the table lists a destination; `None` if it does not.
    fn weight(&self, service: ServiceAddress, destination: DestinationAddress) -> Option<u32>;
}

/// An empty table.
impl Found for () {
    fn weight(&self, _: ServiceAddress, _: DestinationAddress) -> Option<u32> {
        None
    }
}

/// What a reload has taken out of the configuration.
#[derive(Debug, Default)]
pub struct Removed {
    /// The services that are gone, whole.
    pub services: Vec<VirtualService>,
    /// Transitions of the servers that stay, and actions before the others are purged: hooks of
    /// services with `fallbackcommandonstop`.
    pub actions: Vec<Action>,
}

impl Director {
    /// Takes on a new model.
    ///
    /// A real server of the same service with the same address keeps its health, and with the same
    /// check plan its failure counts too. A new one is adopted if the table lists it in service.
    pub fn reload(
        &mut self,
        model: &Model,
        found: &dyn Found,
        overrides: Overrides,
        now: Instant,
    ) -> Removed {
        self.overrides = overrides;
        let mut removed = Removed::default();
        let old = self.install(model, found, now, &mut removed.actions);
        for mut state in old {
            if !self.by_address.contains_key(&state.address()) {
                removed.actions.extend(state.hook_on_stop());
                removed.services.push(state.service);
            }
        }
        removed
    }

    #[expect(clippy::mutable_key_type, reason = "a pattern is hashed and compared by its source")]
    /// Installs a model over the present state; returns the services there were before.
    pub(super) fn install(
        &mut self,
        model: &Model,
        found: &dyn Found,
        now: Instant,
        actions: &mut Vec<Action>,
    ) -> Vec<ServiceState> {
        let mut old_services = std::mem::take(&mut self.services);
        let old_index = std::mem::take(&mut self.by_address);
        let mut old_checks: HashMap<Arc<CheckPlan>, (CheckId, CheckState)> =
            std::mem::take(&mut self.checks)
                .into_iter()
                .map(|(id, check)| (Arc::clone(&check.plan), (id, check)))
                .collect();
        let mut ids: HashMap<Arc<CheckPlan>, CheckId> = HashMap::new();
        for (index, service) in model.services.iter().enumerate() {
            let old = old_index.get(&service.address).map(|&old| &old_services[old]);
            let mut state = ServiceState {
                service: service.clone(),
                servers: Vec::with_capacity(service.real_servers.len()),
                hook: HookState::default(),
                serving: 0,
                by_listed: HashMap::with_capacity(service.real_servers.len()),
            };
            let known = old.map(|old| old.successors(&service.real_servers)).unwrap_or_default();
            for (server, real) in service.real_servers.iter().enumerate() {
                let check = *ids.entry(Arc::clone(&real.check)).or_insert_with(|| {
                    let (id, check) = old_checks.remove(&real.check).unwrap_or_else(|| {
                        self.next_check += 1;
                        (CheckId(self.next_check), CheckState::new(Arc::clone(&real.check)))
                    });
                    self.checks.insert(id, CheckState { members: Vec::new(), ..check });
                    id
                });
                if let Some(entry) = self.checks.get_mut(&check) {
                    entry.members.push(Member { service: index, server });
                }
                let listed = real.listed(service.address);
                state.by_listed.entry(listed).or_default().push(server);
                let before = known.get(server).copied().flatten();
                let carried = before.map(|before| before.carried(check));
                state.servers.push(carried.unwrap_or_else(|| ServerState {
                    health: first_health(real, found.weight(service.address, listed)),
                    since: now,
                    soft: false,
                    weight: None,
                    agent: None,
                    rise: None,
                    check,
                }));
                let effective = self.overrides.of(service.address, real.address);
                state.servers[server].weight = effective.weight;
                if service.slow_start.is_none() {
                    state.servers[server].rise = None;
                }
                let to = match (&state.servers[server].health, effective.maintenance) {
                    (Health::Maintenance, true) => None,
                    (_, true) => Some(Health::Maintenance),
                    (Health::Maintenance, false) => Some(Health::Unknown),
                    (_, false) => None,
                };
                if let Some(to) = to {
                    let server = &mut state.servers[server];
                    let from = std::mem::replace(&mut server.health, to.clone());
                    server.since = now;
                    (server.agent, server.rise) = (None, None);
                    if before.is_some() {
                        let (service, server) = (service.address, real.address);
                        let report = Report::Transition { service, server, from, to };
                        actions.push(Action::Report(report));
                    }
                }
            }
            state.serving = state.servers.iter().filter(|server| server.serves()).count();
            self.by_address.insert(service.address, index);
            self.services.push(state);
        }
        for (address, &old) in &old_index {
            if let Some(&index) = self.by_address.get(address) {
                let old = &mut old_services[old];
                if runs_the_same(&old.service, &self.services[index].service) {
                    self.services[index].hook = std::mem::take(&mut old.hook);
                }
            }
        }
        let holding =
            self.services.iter().filter(|state| state.hook.deadline(&state.service).is_some());
        self.holding_down = holding.map(ServiceState::address).collect();
        let rising = self.services.iter().filter(|state| state.next_step().is_some());
        self.rising = rising.map(ServiceState::address).collect();
        old_services
    }
}

/// Whether two services have the same fallback command: its text decides, as after a restart. Another
/// `fallbackcommandtimeout` or `fallbackcommandretry` is no reason to run it again.
fn runs_the_same(one: &VirtualService, other: &VirtualService) -> bool {
    match (&one.fallback_command, &other.fallback_command) {
        (Some(one), Some(other)) => one.command == other.command,
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}

/// The health of a server that nothing is known of but its entry in the table.
fn first_health(real: &RealServer, listed_weight: Option<u32>) -> Health {
    match listed_weight {
        Some(weight) if weight > 0 || real.weight == 0 => Health::Adopted,
        _ => Health::Unknown,
    }
}

impl ServiceState {
    /// The state that each of these servers has had here: of the server with the same address and
    /// check, else of one with the same address. A configuration may name an address twice; each of
    /// the two has a state of its own.
    fn successors(&self, new: &[RealServer]) -> Vec<Option<&ServerState>> {
        let old = &self.service.real_servers;
        let mut left: HashMap<DestinationAddress, Vec<usize>> = HashMap::new();
        for (index, real) in old.iter().enumerate() {
            left.entry(real.address).or_default().push(index);
        }
        let mut found = vec![None; new.len()];
        for same_check in [true, false] {
            for (new, found) in new.iter().zip(&mut found).filter(|(_, found)| found.is_none()) {
                let Some(left) = left.get_mut(&new.address) else { continue };
                let mut candidates = left.iter();
                let fits = |&index: &usize| !same_check || old[index].check == new.check;
                if let Some(position) = candidates.position(fits) {
                    *found = Some(&self.servers[left.remove(position)]);
                }
            }
        }
        found
    }
}

impl ServerState {
    /// This state under a new model. A verdict of a check that has changed is no verdict any more,
    /// but decides how the table lists the server until the new check has its own.
    fn carried(&self, check: CheckId) -> Self {
        if check == self.check {
            return self.clone();
        }
        let health = match &self.health {
            Health::Up => Health::Adopted,
            other => other.clone(),
        };
        let (weight, rise) = (self.weight, self.rise);
        Self { health, check, soft: false, since: self.since, weight, agent: None, rise }
    }
}

impl CheckState {
    fn new(plan: Arc<CheckPlan>) -> Self {
        Self {
            plan,
            members: Vec::new(),
            failures: 0,
            successes: 0,
            connects: None,
            answered: false,
        }
    }
}
