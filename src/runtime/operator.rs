//! What operators have said of real servers by command: drained, disabled, another weight. Pure.
//!
//! It survives reload and restart by its state file, and ends by itself if a time was given. A time is
//! counted by the clock that never jumps; over a restart what is left of it is taken from the clock on
//! the wall, but never more than was asked for.

use super::input::Now;
use crate::director::{Director, Override, Scope, ServerName, ServiceState};
use crate::model::ServiceAddress;
use serde::{Deserialize, Serialize};
use std::fmt::Write;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

/// More entries than any operator sets by hand; a script that never enables again ends here.
const MOST: usize = 1000;

/// The largest weight, as in the configuration.
pub const LARGEST_WEIGHT: u32 = 65_535;

/// A command about real servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Command {
    /// What shall become of them.
    pub change: Change,
    /// A real server, `10.0.0.2:80` or `10.0.0.2` for all its ports, or a virtual service.
    pub target: String,
    /// Only in this virtual service, as `status` names it: `10.0.0.1:80`, `tcp:10.0.0.1:80`, `7`, `fwm:7`.
    pub service: Option<String>,
    /// Until it ends by itself.
    pub length: Option<Duration>,
    /// Whether a service may be left without any server.
    pub force: bool,
    /// Who says so.
    pub by: String,
    /// Why; may be empty.
    pub reason: String,
}

/// What an operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Change {
    /// From now on.
    Set(Override),
    /// No more: as the configuration says.
    Enable,
}

impl Change {
    fn verb(self) -> String {
        match self {
            Self::Set(Override::Drain) => "drain".to_owned(),
            Self::Set(Override::Disable) => "disable".to_owned(),
            Self::Set(Override::Weight(weight)) => format!("weight {weight}"),
            Self::Enable => "enable".to_owned(),
        }
    }
}

/// An override in force, as the state file keeps it: one JSON object a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Line {
    /// The service's id; `None` for all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    service: Option<String>,
    /// The real server; `None` for all of the service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    server: Option<String>,
    /// `drain`, `disable` or `weight`.
    what: What,
    /// The weight.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    weight: Option<u32>,
    /// Since when, in seconds since the epoch.
    since: u64,
    /// After how many seconds it ends.
    #[serde(default, rename = "for", skip_serializing_if = "Option::is_none")]
    seconds: Option<u64>,
    by: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    reason: String,
}

impl Line {
    /// The line, without its newline.
    pub fn json(&self) -> String {
        serde_json::to_string(self).expect("strings, words and numbers always have a JSON form")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum What {
    Drain,
    Disable,
    Weight,
}

/// An override in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) scope: Scope,
    pub(super) what: Override,
    pub(super) since: SystemTime,
    pub(super) length: Option<Duration>,
    until: Option<Instant>,
    pub(super) by: String,
    pub(super) reason: String,
}

/// All overrides in force, oldest first.
#[derive(Debug, Default)]
pub(super) struct Operator {
    entries: Vec<Entry>,
}

impl Operator {
    /// What an earlier process has left; what has ended meanwhile is left out.
    pub(super) fn from_lines(lines: impl IntoIterator<Item = Line>, now: Now) -> Self {
        let entries = lines.into_iter().filter_map(|line| Entry::from_line(line, now));
        Self { entries: entries.take(MOST).collect() }
    }

    /// The state file's lines.
    pub(super) fn lines(&self) -> Vec<Line> {
        self.entries.iter().map(Entry::line).collect()
    }

    /// What the director is to know.
    pub(super) fn said(&self) -> Vec<(Scope, Override)> {
        self.entries.iter().map(|entry| (entry.scope, entry.what)).collect()
    }

    pub(super) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The entry that counts for a server: one that disables it, else the latest.
    pub(super) fn of(&self, service: ServiceAddress, server: SocketAddr) -> Option<&Entry> {
        let covering = || self.entries.iter().filter(|entry| entry.scope.covers(service, server));
        covering().rfind(|entry| entry.what == Override::Disable).or_else(|| covering().next_back())
    }

    /// When the next one ends by itself.
    pub(super) fn next_end(&self) -> Option<Instant> {
        self.entries.iter().filter_map(|entry| entry.until).min()
    }

    /// Takes out what has ended by itself.
    pub(super) fn take_ended(&mut self, now: Instant) -> Vec<Entry> {
        self.entries.extract_if(.., |entry| entry.until.is_some_and(|until| until <= now)).collect()
    }

    /// Carries a command out. Says what it means, in one line.
    ///
    /// # Errors
    /// When it names nothing that there is, or would leave a service without a server.
    pub(super) fn apply(
        &mut self,
        command: &Command,
        director: &Director,
        now: Now,
    ) -> Result<String, String> {
        let scopes = resolve(command, director)?;
        match command.change {
            Change::Enable => self.enable(command, &scopes, director),
            Change::Set(what) => self.set(what, command, &scopes, director, now),
        }
    }

    fn set(
        &mut self,
        what: Override,
        command: &Command,
        scopes: &[Scope],
        director: &Director,
        now: Now,
    ) -> Result<String, String> {
        if let Override::Weight(weight) = what
            && weight > LARGEST_WEIGHT
        {
            return Err(format!("the weight is at most {LARGEST_WEIGHT}"));
        }
        let takes_out = matches!(what, Override::Drain | Override::Disable | Override::Weight(0));
        // Who names a whole service means it.
        let spares = scopes.iter().all(|scope| scope.server.is_some()) && !command.force;
        if takes_out && spares {
            let left_alone = |state: &&ServiceState| loses_its_last(state, scopes);
            if let Some(state) = director.services().iter().find(left_alone) {
                return Err(format!(
                    "it is the last server of {} that serves; use --force to take it out",
                    state.address()
                ));
            }
        }
        let until = match command.length {
            Some(length) => Some(now.instant.checked_add(length).ok_or("the time is too long")?),
            None => None,
        };
        self.entries.retain(|entry| !scopes.contains(&entry.scope));
        if self.entries.len() + scopes.len() > MOST {
            return Err(format!("there are {MOST} overrides already; enable some servers first"));
        }
        self.entries.extend(scopes.iter().map(|&scope| Entry {
            scope,
            what,
            since: now.wall,
            length: command.length,
            until,
            by: command.by.clone(),
            reason: command.reason.clone(),
        }));
        Ok(self.words(command, scopes, director))
    }

    fn enable(
        &mut self,
        command: &Command,
        scopes: &[Scope],
        director: &Director,
    ) -> Result<String, String> {
        let before = self.entries.len();
        self.entries.retain(|entry| !scopes.iter().any(|scope| entry.scope.is_within(scope)));
        if self.entries.len() < before {
            return Ok(self.words(command, scopes, director));
        }
        let covers = |scope: &Scope, state: &ServiceState| {
            let address = state.address();
            let servers = state.service.real_servers.iter();
            servers.map(|real| real.address).find(|&server| scope.covers(address, server))
        };
        for state in director.services() {
            let Some(server) = scopes.iter().find_map(|scope| covers(scope, state)) else {
                continue;
            };
            if let Some(entry) = self.of(state.address(), server) {
                return Err(format!("{} as a whole is {}", entry.scope, entry.what_words()));
            }
            if director.overrides().maintenance.contains(&server) {
                return Err(format!("a file in maintenancedir keeps {server} out"));
            }
        }
        Ok(format!("{} is neither drained nor disabled", command.target))
    }

    /// What a command has come to, and what stands against it.
    fn words(&self, command: &Command, scopes: &[Scope], director: &Director) -> String {
        let (mut servers, mut services, mut other) = (0, 0, None);
        for state in director.services() {
            let address = state.address();
            let covered = state
                .service
                .real_servers
                .iter()
                .filter(|real| scopes.iter().any(|scope| scope.covers(address, real.address)));
            let mut count = 0;
            for real in covered {
                count += 1;
                if command.change == Change::Enable {
                    let left = self.of(address, real.address).map(Entry::what_words);
                    let file = director.overrides().maintenance.contains(&real.address);
                    let file = file.then(|| "kept out by a file in maintenancedir".to_owned());
                    other = other.or(left).or(file);
                }
            }
            servers += count;
            services += usize::from(count > 0);
        }
        let mut text = format!("{}: ", command.change.verb());
        let plural = |count: usize, word: &str| {
            format!("{count} {word}{}", if count == 1 { "" } else { "s" })
        };
        let _ = write!(
            text,
            "{} in {}",
            plural(servers, "real server"),
            plural(services, "virtual service")
        );
        if let Some(other) = other {
            let _ = write!(text, ", but still {other}");
        }
        text
    }
}

/// Whether a service serves now and would not any more without the servers of these scopes.
fn loses_its_last(state: &ServiceState, scopes: &[Scope]) -> bool {
    let address = state.address();
    let serving = state.service.real_servers.iter().zip(&state.servers);
    let mut serving = serving.filter(|(_, server)| server.serves()).peekable();
    serving.peek().is_some()
        && serving.all(|(real, _)| scopes.iter().any(|scope| scope.covers(address, real.address)))
}

/// What a command names: servers everywhere, servers of some services, or whole services.
fn resolve(command: &Command, director: &Director) -> Result<Vec<Scope>, String> {
    let target = command.target.as_str();
    let services = director.services();
    let named = |word: &str| -> Vec<ServiceAddress> {
        let addresses = services.iter().map(ServiceState::address);
        addresses.filter(|address| is_called(*address, word)).collect()
    };
    let server = server_name(target);
    let exists = |service: Option<ServiceAddress>, server: ServerName| {
        services.iter().any(|state| {
            service.is_none_or(|wanted| wanted == state.address())
                && state.service.real_servers.iter().any(|real| server.matches(real.address))
        })
    };
    if let Some(word) = &command.service {
        let server = server.ok_or_else(|| format!("{target} is no address of a real server"))?;
        let found = named(word);
        if found.is_empty() {
            return Err(format!("there is no virtual service {word}"));
        }
        let scopes: Vec<Scope> = found
            .into_iter()
            .filter(|&service| exists(Some(service), server))
            .map(|service| Scope { service: Some(service), server: Some(server) })
            .collect();
        if scopes.is_empty() {
            return Err(format!("{target} is no real server of {word}"));
        }
        return Ok(scopes);
    }
    let server = server.filter(|&server| exists(None, server));
    let found = named(target);
    match (server, found.as_slice()) {
        (Some(_), [_, ..]) => Err(format!(
            "{target} is a real server and a virtual service; name the service as tcp:, udp: or \
             fwm: or the server's service"
        )),
        (Some(server), []) => Ok(vec![Scope { service: None, server: Some(server) }]),
        (None, []) => Err(format!("there is no real server or virtual service {target}")),
        (None, found) => Ok(found
            .iter()
            .map(|&service| Scope { service: Some(service), server: None })
            .collect()),
    }
}

/// Whether somebody who says `word` may mean this service.
fn is_called(service: ServiceAddress, word: &str) -> bool {
    word == service.to_string() || word == service.id()
}

/// `10.0.0.2:80`, `10.0.0.2`, `[fd00::2]:80`, `[fd00::2]` or `fd00::2`.
fn server_name(text: &str) -> Option<ServerName> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some(ServerName { ip: address.ip(), port: Some(address.port()) });
    }
    let bare = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text);
    bare.parse::<IpAddr>().ok().map(|ip| ServerName { ip, port: None })
}

impl Entry {
    fn line(&self) -> Line {
        let (what, weight) = match self.what {
            Override::Drain => (What::Drain, None),
            Override::Disable => (What::Disable, None),
            Override::Weight(weight) => (What::Weight, Some(weight)),
        };
        Line {
            service: self.scope.service.map(ServiceAddress::id),
            server: self.scope.server.map(|server| server.to_string()),
            what,
            weight,
            since: self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs(),
            seconds: self.length.map(|length| length.as_secs()),
            by: self.by.clone(),
            reason: self.reason.clone(),
        }
    }

    /// `None` if it has ended, or makes no sense.
    fn from_line(line: Line, now: Now) -> Option<Self> {
        let service = match line.service {
            Some(id) => Some(ServiceAddress::from_id(&id)?),
            None => None,
        };
        let server = match line.server {
            Some(text) => Some(server_name(&text)?),
            None => None,
        };
        if service.is_none() && server.is_none() {
            return None;
        }
        let what = match (line.what, line.weight) {
            (What::Drain, None) => Override::Drain,
            (What::Disable, None) => Override::Disable,
            (What::Weight, Some(weight)) if weight <= LARGEST_WEIGHT => Override::Weight(weight),
            _ => return None,
        };
        let since = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(line.since))?;
        let length = line.seconds.map(Duration::from_secs);
        let until = match length {
            None => None,
            Some(length) => {
                // A clock that was set back does not make it longer.
                let passed = now.wall.duration_since(since).unwrap_or_default();
                let left = length.checked_sub(passed).filter(|left| !left.is_zero())?;
                Some(now.instant.checked_add(left)?)
            }
        };
        let scope = Scope { service, server };
        Some(Self { scope, what, since, length, until, by: line.by, reason: line.reason })
    }

    /// `drained by root: new disks`, for people.
    pub(super) fn what_words(&self) -> String {
        let what = match self.what {
            Override::Drain => "drained".to_owned(),
            Override::Disable => "disabled".to_owned(),
            Override::Weight(weight) => format!("at weight {weight}"),
        };
        match self.reason.as_str() {
            "" => format!("{what} by {}", self.by),
            reason => format!("{what} by {}: {reason}", self.by),
        }
    }

    /// When it ends by itself, by the clock on the wall as it is now.
    pub(super) fn end(&self, now: Now) -> Option<SystemTime> {
        self.until.and_then(|until| now.wall_at(until))
    }

    /// The line of the log when it has ended by itself.
    pub(super) fn ended(&self) -> String {
        format!("{} is no longer {}", self.scope, self.what_words())
    }
}

impl Command {
    /// The line of the log.
    pub(super) fn log(&self) -> String {
        let mut text = format!("operator {}: {} {}", self.by, self.change.verb(), self.target);
        if let Some(service) = &self.service {
            let _ = write!(text, " of {service}");
        }
        if let Some(length) = self.length {
            let _ = write!(text, " for {} s", length.as_secs());
        }
        if !self.reason.is_empty() {
            let _ = write!(text, " ({})", self.reason);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::CheckOutcome;
    use crate::director::{Checked, Event, HookState, Overrides};
    use crate::model::{
        CheckMethod, CheckPlan, ForwardingMethod, Model, Protocol, RealServer, Step, Thresholds,
    };
    use std::sync::Arc;

    fn address(protocol: Protocol, host: u8, port: u16) -> ServiceAddress {
        ServiceAddress::Address { protocol, address: ([10, 0, 0, host], port).into() }
    }

    fn service(address: ServiceAddress, hosts: &[u8]) -> crate::model::VirtualService {
        let real = |&host: &u8| {
            let plan = CheckPlan {
                check_timeout: Duration::from_secs(1),
                negotiate_timeout: Duration::from_secs(1),
                ..CheckPlan::new(([10, 1, 0, host], 80).into(), CheckMethod::Connect)
            };
            RealServer {
                address: ([10, 1, 0, host], 80).into(),
                forwarding: ForwardingMethod::Masq,
                weight: 1,
                thresholds: Thresholds::default(),
                check: Arc::new(plan),
            }
        };
        let real_servers = hosts.iter().map(real).collect();
        crate::model::VirtualService { real_servers, ..crate::model::VirtualService::new(address) }
    }

    /// 10.0.0.1:53 over tcp and udp, and 10.0.0.2:80; all servers are up.
    fn director(now: Now) -> Director {
        let services = vec![
            service(address(Protocol::Tcp, 1, 53), &[2, 3]),
            service(address(Protocol::Udp, 1, 53), &[2]),
            service(address(Protocol::Tcp, 2, 80), &[2, 3]),
        ];
        let model = Model { services, ..Model::default() };
        let told = |_: &crate::model::VirtualService| HookState::default();
        let mut director = Director::new(&model, &(), Overrides::default(), told, now.instant);
        let checks: Vec<_> = director.checks().map(|(id, ..)| id).collect();
        for check in checks {
            let (run, step, outcome) = (0, Step::Full, CheckOutcome::up());
            let checked = Checked { check, run, step, outcome, duration: Duration::ZERO };
            director.handle(Event::Checked(checked), now.instant);
        }
        director
    }

    fn command(change: Change, target: &str, service: Option<&str>) -> Command {
        Command {
            change,
            target: target.to_owned(),
            service: service.map(str::to_owned),
            length: None,
            force: false,
            by: "root".to_owned(),
            reason: String::new(),
        }
    }

    const DRAIN: Change = Change::Set(Override::Drain);

    fn scopes(operator: &Operator) -> Vec<String> {
        operator.entries().iter().map(|entry| entry.scope.to_string()).collect()
    }

    #[test]
    fn a_command_names_servers_everywhere_in_a_service_or_a_service() {
        let now = Now::read();
        let director = director(now);
        type Case<'a> = (&'a str, Option<&'a str>, Result<&'a [&'a str], &'a str>);
        let cases: &[Case<'_>] = &[
            ("10.1.0.3:80", None, Ok(&["10.1.0.3:80"])),
            ("10.1.0.3", None, Ok(&["10.1.0.3"])),
            ("10.1.0.3", Some("10.0.0.2:80"), Ok(&["10.1.0.3 of tcp:10.0.0.2:80"])),
            ("10.1.0.3", Some("10.0.0.1:53"), Ok(&["10.1.0.3 of tcp:10.0.0.1:53"])),
            ("10.0.0.1:53", None, Ok(&["tcp:10.0.0.1:53", "udp:10.0.0.1:53"])),
            ("udp:10.0.0.1:53", None, Ok(&["udp:10.0.0.1:53"])),
            ("10.1.0.4", None, Err("there is no real server or virtual service 10.1.0.4")),
            ("10.1.0.3:81", None, Err("there is no real server or virtual service 10.1.0.3:81")),
            ("10.1.0.3", Some("7"), Err("there is no virtual service 7")),
            (
                "10.1.0.3",
                Some("udp:10.0.0.1:53"),
                Err("10.1.0.3 is no real server of udp:10.0.0.1:53"),
            ),
            ("web", Some("10.0.0.2:80"), Err("web is no address of a real server")),
        ];
        for (target, service, expected) in cases {
            let mut operator = Operator::default();
            let done = operator.apply(&command(DRAIN, target, *service), &director, now);
            match expected {
                Ok(expected) => {
                    assert!(done.is_ok(), "{target}: {done:?}");
                    assert_eq!(scopes(&operator), *expected);
                }
                Err(words) => assert_eq!(done, Err((*words).to_owned())),
            }
        }
    }

    #[test]
    fn the_last_server_of_a_service_is_taken_out_by_force_only() {
        let now = Now::read();
        let director = director(now);
        for change in [DRAIN, Change::Set(Override::Disable), Change::Set(Override::Weight(0))] {
            let mut operator = Operator::default();
            let mut last = command(change, "10.1.0.2:80", None);
            let refused = operator.apply(&last, &director, now).expect_err("it is the last one");
            assert!(refused.contains("last server of 10.0.0.1:53"), "{refused}");
            last.force = true;
            assert!(operator.apply(&last, &director, now).is_ok());
        }
        let mut operator = Operator::default();
        let heavy = command(Change::Set(Override::Weight(7)), "10.1.0.2:80", None);
        assert!(operator.apply(&heavy, &director, now).is_ok(), "it still serves");
        let whole = command(Change::Set(Override::Disable), "10.0.0.2:80", None);
        assert!(operator.apply(&whole, &director, now).is_ok(), "who names it means it");
    }

    #[test]
    fn enable_ends_what_is_within_and_says_what_is_left() {
        let now = Now::read();
        let director = director(now);
        let mut operator = Operator::default();
        for target in
            [command(DRAIN, "10.1.0.3", Some("10.0.0.2:80")), command(DRAIN, "10.1.0.3", None)]
        {
            operator.apply(&target, &director, now).expect("another one serves");
        }
        let enable = |operator: &mut Operator, target, service| {
            operator.apply(&command(Change::Enable, target, service), &director, now)
        };
        let done = enable(&mut operator, "10.1.0.3", Some("10.0.0.2:80")).expect("it was drained");
        assert!(done.ends_with("but still drained by root"), "{done}");
        let refused = enable(&mut operator, "10.1.0.3:80", None);
        assert_eq!(refused, Err("10.1.0.3 as a whole is drained by root".to_owned()));
        assert!(enable(&mut operator, "10.1.0.3", None).is_ok());
        assert_eq!(scopes(&operator), [""; 0]);
        let done = enable(&mut operator, "10.1.0.3", None);
        assert_eq!(done, Ok("10.1.0.3 is neither drained nor disabled".to_owned()));
    }

    #[test]
    fn the_same_servers_have_one_entry_the_latest() {
        let now = Now::read();
        let director = director(now);
        let mut operator = Operator::default();
        for change in [DRAIN, Change::Set(Override::Disable), Change::Set(Override::Weight(3))] {
            operator.apply(&command(change, "10.1.0.3", None), &director, now).expect("a change");
        }
        assert_eq!(operator.said().len(), 1);
        assert_eq!(operator.said()[0].1, Override::Weight(3));
    }

    #[test]
    fn a_time_ends_by_itself_and_over_a_restart_no_clock_makes_it_longer() {
        let now = Now::read();
        let director = director(now);
        let mut operator = Operator::default();
        let hour = Duration::from_secs(3600);
        let timed = Command { length: Some(hour), ..command(DRAIN, "10.1.0.3", None) };
        operator.apply(&timed, &director, now).expect("another one serves");
        assert_eq!(operator.next_end(), Some(now.instant + hour));
        assert_eq!(operator.take_ended(now.instant + hour / 2), []);
        let left = |wall: SystemTime| {
            let later = Now { wall, ..now };
            Operator::from_lines(operator.lines(), later).next_end().map(|end| end - now.instant)
        };
        let half = left(now.wall + hour / 2).expect("half is left");
        assert!(half <= hour / 2 + Duration::from_secs(1), "{half:?}");
        assert_eq!(left(now.wall - hour), Some(hour), "the clock was set back");
        assert_eq!(left(now.wall + 2 * hour), None, "it has ended meanwhile");
        assert_eq!(operator.take_ended(now.instant + hour).len(), 1);
        assert_eq!(operator.said(), []);
    }

    #[test]
    fn a_scope_is_within_another_that_covers_all_of_it() {
        let service = |port| Some(address(Protocol::Tcp, 1, port));
        let server = |host, port| Some(ServerName { ip: [10, 1, 0, host].into(), port });
        let scope = |service, server| Scope { service, server };
        let cases = [
            (scope(None, server(2, None)), scope(None, server(2, None)), true),
            (scope(None, server(2, Some(80))), scope(None, server(2, None)), true),
            (scope(None, server(2, Some(80))), scope(None, server(2, Some(80))), true),
            (scope(None, server(2, None)), scope(None, server(2, Some(80))), false),
            (scope(None, server(2, Some(81))), scope(None, server(2, Some(80))), false),
            (scope(None, server(3, Some(80))), scope(None, server(2, Some(80))), false),
            (scope(None, server(3, None)), scope(None, server(2, None)), false),
            (scope(service(80), server(2, None)), scope(None, server(2, None)), true),
            (scope(service(80), server(2, None)), scope(service(80), server(2, None)), true),
            (scope(service(80), server(2, None)), scope(service(81), server(2, None)), false),
            (scope(None, server(2, None)), scope(service(80), server(2, None)), false),
            (scope(service(80), server(2, None)), scope(service(80), None), true),
            (scope(service(80), None), scope(service(80), server(2, None)), false),
        ];
        for (one, other, is_within) in cases {
            assert_eq!(one.is_within(&other), is_within, "{one} within {other}");
        }
    }

    #[test]
    fn a_command_says_how_many_servers_and_services_it_is_about() {
        let now = Now::read();
        let director = director(now);
        for (change, target, words) in [
            (DRAIN, "10.1.0.3", "drain: 2 real servers in 2 virtual services"),
            (DRAIN, "10.0.0.2:80", "drain: 2 real servers in 1 virtual service"),
            (DRAIN, "udp:10.0.0.1:53", "drain: 1 real server in 1 virtual service"),
            (
                Change::Set(Override::Disable),
                "10.1.0.3:80",
                "disable: 2 real servers in 2 virtual services",
            ),
            (
                Change::Set(Override::Weight(7)),
                "10.1.0.2",
                "weight 7: 3 real servers in 3 virtual services",
            ),
        ] {
            let mut operator = Operator::default();
            let done = operator.apply(&command(change, target, None), &director, now);
            assert_eq!(done.as_deref(), Ok(words));
            let done = operator.apply(&command(Change::Enable, target, None), &director, now);
            let counted = words.split_once(": ").expect("a verb").1;
            assert_eq!(done, Ok(format!("enable: {counted}")));
        }
    }

    #[test]
    fn a_server_that_a_file_keeps_out_is_not_enabled_by_command() {
        let now = Now::read();
        let mut director = director(now);
        let files = std::collections::HashSet::from([([10, 1, 0, 3], 80).into()]);
        director.handle(Event::Overrides(Overrides::maintenance(files)), now.instant);
        let mut operator = Operator::default();
        let enable = command(Change::Enable, "10.1.0.3", None);
        let refused = operator.apply(&enable, &director, now);
        assert_eq!(refused, Err("a file in maintenancedir keeps 10.1.0.3:80 out".to_owned()));
        operator.apply(&command(DRAIN, "10.1.0.3", None), &director, now).expect("another serves");
        let done = operator.apply(&enable, &director, now).expect("it was drained");
        assert!(done.ends_with(", but still kept out by a file in maintenancedir"), "{done}");
    }

    #[test]
    fn the_largest_weight_is_taken_and_no_larger_one() {
        let now = Now::read();
        let director = director(now);
        let mut operator = Operator::default();
        let mut weigh = |weight| {
            let change = Change::Set(Override::Weight(weight));
            operator.apply(&command(change, "10.1.0.3", None), &director, now)
        };
        assert!(weigh(LARGEST_WEIGHT).is_ok());
        assert_eq!(weigh(LARGEST_WEIGHT + 1), Err("the weight is at most 65535".to_owned()));
    }

    #[test]
    fn there_are_no_more_overrides_than_may_be() {
        let now = Now::read();
        let director = director(now);
        let line = |host: usize| Line {
            service: None,
            server: Some(format!("10.{}.{}.9", host / 256, host % 256)),
            what: What::Drain,
            weight: None,
            since: 1,
            seconds: None,
            by: "root".to_owned(),
            reason: String::new(),
        };
        for (left, fits) in [(MOST - 1, true), (MOST, false), (MOST + 5, false)] {
            let mut operator = Operator::from_lines((0..left).map(line), now);
            assert_eq!(operator.entries().len(), left.min(MOST));
            let done = operator.apply(&command(DRAIN, "10.1.0.3", None), &director, now);
            assert_eq!(done.is_ok(), fits, "{left}: {done:?}");
        }
    }

    #[test]
    fn a_service_of_every_kind_is_kept_and_read_again() {
        use crate::model::Family;
        let now = Now::read();
        let mark = |family| ServiceAddress::Fwmark { family, mark: 7 };
        for service in [
            address(Protocol::Tcp, 1, 53),
            address(Protocol::Udp, 1, 53),
            mark(Family::Inet),
            mark(Family::Inet6),
        ] {
            assert_eq!(ServiceAddress::from_id(&service.id()), Some(service));
        }
        assert_eq!(ServiceAddress::from_id("sctp:10.0.0.1:53"), None);
        for what in [Override::Drain, Override::Disable, Override::Weight(LARGEST_WEIGHT)] {
            let scope = Scope { service: Some(mark(Family::Inet)), server: None };
            let (since, length) = (SystemTime::UNIX_EPOCH, None);
            let (by, reason) = ("root".to_owned(), "disks".to_owned());
            let entry = Entry { scope, what, since, length, until: None, by, reason };
            assert_eq!(Entry::from_line(entry.line(), now), Some(entry));
        }
    }

    #[test]
    fn of_several_overrides_the_one_that_disables_counts_else_the_latest() {
        let now = Now::read();
        let director = director(now);
        let (service, server) = (address(Protocol::Tcp, 2, 80), ([10, 1, 0, 3], 80).into());
        let mut operator = Operator::default();
        let counts = |operator: &Operator| operator.of(service, server).map(|it| it.what);
        assert_eq!(counts(&operator), None);
        for (what, target, of, expected) in [
            (Override::Weight(3), "10.1.0.3", None, Override::Weight(3)),
            (Override::Drain, "10.1.0.3:80", None, Override::Drain),
            (Override::Disable, "10.0.0.2:80", None, Override::Disable),
            (Override::Weight(4), "10.1.0.3", Some("10.0.0.2:80"), Override::Disable),
        ] {
            let change = command(Change::Set(what), target, of);
            operator.apply(&Command { force: true, ..change }, &director, now).expect("a change");
            assert_eq!(counts(&operator), Some(expected));
        }
    }

    #[test]
    fn the_log_says_who_wants_what_for_how_long_and_why() {
        let plain = command(DRAIN, "10.1.0.3", None);
        assert_eq!(plain.log(), "operator root: drain 10.1.0.3");
        let length = Some(Duration::from_secs(90));
        let service = Some("10.0.0.2:80".to_owned());
        let full = Command { service, length, reason: "new disks".to_owned(), ..plain };
        assert_eq!(full.log(), "operator root: drain 10.1.0.3 of 10.0.0.2:80 for 90 s (new disks)");
    }

    #[test]
    fn what_is_kept_is_read_again_and_nonsense_is_left_out() {
        let now = Now::read();
        let director = director(now);
        let mut operator = Operator::default();
        let of = command(Change::Set(Override::Weight(5)), "10.1.0.3:80", Some("10.0.0.2:80"));
        let reason = Command { reason: "new disks".to_owned(), ..of };
        operator.apply(&reason, &director, now).expect("a change");
        let line = operator.lines().remove(0);
        let read: Line = serde_json::from_str(&line.json()).expect("JSON");
        assert_eq!(read, line);
        let again = Operator::from_lines([read], now);
        assert_eq!(again.said(), operator.said());
        assert_eq!(again.lines(), operator.lines());
        for nonsense in [
            Line { service: None, server: None, ..line.clone() },
            Line { service: Some("tcp:x".into()), ..line.clone() },
            Line { server: Some("x".into()), ..line.clone() },
            Line { weight: None, ..line.clone() },
            Line { weight: Some(LARGEST_WEIGHT + 1), ..line.clone() },
            Line { since: u64::MAX, ..line.clone() },
        ] {
            assert_eq!(Operator::from_lines([nonsense.clone()], now).said(), [], "{nonsense:?}");
        }
    }
}
