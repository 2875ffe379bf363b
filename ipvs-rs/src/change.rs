//! Changes as values, for many in one exchange.

use std::fmt;
use std::net::SocketAddr;

use crate::netlink::attribute::command;
use crate::netlink::encode::{self, Request};
use crate::{Destination, Operation, Service, ServiceKey};

/// A change of the table, for [`Ipvs::apply`](crate::Ipvs::apply).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// As [`Ipvs::add_service`](crate::Ipvs::add_service).
    AddService(Service),
    /// As [`Ipvs::set_service`](crate::Ipvs::set_service).
    SetService(Service),
    /// As [`Ipvs::delete_service`](crate::Ipvs::delete_service).
    DeleteService(ServiceKey),
    /// As [`Ipvs::add_destination`](crate::Ipvs::add_destination).
    AddDestination(ServiceKey, Destination),
    /// As [`Ipvs::set_destination`](crate::Ipvs::set_destination).
    SetDestination(ServiceKey, Destination),
    /// As [`Ipvs::delete_destination`](crate::Ipvs::delete_destination).
    DeleteDestination(ServiceKey, SocketAddr),
}

/// As errors name it: `add destination 10.0.0.2:80 to tcp 10.0.0.1:80`.
impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation().fmt(f)
    }
}

impl Change {
    /// What errors call it.
    pub fn operation(&self) -> Operation {
        match self {
            Self::AddService(service) => Operation::AddService(service.key),
            Self::SetService(service) => Operation::SetService(service.key),
            Self::DeleteService(key) => Operation::DeleteService(*key),
            Self::AddDestination(key, destination) => {
                Operation::AddDestination(*key, destination.address, destination.port)
            }
            Self::SetDestination(key, destination) => {
                Operation::SetDestination(*key, destination.address, destination.port)
            }
            Self::DeleteDestination(key, address) => {
                Operation::DeleteDestination(*key, address.ip(), address.port())
            }
        }
    }

    /// Whether it can be expressed to the kernel.
    pub(crate) fn check(&self) -> Result<(), &'static str> {
        match self {
            Self::AddService(service) | Self::SetService(service) => encode::check_service(service),
            Self::DeleteService(key)
            | Self::AddDestination(key, _)
            | Self::SetDestination(key, _)
            | Self::DeleteDestination(key, _) => encode::check_key(key),
        }
    }

    pub(crate) fn request(&self) -> Request {
        match self {
            Self::AddService(service) => Request::new(command::NEW_SERVICE).service(service),
            Self::SetService(service) => Request::new(command::SET_SERVICE).service(service),
            Self::DeleteService(key) => Request::new(command::DEL_SERVICE).key(key),
            Self::AddDestination(key, destination) => {
                Request::new(command::NEW_DEST).key(key).destination(destination)
            }
            Self::SetDestination(key, destination) => {
                Request::new(command::SET_DEST).key(key).destination(destination)
            }
            Self::DeleteDestination(key, address) => Request::new(command::DEL_DEST)
                .key(key)
                .destination_key(address.ip(), address.port()),
        }
    }
}
