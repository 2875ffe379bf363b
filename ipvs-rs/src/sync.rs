//! The synchronisation of connections between directors.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Which side of the synchronisation. A director may be both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SyncRole {
    /// Tells others of its connections.
    Master,
    /// Takes on the connections that a master tells of.
    Backup,
}

/// `master`, `backup`.
impl fmt::Display for SyncRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Master => "master",
            Self::Backup => "backup",
        })
    }
}

/// A text that is neither `master` nor `backup`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseSyncRoleError;

impl fmt::Display for ParseSyncRoleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("neither master nor backup")
    }
}

impl std::error::Error for ParseSyncRoleError {}

impl FromStr for SyncRole {
    type Err = ParseSyncRoleError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "master" => Ok(Self::Master),
            "backup" => Ok(Self::Backup),
            _ => Err(ParseSyncRoleError),
        }
    }
}

/// The kernel's synchronisation daemon in one role (`ipvsadm --start-daemon`).
///
/// `None` is the kernel's default when one is started; a listing has what the daemon uses. Linux before 4.3
/// knows role, interface and id only, and takes the defaults whatever is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct SyncDaemon {
    /// Which side.
    pub role: SyncRole,
    /// The interface that the multicast goes out of or comes in by; 1 to 15 bytes.
    pub interface: String,
    /// A backup takes only what a master of its own id tells; one with id 0 takes all.
    pub sync_id: u8,
    /// Bytes of a datagram; by default what the interface takes.
    pub max_length: Option<u16>,
    /// The multicast group; by default 224.0.0.81.
    pub group: Option<IpAddr>,
    /// The UDP port; by default 8848.
    pub port: Option<u16>,
    /// The time to live of the multicast; by default 1.
    pub ttl: Option<u8>,
}

impl SyncDaemon {
    /// With the kernel's defaults, and id 0.
    pub fn new(role: SyncRole, interface: impl Into<String>) -> Self {
        let interface = interface.into();
        Self { role, interface, sync_id: 0, max_length: None, group: None, port: None, ttl: None }
    }
}
