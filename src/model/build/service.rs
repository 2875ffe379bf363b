//! A virtual section to a virtual service.

use super::check::SectionChecks;
use super::lookup::Lookup;
use super::{Builder, REAL_SERVERS_LIMIT, family};
use crate::config::{
    CHECKINTERVAL, CLEANSTOP, FAILURECOUNT, FALLBACKCOMMANDONSTOP, FALLBACKHOLDDOWN, FASTINTERVAL,
    FORK, Found, MONITORFILE, NETMASK, OPS, PERSISTENT, PORTS, PROTOCOL, Place, QUIESCENT,
    READDQUIESCENT, RECONCILE, RISECOUNT, SCHEDFLAGS, SCHEDULER, SLOWSTART, Section, Value,
    VirtualAddress,
};
use crate::model::policy::file_path;
use crate::model::resolver::inet_aton;
use crate::model::{
    Family, Netmask, Persistence, Protocol, RealServer, SchedFlags, ServiceAddress, VirtualService,
    listed_address,
};
use std::collections::{HashMap, HashSet};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

impl Builder<'_, '_> {
    /// The services of a section: one for the port of its address, and one for each of `ports`.
    pub(super) fn services<'a, 't>(
        &mut self,
        section: &'a Section<'t>,
        global: Lookup<'a, 't>,
    ) -> Vec<VirtualService> {
        let Some(first) = self.service(section, global, None) else { return Vec::new() };
        let mut services = vec![first];
        let lookup = Lookup { own: &section.directives, ..global };
        let Some(directive) = lookup.own(&PORTS) else { return services };
        let Value::Ranges(ranges) = &directive.value else { return services };
        let ServiceAddress::Address { address, .. } = services[0].address else {
            let text = "ports needs an address: a firewall mark has none";
            self.diagnostics
                .error(Found::After(section.end), &directive.place, text)
                .hint("the mark is set for each of the ports, by nftables or iptables");
            return services;
        };
        let mut known = HashSet::from([address.port()]);
        for port in ranges.iter().flat_map(|&(first, last)| first..=last) {
            if !known.insert(port) || self.diagnostics.has_errors() {
                continue;
            }
            // What there is to say about the section has been said.
            let said = std::mem::take(&mut self.diagnostics);
            services.extend(self.service(section, global, Some(port)));
            let more = std::mem::replace(&mut self.diagnostics, said);
            self.diagnostics.append_errors(more);
        }
        services
    }

    /// The service of a section on the port of its address, or on another one.
    ///
    /// compat: what is looked up at the end of a section is looked up in the original's order:
    /// fallback, address, real servers, and then whether the service is there already.
    fn service<'a, 't>(
        &mut self,
        section: &'a Section<'t>,
        global: Lookup<'a, 't>,
        other_port: Option<u16>,
    ) -> Option<VirtualService> {
        let lookup = Lookup { own: &section.directives, ..global };
        let protocol = protocol(section, lookup);
        let own_fallbacks = self.own_fallbacks(section, protocol);
        let mut address = self.address(section, protocol)?;
        if let (ServiceAddress::Address { address, .. }, Some(port)) = (&mut address, other_port) {
            address.set_port(port);
        }
        let checks = self.section_checks(section, lookup, address);
        self.check_certificate_directives(section, &checks);
        let real_servers = self.real_servers(section, address, &checks);
        self.refuse_duplicate(section, address);
        self.idle_directives(section, lookup, address);
        self.value_hazards(section, lookup);
        self.flag_hazards(section, lookup);
        let yes = |row, default| lookup.yes(row).unwrap_or(default);
        let service = VirtualService {
            address,
            origin: self.origins.name(section.place.line),
            scheduler: lookup.text(&SCHEDULER).unwrap_or(SCHEDULER.default).to_owned(),
            sched_flags: self.sched_flags(section, lookup),
            persistence: self.persistence(section, lookup),
            one_packet: yes(&OPS, false) && protocol == Some(Protocol::Udp),
            fallbacks: self.fallbacks(section, own_fallbacks, lookup, address, &real_servers),
            fallback_command: self.fallback_command(lookup, section.found()),
            fallback_minimum: self.fallback_minimum(section, lookup, real_servers.len()),
            fallback_hold_down: lookup.seconds(&FALLBACKHOLDDOWN).unwrap_or_default(),
            fallback_command_on_stop: yes(&FALLBACKCOMMANDONSTOP, false),
            real_servers,
            quiescent: yes(&QUIESCENT, false),
            readd_quiescent: yes(&READDQUIESCENT, false),
            clean_stop: yes(&CLEANSTOP, true),
            failure_count: lookup.count(&FAILURECOUNT).unwrap_or(1),
            rise_count: lookup.count(&RISECOUNT).unwrap_or(1),
            check_interval: self.check_interval(lookup, address),
            fast_interval: lookup.seconds(&FASTINTERVAL),
            slow_start: lookup.seconds(&SLOWSTART),
            reconcile: yes(&RECONCILE, false),
            alert: self.alert(lookup),
            monitor_file: lookup.text(&MONITORFILE).map(|path| file_path(path).to_owned()),
        };
        self.weight_hazards(section, &service);
        self.hashing_hazards(section, lookup, &service);
        Some(service)
    }

    fn address(
        &mut self,
        section: &Section<'_>,
        protocol: Option<Protocol>,
    ) -> Option<ServiceAddress> {
        let found = section.found();
        let family = family(section);
        let (host, port) = match section.address? {
            VirtualAddress::Mark(mark) => {
                let Ok(mark) = u32::try_from(mark) else {
                    let text = "invalid address for virtual server";
                    let error = self.diagnostics.error(found, &section.place, text);
                    error.hint("a firewall mark is a number below 4294967296");
                    return None;
                };
                if mark == 0 {
                    let text = "0 is the mark of packets that have none";
                    let hint = "ip_vs refuses a service of this mark";
                    self.diagnostics.note(found, &section.place, text, hint);
                }
                return Some(ServiceAddress::Fwmark { family, mark });
            }
            VirtualAddress::Address { host, port } => (host, port),
        };
        let literal_inet6 = host.contains(':');
        let ip = if literal_inet6 { host.parse().ok() } else { self.names.host(host, family) };
        let protocol = protocol.unwrap_or(Protocol::Tcp);
        match (ip, self.names.port(port, Some(protocol))) {
            (Some(ip), Some(port)) => {
                Some(ServiceAddress::Address { protocol, address: SocketAddr::new(ip, port) })
            }
            (None, _) if literal_inet6 => {
                self.diagnostics.error(
                    found,
                    &section.place,
                    "invalid ipv6 address for virtual server",
                );
                None
            }
            _ => {
                let text = "invalid address for virtual service";
                let error = self.diagnostics.error(found, &section.place, text);
                let is_part = |byte: u8| byte.is_ascii_digit() || byte == b'-';
                if port.contains('-') && port.bytes().all(is_part) {
                    error.hint("one port stands here; ports takes more, and ranges of them");
                }
                None
            }
        }
    }

    fn refuse_duplicate(&mut self, section: &Section<'_>, address: ServiceAddress) {
        if self.addresses.insert(address) {
            return;
        }
        // compat: the message has the line that ends the section
        let place = Place { line: section.end, span: section.place.span.clone() };
        self.diagnostics
            .error(section.found(), &place, "duplicate virtual server")
            .hint("an earlier section has the same address, port and protocol");
    }

    fn real_servers(
        &mut self,
        section: &Section<'_>,
        address: ServiceAddress,
        checks: &SectionChecks,
    ) -> Vec<RealServer> {
        let mut real_servers: Vec<RealServer> = Vec::with_capacity(section.real_servers.len());
        let mut lines: HashMap<SocketAddr, usize> = HashMap::new();
        for line in &section.real_servers {
            let Some(parsed) = self.real_server(section, line) else { continue };
            self.real_servers += parsed.servers.count();
            if self.real_servers > REAL_SERVERS_LIMIT {
                let text = format!("more than {REAL_SERVERS_LIMIT} real servers");
                self.diagnostics.error(section.found(), &line.place, text);
                return real_servers;
            }
            let server_checks = self.real_server_checks(section, checks, &parsed);
            let listed = |server| listed_address(address, server, parsed.forwarding);
            let mut known = None;
            for (server, _) in parsed.servers.iter() {
                let first = *lines.entry(listed(server)).or_insert(line.place.line);
                known = known.or((first != line.place.line).then_some((listed(server), first)));
            }
            if let Some((server, first)) = known {
                let text =
                    format!("{server} is in this section already, at {}", self.origins.name(first));
                let hint = "the kernel lists it once";
                self.diagnostics.note(section.found(), &line.place, text, hint);
            }
            real_servers.extend(parsed.servers.iter().map(|(address, weight)| RealServer {
                address,
                forwarding: parsed.forwarding,
                weight,
                thresholds: parsed.thresholds,
                check: self.plan(&server_checks, address, parsed.forwarding),
            }));
        }
        real_servers
    }

    fn check_interval(&mut self, lookup: Lookup<'_, '_>, address: ServiceAddress) -> Duration {
        let global = Lookup { own: &[], ..lookup };
        let fork = global.yes(&FORK).unwrap_or(false);
        let own = lookup.own(&CHECKINTERVAL).filter(|_| !fork);
        if own.is_some() {
            let id = address.id();
            let text = format!("checkinterval in virtual service {id} ignored when fork=no");
            self.diagnostics.warning(Found::End, None, text);
        }
        let effective = if fork { lookup } else { global };
        effective.seconds(&CHECKINTERVAL).unwrap_or(Duration::from_secs(10))
    }

    fn persistence(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
    ) -> Option<Persistence> {
        let found = section.found();
        let netmask = self.netmask(section, lookup);
        let timeout = lookup.count(&PERSISTENT)?;
        if timeout == 0 {
            let place = lookup.place(&PERSISTENT)?;
            let text = "persistent=0 is taken as no persistence";
            self.diagnostics.note(
                found,
                place,
                text,
                "ipvsadm refuses a service with this timeout",
            );
            return None;
        }
        Some(Persistence { timeout, netmask })
    }

    fn netmask(&mut self, section: &Section<'_>, lookup: Lookup<'_, '_>) -> Netmask {
        let default = match family(section) {
            Family::Inet => Netmask::Inet(Ipv4Addr::BROADCAST),
            Family::Inet6 => Netmask::Inet6(128),
        };
        let Some(directive) = lookup.own(&NETMASK) else { return default };
        match &directive.value {
            Value::Number(length) => u8::try_from(*length).map_or(default, Netmask::Inet6),
            Value::Text(quad) => match inet_aton(quad) {
                Some(mask) => Netmask::Inet(mask),
                None => {
                    let found = Found::Line(directive.place.line);
                    self.diagnostics.error(found, &directive.place, NETMASK.error);
                    default
                }
            },
            _ => default,
        }
    }

    fn sched_flags(&mut self, section: &Section<'_>, lookup: Lookup<'_, '_>) -> SchedFlags {
        let mut flags = SchedFlags::default();
        for word in lookup.text(&SCHEDFLAGS).unwrap_or_default().split(',') {
            match word {
                "flag-1" | "sh-fallback" | "mh-fallback" => flags.flag1 = true,
                "flag-2" | "sh-port" | "mh-port" => flags.flag2 = true,
                "flag-3" => flags.flag3 = true,
                "" => {}
                unknown => {
                    let place = lookup.place(&SCHEDFLAGS).unwrap_or(&section.place);
                    let text = format!("unknown scheduler flag \"{unknown}\" is left out");
                    let hint = "flags are sh-fallback, sh-port, mh-fallback, mh-port, flag-1, flag-2 \
                                and flag-3";
                    self.diagnostics.note(section.found(), place, text, hint);
                }
            }
        }
        flags
    }
}

/// `None` for a firewall mark.
fn protocol(section: &Section<'_>, lookup: Lookup<'_, '_>) -> Option<Protocol> {
    let port = match section.address {
        Some(VirtualAddress::Mark(_)) => return None,
        Some(VirtualAddress::Address { port, .. }) => port,
        None => "",
    };
    Some(match lookup.word(&PROTOCOL) {
        Some("udp") => Protocol::Udp,
        Some(_) => Protocol::Tcp,
        // compat: as it is written, so that `053` is tcp
        None if matches!(port, "53" | "domain") => Protocol::Udp,
        None => Protocol::Tcp,
    })
}
