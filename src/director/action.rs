//! What the director wants done.

use super::Health;
use crate::model::{
    DestinationAddress, FallbackCommand, ForwardingMethod, HookArgument, ServiceAddress, Thresholds,
};

/// An action; the order among actions of one event is the order in which they are meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// The table shall list this destination so.
    Destination(Change),
    /// `fallbackcommand` shall run.
    Hook {
        /// For which service.
        service: ServiceAddress,
        /// The command.
        command: FallbackCommand,
        /// With which argument.
        argument: HookArgument,
    },
    /// Somebody should know.
    Report(Report),
}

/// A destination of a service, and how the table shall list it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Change {
    /// The service.
    pub service: ServiceAddress,
    /// The destination.
    pub destination: WantedDestination,
}

/// How the table shall list one destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WantedDestination {
    /// Its address in the table.
    pub listed: DestinationAddress,
    /// Its address in the configuration, which messages name.
    pub configured: DestinationAddress,
    /// Real server or fallback.
    pub role: Role,
    /// `gate`, `masq` or `ipip`.
    pub forwarding: ForwardingMethod,
    /// Connection thresholds.
    pub thresholds: Thresholds,
    /// In service, drained or absent.
    pub want: Want,
    /// The weight that gives it its place in a table of hashes, for a scheduler that keeps the place of a
    /// server at weight 0 by the last weight it had (`mh`); `None` for others.
    pub place: Option<u32>,
}

/// What a destination is to its service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Role {
    /// A real server.
    RealServer,
    /// A fallback server.
    Fallback,
}

/// The state in which a destination shall be listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Want {
    /// Listed, with this weight.
    Serve {
        /// The configured weight.
        weight: u32,
    },
    /// With weight 0.
    Quiesce {
        /// Whether to list it again if somebody has removed it.
        relist: bool,
    },
    /// Not listed.
    Absent,
    /// However it is listed: there is no verdict yet.
    AsFound,
}

/// A change of state that an operator wants to read about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// A real server's health has changed.
    Transition {
        /// The service.
        service: ServiceAddress,
        /// The real server as configured.
        server: DestinationAddress,
        /// Before.
        from: Health,
        /// After.
        to: Health,
    },
    /// A failed check that is not yet a verdict.
    SoftFailure {
        /// The service.
        service: ServiceAddress,
        /// The real server as configured.
        server: DestinationAddress,
        /// Consecutive failures so far.
        failures: u32,
        /// `failurecount`.
        limit: u32,
    },
    /// A success after failures that were not a verdict.
    SoftFailuresForgiven {
        /// The service.
        service: ServiceAddress,
        /// The real server as configured.
        server: DestinationAddress,
    },
}
