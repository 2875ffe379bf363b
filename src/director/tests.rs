//! The director, event by event, and every short sequence of outcomes against a plain oracle.

use super::*;
use crate::check::Failure;
use crate::model::{
    Fallback, FallbackCommand, FallbackMinimum, ForwardingMethod, Protocol, RealServer, Thresholds,
    VirtualService,
};
use std::time::Duration;

const VIP: &str = "10.0.0.1:80";
const FALLBACK: &str = "127.0.0.1:80";

fn vip() -> ServiceAddress {
    ServiceAddress::Address { protocol: Protocol::Tcp, address: VIP.parse().expect("an address") }
}

fn plan(host: u8, method: CheckMethod) -> Arc<CheckPlan> {
    Arc::new(CheckPlan {
        address: [10, 0, 0, host].into(),
        port: 80,
        check_timeout: Duration::from_secs(1),
        negotiate_timeout: Duration::from_secs(1),
        method,
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
        Self { director: Director::new(&model, found, HashSet::new(), |_| told, now), now }
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
        let event = Event::Checked(Checked { check, step, outcome, duration });
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
fn two_services_share_one_check_and_count_its_failures_once() {
    let other = ServiceAddress::Fwmark { family: crate::model::Family::Inet, mark: 7 };
    let first = VirtualService { failure_count: 2, ..service([2]) };
    let second = VirtualService { address: other, ..first.clone() };
    let model = Model { services: vec![first, second], ..Model::default() };
    let now = Instant::now();
    let mut bench =
        Bench { director: Director::new(&model, &(), HashSet::new(), |_| None, now), now };
    assert_eq!(bench.director.checks().count(), 1);
    assert_eq!(bench.up(2).len(), 2);
    assert_eq!(bench.down(2), ["soft 1/2", "soft 1/2"]);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80", "remove 10.0.0.2:80"]);
}

fn with_fallback(service: VirtualService) -> VirtualService {
    let fallback = Fallback {
        address: FALLBACK.parse().expect("an address"),
        forwarding: ForwardingMethod::Gate,
    };
    VirtualService { fallback: Some(fallback), ..service }
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
    service.fallback =
        Some(Fallback { address: ([10, 0, 0, 2], 80).into(), forwarding: ForwardingMethod::Masq });
    let mut bench = Bench::of(service);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5", "serve 10.0.0.2:80 w5"]);
    bench.up(3);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80"]);
    assert_eq!(bench.down(3), ["remove 10.0.0.3:80", "serve fallback 10.0.0.2:80 w1"]);
    assert_eq!(bench.up(3), ["serve 10.0.0.3:80 w5", "remove 10.0.0.2:80"]);
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
    let files = HashSet::from([([10, 0, 0, 2], 80).into()]);
    let actions = bench.director.handle(Event::Maintenance(files), bench.now);
    assert_eq!(words(&actions), ["remove 10.0.0.2:80"]);
    assert_eq!(bench.director.due(bench.id(2)), None, "nobody is asked meanwhile");
    let actions = bench.director.handle(Event::Maintenance(HashSet::new()), bench.now);
    assert_eq!(words(&actions), ["leave 10.0.0.2:80"]);
    assert_eq!(bench.up(2), ["serve 10.0.0.2:80 w5"]);
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
    let files = HashSet::from([([10, 0, 0, 2], 80).into()]);
    let model = Model { services: vec![service([2])], ..Model::default() };
    let now = Instant::now();
    let director = Director::new(&model, &Listed(5), files.clone(), |_| None, now);
    let mut bench = Bench { director, now };
    assert_eq!(bench.health(2), "maintenance");
    assert_eq!(bench.director.services()[0].wanted().destinations[0].want, Want::Absent);
    bench.director.reload(&model, &(), HashSet::new(), now);
    assert_eq!(bench.health(2), "unknown");
    bench.up(2);
    bench.director.reload(&model, &(), files, now);
    assert_eq!(bench.health(2), "maintenance");
    assert_eq!(bench.director.services()[0].serving(), 0);
}

#[test]
fn a_combined_check_negotiates_first_and_after_failures() {
    let mut service = service([2]);
    let exchange = Arc::new(crate::model::Exchange {
        service: crate::model::Service::None,
        transport: crate::model::Transport::Tcp,
        request: "/".to_owned(),
        request_is_own: false,
        receive: None,
        virtual_host: None,
        http_method: Default::default(),
        login: String::new(),
        passwd: String::new(),
        database: String::new(),
        secret: String::new(),
        certificate: crate::model::CertificateCheck::Chain,
        ca_file: None,
    });
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
fn an_answer_for_a_check_that_a_reload_removed_is_dropped() {
    let mut bench = Bench::of(service([2, 3]));
    let gone = bench.id(3);
    bench.up(2);
    let model = Model { services: vec![service([2])], ..Model::default() };
    let removed = bench.director.reload(&model, &(), HashSet::new(), bench.now);
    assert!(removed.services.is_empty() && removed.actions.is_empty());
    let outcome = CheckOutcome::up();
    let late = Checked { check: gone, step: Step::Full, outcome, duration: Duration::ZERO };
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
    bench.director.reload(&model, &(), HashSet::new(), bench.now);
    assert_eq!(words(&bench.director.settle(bench.now)), [""; 0]);
    assert_eq!(bench.down(2), ["remove 10.0.0.2:80", "hook start"], "the third failure");
}

#[test]
fn a_changed_check_keeps_the_server_serving_until_its_own_verdict() {
    let hooked = VirtualService { fallback_command: Some(command()), ..service([2]) };
    let mut bench = Bench::of(hooked.clone());
    bench.up(2);
    let mut after = hooked;
    after.real_servers[0].check = plan(2, CheckMethod::Ping { attempts: 1 });
    let model = Model { services: vec![after], ..Model::default() };
    bench.director.reload(&model, &(), HashSet::new(), bench.now);
    assert_eq!(bench.health(2), "adopted");
    assert_eq!(words(&bench.director.settle(bench.now)), [""; 0]);
    assert_eq!(bench.up(2), [""; 0]);
    assert_eq!(bench.health(2), "up");
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
