//! What a carried-out operation is called in the log: the original's sentences, which scripts look
//! for.

use crate::director::Role;
use crate::model::{DestinationAddress, ServiceAddress};
use std::fmt;

/// When something is purged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// At the start and at a reload.
    Start,
    /// At the stop.
    Stop,
}

/// What happens to a destination.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DestinationVerb {
    /// Listed, in service.
    Added,
    /// Back in service, or its weight, thresholds or forwarding put right.
    Restored,
    /// Weight 0.
    Quiescent,
    /// Listed again, with weight 0.
    ReaddQuiescent,
    /// Removed.
    Deleted,
    /// Removed because the configuration does not know it, or the program stops.
    Purged(Stage),
}

/// An operation in an operator's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Notice {
    /// A service has been listed.
    ServiceAdded(ServiceAddress),
    /// A service's scheduler, flags or persistence have been changed.
    ServiceChanged(ServiceAddress),
    /// A service has been removed.
    ServicePurged(ServiceAddress, Stage),
    /// Something has happened to a destination.
    Destination {
        /// What.
        verb: DestinationVerb,
        /// To a real server or a fallback.
        role: Role,
        /// Its address in the table.
        listed: DestinationAddress,
        /// Its address in the configuration.
        configured: DestinationAddress,
        /// Its weight now.
        weight: u32,
        /// The service.
        service: ServiceAddress,
    },
}

impl Notice {
    /// The service it is about.
    pub fn service(&self) -> ServiceAddress {
        match *self {
            Self::ServiceAdded(service)
            | Self::ServiceChanged(service)
            | Self::ServicePurged(service, _)
            | Self::Destination { service, .. } => service,
        }
    }
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verb, role, listed, configured, weight, service) = match *self {
            Self::ServiceAdded(service) => return write!(f, "Added virtual server: {service}"),
            Self::ServiceChanged(service) => return write!(f, "Changed virtual server: {service}"),
            Self::ServicePurged(service, stage) => {
                return write!(f, "Purged virtual server ({stage}): {service}");
            }
            Self::Destination { verb, role, listed, configured, weight, service } => {
                (verb, role, listed, configured, weight, service)
            }
        };
        let role = match role {
            Role::RealServer => "real server",
            Role::Fallback => "fallback server",
        };
        match verb {
            DestinationVerb::Purged(stage) => write!(f, "Purged {role} ({stage}): {configured}")?,
            // compat: what is taken out is named as the table lists it, with the configured
            // address behind it if that differs; what is put in, as configured (spec 5.6)
            DestinationVerb::Deleted | DestinationVerb::Quiescent if listed != configured => {
                write!(f, "{verb} {role}: {listed} mapped from {configured}")?;
            }
            _ => write!(f, "{verb} {role}: {configured}")?,
        }
        write!(f, " ({service})")?;
        match verb {
            DestinationVerb::Deleted | DestinationVerb::Purged(_) => Ok(()),
            _ => write!(f, " (Weight set to {weight})"),
        }
    }
}

impl fmt::Display for Stage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Start => "start",
            Self::Stop => "stop",
        })
    }
}

impl fmt::Display for DestinationVerb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "Added",
            Self::Restored => "Restored",
            Self::Quiescent => "Quiescent",
            Self::ReaddQuiescent => "Readd Quiescent",
            Self::Deleted => "Deleted",
            Self::Purged(_) => "Purged",
        })
    }
}
