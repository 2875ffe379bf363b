//! The words that a director appends to its `fallbackcommand`.

use std::net::{IpAddr, SocketAddr};

use super::failure::Failure;
use crate::model::{Family, Protocol, ServiceAddress};

/// A virtual service, and the address that stands for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Called {
    pub(super) service: ServiceAddress,
    pub(super) address: IpAddr,
}

impl Called {
    /// Reads `VIP:PORT` and `tcp` or `udp`, or `MARK:0` and `fwm`; an IPv6 address stands in
    /// brackets. `instead` is `--address`, which a fwmark service needs.
    ///
    /// The original director calls every fwmark service `:0`, which is read as mark 0.
    pub(super) fn read(
        target: &str,
        protocol: &str,
        instead: Option<IpAddr>,
    ) -> Result<Self, Failure> {
        let of_address = |protocol| {
            let address: SocketAddr = target.parse().map_err(|_| {
                Failure::Usage(format!(
                    "'{target}' is no service: expected a form like 198.51.100.1:53 or \
                     [2001:db8:53::1]:53"
                ))
            })?;
            // A scope or flow label is no part of a service's identity.
            let address = SocketAddr::new(address.ip(), address.port());
            Ok(Self {
                service: ServiceAddress::Address { protocol, address },
                address: instead.unwrap_or(address.ip()),
            })
        };
        match protocol {
            "tcp" => of_address(Protocol::Tcp),
            "udp" => of_address(Protocol::Udp),
            "fwm" => {
                let mark = target
                    .strip_suffix(":0")
                    .and_then(|mark| if mark.is_empty() { Some(0) } else { mark.parse().ok() })
                    .ok_or_else(|| {
                        Failure::Usage(format!(
                            "'{target}' is no fwmark service: expected a form like 7:0"
                        ))
                    })?;
                let address = instead
                    .ok_or_else(|| Failure::NoAddress { service: format!("{target} fwm") })?;
                let service = ServiceAddress::Fwmark { family: Family::of(address), mark };
                Ok(Self { service, address })
            }
            _ => Err(Failure::Usage(format!(
                "'{protocol}' is no protocol: expected tcp, udp or fwm"
            ))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(target: &str, protocol: &str, instead: Option<&str>) -> Result<String, String> {
        Called::read(target, protocol, instead.map(|address| address.parse().unwrap()))
            .map(|called| format!("{} {}", called.service.id(), called.address))
            .map_err(|failure| failure.to_string())
    }

    #[test]
    fn the_words_of_a_director_name_a_service_and_its_address() {
        for (target, protocol, instead, expected) in [
            ("198.51.100.1:53", "udp", None, "udp:198.51.100.1:53 198.51.100.1"),
            ("198.51.100.1:0", "tcp", None, "tcp:198.51.100.1:0 198.51.100.1"),
            ("[2001:db8:53::1]:53", "tcp", None, "tcp:[2001:db8:53::1]:53 2001:db8:53::1"),
            ("[2001:DB8:53:0::1]:53", "tcp", None, "tcp:[2001:db8:53::1]:53 2001:db8:53::1"),
            ("10.0.0.1:80", "tcp", Some("198.51.100.1"), "tcp:10.0.0.1:80 198.51.100.1"),
            ("7:0", "fwm", Some("198.51.100.1"), "fwm:7 198.51.100.1"),
            ("7:0", "fwm", Some("2001:db8:53::1"), "fwm6:7 2001:db8:53::1"),
            (":0", "fwm", Some("198.51.100.1"), "fwm:0 198.51.100.1"),
        ] {
            assert_eq!(read(target, protocol, instead), Ok(expected.to_owned()));
        }
    }

    #[test]
    fn words_that_name_no_service_are_refused() {
        for (target, protocol, why) in [
            ("7:0", "fwm", "--address"),
            (":0", "fwm", "--address"),
            ("7", "fwm", "no fwmark service"),
            ("-1:0", "fwm", "no fwmark service"),
            ("198.51.100.1", "tcp", "no service"),
            ("198.51.100.1:65536", "tcp", "no service"),
            ("2001:db8:53::1:53", "tcp", "no service"),
            ("www.example.com:80", "tcp", "no service"),
            ("", "udp", "no service"),
            ("198.51.100.1:53", "sctp", "no protocol"),
            ("198.51.100.1:53", "TCP", "no protocol"),
        ] {
            let error = read(target, protocol, None).unwrap_err();
            assert!(error.contains(why), "{target} {protocol}: {error}");
        }
    }
}
