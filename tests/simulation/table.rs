//! A table that others use too, and that does not always do what it is told.

use crate::event::{LIST_DESTINATIONS, LIST_SERVICES, Refusal};
use ipvs_rs::{Destination, DestinationEntry, Service, ServiceKey};
use ldirectord::dataplane::{Dataplane, Memory, Operation, TableError};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// What is listed.
pub(crate) type Listed = BTreeMap<ServiceKey, (Service, Vec<Destination>)>;

/// The table of one world: it outlives the processes that use it.
#[derive(Clone, Default)]
pub(crate) struct SharedTable(Arc<Mutex<Contents>>);

#[derive(Default)]
pub(crate) struct Contents {
    memory: Memory,
    pub(crate) refused_kinds: u8,
    pub(crate) refusal: Option<Refusal>,
    /// So many operations meet somebody who was quicker.
    pub(crate) races: u8,
    /// What was asked since the last look.
    pub(crate) asked: Asked,
    /// Whether each listing of services is kept.
    pub(crate) keep_listings: bool,
}

/// What was asked of the table since the last look.
#[derive(Default)]
pub(crate) struct Asked {
    /// Operations, the weight that a destination had before, and whether they succeeded.
    pub(crate) operations: Vec<(Operation, Option<u32>, bool)>,
    /// The table at each listing of its services; `None` if that was refused.
    pub(crate) listings: Vec<Option<Listed>>,
    pub(crate) listing_refused: bool,
    /// Somebody was quicker.
    pub(crate) raced: bool,
}

impl SharedTable {
    pub(crate) fn lock(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl Contents {
    pub(crate) fn listed(&mut self) -> Listed {
        let services = self.memory.services().expect("memory");
        services
            .into_iter()
            .map(|service| {
                let destinations = self.memory.destinations(&service.key).expect("memory");
                let destinations = destinations.into_iter().map(|entry| entry.destination);
                (service.key, (service, destinations.collect()))
            })
            .collect()
    }

    /// What somebody else does.
    pub(crate) fn tamper(&mut self, operation: &Operation) -> bool {
        self.memory.apply(operation).is_ok()
    }

    fn is_refused(&self, kind: u8) -> Option<Errno> {
        if self.refused_kinds & kind == 0 {
            return None;
        }
        match self.refusal? {
            Refusal::None => None,
            Refusal::Forbidden => Some(Errno::EPERM),
            Refusal::NoBuffer => Some(Errno::ENOBUFS),
            Refusal::NoMemory => Some(Errno::ENOMEM),
        }
    }

    pub(crate) fn lists_services(&self) -> bool {
        self.is_refused(LIST_SERVICES).is_none()
    }

    pub(crate) fn lists_destinations(&self) -> bool {
        self.is_refused(LIST_DESTINATIONS).is_none()
    }

    fn weight(&mut self, key: &ServiceKey, address: std::net::SocketAddr) -> Option<u32> {
        let destinations = self.memory.destinations(key).expect("memory");
        let mut found = destinations.iter().map(|entry| entry.destination);
        found.find(|destination| destination.socket_address() == address).map(|it| it.weight)
    }

    /// Somebody does what the operation is for, or undoes what it needs, just before it.
    fn race(&mut self, operation: &Operation) {
        let before = match operation {
            Operation::AddService(service) => {
                let scheduler = "sed".to_owned();
                Operation::AddService(Service { scheduler, ..service.clone() })
            }
            Operation::SetService(service) => Operation::DeleteService(service.key),
            Operation::DeleteService(key) => Operation::DeleteService(*key),
            Operation::AddDestination(key, destination) => {
                Operation::AddDestination(*key, Destination { weight: 7, ..*destination })
            }
            Operation::SetDestination(key, destination) => {
                Operation::DeleteDestination(*key, destination.socket_address())
            }
            Operation::DeleteDestination(key, address) => {
                Operation::DeleteDestination(*key, *address)
            }
        };
        let _ = self.memory.apply(&before);
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), TableError> {
        if let Some(errno) = self.is_refused(kind(operation)) {
            let text = format!("{operation}: {} ({errno:?})", errno.desc());
            return Err(TableError::new(text, Some(errno)));
        }
        if self.races > 0 {
            self.races -= 1;
            self.asked.raced = true;
            self.race(operation);
        }
        self.memory.apply(operation)
    }
}

fn kind(operation: &Operation) -> u8 {
    match operation {
        Operation::AddService(_) => 1,
        Operation::SetService(_) => 1 << 1,
        Operation::DeleteService(_) => 1 << 2,
        Operation::AddDestination(..) => 1 << 3,
        Operation::SetDestination(..) => 1 << 4,
        Operation::DeleteDestination(..) => 1 << 5,
    }
}

/// The service that an operation is about.
pub(crate) fn service_of(operation: &Operation) -> ServiceKey {
    match operation {
        Operation::AddService(service) | Operation::SetService(service) => service.key,
        Operation::DeleteService(key)
        | Operation::AddDestination(key, _)
        | Operation::SetDestination(key, _)
        | Operation::DeleteDestination(key, _) => *key,
    }
}

impl Dataplane for SharedTable {
    fn services(&mut self) -> Result<Vec<Service>, TableError> {
        let mut contents = self.lock();
        if let Some(errno) = contents.is_refused(LIST_SERVICES) {
            contents.asked.listings.push(None);
            contents.asked.listing_refused = true;
            return Err(TableError::new(format!("list services: {errno}"), Some(errno)));
        }
        if contents.keep_listings {
            let listed = contents.listed();
            contents.asked.listings.push(Some(listed));
        }
        contents.memory.services()
    }

    fn destinations(&mut self, service: &ServiceKey) -> Result<Vec<DestinationEntry>, TableError> {
        let mut contents = self.lock();
        if let Some(errno) = contents.is_refused(LIST_DESTINATIONS) {
            contents.asked.listing_refused = true;
            let text = format!("list destinations of {service}: {errno}");
            return Err(TableError::new(text, Some(errno)));
        }
        contents.memory.destinations(service)
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), TableError> {
        let mut contents = self.lock();
        let before = match operation {
            Operation::AddDestination(key, destination)
            | Operation::SetDestination(key, destination) => {
                contents.weight(key, destination.socket_address())
            }
            Operation::DeleteDestination(key, address) => contents.weight(key, *address),
            _ => None,
        };
        let result = contents.apply(operation);
        contents.asked.operations.push((operation.clone(), before, result.is_ok()));
        result
    }
}
