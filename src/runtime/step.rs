//! The owner: everything that is known and decided, as one step of (state, inputs, time) to effects.
//!
//! It has no thread, clock, channel or file. The table stands behind its trait and is programmed in
//! the step; everything else is an [`Effect`]. What it waits for may be lost (an answer, a process):
//! each has a deadline, after which it is asked for again.

use super::alerts::Alerts;
use super::effect::{Answer, Effect, End};
use super::ending::Ending;
use super::input::{Asker, Input, Listing, Now, Question};
use super::maintenance::{Heard, Maintenance};
use super::operator::{Command, Line as OverrideLine, Operator};
use super::reload::Loads;
use super::report;
use super::schedule::{Rhythm, Schedule};
use super::setup::{Configuration, Faults};
use super::telling::Cause;
use crate::check::{CertificateEnd, CheckOutcome, Failure, agent};
use crate::dataplane::{Paths, Stage, Table, TableError, listing, service_key};

use crate::director::{
    Action, Change, CheckId, Checked, Director, Event, Health, Overrides, ServiceState,
    WantedService,
};
use crate::event::What;
use crate::hook::{HookEvent, HookJob, HookReport, HookResult, Hooks, Memory, Order};
use crate::metrics::{self, Counters, MetricsReport};
use crate::model::{CheckMethod, CheckPlan, Model, ServiceAddress, Status, Step, VirtualService};
use crate::prober::Run;
use crate::status::unix;
use ipvs_rs::ServiceKey;
use log::Level;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::path::PathBuf;
use std::time::{Duration, Instant, SystemTime};

/// A round comes at least this often, however long the check intervals are.
const LONGEST_ROUND: Duration = Duration::from_secs(60);

/// How much longer than its timeout an external check may take: it is asked to end first.
const EXTERNAL_GRACE: Duration = Duration::from_secs(1);

/// Until a server whose name is being looked up is thought of again.
const DOUBT_PAUSE: Duration = Duration::from_millis(250);

/// The last answer of a check, for `status`.
#[derive(Debug, Clone)]
pub(super) struct LastCheck {
    pub(super) at: Instant,
    pub(super) duration: Duration,
    pub(super) failure: Option<Failure>,
    /// As the last check that passed saw it.
    pub(super) certificate: Option<CertificateEnd>,
}

/// The last run of a service's fallback command, for `status`.
#[derive(Debug, Clone)]
pub(super) struct LastHook {
    pub(super) at: SystemTime,
    pub(super) report: HookReport,
}

/// What the owner starts from.
pub struct Beginning {
    /// The configuration's file, absolute.
    pub config: PathBuf,
    /// The instance's name, for `status`.
    pub instance: String,
    /// What the configuration says.
    pub configuration: Configuration,
    /// The table, and what `status` calls it: `kernel` or `memory`.
    pub table: (Table, &'static str),
    /// What the fallback commands were told by an earlier process.
    pub memory: Memory,
    /// The files in `maintenancedir`; `None` if there is no such directive.
    pub maintenance: Option<Listing>,
    /// Services that the process had in force before it started itself anew: what is no longer
    /// configured goes.
    pub earlier: Vec<ServiceAddress>,
    /// What operators have said of real servers to an earlier process.
    pub overrides: Vec<OverrideLine>,
    /// What went wrong in the program itself, by an earlier process.
    pub faults: Faults,
    /// What the process before has counted, if it has handed over.
    pub counters: Counters,
}

/// The state of everything.
pub struct Owner {
    pub(super) config: PathBuf,
    pub(super) instance: String,
    pub(super) configuration: Configuration,
    pub(super) director: Director,
    pub(super) table: Table,
    pub(super) table_name: &'static str,
    pub(super) paths: Paths,
    pub(super) schedule: Schedule,
    pub(super) hooks: Hooks,
    pub(super) maintenance: Maintenance,
    pub(super) operator: Operator,
    pub(super) alerts: Alerts,
    pub(super) status: Status,
    pub(super) since: SystemTime,
    pub(super) last_checks: HashMap<CheckId, LastCheck>,
    pub(super) last_hooks: HashMap<ServiceAddress, LastHook>,
    pub(super) last_reload: Option<(SystemTime, Result<(), String>)>,
    pub(super) loads: Loads,
    pub(super) ending: Option<Ending>,
    pub(super) faults: Faults,
    pub(super) counters: Counters,
    /// Checks whose missing answer has been told of.
    unanswered: BTreeSet<CheckId>,
    /// Why `reconcile` cannot look, told already.
    blind: Option<TableError>,
    next_round: Instant,
    pub(super) effects: Vec<Effect>,
}

impl Owner {
    /// Synchronises the table with the configuration. When it returns, the table lists every service.
    ///
    /// # Errors
    /// When the table cannot be read.
    pub fn start(beginning: Beginning, now: Now) -> Result<(Self, Vec<Effect>), TableError> {
        let Beginning {
            config,
            instance,
            configuration,
            table,
            memory,
            maintenance,
            earlier,
            overrides,
            faults,
            counters,
        } = beginning;
        let (mut table, table_name) = table;
        let model = &configuration.model;
        let snapshot = table.snapshot(&model.services)?;
        let mut known = Maintenance::default();
        known.install(model);
        let heard = maintenance.map_or(Heard::Nothing, |listing| known.listed(listing).1);
        let told = |service: &VirtualService| {
            let command = service.fallback_command.as_ref();
            command.map_or_else(Default::default, |it| memory.state(service.address, it))
        };
        let operator = Operator::from_lines(overrides, now);
        let overrides = Overrides { maintenance: known.in_maintenance(), said: operator.said() };
        let director = Director::new(model, &snapshot, overrides, told, now.instant);
        let mut owner = Self {
            config,
            paths: Paths::of(&instance),
            instance,
            director,
            table,
            table_name,
            schedule: Schedule::default(),
            hooks: Hooks::new(memory),
            maintenance: known,
            operator,
            alerts: Alerts::default(),
            status: Status::Starting,
            since: now.wall,
            last_checks: HashMap::new(),
            last_hooks: HashMap::new(),
            last_reload: None,
            loads: Loads::default(),
            ending: None,
            faults,
            counters: Counters { accepted: unix(now.wall), ..counters },
            unanswered: BTreeSet::new(),
            blind: None,
            next_round: now.instant + round_interval(model),
            effects: Vec::new(),
            configuration,
        };
        let cause = match &owner.faults.last_restart {
            Some(fault) => format!("anew, after an internal fault: {fault}"),
            None => format!("pid {}", std::process::id()),
        };
        owner.event(What::Started { cause });
        owner.maintenance_heard(heard);
        owner.purge_earlier(&earlier, now);
        owner.serving();
        let wanted: Vec<WantedService<'_>> =
            owner.director.services().iter().map(ServiceState::wanted).collect();
        let done = owner.table.synchronise(&wanted, &snapshot);
        owner.tell_whole(done, now);
        owner.lay_paths();
        let actions = owner.director.settle(now.instant);
        owner.act(actions, now);
        owner.install_checks(now);
        owner.watch();
        owner.follow_names(now);
        owner.go_on(now);
        let effects = std::mem::take(&mut owner.effects);
        Ok((owner, effects))
    }

    fn purge_earlier(&mut self, earlier: &[ServiceAddress], now: Now) {
        let gone: Vec<VirtualService> = earlier
            .iter()
            .filter(|&&address| self.director.service(address).is_none())
            .map(|&address| VirtualService::new(address))
            .collect();
        let done = self.table.remove(gone.iter().map(|service| (service, None)), Stage::Start);
        self.tell(done, now);
        for service in gone {
            self.hooks.forget(service.address);
        }
    }

    /// Says which services are in force, for a process that starts itself anew.
    pub(super) fn serving(&mut self) {
        let services = self.director.services().iter().map(ServiceState::address).collect();
        self.effects.push(Effect::Serving(services));
    }

    /// Takes what has happened, and everything that is due by now.
    pub fn step(&mut self, inputs: Vec<Input>, now: Now) -> Vec<Effect> {
        let mut actions = Vec::new();
        for input in inputs {
            self.receive(input, now, &mut actions);
        }
        if self.ending.is_none()
            && self.director.next_deadline().is_some_and(|deadline| deadline <= now.instant)
        {
            actions.extend(self.director.handle(Event::Deadline, now.instant));
        }
        self.act(actions, now);
        self.go_on(now);
        std::mem::take(&mut self.effects)
    }

    /// How long [`Owner::step`] may wait for an input.
    pub fn wait(&mut self, now: Instant) -> Duration {
        let until = |at: Instant| at.saturating_duration_since(now);
        let hooks = self.hooks.next_due().map(until);
        if let Some(ending) = &self.ending {
            return hooks.into_iter().fold(until(ending.until), Duration::min);
        }
        let deadline = self.director.next_deadline().map(until);
        let reminder = self.alerts.next_reminder().map(until);
        let load = self.loads.deadline().map(until);
        let overrides = self.operator.next_end().map(until);
        let checks = self.schedule.next(now);
        [checks, deadline, reminder, hooks, load, overrides]
            .into_iter()
            .flatten()
            .fold(until(self.next_round), Duration::min)
    }

    fn receive(&mut self, input: Input, now: Now, actions: &mut Vec<Action>) {
        if self.ending.is_some() {
            self.receive_while_ending(input, now);
            return;
        }
        match input {
            Input::Outcomes(all) => {
                for checked in all {
                    self.checked(&checked, now, actions);
                }
            }
            Input::Lost(runs) => {
                for run in runs {
                    self.schedule.lost(run.check, run.run, now.instant);
                }
            }
            Input::Hook(event) => self.hook_told(event, now),
            Input::Maintenance(listing) => {
                let (changed, heard) = self.maintenance.listed(listing);
                self.maintenance_heard(heard);
                if changed {
                    self.override_servers(Cause::Maintenance, now, actions);
                }
            }
            Input::Names(names) => {
                if self.maintenance.named(names, now.instant) {
                    self.override_servers(Cause::Maintenance, now, actions);
                }
            }
            Input::FilesChanged(paths) => self.files_changed(&paths, now),
            Input::Reload => {
                self.log(Level::Info, "Reloading Linux Director Daemon config on signal");
                self.load_on_request(now);
            }
            Input::Loaded { load, result } => {
                // What was decided under the old model is done under it.
                self.act(std::mem::take(actions), now);
                self.loaded(load, *result, now);
            }
            Input::Terminate(signal) => {
                self.act(std::mem::take(actions), now);
                self.begin_stop(signal, now);
            }
            Input::Question(question, asker) => self.asked(question, asker, now, actions),
        }
    }

    /// The services of [`Question::Serving`].
    fn stands_for(&mut self) -> Result<Vec<ServiceAddress>, String> {
        let listed = self.table.backend().services().map_err(|error| error.to_string())?;
        let listed: HashSet<ServiceKey> = listed.into_iter().map(|service| service.key).collect();
        let all = self.director.services().iter().map(ServiceState::address);
        let stands = |address: &ServiceAddress| {
            listed.contains(&service_key(*address)) && self.table.failure(*address).is_none()
        };
        Ok(all.filter(stands).collect())
    }

    pub(super) fn asked(
        &mut self,
        question: Question,
        asker: Asker,
        now: Now,
        actions: &mut Vec<Action>,
    ) {
        let answer = match question {
            Question::Status => Answer::Status(Box::new(report::report(self, now))),
            Question::Metrics => Answer::Metrics(Box::new(self.metrics(now))),
            Question::Listing => {
                let text = listing(self.table.backend());
                Answer::Listing(text.unwrap_or_else(|error| error.to_string()))
            }
            Question::Serving => Answer::Serving(self.stands_for()),
            Question::HandOver => return self.hand_over_asked(asker, now),
            Question::Plan => return self.plan_asked(asker, now),
            Question::Reload(confirm) => return self.reload_asked(asker, confirm, now),
            Question::Confirm => Answer::Reload(self.confirm()),
            Question::Operate(command) => Answer::Operate(self.operate(&command, now, actions)),
        };
        self.effects.push(Effect::Answer(asker, answer));
    }

    /// What is due by time.
    fn go_on(&mut self, now: Now) {
        if self.ending.is_some() {
            self.order_hooks(now);
            self.end_if_over(now);
            self.order_hooks(now);
            return;
        }
        self.overrides_ended(now);
        self.first_round_over();
        self.loads_overdue(now);
        self.unconfirmed_over(now);
        self.names_due(now);
        self.take_back_overdue(now);
        if now.instant >= self.next_round {
            self.round(now);
        }
        self.alerts.remind(&self.director, self.status, now.instant, &mut self.effects);
        self.begin_checks(now);
        let names = self.maintenance.look_ups(now.instant);
        if !names.is_empty() {
            self.effects.push(Effect::LookUp(names));
        }
        self.order_hooks(now);
    }

    fn begin_checks(&mut self, now: Now) {
        let instant = now.instant;
        let (mut runs, mut pathless) = (Vec::new(), Vec::new());
        for id in self.schedule.take_due(instant) {
            let Some((plan, step)) = self.director.due(id) else {
                self.schedule.put_off(id, instant);
                continue;
            };
            let doubtful = self.director.members(id).iter().any(|member| {
                let service = &self.director.services()[member.service].service;
                self.maintenance.doubts(service.real_servers[member.server].address, instant)
            });
            if doubtful {
                self.schedule.postpone(id, DOUBT_PAUSE, instant);
                continue;
            }
            let run = self.schedule.begin(id, longest(plan, step), instant);
            let run = Run { check: id, step, run };
            match self.without_path(run, plan) {
                Some(answer) => pathless.push(answer),
                None => runs.push(run),
            }
        }
        if !runs.is_empty() {
            self.effects.push(Effect::Check(runs));
        }
        if !pathless.is_empty() {
            self.answer_pathless(pathless, now);
        }
    }

    /// An answer that does not come is a fault of ours: the server keeps its state, and its check is
    /// run again.
    fn take_back_overdue(&mut self, now: Now) {
        for (id, run, begun) in self.schedule.take_overdue(now.instant) {
            self.schedule.lost(id, run, now.instant);
            self.faults.unanswered_checks += 1;
            self.counters.unanswered_checks += 1;
            if self.unanswered.insert(id)
                && let Some(plan) = self.director.plan(id)
            {
                let target = plan.target();
                let seconds = now.instant.saturating_duration_since(begun).as_secs();
                self.fault(format!(
                    "internal fault: the check of {target} has not answered for {seconds} s; \
                     it is run again"
                ));
            }
        }
    }

    pub(super) fn checked(&mut self, checked: &Checked, now: Now, actions: &mut Vec<Action>) {
        if !self.schedule.finished(checked.check, checked.run, now.instant) {
            return;
        }
        self.unanswered.remove(&checked.check);
        let excused = self.excuse(checked);
        let checked = excused.as_ref().unwrap_or(checked);
        let (failure, seen) = match &checked.outcome {
            CheckOutcome::Up(note) => (None, note.certificate),
            CheckOutcome::Down(failure) => (Some(failure.clone()), None),
        };
        let before = self.last_checks.remove(&checked.check);
        let (failure_before, certificate_before) =
            before.map_or((None, None), |before| (before.failure, before.certificate));
        if let Some(certificate) = seen {
            self.tell_certificate(checked.check, certificate, certificate_before);
        }
        let certificate = seen.or(certificate_before);
        let (at, duration) = (now.instant, checked.duration);
        self.last_checks.insert(checked.check, LastCheck { at, duration, failure, certificate });
        self.tell_outcome(checked, failure_before.as_ref(), now);
        for action in self.director.handle(Event::Checked(checked.clone()), now.instant) {
            match action {
                Action::Report(report) => self.report(&report, Cause::Check(checked), now.instant),
                Action::Destination(_) | Action::Hook { .. } => actions.push(action),
            }
        }
        if let Some(pause) = self.director.hurry(checked.check) {
            self.schedule.hurry(checked.check, pause, now.instant);
        }
    }

    fn metrics(&mut self, now: Now) -> MetricsReport {
        MetricsReport {
            version: metrics::VERSION,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            status: report::report(self, now),
            counters: self.counters.clone(),
            checks: self.schedule.checks(now.instant),
            owed: self.table.owed_services() as u64,
            // Filled in by who answers.
            processes: Vec::new(),
        }
    }

    pub(super) fn maintenance_heard(&mut self, heard: Heard) {
        let path = self.configuration.model.settings.maintenance_dir.clone().unwrap_or_default();
        let path = path.display();
        match heard {
            Heard::Nothing => {}
            Heard::Unreadable(error) => self.log(
                Level::Warn,
                format!("read maintenancedir {path}: {error}; servers in maintenance stay so"),
            ),
            Heard::Readable => {
                self.log(Level::Info, format!("maintenancedir {path} can be read again"));
            }
        }
    }

    /// What operators say of servers, by files and by commands.
    pub(super) fn overrides(&self) -> Overrides {
        Overrides { maintenance: self.maintenance.in_maintenance(), said: self.operator.said() }
    }

    fn operate(
        &mut self,
        command: &Command,
        now: Now,
        actions: &mut Vec<Action>,
    ) -> Result<String, String> {
        let words = self.operator.apply(command, &self.director, now)?;
        self.event(What::Operator { text: command.log() });
        self.log(Level::Info, command.log());
        self.effects.push(Effect::Keep(self.operator.lines()));
        self.override_servers(Cause::Operator, now, actions);
        Ok(words)
    }

    /// Overrides that were said for a time only.
    fn overrides_ended(&mut self, now: Now) {
        let ended = self.operator.take_ended(now.instant);
        if ended.is_empty() {
            return;
        }
        for entry in ended {
            self.event(What::Operator { text: entry.ended() });
            self.log(Level::Info, entry.ended());
        }
        self.effects.push(Effect::Keep(self.operator.lines()));
        let mut actions = Vec::new();
        self.override_servers(Cause::Operator, now, &mut actions);
        self.act(actions, now);
    }

    fn override_servers(&mut self, cause: Cause<'_>, now: Now, actions: &mut Vec<Action>) {
        let overrides = self.overrides();
        if overrides == *self.director.overrides() {
            return;
        }
        for action in self.director.handle(Event::Overrides(overrides), now.instant) {
            match action {
                Action::Report(report) => self.report(&report, cause, now.instant),
                Action::Destination(_) | Action::Hook { .. } => actions.push(action),
            }
        }
        for state in self.director.services() {
            for (index, server) in state.servers.iter().enumerate() {
                if server.health == Health::Maintenance {
                    Alerts::monitor_maintenance(&state.service, index, now, &mut self.effects);
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

    /// Puts the director's checks into the schedule, and tells who runs them.
    pub(super) fn install_checks(&mut self, now: Now) {
        let intervals = self.director.checks().map(|(id, _, interval)| (id, interval));
        let settings = &self.configuration.model.settings;
        self.schedule.keep(Rhythm {
            spread: settings.start_spread,
            jitter: settings.jitter,
            seed: self.since.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_nanos()
                as u64,
        });
        self.schedule.install(intervals, now.instant);
        self.counters.keep(self.director.services().iter().map(|state| {
            let servers = state.service.real_servers.iter().map(|server| server.address);
            (state.address(), servers)
        }));
        let mut plans: Vec<_> =
            self.director.checks().map(|(id, plan, _)| (id, plan.clone())).collect();
        plans.sort_unstable_by_key(|(id, _)| *id);
        self.effects.push(Effect::Plans(plans));
    }

    pub(super) fn watch(&mut self) {
        let directory = self.configuration.model.settings.maintenance_dir.clone();
        self.effects.push(Effect::Watch(directory, self.configuration.files.clone()));
    }

    /// Carries out what the director wants: the table first, then the hooks.
    pub(super) fn act(&mut self, actions: Vec<Action>, now: Now) {
        let mut changes: Vec<Change> = Vec::new();
        let mut hooks = Vec::new();
        for action in actions {
            match action {
                Action::Destination(change) => changes.push(change),
                Action::Hook { service, command, argument } => {
                    hooks.push(HookJob { service, command, argument });
                }
                Action::Report(report) => self.report(&report, Cause::Maintenance, now.instant),
            }
        }
        if !changes.is_empty() {
            let done = self.table.change(changes);
            self.tell(done, now);
        }
        for job in hooks {
            let service = job.service;
            if self.hooks.push(job) > 0 {
                self.log(
                    Level::Warn,
                    format!("fallbackcommand queue full for {service}: skipped a start/stop pair"),
                );
            }
        }
    }

    pub(super) fn order_hooks(&mut self, now: Now) {
        for order in self.hooks.orders(now.instant) {
            match order {
                Order::Remember(lines) => self.effects.push(Effect::Remember(lines)),
                Order::Run(run) => {
                    let line = format!("Running system({})", run.program);
                    self.effects.push(Effect::Log(Level::Debug, line));
                    self.effects.push(Effect::Hook(run));
                }
            }
        }
    }

    pub(super) fn hook_told(&mut self, event: HookEvent, now: Now) {
        let Some(ended) = self.hooks.handle(event, now.instant) else { return };
        let program = &ended.program;
        match &ended.result {
            HookResult::Exited(0) => {}
            HookResult::TimedOut => {
                let seconds = ended.timeout.as_secs();
                let line = format!("system({program}) failed: timed out after {seconds} s, ended");
                self.log(Level::Error, line);
            }
            result => {
                let line = format!("system({program}) failed: {result}");
                self.log(Level::Error, line);
            }
        }
        let Some(report) = ended.report else { return };
        let service = report.job.service;
        if self.director.service(service).is_some() {
            self.counters.hook(&report);
        }
        self.event(What::Hook {
            service: service.id(),
            argument: report.job.argument.word().to_owned(),
            succeeded: report.succeeded(),
            result: report.result.to_string(),
            duration_ms: u64::try_from(report.duration.as_millis()).unwrap_or(u64::MAX),
            attempt: report.attempt,
        });
        let configured = self.director.service(service);
        if configured.is_none_or(|state| state.service.fallback_command.is_none()) {
            if !self.hooks.is_busy(service) {
                self.hooks.forget(service);
            }
        } else {
            self.last_hooks.insert(service, LastHook { at: now.wall, report });
        }
    }

    /// Once per check interval: what failed is tried again, `reconcile` looks for drift.
    fn round(&mut self, now: Now) {
        self.next_round = now.instant + round_interval(&self.configuration.model);
        if self.table.owes() {
            let done = self.table.retry(&self.director);
            self.tell(done, now);
        }
        self.reconcile(now);
        self.paths.look(self.table.backend());
    }

    fn reconcile(&mut self, now: Now) {
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
                if self.blind.take().is_some() {
                    self.log(Level::Info, "drift is looked for again");
                }
                self.tell(done, now);
            }
            Err(error) if self.blind.as_ref() == Some(&error) => {}
            Err(error) => {
                self.log(Level::Warn, format!("cannot look for drift: {error}"));
                self.blind = Some(error);
            }
        }
    }

    pub(super) fn round_soon(&mut self, now: Now) {
        let round = now.instant + round_interval(&self.configuration.model);
        self.next_round = self.next_round.min(round);
    }

    pub(super) fn log(&mut self, level: Level, line: impl Into<String>) {
        self.effects.push(Effect::Log(level, line.into()));
    }

    pub(super) fn event(&mut self, what: What) {
        self.effects.push(Effect::Event(what));
    }

    /// A fault of the program itself or of the machine.
    pub(super) fn fault(&mut self, line: String) {
        self.counters.internal_faults += 1;
        self.event(What::Fault { text: line.clone() });
        self.log(Level::Error, line);
    }

    pub(super) fn end(&mut self, end: End) {
        self.effects.push(Effect::End(end));
    }
}

/// How long a run of a check may take until its answer is there.
fn longest(plan: &CheckPlan, step: Step) -> Duration {
    let timeout = match plan.agent_command() {
        Some(_) => {
            plan.timeout(step).saturating_add(agent::PATIENCE).saturating_add(EXTERNAL_GRACE)
        }
        None => plan.timeout(step),
    };
    match plan.method {
        CheckMethod::External(_) | CheckMethod::ExternalPerl(_) => {
            timeout.saturating_add(EXTERNAL_GRACE)
        }
        CheckMethod::On
        | CheckMethod::Off
        | CheckMethod::Connect
        | CheckMethod::Ping { .. }
        | CheckMethod::Negotiate(_)
        | CheckMethod::Combined { .. } => timeout,
    }
}

/// The shortest check interval there is.
fn round_interval(model: &Model) -> Duration {
    let services = model.services.iter().map(|service| service.check_interval);
    services.fold(model.settings.check_interval, Duration::min).min(LONGEST_ROUND)
}
