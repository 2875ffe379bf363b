#![doc = include_str!("../README.md")]
//!
//! ## The way of a call
//!
//! [`Ipvs`] has the operations. It turns [`Service`] and [`Destination`] into attributes, sends them,
//! and turns the answer into [`ServiceEntry`], [`DestinationEntry`] or an [`Error`], which names the
//! [`Operation`]. Only the private module `netlink` knows numbers and bytes.

mod change;
mod client;
mod destination;
mod error;
mod netlink;
mod service;
mod stats;
mod sync;

pub use change::Change;
pub use client::Ipvs;
pub use destination::{
    Destination, DestinationEntry, Forwarding, ParseForwardingError, Tunnel, TunnelFlags,
    TunnelKind,
};
pub use error::{Error, Operation};
pub use service::{
    Family, Netmask, ParseServiceKeyError, Persistence, Protocol, SchedulerFlags, Service,
    ServiceEntry, ServiceKey,
};
pub use stats::{Info, Stats, Timeouts, Version};
pub use sync::{ParseSyncRoleError, SyncDaemon, SyncRole};
