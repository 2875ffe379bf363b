//! Configurations that are accepted and probably not meant.

use super::Builder;
use super::lookup::Lookup;
use crate::config::{
    HTTPMETHOD, LOGIN, NETMASK, OPS, PERSISTENT, RECEIVE, REQUEST, SERVICE, Section,
};
use crate::model::{Exchange, HttpMethod, Protocol, Service, ServiceAddress};

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
        let without = |row| lookup.text(row).is_none() && !all_have_strings;
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
            Service::Pop | Service::Pops if lookup.text(&LOGIN).is_none() => note(
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
                if lookup.text(&LOGIN).is_none() || without(&REQUEST) =>
            {
                note(
                    &SERVICE,
                    "an SQL check without login and request never succeeds",
                    "set login, passwd, database and request",
                );
            }
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
            _ => {}
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
