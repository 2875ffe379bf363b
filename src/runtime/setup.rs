//! What the runtime is started with.

use super::watch::Fingerprint;
use crate::dataplane::Dataplane;
use crate::model::Model;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// A configuration that was accepted.
#[derive(Debug)]
pub struct Configuration {
    /// What it says.
    pub model: Model,
    /// The file as it was when it was read: what differs from it later is a change.
    pub fingerprint: Fingerprint,
}

/// Reads the configuration again; the error is its diagnostics as text for the log.
pub type Load = Arc<dyn Fn() -> Result<Configuration, String> + Send + Sync>;

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
    /// Follows the global settings that are not the runtime's (log, `execute`) after a reload.
    pub settings_changed: Box<dyn FnMut(&Model) + Send>,
    /// Called once when a stop begins, before anything is purged.
    pub stopping: Box<dyn FnMut() + Send>,
    /// Called at least this often while the owner thread does its work.
    pub alive: Option<(Duration, Box<dyn FnMut() + Send>)>,
}
