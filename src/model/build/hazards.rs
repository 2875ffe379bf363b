//! Configurations that are accepted and probably not meant.

use super::Builder;
use super::lookup::Lookup;
use crate::config::{
    CHECKCOMMAND, CHECKTYPE, HTTPBODY, HTTPMETHOD, LOGIN, NETMASK, OPS, PERSISTENT, Place, RECEIVE,
    REQUEST, SCHEDULER, SERVICE, Section,
};
use crate::model::{
    Exchange, HttpMethod, Protocol, RealServer, Service, ServiceAddress, Tls, VirtualService,
};

/// The schedulers of Linux (net/netfilter/ipvs).
pub(super) const SCHEDULERS: [&str; 14] =
    ["rr", "wrr", "lc", "wlc", "lblc", "lblcr", "dh", "sh", "mh", "sed", "nq", "fo", "ovf", "twos"];

fn without_login(section: &Section<'_>, lookup: Lookup<'_, '_>) -> bool {
    lookup.text(&LOGIN).is_none() && !section.is_broken(&LOGIN)
}

impl Builder<'_, '_> {
    /// Checks that cannot fail, cannot succeed, or no longer give the original's verdict.
    pub(super) fn exchange_hazards(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        exchange: &Exchange,
    ) {
        let found = section.found();
        let service = exchange.service;
        let own_strings = |server: &crate::config::RealServer<'_>| {
            server.options.as_ref().is_ok_and(|options| options.strings.is_some())
        };
        let all_have_strings =
            !section.real_servers.is_empty() && section.real_servers.iter().all(own_strings);
        let place = |row| lookup.place(row).unwrap_or(&section.place);
        let without =
            |row| lookup.text(row).is_none() && !all_have_strings && !section.is_broken(row);
        // Of a service that was meant to be another nothing is said.
        if section.is_broken(&SERVICE) {
            return;
        }
        let mut note = |row, text: &str, hint| {
            self.diagnostics.note(found, place(row), text, hint);
        };
        match service {
            Service::None if lookup.own(&SERVICE).is_none() => note(
                &SERVICE,
                "no service is known for this port, so its real servers are always up",
                "set service, or checktype=connect; service=none says that this is meant",
            ),
            Service::Dns if without(&RECEIVE) => note(
                &SERVICE,
                "a dns check without receive never succeeds",
                "set receive to what the answer must contain, or to \".\"",
            ),
            Service::Pop | Service::Pops if without_login(section, lookup) => note(
                &SERVICE,
                "without login, the server must greet to be up",
                "the original ldirectord takes it to be up whatever it does",
            ),
            Service::Ftp if without(&RECEIVE) => note(
                &SERVICE,
                "without receive, the login must succeed for the server to be up",
                "the original ldirectord takes it to be up whatever it does",
            ),
            Service::Mysql | Service::Pgsql | Service::Oracle
                if without_login(section, lookup) || without(&REQUEST) =>
            {
                note(
                    &SERVICE,
                    "an SQL check without login and request never succeeds",
                    "set login, passwd, database and request",
                );
            }
            Service::Tftp | Service::Udp if without(&REQUEST) => note(
                &SERVICE,
                "without request, there is nothing to ask and no server is up",
                "set request",
            ),
            Service::HttpProxy if !exchange.request.contains("://") && !all_have_strings => note(
                &REQUEST,
                "an http_proxy check whose request is no URL never succeeds",
                "set request to the URL that is to be fetched through the proxy",
            ),
            Service::Http | Service::Https | Service::HttpProxy
                if exchange.http_method == HttpMethod::Head && exchange.receive.is_some() =>
            {
                note(
                    &HTTPMETHOD,
                    "the answer to HEAD has no body, so receive is never found",
                    "leave receive or httpmethod out",
                );
            }
            Service::Http | Service::Https | Service::HttpProxy
                if exchange.http_method != HttpMethod::Post && !exchange.http.body.is_empty() =>
            {
                note(
                    &HTTPBODY,
                    "httpbody is sent with httpmethod=POST only",
                    "write httpmethod = POST, or leave httpbody out",
                );
            }
            _ => {}
        }
    }

    /// Servers that are listed and take no connection.
    pub(super) fn weight_hazards(&mut self, section: &Section<'_>, service: &VirtualService) {
        let weightless = |server: &RealServer| server.weight == 0;
        let has_fallback = !service.fallbacks.is_empty() || service.fallback_command.is_some();
        let some = service.real_servers.iter().any(weightless);
        if !has_fallback || !some || service.real_servers.iter().all(weightless) {
            return;
        }
        let text = "a server of weight 0 that is up keeps the fallback out, and gets no connection";
        let hint = "while all others are down, nobody serves: leave such a server out, or give it a weight";
        self.diagnostics.note(section.found(), &section.place, text, hint);
    }

    /// Values that mean something else than their writer may think.
    pub(super) fn value_hazards(&mut self, section: &Section<'_>, lookup: Lookup<'_, '_>) {
        let found = section.found();
        if let (Some(name), Some(place)) = (lookup.text(&SCHEDULER), lookup.place(&SCHEDULER))
            && !SCHEDULERS.contains(&name)
        {
            let text = format!("{name} is none of the schedulers of Linux");
            let hint = "the kernel refuses the service unless it has a module of this name";
            self.diagnostics.note(found, place, text, hint);
        }
        if let (Some(command), Some(place)) =
            (lookup.text(&CHECKCOMMAND), lookup.place(&CHECKCOMMAND))
            && command.contains(char::is_whitespace)
            && matches!(lookup.word(&CHECKTYPE), Some("external" | "external-perl"))
        {
            let text =
                format!("\"{command}\" is taken as the name of one program, blanks included");
            let hint = "checkcommand has no arguments: put them into a script";
            self.diagnostics.note(found, place, text, hint);
        }
    }

    /// A virtualhost that no TLS handshake can name (RFC 6066, section 3).
    pub(super) fn server_name_hazard(
        &mut self,
        section: &Section<'_>,
        exchange: &Exchange,
        place: Option<&Place>,
    ) {
        let over_tls = exchange.tls != Tls::No || exchange.service == Service::Own;
        let (Some(host), Some(place), true) = (&exchange.virtual_host, place, over_tls) else {
            return;
        };
        if exchange.server_name().is_none() {
            let text = format!("{host} is not sent as the server name of TLS");
            let hint = "a name is sent, an address or a wildcard is not";
            self.diagnostics.note(section.found(), place, text, hint);
        }
    }

    /// Directives that are set, and a service that is made, without any effect.
    pub(super) fn idle_directives(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        address: ServiceAddress,
    ) {
        let found = section.found();
        if let Some(directive) = lookup.own(&NETMASK)
            && lookup.own(&PERSISTENT).is_none()
        {
            let text = "netmask has no effect without persistent";
            self.diagnostics.note(found, &directive.place, text, "set persistent, or leave it out");
        }
        let every_port = matches!(
            address,
            ServiceAddress::Address { address, .. } if address.port() == 0
        );
        if every_port && lookup.own(&PERSISTENT).is_none() {
            let text = "ip_vs schedules a service for every port (0) only if it is persistent";
            self.diagnostics.note(found, &section.place, text, "set persistent, or name the port");
        }
        let is_udp = matches!(address, ServiceAddress::Address { protocol: Protocol::Udp, .. });
        if let Some(directive) = lookup.own(&OPS)
            && lookup.yes(&OPS) == Some(true)
            && !is_udp
        {
            let text = "ops=yes has no effect, because the service is not udp";
            self.diagnostics.note(
                found,
                &directive.place,
                text,
                "one-packet scheduling is for udp",
            );
        }
    }
}
