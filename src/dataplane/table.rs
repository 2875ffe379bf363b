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
        let mut done = Vec::new();
        for wanted in wanted {
            let address = wanted.service.address;
            let planned = plan_service(wanted, snapshot.listed(address));
            let changes_service = planned.first().is_some_and(|planned| {
                matches!(planned.operation, Operation::AddService(_) | Operation::SetService(_))
            });
            if !changes_service {
                done.push(Done::Kept(address));
            }
            // A removal that is still owed was meant for the service that was there before.
            self.removals.retain(|owed| owed.address != address);
            self.changes.remove(&address);
            if self.carry_out(address, planned, &mut done) {
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
        for service in services {
            self.settle_changes(service, &mut done);
        }
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
        let owed: Vec<ServiceAddress> = self.changes.keys().copied().collect();
        for service in owed {
            if director.service(service).is_some() {
                self.settle_changes(service, &mut done);
            } else {
                self.changes.remove(&service);
                self.settled(service, &mut done);
            }
        }
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
        for (service, state) in services {
            self.whole.remove(&service.address);
            self.refused.remove(&service.address);
            self.changes.remove(&service.address);
            let removed = match &listed {
                Ok(listed) => self.remove_one(service, state, listed, stage, &mut done),
                Err(error) => {
                    self.failed(service.address, error.clone(), &mut done);
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

    fn remove_one(
        &mut self,
        service: &VirtualService,
        state: Option<&ServiceState>,
        listed: &HashSet<ServiceKey>,
        stage: Stage,
        done: &mut Vec<Done>,
    ) -> bool {
        let key = service_key(service.address);
        if !listed.contains(&key) {
            return true;
        }
        let destinations = match self.destinations(key) {
            Ok(destinations) => destinations,
            Err(error) => {
                self.failed(service.address, error, done);
                return false;
            }
        };
        let serving = state.into_iter().flat_map(|state| {
            let servers = state.service.real_servers.iter().zip(&state.servers);
            servers
                .filter(|(_, server)| server.health.serves())
                .map(|(real, _)| (real.listed(service.address), real.address))
        });
        let planned = plan_removal(service, serving, &destinations, stage);
        self.carry_out(service.address, planned, done)
    }

    /// Has these services synchronised whole at the next [`Table::retry`].
    pub fn owe(&mut self, services: impl IntoIterator<Item = ServiceAddress>) {
        for service in services {
            // What is owed of single destinations may be of servers that are no longer configured.
            self.changes.remove(&service);
            self.whole.insert(service);
        }
    }

    fn settle_changes(&mut self, service: ServiceAddress, done: &mut Vec<Done>) {
        let Some(owed) = self.changes.remove(&service) else { return };
        if self.refused.contains(&service) {
            return;
        }
        let listed = match self.destinations(service_key(service)) {
            Ok(listed) => listed,
            Err(error) => {
                self.changes.insert(service, owed);
                self.failed(service, error, done);
                return;
            }
        };
        let mut wanted: Vec<WantedDestination> = owed.values().copied().collect();
        // A fallback goes after the real server has come, and comes before the real server goes.
        wanted.sort_by_key(|wanted| (rank(wanted), wanted.listed));
        let planned = plan_changes(service, &wanted, &listed);
        if !self.carry_out(service, planned, done) {
            self.changes.insert(service, owed);
        }
        self.settled(service, done);
    }

    /// Carries out all of a plan, whatever fails in between; whether all of it succeeded.
    fn carry_out(
        &mut self,
        service: ServiceAddress,
        planned: Vec<Planned>,
        done: &mut Vec<Done>,
    ) -> bool {
        let mut failure = None;
        self.refused.remove(&service);
        for Planned { before, operation, notice } in planned {
            let reached = before.map_or(Ok(Reached::Now), |before| self.reach(&before));
            match reached.and_then(|_| self.reach(&operation)) {
                Ok(Reached::Now) => done.push(Done::Applied(notice)),
                Ok(Reached::Before) => {}
                Err(error) => {
                    failure.get_or_insert(error);
                    if matches!(operation, Operation::AddService(_)) {
                        self.refused.insert(service);
                        break;
                    }
                }
            }
        }
        match failure {
            None => true,
            Some(error) => {
                self.failed(service, error, done);
                false
            }
        }
    }

    /// Carries out one operation. What it is for may be so already, because somebody else was
    /// quicker since the listing: that is no failure.
    fn reach(&mut self, operation: &Operation) -> Result<Reached, TableError> {
        let Err(error) = self.backend.apply(operation) else { return Ok(Reached::Now) };
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
        self.backend.apply(&instead).map(|()| Reached::Now)
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
