//! Fallback servers.

use super::Builder;
use super::lookup::{Lookup, fallback};
use super::real_server::destination_weight;
use crate::config::{
    Ast, Directive, FALLBACK, FALLBACK6, FALLBACKSERVER, FALLBACKSERVER6, FallbackServer, Found,
    Section, look_alike,
};
use crate::model::{
    DestinationAddress, Fallback, Family, ForwardingMethod, Protocol, RealServer, ServiceAddress,
};
use std::collections::{HashMap, HashSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

/// One of a section's own fallbacks: they are looked up before the section's address is.
pub(super) struct OwnFallback<'a, 't> {
    directive: &'a Directive<'t>,
    server: &'a FallbackServer<'t>,
    hosts: Vec<IpAddr>,
    port: Option<u16>,
}

/// A fallback, and where it stands.
type Placed<'a, 't> = (Fallback, &'a Directive<'t>);

impl<'a, 't> Builder<'_, '_> {
    /// Reports global fallbacks that cannot be looked up.
    // compat: also such as a later line replaces
    pub(super) fn check_global_fallbacks(&mut self, ast: &Ast<'_>) {
        for (row, family) in [
            (&FALLBACK, Family::Inet),
            (&FALLBACK6, Family::Inet6),
            (&FALLBACKSERVER, Family::Inet),
            (&FALLBACKSERVER6, Family::Inet6),
        ] {
            for directive in ast.judged().filter(|directive| directive.row == row) {
                let found = Found::Line(directive.place.line);
                let Some((_, server)) = self.fallback_hosts(directive, family, found) else {
                    continue;
                };
                // The protocol is a section's; here it is enough that one has the name.
                let known = |port: &&str| self.names.port(port, None).is_some();
                if server.port.is_some_and(|port| !known(&port)) {
                    self.diagnostics.error(found, &directive.place, BAD_PORT);
                }
                self.weight_hazard(found, &directive.place, weight(server));
            }
        }
    }

    fn fallback_hosts(
        &mut self,
        directive: &'a Directive<'t>,
        family: Family,
        found: Found,
    ) -> Option<(Vec<IpAddr>, &'a FallbackServer<'t>)> {
        let server = fallback(directive)?;
        let hosts = self.names.servers(server.host, family);
        if !hosts.is_empty() {
            return Some((hosts, server));
        }
        let version = if family == Family::Inet { "IPv4" } else { "IPv6" };
        let text = format!(
            "invalid {version} address or could not resolve for fallback server: {}",
            server.host
        );
        self.diagnostics.error(found, &directive.place, text).hint =
            fallback_hint(server, family).map(Into::into);
        None
    }

    /// The section's own fallbacks; a port's name is one of the section's protocol.
    pub(super) fn own_fallbacks(
        &mut self,
        section: &'a Section<'t>,
        protocol: Option<Protocol>,
    ) -> Vec<OwnFallback<'a, 't>> {
        let family = super::family(section);
        let found = section.found();
        let mut own = Vec::new();
        for directive in fallbacks_of(&section.directives, family) {
            let Some((hosts, server)) = self.fallback_hosts(directive, family, found) else {
                continue;
            };
            // compat: a firewall mark has no protocol, so no name is known for it
            let known = |written: &str| {
                let is_name = !written.bytes().all(|byte| byte.is_ascii_digit());
                if protocol.is_none() && is_name {
                    None
                } else {
                    self.names.port(written, protocol)
                }
            };
            let port = server.port.map(known);
            if port == Some(None) {
                self.diagnostics.error(found, &directive.place, BAD_PORT);
            }
            self.weight_hazard(found, &directive.place, weight(server));
            own.push(OwnFallback { directive, server, hosts, port: port.flatten() });
        }
        own
    }

    /// The fallbacks of a service: its own, else the global ones of its family.
    pub(super) fn fallbacks(
        &mut self,
        section: &Section<'_>,
        own: Vec<OwnFallback<'a, 't>>,
        lookup: Lookup<'a, 't>,
        address: ServiceAddress,
        real_servers: &[RealServer],
    ) -> Vec<Fallback> {
        let placed: Vec<Placed<'a, 't>> = if own.is_empty() {
            fallbacks_of(lookup.global, address.family())
                .flat_map(|directive| self.global_fallback(directive, address))
                .collect()
        } else {
            let placed = |own: OwnFallback<'a, 't>| {
                let port = own.port.unwrap_or(address.port());
                let server = move |host| (server(host, port, own.server), own.directive);
                own.hosts.into_iter().map(server)
            };
            own.into_iter().flat_map(placed).collect()
        };
        self.fallback_hazards(section.found(), &placed, address, real_servers);
        placed.into_iter().map(|(fallback, _)| fallback).collect()
    }

    fn global_fallback(
        &self,
        directive: &'a Directive<'t>,
        address: ServiceAddress,
    ) -> Vec<Placed<'a, 't>> {
        let Some(global) = fallback(directive) else { return Vec::new() };
        let hosts = self.names.servers(global.host, address.family());
        let protocol = match address {
            ServiceAddress::Address { protocol, .. } => Some(protocol),
            ServiceAddress::Fwmark { .. } => None,
        };
        let named = global.port.and_then(|port| {
            self.names.port(port, protocol).or_else(|| self.names.port(port, None))
        });
        let port = match address {
            ServiceAddress::Fwmark { .. } if method(global) != ForwardingMethod::Masq => 0,
            _ => named.unwrap_or(address.port()),
        };
        hosts.into_iter().map(|host| (server(host, port, global), directive)).collect()
    }

    /// Servers of `fallbackserver` that are listed otherwise than their writer may think, or that
    /// take no connection. Of a `fallback` alone nothing is said.
    fn fallback_hazards(
        &mut self,
        found: Found,
        fallbacks: &[Placed<'_, '_>],
        address: ServiceAddress,
        real_servers: &[RealServer],
    ) {
        let Some((_, last)) = fallbacks.last().filter(|(_, it)| it.row.repeatable) else {
            return;
        };
        let mut lines: HashMap<DestinationAddress, usize> = HashMap::new();
        let real: HashSet<DestinationAddress> =
            real_servers.iter().map(|server| server.listed(address)).collect();
        for (fallback, Directive { place, row, .. }) in fallbacks {
            let listed = fallback.listed(address);
            if let Some(before) = lines.insert(listed, place.line) {
                let before = self.origins.name(before);
                let text = format!("{listed} is a fallback server already, at {before}");
                let hint = "the kernel lists it once, as the later line says";
                self.diagnostics.note(found, place, text, hint);
            }
            if row.repeatable && real.contains(&listed) {
                let text = format!("{listed} is a real server of this service too");
                let hint = "while all real servers are down, it gets connections all the same";
                self.diagnostics.note(found, place, text, hint);
            }
        }
        if fallbacks.iter().all(|(fallback, _)| fallback.weight == 0) {
            let text = "all fallback servers of this service have weight 0";
            let hint = "while no real server is up, nobody serves: give one of them a weight";
            self.diagnostics.note(found, &last.place, text, hint);
        }
    }
}

/// What may be wrong with a value that is not an address.
fn fallback_hint(written: &FallbackServer<'_>, family: Family) -> Option<&'static str> {
    let is_method = |port: &str| ForwardingMethod::from_str(port).is_ok();
    look_alike(written.host).or_else(|| match family {
        _ if written.port.is_some_and(is_method) => {
            Some("a blank belongs between the address and the forwarding method")
        }
        Family::Inet if written.host.starts_with('[') => Some(
            "an IPv6 fallback is a virtual6 section's, or global as fallback6 or fallbackserver6",
        ),
        Family::Inet6 if written.host.parse::<Ipv4Addr>().is_ok() => {
            Some("an IPv4 fallback is a virtual section's, or global as fallback or fallbackserver")
        }
        Family::Inet6 if written.host.contains(':') => {
            Some("an IPv6 address is written in brackets")
        }
        _ => None,
    })
}

const BAD_PORT: &str = "invalid port for fallback server";

fn method(written: &FallbackServer<'_>) -> ForwardingMethod {
    written.forwarding.parse().unwrap_or_default()
}

fn weight(written: &FallbackServer<'_>) -> u32 {
    written.weight.map_or(1, destination_weight)
}

fn server(host: IpAddr, port: u16, written: &FallbackServer<'_>) -> Fallback {
    let address = SocketAddr::new(host, port);
    Fallback { address, forwarding: method(written), weight: weight(written) }
}

/// The lines of `fallback` and `fallbackserver` for a family, in this order.
fn fallbacks_of<'a, 't>(
    directives: &'a [Directive<'t>],
    family: Family,
) -> impl Iterator<Item = &'a Directive<'t>> {
    let rows = match family {
        Family::Inet => [&FALLBACK, &FALLBACKSERVER],
        Family::Inet6 => [&FALLBACK6, &FALLBACKSERVER6],
    };
    rows.into_iter().flat_map(move |row| directives.iter().filter(move |it| it.row == row))
}
