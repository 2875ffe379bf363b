//! The loop that feeds the owner's step, and the carrying out of its effects.

use super::controller::Controller;
use super::counters_file::CountersFile;
use super::effect::{Answer, Effect, End};
use super::input::{Asker, Input, Loaded, Now, Question, Refused};
use super::names::Names;
use super::operator::Line as OverrideLine;
use super::setup::{Load, LookUp, Setup};
use super::state_file::StateFile;
use super::step::{Beginning, Owner};
use super::watch::Watch;
use crate::alert::{Alerter, MonitorFiles};
use crate::config::{Files, Fingerprint};
use crate::dataplane::{Memory as NoTable, Table};
use crate::hook::{self, Journal, Memory};
use crate::logging;
use crate::metrics::Counters;
use crate::model::{ServiceAddress, Settings};
use crate::prober::{Prober, ProberOptions, ProberStatus, Report};
use crate::status::ProberReport;
use crate::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use crate::sync::thread;
use std::any::Any;
use std::collections::BTreeMap;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Messages that are taken together at most.
const BATCH: usize = 4096;

/// Outcomes come in bursts: a moment later they are taken together.
const MOMENT: Duration = Duration::from_millis(1);

/// How long an end waits for mail that is on its way.
const MAIL: Duration = Duration::from_secs(3);

/// What other threads tell the owner thread.
#[derive(Debug)]
pub(super) enum Message {
    /// Something has happened.
    Input(Input),
    /// Somebody asks, and waits here for the answer.
    Question(Question, Sender<Answer>),
    /// A thread that must live has ended: its name.
    Fault(&'static str),
}

/// The runtime: made by [`Runtime::start`], run by [`Runtime::run`].
pub struct Runtime {
    owner: Owner,
    inbox: Receiver<Message>,
    performers: Performers,
    /// Effects of the start.
    first: Vec<Effect>,
    alive: Option<Alive>,
}

struct Alive {
    interval: Duration,
    next: Instant,
    tell: Box<dyn FnMut() + Send>,
}

/// Who carries effects out.
struct Performers {
    config: PathBuf,
    sender: Sender<Message>,
    prober: Prober,
    journal: Journal,
    serving: Arc<Mutex<Vec<ServiceAddress>>>,
    controller: Controller,
    state_file: StateFile,
    counters_file: CountersFile,
    /// Whether the overrides could be kept the last time.
    kept: Result<(), String>,
    alerter: Alerter,
    monitor_files: MonitorFiles,
    watch: Watch,
    names: Names,
    load: Load,
    settings_changed: Box<dyn FnMut(&Settings) + Send>,
    stopping: Box<dyn FnMut() + Send>,
    askers: BTreeMap<Asker, Sender<Answer>>,
    last_asker: Asker,
}

impl Runtime {
    /// Synchronises the table with the model and starts the threads. When it returns, the table
    /// lists every service.
    ///
    /// # Errors
    /// When the table cannot be read or a thread cannot be started.
    pub fn start(mut setup: Setup, prober: ProberOptions) -> io::Result<(Self, Controller)> {
        let (sender, inbox) = channel();
        let watch = Watch::new(&setup.config, setup.configuration.files.clone());
        let directory = setup.configuration.model.settings.maintenance_dir.clone();
        let maintenance = directory.map(|directory| watch.list(&directory));
        let journal = Journal::open(&setup.memory);
        let state_file = StateFile::new(&setup.overrides);
        let counters_file = CountersFile::new(&setup.counters);
        let table = std::mem::replace(&mut setup.table, Box::new(NoTable::new()));
        let beginning = Beginning {
            config: setup.config.clone(),
            instance: setup.instance,
            configuration: setup.configuration,
            table: (Table::new(table), setup.table_name),
            memory: Memory::from_lines(journal.lines()),
            maintenance,
            earlier: setup.earlier,
            overrides: state_file.read(),
            faults: setup.faults,
            counters: counters_file.take(),
        };
        let now = Now::read();
        let (owner, first) = Owner::start(beginning, now).map_err(io::Error::other)?;
        watch.start(&sender)?;
        // The prober's threads do not share a sender.
        let answers = Mutex::new(sender.clone());
        let sink = move |report| {
            let input = match report {
                Report::Outcomes(checked) => Input::Outcomes(checked),
                Report::Lost(runs) => Input::Lost(runs),
            };
            let answers = answers.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = answers.send(Message::Input(input));
        };
        let controller = Controller { sender: sender.clone(), events: Arc::default() };
        let performers = Performers {
            config: setup.config,
            prober: Prober::start(prober, sink)?,
            journal,
            serving: Arc::default(),
            controller: controller.clone(),
            state_file,
            counters_file,
            kept: Ok(()),
            alerter: Alerter::start(),
            monitor_files: MonitorFiles::start(),
            watch,
            names: Names::new(),
            load: setup.load,
            settings_changed: setup.settings_changed,
            stopping: setup.stopping,
            askers: BTreeMap::new(),
            last_asker: 0,
            sender: sender.clone(),
        };
        let alive = setup.alive.map(|(interval, tell)| Alive { interval, next: now.instant, tell });
        let mut runtime = Self { owner, inbox, performers, first: Vec::new(), alive };
        // A hook may begin before the caller hears that the table is up, as it always could.
        runtime.first = first;
        runtime.perform_first();
        Ok((runtime, controller))
    }

    fn perform_first(&mut self) {
        let first = std::mem::take(&mut self.first);
        let end = self.performers.carry_out(first);
        debug_assert!(end.is_none(), "nothing asks for an end at the start");
    }

    /// The services in force, also after a fault has ended [`Runtime::run`].
    pub fn serving(&self) -> Arc<Mutex<Vec<ServiceAddress>>> {
        Arc::clone(&self.performers.serving)
    }

    /// Watches, until a signal or a successor asks to stop.
    pub fn run(mut self) -> End {
        loop {
            let inputs = self.receive();
            let effects = self.owner.step(inputs, Now::read());
            if let Some(end) = self.performers.carry_out(effects) {
                return end;
            }
            if let Some(alive) = &mut self.alive
                && Instant::now() >= alive.next
            {
                alive.next = Instant::now() + alive.interval;
                (alive.tell)();
            }
        }
    }

    /// What has happened, as soon as something has or something is due.
    fn receive(&mut self) -> Vec<Input> {
        let now = Instant::now();
        let alive = self.alive.as_ref().map(|alive| alive.next.saturating_duration_since(now));
        let wait = alive.into_iter().fold(self.owner.wait(now), Duration::min);
        let messages = batch(&self.inbox, wait);
        messages.into_iter().map(|message| self.performers.input(message)).collect()
    }
}

/// What the inbox holds, at most [`BATCH`] messages; waits for the first. What is not taken stays there.
fn batch(inbox: &Receiver<Message>, wait: Duration) -> Vec<Message> {
    let first = match inbox.recv_timeout(wait) {
        Ok(message) => message,
        Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Vec::new(),
    };
    if let Message::Input(Input::Outcomes(_)) = first {
        thread::sleep(MOMENT);
    }
    std::iter::once(first).chain(inbox.try_iter().take(BATCH - 1)).collect()
}

impl Performers {
    fn input(&mut self, message: Message) -> Input {
        match message {
            Message::Input(input) => input,
            Message::Question(question, asker) => {
                self.last_asker += 1;
                self.askers.insert(self.last_asker, asker);
                Input::Question(question, self.last_asker)
            }
            Message::Fault(thread) => panic!("the thread '{thread}' has ended"),
        }
    }

    /// Carries effects out in their order. The end, if there is one.
    fn carry_out(&mut self, effects: Vec<Effect>) -> Option<End> {
        logging::burst(|| self.carry_out_each(effects))
    }

    fn carry_out_each(&mut self, effects: Vec<Effect>) -> Option<End> {
        for effect in effects {
            // Whoever sees what has been done finds in the log what came before.
            if matches!(effect, Effect::Hook(_) | Effect::Answer(..) | Effect::End(_)) {
                log::logger().flush();
            }
            match effect {
                Effect::Plans(plans) => self.prober.install(plans.into_iter()),
                Effect::Check(runs) => self.prober.begin(&runs),
                Effect::Remember(lines) => self.journal.append(lines),
                Effect::Keep(lines) => self.keep(&lines),
                Effect::Hook(run) => {
                    let owner = self.sender.clone();
                    hook::run(run, move |event| {
                        let _ = owner.send(Message::Input(Input::Hook(event)));
                    });
                }
                Effect::Event(what) => self.controller.remember(what),
                Effect::Log(level, line) => log::log!(level, "{line}"),
                Effect::Mail(mail) => self.alerter.send(mail),
                Effect::Monitor(path, line) => self.monitor_files.append(&path, line),
                Effect::Serving(services) => {
                    *self.serving.lock().unwrap_or_else(PoisonError::into_inner) = services;
                }
                Effect::Load(number, names) => self.begin_load(number, names),
                Effect::Watch(directory, baseline) => self.watch.retarget(directory, baseline),
                Effect::Rebase(baseline) => self.watch.rebase(baseline),
                Effect::LookUp(addresses) => self.names.look_up(addresses, &self.sender),
                Effect::Settings(settings) => (self.settings_changed)(&settings),
                Effect::Leave(mut counters) => {
                    self.add_own(&mut counters);
                    self.counters_file.leave(&counters);
                }
                Effect::Answer(asker, mut answer) => {
                    match &mut answer {
                        Answer::Status(report) => report.prober = Some(self.prober_report()),
                        Answer::Metrics(report) => {
                            report.status.prober = Some(self.prober_report());
                            self.add_own(&mut report.counters);
                        }
                        _ => {}
                    }
                    if let (Answer::Operate(Ok(words)), Err(error)) = (&mut answer, &self.kept) {
                        words.push_str("; NOT KEPT over a restart: ");
                        words.push_str(error);
                    }
                    if let Some(asker) = self.askers.remove(&asker) {
                        // An asker that has gone away needs no answer.
                        let _ = asker.send(answer);
                    }
                }
                Effect::Stopping => (self.stopping)(),
                Effect::End(end) => {
                    self.alerter.drain(MAIL);
                    return Some(end);
                }
            }
        }
        None
    }

    fn keep(&mut self, lines: &[OverrideLine]) {
        self.kept = self.state_file.write(lines).map_err(|error| error.to_string());
        if let Err(error) = &self.kept {
            log::error!("what operators have said will not survive a restart: {error}");
        }
    }

    /// What is counted here, and not by the owner.
    fn add_own(&self, counters: &mut Counters) {
        let (sent, failed) = self.alerter.counts();
        counters.mails_sent += sent;
        counters.mails_failed += failed;
        counters.prober_starts += self.prober.status().starts;
    }

    fn prober_report(&self) -> ProberReport {
        let ProberStatus { pid, starts, last_reason, walls } = self.prober.status();
        let missing_walls = walls.map(|walls| walls.missing).unwrap_or_default();
        ProberReport { pid, starts, last_reason, missing_walls }
    }

    /// Reads the configuration, or looks its names up, on a thread of its own: that may take long.
    fn begin_load(&self, number: u64, names: Option<LookUp>) {
        let load = names.map_or_else(|| Arc::clone(&self.load), |LookUp(load)| load);
        let owner = self.sender.clone();
        let (config, watch) = (self.config.clone(), self.watch.clone());
        let work = move || {
            let result = read(&*load, &config, &watch);
            let input = Input::Loaded { load: number, result: Box::new(result) };
            let _ = owner.send(Message::Input(input));
        };
        if let Err(error) = thread::Builder::new().name("load".to_owned()).spawn(work) {
            let diagnostics = format!("reload: cannot start a thread: {error}");
            let result = Box::new(Err(Refused { diagnostics, found: None }));
            let _ = self.sender.send(Message::Input(Input::Loaded { load: number, result }));
        }
    }
}

/// Reads the configuration, and its `maintenancedir`. A fault in there refuses the configuration.
fn read(
    load: &(dyn Fn() -> Result<super::Configuration, Refused> + Send + Sync),
    config: &Path,
    watch: &Watch,
) -> Result<Loaded, Refused> {
    let found = Fingerprint::of(config).ok().map(|found| Box::new(Files::from(found)));
    let loaded = catch_unwind(AssertUnwindSafe(load)).unwrap_or_else(|fault| {
        let diagnostics = format!("internal fault: {}", words(&*fault));
        Err(Refused { diagnostics, found: None })
    });
    match loaded {
        Ok(configuration) => {
            let directory = configuration.model.settings.maintenance_dir.as_deref();
            let maintenance = directory.map(|directory| watch.list(directory));
            Ok(Loaded { configuration, maintenance })
        }
        Err(refused) => Err(Refused { found: refused.found.or(found), ..refused }),
    }
}

/// What a panic said.
pub fn words(fault: &(dyn Any + Send)) -> &str {
    let text = fault.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| fault.downcast_ref::<&str>().copied()).unwrap_or("no words")
}

/// Starts a thread that lives as long as the daemon. If it ends by a fault, the owner hears of it.
///
/// # Errors
/// When no thread can be started.
pub(super) fn spawn(
    name: &'static str,
    owner: &Sender<Message>,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<()> {
    let owner = owner.clone();
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(work)).is_err() {
            let _ = owner.send(Message::Fault(name));
        }
    };
    thread::Builder::new().name(name.to_owned()).spawn(guarded).map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dataplane::Memory;
    use crate::model::{FallbackCommand, Model, Protocol, ServiceAddress, VirtualService};
    use crate::runtime::operator::Command;
    use crate::runtime::{Configuration, FollowedNames};
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Far beyond what anything here takes, even on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    /// A service without real servers, which is down from the start.
    fn model() -> Model {
        let address = "127.0.0.10:80".parse().expect("an address");
        let address = ServiceAddress::Address { protocol: Protocol::Tcp, address };
        let command = FallbackCommand {
            command: "true".to_owned(),
            retry: false,
            timeout: PATIENCE,
            user: None,
        };
        let service =
            VirtualService { fallback_command: Some(command), ..VirtualService::new(address) };
        Model { services: vec![service], ..Model::default() }
    }

    fn configuration() -> Configuration {
        let fingerprint = Fingerprint { stamp: None, checksum: [0; 16] };
        Configuration { model: model(), files: fingerprint.into(), names: FollowedNames::default() }
    }

    fn setup(directory: &Path) -> Setup {
        Setup {
            earlier: Vec::new(),
            config: directory.join("test.cf"),
            instance: "test".to_owned(),
            configuration: configuration(),
            load: Arc::new(|| Ok(configuration())),
            table: Box::new(Memory::new()),
            table_name: "memory",
            memory: directory.join("test.hooks"),
            overrides: directory.join("test.overrides"),
            counters: directory.join("test.counters"),
            settings_changed: Box::new(|_| {}),
            stopping: Box::new(|| {}),
            alive: None,
            faults: Default::default(),
        }
    }

    /// Nothing here waits for a check: what is started as the prober ends at once.
    fn start(setup: Setup) -> (Runtime, Controller) {
        let prober = ProberOptions { program: "/bin/false".into(), ..ProberOptions::new("test") };
        Runtime::start(setup, prober).expect("a runtime")
    }

    /// Runs it until `TERM`; what `work` has to do in between.
    fn run(setup: Setup, work: impl FnOnce(&Controller)) {
        let (runtime, controller) = start(setup);
        let (sender, ended) = channel();
        let thread = thread::spawn(move || sender.send(runtime.run()));
        work(&controller);
        controller.terminate("TERM");
        assert_eq!(ended.recv_timeout(PATIENCE), Ok(End::Signal("TERM")));
        thread.join().expect("no panic").expect("it is heard");
    }

    fn wait_for(is_so: impl Fn() -> bool) {
        let begun = Instant::now();
        while !is_so() {
            assert!(begun.elapsed() < PATIENCE);
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_effects_of_the_start_are_carried_out_before_it_returns() {
        let directory = tempfile::tempdir().expect("a directory");
        let _runtime = start(setup(directory.path()));
        let journal = Journal::open(&directory.path().join("test.hooks"));
        assert_eq!(journal.lines().count(), 1, "a hook has begun");
    }

    #[test]
    fn everybody_who_asks_has_an_answer_of_his_own() {
        let directory = tempfile::tempdir().expect("a directory");
        let (runtime, controller) = start(setup(directory.path()));
        let asked = [Question::Status, Question::Listing, Question::Status].map(|question| {
            let (sender, answer) = channel();
            controller.sender.send(Message::Question(question.clone(), sender)).expect("an owner");
            (question, answer)
        });
        let thread = thread::spawn(move || runtime.run());
        for (question, answer) in asked {
            let answer = answer.recv_timeout(PATIENCE).expect("an answer");
            let fits = match answer {
                Answer::Status(_) => Question::Status,
                Answer::Listing(_) => Question::Listing,
                other => panic!("{other:?}"),
            };
            assert_eq!(fits, question);
        }
        controller.terminate("INT");
        assert_eq!(thread.join().expect("no panic"), End::Signal("INT"));
    }

    #[test]
    fn a_reload_is_carried_out_and_a_fault_while_reading_refuses_the_file() {
        let directory = tempfile::tempdir().expect("a directory");
        let reload = |setup: Setup| {
            let mut error = None;
            run(setup, |controller| {
                let last = || controller.status(PATIENCE).expect("a status").last_reload;
                assert_eq!(last(), None);
                controller.reload();
                wait_for(|| last().is_some());
                error = last().and_then(|last| last.error);
            });
            error
        };
        assert_eq!(reload(setup(directory.path())), None);
        let load: Load = Arc::new(|| panic!("of no use"));
        let error = reload(Setup { load, ..setup(directory.path()) });
        assert_eq!(error.as_deref(), Some("internal fault: of no use"));
    }

    #[test]
    fn status_tells_of_the_prober() {
        let directory = tempfile::tempdir().expect("a directory");
        run(setup(directory.path()), |controller| {
            wait_for(|| {
                let status = controller.status(PATIENCE).expect("a status");
                status.prober.is_some_and(|prober| prober.last_reason.is_some())
            });
        });
    }

    #[test]
    fn the_table_is_listed_and_purged_at_the_end() {
        let directory = tempfile::tempdir().expect("a directory");
        let stopped = Arc::new(AtomicUsize::new(0));
        let stopping = Arc::clone(&stopped);
        let setup = Setup {
            stopping: Box::new(move || {
                stopping.fetch_add(1, Ordering::SeqCst);
            }),
            ..setup(directory.path())
        };
        run(setup, |controller| {
            let listing = controller.listing(PATIENCE).expect("a listing");
            assert!(listing.contains("TCP  127.0.0.10:80 wrr\n"), "{listing}");
        });
        assert_eq!(stopped.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn what_operators_say_is_kept_or_they_hear_that_it_is_not_and_it_is_an_event() {
        use crate::director::Override;
        use crate::runtime::operator::Change;
        let command = Command {
            change: Change::Set(Override::Drain),
            target: "127.0.0.10:80".to_owned(),
            service: None,
            length: None,
            force: false,
            by: "root".to_owned(),
            reason: String::new(),
        };
        for (name, keeps) in [("state/test.overrides", true), ("file/test.overrides", false)] {
            let directory = tempfile::tempdir().expect("a directory");
            std::fs::write(directory.path().join("file"), "no directory").expect("a file");
            let overrides = directory.path().join(name);
            let setup = Setup { overrides: overrides.clone(), ..setup(directory.path()) };
            run(setup, |controller| {
                let words = controller.operate(command.clone(), PATIENCE).expect("it is there");
                assert_eq!(words.contains("NOT KEPT over a restart"), !keeps, "{words}");
                assert_eq!(StateFile::new(&overrides).read().len(), usize::from(keeps));
                let events = controller.events(0, 0);
                assert!(events.contains("operator root: drain 127.0.0.10:80"), "{events}");
                assert!(!events.contains("\"time_ms\":0,"), "{events}");
            });
        }
    }

    #[test]
    fn a_sign_of_life_is_given_once_in_its_interval() {
        let directory = tempfile::tempdir().expect("a directory");
        let told = Arc::new(AtomicUsize::new(0));
        let teller = Arc::clone(&told);
        let tell = move || {
            teller.fetch_add(1, Ordering::SeqCst);
        };
        let alive: Option<(Duration, Box<dyn FnMut() + Send>)> =
            Some((Duration::from_secs(3600), Box::new(tell)));
        run(Setup { alive, ..setup(directory.path()) }, |controller| {
            for _ in 0..10 {
                controller.status(PATIENCE).expect("a status");
            }
        });
        assert_eq!(told.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn a_thread_that_must_live_and_ends_by_a_fault_is_told_of() {
        let (owner, inbox) = channel();
        spawn("well", &owner, || ()).expect("a thread");
        spawn("badly", &owner, || panic!("on purpose")).expect("a thread");
        drop(owner);
        let told: Vec<_> = inbox.into_iter().collect();
        assert!(matches!(told[..], [Message::Fault("badly")]), "{told:?}");
    }

    #[test]
    fn a_panic_has_words() {
        assert_eq!(words(&"plain"), "plain");
        assert_eq!(words(&"made".to_owned()), "made");
        assert_eq!(words(&7), "no words");
    }

    #[test]
    fn no_message_is_lost_however_many_there_are() {
        let (sender, inbox) = channel();
        let count = 3 * BATCH as u64 + 7;
        for number in 0..count {
            let lost = Input::Loaded {
                load: number,
                result: Box::new(Err(Refused { diagnostics: String::new(), found: None })),
            };
            sender.send(Message::Input(lost)).expect("a receiver");
        }
        let mut taken = Vec::new();
        loop {
            let messages = batch(&inbox, Duration::ZERO);
            if messages.is_empty() {
                break;
            }
            assert!(messages.len() <= BATCH);
            taken.extend(messages.into_iter().map(|message| match message {
                Message::Input(Input::Loaded { load, .. }) => load,
                other => panic!("{other:?}"),
            }));
        }
        assert_eq!(taken, (0..count).collect::<Vec<_>>());
    }
}

#[cfg(all(test, shuttle))]
mod shuttle_tests {
    use super::*;
    use crate::sync::thread::spawn;

    #[test]
    fn shuttle_no_message_is_lost_and_each_senders_keep_their_order() {
        crate::sync::schedules(|| {
            let (sender, inbox) = channel();
            let senders: Vec<_> = (0..3)
                .map(|who| {
                    let sender = sender.clone();
                    spawn(move || {
                        for number in 0..3 {
                            let refused = Refused { diagnostics: String::new(), found: None };
                            let result = Box::new(Err(refused));
                            let input = match who {
                                // A burst, for which the owner waits a moment longer.
                                0 => Input::Outcomes(Vec::new()),
                                who => Input::Loaded { load: 10 * who + number, result },
                            };
                            sender.send(Message::Input(input)).unwrap();
                        }
                    })
                })
                .collect();
            let (mut loads, mut outcomes) = (Vec::new(), 0);
            while loads.len() + outcomes < 9 {
                for message in batch(&inbox, Duration::ZERO) {
                    match message {
                        Message::Input(Input::Loaded { load, .. }) => loads.push(load),
                        _ => outcomes += 1,
                    }
                }
            }
            let of = |who: u64| loads.iter().copied().filter(move |load| load / 10 == who);
            assert!(of(1).eq(10..13) && of(2).eq(20..23) && outcomes == 3, "{loads:?}");
            senders.into_iter().for_each(|sender| sender.join().unwrap());
        });
    }
}
