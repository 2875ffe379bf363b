//! What operators have said of servers, as the oracle understands it.

use crate::expect::Verdict;
use crate::file;
use crate::life::Watched;
use crate::random::Random;
use crate::world::{Micros, SECOND};
use ldirectord::director::Override;
use ldirectord::model::{ServiceAddress, VirtualService};
use ldirectord::runtime::{Change, Command};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

/// One that is in force.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Order {
    scope: Scope,
    what: Override,
    /// By the clock on the wall.
    since: u64,
    length: Option<u64>,
    until: Option<Micros>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Scope {
    service: Option<ServiceAddress>,
    server: Option<(IpAddr, Option<u16>)>,
}

impl Scope {
    fn covers(&self, service: ServiceAddress, server: SocketAddr) -> bool {
        self.service.is_none_or(|it| it == service)
            && self.server.is_none_or(|(ip, port)| {
                ip == server.ip() && port.is_none_or(|port| port == server.port())
            })
    }

    fn is_within(&self, other: &Self) -> bool {
        (other.service.is_none() || other.service == self.service)
            && match (other.server, self.server) {
                (None, _) => true,
                (Some(_), None) => false,
                (Some((ip, port)), Some(own)) => ip == own.0 && (port.is_none() || port == own.1),
            }
    }
}

/// All that are in force, oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Orders(Vec<Order>);

impl Orders {
    /// Whether a server is disabled, and its weight in place of the configured one.
    pub(crate) fn of(&self, service: ServiceAddress, server: SocketAddr) -> (bool, Option<u32>) {
        let all = || self.0.iter().filter(|order| order.scope.covers(service, server));
        let weight = all().rev().find_map(|order| match order.what {
            Override::Drain => Some(0),
            Override::Weight(weight) => Some(weight),
            Override::Disable => None,
        });
        (all().any(|order| order.what == Override::Disable), weight)
    }

    /// When the first of them ends.
    pub(crate) fn next_end(&self) -> Option<Micros> {
        self.0.iter().filter_map(|order| order.until).min()
    }

    pub(crate) fn end(&mut self, now: Micros) {
        self.0.retain(|order| order.until.is_none_or(|until| until > now));
    }

    /// What is left of them after a restart; `wall` in microseconds since the epoch.
    pub(crate) fn again(&self, now: Micros, wall: Micros) -> Self {
        let orders = self.0.iter().filter_map(|order| {
            let Some(length) = order.length else { return Some(order.clone()) };
            let passed = wall.saturating_sub(order.since * SECOND);
            let left = (length * SECOND).checked_sub(passed).filter(|left| *left > 0)?;
            Some(Order { until: Some(now + left), ..order.clone() })
        });
        Self(orders.collect())
    }

    /// Takes a command. Tells whether it must be accepted; `None` if that does not matter.
    pub(crate) fn apply(
        &mut self,
        command: &Command,
        services: &[Watched],
        now: Micros,
        wall: Micros,
    ) -> Option<bool> {
        let Some(scope) = scope(command, services) else { return Some(false) };
        let what = match command.change {
            Change::Enable => {
                let before = self.0.len();
                self.0.retain(|order| !order.scope.is_within(&scope));
                return (self.0.len() < before).then_some(true);
            }
            Change::Set(what) => what,
        };
        let takes_out = matches!(what, Override::Drain | Override::Disable | Override::Weight(0));
        let loses_all = |service: &Watched| {
            let address = service.service.address;
            let servers = service.service.real_servers.iter();
            let mut serving = servers
                .zip(service.effective().1)
                .filter(|(_, verdict)| verdict.serves())
                .peekable();
            serving.peek().is_some() && serving.all(|(real, _)| scope.covers(address, real.address))
        };
        if takes_out && scope.server.is_some() && !command.force && services.iter().any(loses_all) {
            return Some(false);
        }
        self.0.retain(|order| order.scope != scope);
        let length = command.length.map(|length| length.as_secs());
        let until = length.map(|length| now + length * SECOND);
        self.0.push(Order { scope, what, since: wall / SECOND, length, until });
        Some(true)
    }
}

fn scope(command: &Command, services: &[Watched]) -> Option<Scope> {
    let known = |id: &str| services.iter().map(|it| it.service.address).find(|it| it.id() == id);
    let service = match &command.service {
        None => None,
        Some(id) => Some(known(id)?),
    };
    let server = match command.target.parse::<SocketAddr>() {
        Ok(address) => (address.ip(), Some(address.port())),
        Err(_) => match command.target.parse() {
            Ok(ip) => (ip, None),
            Err(_) => return Some(Scope { service: Some(known(&command.target)?), server: None }),
        },
    };
    let scope = Scope { service, server: Some(server) };
    let covers = |service: &Watched| {
        let real_servers = &service.service.real_servers;
        real_servers.iter().any(|real| scope.covers(service.service.address, real.address))
    };
    services.iter().any(covers).then_some(scope)
}

/// A command at random; most name something that there is.
pub(crate) fn command(r: &mut Random) -> Command {
    let change = match r.below(8) {
        0..3 => Change::Set(Override::Drain),
        3..5 => Change::Set(Override::Disable),
        5 => Change::Set(Override::Weight(u32::try_from(r.below(4)).expect("small"))),
        _ => Change::Enable,
    };
    let service = |r: &mut Random| file::service_address(r.below(5)).id();
    let target = match r.below(6) {
        0 => service(r),
        1..3 => format!("10.1.0.{}", 1 + r.below(6)),
        _ => format!("10.1.0.{}:80", 1 + r.below(6)),
    };
    let is_server = target.starts_with("10.");
    Command {
        change,
        service: (is_server && r.chance(30)).then(|| service(r)),
        target,
        length: r.chance(40).then(|| Duration::from_secs(1 + r.below(30) as u64)),
        force: r.chance(50),
        by: "root".to_owned(),
        reason: String::new(),
    }
}

impl Watched {
    /// The service and its verdicts with what operators have said, else agents: another weight, or drained.
    pub(crate) fn effective(&self) -> (VirtualService, Vec<Verdict>) {
        let mut service = self.service.clone();
        let mut verdicts = self.verdicts.clone();
        for (index, (said, agent)) in self.weights.iter().zip(&self.agents).enumerate() {
            match said.or(*agent) {
                None => {}
                Some(0) if verdicts[index].serves() => verdicts[index] = Verdict::Drained,
                Some(weight) => service.real_servers[index].weight = weight,
            }
        }
        (service, verdicts)
    }

    /// Whether a weight may rise: any one on the way is right, and what is owed or was changed by
    /// somebody else is not seen.
    pub(crate) fn rises(&self, now: Micros) -> bool {
        self.service.slow_start.is_some() && now <= self.rises_until
    }
}
