//! The kernel's table, through `ipvs-rs`.

use super::obstacle::obstacle;
use super::{Dataplane, Operation, TableError};
use crate::model::ServicePath;
use ipvs_rs::{DestinationEntry, Ipvs, Service, ServiceKey};

/// The kernel's ip_vs table of this network namespace.
#[derive(Debug)]
pub struct Kernel {
    client: Ipvs,
}

impl Kernel {
    /// Opens the table and reads it once, so that a kernel without ip_vs or a process without
    /// CAP_NET_ADMIN is known at the start.
    ///
    /// # Errors
    /// When there is no ip_vs, or it may not be used.
    pub fn open() -> Result<Self, TableError> {
        let mut client = Ipvs::open()?;
        client.services()?;
        Ok(Self { client })
    }
}

impl Dataplane for Kernel {
    fn services(&mut self) -> Result<Vec<Service>, TableError> {
        Ok(self.client.services()?.into_iter().map(|entry| entry.service).collect())
    }

    fn destinations(&mut self, service: &ServiceKey) -> Result<Vec<DestinationEntry>, TableError> {
        Ok(self.client.destinations(service)?)
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), TableError> {
        let mut results = self.apply_all(std::slice::from_ref(operation));
        results.pop().unwrap_or_else(|| Err(TableError::unanswered()))
    }

    fn apply_all(&mut self, operations: &[Operation]) -> Vec<Result<(), TableError>> {
        let results = self.client.apply(operations).into_iter();
        results.map(|result| result.map_err(TableError::from)).collect()
    }

    fn has_paths(&self) -> bool {
        true
    }

    fn obstacle(&mut self, path: &ServicePath) -> Option<String> {
        obstacle(path)
    }
}
