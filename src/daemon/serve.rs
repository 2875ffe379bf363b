//! The life of a daemon: from the configuration to the last line of the log.

use super::control::{self, Answers, Control};
use super::detach::{Failed, Reporter};
use super::execute::Instances;
use super::load::{self, Configuration};
use super::notify;
use super::pid_file::{PidFile, Refusal};
use super::signals::{Signal, Signals};
use super::{Paths, log_exit};
use crate::cli::{ExitStatus, Mode, TableChoice};
use crate::dataplane::{Dataplane, Kernel, Memory};
use crate::logging;
use crate::runtime::{self, Controller, End, Runtime, Setup};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// How long the control thread waits for the runtime.
const ANSWER: Duration = Duration::from_secs(4);

/// What a daemon is made of.
pub(super) struct Daemon {
    pub(super) configuration: Configuration,
    pub(super) instance: String,
    pub(super) mode: Mode,
    pub(super) table: TableChoice,
    pub(super) paths: Paths,
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
        let control_path = self.paths.control(&self.instance);
        let notifies =
            self.mode == Mode::Foreground || self.configuration.model.settings.supervised;
        let started = self.start(&instances, notifies);
        let (runtime, control) = match started {
            Ok((runtime, controller)) => (runtime, listen(&control_path, controller)),
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
        let end = runtime.run();
        drop(control);
        lock(&instances).finish();
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
        let watchdog = notifies.then(notify::watchdog_interval).flatten();
        let setup = Setup {
            config: config.clone(),
            instance: self.instance.clone(),
            configuration: runtime::Configuration {
                model: self.configuration.model,
                fingerprint: self.configuration.fingerprint,
            },
            load: Arc::new(move || load::again(&config)),
            table,
            table_name,
            memory: self.paths.hook_memory(&self.instance),
            settings_changed: Box::new(move |model| {
                logging::redirect(load::log_output(&model.settings, mode, &instance));
                lock(&changed).set(&model.settings.execute);
            }),
            stopping: Box::new(move || {
                if notifies {
                    notify::stopping();
                }
                lock(&stopping).stop();
            }),
            alive: watchdog
                .map(|interval| (interval, Box::new(notify::alive) as Box<dyn FnMut() + Send>)),
        };
        let (runtime, controller) = Runtime::start(setup).map_err(|error| error.to_string())?;
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
        PidFile::create(&self.paths.pid_file(&self.instance)).map(Some)
    }

    /// Whether the daemon is to stay in the process that was called.
    pub(super) fn stays_in_foreground(&self) -> bool {
        self.mode != Mode::Daemon || self.configuration.model.settings.supervised
    }
}

/// Without the socket the daemon does its work all the same.
fn listen(path: &std::path::Path, controller: Controller) -> Option<Control> {
    let (other, another) = (controller.clone(), controller.clone());
    let answers = Answers {
        status: Box::new(move || controller.status(ANSWER)),
        listing: Box::new(move || other.listing(ANSWER)),
        hand_over: Box::new(move || another.hand_over(ANSWER)),
    };
    control::serve(path, answers)
        .inspect_err(|error| {
            log::warn!("{}: {error}; status --table will not work", path.display());
        })
        .ok()
}

fn give_up(reporter: Reporter, message: String) -> ExitStatus {
    log::error!("{message}");
    log_exit(ExitStatus::Failure, &message);
    reporter.failed(&Failed { status: ExitStatus::Failure, message });
    ExitStatus::Failure
}

fn lock(instances: &Mutex<Instances>) -> MutexGuard<'_, Instances> {
    instances.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What `execute` runs: this very program, also after a new one was installed in its place.
fn own_program() -> PathBuf {
    match std::env::current_exe() {
        Ok(path) if path.exists() => path,
        _ => PathBuf::from("/usr/sbin/ldirectord"),
    }
}

/// A fault of the program is told where the operator looks, not on a closed standard error.
fn log_panics() {
    std::panic::set_hook(Box::new(|fault| log::error!("internal fault, please report: {fault}")));
}
