//! The owner thread: receives, decides, programs the table, and hands everything slow to others.

use super::alerts::Alerts;
use super::dispatch::Dispatch;
use super::message::{Loaded, Message, Refused};
use super::report;
use super::schedule::Schedule;
use super::watch::{self, Fingerprint, Targets, Watch};
use crate::check::{CheckOutcome, Failure};
use crate::dataplane::{Dataplane, Done, Notice, Stage, Table, listing};
use crate::director::{
    Action, Change, CheckId, Checked, Director, Event, Health, Report, ServiceState, WantedService,
};
use crate::hook::{HookJob, HookReport, HookRunner, Memory};
use crate::model::{Model, ServiceAddress, Status, VirtualService};
use crate::status::StatusReport;
use std::collections::HashMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime};

/// Messages that are taken from the channel before the table is programmed.
const BATCH: usize = 4096;

/// A round comes at least this often, however long the check intervals are.
const LONGEST_ROUND: Duration = Duration::from_secs(60);

/// How long a clean stop waits for the hooks it has started.
const HOOKS_ON_STOP: Duration = Duration::from_secs(5);

/// A configuration that was accepted.
#[derive(Debug)]
pub struct Configuration {
    /// What it says.
    pub model: Model,
    /// The file as it was when it was read: what differs from it later is a change.
    pub fingerprint: Fingerprint,
}

/// Reads the configuration again; the error is its diagnostics as text for the log.
pub type Load = Arc<dyn Fn() -> Result<Configuration, String> + Send + Sync>;

/// What the runtime is started with.
pub struct Setup {
    /// The configuration's file, absolute.
    pub config: PathBuf,
    /// The instance's name, for `status`.
    pub instance: String,
    /// What it says.
    pub configuration: Configuration,
    /// Reads it again.
    pub load: Load,
    /// The table to program.
    pub table: Box<dyn Dataplane>,
    /// What `status` calls it: `kernel` or `memory`.
    pub table_name: &'static str,
    /// Where the fallback commands' state is kept over a restart.
    pub memory: PathBuf,
    /// Follows the global settings that are not the runtime's (log, `execute`) after a reload.
    pub settings_changed: Box<dyn FnMut(&Model) + Send>,
    /// Called once when a stop begins, before anything is purged.
    pub stopping: Box<dyn FnMut() + Send>,
    /// Called at least this often while the owner thread does its work.
    pub alive: Option<(Duration, Box<dyn FnMut() + Send>)>,
}

/// Talks to the runtime from other threads.
#[derive(Clone)]
pub struct Controller(Sender<Message>);

impl Controller {
    /// Asks for a reload.
    pub fn reload(&self) {
        let _ = self.0.send(Message::Reload);
    }

    /// Asks for a clean stop, because of a signal: its name without SIG.
    pub fn terminate(&self, signal: &'static str) {
        let _ = self.0.send(Message::Terminate(signal));
    }

    /// Asks for an end that leaves the table and the hooks' state to another process, after a reload: what
    /// the configuration does not have any more is purged. The error says why the daemon goes on.
    ///
    /// # Errors
    /// When the configuration is refused, or the runtime does not answer in time.
    pub fn hand_over(&self, timeout: Duration) -> Result<(), String> {
        let busy = || "the daemon is busy".to_owned();
        let (sender, receiver) = channel();
        self.0.send(Message::HandOver(sender)).map_err(|_| busy())?;
        receiver.recv_timeout(timeout).map_err(|_| busy())?
    }

    /// The status; `None` if the runtime is gone or does not answer in time.
    pub fn status(&self, timeout: Duration) -> Option<StatusReport> {
        let (sender, receiver) = channel();
        self.0.send(Message::Status(sender)).ok()?;
        receiver.recv_timeout(timeout).ok()
    }

    /// The table in the form of `ipvsadm -Ln`; `None` as for [`Controller::status`].
    pub fn listing(&self, timeout: Duration) -> Option<String> {
        let (sender, receiver) = channel();
        self.0.send(Message::Listing(sender)).ok()?;
        receiver.recv_timeout(timeout).ok()
    }
}

/// How the runtime has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By a signal, with its name without SIG: what is ours has been purged.
    Signal(&'static str),
    /// Another process takes over: everything is as it was.
    HandedOver,
}

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
    inbox: Receiver<Message>,
    sender: Sender<Message>,
    pub(super) director: Director,
    pub(super) table: Table,
    schedule: Schedule,
    dispatch: Dispatch,
    pub(super) hooks: HookRunner,
    memory: Memory,
    alerts: Alerts,
    watch: Watch,
    pub(super) status: Status,
    pub(super) since: SystemTime,
    pub(super) last_checks: HashMap<CheckId, LastCheck>,
    pub(super) last_hooks: HashMap<ServiceAddress, LastHook>,
    pub(super) last_reload: Option<(SystemTime, Result<(), String>)>,
    loading: bool,
    load_again: bool,
    /// Who waits for the end of a reload to take over.
    successor: Option<Sender<Result<(), String>>>,
    next_round: Instant,
    next_alive: Instant,
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

    fn first_round_over(&mut self) {
        if matches!(self.status, Status::Starting | Status::Reloading)
            && self.director.all_answered()
        {
            self.status = Status::Running;
        }
    }

    fn schedule_checks(&mut self, now: Instant) {
        self.schedule.install(self.director.checks().map(|(id, _, interval)| (id, interval)), now);
    }

    /// Carries out what the director wants: the table first, then whoever is to be told.
    fn act(&mut self, actions: Vec<Action>) {
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
    fn tell(&mut self, done: Vec<Done>) {
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

    fn reconcile(&mut self) {
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

    fn hook_ran(&mut self, report: HookReport) {
        let service = report.service;
        if report::succeeded(&report) {
            self.memory.set(service, &report.command, report.argument);
            self.save_memory();
        }
        self.last_hooks.insert(service, LastHook { at: SystemTime::now(), report });
    }

    fn save_memory(&mut self) {
        if let Err(error) = self.memory.save() {
            log::warn!("cannot keep what the fallback commands were told: {error}");
        }
    }

    fn file_changed(&mut self) {
        let path = self.setup.config.display();
        log::info!("Configuration file '{path}' has changed on disk");
        if self.setup.configuration.model.settings.auto_reload {
            log::info!(" - reread new configuration");
            self.load();
        } else {
            log::info!(" - ignore new configuration");
        }
        if let Some(callback) = &self.setup.configuration.model.settings.callback {
            self.hooks.callback(callback, &self.setup.config);
        }
    }

    /// Reads the configuration on a thread of its own: its names may take long to look up.
    fn load(&mut self) {
        if self.loading {
            self.load_again = true;
            return;
        }
        self.loading = true;
        let (load, owner) = (Arc::clone(&self.setup.load), self.sender.clone());
        let config = self.setup.config.clone();
        let work = move || {
            let found = watch::fingerprint(&config).ok();
            let loaded = match load() {
                Ok(configuration) => {
                    let targets = targets(&config, &configuration.model);
                    Ok(Loaded { configuration, maintenance: watch::in_maintenance(&targets) })
                }
                Err(diagnostics) => Err(Refused { diagnostics, found }),
            };
            let _ = owner.send(Message::Loaded(Box::new(loaded)));
        };
        if let Err(error) = std::thread::Builder::new().name("load".to_owned()).spawn(work) {
            self.loading = false;
            log::error!("reload: cannot start a thread: {error}");
        }
    }

    fn loaded(&mut self, loaded: Result<Loaded, Refused>, now: Instant, actions: &mut Vec<Action>) {
        self.loading = false;
        match loaded {
            Ok(loaded) => {
                self.reload(loaded, now, actions);
                self.last_reload = Some((SystemTime::now(), Ok(())));
            }
            Err(Refused { diagnostics, found }) => {
                let first = diagnostics.lines().next().unwrap_or_default().to_owned();
                log::error!("{}", diagnostics.trim_end());
                log::error!("the configuration is refused; the one before goes on");
                self.last_reload = Some((SystemTime::now(), Err(first)));
                // It has been told about, so the watch need not.
                if let Some(found) = found {
                    self.watch.rebase(found);
                }
            }
        }
        if std::mem::take(&mut self.load_again) {
            self.load();
        }
    }

    /// Takes on a new model: what is unchanged keeps its state, its place in the table and its time
    /// in the schedule.
    fn reload(&mut self, loaded: Loaded, now: Instant, actions: &mut Vec<Action>) {
        let Loaded { configuration, maintenance } = loaded;
        let model = &configuration.model;
        // What was decided under the old model is done under it.
        self.act(std::mem::take(actions));
        self.status = Status::Reloading;
        (self.setup.settings_changed)(model);
        let snapshot = match self.table.snapshot(&model.services) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                log::error!("{error}; the table is left as it is until the next round");
                None
            }
        };
        let removed = match &snapshot {
            Some(snapshot) => self.director.reload(model, snapshot, maintenance, now),
            None => self.director.reload(model, &(), maintenance, now),
        };
        self.act(removed.actions);
        let done =
            self.table.remove(removed.services.iter().map(|service| (service, None)), Stage::Start);
        self.tell(done);
        for service in &removed.services {
            self.memory.forget(service.address);
            self.last_hooks.remove(&service.address);
        }
        if !removed.services.is_empty() {
            self.save_memory();
        }
        let wanted: Vec<WantedService<'_>> =
            self.director.services().iter().map(ServiceState::wanted).collect();
        match snapshot {
            Some(snapshot) => {
                let done = self.table.synchronise(&wanted, &snapshot);
                self.tell(done);
            }
            None => self.table.owe(wanted.iter().map(|wanted| wanted.service.address)),
        }
        let fingerprint = configuration.fingerprint;
        self.watch.retarget(targets(&self.setup.config, model), fingerprint);
        self.setup.configuration = configuration;
        self.schedule_checks(now);
        let director = &self.director;
        self.last_checks.retain(|&id, _| !director.members(id).is_empty());
        self.alerts.retain(&self.director);
        let settled = self.director.settle(now);
        self.act(settled);
        self.first_round_over();
    }

    /// A clean stop: hooks that asked for it, then the services, then the last words.
    /// After the reload: leaves everything to who waits for it. False if nobody does, or if the
    /// configuration was refused, which who waits is told.
    fn hand_over(&mut self) -> bool {
        let Some(successor) = self.successor.take() else { return false };
        if let Some((_, Err(why))) = &self.last_reload {
            // Whoever has gone away does not take over either.
            let _ = successor.send(Err(why.clone()));
            return false;
        }
        self.finish_hooks();
        self.save_memory();
        self.alerts.drain();
        let _ = successor.send(Ok(()));
        true
    }

    /// Waits a moment for the hooks that have been started.
    fn finish_hooks(&mut self) {
        self.hooks.drain(HOOKS_ON_STOP);
        while let Ok(message) = self.inbox.try_recv() {
            if let Message::Hook(report) = message {
                self.hook_ran(report);
            }
        }
    }

    fn stop(&mut self, signal: &'static str) {
        self.status = Status::Stopping;
        (self.setup.stopping)();
        let hooks = self.director.stop();
        self.act(hooks);
        self.finish_hooks();
        let purged: Vec<&ServiceState> =
            self.director.services().iter().filter(|state| state.service.clean_stop).collect();
        let purge = purged.iter().map(|state| (&state.service, Some(*state)));
        let done = self.table.remove(purge, Stage::Stop);
        // A service that starts over an empty table is announced anew.
        for state in purged {
            self.memory.forget(state.address());
        }
        self.save_memory();
        self.tell(done);
        self.alerts.drain();
        log::info!("Linux Director Daemon terminated on signal: {signal}");
    }
}

/// The shortest check interval there is.
fn round_interval(model: &Model) -> Duration {
    let services = model.services.iter().map(|service| service.check_interval);
    services.fold(model.settings.check_interval, Duration::min).min(LONGEST_ROUND)
}

fn targets(config: &Path, model: &Model) -> Targets {
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
