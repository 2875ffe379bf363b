//! Plans and carries out; keeps what failed for the next round.

use super::{
    Dataplane, Notice, Operation, Planned, Stage, TableError, plan_changes, plan_removal,
    plan_service, service_key,
};
use crate::director::{Change, Director, Found, ServiceState, WantedDestination, WantedService};
use crate::model::{DestinationAddress, ServiceAddress, VirtualService};
use ipvs_rs::{Destination, DestinationEntry, Service, ServiceKey};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// What has become of a planned operation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Done {
    /// The table is changed.
    Applied(Notice),
    /// The table listed the service already, with the right scheduler, flags and persistence.
    Kept(ServiceAddress),
    /// The table refused; it will be tried again. Each cause is reported once until nothing is owed
    /// to the service any more.
    Failed {
        /// The service.
        service: ServiceAddress,
        /// The operation and its cause.
        error: TableError,
    },
    /// What was refused before has succeeded, or is not wanted any more.
    Recovered(ServiceAddress),
}

/// The whole table at one time, as far as the services of the model are concerned.
#[derive(Debug, Default)]
pub struct Snapshot {
    services: HashMap<ServiceKey, (Service, Vec<Destination>)>,
    weights: HashMap<(ServiceKey, DestinationAddress), u32>,
}

impl Snapshot {
    /// A service as it was listed, and its destinations.
    pub fn listed(&self, service: ServiceAddress) -> Option<(&Service, &[Destination])> {
        let (service, destinations) = self.services.get(&service_key(service))?;
        Some((service, destinations))
    }
}

/// The table, with what is still owed to it.
pub struct Table {
    backend: Box<dyn Dataplane>,
    /// Services to be synchronised whole at the next round, because that failed.
    whole: BTreeSet<ServiceAddress>,
    /// Services that the table has refused to list: without them no destination can follow, and
    /// they are synchronised whole anyway.
    refused: BTreeSet<ServiceAddress>,
    /// Changes to be made at the next round, because they failed.
    changes: BTreeMap<ServiceAddress, BTreeMap<DestinationAddress, WantedDestination>>,
    /// Services to be removed at the next round, because that failed.
    removals: Vec<VirtualService>,
    /// The failures of each service that is owed something.
    failures: HashMap<ServiceAddress, Failures>,
}

/// Why a service is owed something.
struct Failures {
    last: TableError,
    /// What has been reported. Several things may be owed and fail in turn, each with its own cause.
    told: Vec<TableError>,
}

/// Failures of one service that are remembered as reported.
const TOLD: usize = 64;

impl Table {
    /// A table over a backend.
    pub fn new(backend: Box<dyn Dataplane>) -> Self {
        Self {
            backend,
            whole: BTreeSet::new(),
            refused: BTreeSet::new(),
            changes: BTreeMap::new(),
            removals: Vec::new(),
            failures: HashMap::new(),
        }
    }

    /// Reads the services of a model, and their destinations.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn snapshot<'a>(
        &mut self,
        services: impl IntoIterator<Item = &'a VirtualService>,
    ) -> Result<Snapshot, TableError> {
        let listed: HashMap<ServiceKey, Service> =
            self.backend.services()?.into_iter().map(|service| (service.key, service)).collect();
        let mut snapshot = Snapshot::default();
        for service in services {
            let key = service_key(service.address);
            if let Some(entry) = listed.get(&key) {
                let destinations = self.destinations(key)?;
                let weights = destinations
                    .iter()
                    .map(|listed| ((key, listed.socket_address()), listed.weight));
                snapshot.weights.extend(weights);
                snapshot.services.insert(key, (entry.clone(), destinations));
            }
        }
        Ok(snapshot)
    }

    /// The destinations of one service with their connections, for `status`.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn entries(
        &mut self,
        service: ServiceAddress,
    ) -> Result<Vec<DestinationEntry>, TableError> {
        self.backend.destinations(&service_key(service))
    }

    /// The backend itself, for a listing.
    pub fn backend(&mut self) -> &mut dyn Dataplane {
        self.backend.as_mut()
    }

    /// The last refusal of each service that is owed something.
    pub fn failure(&self, service: ServiceAddress) -> Option<&TableError> {
        self.failures.get(&service).map(|failures| &failures.last)
    }

    /// Makes the table list these services whole.
    pub fn synchronise(&mut self, wanted: &[WantedService<'_>], snapshot: &Snapshot) -> Vec<Done> {
        let plans: Vec<(ServiceAddress, Vec<Planned>)> = wanted
            .iter()
            .map(|wanted| {
                let address = wanted.service.address;
                (address, plan_service(wanted, snapshot.listed(address)))
            })
            .collect();
        let mut done = Vec::new();
        for carried in self.carry_out(plans) {
            let address = carried.service;
            if !carried.changes_service {
                done.push(Done::Kept(address));
            }
            // A removal that is still owed was meant for the service that was there before.
            self.removals.retain(|owed| owed.address != address);
            self.changes.remove(&address);
            if self.account(carried, &mut done) {
                self.whole.remove(&address);
            } else {
                self.whole.insert(address);
            }
            self.settled(address, &mut done);
        }
        done
    }

    /// Makes changes of single destinations, from one listing of each service they are in.
    pub fn change(&mut self, changes: impl IntoIterator<Item = Change>) -> Vec<Done> {
        let mut services = Vec::new();
        let mut seen = HashSet::new();
        for change in changes {
            let owed = self.changes.entry(change.service).or_default();
            owed.insert(change.destination.listed, change.destination);
            if seen.insert(change.service) {
                services.push(change.service);
            }
        }
        let mut done = Vec::new();
        self.settle_changes(services, &mut done);
        done
    }

    /// Tries again what failed, from a fresh listing.
    pub fn retry(&mut self, director: &Director) -> Vec<Done> {
        let mut done = self.remove_owed(director);
        let whole = std::mem::take(&mut self.whole);
        let wanted: Vec<_> =
            whole.into_iter().filter_map(|address| director.wanted(address)).collect();
        if !wanted.is_empty() {
            match self.snapshot(wanted.iter().map(|wanted| wanted.service)) {
                Ok(snapshot) => done.extend(self.synchronise(&wanted, &snapshot)),
                Err(error) => {
                    for wanted in &wanted {
                        self.whole.insert(wanted.service.address);
                        self.failed(wanted.service.address, error.clone(), &mut done);
                    }
                }
            }
        }
        let (owed, gone): (Vec<_>, Vec<_>) =
            self.changes.keys().copied().partition(|&service| director.service(service).is_some());
        for service in gone {
            self.changes.remove(&service);
            self.settled(service, &mut done);
        }
        self.settle_changes(owed, &mut done);
        done
    }

    /// Tries the removals again that failed: the last chance before an end.
    pub fn remove_owed(&mut self, director: &Director) -> Vec<Done> {
        let mut removals = std::mem::take(&mut self.removals);
        removals.retain(|service| director.service(service.address).is_none());
        self.remove(removals.iter().map(|service| (service, None)), Stage::Start)
    }

    /// Whether anything failed that [`Table::retry`] would try again.
    pub fn owes(&self) -> bool {
        !(self.whole.is_empty() && self.changes.is_empty() && self.removals.is_empty())
    }

    /// How many services [`Table::retry`] would see to.
    pub fn owed_services(&self) -> usize {
        let changes = self.changes.keys().filter(|service| !self.whole.contains(service));
        self.whole.len() + changes.count() + self.removals.len()
    }

    /// Removes services. With its state, the real servers of a service that are in service are
    /// removed and named first.
    ///
    /// What cannot be removed at a reload is tried again; at the stop there is no next round.
    pub fn remove<'a>(
        &mut self,
        services: impl IntoIterator<Item = (&'a VirtualService, Option<&'a ServiceState>)>,
        stage: Stage,
    ) -> Vec<Done> {
        let mut services = services.into_iter().peekable();
        let mut done = Vec::new();
        if services.peek().is_none() {
            return done;
        }
        let listed: Result<HashSet<ServiceKey>, TableError> = self
            .backend
            .services()
            .map(|services| services.into_iter().map(|service| service.key).collect());
        let mut plans = Vec::new();
        let mut removals = Vec::new();
        for (service, state) in services {
            self.whole.remove(&service.address);
            self.refused.remove(&service.address);
            self.changes.remove(&service.address);
            let planned = match &listed {
                Ok(listed) => self.plan_removal(service, state, listed, stage),
                Err(error) => Err(error.clone()),
            };
            removals.push((service, planned.as_ref().err().cloned()));
            plans.push((service.address, planned.unwrap_or_default()));
        }
        let carried = self.carry_out(plans);
        for ((service, unread), carried) in removals.into_iter().zip(carried) {
            let removed = match unread {
                None => self.account(carried, &mut done),
                Some(error) => {
                    self.failed(service.address, error, &mut done);
                    false
                }
            };
            if !removed && stage == Stage::Start {
                self.removals.push(service.clone());
            }
            if removed {
                self.settled(service.address, &mut done);
            }
        }
        done
    }

    fn plan_removal(
        &mut self,
        service: &VirtualService,
        state: Option<&ServiceState>,
        listed: &HashSet<ServiceKey>,
        stage: Stage,
    ) -> Result<Vec<Planned>, TableError> {
        let key = service_key(service.address);
        if !listed.contains(&key) {
            return Ok(Vec::new());
        }
        let destinations = self.destinations(key)?;
        let serving = state.into_iter().flat_map(|state| {
            let servers = state.service.real_servers.iter().zip(&state.servers);
            servers
                .filter(|(_, server)| server.health.serves())
                .map(|(real, _)| (real.listed(service.address), real.address))
        });
        Ok(plan_removal(service, serving, &destinations, stage))
    }

    /// Has these services synchronised whole at the next [`Table::retry`].
    pub fn owe(&mut self, services: impl IntoIterator<Item = ServiceAddress>) {
        for service in services {
            // What is owed of single destinations may be of servers that are no longer configured.
            self.changes.remove(&service);
            self.whole.insert(service);
        }
    }

    fn settle_changes(&mut self, services: Vec<ServiceAddress>, done: &mut Vec<Done>) {
        let mut plans = Vec::new();
        let mut all_owed = Vec::new();
        for service in services {
            let Some(owed) = self.changes.remove(&service) else { continue };
            if self.refused.contains(&service) {
                continue;
            }
            let listed = match self.destinations(service_key(service)) {
                Ok(listed) => listed,
                Err(error) => {
                    self.changes.insert(service, owed);
                    self.failed(service, error, done);
                    continue;
                }
            };
            let mut wanted: Vec<WantedDestination> = owed.values().copied().collect();
            // A fallback goes after the real server has come, and comes before the real server goes.
            wanted.sort_by_key(|wanted| (rank(wanted), wanted.listed));
            plans.push((service, plan_changes(service, &wanted, &listed)));
            all_owed.push(owed);
        }
        for (carried, owed) in self.carry_out(plans).into_iter().zip(all_owed) {
            let service = carried.service;
            if !self.account(carried, done) {
                self.changes.insert(service, owed);
            }
            self.settled(service, done);
        }
    }

    /// Carries out all of the plans together, whatever fails in between.
    fn carry_out(&mut self, plans: Vec<(ServiceAddress, Vec<Planned>)>) -> Vec<Carried> {
        let operations: Vec<Operation> = plans
            .iter()
            .flat_map(|(_, planned)| planned)
            .flat_map(|planned| planned.operations().cloned())
            .collect();
        let mut results = self.backend.apply_all(&operations).into_iter();
        let mut next = || results.next().unwrap_or_else(|| Err(TableError::unanswered()));
        let mut all = Vec::new();
        for (service, planned) in plans {
            let mut carried = Carried {
                service,
                changes_service: planned.first().is_some_and(|first| {
                    matches!(first.operation, Operation::AddService(_) | Operation::SetService(_))
                }),
                done: Vec::new(),
                failure: None,
                refused: false,
            };
            for Planned { before, operation, notice } in planned {
                let first = before.map(|before| (next(), before));
                let mut own = next();
                // Without the service, what follows has been refused, too.
                if carried.refused {
                    continue;
                }
                if let Some((Err(error), before)) = first {
                    // It comes too late now, so that what should follow it follows once more.
                    own = reach(self.backend.as_mut(), &before, Err(error))
                        .and_then(|_| self.backend.apply(&operation));
                }
                match reach(self.backend.as_mut(), &operation, own) {
                    Ok(Reached::Now) => carried.done.push(Done::Applied(notice)),
                    Ok(Reached::Before) => {}
                    Err(error) => {
                        carried.failure.get_or_insert(error);
                        carried.refused = matches!(operation, Operation::AddService(_));
                    }
                }
            }
            all.push(carried);
        }
        all
    }

    /// Tells what was carried out of a service's plan; whether all of it succeeded.
    fn account(&mut self, carried: Carried, done: &mut Vec<Done>) -> bool {
        let Carried { service, failure, refused, .. } = carried;
        done.extend(carried.done);
        if refused {
            self.refused.insert(service);
        } else {
            self.refused.remove(&service);
        }
        match failure {
            None => true,
            Some(error) => {
                self.failed(service, error, done);
                false
            }
        }
    }

    fn failed(&mut self, service: ServiceAddress, error: TableError, done: &mut Vec<Done>) {
        let failures = self
            .failures
            .entry(service)
            .or_insert_with(|| Failures { last: error.clone(), told: Vec::new() });
        failures.last = error.clone();
        if !failures.told.contains(&error) {
            failures.told.truncate(TOLD - 1);
            failures.told.push(error.clone());
            done.push(Done::Failed { service, error });
        }
    }

    /// Reports that a service is as wanted again, if it is: something else may still be owed.
    fn settled(&mut self, service: ServiceAddress, done: &mut Vec<Done>) {
        let owed = self.whole.contains(&service)
            || self.changes.contains_key(&service)
            || self.removals.iter().any(|owed| owed.address == service);
        if !owed && self.failures.remove(&service).is_some() {
            done.push(Done::Recovered(service));
        }
    }

    fn destinations(&mut self, key: ServiceKey) -> Result<Vec<Destination>, TableError> {
        let entries = self.backend.destinations(&key)?;
        Ok(entries.into_iter().map(|entry| entry.destination).collect())
    }
}

fn rank(wanted: &WantedDestination) -> u8 {
    use crate::director::{Role, Want};
    match (wanted.role, wanted.want) {
        (_, Want::Serve { .. }) => 0,
        (Role::RealServer, _) => 1,
        (Role::Fallback, _) => 2,
    }
}

/// What has become of a service's plan.
struct Carried {
    service: ServiceAddress,
    /// Whether it adds or changes the service itself.
    changes_service: bool,
    done: Vec<Done>,
    failure: Option<TableError>,
    /// Whether the service itself was refused.
    refused: bool,
}

/// What the result of one operation means. What it is for may be so already, because somebody else was
/// quicker since the listing: that is no failure.
fn reach(
    table: &mut dyn Dataplane,
    operation: &Operation,
    result: Result<(), TableError>,
) -> Result<Reached, TableError> {
    let Err(error) = result else { return Ok(Reached::Now) };
    let instead = match operation {
        Operation::DeleteService(_) | Operation::DeleteDestination(..) if error.is_absent() => {
            return Ok(Reached::Before);
        }
        Operation::AddService(service) if error.is_present() => {
            Operation::SetService(service.clone())
        }
        Operation::AddDestination(service, destination) if error.is_present() => {
            Operation::SetDestination(*service, *destination)
        }
        _ => return Err(error),
    };
    table.apply(&instead).map(|()| Reached::Now)
}

/// When the table came to be as an operation wants it.
enum Reached {
    /// By the operation.
    Now,
    /// Without it.
    Before,
}

impl Found for Snapshot {
    fn weight(&self, service: ServiceAddress, destination: DestinationAddress) -> Option<u32> {
        self.weights.get(&(service_key(service), destination)).copied()
    }
}
