//! Real servers, with ranges expanded.

use super::lookup::saturate;
use super::{Builder, family};
use crate::config::{Found, Place, RealAddress, RealOptions, RealServer as Line, Section};
use crate::model::{Family, ForwardingMethod, Thresholds};
use std::net::{IpAddr, Ipv4Addr};

/// What a `real` line says, in the model's terms.
pub(super) struct Parsed<'a, 't> {
    pub(super) line: &'a Line<'t>,
    pub(super) hosts: Hosts,
    /// 0 if none is given.
    pub(super) port: u16,
    pub(super) forwarding: ForwardingMethod,
    pub(super) weight: u32,
    pub(super) thresholds: Thresholds,
    pub(super) options: &'a RealOptions<'t>,
}

/// An address, all those of a name, or an inclusive range of IPv4 addresses.
pub(super) enum Hosts {
    Listed(Vec<IpAddr>),
    Range(u32, u32),
}

impl Hosts {
    pub(super) fn count(&self) -> usize {
        match self {
            Self::Listed(addresses) => addresses.len(),
            Self::Range(first, last) => (last - first) as usize + 1,
        }
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = IpAddr> {
        let (listed, range) = match self {
            Self::Listed(addresses) => (addresses.as_slice(), None),
            Self::Range(first, last) => (&[][..], Some(*first..=*last)),
        };
        let range = range.into_iter().flatten().map(|bits| IpAddr::V4(Ipv4Addr::from(bits)));
        listed.iter().copied().chain(range)
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
        let address = address.ok_or("invalid address for real server (wrong format)")?;
        let family = family(section);
        let listed = self.listed(address, family).ok_or_else(|| {
            format!("invalid address ({}) for real server (could not resolve host)", address.host)
        })?;
        let port = match address.port {
            None => 0,
            Some(port) => self.names.port(port, None).ok_or_else(|| {
                format!("invalid port ({port}) for real server (could not resolve port)")
            })?,
        };
        let hosts = self.hosts(listed, address, family)?;
        let forwarding = line.forwarding.and_then(|word| word.parse().ok());
        let forwarding = forwarding.ok_or("forward method must be gate, masq or ipip")?;
        let options = line
            .options
            .as_ref()
            .map_err(|rest| format!("Invalid real server line, around \"{rest}\""))?;
        Ok(Parsed {
            line,
            hosts,
            port,
            forwarding,
            weight: options.weight.map_or(1, destination_weight),
            thresholds: thresholds(options),
            options,
        })
    }

    /// What the address, or the first of a range, stands for: at least one.
    fn listed(&self, address: &RealAddress<'_>, family: Family) -> Option<Vec<IpAddr>> {
        let listed = match address.last {
            Some(_) => self.names.host(address.host, family).into_iter().collect(),
            None => self.names.servers(address.host, family),
        };
        Some(listed).filter(|listed| !listed.is_empty())
    }

    fn hosts(
        &self,
        listed: Vec<IpAddr>,
        address: &RealAddress<'_>,
        family: Family,
    ) -> Result<Hosts, String> {
        let (Some(end), &[first]) = (address.last, listed.as_slice()) else {
            return Ok(Hosts::Listed(listed));
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
        Ok(Hosts::Range(from.to_bits(), to.to_bits()))
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
        self.weight_hazard(found, place, parsed.weight);
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
