//! Which hook runs when, and what each was told last. Pure: threads and clock are elsewhere.
//!
//! Runs of one service keep their order and never overlap; those of different services run side by
//! side. With `fallbackcommandretry=yes` a failed run is repeated after 1 s, 2 s, 4 s … 60 s until it
//! succeeds or a newer run for the service is wanted.

use super::queue::{Begun, Queues};
use super::{HookEvent, HookJob, HookProgram, HookReport, HookResult, HookRun, Line, Memory};
use crate::model::{FallbackCommand, HookArgument, ServiceAddress};
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Hooks that run side by side; those of further services wait.
const RUNNING: usize = 64;

/// How long `callback` may run.
const CALLBACK_TIMEOUT: Duration = Duration::from_secs(60);

/// The hooks of all services.
#[derive(Debug)]
pub struct Hooks {
    queues: Queues<Key, Job>,
    running: BTreeMap<u64, Begun<Key, Job>>,
    last_run: u64,
    memory: Memory,
    /// Services that are gone and whose `start` may still wait or be repeated.
    closing: BTreeSet<ServiceAddress>,
    /// Runs that are never repeated: their service or command was gone meanwhile, and what has come back
    /// has a state of its own.
    abandoned: BTreeSet<u64>,
}

/// What the caller is to carry out, in this order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Order {
    /// Write these lines into the journal, before any later order.
    Remember(Vec<Line>),
    /// Begin this run.
    Run(HookRun),
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Key {
    Service(ServiceAddress),
    Callback,
}

#[derive(Debug, Clone)]
enum Job {
    Fallback(HookJob),
    Callback { program: PathBuf, config: PathBuf },
}

impl Job {
    fn program(&self) -> HookProgram {
        match self {
            Self::Fallback(job) => HookProgram::Shell(job.command_line()),
            Self::Callback { program, config } => {
                HookProgram::Callback { program: program.clone(), config: config.clone() }
            }
        }
    }
}

/// A run that is over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// What was run.
    pub program: HookProgram,
    /// How it ended.
    pub result: HookResult,
    /// After what time it is ended.
    pub timeout: Duration,
    /// What is known of a `fallbackcommand`; `None` for `callback`.
    pub report: Option<HookReport>,
}

impl Hooks {
    /// No hook runs yet.
    pub fn new(memory: Memory) -> Self {
        Self {
            queues: Queues::new(),
            running: BTreeMap::new(),
            last_run: 0,
            memory,
            closing: BTreeSet::new(),
            abandoned: BTreeSet::new(),
        }
    }

    /// Queues a run. Tells how many older ones that undo each other were dropped, because the
    /// service's queue was full.
    pub fn push(&mut self, job: HookJob) -> usize {
        self.queues.push(Key::Service(job.service), Job::Fallback(job))
    }

    /// Queues a run of `callback` with the configuration's path as its only argument, for at most
    /// 60 s.
    pub fn callback(&mut self, callback: &Path, config: &Path) {
        let (program, config) = (callback.to_owned(), config.to_owned());
        self.queues.push(Key::Callback, Job::Callback { program, config });
    }

    /// What is to be done now.
    pub fn orders(&mut self, now: Instant) -> Vec<Order> {
        let mut runs = Vec::new();
        while self.running.len() < RUNNING
            && let Some(begun) = self.queues.begin(now)
        {
            self.last_run += 1;
            let (timeout, user, after) = match &begun.job {
                Job::Fallback(HookJob { service, command, argument }) => {
                    let after = self.memory.process(*service);
                    self.memory.begin(*service, command, *argument);
                    (command.timeout, command.user.clone(), after)
                }
                Job::Callback { .. } => (CALLBACK_TIMEOUT, None, None),
            };
            let program = begun.job.program();
            runs.push(HookRun { run: self.last_run, program, timeout, user, after });
            self.running.insert(self.last_run, begun);
        }
        let lines = self.memory.take_lines();
        let remember = (!lines.is_empty()).then_some(Order::Remember(lines));
        remember.into_iter().chain(runs.into_iter().map(Order::Run)).collect()
    }

    /// When [`Hooks::orders`] has something to do by time alone.
    pub fn next_due(&self) -> Option<Instant> {
        if self.running.len() < RUNNING { self.queues.next_due() } else { None }
    }

    /// Takes what a run tells; what it was, if it is over.
    pub fn handle(&mut self, event: HookEvent, now: Instant) -> Option<Ended> {
        let (run, result, duration) = match event {
            HookEvent::Started { run, process } => {
                if let Some(Begun { job: Job::Fallback(job), .. }) = self.running.get(&run) {
                    self.memory.started(job.service, process);
                }
                return None;
            }
            HookEvent::Ended { run, result, duration } => (run, result, duration),
        };
        let begun = self.running.remove(&run)?;
        self.abandoned.remove(&run);
        let program = begun.job.program();
        let Job::Fallback(job) = begun.job.clone() else {
            self.queues.finished(&begun.key);
            return Some(Ended { program, result, timeout: CALLBACK_TIMEOUT, report: None });
        };
        let (key, attempt) = (begun.key.clone(), begun.attempt);
        let succeeded = result == HookResult::Exited(0);
        self.memory.end(job.service, succeeded);
        let will_retry = !succeeded && job.command.retry && self.queues.failed(begun, now);
        if !will_retry {
            self.queues.finished(&key);
        }
        if !self.queues.is_busy(&key) {
            self.closing.remove(&job.service);
        }
        let timeout = job.command.timeout;
        let report = HookReport { job, result: result.clone(), duration, attempt, will_retry };
        Some(Ended { program, result, timeout, report: Some(report) })
    }

    /// Takes on other commands: what waits or pauses for a command that is not `current` any more is
    /// given up; the rest gets the current timeout and retry. What runs is left to end, and is repeated
    /// only if it has been current all the time.
    pub fn retain(&mut self, current: impl Fn(ServiceAddress) -> Option<FallbackCommand>) {
        let Self { queues, running, closing, abandoned, .. } = self;
        let closes =
            |job: &HookJob| job.argument == HookArgument::Start && closing.contains(&job.service);
        for (&run, begun) in running {
            match &mut begun.job {
                Job::Fallback(job) if !closes(job) => {
                    let command = current(job.service);
                    let same = command.filter(|command| command.command == job.command.command);
                    if same.is_none() {
                        abandoned.insert(run);
                    }
                    job.command.retry =
                        same.is_some_and(|command| command.retry) && !abandoned.contains(&run);
                }
                Job::Fallback(_) | Job::Callback { .. } => {}
            }
        }
        queues.retain(|job| match job {
            Job::Callback { .. } => true,
            Job::Fallback(job) => match current(job.service) {
                Some(command) if command.command == job.command.command => {
                    job.command = command;
                    true
                }
                Some(_) | None => closes(job),
            },
        });
    }

    /// A service is gone, and `start` is to be its command's last word: [`Hooks::retain`] leaves it.
    pub fn close(&mut self, service: ServiceAddress) {
        if self.is_busy(service) {
            self.closing.insert(service);
        }
    }

    /// A service is configured, whether it has a command or not: it has no last word any more. What is
    /// left of that is given up, for the service that has come back decides for itself.
    pub fn open(&mut self, service: ServiceAddress) {
        if !self.closing.remove(&service) {
            return;
        }
        let is_its = |job: &Job| matches!(job, Job::Fallback(job) if job.service == service);
        self.queues.retain(|job| !is_its(job));
        let runs = self.running.iter().filter(|(_, begun)| is_its(&begun.job));
        self.abandoned.extend(runs.map(|(&run, _)| run));
    }

    /// Forgets what a service was told, so that its command is told anew.
    pub fn forget(&mut self, service: ServiceAddress) {
        self.memory.forget(service);
    }

    /// Repeats no failed run any more.
    pub fn refuse_retries(&mut self) {
        self.queues.refuse_retries();
    }

    /// Services, and `callback`, with a run that is under way, waits or pauses.
    pub fn busy(&self) -> usize {
        self.queues.busy()
    }

    /// Whether this service has a run that is under way, waits or pauses.
    pub fn is_busy(&self, service: ServiceAddress) -> bool {
        self.queues.is_busy(&Key::Service(service))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{HookArgument, Protocol};
    use crate::process::Identity;

    fn job(port: u16, retry: bool, argument: HookArgument) -> HookJob {
        let address = std::net::SocketAddr::from(([10, 0, 0, 1], port));
        let command = FallbackCommand {
            command: "hook".into(),
            retry,
            timeout: Duration::from_secs(9),
            user: None,
        };
        let service = ServiceAddress::Address { protocol: Protocol::Tcp, address };
        HookJob { service, command, argument }
    }

    fn runs(hooks: &mut Hooks, now: Instant) -> Vec<HookRun> {
        let orders = hooks.orders(now).into_iter();
        orders
            .filter_map(|order| match order {
                Order::Run(run) => Some(run),
                Order::Remember(_) => None,
            })
            .collect()
    }

    fn ended(run: u64, status: i32) -> HookEvent {
        let result = HookResult::Exited(status);
        HookEvent::Ended { run, result, duration: Duration::ZERO }
    }

    #[test]
    fn every_service_that_dies_has_its_hook_begun_at_once() {
        let now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        hooks.push(job(1, false, HookArgument::Start));
        let first = runs(&mut hooks, now);
        assert_eq!(first.len(), 1);
        for port in 2..=12 {
            hooks.push(job(port, false, HookArgument::Start));
        }
        assert_eq!(runs(&mut hooks, now).len(), 11, "whatever else runs");
        for port in 100..200 {
            hooks.push(job(port, false, HookArgument::Start));
        }
        assert_eq!(runs(&mut hooks, now).len(), RUNNING - 12);
        assert!(hooks.handle(ended(first[0].run, 0), now).is_some());
        assert_eq!(runs(&mut hooks, now).len(), 1, "the next as soon as one has ended");
    }

    #[test]
    fn a_pause_that_is_over_wakes_nobody_while_as_many_run_as_may() {
        let now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        hooks.push(job(1, true, HookArgument::Start));
        let failing = runs(&mut hooks, now)[0].run;
        hooks.handle(ended(failing, 1), now);
        let due = hooks.next_due();
        assert_eq!(due, Some(now + Duration::from_secs(1)));
        for port in 100..200 {
            hooks.push(job(port, false, HookArgument::Start));
        }
        let others = runs(&mut hooks, now);
        assert_eq!((others.len(), hooks.next_due()), (RUNNING, None));
        hooks.handle(ended(others[0].run, 0), now);
        assert_eq!(hooks.next_due(), due);
    }

    #[test]
    fn callback_runs_with_the_path_for_a_minute_beside_the_hooks() {
        let now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        hooks.push(job(1, false, HookArgument::Start));
        hooks.callback(Path::new("/bin/callback"), Path::new("/etc/a.cf"));
        let begun = runs(&mut hooks, now);
        let program =
            HookProgram::Callback { program: "/bin/callback".into(), config: "/etc/a.cf".into() };
        let callback = begun.iter().find(|run| run.program == program).expect("a run");
        assert_eq!((callback.timeout, &callback.after), (Duration::from_secs(60), &None));
        hooks.retain(|_| None);
        hooks.callback(Path::new("/bin/callback"), Path::new("/etc/a.cf"));
        assert_eq!(runs(&mut hooks, now), [], "one at a time");
        let over = hooks.handle(ended(callback.run, 3), now).expect("it is over");
        assert_eq!((over.program, over.result), (program, HookResult::Exited(3)));
        assert_eq!((over.timeout, over.report), (Duration::from_secs(60), None));
        hooks.retain(|_| None);
        assert_eq!(runs(&mut hooks, now).len(), 1, "a reload does not give it up");
    }

    #[test]
    fn at_the_end_failed_runs_are_not_repeated() {
        let now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        hooks.push(job(1, true, HookArgument::Start));
        hooks.push(job(2, true, HookArgument::Start));
        let begun = runs(&mut hooks, now);
        hooks.handle(ended(begun[0].run, 1), now);
        hooks.refuse_retries();
        assert_eq!((hooks.busy(), hooks.next_due()), (1, None), "the pause is given up");
        let report = hooks.handle(ended(begun[1].run, 1), now).unwrap().report.unwrap();
        assert!(!report.will_retry);
        assert_eq!((hooks.busy(), hooks.next_due()), (0, None));
    }

    #[test]
    fn a_service_is_busy_while_its_run_waits_is_under_way_or_pauses() {
        let now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        let (one, other) = (job(1, true, HookArgument::Start), job(2, true, HookArgument::Start));
        let is_busy = |hooks: &Hooks| [&one, &other].map(|job| hooks.is_busy(job.service));
        assert_eq!(is_busy(&hooks), [false, false]);
        hooks.push(one.clone());
        assert_eq!(is_busy(&hooks), [true, false], "it waits");
        let run = runs(&mut hooks, now)[0].run;
        assert_eq!(is_busy(&hooks), [true, false], "it is under way");
        hooks.handle(ended(run, 1), now);
        assert_eq!(is_busy(&hooks), [true, false], "it pauses");
        let again = runs(&mut hooks, now + Duration::from_secs(1))[0].run;
        hooks.handle(ended(again, 0), now);
        assert_eq!(is_busy(&hooks), [false, false]);
    }

    #[test]
    fn what_a_forgotten_service_was_told_is_struck_from_the_journal() {
        let now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        let told = job(1, false, HookArgument::Start);
        hooks.push(told.clone());
        let run = runs(&mut hooks, now)[0].run;
        hooks.handle(ended(run, 0), now);
        hooks.orders(now);
        hooks.forget(told.service);
        let struck = Line { service: told.service.id(), told: None };
        assert_eq!(hooks.orders(now), [Order::Remember(vec![struck])]);
        hooks.forget(told.service);
        assert_eq!(hooks.orders(now), [], "it is forgotten already");
    }

    #[test]
    fn what_waits_for_another_command_is_given_up_and_what_runs_is_not_repeated() {
        let now = Instant::now();
        for same in [true, false] {
            let mut hooks = Hooks::new(Memory::default());
            hooks.push(job(1, false, HookArgument::Start));
            let running = runs(&mut hooks, now)[0].run;
            hooks.push(job(1, false, HookArgument::Stop));
            let mut command = job(1, true, HookArgument::Stop).command;
            if !same {
                command.command = "other".into();
            }
            hooks.retain(|_| Some(command.clone()));
            let report = hooks.handle(ended(running, 1), now).unwrap().report.unwrap();
            assert!(!report.will_retry, "a newer one waits, or the command is gone");
            assert_eq!(runs(&mut hooks, now).len(), usize::from(same));
            let mut hooks = Hooks::new(Memory::default());
            hooks.push(job(1, false, HookArgument::Start));
            let running = runs(&mut hooks, now)[0].run;
            hooks.retain(|_| Some(command.clone()));
            let report = hooks.handle(ended(running, 1), now).unwrap().report.unwrap();
            assert_eq!(report.will_retry, same, "with the settings of now");
        }
    }

    #[test]
    fn what_a_run_is_told_is_remembered_before_it_begins() {
        let now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        hooks.push(job(1, false, HookArgument::Start));
        let orders = hooks.orders(now);
        assert!(matches!(orders[..], [Order::Remember(_), Order::Run(_)]), "{orders:?}");
    }

    #[test]
    fn the_run_of_an_earlier_process_is_outwaited_once() {
        let now = Instant::now();
        let mut memory = Memory::default();
        let process = Identity { pid: 4, started: 5 };
        let first = job(1, false, HookArgument::Start);
        memory.begin(first.service, &first.command, first.argument);
        memory.started(first.service, process);
        let mut hooks = Hooks::new(memory);
        hooks.push(job(1, false, HookArgument::Stop));
        let begun = runs(&mut hooks, now);
        assert_eq!(begun[0].after, Some(process));
        hooks.handle(ended(begun[0].run, 0), now);
        hooks.push(job(1, false, HookArgument::Start));
        assert_eq!(runs(&mut hooks, now)[0].after, None);
    }

    #[test]
    fn a_run_whose_service_was_gone_meanwhile_is_not_repeated_for_the_one_that_has_come_back() {
        let now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        let first = job(1, true, HookArgument::Stop);
        hooks.push(first.clone());
        let run = runs(&mut hooks, now)[0].run;
        hooks.retain(|_| None);
        hooks.retain(|_| Some(first.command.clone()));
        let report = hooks.handle(ended(run, 1), now).unwrap().report.unwrap();
        assert!(!report.will_retry);
        assert_eq!(hooks.busy(), 0);
        hooks.push(first.clone());
        let run = runs(&mut hooks, now)[0].run;
        hooks.retain(|_| Some(first.command.clone()));
        let report = hooks.handle(ended(run, 1), now).unwrap().report.unwrap();
        assert!(report.will_retry, "the next one is another run");
    }

    #[test]
    fn the_last_word_of_a_service_is_given_up_when_the_service_is_back() {
        let now = Instant::now();
        let last = job(1, true, HookArgument::Start);
        let current = Some(last.command.clone());
        for comes_back_while_it_runs in [true, false] {
            let mut hooks = Hooks::new(Memory::default());
            hooks.push(last.clone());
            let run = runs(&mut hooks, now)[0].run;
            hooks.close(last.service);
            hooks.retain(|_| None);
            if comes_back_while_it_runs {
                hooks.open(last.service);
                hooks.retain(|_| current.clone());
            }
            let report = hooks.handle(ended(run, 1), now).unwrap().report.unwrap();
            assert_eq!(report.will_retry, !comes_back_while_it_runs);
            hooks.open(last.service);
            hooks.retain(|_| current.clone());
            assert_eq!((hooks.busy(), hooks.next_due()), (0, None));
        }
    }

    #[test]
    fn a_failed_run_is_repeated_unless_its_command_is_gone() {
        let mut now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        hooks.push(job(1, true, HookArgument::Stop));
        let run = runs(&mut hooks, now)[0].run;
        let report = hooks.handle(ended(run, 1), now).unwrap().report.unwrap();
        assert!(report.will_retry);
        assert_eq!(runs(&mut hooks, now), []);
        now = hooks.next_due().expect("a pause");
        let current = FallbackCommand {
            timeout: Duration::from_secs(1),
            ..job(1, true, HookArgument::Stop).command
        };
        hooks.retain(|_| Some(current.clone()));
        let again = runs(&mut hooks, now);
        assert_eq!(again[0].timeout, Duration::from_secs(1), "with the settings of now");
        hooks.handle(ended(again[0].run, 1), now);
        assert_eq!(hooks.busy(), 1);
        hooks.retain(|_| None);
        assert_eq!((hooks.busy(), hooks.next_due()), (0, None));
    }

    #[test]
    fn a_run_that_fails_after_its_command_is_gone_is_not_repeated() {
        let now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        hooks.push(job(1, true, HookArgument::Stop));
        let run = runs(&mut hooks, now)[0].run;
        hooks.retain(|_| None);
        let report = hooks.handle(ended(run, 1), now).unwrap().report.unwrap();
        assert!(!report.will_retry);
        assert_eq!((hooks.busy(), hooks.next_due()), (0, None));
    }

    #[test]
    fn the_start_that_a_removed_service_asked_for_outlives_further_reloads_and_is_repeated() {
        let mut now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        hooks.push(job(1, false, HookArgument::Stop));
        let stop = runs(&mut hooks, now)[0].run;
        let last = job(1, true, HookArgument::Start);
        hooks.push(last.clone());
        hooks.close(last.service);
        hooks.retain(|_| None);
        hooks.retain(|_| None);
        hooks.handle(ended(stop, 0), now);
        let start = runs(&mut hooks, now)[0].run;
        hooks.retain(|_| None);
        assert!(hooks.handle(ended(start, 1), now).unwrap().report.unwrap().will_retry);
        hooks.retain(|_| None);
        now = hooks.next_due().expect("a pause");
        let again = runs(&mut hooks, now)[0].run;
        hooks.handle(ended(again, 0), now);
        assert_eq!((hooks.busy(), hooks.closing.len()), (0, 0));
    }

    #[test]
    fn a_service_that_is_back_is_not_closed_any_more() {
        let now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        hooks.push(job(1, false, HookArgument::Stop));
        let stop = runs(&mut hooks, now)[0].run;
        let last = job(1, false, HookArgument::Start);
        hooks.push(last.clone());
        hooks.close(last.service);
        let other = FallbackCommand {
            command: "other".into(),
            ..job(1, false, HookArgument::Stop).command
        };
        hooks.open(last.service);
        hooks.retain(|_| Some(other.clone()));
        hooks.handle(ended(stop, 0), now);
        assert_eq!(runs(&mut hooks, now), []);
    }

    #[test]
    fn an_unknown_run_and_one_told_of_twice_change_nothing() {
        let now = Instant::now();
        let mut hooks = Hooks::new(Memory::default());
        assert_eq!(hooks.handle(ended(99, 0), now), None);
        hooks.push(job(1, false, HookArgument::Start));
        let run = runs(&mut hooks, now)[0].run;
        hooks.push(job(1, false, HookArgument::Stop));
        assert!(hooks.handle(ended(run, 0), now).is_some());
        assert_eq!(hooks.handle(ended(run, 0), now), None);
        assert_eq!(runs(&mut hooks, now).len(), 1);
        assert_eq!(runs(&mut hooks, now), []);
    }
}
