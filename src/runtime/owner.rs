//! The owner thread: receives, decides, programs the table, and hands everything slow to others.

use super::alerts::Alerts;
use super::controller::Controller;
use super::dispatch::Dispatch;
use super::ending::End;
use super::message::Message;
use super::report;
use super::schedule::Schedule;
use super::setup::Setup;
use super::watch::{self, Targets, Watch};
use crate::check::{CheckOutcome, Failure};
use crate::dataplane::{Done, Notice, Table, listing};
use crate::director::{
    Action, Change, CheckId, Checked, Director, Event, Health, Report, ServiceState, WantedService,
};
use crate::hook::{HookJob, HookReport, HookRunner, Memory};
use crate::model::{Model, ServiceAddress, Status, VirtualService};
use std::collections::HashMap;
use std::io;
use std::path::Path;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

/// Messages that are taken from the channel before the table is programmed.
const BATCH: usize = 4096;

/// Outcomes come in bursts: a moment later they are taken together.
const MOMENT: Duration = Duration::from_millis(1);

/// A round comes at least this often, however long the check intervals are.
const LONGEST_ROUND: Duration = Duration::from_secs(60);

/// The last answer of a check, for `status`.
#[derive(Debug, Clone)]
pub(super) struct LastCheck {
    pub(super) at: Instant,
    pub(super) duration: Duration,
    pub(super) failure: Option<Failure>,
}

/// The last run of a service's fallback command, for `status`.
#[derive(Debug, Clone)]
pub(super) struct LastHook {
    pub(super) at: SystemTime,
    pub(super) report: HookReport,
}

/// The runtime: made by [`Runtime::start`], run by [`Runtime::run`].
pub struct Runtime {
    pub(super) setup: Setup,
    pub(super) inbox: Receiver<Message>,
    pub(super) sender: Sender<Message>,
    pub(super) director: Director,
    pub(super) table: Table,
    pub(super) schedule: Schedule,
    pub(super) dispatch: Dispatch,
    pub(super) hooks: HookRunner,
    pub(super) memory: Memory,
    pub(super) alerts: Alerts,
    pub(super) watch: Watch,
    pub(super) status: Status,
    pub(super) since: SystemTime,
    pub(super) last_checks: HashMap<CheckId, LastCheck>,
    pub(super) last_hooks: HashMap<ServiceAddress, LastHook>,
    pub(super) last_reload: Option<(SystemTime, Result<(), String>)>,
    pub(super) loading: bool,
    pub(super) load_again: bool,
    /// Who waits for the end of a reload to take over.
    pub(super) successor: Option<Sender<Result<(), String>>>,
    pub(super) next_round: Instant,
    pub(super) next_alive: Instant,
}

impl Runtime {
    /// Synchronises the table with the model and starts the threads. When it returns, the table
    /// lists every service.
    ///
    /// # Errors
    /// When the table cannot be read or a thread cannot be started.
    pub fn start(mut setup: Setup) -> io::Result<(Self, Controller)> {
        let now = Instant::now();
        let (sender, inbox) = channel();
        let memory = Memory::load(&setup.memory);
        let nothing = Box::new(crate::dataplane::Memory::new());
        let mut table = Table::new(std::mem::replace(&mut setup.table, nothing));
        let model = &setup.configuration.model;
        let snapshot =
            table.snapshot(&model.services).map_err(|error| io::Error::other(error.0))?;
        let told = |service: &VirtualService| {
            let command = service.fallback_command.as_ref()?;
            memory.get(service.address, command)
        };
        let maintenance = watch::in_maintenance(&targets(&setup.config, model));
        let director = Director::new(model, &snapshot, maintenance, told, now);
        let reports = sender.clone();
        let hooks = HookRunner::new(move |report| {
            let _ = reports.send(Message::Hook(report));
        });
        let fingerprint = setup.configuration.fingerprint;
        let watch = Watch::start(targets(&setup.config, model), fingerprint, sender.clone())?;
        let dispatch = Dispatch::start(sender.clone())?;
        let controller = Controller(sender.clone());
        let mut runtime = Self {
            inbox,
            sender,
            director,
            table,
            schedule: Schedule::default(),
            dispatch,
            hooks,
            memory,
            alerts: Alerts::start(),
            watch,
            status: Status::Starting,
            since: SystemTime::now(),
            last_checks: HashMap::new(),
            last_hooks: HashMap::new(),
            last_reload: None,
            loading: false,
            load_again: false,
            successor: None,
            next_round: now + round_interval(&setup.configuration.model),
            next_alive: now,
            setup,
        };
        let wanted: Vec<WantedService<'_>> =
            runtime.director.services().iter().map(ServiceState::wanted).collect();
        let done = runtime.table.synchronise(&wanted, &snapshot);
        runtime.tell(done);
        let actions = runtime.director.settle(now);
        runtime.act(actions);
        runtime.schedule_checks(now);
        Ok((runtime, controller))
    }

    /// Watches, until a signal or a successor asks to stop.
    pub fn run(mut self) -> End {
        loop {
            let now = Instant::now();
            self.begin_due(now);
            let wait = self.wait(now);
            let first = match self.inbox.recv_timeout(wait) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => unreachable!("we hold a sender ourselves"),
            };
            if let Some(Message::Checked(_)) = first {
                std::thread::sleep(MOMENT);
            }
            let now = Instant::now();
            let mut actions = Vec::new();
            let mut terminate = None;
            let mut messages = first;
            for _ in 0..BATCH {
                let Some(message) = messages else { break };
                if let Message::Terminate(signal) = message {
                    terminate = Some(signal);
                    break;
                }
                self.receive(message, now, &mut actions);
                messages = self.inbox.try_recv().ok();
            }
            if self.director.next_deadline().is_some_and(|deadline| deadline <= now) {
                actions.extend(self.director.handle(Event::Deadline, now));
            }
            self.act(actions);
            self.first_round_over();
            if let Some(signal) = terminate {
                self.stop(signal);
                return End::Signal(signal);
            }
            if !self.loading && self.hand_over() {
                return End::HandedOver;
            }
            if now >= self.next_round {
                self.round(now);
            }
            if self.alerts.next_reminder().is_some_and(|due| due <= now) {
                self.alerts.remind(&self.director, self.status, now);
            }
            if let Some((interval, alive)) = &mut self.setup.alive
                && now >= self.next_alive
            {
                self.next_alive = now + *interval;
                alive();
            }
        }
    }

    fn wait(&self, now: Instant) -> Duration {
        let until = |at: Instant| at.saturating_duration_since(now);
        let checks = self.schedule.next(now);
        let deadline = self.director.next_deadline().map(until);
        let wait = until(self.next_round);
        let reminder = self.alerts.next_reminder().map(until);
        let alive = self.setup.alive.as_ref().map(|_| until(self.next_alive));
        [checks, deadline, reminder, alive].into_iter().flatten().fold(wait, Duration::min)
    }

    fn receive(&mut self, message: Message, now: Instant, actions: &mut Vec<Action>) {
        match message {
            Message::Checked(all) => {
                for checked in all {
                    self.checked(checked, now, actions);
                }
            }
            Message::Hook(report) => self.hook_ran(report),
            Message::Maintenance(servers) => {
                actions.extend(self.director.handle(Event::Maintenance(servers), now));
                self.monitor_maintenance();
            }
            Message::FileChanged => self.file_changed(),
            Message::Reload => {
                log::info!("Reloading Linux Director Daemon config on signal");
                self.load();
            }
            Message::Loaded(loaded) => self.loaded(*loaded, now, actions),
            Message::Status(asker) => {
                // An asker that has gone away needs no answer.
                let _ = asker.send(report::report(self));
            }
            Message::Listing(asker) => {
                let text = listing(self.table.backend()).unwrap_or_else(|error| error.0);
                let _ = asker.send(text);
            }
            Message::Terminate(_) => unreachable!("taken out by the loop"),
            Message::HandOver(successor) => {
                self.successor = Some(successor);
                self.load();
            }
        }
    }

    fn begin_due(&mut self, now: Instant) {
        let mut at_once = Vec::new();
        for id in self.schedule.take_due(now) {
            let Some((plan, step)) = self.director.due(id) else {
                self.schedule.finished(id, now);
                continue;
            };
            if let Some(outcome) = self.dispatch.begin(id, plan, step) {
                at_once.push(Checked { check: id, step, outcome, duration: Duration::ZERO });
            }
        }
        self.dispatch.flush();
        if !at_once.is_empty() {
            let mut actions = Vec::new();
            self.receive(Message::Checked(at_once), now, &mut actions);
            self.act(actions);
        }
    }

    fn checked(&mut self, checked: Checked, now: Instant, actions: &mut Vec<Action>) {
        self.schedule.finished(checked.check, now);
        let failure = match &checked.outcome {
            CheckOutcome::Up(_) => None,
            CheckOutcome::Down(failure) => Some(failure.clone()),
        };
        let local = |failure: &Option<Failure>| matches!(failure, Some(Failure::Local(_)));
        let is_local = local(&failure);
        let last = LastCheck { at: now, duration: checked.duration, failure };
        let before = self.last_checks.insert(checked.check, last);
        if is_local && !before.is_some_and(|before| local(&before.failure)) {
            let target = self.director.plan(checked.check).map(|plan| plan.target().to_string());
            log::warn!(
                "{}: {}; the server stays as it is",
                target.unwrap_or_default(),
                report::words(&checked.outcome)
            );
        }
        for member in self.director.members(checked.check) {
            let state = &self.director.services()[member.service];
            if state.servers[member.server].health != Health::Maintenance {
                self.alerts.monitor(&state.service, member.server, &checked.outcome);
            }
        }
        let decided = self.director.handle(Event::Checked(checked.clone()), now);
        for action in &decided {
            if let Action::Report(Report::Transition { service, server, from, to }) = action {
                log::info!(
                    "real server {server} ({}): {}, {} ms, {}: {from} -> {to}",
                    service.id(),
                    report::method_of(&self.director, &checked),
                    checked.duration.as_millis(),
                    report::words(&checked.outcome),
                );
                if let (Health::Down(_), Some(state)) = (to, self.director.service(*service)) {
                    self.alerts.down(&state.service, *server, now);
                }
            }
        }
        actions.extend(decided);
    }

    fn monitor_maintenance(&self) {
        for state in self.director.services() {
            for (index, server) in state.servers.iter().enumerate() {
                if server.health == Health::Maintenance {
                    self.alerts.monitor_maintenance(&state.service, index);
                }
            }
        }
    }

    pub(super) fn first_round_over(&mut self) {
        if matches!(self.status, Status::Starting | Status::Reloading)
            && self.director.all_answered()
        {
            self.status = Status::Running;
        }
    }

    pub(super) fn schedule_checks(&mut self, now: Instant) {
        self.schedule.install(self.director.checks().map(|(id, _, interval)| (id, interval)), now);
    }

    /// Carries out what the director wants: the table first, then whoever is to be told.
    pub(super) fn act(&mut self, actions: Vec<Action>) {
        let mut changes: Vec<Change> = Vec::new();
        let mut hooks = Vec::new();
        for action in actions {
            match action {
                Action::Destination(change) => changes.push(change),
                Action::Hook { service, command, argument } => {
                    hooks.push(HookJob { service, command, argument });
                }
                Action::Report(report) => self.log_report(&report),
            }
        }
        if !changes.is_empty() {
            let done = self.table.change(changes);
            self.tell(done);
        }
        for job in hooks {
            self.hooks.run(job);
        }
    }

    fn log_report(&self, report: &Report) {
        match report {
            Report::Transition { .. } => {}
            Report::SoftFailure { service, server, failures, limit } => log::info!(
                "Soft failure real server: {server} ({}) failure {failures}/{limit}",
                service.id()
            ),
            Report::SoftFailuresForgiven { service, server } => {
                log::info!("Resetting soft failure count: {server} ({})", service.id());
            }
        }
    }

    /// Says what has become of the table's operations.
    pub(super) fn tell(&mut self, done: Vec<Done>) {
        for done in done {
            match done {
                Done::Applied(notice) => {
                    log::info!("{notice}");
                    if let Some(state) = self.director.service(notice.service()) {
                        self.alerts.notice(&state.service, &notice, self.status, Instant::now());
                    }
                }
                // compat: at the start and at a reload the original says so of every service that
                // was there, changed or not (spec 5.4)
                Done::Kept(service) if self.status != Status::Running => {
                    log::info!("{}", Notice::ServiceChanged(service));
                }
                Done::Kept(_) => {}
                Done::Failed { service, error } => {
                    log::error!("{error}; trying again every round ({service})");
                }
                Done::Recovered(service) => {
                    log::info!("the table is as wanted again ({service})");
                }
            }
        }
    }

    /// Once per check interval: what failed is tried again, `reconcile` looks for drift.
    fn round(&mut self, now: Instant) {
        self.next_round = now + round_interval(&self.setup.configuration.model);
        if self.table.owes() {
            let done = self.table.retry(&self.director);
            self.tell(done);
        }
        self.reconcile();
    }

    pub(super) fn reconcile(&mut self) {
        let watched: Vec<&ServiceState> =
            self.director.services().iter().filter(|state| state.service.reconcile).collect();
        if watched.is_empty() {
            return;
        }
        match self.table.snapshot(watched.iter().map(|state| &state.service)) {
            Ok(snapshot) => {
                let wanted: Vec<WantedService<'_>> =
                    watched.iter().map(|state| state.wanted()).collect();
                let done = self.table.synchronise(&wanted, &snapshot);
                self.tell(done);
            }
            Err(error) => log::warn!("cannot look for drift: {error}"),
        }
    }

    pub(super) fn hook_ran(&mut self, report: HookReport) {
        let service = report.service;
        if report::succeeded(&report) {
            self.memory.set(service, &report.command, report.argument);
            self.save_memory();
        }
        self.last_hooks.insert(service, LastHook { at: SystemTime::now(), report });
    }

    pub(super) fn save_memory(&mut self) {
        if let Err(error) = self.memory.save() {
            log::warn!("cannot keep what the fallback commands were told: {error}");
        }
    }
}

/// The shortest check interval there is.
fn round_interval(model: &Model) -> Duration {
    let services = model.services.iter().map(|service| service.check_interval);
    services.fold(model.settings.check_interval, Duration::min).min(LONGEST_ROUND)
}

pub(super) fn targets(config: &Path, model: &Model) -> Targets {
    let maintenance = model.settings.maintenance_dir.clone();
    let servers = match maintenance {
        None => Default::default(),
        Some(_) => model
            .services
            .iter()
            .flat_map(|service| &service.real_servers)
            .map(|real| real.address)
            .collect(),
    };
    Targets { config: config.to_owned(), maintenance, servers }
}
