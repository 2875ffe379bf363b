//! The director, event by event, and every short sequence of outcomes against a plain oracle.

use super::*;
use crate::check::{AgentAnswer, Failure, Note};
use crate::model::DestinationAddress;
use crate::model::{
    Fallback, FallbackCommand, FallbackMinimum, ForwardingMethod, HookArgument, Protocol,
    RealServer, Thresholds, VirtualService,
};
use std::collections::HashSet;
use std::time::Duration;

const VIP: &str = "10.0.0.1:80";
const FALLBACK: &str = "127.0.0.1:80";

fn vip() -> ServiceAddress {
    ServiceAddress::Address { protocol: Protocol::Tcp, address: VIP.parse().expect("an address") }
}

fn plan(host: u8, method: CheckMethod) -> Arc<CheckPlan> {
    Arc::new(CheckPlan {
        check_timeout: Duration::from_secs(1),
        negotiate_timeout: Duration::from_secs(1),
        ..CheckPlan::new(([10, 0, 0, host], 80).into(), method)
    })
}

fn real(host: u8) -> RealServer {
    RealServer {
        address: ([10, 0, 0, host], 80).into(),
        forwarding: ForwardingMethod::Masq,
        weight: 5,
        thresholds: Thresholds::default(),
        check: plan(host, CheckMethod::Connect),
    }
}

fn service(hosts: impl IntoIterator<Item = u8>) -> VirtualService {
    let real_servers = hosts.into_iter().map(real).collect();
    VirtualService { real_servers, ..VirtualService::new(vip()) }
}

fn command() -> FallbackCommand {
    FallbackCommand {
        command: "/bin/announce".to_owned(),
        retry: false,
        timeout: Duration::from_secs(60),
        user: None,
    }
}

/// A director with its clock and what has been wanted of it so far.
struct Bench {
    director: Director,
    now: Instant,
}

impl Bench {
    fn of(service: VirtualService) -> Self {
        Self::over(service, &(), None)
    }

    fn over(service: VirtualService, found: &dyn Found, told: Option<HookArgument>) -> Self {
        let model = Model { services: vec![service], ..Model::default() };
        let now = Instant::now();
        Self {
            director: Director::new(
                &model,
                found,
                Overrides::default(),
                |_| HookState::remembered(told),
                now,
            ),
            now,
        }
    }

    fn id(&self, host: u8) -> CheckId {
        let address = std::net::IpAddr::from([10, 0, 0, host]);
        let mut checks = self.director.checks();
        checks.find(|(_, plan, _)| plan.address == address).map(|(id, ..)| id).expect("a check")
    }

    fn outcome(&mut self, host: u8, outcome: CheckOutcome) -> Vec<Action> {
        let check = self.id(host);
        let (_, step) = self.director.due(check).unwrap_or((&plan(0, CheckMethod::On), Step::Full));
        let duration = Duration::ZERO;
        let event = Event::Checked(Checked { check, run: 0, step, outcome, duration });
        self.director.handle(event, self.now)
    }

    fn up(&mut self, host: u8) -> Vec<String> {
        words(&self.outcome(host, CheckOutcome::up()))
    }

    fn down(&mut self, host: u8) -> Vec<String> {
        words(&self.outcome(host, CheckOutcome::Down(Failure::Refused)))
    }

    fn health(&self, host: u8) -> &'static str {
        let address = ([10, 0, 0, host], 80).into();
        let state = &self.director.services()[0];
        let at = state.service.real_servers.iter().position(|real| real.address == address);
        state.servers[at.expect("a server")].health.word()
    }
}

/// Actions in short words: `serve 10.0.0.2:80 w5`, `hook start`, `soft 1/3`, transitions left out.
fn words(actions: &[Action]) -> Vec<String> {
    actions.iter().filter_map(word).collect()
}

fn word(action: &Action) -> Option<String> {
    Some(match action {
        Action::Destination(Change { destination, .. }) => {
            let role = match destination.role {
                Role::RealServer => "",
                Role::Fallback => "fallback ",
            };
            let listed = destination.listed;
            match destination.want {
                Want::Serve { weight } => format!("serve {role}{listed} w{weight}"),
                Want::Quiesce { relist: false } => format!("quiesce {role}{listed}"),
                Want::Quiesce { relist: true } => format!("quiesce or relist {role}{listed}"),
                Want::Absent => format!("remove {role}{listed}"),
                Want::AsFound => format!("leave {role}{listed}"),
            }
        }
        Action::Hook { argument, .. } => format!("hook {}", argument.word()),
        Action::Report(Report::SoftFailure { failures, limit, .. }) => {
            format!("soft {failures}/{limit}")
        }
        Action::Report(Report::SoftFailuresForgiven { .. }) => "forgiven".to_owned(),
        Action::Report(Report::Transition { .. }) => return None,
    })
}

#[test]
fn a_server_enters_the_table_with_its_first_passed_check_only() {
    let mut bench = Bench::of(service([2]));
    assert_eq!(bench.director.services()[0].wanted().destinations[0].want, Want::AsFound);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
    assert_eq!(bench.up(2), [""; 0]);
}

#[test]
fn the_failurecount_th_consecutive_failure_takes_a_server_out() {
    let mut bench = Bench::of(VirtualService { failure_count: 3, ..service([2]) });
    bench.up(2);
    assert_eq!(bench.down(2), ["soft 1/3"]);
    assert_eq!(bench.up(2), ["forgiven"]);
    assert_eq!(bench.down(2), ["soft 1/3"]);
    assert_eq!(bench.down(2), ["soft 2/3"]);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"]);
    assert_eq!(bench.down(2), [""; 0]);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
}

#[test]
fn a_quiescent_service_sets_weight_zero_and_lists_again_only_with_readdquiescent() {
    for (readd_quiescent, wanted) in
        [(false, "quiesce 10.0.0.2:80"), (true, "quiesce or relist 10.0.0.2:80")]
    {
        let quiescent = VirtualService { quiescent: true, readd_quiescent, ..service([2]) };
        let mut bench = Bench::of(quiescent);
        bench.up(2);
        assert_eq!(bench.down(2), [wanted]);
    }
}

#[test]
fn a_dead_server_returns_after_risecount_successes() {
    let mut bench = Bench::of(VirtualService { rise_count: 3, ..service([2]) });
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"], "the first verdict waits for nothing");
    bench.down(2);
    assert_eq!(bench.up(2), [""; 0]);
    assert_eq!(bench.down(2), [""; 0]);
    assert_eq!(bench.up(2), [""; 0]);
    assert_eq!(bench.up(2), [""; 0]);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
}

#[test]
fn a_check_hurries_while_a_verdict_is_open() {
    let second = Duration::from_secs(1);
    let hasty = VirtualService {
        failure_count: 2,
        rise_count: 2,
        fast_interval: Some(second),
        ..service([2])
    };
    let patient = VirtualService { fast_interval: None, ..hasty.clone() };
    let mut bench = Bench::of(hasty);
    let mut other = Bench::of(patient);
    let id = bench.id(2);
    assert_eq!(bench.director.hurry(id), None, "the first check is on its way");
    for (up, open) in [
        (true, false),
        (false, true),
        (true, false),
        (false, true),
        (false, false),
        (false, false),
        (true, true),
        (true, false),
    ] {
        for bench in [&mut bench, &mut other] {
            if up {
                bench.up(2)
            } else {
                bench.down(2)
            };
        }
        assert_eq!(bench.director.hurry(id), open.then_some(second));
        assert_eq!(other.director.hurry(id), None);
    }
}

#[test]
fn two_services_share_one_check_and_count_its_failures_once() {
    let other = ServiceAddress::Fwmark { family: crate::model::Family::Inet, mark: 7 };
    let first = VirtualService { failure_count: 2, ..service([2]) };
    let second = VirtualService { address: other, ..first.clone() };
    let model = Model { services: vec![first, second], ..Model::default() };
    let now = Instant::now();
    let mut bench = Bench {
        director: Director::new(&model, &(), Overrides::default(), |_| HookState::default(), now),
        now,
    };
    assert_eq!(bench.director.checks().count(), 1);
    assert_eq!(bench.up(2).len(), 2);
    assert_eq!(bench.down(2), ["soft 1/2", "soft 1/2"]);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80", "remove 10.0.0.2:80"]);
}

fn with_fallback(service: VirtualService) -> VirtualService {
    VirtualService { fallbacks: vec![local_fallback()], ..service }
}

fn local_fallback() -> Fallback {
    Fallback {
        address: FALLBACK.parse().expect("an address"),
        forwarding: ForwardingMethod::Gate,
        weight: 1,
    }
}

fn fallback(host: u8, port: u16, forwarding: ForwardingMethod, weight: u32) -> Fallback {
    Fallback { address: ([10, 0, 0, host], port).into(), forwarding, weight }
}

#[test]
fn the_fallback_serves_while_nobody_else_does() {
    let mut bench = Bench::of(with_fallback(service([2, 3])));
    let wanted = bench.director.services()[0].wanted();
    assert_eq!(wanted.destinations[2].want, Want::Serve { weight: 1 }, "before any verdict");
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5", "remove fallback 127.0.0.1:80"]);
    assert_eq!(bench.up(3), ["serve 10.0.0.3:80 w5"]);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"]);
    assert_eq!(bench.down(3), ["remove 10.0.0.3:80", "serve fallback 127.0.0.1:80 w1"]);
}

#[test]
fn a_fallback_that_is_also_a_real_server_does_not_remove_it() {
    let mut service = with_fallback(service([2, 3]));
    service.fallbacks = vec![fallback(2, 80, ForwardingMethod::Masq, 1)];
    let mut bench = Bench::of(service);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5", "serve 10.0.0.2:80 w5"]);
    bench.up(3);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"]);
    assert_eq!(bench.down(3), ["remove 10.0.0.3:80", "serve fallback 10.0.0.2:80 w1"]);
    assert_eq!(bench.up(3), ["serve 10.0.0.3:80 w5", "remove 10.0.0.2:80"]);
}

#[test]
fn several_fallbacks_come_and_go_together_each_with_its_weight() {
    use ForwardingMethod::{Gate, Masq};
    let fallbacks = vec![fallback(8, 80, Masq, 3), fallback(9, 80, Gate, 1)];
    let hooked = VirtualService { fallbacks, fallback_command: Some(command()), ..service([2, 3]) };
    let mut bench = Bench::of(hooked);
    let gone = ["remove fallback 10.0.0.8:80", "remove fallback 10.0.0.9:80"];
    assert_eq!(bench.up(2), [&["serve 10.0.0.2:80 w5"], &gone[..], &["hook stop"]].concat());
    assert_eq!(bench.up(3), ["serve 10.0.0.3:80 w5"]);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"]);
    let back = ["serve fallback 10.0.0.8:80 w3", "serve fallback 10.0.0.9:80 w1"];
    assert_eq!(bench.down(3), [&["remove 10.0.0.3:80"], &back[..], &["hook start"]].concat());
}

#[test]
fn of_fallbacks_with_one_listed_address_the_last_one_is_listed() {
    use ForwardingMethod::{Gate, Masq};
    // With gate, the port is the service's.
    let fallbacks =
        vec![fallback(8, 81, Gate, 3), fallback(9, 80, Masq, 2), fallback(8, 80, Gate, 7)];
    let mut bench = Bench::of(VirtualService { fallbacks, ..service([2]) });
    bench.up(2);
    assert_eq!(
        bench.down(2),
        ["remove 10.0.0.2:80", "serve fallback 10.0.0.9:80 w2", "serve fallback 10.0.0.8:80 w7"]
    );
    let wanted = bench.director.services()[0].wanted();
    let listed: Vec<_> = wanted.destinations.iter().map(|wanted| wanted.listed.ip()).collect();
    let expected: [std::net::IpAddr; 3] =
        [[10, 0, 0, 2], [10, 0, 0, 9], [10, 0, 0, 8]].map(Into::into);
    assert_eq!(listed, expected);
}

#[test]
fn fallbacks_that_are_real_servers_too_give_way_to_them() {
    use ForwardingMethod::Masq;
    let fallbacks =
        vec![fallback(2, 80, Masq, 3), fallback(3, 80, Masq, 4), fallback(9, 80, Masq, 1)];
    let mut bench = Bench::of(VirtualService { fallbacks, quiescent: true, ..service([2, 3]) });
    assert_eq!(
        bench.up(2),
        [
            "serve 10.0.0.2:80 w5",
            "serve 10.0.0.2:80 w5",
            "quiesce or relist 10.0.0.3:80",
            "remove fallback 10.0.0.9:80"
        ]
    );
    assert_eq!(bench.down(3), ["quiesce 10.0.0.3:80"]);
    assert_eq!(
        bench.down(2),
        [
            "serve fallback 10.0.0.2:80 w3",
            "serve fallback 10.0.0.2:80 w3",
            "serve fallback 10.0.0.3:80 w4",
            "serve fallback 10.0.0.9:80 w1"
        ]
    );
}

#[test]
fn a_fallback_that_is_also_the_last_real_server_serves_in_its_place() {
    let mut service = service([2, 3]);
    service.fallbacks = vec![fallback(2, 80, ForwardingMethod::Masq, 1)];
    let mut bench = Bench::of(service);
    bench.up(2);
    let fallback = "serve fallback 10.0.0.2:80 w1";
    assert_eq!(bench.down(2), [fallback, fallback]);
    let wanted = bench.director.wanted(vip()).expect("it is configured");
    assert_eq!(wanted.destinations[0].want, Want::Serve { weight: 1 });
    assert_eq!(wanted.destinations.len(), 2);
}

/// Two real servers that the table lists under one address: with `gate` their ports do not count.
fn sharing(service: VirtualService) -> VirtualService {
    let mut service = VirtualService { real_servers: vec![real(2), real(3)], ..service };
    for (server, port) in service.real_servers.iter_mut().zip([80, 81]) {
        server.address = ([10, 0, 0, 2], port).into();
        server.forwarding = ForwardingMethod::Gate;
        server.thresholds = Thresholds { lower: 0, upper: u32::from(port) };
    }
    service
}

#[test]
fn of_two_servers_under_one_address_and_none_in_service_all_say_the_same() {
    for quiescent in [false, true] {
        let mut configured = sharing(VirtualService { quiescent, ..service([]) });
        configured.real_servers[1].forwarding = ForwardingMethod::Ipip;
        configured.real_servers[1].address.set_port(80);
        let mut bench = Bench::of(configured);
        bench.up(2);
        bench.up(3);
        let mut said = Vec::new();
        for host in [2, 3] {
            let actions = bench.outcome(host, CheckOutcome::Down(Failure::Refused));
            said.extend(actions.into_iter().filter_map(|action| match action {
                Action::Destination(Change { destination, .. }) => Some(destination),
                Action::Hook { .. } | Action::Report(_) => None,
            }));
        }
        let wanted = bench.director.wanted(vip()).expect("it is configured");
        assert_eq!(said[0].want, Want::Serve { weight: 5 }, "the other one serves");
        assert_eq!(said[1].forwarding, ForwardingMethod::Gate);
        assert_eq!(said[1].thresholds.upper, 80);
        let [destination] = wanted.destinations[..] else { panic!("one address") };
        assert_eq!(
            (destination.forwarding, destination.thresholds),
            (said[1].forwarding, said[1].thresholds),
            "a reload changes nothing"
        );
    }
}

#[test]
fn of_two_servers_under_one_address_the_one_without_a_verdict_says_nothing() {
    let mut bench = Bench::of(sharing(service([])));
    bench.up(3);
    assert_eq!(bench.down(3), ["remove 10.0.0.2:80"], "the first has no verdict");
    let mut bench = Bench::of(sharing(service([])));
    bench.up(2);
    bench.down(2);
    let files = Overrides::maintenance(HashSet::from([([10, 0, 0, 2], 81).into()]));
    bench.director.handle(Event::Overrides(files), bench.now);
    let actions = bench.director.handle(Event::Overrides(Overrides::default()), bench.now);
    assert_eq!(words(&actions), ["remove 10.0.0.2:80"], "the second has none any more");
}

#[test]
fn what_the_table_shall_list_of_a_server_without_a_verdict() {
    let unchecked = |mut service: VirtualService| {
        service.real_servers[0].check = plan(2, CheckMethod::Off);
        service
    };
    let quiescent = VirtualService { quiescent: true, ..service([2]) };
    let relist = Want::Quiesce { relist: true };
    for (service, want) in [
        (service([2]), Want::AsFound),
        (quiescent.clone(), relist),
        (unchecked(service([2])), Want::Absent),
        (unchecked(quiescent), relist),
    ] {
        let bench = Bench::of(service);
        let wanted = bench.director.wanted(vip()).expect("it is configured");
        let wants: Vec<Want> = wanted.destinations.iter().map(|wanted| wanted.want).collect();
        assert_eq!(wants, [want]);
    }
    let nobody = ServiceAddress::Fwmark { family: crate::model::Family::Inet, mark: 7 };
    assert!(Bench::of(service([2])).director.wanted(nobody).is_none());
}

#[test]
fn a_server_that_stays_down_is_down_for_the_latest_reason() {
    let mut bench = Bench::of(service([2]));
    for failure in [Failure::Refused, Failure::NoReply, Failure::NoReply, Failure::Refused] {
        bench.outcome(2, CheckOutcome::Down(failure.clone()));
        assert_eq!(bench.director.services()[0].servers[0].health, Health::Down(failure));
    }
}

#[test]
fn the_hook_says_stop_on_the_first_pass_and_start_when_all_have_failed() {
    let hooked = VirtualService { fallback_command: Some(command()), ..service([2, 3]) };
    let mut bench = Bench::of(hooked.clone());
    assert_eq!(words(&bench.director.settle(bench.now)), [""; 0], "nothing before a verdict");
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"], "the other may still pass");
    assert_eq!(bench.up(3), ["serve 10.0.0.3:80 w5", "hook stop"]);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
    assert_eq!(bench.down(3), ["remove 10.0.0.3:80"]);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80", "hook start"]);

    let mut bench = Bench::of(hooked);
    bench.down(2);
    assert_eq!(bench.down(3), ["remove 10.0.0.3:80", "hook start"]);
}

/// A table that lists every server with one weight.
struct Listed(u32);

impl Found for Listed {
    fn weight(&self, _: ServiceAddress, _: DestinationAddress) -> Option<u32> {
        Some(self.0)
    }
}

#[test]
fn a_restart_over_a_table_in_service_changes_nothing_and_runs_no_hook() {
    let hooked = VirtualService { fallback_command: Some(command()), ..service([2]) };
    let mut bench = Bench::over(hooked, &Listed(5), Some(HookArgument::Stop));
    assert_eq!(bench.health(2), "adopted");
    assert_eq!(words(&bench.director.settle(bench.now)), [""; 0]);
    assert_eq!(bench.up(2), [""; 0]);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80", "hook start"]);
}

#[test]
fn a_server_listed_with_weight_zero_waits_for_its_check() {
    let mut bench = Bench::over(service([2]), &Listed(0), None);
    assert_eq!(bench.health(2), "unknown");
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
}

#[test]
fn only_what_the_table_lists_is_adopted_a_server_of_weight_zero_too() {
    let mut resting = service([2]);
    resting.real_servers[0].weight = 0;
    assert_eq!(Bench::over(resting.clone(), &Listed(0), None).health(2), "adopted");
    assert_eq!(Bench::of(resting).health(2), "unknown");
}

#[test]
fn fallbackminimum_counts_for_the_hook_and_not_for_the_table() {
    let service = with_fallback(VirtualService {
        fallback_command: Some(command()),
        fallback_minimum: FallbackMinimum::Percent(50),
        ..service([2, 3, 4])
    });
    let mut bench = Bench::of(service);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5", "remove fallback 127.0.0.1:80"]);
    assert_eq!(bench.up(3), ["serve 10.0.0.3:80 w5", "hook stop"], "two of three are 50 percent");
    assert_eq!(bench.down(4), ["remove 10.0.0.4:80"]);
    assert_eq!(bench.down(3), ["remove 10.0.0.3:80", "hook start"]);
}

#[test]
fn fallbackholddown_waits_until_the_service_has_stayed_good() {
    let service = VirtualService {
        fallback_command: Some(command()),
        fallback_hold_down: Duration::from_secs(30),
        ..service([2])
    };
    let mut bench = Bench::of(service);
    assert_eq!(
        bench.up(2),
        ["serve 10.0.0.2:80 w5", "hook stop"],
        "the first time waits for nothing"
    );
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80", "hook start"]);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
    assert_eq!(bench.director.next_deadline(), Some(bench.now + Duration::from_secs(30)));
    bench.now += Duration::from_secs(20);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"]);
    assert_eq!(bench.director.next_deadline(), None);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
    bench.now += Duration::from_secs(30);
    assert_eq!(words(&bench.director.handle(Event::Deadline, bench.now)), ["hook stop"]);
}

#[test]
fn maintenance_takes_a_server_out_at_once_and_its_check_brings_it_back() {
    let mut bench = Bench::of(VirtualService { failure_count: 9, ..service([2]) });
    bench.up(2);
    let files = Overrides::maintenance(HashSet::from([([10, 0, 0, 2], 80).into()]));
    let actions = bench.director.handle(Event::Overrides(files), bench.now);
    assert_eq!(words(&actions), ["remove 10.0.0.2:80"]);
    assert_eq!(bench.director.due(bench.id(2)), None, "nobody is asked meanwhile");
    let actions = bench.director.handle(Event::Overrides(Overrides::default()), bench.now);
    assert_eq!(words(&actions), ["leave 10.0.0.2:80"]);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
}

/// What an operator says of a server, everywhere.
fn said(host: u8, what: Override) -> Overrides {
    let server = ServerName { ip: [10, 0, 0, host].into(), port: Some(80) };
    let scope = Scope { service: None, server: Some(server) };
    Overrides { said: vec![(scope, what)], ..Overrides::default() }
}

#[test]
fn a_drained_server_keeps_its_entry_and_its_checks_and_serves_nobody_new() {
    let hooked = VirtualService { fallback_command: Some(command()), ..service([2, 3]) };
    let mut bench = Bench::of(with_fallback(hooked));
    bench.up(2);
    bench.up(3);
    let drain = |bench: &mut Bench, overrides| {
        words(&bench.director.handle(Event::Overrides(overrides), bench.now))
    };
    assert_eq!(drain(&mut bench, said(2, Override::Drain)), ["quiesce or relist 10.0.0.2:80"]);
    assert_eq!(bench.health(2), "up");
    assert!(bench.director.due(bench.id(2)).is_some(), "it is still checked");
    assert_eq!(
        bench.down(3),
        ["remove 10.0.0.3:80", "serve fallback 127.0.0.1:80 w1", "hook start"],
        "nobody is left for new connections"
    );
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"]);
    assert_eq!(bench.up(2), ["quiesce or relist 10.0.0.2:80"]);
    assert_eq!(
        drain(&mut bench, Overrides::default()),
        ["serve 10.0.0.2:80 w5", "remove fallback 127.0.0.1:80", "hook stop"]
    );
}

#[test]
fn another_weight_counts_while_the_server_is_up_and_over_a_reload() {
    let mut bench = Bench::of(service([2, 3]));
    bench.up(2);
    let overrides = said(2, Override::Weight(9));
    let actions = bench.director.handle(Event::Overrides(overrides.clone()), bench.now);
    assert_eq!(words(&actions), ["serve 10.0.0.2:80 w9"]);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"]);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w9"]);
    let model = Model { services: vec![service([3, 2])], ..Model::default() };
    bench.director.reload(&model, &(), overrides, bench.now);
    let wanted = bench.director.services()[0].wanted();
    assert_eq!(wanted.destinations[1].want, Want::Serve { weight: 9 });
}

#[test]
fn of_two_servers_with_one_entry_the_one_that_is_not_drained_decides() {
    let mut twice = service([2, 2]);
    twice.real_servers[1].address = ([10, 0, 0, 2], 81).into();
    twice.real_servers[1].forwarding = ForwardingMethod::Gate;
    twice.real_servers[0].forwarding = ForwardingMethod::Gate;
    let mut bench = Bench::of(twice);
    bench.up(2);
    let drain = |port| {
        let server = ServerName { ip: [10, 0, 0, 2].into(), port };
        let scope = Scope { service: None, server: Some(server) };
        Overrides { said: vec![(scope, Override::Drain)], ..Overrides::default() }
    };
    bench.director.handle(Event::Overrides(drain(Some(81))), bench.now);
    let want = |bench: &Bench| bench.director.services()[0].wanted().destinations[0].want;
    assert_eq!(want(&bench), Want::Serve { weight: 5 });
    bench.director.handle(Event::Overrides(drain(None)), bench.now);
    assert_eq!(want(&bench), Want::Quiesce { relist: true });
}

#[test]
fn maintenance_of_the_last_server_puts_the_fallback_in_and_runs_the_hook() {
    let hooked =
        with_fallback(VirtualService { fallback_command: Some(command()), ..service([2, 3]) });
    for in_maintenance in [2, 3] {
        let mut bench = Bench::of(hooked.clone());
        let other = 5 - in_maintenance;
        bench.up(in_maintenance);
        bench.down(other);
        let files = HashSet::from([([10, 0, 0, in_maintenance], 80).into()]);
        let files = Overrides::maintenance(files);
        let actions = bench.director.handle(Event::Overrides(files.clone()), bench.now);
        let removed = format!("remove 10.0.0.{in_maintenance}:80");
        assert_eq!(words(&actions), [&removed, "serve fallback 127.0.0.1:80 w1", "hook start"]);
        assert_eq!(bench.director.overrides(), &files);
    }
}

#[test]
fn a_check_has_a_plan_members_and_failures_until_a_reload_removes_it() {
    let other = ServiceAddress::Fwmark { family: crate::model::Family::Inet, mark: 7 };
    let first = VirtualService { failure_count: 5, ..service([2, 3]) };
    let second = VirtualService { address: other, ..service([3]) };
    let model = Model { services: vec![first, second], ..Model::default() };
    let now = Instant::now();
    let director = Director::new(&model, &(), Overrides::default(), |_| HookState::default(), now);
    let mut bench = Bench { director, now };
    let shared = bench.id(3);
    assert_eq!(bench.director.plan(shared), Some(&plan(3, CheckMethod::Connect)));
    let members = [Member { service: 0, server: 1 }, Member { service: 1, server: 0 }];
    assert_eq!(bench.director.members(shared), members);
    bench.up(3);
    for failures in 1..=7 {
        bench.down(3);
        assert_eq!(bench.director.failures(shared), failures);
    }
    bench.up(3);
    assert_eq!(bench.director.failures(shared), 0);
    bench.down(3);
    let mut swapped = model;
    swapped.services.reverse();
    bench.director.reload(&swapped, &(), Overrides::default(), bench.now);
    let members = [Member { service: 0, server: 0 }, Member { service: 1, server: 1 }];
    assert_eq!(bench.director.members(shared), members, "each once");
    assert_eq!(bench.director.failures(shared), 1);
    let model = Model { services: vec![service([2])], ..Model::default() };
    bench.director.reload(&model, &(), Overrides::default(), bench.now);
    assert_eq!(bench.director.plan(shared), None);
    assert_eq!(bench.director.members(shared), []);
    assert_eq!(bench.director.failures(shared), 0);
}

#[test]
fn a_failure_of_this_machine_is_no_verdict_on_a_server() {
    let mut bench = Bench::of(service([2]));
    bench.up(2);
    let local = Failure::Local("Too many open files".to_owned());
    assert_eq!(bench.outcome(2, CheckOutcome::Down(local)), []);
    assert_eq!(bench.health(2), "up");
}

#[test]
fn a_server_in_maintenance_at_the_start_or_at_a_reload_is_not_put_into_service() {
    let files = Overrides::maintenance(HashSet::from([([10, 0, 0, 2], 80).into()]));
    let model = Model { services: vec![service([2])], ..Model::default() };
    let now = Instant::now();
    let director = Director::new(&model, &Listed(5), files.clone(), |_| HookState::default(), now);
    let mut bench = Bench { director, now };
    assert_eq!(bench.health(2), "maintenance");
    assert_eq!(bench.director.services()[0].wanted().destinations[0].want, Want::Absent);
    bench.director.reload(&model, &(), Overrides::default(), now);
    assert_eq!(bench.health(2), "unknown");
    bench.up(2);
    bench.director.reload(&model, &(), files, now);
    assert_eq!(bench.health(2), "maintenance");
    assert_eq!(bench.director.services()[0].serving(), 0);
}

#[test]
fn a_combined_check_negotiates_first_and_after_failures() {
    let mut service = service([2]);
    let exchange = Arc::new(crate::model::Exchange::new(crate::model::Service::None));
    let transport = crate::model::Transport::Tcp;
    service.real_servers[0].check =
        plan(2, CheckMethod::Combined { connects: 2, transport, exchange });
    let mut bench = Bench::of(service);
    let mut steps = Vec::new();
    for up in [true, true, true, true, true, false, false, true, true] {
        steps.push(match bench.director.due(bench.id(2)) {
            Some((_, Step::Full)) => 'N',
            Some((_, Step::Connect)) => 'c',
            None => '-',
        });
        if up {
            bench.up(2)
        } else {
            bench.down(2)
        };
    }
    assert_eq!(steps.iter().collect::<String>(), "NccNccNNc");
}

#[test]
fn an_address_that_is_named_twice_keeps_both_its_states_at_a_reload() {
    let mut before = service([2, 2]);
    before.real_servers[1].check = plan(2, CheckMethod::Ping { attempts: 1 });
    for reversed in [false, true] {
        let mut bench = Bench::of(before.clone());
        let ids = [0, 1].map(|server: usize| bench.director.services()[0].servers[server].check);
        for (check, outcome) in
            ids.into_iter().zip([CheckOutcome::up(), CheckOutcome::Down(Failure::NoReply)])
        {
            let duration = Duration::ZERO;
            let checked = Checked { check, run: 0, step: Step::Full, outcome, duration };
            bench.director.handle(Event::Checked(checked), bench.now);
        }
        let mut after = before.clone();
        let mut expected = ["up", "down"];
        if reversed {
            after.real_servers.reverse();
            expected.reverse();
        }
        let model = Model { services: vec![after], ..Model::default() };
        bench.director.reload(&model, &(), Overrides::default(), bench.now);
        let servers = &bench.director.services()[0].servers;
        let words: Vec<_> = servers.iter().map(|server| server.health.word()).collect();
        assert_eq!(words, expected);
    }
}

#[test]
fn an_answer_for_a_check_that_a_reload_removed_is_dropped() {
    let mut bench = Bench::of(service([2, 3]));
    let gone = bench.id(3);
    bench.up(2);
    let model = Model { services: vec![service([2])], ..Model::default() };
    let removed = bench.director.reload(&model, &(), Overrides::default(), bench.now);
    assert!(removed.services.is_empty() && removed.actions.is_empty());
    let outcome = CheckOutcome::up();
    let late = Checked { check: gone, run: 0, step: Step::Full, outcome, duration: Duration::ZERO };
    assert_eq!(bench.director.handle(Event::Checked(late), bench.now), []);
    assert_eq!(bench.health(2), "up");
}

#[test]
fn a_reload_keeps_failure_counts_and_the_hook_of_what_is_unchanged() {
    let before =
        VirtualService { failure_count: 3, fallback_command: Some(command()), ..service([2, 3]) };
    let mut bench = Bench::of(before.clone());
    bench.up(2);
    bench.down(2);
    bench.down(2);
    let mut after = before;
    after.real_servers.remove(1);
    after.scheduler = "rr".to_owned();
    let model = Model { services: vec![after], ..Model::default() };
    bench.director.reload(&model, &(), Overrides::default(), bench.now);
    assert_eq!(words(&bench.director.settle(bench.now)), [""; 0]);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80", "hook start"], "the third failure");
}

#[test]
fn a_service_that_holds_down_is_found_again_after_a_reload_in_any_order() {
    let holding = |port: u16| {
        let address = ServiceAddress::Address {
            protocol: Protocol::Tcp,
            address: ([10, 0, 0, 1], port).into(),
        };
        VirtualService {
            address,
            fallback_command: Some(command()),
            fallback_hold_down: Duration::from_secs(20),
            ..service([u8::try_from(port).expect("a small port")])
        }
    };
    for order in [vec![82], vec![82, 81], vec![81], vec![81, 80], vec![]] {
        let model = |ports: &[u16]| Model {
            services: ports.iter().map(|&port| holding(port)).collect(),
            ..Model::default()
        };
        let now = Instant::now();
        let told = |_: &VirtualService| HookState::remembered(Some(HookArgument::Start));
        let director = Director::new(&model(&[80, 81, 82]), &(), Overrides::default(), told, now);
        let mut bench = Bench { director, now };
        assert_eq!(bench.up(82), ["serve 10.0.0.82:80 w5"]);
        bench.director.reload(&model(&order), &(), Overrides::default(), now);
        bench.now += Duration::from_secs(20);
        let waits = order.contains(&82);
        assert_eq!(bench.director.next_deadline(), waits.then_some(bench.now));
        let actions = bench.director.handle(Event::Deadline, bench.now);
        let services: Vec<ServiceAddress> = actions
            .iter()
            .filter_map(|action| match action {
                Action::Hook { service, .. } => Some(*service),
                Action::Destination(_) | Action::Report(_) => None,
            })
            .collect();
        let expected: Vec<ServiceAddress> =
            waits.then_some(holding(82).address).into_iter().collect();
        assert_eq!(services, expected, "{order:?}");
    }
}

#[test]
fn a_run_whose_end_nobody_saw_is_run_again_whatever_the_decision() {
    let hooked = VirtualService { fallback_command: Some(command()), ..service([2]) };
    for told in [HookArgument::Start, HookArgument::Stop] {
        for (up, expected) in [(true, "hook stop"), (false, "hook start")] {
            let model = Model { services: vec![hooked.clone()], ..Model::default() };
            let now = Instant::now();
            let state = |_: &VirtualService| HookState::interrupted(told);
            let director = Director::new(&model, &(), Overrides::default(), state, now);
            let mut bench = Bench { director, now };
            let actions = if up { bench.up(2) } else { bench.down(2) };
            assert!(actions.contains(&expected.to_owned()), "{told:?}: {actions:?}");
            let again = if up { bench.up(2) } else { bench.down(2) };
            assert_eq!(again, [""; 0]);
        }
    }
}

#[test]
fn a_start_whose_end_nobody_saw_has_fallbackholddown_wait_all_the_same() {
    let hold_down = Duration::from_secs(30);
    let hooked = VirtualService {
        fallback_command: Some(command()),
        fallback_hold_down: hold_down,
        ..service([2])
    };
    let model = Model { services: vec![hooked], ..Model::default() };
    let now = Instant::now();
    let state = |_: &VirtualService| HookState::interrupted(HookArgument::Start);
    let director = Director::new(&model, &(), Overrides::default(), state, now);
    let mut bench = Bench { director, now };
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
    assert_eq!(bench.director.next_deadline(), Some(now + hold_down));
    bench.now += hold_down;
    assert_eq!(words(&bench.director.handle(Event::Deadline, bench.now)), ["hook stop"]);
}

#[test]
fn another_timeout_or_retry_of_the_fallback_command_runs_nothing() {
    let hooked = VirtualService { fallback_command: Some(command()), ..service([2]) };
    let mut bench = Bench::of(hooked.clone());
    bench.down(2);
    let mut after = hooked;
    let changed = after.fallback_command.as_mut().expect("a command");
    (changed.timeout, changed.retry) = (Duration::from_secs(5), true);
    let model = Model { services: vec![after.clone()], ..Model::default() };
    bench.director.reload(&model, &(), Overrides::default(), bench.now);
    assert_eq!(words(&bench.director.settle(bench.now)), [""; 0]);
    after.fallback_command.as_mut().expect("a command").command = "/bin/other".to_owned();
    let model = Model { services: vec![after], ..Model::default() };
    bench.director.reload(&model, &(), Overrides::default(), bench.now);
    assert_eq!(words(&bench.director.settle(bench.now)), ["hook start"], "another command");
}

#[test]
fn a_server_in_maintenance_does_not_keep_the_phase_from_ending() {
    let files = Overrides::maintenance(HashSet::from([([10, 0, 0, 2], 80).into()]));
    let mut bench = Bench::of(service([2, 3]));
    bench.director.handle(Event::Overrides(files), bench.now);
    assert!(!bench.director.all_answered());
    bench.up(3);
    assert!(bench.director.all_answered());
}

#[test]
fn a_changed_check_keeps_the_server_serving_until_its_own_verdict() {
    let hooked = VirtualService { fallback_command: Some(command()), ..service([2]) };
    let mut bench = Bench::of(hooked.clone());
    bench.up(2);
    let mut after = hooked;
    after.real_servers[0].check = plan(2, CheckMethod::Ping { attempts: 1 });
    let model = Model { services: vec![after], ..Model::default() };
    bench.director.reload(&model, &(), Overrides::default(), bench.now);
    assert_eq!(bench.health(2), "adopted");
    assert_eq!(words(&bench.director.settle(bench.now)), [""; 0]);
    assert_eq!(bench.up(2), [""; 0]);
    assert_eq!(bench.health(2), "up");
}

#[test]
fn a_weight_that_rises_goes_on_rising_when_a_changed_check_confirms_the_server() {
    let slow = VirtualService { slow_start: Some(Duration::from_secs(4)), ..service([2]) };
    let mut bench = Bench::of(slow.clone());
    bench.up(2);
    bench.down(2);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w1"]);
    let mut after = slow;
    after.real_servers[0].check = plan(2, CheckMethod::Ping { attempts: 1 });
    let model = Model { services: vec![after], ..Model::default() };
    bench.director.reload(&model, &(), Overrides::default(), bench.now);
    assert_eq!(bench.up(2), [""; 0]);
    assert_eq!(bench.health(2), "up");
    let mut last = Vec::new();
    while let Some(next) = bench.director.next_deadline() {
        bench.now = next;
        last = words(&bench.director.handle(Event::Deadline, next));
    }
    assert_eq!(last, ["serve 10.0.0.2:80 w5"]);
}

#[test]
fn fallbackcommandonstop_says_start_once_at_a_clean_stop() {
    let asking = VirtualService {
        fallback_command: Some(command()),
        fallback_command_on_stop: true,
        ..service([2])
    };
    let mut bench = Bench::of(asking.clone());
    bench.up(2);
    assert_eq!(words(&bench.director.stop()), ["hook start"]);
    let mut bench = Bench::of(asking.clone());
    bench.down(2);
    assert_eq!(words(&bench.director.stop()), [""; 0], "it has been said");
    let mut bench = Bench::of(VirtualService { clean_stop: false, ..asking });
    bench.up(2);
    assert_eq!(words(&bench.director.stop()), [""; 0], "the service stays");
}

/// What a server must be, told from the sequence of its outcomes alone.
fn oracle(outcomes: &[bool], failure_count: u32, rise_count: u32) -> Option<bool> {
    let mut state = None;
    let (mut failures, mut successes) = (0, 0);
    for &up in outcomes {
        (failures, successes) = if up { (0, successes + 1) } else { (failures + 1, 0) };
        state = match (state, up) {
            (None, up) => Some(up),
            (Some(true), false) if failures >= failure_count => Some(false),
            (Some(false), true) if successes >= rise_count => Some(true),
            (state, _) => state,
        };
    }
    state
}

/// Every sequence of outcomes over three servers, five long, under every combination of
/// failurecount, risecount and quiescent: the table that the actions build is the one the oracle
/// says, the fallback is there exactly when nobody serves, and the hook runs once per change,
/// never `stop` without a server that passed, never `start` while one may.
#[test]
fn every_short_sequence_of_outcomes_leads_to_the_oracles_table() {
    const SERVERS: usize = 3;
    const LENGTH: u32 = 5;
    let moves = 2 * SERVERS;
    for (failure_count, rise_count, quiescent) in
        [(1, 1, false), (1, 1, true), (2, 1, false), (2, 2, true), (1, 3, false)]
    {
        let service = with_fallback(VirtualService {
            failure_count,
            rise_count,
            quiescent,
            fallback_command: Some(command()),
            ..service([2, 3, 4])
        });
        for sequence in 0..moves.pow(LENGTH) {
            let mut bench = Bench::of(service.clone());
            let ids = [bench.id(2), bench.id(3), bench.id(4)];
            let mut history: [Vec<bool>; SERVERS] = Default::default();
            let mut table: HashMap<DestinationAddress, u32> = HashMap::new();
            table.insert(FALLBACK.parse().expect("an address"), 1);
            let mut told: Option<HookArgument> = None;
            let mut rest = sequence;
            for _ in 0..LENGTH {
                let (server, up) = (rest % moves / 2, rest % 2 == 0);
                rest /= moves;
                history[server].push(up);
                let outcome =
                    if up { CheckOutcome::up() } else { CheckOutcome::Down(Failure::Refused) };
                let checked = Checked {
                    run: 0,
                    check: ids[server],
                    step: Step::Full,
                    outcome,
                    duration: Duration::ZERO,
                };
                for action in bench.director.handle(Event::Checked(checked), bench.now) {
                    match action {
                        Action::Destination(Change { destination, .. }) => match destination.want {
                            Want::Serve { weight } => {
                                table.insert(destination.listed, weight);
                            }
                            Want::Quiesce { .. } => {
                                table.insert(destination.listed, 0);
                            }
                            Want::Absent => {
                                table.remove(&destination.listed);
                            }
                            Want::AsFound => {}
                        },
                        Action::Hook { argument, .. } => {
                            assert_ne!(told, Some(argument), "no run without a change");
                            told = Some(argument);
                        }
                        Action::Report(_) => {}
                    }
                }
                let states: Vec<Option<bool>> = history
                    .iter()
                    .map(|outcomes| oracle(outcomes, failure_count, rise_count))
                    .collect();
                for (index, state) in states.iter().enumerate() {
                    let address = ([10, 0, 0, 2 + index as u8], 80).into();
                    let expected = match state {
                        Some(true) => Some(5),
                        Some(false) if quiescent => Some(0),
                        Some(false) | None => None,
                    };
                    assert_eq!(table.get(&address).copied(), expected, "{history:?}");
                }
                let nobody = !states.contains(&Some(true));
                let fallback = FALLBACK.parse().expect("an address");
                assert_eq!(table.contains_key(&fallback), nobody, "{history:?}");
                let expected = if !nobody {
                    Some(HookArgument::Stop)
                } else if states.contains(&None) {
                    told.filter(|told| *told == HookArgument::Stop)
                } else {
                    Some(HookArgument::Start)
                };
                assert_eq!(told, expected, "{history:?}");
            }
        }
    }
}

fn says(agent: AgentAnswer) -> CheckOutcome {
    CheckOutcome::Up(Note { agent, ..Note::default() })
}

#[test]
fn an_agent_s_percentage_is_of_the_configured_weight_and_an_operator_s_weight_goes_before() {
    use AgentAnswer::{NotAsked, Nothing, Percent, Weight};
    let mut bench = Bench::of(service([2, 3]));
    let mut say = |agent| words(&bench.outcome(2, says(agent)));
    assert_eq!(say(Percent(40)), ["serve 10.0.0.2:80 w2"], "from the beginning");
    assert_eq!(say(NotAsked), [""; 0]);
    assert_eq!(say(Percent(40)), [""; 0]);
    assert_eq!(say(Percent(80)), ["serve 10.0.0.2:80 w3"], "by half");
    assert_eq!(say(Nothing), ["serve 10.0.0.2:80 w5"], "the configured weight");
    assert_eq!(say(Weight(9)), ["serve 10.0.0.2:80 w9"]);
    assert_eq!(say(Percent(0)), ["quiesce or relist 10.0.0.2:80"]);
    let other = bench.up(3);
    assert_eq!(other, ["serve 10.0.0.3:80 w5"]);
    let scope = Scope { service: Some(vip()), server: None };
    let said = Overrides { said: vec![(scope, Override::Weight(7))], ..Overrides::default() };
    let now = bench.now;
    let weights = words(&bench.director.handle(Event::Overrides(said), now));
    assert_eq!(weights, ["serve 10.0.0.2:80 w7", "serve 10.0.0.3:80 w7"]);
    assert_eq!(words(&bench.outcome(2, says(Percent(100)))), [""; 0]);
    let weights = words(&bench.director.handle(Event::Overrides(Overrides::default()), now));
    assert_eq!(weights, ["serve 10.0.0.2:80 w5", "serve 10.0.0.3:80 w5"]);
}

#[test]
fn when_all_agents_say_drain_the_fallback_serves() {
    let mut bench =
        Bench::of(VirtualService { fallbacks: vec![local_fallback()], ..service([2, 3]) });
    bench.up(2);
    bench.up(3);
    let mut drain = |host| words(&bench.outcome(host, says(AgentAnswer::Percent(0))));
    assert_eq!(drain(2), ["quiesce or relist 10.0.0.2:80"]);
    let all = ["quiesce or relist 10.0.0.3:80", "serve fallback 127.0.0.1:80 w1"];
    assert_eq!(drain(3), all);
    let back = words(&bench.outcome(2, says(AgentAnswer::Percent(100))));
    assert_eq!(back, ["serve 10.0.0.2:80 w5", "remove fallback 127.0.0.1:80"]);
}

#[test]
fn what_an_agent_said_ends_with_the_server() {
    let mut bench = Bench::of(service([2]));
    bench.outcome(2, says(AgentAnswer::Percent(40)));
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"]);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
}

#[test]
fn the_weight_of_a_server_that_returns_rises_and_of_one_that_is_new_does_not() {
    let slow = VirtualService { slow_start: Some(Duration::from_secs(4)), ..service([2]) };
    let mut bench = Bench::of(slow.clone());
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
    assert_eq!(bench.director.next_deadline(), None);
    bench.down(2);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w1"]);
    let begun = bench.now;
    let mut steps = Vec::new();
    while let Some(next) = bench.director.next_deadline() {
        assert!(next > bench.now, "{steps:?}");
        bench.now = next;
        // A reload in between changes nothing.
        let model = Model { services: vec![slow.clone()], ..Model::default() };
        bench.director.reload(&model, &(), Overrides::default(), next);
        let actions = words(&bench.director.handle(Event::Deadline, next));
        steps.push(((next - begun).as_secs(), actions.join(" ")));
    }
    let step = |seconds, words: &str| (seconds, words.to_owned());
    let expected = [
        step(1, ""),
        step(2, "serve 10.0.0.2:80 w2"),
        step(3, "serve 10.0.0.2:80 w3"),
        step(4, "serve 10.0.0.2:80 w5"),
    ];
    assert_eq!(steps, expected);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"]);
    bench.up(2);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"], "a death while it rises");
    assert_eq!(bench.director.next_deadline(), None);
}

#[test]
fn a_reload_that_takes_slowstart_away_gives_the_whole_weight() {
    let slow = VirtualService { slow_start: Some(Duration::from_secs(4)), ..service([2]) };
    let mut bench = Bench::of(slow);
    bench.up(2);
    bench.down(2);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w1"]);
    let model = Model { services: vec![service([2])], ..Model::default() };
    bench.director.reload(&model, &(), Overrides::default(), bench.now);
    assert_eq!(bench.director.next_deadline(), None);
    let wanted = bench.director.services()[0].wanted().destinations[0].want;
    assert_eq!(wanted, Want::Serve { weight: 5 });
}
