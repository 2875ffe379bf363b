//! How each real server is checked. Equal plans, exchanges and patterns are kept once.

use super::Builder;
use super::exchange::as_asked;
use super::lookup::Lookup;
use super::real_server::Parsed;
use crate::config::{
    AGENTCOMMAND, AGENTPORT, CHECKCOMMAND, CHECKCOMMANDUSER, CHECKCOUNT, CHECKFROM, CHECKPATH,
    CHECKPORT, CHECKPROXY, CHECKTIMEOUT, CHECKTLS, CHECKTYPE, EXTERNALWEIGHT, Found,
    NEGOTIATETIMEOUT, Row, SERVICE, Section, Value,
};
use crate::model::{
    Agent, CheckMethod, CheckPlan, CheckSource, Exchange, ForwardingMethod, MARKS, Pattern,
    Protocol, Script, Service, ServiceAddress, ServicePath, Tls, Transport, User, Way,
};
use std::collections::{HashMap, HashSet};
use std::hash::Hash;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

/// What has been made so far.
#[derive(Default)]
pub(super) struct Interned {
    plans: HashSet<Arc<CheckPlan>>,
    pub(super) exchanges: HashSet<Arc<Exchange>>,
    pub(super) patterns: HashMap<String, Pattern>,
}

pub(super) fn intern<T: Hash + Eq>(known: &mut HashSet<Arc<T>>, value: T) -> Arc<T> {
    if let Some(same) = known.get(&value) {
        return same.clone();
    }
    let new = Arc::new(value);
    known.insert(new.clone());
    new
}

/// What the checks of one section have in common.
pub(super) struct SectionChecks {
    address: ServiceAddress,
    service: Service,
    /// The port of the service itself.
    default_port: Option<u16>,
    check_port: Option<u16>,
    from: Option<CheckSource>,
    /// The virtual address, for `checkpath=service`.
    path: Option<IpAddr>,
    check_timeout: Duration,
    negotiate_timeout: Duration,
    method: Method,
    agent: Option<SectionAgent>,
}

impl SectionChecks {
    pub(super) fn service(&self) -> Service {
        self.service
    }

    pub(super) fn tls(&self) -> Tls {
        match &self.method {
            Method::Negotiate { exchange, .. } => exchange.tls,
            Method::Fixed(_) | Method::External(_) | Method::ExternalPerl(_) => {
                Tls::of(self.service)
            }
        }
    }
}

/// [`Script`] before it is known for which real server.
struct Program {
    command: String,
    user: Option<Arc<User>>,
}

/// [`Agent`] before it is known for which real server.
enum SectionAgent {
    Port(u16),
    Command(Program),
    ExitStatus,
}

/// [`CheckMethod`] before it is known for which real server.
enum Method {
    Fixed(CheckMethod),
    External(Program),
    ExternalPerl(Program),
    Negotiate { exchange: Arc<Exchange>, connects: Option<u32> },
}

impl Builder<'_, '_> {
    pub(super) fn section_checks(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        address: ServiceAddress,
    ) -> SectionChecks {
        let own = self.own_service(lookup).map(|(_, dialogue)| dialogue.port);
        let service = match lookup.word(&SERVICE).and_then(|word| word.parse().ok()) {
            Some(service) => service,
            None if own.is_some() => Service::Own,
            None => Service::of_port(address.port()),
        };
        self.refuse_own_over_udp(lookup, address);
        let (check_timeout, negotiate_timeout) = timeouts(lookup);
        let method = self.method(section, lookup, address, service);
        SectionChecks {
            address,
            service,
            default_port: own.flatten().or(service.row().port),
            check_port: lookup.number(&CHECKPORT).and_then(|port| u16::try_from(port).ok()),
            from: self.check_source(section, lookup, &method),
            path: self.check_path(section, lookup, address, &method),
            check_timeout,
            negotiate_timeout,
            agent: self.agent(section, lookup, &method),
            method,
        }
    }

    fn agent(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        method: &Method,
    ) -> Option<SectionAgent> {
        let external = matches!(method, Method::External(_));
        if lookup.yes(&EXTERNALWEIGHT) == Some(true) {
            if external {
                return Some(SectionAgent::ExitStatus);
            }
            let hint = "it is for checktype=external";
            let what = "this checktype";
            self.makes_no_sense(section, lookup, (&EXTERNALWEIGHT, "yes"), what, hint);
        }
        let command = lookup.text(&AGENTCOMMAND);
        let port = lookup.number(&AGENTPORT).and_then(|port| u16::try_from(port).ok());
        let nothing = "the agent is asked after a check, and there is none";
        let is_checked = match method {
            Method::Fixed(CheckMethod::On | CheckMethod::Off) => Err("checktype=on and off"),
            Method::Negotiate { exchange, .. } if exchange.service == Service::None => {
                Err("service=none")
            }
            _ => Ok(()),
        };
        let port_text = port.map(|port| port.to_string());
        let no_sense = match (command, port, is_checked) {
            (None, None, _) => return None,
            (Some(command), _, Err(what)) => (&AGENTCOMMAND, command, what, nothing),
            (Some(command), Some(_), Ok(())) => {
                (&AGENTCOMMAND, command, "a section with agentport", "a server has one agent")
            }
            (Some(command), None, Ok(())) => {
                let found = Found::After(section.end);
                let user = self.command_user(lookup, &CHECKCOMMANDUSER, found);
                return Some(SectionAgent::Command(Program { command: command.to_owned(), user }));
            }
            // They run in the director itself, which speaks to no server.
            (None, Some(_), Ok(())) if external || matches!(method, Method::ExternalPerl(_)) => {
                let port = port_text.as_deref().unwrap_or_default();
                (&AGENTPORT, port, "external checks", "use externalweight or agentcommand")
            }
            (None, Some(port), Ok(())) => return Some(SectionAgent::Port(port)),
            (None, Some(_), Err(what)) => {
                (&AGENTPORT, port_text.as_deref().unwrap_or_default(), what, nothing)
            }
        };
        let (row, written, what, hint) = no_sense;
        self.makes_no_sense(section, lookup, (row, written), what, hint);
        None
    }

    fn check_source(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        method: &Method,
    ) -> Option<CheckSource> {
        let written = lookup.text(&CHECKFROM)?;
        let place = lookup.place(&CHECKFROM)?;
        let found = Found::After(section.end);
        let source = match written.parse() {
            Ok(address) => CheckSource::Address(address),
            Err(_) if is_interface_name(written) => CheckSource::Interface(written.to_owned()),
            Err(_) => {
                let text = format!("{}: {written}", CHECKFROM.error);
                let hint = "it is an address of this machine, or an interface";
                self.diagnostics.error(found, place, text).hint(hint);
                return None;
            }
        };
        let (word, hint) = match (method, &source) {
            (Method::External(_), _) => ("checktype=external", "the program itself chooses"),
            (Method::ExternalPerl(_), _) => {
                ("checktype=external-perl", "the script itself chooses")
            }
            (Method::Fixed(CheckMethod::Ping { .. }), CheckSource::Address(_)) => {
                ("checktype=ping", "name the interface: a ping can be bound to nothing else")
            }
            _ => return Some(source),
        };
        self.makes_no_sense(section, lookup, (&CHECKFROM, &source.to_string()), word, hint);
        None
    }

    fn check_path(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        address: ServiceAddress,
        method: &Method,
    ) -> Option<IpAddr> {
        let through_service = lookup.word(&CHECKPATH) == Some("service");
        let place = lookup.place(&CHECKPATH).filter(|_| through_service)?;
        let (word, hint) = match method {
            Method::External(_) => ("checktype=external", "the program itself chooses"),
            Method::ExternalPerl(_) => ("checktype=external-perl", "the script itself chooses"),
            Method::Fixed(CheckMethod::Ping { .. }) => ("checktype=ping", "ip_vs forwards no ping"),
            Method::Negotiate { exchange, .. } if exchange.service == Service::Oracle => {
                ("service=oracle", "its library chooses")
            }
            Method::Negotiate { .. } | Method::Fixed(_) => {
                let ServiceAddress::Address { address, .. } = address else {
                    let text = format!("{}: a firewall mark is no address", CHECKPATH.name);
                    self.diagnostics
                        .error(Found::After(section.end), place, text)
                        .hint("checks through a service need its address");
                    return None;
                };
                return Some(address.ip());
            }
        };
        self.makes_no_sense(section, lookup, (&CHECKPATH, "service"), word, hint);
        None
    }

    /// Refuses a directive that does not go with the check; a global one is for whom it may concern.
    pub(super) fn makes_no_sense(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        (row, value): (&'static Row, &str),
        word: &str,
        hint: &'static str,
    ) {
        if let Some(directive) = lookup.own(row) {
            let text = format!("{} {value} makes no sense for {word}", row.name);
            let found = Found::After(section.end);
            self.diagnostics.error(found, &directive.place, text).hint(hint);
        }
    }

    fn method(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        address: ServiceAddress,
        service: Service,
    ) -> Method {
        let attempts = lookup.count(&CHECKCOUNT).unwrap_or(1);
        let word = match lookup.directive(&CHECKTYPE).map(|directive| &directive.value) {
            Some(Value::Number(connects)) => {
                let connects = u32::try_from(*connects).unwrap_or(u32::MAX);
                let exchange = self.exchange(section, lookup, address, service);
                return Method::Negotiate { exchange, connects: Some(connects) };
            }
            Some(Value::Word(word)) => *word,
            _ => "negotiate",
        };
        let found = Found::After(section.end);
        if !matches!(word, "external" | "external-perl")
            && lookup.own(&AGENTCOMMAND).is_none()
            && let Some(directive) = lookup.own(&CHECKCOMMANDUSER)
        {
            let text = format!("{} makes no sense for checktype={word}", CHECKCOMMANDUSER.name);
            self.diagnostics
                .error(found, &directive.place, text)
                .hint("it is for external, external-perl and agentcommand");
        }
        if word != "negotiate" {
            for row in [&CHECKTLS, &CHECKPROXY] {
                let check = format!("checktype={word}");
                let hint = "it is for negotiate checks";
                let written = lookup.word(row).unwrap_or_default();
                self.makes_no_sense(section, lookup, (row, written), &check, hint);
            }
        }
        let mut program = || Program {
            command: lookup.text(&CHECKCOMMAND).unwrap_or(CHECKCOMMAND.default).to_owned(),
            user: self.command_user(lookup, &CHECKCOMMANDUSER, found),
        };
        match word {
            "on" => Method::Fixed(CheckMethod::On),
            "off" => Method::Fixed(CheckMethod::Off),
            "ping" => Method::Fixed(CheckMethod::Ping { attempts }),
            // compat: nothing can be connected to over udp, so it is a ping
            "connect" if transport(address) == Transport::Udp => {
                Method::Fixed(CheckMethod::Ping { attempts })
            }
            "connect" => Method::Fixed(CheckMethod::Connect),
            "external" => Method::External(program()),
            "external-perl" => Method::ExternalPerl(program()),
            _ => {
                let exchange = self.exchange(section, lookup, address, service);
                Method::Negotiate { exchange, connects: None }
            }
        }
    }

    /// Who a command is run as; an unknown user is reported.
    pub(super) fn command_user(
        &mut self,
        lookup: Lookup<'_, '_>,
        row: &'static Row,
        found: Found,
    ) -> Option<Arc<User>> {
        let name = lookup.text(row)?;
        let place = lookup.place(row)?;
        match self.resolver.user(name) {
            Ok(user) => Some(Arc::new(user)),
            Err(error) => {
                let text = format!("{}: {name}: {error}", row.error);
                self.diagnostics.error(found, place, text);
                None
            }
        }
    }

    /// The plan of one real server; the same for its whole range, but for the address.
    pub(super) fn real_server_checks<'s>(
        &mut self,
        section: &Section<'_>,
        checks: &'s SectionChecks,
        parsed: &Parsed<'_, '_>,
    ) -> RealServerChecks<'s> {
        let own = match (&checks.method, &parsed.options.strings) {
            // What is asked of a service of one's own is its definition's matter alone.
            (Method::Negotiate { exchange, .. }, Some((request, receive)))
                if checks.service != Service::Own =>
            {
                let found = Found::After(section.end);
                let place = &parsed.line.place;
                self.check_request(checks.service, request, place, found);
                let receive = self.pattern(checks.service, receive, place, found);
                let own = Exchange {
                    request: as_asked(checks.service, request),
                    request_is_own: true,
                    receive,
                    ..Exchange::clone(exchange)
                };
                Some(intern(&mut self.interned.exchanges, own))
            }
            _ => None,
        };
        RealServerChecks { checks, own }
    }

    pub(super) fn plan(
        &mut self,
        server: &RealServerChecks<'_>,
        address: SocketAddr,
        forwarding: ForwardingMethod,
    ) -> Arc<CheckPlan> {
        let checks = server.checks;
        let source = checks.from.clone().filter(|from| match from {
            CheckSource::Address(from) => from.is_ipv4() == address.is_ipv4(),
            CheckSource::Interface(_) => true,
        });
        let own_port = Some(address.port()).filter(|port| *port > 0);
        let path = self.path(checks, address, forwarding);
        let virtual_port = path.as_ref().map(|_| checks.address.port());
        let port = checks.check_port.or(own_port).or(checks.default_port).or(virtual_port);
        let plan = CheckPlan {
            address: address.ip(),
            port: port.unwrap_or(0),
            way: Way { source, path },
            check_timeout: checks.check_timeout,
            negotiate_timeout: checks.negotiate_timeout,
            method: server.method(address),
            agent: server.agent(address),
        };
        intern(&mut self.interned.plans, plan)
    }

    /// Of `masq`, the way to the server's own address is the way of the service.
    fn path(
        &mut self,
        checks: &SectionChecks,
        server: SocketAddr,
        forwarding: ForwardingMethod,
    ) -> Option<ServicePath> {
        let address = checks.path.filter(|_| forwarding != ForwardingMethod::Masq)?;
        let key = format!("{} {server} {forwarding}", checks.address.id());
        let mut mark = ServicePath::mark_of(&key);
        while self.marks.get(&mark).is_some_and(|other| *other != key) {
            mark = if mark == *MARKS.end() { *MARKS.start() } else { mark + 1 };
        }
        self.marks.insert(mark, key);
        Some(ServicePath { address, server: server.ip(), forwarding, mark })
    }
}

/// The checks of the real servers of one line.
pub(super) struct RealServerChecks<'s> {
    checks: &'s SectionChecks,
    own: Option<Arc<Exchange>>,
}

impl RealServerChecks<'_> {
    fn agent(&self, address: SocketAddr) -> Option<Agent> {
        Some(match self.checks.agent.as_ref()? {
            SectionAgent::Port(port) => Agent::Port(*port),
            SectionAgent::Command(program) => Agent::Command(self.script(program, address)),
            SectionAgent::ExitStatus => Agent::ExitStatus,
        })
    }

    fn method(&self, address: SocketAddr) -> CheckMethod {
        match &self.checks.method {
            Method::Fixed(method) => method.clone(),
            Method::External(program) => CheckMethod::External(self.script(program, address)),
            Method::ExternalPerl(program) => {
                CheckMethod::ExternalPerl(self.script(program, address))
            }
            Method::Negotiate { exchange, connects } => {
                let exchange = self.own.as_ref().unwrap_or(exchange).clone();
                match *connects {
                    None => CheckMethod::Negotiate(exchange),
                    Some(connects) => {
                        CheckMethod::Combined { connects, transport: exchange.transport, exchange }
                    }
                }
            }
        }
    }

    fn script(&self, program: &Program, real: SocketAddr) -> Script {
        let (virtual_address, virtual_port) = match self.checks.address {
            ServiceAddress::Address { address, .. } => (bracketed(address.ip()), address.port()),
            ServiceAddress::Fwmark { mark, .. } => (mark.to_string(), 0),
        };
        Script {
            command: program.command.clone(),
            user: program.user.clone(),
            arguments: [
                virtual_address,
                virtual_port.to_string(),
                bracketed(real.ip()),
                real.port().to_string(),
            ],
        }
    }
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// What the kernel takes for one (`dev_valid_name`).
fn is_interface_name(text: &str) -> bool {
    (1..16).contains(&text.len())
        && !matches!(text, "." | "..")
        && text.bytes().all(|byte| byte.is_ascii_graphic() && !b"/:".contains(&byte))
}

pub(super) fn transport(address: ServiceAddress) -> Transport {
    match address {
        ServiceAddress::Address { protocol: Protocol::Udp, .. } => Transport::Udp,
        _ => Transport::Tcp,
    }
}

/// compat: each of the two timeouts stands in for the other, the section's before the global one.
fn timeouts(lookup: Lookup<'_, '_>) -> (Duration, Duration) {
    let own = |row| lookup.own(row).and_then(super::lookup::seconds);
    let global = |row| lookup.global(row).and_then(super::lookup::seconds);
    let effective = |row, other, default| {
        own(row)
            .or_else(|| own(other))
            .or_else(|| global(row))
            .or_else(|| global(other))
            .unwrap_or(Duration::from_secs(default))
    };
    (
        effective(&CHECKTIMEOUT, &NEGOTIATETIMEOUT, 5),
        effective(&NEGOTIATETIMEOUT, &CHECKTIMEOUT, 30),
    )
}
