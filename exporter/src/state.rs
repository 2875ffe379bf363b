//! What is known of the instances of this machine, as plain data.

use ldirectord::metrics::MetricsReport;
use ldirectord::status::{ServerState, UnixTime};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

/// How far back the history of a server goes, in seconds.
pub const HISTORY: UnixTime = 3600;

/// All instances at one moment, in the order of their names.
#[derive(Debug, Clone, Default)]
pub struct Snapshot {
    /// When it was taken.
    pub at: UnixTime,
    /// When the instance that was asked longest ago was asked; `None` before the first look.
    pub asked: Option<Instant>,
    /// The instances.
    pub instances: Vec<Arc<InstanceState>>,
}

/// An instance: its daemon's last answer, and what is remembered of it.
#[derive(Debug, Clone, Default)]
pub struct InstanceState {
    /// The configuration's file name.
    pub name: String,
    /// The last answer; it stays when the daemon is gone, beside [`InstanceState::error`].
    pub report: Option<Arc<MetricsReport>>,
    /// When the last answer came.
    pub answered: Option<UnixTime>,
    /// Why there is no newer answer; `None` if the last question was answered.
    pub error: Option<String>,
    /// Since when there is none.
    pub failed: Option<UnixTime>,
    /// The last hour of each server.
    pub history: Arc<HashMap<ServerKey, History>>,
}

/// A real server of a virtual service: the service's id (`tcp:10.0.0.1:80`) and the server's address.
pub type ServerKey = (String, String);

/// The last hour of a real server.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct History {
    /// What it was, oldest first, without gaps; the last part goes on until now. Empty if nothing is known.
    pub parts: Vec<Part>,
    /// When checks failed that did not yet make it down.
    pub soft_failures: Vec<UnixTime>,
    /// How long its checks took: when, and the longest of that minute in microseconds; oldest first.
    pub durations: Vec<(UnixTime, u64)>,
}

/// A stretch of time in one state.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Since when.
    pub since: UnixTime,
    /// The state.
    pub state: ServerState,
}
