//! Fallback servers, and when the fallback command is run.

use super::lookup::{Lookup, fallback, saturate};
use super::{Builder, family_directive};
use crate::config::{
    Ast, Directive, FALLBACK, FALLBACK6, FALLBACKCOMMAND, FALLBACKCOMMANDONSTOP,
    FALLBACKCOMMANDRETRY, FALLBACKCOMMANDTIMEOUT, FALLBACKHOLDDOWN, FALLBACKMINIMUM,
    FallbackServer, Found, Section, Value,
};
use crate::model::{
    Fallback, FallbackCommand, FallbackMinimum, Family, ForwardingMethod, Protocol, ServiceAddress,
};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// A section's own fallback: it is looked up before the section's address is.
pub(super) struct OwnFallback<'a, 't> {
    server: &'a FallbackServer<'t>,
    host: IpAddr,
    port: Option<u16>,
}

impl Builder<'_, '_> {
    /// Reports global fallbacks that cannot be looked up.
    // compat: also such as a later line replaces
    pub(super) fn check_global_fallbacks(&mut self, ast: &Ast<'_>) {
        for (row, family) in [(&FALLBACK, Family::Inet), (&FALLBACK6, Family::Inet6)] {
            for directive in ast.judged().filter(|directive| directive.row == row) {
                let found = Found::Line(directive.place.line);
                let Some((_, server)) = self.fallback_host(directive, family, found) else {
                    continue;
                };
                // The protocol is a section's; here it is enough that one has the name.
                let known = |port: &&str| self.names.port(port, None).is_some();
                if server.port.is_some_and(|port| !known(&port)) {
                    self.diagnostics.error(found, &directive.place, BAD_PORT);
                }
            }
        }
    }

    fn fallback_host<'d, 't>(
        &mut self,
        directive: &'d Directive<'t>,
        family: Family,
        found: Found,
    ) -> Option<(IpAddr, &'d FallbackServer<'t>)> {
        let server = fallback(directive)?;
        if let Some(host) = self.names.host(server.host, family) {
            return Some((host, server));
        }
        let version = if family == Family::Inet { "IPv4" } else { "IPv6" };
        let text = format!(
            "invalid {version} address or could not resolve for fallback server: {}",
            server.host
        );
        self.diagnostics.error(found, &directive.place, text);
        None
    }

    /// The section's own fallback; its port name is one of the section's protocol.
    pub(super) fn own_fallback<'d, 't>(
        &mut self,
        section: &'d Section<'t>,
        lookup: Lookup<'d, 't>,
        protocol: Option<Protocol>,
    ) -> Option<OwnFallback<'d, 't>> {
        let family = super::family(section);
        let found = section.found();
        let directive = lookup.own(family_directive(family, &FALLBACK, &FALLBACK6))?;
        let (host, server) = self.fallback_host(directive, family, found)?;
        let Some(written) = server.port else {
            return Some(OwnFallback { server, host, port: None });
        };
        // compat: a firewall mark has no protocol, so no name is known for it
        let is_name = !written.bytes().all(|byte| byte.is_ascii_digit());
        let port =
            if protocol.is_none() && is_name { None } else { self.names.port(written, protocol) };
        if port.is_none() {
            self.diagnostics.error(found, &directive.place, BAD_PORT);
        }
        Some(OwnFallback { server, host, port })
    }

    /// The fallback of a service: its own, else the global one of its family.
    pub(super) fn fallback(
        &self,
        own: Option<OwnFallback<'_, '_>>,
        lookup: Lookup<'_, '_>,
        address: ServiceAddress,
    ) -> Option<Fallback> {
        let family = address.family();
        if let Some(own) = own {
            let port = own.port.unwrap_or(address.port());
            return Some(server(own.host, port, own.server));
        }
        let directive = lookup.global(family_directive(family, &FALLBACK, &FALLBACK6))?;
        let global = fallback(directive)?;
        let host = self.names.host(global.host, family)?;
        let forwarding = method(global);
        let protocol = match address {
            ServiceAddress::Address { protocol, .. } => Some(protocol),
            ServiceAddress::Fwmark { .. } => None,
        };
        let named = global.port.and_then(|port| {
            self.names.port(port, protocol).or_else(|| self.names.port(port, None))
        });
        let port = match address {
            ServiceAddress::Fwmark { .. } if forwarding != ForwardingMethod::Masq => 0,
            _ => named.unwrap_or(address.port()),
        };
        Some(server(host, port, global))
    }

    pub(super) fn fallback_command(&self, lookup: Lookup<'_, '_>) -> Option<FallbackCommand> {
        Some(FallbackCommand {
            command: lookup.text(&FALLBACKCOMMAND)?.to_owned(),
            retry: lookup.yes(&FALLBACKCOMMANDRETRY).unwrap_or(false),
            timeout: lookup.seconds(&FALLBACKCOMMANDTIMEOUT).unwrap_or(Duration::from_secs(60)),
        })
    }

    /// `fallbackminimum`, which must be reachable with the real servers there are.
    pub(super) fn fallback_minimum(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        real_servers: usize,
    ) -> FallbackMinimum {
        let Some(directive) = lookup.directive(&FALLBACKMINIMUM) else {
            return FallbackMinimum::default();
        };
        let minimum = match directive.value {
            Value::Number(count) => FallbackMinimum::Count(saturate(count)),
            Value::Percent(percent) => FallbackMinimum::Percent(saturate(percent)),
            _ => FallbackMinimum::default(),
        };
        let has_command = lookup.text(&FALLBACKCOMMAND).is_some();
        if has_command && minimum.servers(real_servers) > real_servers.max(1) {
            let text = format!(
                "{} is larger than the number of real servers of the virtual service at line {} \
                 ({real_servers})",
                FALLBACKMINIMUM.name, section.place.line
            );
            self.diagnostics
                .error(Found::After(section.end), &directive.place, text)
                .hint("the service would never be announced; a percentage fits every service");
        }
        minimum
    }

    /// Refuses what tells when to run a command that there is not.
    pub(super) fn check_command_directives(
        &mut self,
        sections: &[Section<'_>],
        global: Lookup<'_, '_>,
    ) {
        let mut some_section_has_command = sections.is_empty();
        for section in sections {
            let lookup = Lookup { own: &section.directives, ..global };
            let has_command = lookup.directive(&FALLBACKCOMMAND).is_some();
            some_section_has_command |= has_command;
            if !has_command {
                self.refuse_command_directives(&section.directives);
            }
        }
        if !some_section_has_command && global.global(&FALLBACKCOMMAND).is_none() {
            self.refuse_command_directives(global.global);
        }
    }

    fn refuse_command_directives(&mut self, directives: &[Directive<'_>]) {
        let rows = [
            &FALLBACKCOMMANDRETRY,
            &FALLBACKCOMMANDTIMEOUT,
            &FALLBACKCOMMANDONSTOP,
            &FALLBACKMINIMUM,
            &FALLBACKHOLDDOWN,
        ];
        for directive in directives.iter().filter(|directive| rows.contains(&directive.row)) {
            let found = Found::After(directive.place.line);
            let text = format!("{} needs a fallbackcommand", directive.row.name);
            self.diagnostics
                .error(found, &directive.place, text)
                .hint("set fallbackcommand in this section or as a global directive");
        }
    }
}

const BAD_PORT: &str = "invalid port for fallback server";

fn method(written: &FallbackServer<'_>) -> ForwardingMethod {
    written.forwarding.parse().unwrap_or_default()
}

fn server(host: IpAddr, port: u16, written: &FallbackServer<'_>) -> Fallback {
    Fallback { address: SocketAddr::new(host, port), forwarding: method(written) }
}
