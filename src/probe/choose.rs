//! Which checks are meant: of the servers and the service that were named, those of the configuration.

use super::Request;
use crate::check::{Deadline, LookUps};
use crate::model::{CheckPlan, DestinationAddress, Model, ServiceAddress};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// A check that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Chosen {
    /// The real server as configured.
    pub(super) server: DestinationAddress,
    /// The name that it was asked for by, if it was one.
    pub(super) name: Option<String>,
    /// The virtual services that check it so.
    pub(super) services: Vec<ServiceAddress>,
    pub(super) plan: Arc<CheckPlan>,
    /// The least of their `failurecount`: so many failures in a row make it down.
    pub(super) failure_count: u32,
}

/// The checks of what was asked for, in the order of the configuration.
///
/// # Errors
/// In words, when something that was named is not there, or nothing is.
pub(super) fn choose(
    model: &Model,
    request: &Request,
    look_up: impl Fn(&str) -> Result<Vec<IpAddr>, String>,
) -> Result<Vec<Chosen>, String> {
    let service = request.service.as_deref();
    let services: Vec<_> = model
        .services
        .iter()
        .filter(|known| service.is_none_or(|wanted| is_called(known.address, wanted)))
        .collect();
    if let (Some(wanted), true) = (service, services.is_empty()) {
        return Err(format!("there is no virtual service {wanted}"));
    }
    let wanted: Vec<Wanted> = request
        .servers
        .iter()
        .map(|text| Wanted::parse(text, &look_up))
        .collect::<Result<_, _>>()?;
    let mut chosen: Vec<Chosen> = Vec::new();
    // Equal plans are one.
    let mut places: HashMap<(DestinationAddress, *const CheckPlan), usize> = HashMap::new();
    for service in services {
        for server in &service.real_servers {
            let by = wanted.iter().find(|wanted| wanted.is(server.address));
            if by.is_none() && !wanted.is_empty() {
                continue;
            }
            let place =
                *places.entry((server.address, Arc::as_ptr(&server.check))).or_insert_with(|| {
                    chosen.push(Chosen {
                        server: server.address,
                        name: by.and_then(|by| by.name.clone()),
                        services: Vec::new(),
                        plan: Arc::clone(&server.check),
                        failure_count: service.failure_count,
                    });
                    chosen.len() - 1
                });
            let chosen = &mut chosen[place];
            chosen.failure_count = chosen.failure_count.min(service.failure_count);
            if !chosen.services.contains(&service.address) {
                chosen.services.push(service.address);
            }
        }
    }
    for (wanted, text) in wanted.iter().zip(&request.servers) {
        if !chosen.iter().any(|chosen| wanted.is(chosen.server)) {
            return Err(match service {
                Some(service) => format!("{text} is no real server of {service}"),
                None => format!("there is no real server {text}"),
            });
        }
    }
    if chosen.is_empty() {
        return Err("there is no real server".to_owned());
    }
    Ok(chosen)
}

/// Whether a service is meant by this text: in the form of `status` or of the log, with or without its
/// protocol.
fn is_called(service: ServiceAddress, text: &str) -> bool {
    let bare = match text.split_once([':', ' ']) {
        Some((word, bare)) if word == service.protocol_word() => bare,
        _ => text,
    };
    match service {
        ServiceAddress::Address { address, .. } => bare.parse() == Ok(address),
        ServiceAddress::Fwmark { mark, .. } => bare.parse() == Ok(mark) || text == service.id(),
    }
}

/// A server as it was asked for.
#[derive(Debug)]
struct Wanted {
    name: Option<String>,
    addresses: Vec<IpAddr>,
    port: Option<u16>,
}

impl Wanted {
    fn parse(
        text: &str,
        look_up: impl Fn(&str) -> Result<Vec<IpAddr>, String>,
    ) -> Result<Self, String> {
        let literal = |address, port| Self { name: None, addresses: vec![address], port };
        let unbracketed = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if let Ok(address) = unbracketed.unwrap_or(text).parse() {
            return Ok(literal(address, None));
        }
        if let Ok(address) = text.parse::<SocketAddr>() {
            return Ok(literal(address.ip(), Some(address.port())));
        }
        let (name, port) = match text.rsplit_once(':') {
            None => (text, None),
            Some((name, port)) => {
                let port = port.parse().map_err(|_| format!("{text}: {port} is no port"))?;
                (name, Some(port))
            }
        };
        Ok(Self { name: Some(name.to_owned()), addresses: look_up(name)?, port })
    }

    fn is(&self, server: DestinationAddress) -> bool {
        self.addresses.contains(&server.ip()) && self.port.is_none_or(|port| port == server.port())
    }
}

/// How long the system's resolver may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The addresses of a name, from the system's resolver.
pub(super) fn look_up(name: &str) -> Result<Vec<IpAddr>, String> {
    static LOOK_UPS: LookUps = LookUps::new(1);
    let found = LOOK_UPS.addresses(name, 0, Deadline::after(PATIENCE));
    let found = found.map_err(|why| format!("cannot resolve {name}: {why}"))?;
    Ok(found.into_iter().map(|address| address.ip()).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{MemoryResolver, load_source};
    use std::ffi::OsString;
    use std::path::Path;

    const FILE: &str = "
virtual=10.0.0.1:80
	real=10.0.0.2:80 gate
	real=10.0.0.3:80 gate
	checktype=connect
	failurecount=3
virtual=10.0.0.1:81
	real=10.0.0.2:80 masq
	real=10.0.0.2:81 masq
	checktype=connect
virtual=10.0.0.1:53
	protocol=udp
	real=10.0.0.2:80 gate
	checktype=on
virtual=7
	real=10.0.0.4:80 gate
	checktype=connect
virtual6=[fd00::1]:80
	real6=[fd00::2]:80 gate
	checktype=connect
";

    fn chosen(line: &str) -> Result<Vec<String>, String> {
        let source = crate::config::Source::from_bytes(FILE.as_bytes().to_vec());
        let loaded = load_source(Path::new("x.cf"), source, &MemoryResolver::default());
        let model = loaded.expect("a configuration").model;
        let words: Vec<OsString> = line.split_whitespace().map(Into::into).collect();
        let request = Request::parse(&words).expect("a request");
        let look_up = |name: &str| match name {
            "web" => Ok(vec!["10.0.0.2".parse().unwrap(), "fd00::2".parse().unwrap()]),
            _ => Err("no such name".to_owned()),
        };
        let chosen = choose(&model, &request, look_up)?;
        Ok(chosen
            .iter()
            .map(|it| {
                let services: Vec<_> = it.services.iter().map(|service| service.id()).collect();
                format!("{} {} {}", it.server, services.join("+"), it.failure_count)
            })
            .collect())
    }

    #[test]
    fn the_same_check_is_made_once_and_others_each() {
        let both = "10.0.0.2:80 tcp:10.0.0.1:80+tcp:10.0.0.1:81 1";
        let on = "10.0.0.2:80 udp:10.0.0.1:53 1";
        let other = "10.0.0.2:81 tcp:10.0.0.1:81 1";
        for (line, expected) in [
            ("10.0.0.2:80", vec![both, on]),
            ("10.0.0.2", vec![both, other, on]),
            ("web:80", vec![both, on, "[fd00::2]:80 tcp:[fd00::1]:80 1"]),
            ("10.0.0.2:80 10.0.0.1:80", vec!["10.0.0.2:80 tcp:10.0.0.1:80 3"]),
            ("10.0.0.2:80 udp:10.0.0.1:53", vec![on]),
            ("10.0.0.4,fd00::2 ", vec!["10.0.0.4:80 fwm:7 1", "[fd00::2]:80 tcp:[fd00::1]:80 1"]),
            ("--all 7", vec!["10.0.0.4:80 fwm:7 1"]),
            ("--all fwm:7", vec!["10.0.0.4:80 fwm:7 1"]),
            ("[fd00::2]:80 [fd00:0::1]:80", vec!["[fd00::2]:80 tcp:[fd00::1]:80 1"]),
        ] {
            let expected = expected.into_iter().map(str::to_owned).collect();
            assert_eq!(chosen(line), Ok(expected), "{line}");
        }
        assert_eq!(chosen("--all").map(|all| all.len()), Ok(6));
    }

    #[test]
    fn what_is_not_there_is_named() {
        for (line, error) in [
            ("10.0.0.9", "there is no real server 10.0.0.9"),
            ("10.0.0.2:80,10.0.0.3:81", "there is no real server 10.0.0.3:81"),
            ("10.0.0.3 10.0.0.1:81", "10.0.0.3 is no real server of 10.0.0.1:81"),
            ("10.0.0.3 10.0.0.1:82", "there is no virtual service 10.0.0.1:82"),
            ("10.0.0.3 udp:10.0.0.1:80", "there is no virtual service udp:10.0.0.1:80"),
            ("nobody", "no such name"),
            ("web:http", "web:http: http is no port"),
        ] {
            assert_eq!(chosen(line), Err(error.to_owned()), "{line}");
        }
    }
}
