//! What the director is told.

use super::Overrides;
use crate::check::CheckOutcome;
use crate::model::Step;
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// A check of the director's. Never used twice in one process: an answer for a check that a reload
/// has removed finds nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct CheckId(pub u64);

/// The outcome of one run of a check.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checked {
    /// Which check.
    pub check: CheckId,
    /// Which run of it: an answer to an earlier run is dropped before it comes here.
    pub run: u64,
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
    /// What operators say of servers, by files in `maintenancedir` and by commands.
    Overrides(Overrides),
    /// The time that [`super::Director::next_deadline`] asked for has come.
    Deadline,
}
