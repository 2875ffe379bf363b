//! Services of one address to one decision. Pure.

use crate::model::ServiceAddress;
use std::fmt;
use std::str::FromStr;

/// Whether a service is up, or whether an address should be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The director said `stop`: no need of a fallback.
    Up,
    /// The director said `start`: the service is gone from here.
    Down,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Up => "up",
            Self::Down => "down",
        })
    }
}

impl FromStr for Verdict {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "up" => Ok(Self::Up),
            "down" => Ok(Self::Down),
            _ => Err(()),
        }
    }
}

/// How the services of one address are combined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Policy {
    /// The address is up while every known service is; the default.
    All,
    /// The address is up while at least one known service is.
    Any,
}

impl Policy {
    /// What the address should be. Without any service it is down: nobody stands for it.
    pub(super) fn decide(self, services: impl IntoIterator<Item = Verdict>) -> Verdict {
        let mut services = services.into_iter().peekable();
        let up = services.peek().is_some()
            && match self {
                Self::All => services.all(|service| service == Verdict::Up),
                Self::Any => services.any(|service| service == Verdict::Up),
            };
        if up { Verdict::Up } else { Verdict::Down }
    }
}

impl fmt::Display for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::All => "all",
            Self::Any => "any",
        })
    }
}

impl FromStr for Policy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "all" => Ok(Self::All),
            "any" => Ok(Self::Any),
            _ => Err("expected all or any".to_owned()),
        }
    }
}

/// Whether a service is gone for good, judged by what ip_vs lists, during a call about `called`.
///
/// A director lists all its services in ip_vs before it reports about any, so that a service which
/// is not listed has left the configuration. The table is believed only if it lists the service
/// that the call is about: if not, the director works on another table (or none), and nothing can
/// be told from this one.
pub(super) fn is_gone(
    service: ServiceAddress,
    called: ServiceAddress,
    listed: &[ServiceAddress],
) -> bool {
    service != called && listed.contains(&called) && !listed.contains(&service)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Protocol};
    use Verdict::{Down, Up};

    #[test]
    fn an_address_follows_its_services_as_the_policy_says() {
        for (services, all, any) in [
            (vec![], Down, Down),
            (vec![Up], Up, Up),
            (vec![Down], Down, Down),
            (vec![Up, Up], Up, Up),
            (vec![Up, Down], Down, Up),
            (vec![Down, Up], Down, Up),
            (vec![Down, Down], Down, Down),
            (vec![Up, Up, Down], Down, Up),
            (vec![Up, Up, Up], Up, Up),
        ] {
            assert_eq!(Policy::All.decide(services.clone()), all, "all of {services:?}");
            assert_eq!(Policy::Any.decide(services.clone()), any, "any of {services:?}");
        }
    }

    #[test]
    fn a_service_is_gone_only_when_a_table_that_can_be_believed_does_not_list_it() {
        let service = |protocol| ServiceAddress::Address {
            protocol,
            address: "198.51.100.1:53".parse().unwrap(),
        };
        let (tcp, udp) = (service(Protocol::Tcp), service(Protocol::Udp));
        let mark = ServiceAddress::Fwmark { family: Family::Inet, mark: 7 };
        for (case, asked, called, listed, gone) in [
            ("both are listed", tcp, udp, vec![tcp, udp], false),
            ("only the called one is listed", tcp, udp, vec![udp], true),
            ("the called one is not listed", tcp, udp, vec![mark], false),
            ("the table is empty", tcp, udp, vec![], false),
            ("the called one is never gone", udp, udp, vec![tcp], false),
            ("another kind of service", mark, udp, vec![udp, tcp], true),
        ] {
            assert_eq!(is_gone(asked, called, &listed), gone, "{case}");
        }
    }
}
