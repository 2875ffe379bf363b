//! Who a command is run as.

use serde::{Deserialize, Serialize};
use std::path::PathBuf;

/// A user of this machine, with everything that a process of his has.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct User {
    /// His name.
    pub name: String,
    /// His number.
    pub uid: u32,
    /// His own group.
    pub gid: u32,
    /// All his groups.
    pub groups: Vec<u32>,
    /// His home.
    pub home: PathBuf,
}
