//! Which services and real servers of a report somebody wants to see.

use super::{ServerState, ServerStatus, ServiceStatus, StatusReport};
use std::net::{IpAddr, SocketAddr};

/// What `status` was asked about; without anything, about everything.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filter {
    /// Services and servers, as [`address_word`] has them; any of them.
    pub named: Vec<String>,
    /// Only servers of this service.
    pub of: Option<String>,
    /// Only servers that are down, and services that nobody serves.
    pub down: bool,
}

impl Filter {
    /// Whether it lets everything through.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// The servers of a service that are to be seen; `None` if the service is not.
    pub fn servers<'a>(&self, service: &'a ServiceStatus) -> Option<Vec<&'a ServerStatus>> {
        if self.of.as_ref().is_some_and(|word| !names_service(word, service)) {
            return None;
        }
        let named = |is: &dyn Fn(&str) -> bool| self.named.iter().any(|word| is(word));
        let whole = self.named.is_empty() || named(&|word| names_service(word, service));
        let wanted = |server: &&ServerStatus| {
            (whole || named(&|word| server.is_called(word)))
                && (!self.down || server.state == ServerState::Down)
        };
        let servers: Vec<&ServerStatus> = service.servers.iter().filter(wanted).collect();
        let shown = whole && (!self.down || service.up() == 0 || service.is_weightless());
        (shown || !servers.is_empty()).then_some(servers)
    }

    /// Takes what is not to be seen out of a report.
    pub fn apply(&self, report: &mut StatusReport) {
        report.services.retain_mut(|service| {
            let Some(servers) = self.servers(service) else { return false };
            service.servers = servers.into_iter().cloned().collect();
            true
        });
    }

    /// What it names and a report does not have, and whether nothing is left of the report: one line each.
    pub fn misses(&self, report: &StatusReport) -> Vec<String> {
        let mut lines = self.unknown(report);
        let none = !report.services.iter().any(|service| self.servers(service).is_some());
        if lines.is_empty() && none && !self.is_empty() {
            lines.push(
                if self.down { "no such real server is down" } else { "no such real server" }
                    .to_owned(),
            );
        }
        lines
    }

    /// What it names and a report does not have, one line each.
    pub fn unknown(&self, report: &StatusReport) -> Vec<String> {
        let mut lines = Vec::new();
        for word in &self.named {
            let has = |service: &ServiceStatus| {
                names_service(word, service)
                    || service.servers.iter().any(|server| server.is_called(word))
            };
            if !report.services.iter().any(has) {
                lines.push(format!("there is no real server or virtual service {word}"));
            }
        }
        if let Some(word) = &self.of
            && !report.services.iter().any(|service| names_service(word, service))
        {
            lines.push(format!("there is no virtual service {word}"));
        }
        lines
    }
}

/// Whoever only looks may also name a service by its address without the port: all that are there.
fn names_service(word: &str, service: &ServiceStatus) -> bool {
    let ip = service.address.parse().map(|address: SocketAddr| address.ip());
    service.is_called(word) || ip.is_ok_and(|ip| word == ip.to_string())
}

/// A word that is clearly an address of a real server or of a virtual service, in the form in which
/// reports have it: `10.0.0.2`, `10.0.0.2:80`, `[fd00::2]:80`, `tcp:10.0.0.1:80`, `fwm:7`.
///
/// A number is none: the original takes it for nothing, and so a mark is `fwm:7`.
pub fn address_word(word: &str) -> Option<String> {
    if let Ok(address) = word.parse::<SocketAddr>() {
        return Some(address.to_string());
    }
    let bare = word.strip_prefix('[').and_then(|word| word.strip_suffix(']')).unwrap_or(word);
    if let Ok(ip) = bare.parse::<IpAddr>() {
        return Some(ip.to_string());
    }
    match word.split_once(':')? {
        (protocol @ ("tcp" | "udp"), rest) => {
            Some(format!("{protocol}:{}", rest.parse::<SocketAddr>().ok()?))
        }
        (kind @ ("fwm" | "fwm6"), mark) => Some(format!("{kind}:{}", mark.parse::<u32>().ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::super::FallbackStatus;
    use super::super::samples::{report, server, service};
    use super::*;

    /// `SERVICE: SERVER SERVER` for each service that is left.
    fn left(filter: &Filter) -> Vec<String> {
        let mut six = service("[fd00::1]:80", vec![server("[fd00::2]:80", ServerState::Up, None)]);
        six.protocol = "udp".into();
        let mut mark = service("7", vec![server("10.0.1.1:80", ServerState::Up, None)]);
        mark.protocol = "fwm".into();
        let mut mark6 = service("7", vec![server("[fd00::2]:0", ServerState::Off, None)]);
        mark6.protocol = "fwm".into();
        mark6.fallback = Some(FallbackStatus { address: "[::1]:80".into(), on: false });
        let mut all = report(vec![
            service(
                "10.0.0.1:80",
                vec![
                    server("10.0.1.1:80", ServerState::Up, None),
                    server("10.0.1.2:80", ServerState::Down, Some("x")),
                ],
            ),
            service("10.0.0.1:443", vec![server("10.0.1.1:443", ServerState::Up, None)]),
            six,
            mark,
            mark6,
        ]);
        filter.apply(&mut all);
        let line = |service: &ServiceStatus| {
            let servers = service.servers.iter().map(|server| format!(" {}", server.address));
            format!("{}:{}", service.id(), servers.collect::<String>())
        };
        all.services.iter().map(line).collect()
    }

    fn named(words: &[&str]) -> Filter {
        let words = words.iter().map(|word| address_word(word).expect("an address"));
        Filter { named: words.collect(), ..Filter::default() }
    }

    #[test]
    fn a_service_is_shown_with_its_servers_and_a_server_wherever_it_is() {
        for (words, expected) in [
            (&["10.0.1.2:80"][..], &["tcp:10.0.0.1:80: 10.0.1.2:80"][..]),
            (
                &["10.0.1.1"],
                &[
                    "tcp:10.0.0.1:80: 10.0.1.1:80",
                    "tcp:10.0.0.1:443: 10.0.1.1:443",
                    "fwm:7: 10.0.1.1:80",
                ],
            ),
            (&["tcp:10.0.0.1:80"], &["tcp:10.0.0.1:80: 10.0.1.1:80 10.0.1.2:80"]),
            (
                &["10.0.0.1"],
                &["tcp:10.0.0.1:80: 10.0.1.1:80 10.0.1.2:80", "tcp:10.0.0.1:443: 10.0.1.1:443"],
            ),
            (&["udp:10.0.0.1:80"], &[]),
            (&["[fd00::1]:80"], &["udp:[fd00::1]:80: [fd00::2]:80"]),
            (&["fd00:0::2"], &["udp:[fd00::1]:80: [fd00::2]:80", "fwm6:7: [fd00::2]:0"]),
            (&["fwm:7"], &["fwm:7: 10.0.1.1:80"]),
            (&["fwm6:7", "10.0.1.2"], &["tcp:10.0.0.1:80: 10.0.1.2:80", "fwm6:7: [fd00::2]:0"]),
        ] {
            assert_eq!(left(&named(words)), expected, "{words:?}");
        }
    }

    #[test]
    fn of_and_down_narrow_what_is_named() {
        let of = Some("10.0.0.1:443".to_owned());
        let both = Filter { of, ..named(&["10.0.1.1"]) };
        assert_eq!(left(&both), ["tcp:10.0.0.1:443: 10.0.1.1:443"]);
        let down = Filter { down: true, ..Filter::default() };
        assert_eq!(
            left(&down),
            ["tcp:10.0.0.1:80: 10.0.1.2:80", "fwm6:7:"],
            "nobody serves the last one"
        );
        assert_eq!(left(&Filter { down: true, ..named(&["10.0.1.1"]) }), [""; 0]);
    }

    #[test]
    fn what_is_not_there_is_named() {
        let servers = vec![server("10.0.1.1:80", ServerState::Up, None)];
        let report = report(vec![service("10.0.0.1:80", servers)]);
        assert_eq!(named(&["10.0.1.1"]).misses(&report), [""; 0]);
        assert_eq!(
            named(&["10.0.1.1", "10.0.1.9"]).misses(&report),
            ["there is no real server or virtual service 10.0.1.9"]
        );
        let down = Filter { down: true, ..named(&["10.0.1.1"]) };
        assert_eq!(down.misses(&report), ["no such real server is down"]);
        assert_eq!(down.unknown(&report), [""; 0]);
        let of = Filter { of: Some("10.0.0.9:80".into()), ..Filter::default() };
        assert_eq!(of.misses(&report), ["there is no virtual service 10.0.0.9:80"]);
        let other = service("10.0.0.2:80", Vec::new());
        let two = StatusReport {
            services: report.services.iter().cloned().chain([other]).collect(),
            ..report
        };
        let elsewhere = Filter { of: Some("10.0.0.2:80".into()), ..named(&["10.0.1.1"]) };
        assert_eq!(elsewhere.misses(&two), ["no such real server"]);
    }

    #[test]
    fn only_what_is_clearly_an_address_is_taken_for_one() {
        for (word, expected) in [
            ("10.0.0.2", "10.0.0.2"),
            ("10.0.0.2:80", "10.0.0.2:80"),
            ("[fd00:0::2]:80", "[fd00::2]:80"),
            ("[fd00::2]", "fd00::2"),
            ("fd00::2", "fd00::2"),
            ("tcp:10.0.0.1:80", "tcp:10.0.0.1:80"),
            ("udp:[fd00::1]:53", "udp:[fd00::1]:53"),
            ("fwm:7", "fwm:7"),
            ("fwm6:7", "fwm6:7"),
        ] {
            assert_eq!(address_word(word).as_deref(), Some(expected), "{word}");
        }
        for word in [
            "",
            "7",
            "80",
            "stop",
            "web.cf",
            "10.0",
            "10.0.0.2:x",
            "sctp:10.0.0.1:80",
            "fwm:x",
            "of",
        ] {
            assert_eq!(address_word(word), None, "{word}");
        }
    }
}
