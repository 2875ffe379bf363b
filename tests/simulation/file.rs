//! The configuration as the administrator writes it: a model that is edited at random.

use crate::random::Random;
use ldirectord::model::{
    Agent, AlertPolicy, CheckMethod, CheckPlan, Exchange, Fallback, FallbackCommand,
    FallbackMinimum, ForwardingMethod, Model, Netmask, Persistence, Protocol, RealServer, Script,
    Service, ServiceAddress, Settings, Thresholds, Transport, VirtualService,
};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Real servers there are; more services share them than have their own.
const SERVERS: usize = 6;

/// How the directives of a history are chosen.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) services: usize,
    pub(crate) servers: usize,
    /// Fallback servers of a service, at most.
    pub(crate) fallbacks: usize,
}

/// The services that a configuration may have.
pub(crate) fn service_address(number: usize) -> ServiceAddress {
    let at = |protocol, text: &str| ServiceAddress::Address {
        protocol,
        address: text.parse().expect("an address"),
    };
    match number {
        0 => at(Protocol::Tcp, "10.0.0.1:80"),
        1 => at(Protocol::Tcp, "10.0.0.2:80"),
        2 => at(Protocol::Udp, "10.0.0.1:53"),
        3 => ServiceAddress::Fwmark { family: ldirectord::model::Family::Inet, mark: 7 },
        4 => at(Protocol::Tcp, "10.0.0.3:81"),
        more => at(Protocol::Tcp, &format!("10.0.1.{more}:80")),
    }
}

fn server_address(r: &mut Random) -> SocketAddr {
    let octet = u8::try_from(1 + r.below(SERVERS)).expect("a few");
    SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 1, 0, octet)), r.pick(&[80, 80, 80, 81]))
}

/// What a plan is called in the world: the server and the kind of check. Below [`TARGETS`].
pub(crate) fn target(plan: &CheckPlan) -> usize {
    let octet = match plan.address {
        IpAddr::V4(address) => usize::from(address.octets()[3]),
        IpAddr::V6(address) => usize::from(address.octets()[15]),
    };
    let kind = match &plan.method {
        CheckMethod::On => 0,
        CheckMethod::Off => 1,
        CheckMethod::Connect => 2,
        CheckMethod::Ping { .. } => 3,
        CheckMethod::External(_) => 4,
        CheckMethod::ExternalPerl(_) => 5,
        CheckMethod::Negotiate(exchange) if exchange.request == "/a" => 6,
        CheckMethod::Negotiate(_) => 7,
        CheckMethod::Combined { .. } => 2,
    };
    octet % (SERVERS + 2) * 8 + kind
}

/// How many [`target`]s there are.
pub(crate) const TARGETS: usize = (SERVERS + 2) * 8;

fn exchange(request: &str) -> Arc<Exchange> {
    Arc::new(Exchange { request: request.to_owned(), ..Exchange::new(Service::Http) })
}

fn method(r: &mut Random) -> CheckMethod {
    let script = Script { command: "/bin/check".into(), arguments: Default::default(), user: None };
    match r.below(20) {
        0..9 => CheckMethod::Connect,
        9..12 => CheckMethod::Negotiate(exchange("/a")),
        12..14 => CheckMethod::Negotiate(exchange("/b")),
        14 => CheckMethod::External(script),
        15 => CheckMethod::Ping { attempts: 2 },
        16..18 => CheckMethod::Combined {
            connects: 2,
            transport: Transport::Tcp,
            exchange: exchange("/a"),
        },
        18 => CheckMethod::On,
        _ => CheckMethod::Off,
    }
}

fn plan(address: SocketAddr, method: CheckMethod, r: &mut Random) -> Arc<CheckPlan> {
    let check_timeout = Duration::from_secs(r.pick(&[2, 2, 2, 2, 5]));
    let agent = match method {
        CheckMethod::On | CheckMethod::Off => None,
        _ => r.chance(25).then_some(Agent::Port(8042)),
    };
    Arc::new(CheckPlan {
        agent,
        check_timeout,
        negotiate_timeout: Duration::from_secs(3),
        ..CheckPlan::new(address, method)
    })
}

fn forwarding(r: &mut Random) -> ForwardingMethod {
    use ForwardingMethod::{Gate, Ipip, Masq};
    r.pick(&[Gate, Masq, Masq, Masq, Ipip])
}

fn server(r: &mut Random) -> RealServer {
    let address = server_address(r);
    let method = method(r);
    RealServer {
        address,
        forwarding: forwarding(r),
        weight: r.pick(&[1, 1, 1, 2, 5, 0]),
        thresholds: Thresholds::default(),
        check: plan(address, method, r),
    }
}

fn fallback(r: &mut Random) -> Fallback {
    let address = if r.chance(15) {
        server_address(r)
    } else {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 80)
    };
    Fallback { address, forwarding: forwarding(r), weight: 1 }
}

/// One of several: of few addresses, so that some come twice, and some are real servers.
fn weighted_fallback(others: &[Fallback], r: &mut Random) -> Fallback {
    let address = if r.chance(40) {
        server_address(r)
    } else if let (Some(other), true) = (others.last(), r.chance(30)) {
        other.address
    } else {
        let last = r.pick(&[1, 2, 3]);
        SocketAddr::new(IpAddr::V4(Ipv4Addr::new(127, 0, 0, last)), r.pick(&[80, 80, 81]))
    };
    Fallback { address, forwarding: forwarding(r), weight: r.pick(&[1, 1, 2, 5, 0]) }
}

fn fallbacks(percent: usize, size: Size, r: &mut Random) -> Vec<Fallback> {
    let mut fallbacks: Vec<Fallback> = r.chance(percent).then(|| fallback(r)).into_iter().collect();
    if size.fallbacks > 1 {
        let more = r.below(size.fallbacks - fallbacks.len() + 1);
        for _ in 0..more {
            let new = weighted_fallback(&fallbacks, r);
            fallbacks.push(new);
        }
    }
    fallbacks
}

fn edit_fallbacks(fallbacks: &mut Vec<Fallback>, size: Size, r: &mut Random) {
    let change = if size.fallbacks > 1 && !fallbacks.is_empty() { r.below(6) } else { 0 };
    let at = if change == 0 { 0 } else { r.below(fallbacks.len()) };
    match change {
        0 => *fallbacks = self::fallbacks(60, size, r),
        1 => fallbacks.reverse(),
        2 => drop(fallbacks.remove(at)),
        3 => fallbacks[at] = weighted_fallback(&[], r),
        4 if fallbacks.len() < size.fallbacks => {
            let new = weighted_fallback(fallbacks, r);
            fallbacks.insert(at, new);
        }
        _ => fallbacks[at].weight = r.pick(&[0, 1, 2, 3, 5]),
    }
}

fn command(r: &mut Random) -> FallbackCommand {
    FallbackCommand {
        user: None,
        command: r.pick(&["/bin/a", "/bin/a", "/bin/a --fast", "/bin/b"]).to_owned(),
        retry: r.chance(40),
        timeout: Duration::from_secs(r.pick(&[5, 10, 20])),
    }
}

fn interval(r: &mut Random) -> Duration {
    Duration::from_secs(r.pick(&[1, 2, 2, 5, 10, 15]))
}

fn alert(r: &mut Random) -> AlertPolicy {
    AlertPolicy {
        to: vec!["root@localhost".to_owned()],
        frequency: r.chance(70).then(|| Duration::from_secs(r.pick(&[5, 20, 60]))),
        ..AlertPolicy::default()
    }
}

fn service(address: ServiceAddress, size: Size, r: &mut Random) -> VirtualService {
    let count = 1 + r.below(size.servers);
    let mut service = VirtualService {
        real_servers: (0..count).map(|_| server(r)).collect(),
        check_interval: interval(r),
        quiescent: r.chance(30),
        clean_stop: r.chance(80),
        fallbacks: fallbacks(50, size, r),
        fallback_command: r.chance(60).then(|| command(r)),
        fallback_command_on_stop: r.chance(30),
        fallback_hold_down: Duration::from_secs(r.pick(&[0, 0, 0, 3, 20])),
        failure_count: r.pick(&[1, 1, 1, 2, 3]),
        rise_count: r.pick(&[1, 1, 1, 2]),
        fast_interval: r.pick(&[None, None, Some(Duration::from_millis(300))]),
        slow_start: r.pick(&[None, None, None, Some(Duration::from_secs(5))]),
        reconcile: r.chance(30),
        ..VirtualService::new(address)
    };
    if r.chance(20) {
        service.alert = alert(r);
    }
    if r.chance(10) {
        service.monitor_file = Some("/monitor".into());
    }
    service
}

fn directory(r: &mut Random) -> Option<PathBuf> {
    match r.below(4) {
        0 => None,
        1 => Some("/other".into()),
        _ => Some("/maintenance".into()),
    }
}

/// What a history begins with.
pub(crate) fn first(size: Size, r: &mut Random) -> Model {
    let count = 1 + r.below(size.services);
    let settings = Settings {
        check_interval: interval(r),
        auto_reload: r.chance(40),
        callback: r.chance(10).then(|| "/callback".into()),
        maintenance_dir: directory(r),
        resolve_interval: resolve_interval(r),
        ..Settings::default()
    };
    let services = (0..count).map(|number| service(service_address(number), size, r)).collect();
    let mut model = Model { settings, services };
    number_lines(&mut model);
    model
}

fn resolve_interval(r: &mut Random) -> Option<Duration> {
    r.pick(&[None, None, Some(Duration::from_secs(5))])
}

/// Names that there are for the server that is followed, [`with_names`] of each.
pub(crate) const NAMES: u64 = 3;

/// A text as it is when the name of one server has these addresses: the one that is written, none of
/// those that serve here, or another one.
pub(crate) fn with_names(model: &Model, names: u64) -> Model {
    let mut model = model.clone();
    if model.settings.resolve_interval.is_none() {
        return model;
    }
    let followed = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 3));
    let other = IpAddr::V4(Ipv4Addr::new(10, 1, 0, 2));
    for service in &mut model.services {
        let is_followed = |real: &RealServer| real.address.ip() == followed;
        match names % NAMES {
            0 => {}
            1 => service.real_servers.retain(|real| !is_followed(real)),
            _ => {
                for real in service.real_servers.iter_mut().filter(|real| is_followed(real)) {
                    real.address.set_ip(other);
                    let check = CheckPlan::clone(&real.check);
                    real.check = Arc::new(CheckPlan { address: other, ..check });
                }
            }
        }
    }
    model
}

fn number_lines(model: &mut Model) {
    for (index, service) in model.services.iter_mut().enumerate() {
        service.origin = format!("line {}", 10 * (index + 1));
    }
}

fn free_address(model: &Model, size: Size, r: &mut Random) -> Option<ServiceAddress> {
    let start = r.below(size.services + 2);
    (0..size.services + 2)
        .map(|step| service_address((start + step) % (size.services + 2)))
        .find(|address| model.services.iter().all(|service| service.address != *address))
}

/// One change of the file.
pub(crate) fn edit(model: &mut Model, size: Size, r: &mut Random) {
    let kind = if size.fallbacks > 1 && r.chance(15) { 22 } else { r.below(41) };
    match kind {
        0..3 => {
            if model.services.len() < size.services + 1
                && let Some(address) = free_address(model, size, r)
            {
                let at = r.below(model.services.len() + 1);
                let new = service(address, size, r);
                model.services.insert(at, new);
            }
        }
        3..5 => {
            if !model.services.is_empty() {
                let at = r.below(model.services.len());
                model.services.remove(at);
            }
        }
        5..7 => model.services.reverse(),
        7 => {
            if model.services.len() > 1 {
                let keep = r.below(model.services.len());
                model.services = vec![model.services.swap_remove(keep)];
            }
        }
        8 => model.services.clear(),
        9 => model.settings.maintenance_dir = directory(r),
        10 if r.chance(50) => model.settings.resolve_interval = resolve_interval(r),
        10 => model.settings.auto_reload = !model.settings.auto_reload,
        11 => model.settings.check_interval = interval(r),
        12 => {
            let readd = r.chance(50);
            model.services.iter_mut().for_each(|service| service.readd_quiescent = readd);
        }
        13 => {
            model.settings.callback = r.chance(50).then(|| "/callback".into());
        }
        _ => {
            if model.services.is_empty() {
                return;
            }
            let at = r.below(model.services.len());
            if kind == 14 {
                if let Some(address) = free_address(model, size, r) {
                    model.services[at].address = address;
                }
            } else {
                edit_service(&mut model.services[at], kind, size, r);
            }
        }
    }
    number_lines(model);
}

fn edit_service(service: &mut VirtualService, kind: usize, size: Size, r: &mut Random) {
    match kind {
        15 => service.scheduler = r.pick(&["rr", "wrr", "lc"]).to_owned(),
        16 => {
            let netmask = Netmask::Inet(Ipv4Addr::BROADCAST);
            service.persistence = r.chance(50).then_some(Persistence { timeout: 600, netmask });
        }
        17 => service.quiescent = !service.quiescent,
        18 => service.clean_stop = !service.clean_stop,
        19 => service.failure_count = r.pick(&[1, 2, 3]),
        20 => {
            service.rise_count = r.pick(&[1, 2]);
            service.slow_start = r.pick(&[None, Some(Duration::from_secs(3))]);
        }
        21 => {
            service.check_interval = interval(r);
            service.fast_interval = r.pick(&[None, Some(Duration::from_millis(500))]);
        }
        22 => edit_fallbacks(&mut service.fallbacks, size, r),
        23..25 => service.fallback_command = r.chance(75).then(|| command(r)),
        25 => {
            service.fallback_minimum = match r.below(3) {
                0 => FallbackMinimum::Percent(60),
                _ => FallbackMinimum::Count(r.pick(&[1, 2])),
            }
        }
        26 => service.fallback_hold_down = Duration::from_secs(r.pick(&[0, 3, 20])),
        27 => service.fallback_command_on_stop = !service.fallback_command_on_stop,
        28 => {
            if let Some(command) = &mut service.fallback_command {
                command.retry = !command.retry;
            }
        }
        29 => {
            if let Some(command) = &mut service.fallback_command {
                command.timeout = Duration::from_secs(r.pick(&[5, 10, 20]));
            }
        }
        30 => service.reconcile = !service.reconcile,
        31 => service.monitor_file = r.chance(50).then(|| "/monitor".into()),
        32 => service.alert = if r.chance(50) { alert(r) } else { AlertPolicy::default() },
        33..=35 if service.real_servers.len() <= size.servers => {
            let new = server(r);
            // The same address a second time, now and then.
            let address = match service.real_servers.first() {
                Some(first) if r.chance(15) => first.address,
                _ => new.address,
            };
            let check = plan(address, new.check.method.clone(), r);
            let at = r.below(service.real_servers.len() + 1);
            service.real_servers.insert(at, RealServer { address, check, ..new });
        }
        36 => service.real_servers.reverse(),
        _ => {
            if service.real_servers.is_empty() {
                return;
            }
            let at = r.below(service.real_servers.len());
            let real = &mut service.real_servers[at];
            match kind {
                33..=35 => {
                    service.real_servers.remove(at);
                }
                37 => real.weight = r.pick(&[0, 1, 2, 5]),
                38 => {
                    real.address = server_address(r);
                    real.check = plan(real.address, real.check.method.clone(), r);
                }
                39 => {
                    let method = method(r);
                    real.check = plan(real.address, method, r);
                }
                _ => {
                    real.forwarding = forwarding(r);
                    real.thresholds.upper = r.pick(&[0, 100]);
                }
            }
        }
    }
}
