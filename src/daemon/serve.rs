//! The life of a daemon: from the configuration to the last line of the log.

use super::control::{self, Control, Groups, Peer, Sockets};
use super::detach::{Failed, Reporter};
use super::execute::Instances;
use super::heal::{self, Resumed};
use super::load::{self, Caller, Configuration};
use super::notify;
use super::pid_file::{PidFile, Refusal};
use super::request::{Operate, Request};
use super::signals::{Signal, Signals};
use super::{Paths, log_exit};
use crate::cli::{ExitStatus, Mode, TableChoice};
use crate::dataplane::{Dataplane, Kernel, Memory};
use crate::event::What;
use crate::logging;
use crate::metrics::Process;
use crate::model::Settings;
use crate::prober::ProberOptions;
use crate::runtime::{self, Controller, End, Runtime, Setup};
use nix::unistd::{Gid, Group, User};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the control thread waits for the runtime.
const ANSWER: Duration = Duration::from_secs(4);

/// The same for a hand-over, which the runtime answers in less: it reads the configuration for 30 s at
/// most, and waits 5 s for hooks.
const HAND_OVER: Duration = Duration::from_secs(50);

/// The group that may ask what changes nothing, if the machine has it; the package makes it.
const READERS: &str = "ldirectord";

/// What a daemon is made of.
pub(super) struct Daemon {
    pub(super) configuration: Configuration,
    pub(super) instance: String,
    pub(super) mode: Mode,
    pub(super) table: TableChoice,
    pub(super) paths: Paths,
    /// If this process has started itself anew.
    pub(super) resumed: Option<Resumed>,
}

impl Daemon {
    /// Runs until a signal ends it; `reporter` hears when the table is up, or why it will not be.
    pub(super) fn run(self, reporter: Reporter) -> ExitStatus {
        let pid_file = match self.take_pid_file() {
            Ok(pid_file) => pid_file,
            Err(Refusal::Running) => {
                reporter.ready();
                return ExitStatus::Success;
            }
            Err(Refusal::Ending) => {
                let path = self.paths.pid_file(&self.instance);
                let message = format!("{} is held by a process that is ending", path.display());
                return give_up(reporter, message);
            }
            Err(Refusal::Io(error)) => {
                let path = self.paths.pid_file(&self.instance);
                let message = format!("Can not open {}: {error}", path.display());
                return give_up(reporter, message);
            }
        };
        log_panics();
        if self.stays_in_foreground() {
            let pid = std::process::id();
            log::info!("Starting Linux Director v1.186-ha with pid: {pid}");
        } else {
            log::info!("Starting Linux Director v1.186-ha as daemon");
        }
        self.work(pid_file, reporter)
    }

    fn work(self, pid_file: Option<PidFile>, reporter: Reporter) -> ExitStatus {
        let instances = Arc::new(Mutex::new(Instances::new(&own_program())));
        let names = self.configuration.model.settings.execute.clone();
        let (resumed, config) = (self.resumed.clone(), self.configuration.path.clone());
        let sockets = self.paths.sockets(&self.instance);
        let allowed = groups(&self.configuration.model.settings);
        let notifies =
            self.mode == Mode::Foreground || self.configuration.model.settings.supervised;
        let serving_file = self.paths.serving(&self.instance);
        let control: Arc<Mutex<Option<Control>>> = Arc::default();
        let started = self.start(&instances, &control, notifies);
        let runtime = match started {
            Ok((runtime, controller)) => {
                *lock(&control) = listen(sockets, allowed, controller);
                runtime
            }
            Err(message) => {
                // Gone before the caller hears of it.
                drop(pid_file);
                return give_up(reporter, message);
            }
        };
        reporter.ready();
        if notifies {
            notify::ready("running");
        }
        lock(&instances).set(&names);
        let serving = runtime.serving();
        let end = catch_unwind(AssertUnwindSafe(|| runtime.run()));
        let end = match end {
            Ok(end) => end,
            Err(fault) => {
                lock(&control).take();
                let words = runtime::words(&*fault);
                heal::leave_serving(&serving_file, &lock(&serving));
                heal::start_anew(resumed.as_ref(), config, pid_file.as_ref(), words);
                return ExitStatus::Failure;
            }
        };
        lock(&instances).finish();
        // The next daemon wants the socket as soon as it has the pid file.
        lock(&control).take();
        drop(pid_file);
        match end {
            End::Signal(signal) => {
                let reason = format!("Linux Director Daemon terminated on signal: {signal}");
                log_exit(ExitStatus::Success, &reason);
            }
            End::HandedOver => log::info!("the next process takes over the table as it is"),
        }
        ExitStatus::Success
    }

    /// Signals, table and threads. The error is in words.
    fn start(
        self,
        instances: &Arc<Mutex<Instances>>,
        control: &Arc<Mutex<Option<Control>>>,
        notifies: bool,
    ) -> Result<(Runtime, Controller), String> {
        let signals = Signals::block().map_err(|error| format!("signals: {error}"))?;
        let (table, table_name): (Box<dyn Dataplane>, _) = match self.table {
            TableChoice::Memory => (Box::new(Memory::new()), "memory"),
            TableChoice::Kernel => {
                let kernel = Kernel::open().map_err(|error| {
                    format!("{error}; `--table memory` tries a configuration without ip_vs")
                })?;
                (Box::new(kernel), "kernel")
            }
        };
        let config = self.configuration.path.clone();
        let (mode, instance) = (self.mode, self.instance.clone());
        let changed = Arc::clone(instances);
        let stopping = Arc::clone(instances);
        let control = Arc::clone(control);
        let watchdog = notifies.then(notify::watchdog_interval).flatten();
        let setup = Setup {
            config: config.clone(),
            instance: self.instance.clone(),
            configuration: runtime::Configuration {
                model: self.configuration.model,
                files: self.configuration.files,
                names: self.configuration.names,
            },
            load: Arc::new(move || load::again(&config)),
            table,
            table_name,
            memory: self.paths.hook_memory(&self.instance),
            overrides: self.paths.overrides(&self.instance),
            counters: self.paths.counters(&self.instance),
            settings_changed: Box::new(move |settings| {
                let caller = Caller { mode, instance: &instance, silent: false };
                logging::redirect(load::log_output(settings, caller));
                lock(&changed).set(&settings.execute);
                if let Some(control) = &*lock(&control) {
                    control.allow(groups(settings));
                }
            }),
            stopping: Box::new(move || {
                if notifies {
                    notify::stopping();
                }
                lock(&stopping).stop();
            }),
            alive: watchdog
                .map(|interval| (interval, Box::new(notify::alive) as Box<dyn FnMut() + Send>)),
            earlier: match self.resumed {
                Some(_) => heal::take_serving(&self.paths.serving(&self.instance)),
                None => Vec::new(),
            },
            faults: self.resumed.as_ref().map(Resumed::faults).unwrap_or_default(),
        };
        let prober = ProberOptions::new(&self.instance);
        let (runtime, controller) =
            Runtime::start(setup, prober).map_err(|error| error.to_string())?;
        let told = controller.clone();
        signals
            .deliver(move |signal| match signal {
                Signal::Reload => told.reload(),
                Signal::Terminate(name) => told.terminate(name),
            })
            .map_err(|error| format!("signals: {error}"))?;
        Ok((runtime, controller))
    }

    // compat: no pid file in the foreground (spec 1.9, 5.14), but for systemd one
    fn take_pid_file(&self) -> Result<Option<PidFile>, Refusal> {
        if self.mode == Mode::Debug || self.configuration.model.settings.supervised {
            return Ok(None);
        }
        let path = self.paths.pid_file(&self.instance);
        match &self.resumed {
            Some(resumed) if resumed.pid_file => Ok(Some(PidFile::resume(&path)?)),
            Some(_) | None => PidFile::create(&path).map(Some),
        }
    }

    /// Whether the daemon is to stay in the process that was called.
    pub(super) fn stays_in_foreground(&self) -> bool {
        self.mode != Mode::Daemon || self.configuration.model.settings.supervised
    }
}

/// Without the sockets the daemon does its work all the same.
fn listen(paths: Sockets, groups: Groups, controller: Controller) -> Option<Control> {
    let shown = paths.all.display().to_string();
    // The group's name is also that of the user who runs the checks, and who may not ask.
    let prober = User::from_name(READERS).ok().flatten().map(|user| user.uid);
    let answers = move |request, who: Peer| {
        if Some(who.uid) == prober {
            return Err("the prober may not ask".to_owned());
        }
        answer(&controller, request, who)
    };
    control::serve(paths, groups, Box::new(answers))
        .inspect_err(|error| {
            log::warn!("{shown}: {error}; status --table will not work");
        })
        .ok()
}

fn answer(controller: &Controller, request: Request, who: Peer) -> Result<Vec<u8>, String> {
    let busy = || "the daemon is busy".to_owned();
    let json = |error: serde_json::Error| error.to_string();
    let line = |text: String| (text + "\n").into_bytes();
    match request {
        Request::Status => {
            let report = controller.status(ANSWER).ok_or_else(busy)?;
            serde_json::to_vec(&report).map_err(json)
        }
        Request::Metrics => {
            let mut report = controller.metrics(ANSWER).ok_or_else(busy)?;
            let prober = report.status.prober.as_ref().and_then(|prober| prober.pid);
            let processes = [("director", Some(report.status.pid)), ("prober", prober)];
            let read = |(name, pid): (&str, Option<u32>)| Process::read(name, pid?);
            report.processes = processes.into_iter().filter_map(read).collect();
            serde_json::to_vec(&report).map_err(json)
        }
        Request::Listing => controller.listing(ANSWER).map(String::into_bytes).ok_or_else(busy),
        Request::Serving => {
            let services = controller.serving(ANSWER)?;
            let lines: String = services.iter().map(|service| service.id() + "\n").collect();
            Ok(lines.into_bytes())
        }
        Request::HandOver => controller.hand_over(HAND_OVER).map(|()| Vec::new()),
        Request::Events { after, since_ms } => Ok(controller.events(after, since_ms).into_bytes()),
        Request::Plan => serde_json::to_vec(&controller.plan(HAND_OVER)?).map_err(json),
        Request::Reload { confirm } => {
            said(controller, who, &request);
            controller.reload_now(confirm, HAND_OVER).map(line)
        }
        Request::Confirm => {
            said(controller, who, &request);
            controller.confirm(ANSWER).map(line)
        }
        Request::Operate(operate) => {
            let Operate { change, target, service, length, force, reason } = operate;
            let by = who.name();
            let command = runtime::Command { change, target, service, length, force, by, reason };
            controller.operate(command, ANSWER).map(line)
        }
        #[cfg(debug_assertions)]
        Request::Fail => {
            controller.fail();
            Ok(Vec::new())
        }
    }
}

/// Log and events say who has asked for a change; of servers, the owner says it.
fn said(controller: &Controller, who: Peer, request: &Request) {
    let text = format!("operator {}: {}", who.name(), request.line().trim_end());
    log::info!("{text}");
    controller.remember(What::Operator { text });
}

/// Who may ask, by the configuration and by the groups of this machine.
fn groups(settings: &Settings) -> Groups {
    let reading = nix::unistd::geteuid().is_root().then(|| Group::from_name(READERS));
    Groups {
        reading: reading.and_then(Result::ok).flatten().map(|group| group.gid),
        changing: settings.control_group.map(Gid::from_raw),
    }
}

fn give_up(reporter: Reporter, message: String) -> ExitStatus {
    log::error!("{message}");
    log_exit(ExitStatus::Failure, &message);
    reporter.failed(&Failed { status: ExitStatus::Failure, message });
    ExitStatus::Failure
}

fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `execute` runs: this very program, also after a new one was installed in its place.
pub(super) fn own_program() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from("/usr/sbin/ldirectord"),
    }
}

/// A fault of the program is told where the operator looks, not on a closed standard error.
fn log_panics() {
    std::panic::set_hook(Box::new(|fault| log::error!("internal fault, please report: {fault}")));
}
