//! What the runtime is started with.

use super::input::Refused;
pub use crate::config::{Files, Fingerprint};
use crate::dataplane::Dataplane;
use crate::model::{Model, ServiceAddress, Settings};
pub use crate::status::Faults;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A configuration that was accepted.
#[derive(Debug)]
pub struct Configuration {
    /// What it says.
    pub model: Model,
    /// The files as they were when they were read: what differs from them later is a change.
    pub files: Files,
    /// Its names that are followed.
    pub names: FollowedNames,
}

/// Names of real servers and fallbacks that are looked up again; none without `resolveinterval`.
#[derive(Debug, Clone, Default)]
pub struct FollowedNames {
    /// What they stand for in the model, in words.
    pub addresses: BTreeMap<String, BTreeSet<String>>,
    /// Those that could not be looked up the last time, and keep their addresses; why.
    pub failures: BTreeMap<String, String>,
    /// Looks them up.
    pub look_up: Option<LookUp>,
}

/// Resolves the text in force again, with the addresses that followed names have now.
#[derive(Clone)]
pub struct LookUp(pub Load);

impl fmt::Debug for LookUp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LookUp")
    }
}

/// Reads the configuration again.
pub type Load = Arc<dyn Fn() -> Result<Configuration, Refused> + Send + Sync>;

/// What the runtime is started with.
pub struct Setup {
    /// The configuration's file, absolute.
    pub config: PathBuf,
    /// The instance's name, for `status`.
    pub instance: String,
    /// What it says.
    pub configuration: Configuration,
    /// Reads it again.
    pub load: Load,
    /// The table to program.
    pub table: Box<dyn Dataplane>,
    /// What `status` calls it: `kernel` or `memory`.
    pub table_name: &'static str,
    /// Where the fallback commands' state is kept over a restart.
    pub memory: PathBuf,
    /// Where the operators' overrides are kept over a restart and a reboot.
    pub overrides: PathBuf,
    /// Where a process that hands over leaves what it has counted.
    pub counters: PathBuf,
    /// Follows the global settings that are not the runtime's (log, `execute`) after a reload.
    pub settings_changed: Box<dyn FnMut(&Settings) + Send>,
    /// Called once when a stop begins, before anything is purged.
    pub stopping: Box<dyn FnMut() + Send>,
    /// Called at least this often while the owner thread does its work.
    pub alive: Option<(Duration, Box<dyn FnMut() + Send>)>,
    /// The services that were in force before the process started itself anew.
    pub earlier: Vec<ServiceAddress>,
    /// What went wrong in an earlier process of the same daemon.
    pub faults: Faults,
}
