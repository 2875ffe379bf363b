//! The table: what it shall list against what it lists, and the operations between.
//!
//! [`plan`] decides which operations, if any; a [`Dataplane`] carries them out: the kernel's table
//! through `ipvs-rs`, or the memory table, for trying the program without root and without ip_vs.
//! [`Table`] joins the two and keeps what failed for the next round.

mod kernel;
mod listing;
mod memory;
mod notice;
mod obstacle;
mod paths;
mod plan;
mod table;

pub use kernel::Kernel;
pub use listing::listing;
pub use memory::{Memory, Refusal};
pub use notice::{DestinationVerb, Notice, Stage};
pub use obstacle::obstacle;
pub use paths::Paths;
pub use plan::{Planned, plan_changes, plan_removal, plan_service, service_key, wanted_entry};
pub use table::{Done, Snapshot, Table};

pub use ipvs_rs::Change as Operation;

use crate::model::ServicePath;
use ipvs_rs::{DestinationEntry, Service, ServiceKey};
use nix::errno::Errno;
use std::fmt;

/// A table of virtual services and their destinations.
pub trait Dataplane: Send {
    /// Every service in the table, ours and others'.
    ///
    /// # Errors
    /// When the table cannot be read.
    fn services(&mut self) -> Result<Vec<Service>, TableError>;

    /// The destinations of a service; none if the table does not list it.
    ///
    /// # Errors
    /// When the table cannot be read.
    fn destinations(&mut self, service: &ServiceKey) -> Result<Vec<DestinationEntry>, TableError>;

    /// Changes the table.
    ///
    /// # Errors
    /// When the table refuses; it is as it was before.
    fn apply(&mut self, operation: &Operation) -> Result<(), TableError>;

    /// Changes the table, one operation after the other; each is carried out or refused by itself, and
    /// has one result.
    fn apply_all(&mut self, operations: &[Operation]) -> Vec<Result<(), TableError>> {
        operations.iter().map(|operation| self.apply(operation)).collect()
    }

    /// Whether packets with a mark really take the way that the table says.
    fn has_paths(&self) -> bool {
        false
    }

    /// Why an answer cannot come back along a path, whatever the server does; `None` if it can.
    fn obstacle(&mut self, _: &ServicePath) -> Option<String> {
        None
    }
}

/// A refusal: which operation on what, and the cause last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableError {
    text: String,
    errno: Option<Errno>,
}

impl TableError {
    /// A refusal in words, with the kernel's number if there is one.
    pub fn new(text: impl Into<String>, errno: Option<Errno>) -> Self {
        Self { text: text.into(), errno }
    }

    /// Of an operation that has no result.
    fn unanswered() -> Self {
        Self::new("the table has not answered", None)
    }

    /// Whether what the operation is about is not in the table (ESRCH, ENOENT).
    pub fn is_absent(&self) -> bool {
        matches!(self.errno, Some(Errno::ESRCH | Errno::ENOENT))
    }

    /// Whether what the operation would add is in the table (EEXIST).
    pub fn is_present(&self) -> bool {
        self.errno == Some(Errno::EEXIST)
    }
}

impl fmt::Display for TableError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl std::error::Error for TableError {}

impl From<ipvs_rs::Error> for TableError {
    fn from(error: ipvs_rs::Error) -> Self {
        Self::new(error.to_string(), error.errno().map(Errno::from_raw))
    }
}

#[cfg(test)]
mod tests;
