//! What the owner's step is told.

use super::operator::Command;
use super::setup::Configuration;
use crate::config::Files;
use crate::director::Checked;
use crate::hook::HookEvent;
use crate::prober::Run;
use std::collections::BTreeSet;
use std::net::IpAddr;
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// A moment, on both clocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Now {
    /// The clock that never jumps: all decisions are made by it.
    pub instant: Instant,
    /// The clock on the wall: for what people read.
    pub wall: SystemTime,
}

impl Now {
    /// Reads the clocks.
    pub fn read() -> Self {
        Self { instant: Instant::now(), wall: SystemTime::now() }
    }
}

/// Something that has happened.
#[derive(Debug)]
pub enum Input {
    /// Runs of checks have their outcomes.
    Outcomes(Vec<Checked>),
    /// Runs of checks will have no outcome: who did them is gone.
    Lost(Vec<Run>),
    /// A hook has begun or is over.
    Hook(HookEvent),
    /// `maintenancedir` has been read.
    Maintenance(Listing),
    /// The names of real servers have been looked up.
    Names(Vec<(IpAddr, Name)>),
    /// These files, of those that the configuration was read from, have changed on disk.
    FilesChanged(Vec<PathBuf>),
    /// The configuration has been read again.
    Loaded {
        /// The number of the [`Effect::Load`](super::Effect::Load).
        load: u64,
        /// What was read.
        result: Box<Result<Loaded, Refused>>,
    },
    /// HUP.
    Reload,
    /// TERM and its like: the signal's name without SIG.
    Terminate(&'static str),
    /// Somebody asks.
    Question(Question, Asker),
}

/// What can be asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// The status.
    Status,
    /// The status, and what was counted.
    Metrics,
    /// The table in the form of `ipvsadm -Ln`.
    Listing,
    /// The services that the daemon stands for: in force, listed by the table, and not refused by it.
    Serving,
    /// Another process takes over: does this one end?
    HandOver,
    /// An operator drains, disables or enables real servers, or sets their weight.
    Operate(Box<Command>),
    /// What would a reload do?
    Plan,
    /// A reload, and whether it is accepted. With a time, the configuration before comes back after it
    /// unless [`Question::Confirm`] comes.
    Reload(Option<Duration>),
    /// The reload that waits for it stays in force.
    Confirm,
}

/// Names who has asked, in [`Effect::Answer`](super::Effect::Answer).
pub type Asker = u64;

/// The files in `maintenancedir`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    /// The directory.
    pub directory: PathBuf,
    /// Of two listings, the one that was begun later has the higher number.
    pub order: u64,
    /// The names of its files, or why it could not be read.
    pub files: Result<BTreeSet<String>, String>,
}

/// What a look-up says of an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Name {
    /// It has this name.
    Known(String),
    /// It has none.
    Nameless,
    /// The resolver did not say.
    Failed,
}

/// A configuration that has been read again.
#[derive(Debug)]
pub struct Loaded {
    /// What it says.
    pub configuration: Configuration,
    /// The files in its `maintenancedir`; `None` if it has none.
    pub maintenance: Option<Listing>,
}

/// A configuration that has been read again and is not accepted.
#[derive(Debug)]
pub struct Refused {
    /// Why.
    pub diagnostics: String,
    /// The files as they were when they were read, if they could be.
    pub found: Option<Box<Files>>,
}
