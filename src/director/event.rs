//! What the director is told.

use crate::check::CheckOutcome;
use crate::model::{DestinationAddress, Step};
use std::collections::HashSet;
use std::time::Duration;

/// A check of the director's. Never used twice in one process: an answer for a check that a reload
/// has removed finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CheckId(pub u64);

/// The outcome of one run of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which check.
    pub check: CheckId,
    /// Which part of it ran.
    pub step: Step,
    /// What it found.
    pub outcome: CheckOutcome,
    /// How long it took.
    pub duration: Duration,
}

/// An event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A check has its outcome.
    Checked(Checked),
    /// The real servers, by configured address and port, that have a file in `maintenancedir`.
    Maintenance(HashSet<DestinationAddress>),
    /// The time that [`super::Director::next_deadline`] asked for has come.
    Deadline,
}
