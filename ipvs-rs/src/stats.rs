//! Counters and settings of the whole table.

use std::fmt;

/// Counters of a service or destination since it was added or zeroed, with current rates.
///
/// The kernel brings them up to date every two seconds. 64 bits from Linux 4.1 on; from older
/// kernels 32 bits, where all but the bytes wrap.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Stats {
    /// Connections scheduled.
    pub connections: u64,
    /// Packets from clients.
    pub incoming_packets: u64,
    /// Packets to clients, as far as they pass this machine (not with direct routing and tunnels).
    pub outgoing_packets: u64,
    /// Bytes from clients.
    pub incoming_bytes: u64,
    /// Bytes to clients, as far as they pass this machine.
    pub outgoing_bytes: u64,
    /// Connections per second.
    pub connections_per_second: u64,
    /// Packets per second from clients.
    pub incoming_packets_per_second: u64,
    /// Packets per second to clients.
    pub outgoing_packets_per_second: u64,
    /// Bytes per second from clients.
    pub incoming_bytes_per_second: u64,
    /// Bytes per second to clients.
    pub outgoing_bytes_per_second: u64,
}

/// How long ip_vs remembers an idle connection (`ipvsadm --set`). In seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Timeouts {
    /// Seconds; an established TCP session. Kernel's default 900. When setting, 0 leaves it alone.
    pub tcp_seconds: u32,
    /// Seconds; a TCP session after a FIN. Kernel's default 120. When setting, 0 leaves it alone.
    pub tcp_fin_seconds: u32,
    /// Seconds; UDP. Kernel's default 300. When setting, 0 leaves it alone.
    pub udp_seconds: u32,
}

/// What ip_vs says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Info {
    /// Version of ip_vs, `1.2.1` since 2005.
    pub version: Version,
    /// Buckets of the connection hash table.
    pub connection_table_size: u32,
}

/// Version of ip_vs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version {
    /// First number.
    pub major: u8,
    /// Second number.
    pub minor: u8,
    /// Third number.
    pub patch: u8,
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}
