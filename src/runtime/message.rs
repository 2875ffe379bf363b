//! What the other threads tell the owner thread.

use super::setup::Configuration;
use super::watch::Fingerprint;
use crate::director::Checked;
use crate::hook::HookReport;
use crate::model::DestinationAddress;
use crate::status::StatusReport;
use std::collections::HashSet;
use std::sync::mpsc::Sender;

/// A configuration that has been read again.
pub(super) struct Loaded {
    /// What it says.
    pub(super) configuration: Configuration,
    /// The servers that have a file in its `maintenancedir`.
    pub(super) maintenance: HashSet<DestinationAddress>,
}

/// A configuration that has been read again and is not accepted.
pub(super) struct Refused {
    /// Why.
    pub(super) diagnostics: String,
    /// The file as it was just before it was read, if it could be.
    pub(super) found: Option<Fingerprint>,
}

/// A message to the owner thread.
pub(super) enum Message {
    /// Checks have their outcomes.
    Checked(Vec<Checked>),
    /// A run of a fallback command is over.
    Hook(HookReport),
    /// The servers that have a file in `maintenancedir` are now these.
    Maintenance(HashSet<DestinationAddress>),
    /// The configuration's file has changed on disk.
    FileChanged,
    /// The configuration has been read again.
    Loaded(Box<Result<Loaded, Refused>>),
    /// HUP.
    Reload,
    /// TERM and its like: the signal's name without SIG.
    Terminate(&'static str),
    /// Another process takes over. The asker hears whether this one ends, or why it goes on.
    HandOver(Sender<Result<(), String>>),
    /// Somebody asks for the status.
    Status(Sender<StatusReport>),
    /// Somebody asks for the table in the form of `ipvsadm -Ln`.
    Listing(Sender<String>),
}
