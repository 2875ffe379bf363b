//! What operators say of servers, beside what the checks say.

use crate::model::{DestinationAddress, ServiceAddress};
use std::collections::HashSet;
use std::fmt;
use std::net::IpAddr;

/// What an operator wants of a real server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Override {
    /// Weight 0: connections stay, new ones go elsewhere, checks go on.
    Drain,
    /// Out of service, as by a file in `maintenancedir`; it is not checked.
    Disable,
    /// Another weight than the configured one.
    Weight(u32),
}

/// Which real servers an override is about. At least one of the two parts is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Scope {
    /// In this virtual service only; `None` for all.
    pub service: Option<ServiceAddress>,
    /// The server; `None` for all servers of the service.
    pub server: Option<ServerName>,
}

/// A real server by its configured address, with or without a port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ServerName {
    /// Its address.
    pub ip: IpAddr,
    /// Its port; `None` for all ports of the address.
    pub port: Option<u16>,
}

impl ServerName {
    /// Whether the name means this server.
    pub fn matches(self, server: DestinationAddress) -> bool {
        self.ip == server.ip() && self.port.is_none_or(|port| port == server.port())
    }
}

impl Scope {
    /// Whether it covers this server of this service.
    pub fn covers(&self, service: ServiceAddress, server: DestinationAddress) -> bool {
        self.service.is_none_or(|wanted| wanted == service)
            && self.server.is_none_or(|wanted| wanted.matches(server))
    }

    /// Whether the other one covers everything that this one covers.
    pub fn is_within(&self, other: &Self) -> bool {
        let service = other.service.is_none() || other.service == self.service;
        let server = match (other.server, self.server) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(other), Some(own)) => {
                other.ip == own.ip && (other.port.is_none() || other.port == own.port)
            }
        };
        service && server
    }
}

/// `10.0.0.2:80`, or `10.0.0.2` if all ports are meant.
impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.ip) {
            (Some(port), ip) => DestinationAddress::new(ip, port).fmt(f),
            (None, IpAddr::V4(ip)) => ip.fmt(f),
            (None, IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

/// `10.0.0.2:80`, `10.0.0.2:80 of tcp:10.0.0.1:80`, or `tcp:10.0.0.1:80`.
impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.server, self.service) {
            (Some(server), Some(service)) => write!(f, "{server} of {}", service.id()),
            (Some(server), None) => server.fmt(f),
            (None, Some(service)) => f.write_str(&service.id()),
            (None, None) => f.write_str("everything"),
        }
    }
}

/// Everything that is said of servers, beside their checks.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Overrides {
    /// The real servers, by configured address, that have a file in `maintenancedir`.
    pub maintenance: HashSet<DestinationAddress>,
    /// What operators have said, oldest first.
    pub said: Vec<(Scope, Override)>,
}

/// What follows for one server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct Effective {
    /// Out of service, and not checked.
    pub(super) maintenance: bool,
    /// The weight in place of the configured one.
    pub(super) weight: Option<u32>,
}

impl Overrides {
    /// Only files in `maintenancedir`.
    pub fn maintenance(servers: HashSet<DestinationAddress>) -> Self {
        Self { maintenance: servers, said: Vec::new() }
    }

    /// Being disabled counts more than a weight; of several weights the latest counts.
    pub(super) fn of(&self, service: ServiceAddress, server: DestinationAddress) -> Effective {
        let mut effective =
            Effective { maintenance: self.maintenance.contains(&server), weight: None };
        for (_, said) in self.said.iter().filter(|(scope, _)| scope.covers(service, server)) {
            match said {
                Override::Disable => effective.maintenance = true,
                Override::Drain => effective.weight = Some(0),
                Override::Weight(weight) => effective.weight = Some(*weight),
            }
        }
        effective
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Protocol;

    #[test]
    fn the_latest_weight_counts_and_being_disabled_counts_most() {
        let service = |port| ServiceAddress::Address {
            protocol: Protocol::Tcp,
            address: ([10, 0, 0, 1], port).into(),
        };
        let server: DestinationAddress = "10.0.0.2:80".parse().expect("an address");
        let named = |port| Some(ServerName { ip: server.ip(), port });
        let everywhere = Scope { service: None, server: named(None) };
        let here = Scope { service: Some(service(80)), server: named(Some(80)) };
        let all = Scope { service: Some(service(443)), server: None };
        let mut overrides = Overrides::default();
        assert_eq!(overrides.of(service(80), server), Effective::default());
        overrides.said = vec![(everywhere, Override::Drain), (here, Override::Weight(5))];
        let of = |overrides: &Overrides, port| overrides.of(service(port), server);
        assert_eq!(of(&overrides, 80), Effective { maintenance: false, weight: Some(5) });
        assert_eq!(of(&overrides, 81), Effective { maintenance: false, weight: Some(0) });
        overrides.said.push((all, Override::Disable));
        assert_eq!(of(&overrides, 443), Effective { maintenance: true, weight: Some(0) });
        let other = "10.0.0.2:81".parse().expect("an address");
        assert_eq!(overrides.of(service(80), other).weight, Some(0), "the port is another one");
        overrides.maintenance.insert(other);
        assert!(overrides.of(service(80), other).maintenance);
    }
}
