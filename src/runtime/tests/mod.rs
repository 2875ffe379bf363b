//! The owner's step, fed by hand; whole histories of it are in `tests/simulation/`.

mod ending;
mod naming;
mod operating;
mod paths;
mod reloading;
mod status;
mod telling;

use super::setup::Configuration;
use super::{
    Answer, Beginning, Effect, Faults, Fingerprint, FollowedNames, Input, Listing, Loaded, Now,
    Owner, Question,
};
use crate::alert::Mail;
use crate::check::{CheckOutcome, Failure};
use crate::dataplane::{Dataplane, Memory, Operation, Table, TableError};
use crate::director::Checked;
use crate::hook::{HookEvent, HookProgram, HookResult, HookRun};
use crate::model::{
    AlertPolicy, CheckMethod, CheckPlan, FallbackCommand, ForwardingMethod, Model, Protocol,
    RealServer, ServiceAddress, Settings, Thresholds, VirtualService,
};
use crate::prober::Run;
use crate::status::StatusReport;
use ipvs_rs::{DestinationEntry, Service, ServiceKey};
use nix::errno::Errno;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

/// A table that cannot be listed while it is `blind`.
struct Unlisted {
    memory: Memory,
    blind: Arc<AtomicBool>,
}

impl Dataplane for Unlisted {
    fn services(&mut self) -> Result<Vec<Service>, TableError> {
        if self.blind.load(Ordering::Relaxed) {
            return Err(TableError::new("list services: no memory", Some(Errno::ENOMEM)));
        }
        self.memory.services()
    }

    fn destinations(&mut self, key: &ServiceKey) -> Result<Vec<DestinationEntry>, TableError> {
        self.memory.destinations(key)
    }

    fn apply(&mut self, operation: &Operation) -> Result<(), TableError> {
        self.memory.apply(operation)
    }
}

fn plan(host: u8, method: CheckMethod) -> Arc<CheckPlan> {
    Arc::new(CheckPlan {
        check_timeout: Duration::from_secs(2),
        negotiate_timeout: Duration::from_secs(2),
        ..CheckPlan::new(([10, 0, 0, host], 80).into(), method)
    })
}

fn real(host: u8) -> RealServer {
    RealServer {
        address: ([10, 0, 0, host], 80).into(),
        forwarding: ForwardingMethod::Masq,
        weight: 1,
        thresholds: Thresholds::default(),
        check: plan(host, CheckMethod::Connect),
    }
}

fn vip() -> ServiceAddress {
    let address = "10.0.0.1:80".parse().expect("an address");
    ServiceAddress::Address { protocol: Protocol::Tcp, address }
}

fn service() -> VirtualService {
    VirtualService { real_servers: vec![real(2)], ..VirtualService::new(vip()) }
}

fn command() -> FallbackCommand {
    FallbackCommand {
        command: "/bin/announce".to_owned(),
        retry: false,
        timeout: Duration::from_secs(60),
        user: None,
    }
}

fn start(service: VirtualService, blind: &Arc<AtomicBool>, now: Now) -> (Owner, Vec<Effect>) {
    let table = Unlisted { memory: Memory::new(), blind: Arc::clone(blind) };
    start_with(configuration(one(service)), Box::new(table), now)
}

fn start_with(
    configuration: Configuration,
    table: Box<dyn Dataplane>,
    now: Now,
) -> (Owner, Vec<Effect>) {
    let beginning = Beginning {
        config: "/a.cf".into(),
        instance: "a".to_owned(),
        configuration,
        table: (Table::new(table), "memory"),
        memory: crate::hook::Memory::default(),
        maintenance: None,
        earlier: Vec::new(),
        overrides: Vec::new(),
        faults: Faults::default(),
        counters: Default::default(),
    };
    Owner::start(beginning, now).expect("it can be listed")
}

fn configuration(model: Model) -> Configuration {
    Configuration {
        model,
        files: Fingerprint { stamp: None, checksum: [0; 16] }.into(),
        names: FollowedNames::default(),
    }
}

/// An owner with its clock, what it has wanted done, and what has been begun.
struct Bench {
    owner: Owner,
    now: Now,
    effects: Vec<Effect>,
    runs: Vec<Run>,
    hooks: Vec<HookRun>,
    listings: u64,
}

impl Bench {
    fn of(service: VirtualService) -> Self {
        Self::with(one(service))
    }

    fn with(model: Model) -> Self {
        Self::over(Memory::new(), model)
    }

    fn over(table: Memory, model: Model) -> Self {
        Self::on(Box::new(table), model)
    }

    fn on(table: Box<dyn Dataplane>, model: Model) -> Self {
        Self::starting(table, configuration(model))
    }

    fn starting(table: Box<dyn Dataplane>, configuration: Configuration) -> Self {
        let now = Now::read();
        let (owner, effects) = start_with(configuration, table, now);
        let (runs, hooks) = (Vec::new(), Vec::new());
        let mut bench = Self { owner, now, effects: Vec::new(), runs, hooks, listings: 0 };
        bench.note(effects);
        bench
    }

    fn note(&mut self, effects: Vec<Effect>) {
        for effect in &effects {
            match effect {
                Effect::Check(runs) => self.runs.extend(runs),
                Effect::Hook(run) => self.hooks.push(run.clone()),
                _ => {}
            }
        }
        self.effects.extend(effects);
    }

    fn step(&mut self, input: Input) {
        let effects = self.owner.step(vec![input], self.now);
        self.note(effects);
    }

    /// Time passes in which nothing happens but what is due.
    fn pass(&mut self, time: Duration) {
        self.now.instant += time;
        self.now.wall += time;
        let effects = self.owner.step(Vec::new(), self.now);
        self.note(effects);
    }

    /// The next outcome of the check of a host, for which its next run is waited for.
    fn outcome(&mut self, host: u8, outcome: CheckOutcome) {
        let target = IpAddr::from([10, 0, 0, host]);
        for _ in 0..100 {
            let director = &self.owner.director;
            let is_it =
                |run: &Run| director.plan(run.check).is_some_and(|plan| plan.address == target);
            // An earlier one may have been given up.
            if let Some(Run { check, run, step }) = self.runs.iter().copied().rfind(is_it) {
                self.runs.retain(|run| run.check != check);
                let duration = Duration::from_millis(3);
                let checked = Checked { check, run, step, outcome, duration };
                return self.step(Input::Outcomes(vec![checked]));
            }
            self.pass(Duration::from_millis(500));
        }
        panic!("{target} is not checked");
    }

    fn up(&mut self, host: u8) {
        self.outcome(host, CheckOutcome::up());
    }

    fn down(&mut self, host: u8) {
        self.outcome(host, CheckOutcome::Down(Failure::Refused));
    }

    /// The hook that was begun first has this end.
    fn hook_ends(&mut self, result: HookResult) {
        let run = self.hooks.remove(0).run;
        self.step(Input::Hook(HookEvent::Ended { run, result, duration: Duration::ZERO }));
    }

    /// `maintenancedir`, which is `/m`, holds these files.
    fn files(&mut self, files: &[&str]) {
        self.listings += 1;
        let files = Ok(files.iter().map(ToString::to_string).collect());
        let listing = Listing { directory: "/m".into(), order: self.listings, files };
        self.step(Input::Maintenance(listing));
    }

    /// The configuration that is read next.
    fn loaded(&mut self, model: Model) {
        let load = self.load().expect("it is to be read");
        let loaded = Loaded { configuration: configuration(model), maintenance: None };
        self.step(Input::Loaded { load, result: Box::new(Ok(loaded)) });
    }

    fn reload(&mut self, model: Model) {
        self.step(Input::Reload);
        self.loaded(model);
    }

    /// The number of the last reading that was asked for.
    fn load(&self) -> Option<u64> {
        self.effects.iter().rev().find_map(|effect| match effect {
            Effect::Load(number, _) => Some(*number),
            _ => None,
        })
    }

    /// What is wanted since this was asked last.
    fn take(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    fn logs(&mut self) -> Vec<String> {
        let line = |effect| match effect {
            Effect::Log(_, line) => Some(line),
            _ => None,
        };
        self.take().into_iter().filter_map(line).collect()
    }

    fn mails(&mut self) -> Vec<Mail> {
        let mail = |effect| match effect {
            Effect::Mail(mail) => Some(mail),
            _ => None,
        };
        self.take().into_iter().filter_map(mail).collect()
    }

    fn answer(&mut self, question: Question) -> Answer {
        self.step(Input::Question(question, 77));
        let answer = self.effects.pop();
        match answer {
            Some(Effect::Answer(77, answer)) => answer,
            other => panic!("{other:?}"),
        }
    }

    /// Reloads that were accepted, and those that were not.
    fn reloads(&self) -> (u64, u64) {
        (self.owner.counters.reloads, self.owner.counters.refused_reloads)
    }

    fn status(&mut self) -> StatusReport {
        match self.answer(Question::Status) {
            Answer::Status(report) => *report,
            other => panic!("{other:?}"),
        }
    }
}

fn one(service: VirtualService) -> Model {
    Model { services: vec![service], ..Model::default() }
}

/// The model with `maintenancedir`.
fn maintained(service: VirtualService) -> Model {
    let settings = Settings { maintenance_dir: Some("/m".into()), ..Settings::default() };
    Model { settings, services: vec![service] }
}

fn lines(effects: Vec<Effect>) -> Vec<String> {
    let line = |effect| match effect {
        Effect::Log(_, line) => Some(line),
        _ => None,
    };
    effects.into_iter().filter_map(line).filter(|line| line.contains("drift")).collect()
}

#[test]
fn a_table_that_cannot_be_listed_is_told_once_and_again_when_it_can() {
    let blind = Arc::new(AtomicBool::new(false));
    let mut now = Now::read();
    let (mut owner, _) = start(VirtualService { reconcile: true, ..service() }, &blind, now);
    let mut round = |is_blind: bool| {
        blind.store(is_blind, Ordering::Relaxed);
        now.instant += Duration::from_secs(10);
        lines(owner.step(Vec::new(), now))
    };
    assert_eq!(round(false), [""; 0]);
    for _ in 0..2 {
        assert_eq!(round(true), ["cannot look for drift: list services: no memory"]);
        assert_eq!(round(true), [""; 0]);
        assert_eq!(round(false), ["drift is looked for again"]);
        assert_eq!(round(false), [""; 0]);
    }
}

#[test]
fn nobody_is_reminded_of_a_server_that_is_up_also_if_the_table_lists_it_as_wanted_already() {
    let mut service = service();
    service.quiescent = true;
    service.real_servers[0].weight = 0;
    service.alert = AlertPolicy {
        to: vec!["root@localhost".to_owned()],
        frequency: Some(Duration::from_secs(5)),
        ..AlertPolicy::default()
    };
    let mut now = Now::read();
    let (mut owner, effects) = start(service, &Arc::default(), now);
    let run = effects.iter().find_map(|effect| match effect {
        Effect::Check(runs) => runs.first().copied(),
        _ => None,
    });
    let run = run.expect("its first check");
    let outcome = CheckOutcome::up();
    let duration = Duration::ZERO;
    let checked = Checked { check: run.check, run: run.run, step: run.step, outcome, duration };
    owner.step(vec![Input::Outcomes(vec![checked])], now);
    now.instant += Duration::from_secs(6);
    let effects = owner.step(Vec::new(), now);
    let mails = effects.iter().filter(|effect| matches!(effect, Effect::Mail(_)));
    assert_eq!(mails.count(), 0, "{effects:?}");
}

#[test]
fn what_the_table_refuses_at_the_start_is_tried_again_at_the_first_round() {
    let tried = Arc::new(AtomicUsize::new(0));
    let trying = Arc::clone(&tried);
    let memory = Memory::new().refusing(Box::new(move |_| {
        trying.fetch_add(1, Ordering::Relaxed);
        Some(Errno::EPERM)
    }));
    let mut bench = Bench::over(memory, one(service()));
    assert_eq!(tried.load(Ordering::Relaxed), 1);
    bench.pass(Duration::from_secs(10) - Duration::from_nanos(1));
    assert_eq!(tried.load(Ordering::Relaxed), 1);
    bench.pass(Duration::from_nanos(1));
    assert_eq!(tried.load(Ordering::Relaxed), 2);
}

#[test]
fn the_watch_is_told_of_the_directory_at_the_start_and_at_a_reload() {
    let watched = |bench: &mut Bench| -> Vec<_> {
        let directory = |effect| match effect {
            Effect::Watch(directory, _) => Some(directory),
            _ => None,
        };
        bench.take().into_iter().filter_map(directory).collect()
    };
    let mut bench = Bench::with(maintained(service()));
    assert_eq!(watched(&mut bench), [Some("/m".into())]);
    bench.reload(one(service()));
    assert_eq!(watched(&mut bench), [None]);
}

#[test]
fn a_service_that_has_stayed_good_for_fallbackholddown_is_told_stop() {
    let hold_down = Duration::from_secs(2);
    let mut bench = Bench::of(VirtualService {
        fallback_command: Some(command()),
        fallback_hold_down: hold_down,
        ..service()
    });
    bench.down(2);
    bench.hook_ends(HookResult::Exited(0));
    bench.up(2);
    bench.pass(hold_down - Duration::from_nanos(1));
    assert!(bench.hooks.is_empty());
    bench.pass(Duration::from_nanos(1));
    let program = HookProgram::Shell("/bin/announce stop 10.0.0.1:80 tcp".to_owned());
    assert_eq!(bench.hooks.first().map(|run| &run.program), Some(&program));
}
