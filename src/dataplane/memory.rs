//! A table in memory: for trying the program without root or ip_vs, and for tests.
//!
//! It refuses what `ipvs-rs` and the kernel refuse: an unsound service, a second service or
//! destination of the same address, and changes of what is not there.

use super::{Dataplane, Operation, TableError};
use ipvs_rs::{Destination, DestinationEntry, Service, ServiceKey, Stats};
use nix::errno::Errno;
use std::collections::BTreeMap;
use std::net::SocketAddr;

/// Decides for each operation whether to refuse it, and why.
pub type Refusal = Box<dyn FnMut(&Operation) -> Option<Errno> + Send>;

/// The memory table.
#[derive(Default)]
pub struct Memory {
    services: BTreeMap<ServiceKey, (Service, Vec<Destination>)>,
    refusal: Option<Refusal>,
    has_paths: bool,
}

impl Memory {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// The table with an error injected: operations for which `refusal` has a reason fail with it.
    #[must_use]
    pub fn refusing(mut self, refusal: Refusal) -> Self {
        self.refusal = Some(refusal);
        self
    }

    /// The table as if marked packets took the way that it says.
    #[must_use]
    pub fn with_paths(mut self) -> Self {
        self.has_paths = true;
        self
    }

    fn entry(
        &mut self,
        operation: &Operation,
        key: &ServiceKey,
    ) -> Result<&mut (Service, Vec<Destination>), TableError> {
        self.services
            .get_mut(key)
            .ok_or_else(|| refused(operation, "no such service", Errno::ESRCH))
    }
}

impl Dataplane for Memory {
    fn services(&mut self) -> Result<Vec<Service>, TableError> {
        Ok(self.services.values().map(|(service, _)| service.clone()).collect())
    }

    fn destinations(&mut self, service: &ServiceKey) -> Result<Vec<DestinationEntry>, TableError> {
        let Some((_, destinations)) = self.services.get(service) else { return Ok(Vec::new()) };
        Ok(destinations
            .iter()
            .map(|&destination| DestinationEntry {
                destination,
                active_connections: 0,
                inactive_connections: 0,
                persistent_connections: 0,
                stats: Stats::default(),
            })
            .collect())
    }

    fn has_paths(&self) -> bool {
        self.has_paths
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), TableError> {
        if let Some(refusal) = &mut self.refusal
            && let Some(errno) = refusal(operation)
        {
            return Err(refused(operation, errno.desc(), errno));
        }
        match operation {
            Operation::AddService(service) | Operation::SetService(service)
                if service.problem().is_some() =>
            {
                let problem = service.problem().unwrap_or_default();
                return Err(TableError::new(format!("{operation}: {problem}"), None));
            }
            Operation::AddService(service) => {
                if self.services.contains_key(&service.key) {
                    return Err(refused(operation, "service exists", Errno::EEXIST));
                }
                self.services.insert(service.key, (service.clone(), Vec::new()));
            }
            Operation::SetService(service) => {
                self.entry(operation, &service.key)?.0 = service.clone();
            }
            Operation::DeleteService(key) => {
                self.entry(operation, key)?;
                self.services.remove(key);
            }
            Operation::AddDestination(key, destination) => {
                let (_, destinations) = self.entry(operation, key)?;
                if position(destinations, destination.socket_address()).is_some() {
                    return Err(refused(operation, "destination exists", Errno::EEXIST));
                }
                destinations.push(*destination);
            }
            Operation::SetDestination(key, destination) => {
                let (_, destinations) = self.entry(operation, key)?;
                let at = position(destinations, destination.socket_address())
                    .ok_or_else(|| refused(operation, "no such destination", Errno::ENOENT))?;
                destinations[at] = *destination;
            }
            Operation::DeleteDestination(key, address) => {
                let (_, destinations) = self.entry(operation, key)?;
                let at = position(destinations, *address)
                    .ok_or_else(|| refused(operation, "no such destination", Errno::ENOENT))?;
                destinations.remove(at);
            }
        }
        Ok(())
    }
}

fn position(destinations: &[Destination], address: SocketAddr) -> Option<usize> {
    destinations.iter().position(|destination| destination.socket_address() == address)
}

fn refused(operation: &Operation, cause: &str, errno: Errno) -> TableError {
    TableError::new(format!("{operation}: {cause} ({errno:?})"), Some(errno))
}
