//! Real servers, with ranges expanded.

use super::lookup::saturate;
use super::{Builder, family};
use crate::config::{Found, Place, RealAddress, RealOptions, RealServer as Line, Section};
use crate::model::{Family, ForwardingMethod, Located, Thresholds, is_service_name};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

/// What a `real` line says, in the model's terms.
pub(super) struct Parsed<'a, 't> {
    pub(super) line: &'a Line<'t>,
    pub(super) servers: Servers,
    pub(super) forwarding: ForwardingMethod,
    pub(super) thresholds: Thresholds,
    pub(super) options: &'a RealOptions<'t>,
}

/// Addresses with their weights, or an inclusive range of IPv4 addresses.
pub(super) enum Servers {
    Listed(Vec<(SocketAddr, u32)>),
    Range { first: u32, last: u32, port: u16, weight: u32 },
}

impl Servers {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Listed(servers) => servers.len(),
            Self::Range { first, last, .. } => (last - first) as usize + 1,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (SocketAddr, u32)> {
        let (listed, range) = match *self {
            Self::Listed(ref servers) => (servers.as_slice(), None),
            Self::Range { first, last, port, weight } => {
                let address = move |bits| SocketAddr::new(Ipv4Addr::from(bits).into(), port);
                (&[][..], Some((first..=last).map(move |bits| (address(bits), weight))))
            }
        };
        listed.iter().copied().chain(range.into_iter().flatten())
    }
}

/// Real servers that one range may stand for: a /16.
const RANGE_LIMIT: u32 = 1 << 16;

/// The largest weight that `ipvsadm` accepts.
const WEIGHT_LIMIT: u32 = 65535;

impl Builder<'_, '_> {
    /// The parts are judged in the original's order, so that the same defect has the same message.
    pub(super) fn real_server<'a, 't>(
        &mut self,
        section: &Section<'t>,
        line: &'a Line<'t>,
    ) -> Option<Parsed<'a, 't>> {
        let found = section.found();
        match self.parse_real_server(section, line) {
            Ok(parsed) => {
                self.real_server_hazards(found, &parsed);
                Some(parsed)
            }
            Err(text) => {
                self.diagnostics.error(found, &line.place, text).hint =
                    line.hint.or_else(|| other_family(section, line)).map(Into::into);
                None
            }
        }
    }

    fn parse_real_server<'a, 't>(
        &self,
        section: &Section<'t>,
        line: &'a Line<'t>,
    ) -> Result<Parsed<'a, 't>, String> {
        let address = line.address.as_ref();
        let address = address.ok_or(WRONG_FORMAT)?;
        let family = family(section);
        let weight = line.options.as_ref().ok().and_then(|options| options.weight);
        let weight = weight.map(destination_weight);
        let servers = match self.located(address, family, weight)? {
            Some(servers) => servers,
            None => self.servers(address, family, weight.unwrap_or(1))?,
        };
        let forwarding = line.forwarding.and_then(|word| word.parse().ok());
        let forwarding = forwarding.ok_or("forward method must be gate, masq or ipip")?;
        let options = line
            .options
            .as_ref()
            .map_err(|rest| format!("Invalid real server line, around \"{rest}\""))?;
        Ok(Parsed { line, servers, forwarding, thresholds: thresholds(options), options })
    }

    /// The servers of a service's name; `None` if it is another name. Ports and weights in the line
    /// go before those of the records.
    fn located(
        &self,
        address: &RealAddress<'_>,
        family: Family,
        weight: Option<u32>,
    ) -> Result<Option<Servers>, String> {
        if !is_service_name(address.host) {
            return Ok(None);
        }
        // compat: a name has no underscore
        let located = self.names.located(address.host, family).filter(|_| address.last.is_none());
        let located = located.ok_or(WRONG_FORMAT)?;
        if located.is_empty() {
            return Err(unresolved(address.host));
        }
        let port = self.port(address)?;
        let server = |located: Located| {
            let port = port.unwrap_or(located.address.port());
            // A weight of 0 means little there, and nothing at all in the kernel's table.
            let weight = weight.unwrap_or_else(|| u32::from(located.weight).max(1));
            (SocketAddr::new(located.address.ip(), port), weight)
        };
        Ok(Some(Servers::Listed(located.into_iter().map(server).collect())))
    }

    fn servers(
        &self,
        address: &RealAddress<'_>,
        family: Family,
        weight: u32,
    ) -> Result<Servers, String> {
        let hosts = match address.last {
            Some(_) => self.names.host(address.host, family).into_iter().collect(),
            None => self.names.servers(address.host, family),
        };
        let &[first, ..] = hosts.as_slice() else { return Err(unresolved(address.host)) };
        let port = self.port(address)?.unwrap_or(0);
        let Some(end) = address.last else {
            let server = |host| (SocketAddr::new(host, port), weight);
            return Ok(Servers::Listed(hosts.into_iter().map(server).collect()));
        };
        let last = self.names.host(end, family).ok_or_else(|| {
            format!("invalid address ({end}) for real server (could not resolve end host)")
        })?;
        let (IpAddr::V4(from), IpAddr::V4(to)) = (first, last) else {
            return Err("Address range for IPv6 is not supported yet".to_owned());
        };
        if to < from {
            return Err(format!(
                "Invalid Range: {from}-{to}: First value must be greater than or equal to the second value"
            ));
        }
        if to.to_bits() - from.to_bits() >= RANGE_LIMIT {
            return Err(format!("a range may have {RANGE_LIMIT} addresses at most"));
        }
        Ok(Servers::Range { first: from.to_bits(), last: to.to_bits(), port, weight })
    }

    fn port(&self, address: &RealAddress<'_>) -> Result<Option<u16>, String> {
        let Some(port) = address.port else { return Ok(None) };
        let number = self.names.port(port, None);
        number.map(Some).ok_or_else(|| {
            format!("invalid port ({port}) for real server (could not resolve port)")
        })
    }

    /// Of a real server or a fallback.
    pub(super) fn weight_hazard(&mut self, found: Found, place: &Place, weight: u32) {
        if weight > WEIGHT_LIMIT {
            let text = format!("weight {weight} is more than ipvsadm accepts");
            self.diagnostics.note(found, place, text, "weights go up to 65535");
        }
    }

    fn real_server_hazards(&mut self, found: Found, parsed: &Parsed<'_, '_>) {
        let (place, options) = (&parsed.line.place, parsed.options);
        if let Some(skipped) = options.skipped {
            let text = format!("\"{skipped}\" in this real server's line has no meaning");
            self.diagnostics.note(found, place, text, "it is passed over");
        }
        let weight = options.weight.map_or(1, destination_weight);
        self.weight_hazard(found, place, weight);
        if options.lower.is_some_and(|lower| lower > u64::from(parsed.thresholds.lower)) {
            let text = "the lower threshold is not below an upper one and is left out";
            self.diagnostics.note(found, place, text, "ip_vs needs l: to be at most u:");
        }
        let starts_with_slash =
            options.strings.as_ref().is_some_and(|(request, _)| request.starts_with('/'));
        if starts_with_slash {
            let text = "request and receive of this real server are used as they are written";
            let hint = "the original ldirectord drops receive and what follows it when the request \
                        begins with /";
            self.diagnostics.note(found, place, text, hint);
        }
    }
}

const WRONG_FORMAT: &str = "invalid address for real server (wrong format)";

fn unresolved(host: &str) -> String {
    format!("invalid address ({host}) for real server (could not resolve host)")
}

/// A weight as the kernel's table can have it.
pub(super) fn destination_weight(written: u64) -> u32 {
    saturate(written).min(i32::MAX as u32)
}

/// A server of the family that the section is not of.
fn other_family(section: &Section<'_>, line: &Line<'_>) -> Option<&'static str> {
    let host = line.address.as_ref()?.host;
    match family(section) {
        Family::Inet if host.contains(':') => {
            Some("an IPv6 server is written as real6, in a virtual6 section")
        }
        Family::Inet6 if host.parse::<Ipv4Addr>().is_ok() => {
            Some("an IPv4 server is written as real, in a virtual section")
        }
        _ => None,
    }
}

/// The kernel refuses a lower threshold above the upper one, and with it the whole server.
fn thresholds(options: &RealOptions<'_>) -> Thresholds {
    let upper = options.upper.map_or(0, saturate);
    let lower = options.lower.map_or(0, saturate);
    Thresholds { lower: if lower <= upper { lower } else { 0 }, upper }
}
