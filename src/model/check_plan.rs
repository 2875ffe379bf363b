//! What a check needs to know: one plan, made at load, run any number of times.

use super::{Pattern, Service, User, Way};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

/// How one real server is checked.
///
/// Two real servers with equal plans are one check: it runs once a round and its outcome counts in
/// every virtual service that lists them.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct CheckPlan {
    /// The real server's address.
    pub address: IpAddr,
    /// `checkport`, else the real server's port, else the service's; 0 if there is none.
    pub port: u16,
    /// `checktimeout`: the whole of a connect, ping or external check, of a radius or ldap check.
    pub check_timeout: Duration,
    /// `negotiatetimeout`: the whole of every other negotiate check.
    pub negotiate_timeout: Duration,
    /// `checkfrom` and `checkpath`.
    pub way: Way,
    /// `checktype` with what belongs to it.
    pub method: CheckMethod,
    /// `agentport`, `agentcommand`, `externalweight`: what tells the server's weight.
    pub agent: Option<Agent>,
}

/// What tells how much a real server that is up can take.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Agent {
    /// A line from this TCP port of the server, as HAProxy's agent-check reads it.
    Port(u16),
    /// The exit status of a command of the director, as keepalived reads that of a script.
    Command(Script),
    /// The exit status of the external check, likewise.
    ExitStatus,
}

/// `checktype`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CheckMethod {
    /// `on`: always up, never checked.
    On,
    /// `off`: never checked, never put into the table.
    Off,
    /// `connect`: a TCP connection; an ICMP echo if the virtual service is udp, for which the model
    /// says [`CheckMethod::Ping`].
    Connect,
    /// `ping`: ICMP echo, `attempts` times at most (`checkcount`), each of `checktimeout`.
    Ping {
        /// At least 1.
        attempts: u32,
    },
    /// `external`: a command's exit status.
    External(Script),
    /// `external-perl`: a Perl script's exit status.
    ExternalPerl(Script),
    /// `negotiate`: a question and an answer in the service's protocol.
    Negotiate(Arc<Exchange>),
    /// A number: a negotiate check first and after every failure, then `connects` connect checks
    /// between two negotiate checks.
    Combined {
        /// The number; 0 negotiates always.
        connects: u32,
        /// Transport of the connect checks: UDP ones always succeed.
        transport: Transport,
        /// The negotiate check.
        exchange: Arc<Exchange>,
    },
}

/// The part of a combined check that is due; other methods have one step only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Step {
    /// The check itself; of a combined check, the negotiate part.
    Full,
    /// The connect part of a combined check.
    Connect,
}

impl CheckPlan {
    /// `agentcommand`.
    pub fn agent_command(&self) -> Option<&Script> {
        match &self.agent {
            Some(Agent::Command(script)) => Some(script),
            Some(Agent::Port(_) | Agent::ExitStatus) | None => None,
        }
    }

    /// Every directive at its default.
    pub fn new(target: SocketAddr, method: CheckMethod) -> Self {
        Self {
            address: target.ip(),
            port: target.port(),
            check_timeout: Duration::from_secs(5),
            negotiate_timeout: Duration::from_secs(30),
            way: Way::default(),
            method,
            agent: None,
        }
    }

    /// How long this step may take altogether.
    pub fn timeout(&self, step: Step) -> Duration {
        match (&self.method, step) {
            (CheckMethod::Ping { attempts }, _) => self.check_timeout.saturating_mul(*attempts),
            (
                CheckMethod::Negotiate(exchange) | CheckMethod::Combined { exchange, .. },
                Step::Full,
            ) if !exchange.service.uses_check_timeout() => self.negotiate_timeout,
            _ => self.check_timeout,
        }
    }

    /// `checkcertdays`, of a check that may see a certificate.
    pub fn certificate_days(&self) -> Option<u32> {
        match &self.method {
            CheckMethod::Negotiate(exchange) | CheckMethod::Combined { exchange, .. } => {
                exchange.certificate_days
            }
            _ => None,
        }
    }

    /// What a check is called in the log: `connect`, `http`, `external`.
    pub fn word(&self, step: Step) -> String {
        match (&self.method, step) {
            (CheckMethod::On, _) => "on".to_owned(),
            (CheckMethod::Off, _) => "off".to_owned(),
            (CheckMethod::Connect, _) | (CheckMethod::Combined { .. }, Step::Connect) => {
                "connect".to_owned()
            }
            (CheckMethod::Ping { .. }, _) => "ping".to_owned(),
            (CheckMethod::External(_), _) => "external".to_owned(),
            (CheckMethod::ExternalPerl(_), _) => "external-perl".to_owned(),
            (
                CheckMethod::Negotiate(exchange) | CheckMethod::Combined { exchange, .. },
                Step::Full,
            )
            | (CheckMethod::Negotiate(exchange), Step::Connect) => exchange.service.to_string(),
        }
    }

    /// Where the check connects to: the real server, or with `checkpath=service` the virtual address.
    pub fn target(&self) -> SocketAddr {
        let address = self.way.path.as_ref().map_or(self.address, |path| path.address);
        SocketAddr::new(address, self.port)
    }
}

/// The program of an external check: run as
/// `COMMAND VIP VPORT RIP RPORT`, without a shell, with exactly these four arguments.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Script {
    /// `checkcommand`: one word, looked up in PATH if it has no slash.
    pub command: String,
    /// Virtual address (`[…]` around IPv6) or mark; virtual port or 0; real address; real port or 0.
    pub arguments: [String; 4],
    /// `checkcommanduser`: who runs it; without it, whoever runs the daemon.
    pub user: Option<Arc<User>>,
}

/// TCP or UDP, for the checks that can use either; follows the virtual service's protocol
/// (a fwmark service uses TCP).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Transport {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

/// `httpmethod`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum HttpMethod {
    /// The default.
    #[default]
    Get,
    /// No body, so `receive` cannot match.
    Head,
    /// With `httpbody`.
    Post,
}

/// What http, https and http_proxy checks send and accept beyond the original's.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct HttpOptions {
    /// `httpheader`: name and value.
    pub headers: Vec<(String, String)>,
    /// `httpbody`.
    pub body: String,
    /// `httpstatus`: ranges of statuses that are good; empty for 2xx.
    pub statuses: Vec<(u16, u16)>,
    /// `httpredirect = no`: a redirect is an answer like any other.
    pub stays: bool,
    /// `httpversion = 1.0`.
    pub old: bool,
}

impl HttpOptions {
    /// Whether an answer with this status may be good.
    pub fn accepts(&self, status: u16) -> bool {
        match self.statuses[..] {
            [] => status / 100 == 2,
            ref ranges => ranges.iter().any(|&(first, last)| (first..=last).contains(&status)),
        }
    }
}

/// `checkcertificate`: what is asked of a TLS server's certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum CertificateCheck {
    /// A chain to a trusted certificate; default, but not for ldaps.
    Chain,
    /// The chain, and the name (`virtualhost`, else the address).
    Name,
    /// Nothing; default for ldaps.
    No,
}

impl CertificateCheck {
    /// The default of a service.
    // compat: the original never looks at a certificate of ldaps
    pub fn of(service: Service) -> Self {
        if service == Service::Ldaps { Self::No } else { Self::Chain }
    }
}

/// `checktls`: how a negotiate check comes to TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Tls {
    /// Not; or, as pgsql, where the server offers it.
    No,
    /// From the first byte; of https, imaps, ldaps and pops always.
    Yes,
    /// `starttls`: by a command of the protocol; a server that refuses it is down.
    Start,
}

impl Tls {
    /// The default of a service.
    pub fn of(service: Service) -> Self {
        match service {
            Service::Https | Service::Imaps | Service::Ldaps | Service::Pops => Self::Yes,
            _ => Self::No,
        }
    }
}

/// `checkproxy`: the version of the PROXY protocol (HAProxy's doc/proxy-protocol.txt).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ProxyProtocol {
    /// A line.
    V1,
    /// Binary.
    V2,
}

/// `checkcert` and `checkkey`: who the check is, for servers that ask.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ClientCertificate {
    /// A file of PEM: the certificate, and those that lead from it to a trusted one.
    pub certificate: PathBuf,
    /// A file of PEM; may be the same.
    pub key: PathBuf,
}

/// The directives of a negotiate check, as the protocol's own file interprets them.
///
/// Absent strings are empty, as in the original, where an empty string in the file is an error.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Exchange {
    /// `service`.
    pub service: Service,
    /// TCP or UDP, for sip, simpletcp and dns.
    pub transport: Transport,
    /// `request`, the real server's own or the service's, with its leading `/` (default `/`); of
    /// [`Service::Own`] its definition, for [`super::Dialogue::parse`].
    pub request: String,
    /// Whether the request is the real server's own: only then may it be an absolute URL for http.
    pub request_is_own: bool,
    /// `receive`; absent means that any proper answer is right.
    pub receive: Option<Pattern>,
    /// `virtualhost`: Host header and TLS server name.
    pub virtual_host: Option<String>,
    /// `httpmethod`.
    pub http_method: HttpMethod,
    /// `httpheader`, `httpbody`, `httpstatus`, `httpredirect`, `httpversion`.
    pub http: HttpOptions,
    /// `login`, with the service's default filled in.
    pub login: String,
    /// `passwd`, with the service's default filled in.
    pub passwd: String,
    /// `database`.
    pub database: String,
    /// `secret`.
    pub secret: String,
    /// `checkproxy`.
    pub proxy: Option<ProxyProtocol>,
    /// `checktls`.
    pub tls: Tls,
    /// `checkcertificate`.
    pub certificate: CertificateCheck,
    /// `checkcafile`: certificates trusted beside the system's.
    pub ca_file: Option<PathBuf>,
    /// `checkcert`, `checkkey`.
    pub client: Option<ClientCertificate>,
    /// `checkcertdays`: a certificate that ends in so many days is told of.
    pub certificate_days: Option<u32>,
}

impl Exchange {
    /// Over TCP, every directive at its default; `login` and `passwd` empty.
    pub fn new(service: Service) -> Self {
        Self {
            service,
            transport: Transport::Tcp,
            request: "/".to_owned(),
            request_is_own: false,
            receive: None,
            virtual_host: None,
            http_method: HttpMethod::Get,
            http: HttpOptions::default(),
            login: String::new(),
            passwd: String::new(),
            database: String::new(),
            secret: String::new(),
            proxy: None,
            tls: Tls::of(service),
            certificate: CertificateCheck::of(service),
            ca_file: None,
            client: None,
            certificate_days: None,
        }
    }

    /// The files that a check over TLS needs.
    pub fn files(&self) -> impl Iterator<Item = &Path> {
        let ca_file = self.ca_file.as_deref().filter(|_| self.certificate != CertificateCheck::No);
        let client = self.client.iter().flat_map(|it| [it.certificate.as_path(), it.key.as_path()]);
        ca_file.into_iter().chain(client)
    }

    /// The name in `virtualhost` that TLS can send: without a port, which is for the Host header only, and
    /// none where it is an address or a wildcard (RFC 6066, section 3).
    pub fn server_name(&self) -> Option<&str> {
        self.virtual_host.as_deref().map(without_port).filter(|name| is_sendable(name))
    }
}

/// A host as it may stand in a URL, without the port that may follow it; an IPv6 address keeps its brackets.
pub fn without_port(authority: &str) -> &str {
    match authority.rsplit_once(':') {
        Some((host, port))
            if port.bytes().all(|byte| byte.is_ascii_digit())
                && (!host.contains(':') || host.ends_with(']')) =>
        {
            host
        }
        _ => authority,
    }
}

fn is_sendable(name: &str) -> bool {
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_err()
        && !name.is_empty()
        && name.len() <= 255
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_no_part_of_a_name() {
        for (written, name) in [
            ("www.example.com:8443", "www.example.com"),
            ("www.example.com", "www.example.com"),
            ("[2001:db8::1]:443", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("2001:db8::1", "2001:db8::1"),
            ("a:b", "a:b"),
        ] {
            assert_eq!(without_port(written), name);
        }
        assert!(is_sendable("www.example.com") && is_sendable("a_b."));
        for other in ["192.0.2.1", "[2001:db8::1]", "*.example.com", "", "a:b"] {
            assert!(!is_sendable(other), "{other}");
        }
    }
}
