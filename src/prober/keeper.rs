//! The director's side: keeps a prober running, tells it what to check, and hears what it found.
//!
//! One thread waits for the prober's words, starts it again when it has died, and ends it when it
//! hangs or says what no prober would. Whoever wants checks to be run writes into the socket
//! himself, as far as it takes it at once; the thread writes the rest.

use super::belief::Heard;
use super::certificates::{Certificates, files_of};
use super::here::{Here, Place, Sink, checked, local, needs_prober, place};
use super::link::Link;
use super::pauses::Pauses;
use super::seam::{Order, PLANS, Rights, Run, Walls};
use super::walls::RESOLVER;
use super::{ProberOptions, ProberStatus, Report};
use crate::director::{CheckId, Checked};
use crate::model::CheckPlan;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::eventfd::{EfdFlags, EventFd};
use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// How long a prober that is replaced has for its last checks beyond their timeouts.
const FAREWELL: Duration = Duration::from_secs(10);

/// The longest timeout that a check of such a one is waited for.
const LONGEST: Duration = Duration::from_secs(600);

/// Keeps a prober; ends it when dropped.
pub struct Prober {
    keeper: Arc<Keeper>,
    thread: Option<JoinHandle<()>>,
}

struct Keeper {
    options: ProberOptions,
    state: Mutex<State>,
    wake: EventFd,
    sink: Sink,
}

struct State {
    plans: HashMap<CheckId, Arc<CheckPlan>>,
    here: Here,
    /// Whether any server's agent is a command.
    has_commands: bool,
    link: Option<Link>,
    /// One that finishes what it has been given, until then.
    retiring: Option<(Link, Instant)>,
    /// Runs that wait for a prober.
    waiting: HashMap<CheckId, (Run, Duration)>,
    /// Outcomes that took no work.
    over: Vec<Checked>,
    certificates: Certificates,
    resolver: Vec<Option<(u64, u64)>>,
    next_start: Instant,
    next_look: Instant,
    pauses: Pauses,
    /// Whether the prober shall be replaced by one with other walls.
    replace: bool,
    starts: u64,
    last_reason: Option<String>,
    /// What was told to be missing: it is told once.
    told: Vec<String>,
    /// Whether there are plans, and with them the walls are known.
    installed: bool,
    stop: bool,
}

impl Prober {
    /// Keeps a prober from the first [`Prober::install`] on. `sink` is called on threads of ours with what has become of runs, and must
    /// not block. A prober that cannot be started is tried again and again.
    ///
    /// # Errors
    /// When the kernel has no descriptor or thread left for us.
    pub fn start(
        options: ProberOptions,
        sink: impl Fn(Report) + Send + Sync + 'static,
    ) -> io::Result<Self> {
        let now = Instant::now();
        let sink: Sink = Arc::new(sink);
        let flags = EfdFlags::EFD_CLOEXEC | EfdFlags::EFD_NONBLOCK;
        let state = State {
            plans: HashMap::new(),
            here: Here::new(Arc::clone(&sink)),
            has_commands: false,
            link: None,
            retiring: None,
            waiting: HashMap::new(),
            over: Vec::new(),
            certificates: Certificates::default(),
            resolver: Vec::new(),
            next_start: now,
            next_look: now,
            pauses: Pauses::default(),
            replace: false,
            starts: 0,
            last_reason: None,
            told: Vec::new(),
            installed: false,
            stop: false,
        };
        let wake = EventFd::from_value_and_flags(0, flags)?;
        let keeper = Arc::new(Keeper { options, state: Mutex::new(state), wake, sink });
        let work = Arc::clone(&keeper);
        // The prober ends with the thread that started it (PDEATHSIG), so it is always this one.
        let thread = thread::Builder::new().name("prober".to_owned()).spawn(move || work.run())?;
        Ok(Self { keeper, thread: Some(thread) })
    }

    /// The plans of the configuration now: the prober is sent the new ones and forgets the others.
    pub fn install(&mut self, plans: impl Iterator<Item = (CheckId, Arc<CheckPlan>)>) {
        let mut state = self.keeper.lock();
        let state = &mut *state;
        let before = std::mem::replace(&mut state.plans, plans.collect());
        let rights = state.rights();
        state.has_commands = state.plans.values().any(|plan| plan.agent_command().is_some());
        state.installed = true;
        let files = state.plans.values().flat_map(|plan| files_of(plan));
        let certificates = state.certificates.set(files);
        let new: Vec<_> = state
            .plans
            .iter()
            .filter(|&(id, plan)| before.get(id) != Some(plan) && needs_prober(plan))
            .map(|(&id, plan)| (id, Arc::clone(plan)))
            .collect();
        let gone: Vec<_> =
            before.keys().copied().filter(|id| !state.plans.contains_key(id)).collect();
        if let Some(link) = &mut state.link {
            certificates.iter().for_each(|order| link.send(order));
            if !gone.is_empty() {
                link.send(&Order::Forget(gone));
            }
            new.chunks(PLANS).for_each(|plans| link.send(&Order::Plans(plans.to_vec())));
            state.replace = link.rights != rights;
        }
        self.keeper.wake();
    }

    /// Runs these checks. Each gets one outcome, or is lost; but where there is no prober, a run takes
    /// the place of an earlier one of the same check.
    pub fn begin(&mut self, runs: &[Run]) {
        let now = Instant::now();
        let mut state = self.keeper.lock();
        let state = &mut *state;
        let mut away = Vec::new();
        let rights = state.link.as_ref().map(|link| link.rights);
        for &run in runs {
            let Some(plan) = state.plans.get(&run.check) else {
                state.over.push(checked(run, local(&"its plan is gone"), Duration::ZERO));
                continue;
            };
            match place(plan, run.step) {
                Place::Nowhere(outcome) => state.over.push(checked(run, outcome, Duration::ZERO)),
                Place::Here => state.over.extend(state.here.run(run, plan)),
                // It waits for a prober that may run it.
                Place::Prober if rights.is_some_and(|rights| !rights.allow(plan)) => {
                    state.waiting.insert(run.check, (run, plan.timeout(run.step)));
                }
                Place::Prober => away.push((run, plan.timeout(run.step))),
            }
        }
        let mut needs_thread = !state.over.is_empty();
        match &mut state.link {
            Some(link) => {
                state.certificates.changed(now).iter().for_each(|order| link.send(order));
                link.run(&away, now);
                needs_thread |= link.has_unsent();
            }
            None => state.waiting.extend(away.into_iter().map(|it| (it.0.check, it))),
        }
        if needs_thread {
            self.keeper.wake();
        }
    }

    /// What there is to know about the prober.
    pub fn status(&self) -> ProberStatus {
        let state = self.keeper.lock();
        ProberStatus {
            pid: state.link.as_ref().map(Link::pid),
            starts: state.starts,
            last_reason: state.last_reason.clone(),
            walls: state.link.as_ref().and_then(|link| link.walls.clone()),
        }
    }
}

impl Drop for Prober {
    fn drop(&mut self) {
        self.keeper.lock().stop = true;
        self.keeper.wake();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been logged, and there is nothing to wait for.
            let _ = thread.join();
        }
    }
}

impl Keeper {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        // The counter is full only if a wake is pending already.
        let _ = self.wake.write(1);
    }

    fn run(&self) {
        loop {
            let mut round = Round::default();
            let mut state = self.lock();
            if state.stop {
                let links = [state.link.take(), state.retiring.take().map(|(link, _)| link)];
                drop(state);
                links.into_iter().flatten().for_each(Link::kill);
                return;
            }
            state.look(&self.options, Instant::now(), &mut round);
            let timeout = state.timeout(Instant::now());
            let sockets = state.sockets();
            drop(state);
            self.report(round);
            self.wait(&sockets, timeout);
            let mut round = Round::default();
            self.lock().hear(&mut round);
            self.report(round);
        }
    }

    /// Says what has become of a round, with nothing locked.
    fn report(&self, round: Round) {
        let Round { outcomes, lines, ended } = round;
        for (level, text) in lines {
            log::log!(target: "ldirectord::prober", level, "prober: {text}");
        }
        if !outcomes.is_empty() {
            (self.sink)(Report::Outcomes(outcomes));
        }
        for (mut link, reason) in ended {
            let (pid, lived, lost) = (link.pid(), link.since.elapsed(), link.ledger.lost());
            let Some(reason) = reason else {
                link.kill();
                continue;
            };
            let reason = match reason {
                Reason::Told(reason) => {
                    link.kill();
                    reason
                }
                Reason::Itself => link.end().unwrap_or_else(|| "it closed its socket".to_owned()),
            };
            let mut state = self.lock();
            let pause = state.pauses.after(lived);
            state.next_start = Instant::now() + pause;
            state.last_reason = Some(reason.clone());
            drop(state);
            log::warn!(
                "prober {pid} is no more: {reason}; {} checks are run again by another one, started \
                 in {} ms; no verdict has changed",
                lost.len(),
                pause.as_millis(),
            );
            if !lost.is_empty() {
                (self.sink)(Report::Lost(lost));
            }
        }
    }

    fn wait(&self, sockets: &[(Arc<UnixStream>, PollFlags)], timeout: Duration) {
        let mut set = vec![PollFd::new(self.wake.as_fd(), PollFlags::POLLIN)];
        set.extend(sockets.iter().map(|(socket, flags)| PollFd::new(socket.as_fd(), *flags)));
        // Rounded up: waking early would only mean waiting again.
        let timeout = PollTimeout::try_from(timeout + Duration::from_micros(999));
        match poll(&mut set, timeout.unwrap_or(PollTimeout::MAX)) {
            Err(nix::Error::EINTR) | Ok(_) => {}
            Err(error) => {
                log::error!("prober: poll: {error}");
                thread::sleep(Duration::from_millis(100));
            }
        }
        // Whatever it was, everything is looked at.
        if set[0].any().unwrap_or(true) {
            let _ = self.wake.read();
        }
    }
}

/// What is left to be told of a round.
#[derive(Default)]
struct Round {
    outcomes: Vec<Checked>,
    lines: Vec<(log::Level, String)>,
    /// Probers that are over, and why, unless it is as it should be.
    ended: Vec<(Link, Option<Reason>)>,
}

enum Reason {
    /// Its own status will tell.
    Itself,
    /// Seen from here.
    Told(String),
}

impl State {
    fn rights(&self) -> Rights {
        Rights::of(self.plans.values())
    }

    /// What the time brings: a start, a question, an end.
    fn look(&mut self, options: &ProberOptions, now: Instant, round: &mut Round) {
        if now >= self.next_look {
            self.next_look = now + options.patience / 4;
            let hangs = self.link.as_ref().and_then(|link| link.hangs(options.patience, now));
            if let Some(why) = hangs {
                let link = self.link.take();
                round.ended.extend(link.map(|link| (link, Some(Reason::Told(why)))));
                // Its pause is known when it has been told of.
                return;
            }
            if let Some(link) = &mut self.link {
                if let Some(number) = link.ledger.ask_alive(now) {
                    link.send(&Order::Alive(number));
                }
                if link.walls.as_ref().is_some_and(|walls| walls.landlock) {
                    self.replace |= self.resolver != resolver_files();
                }
            }
        }
        if let Some((link, until)) = &self.retiring
            && (link.ledger.unanswered() == 0 || now >= *until)
        {
            let reason = (link.ledger.unanswered() > 0)
                .then(|| Reason::Told("its last checks did not end".to_owned()));
            round.ended.extend(self.retiring.take().map(|(link, _)| (link, reason)));
        }
        let free = self.retiring.is_none();
        if self.installed
            && now >= self.next_start
            && (self.link.is_none() || (self.replace && free))
        {
            self.start(options, now, round);
        }
        if let Some(link) = &mut self.link {
            link.flush();
        }
        round.outcomes.append(&mut self.over);
    }

    fn start(&mut self, options: &ProberOptions, now: Instant, round: &mut Round) {
        let resolver = resolver_files();
        let mut link = match Link::start(&options.program, &options.instance, self.rights(), now) {
            Ok(link) => link,
            Err(error) => {
                self.next_start = now + self.pauses.after(Duration::ZERO);
                let reason =
                    format!("it cannot be started: {}: {error}", options.program.display());
                if self.last_reason.as_ref() != Some(&reason) {
                    let text = format!("{reason}; checks wait, it is tried again and again");
                    round.lines.push((log::Level::Error, text));
                    self.last_reason = Some(reason);
                }
                return;
            }
        };
        self.starts += 1;
        self.resolver = resolver;
        self.certificates.all().iter().for_each(|order| link.send(order));
        let plans: Vec<_> = self
            .plans
            .iter()
            .filter(|(_, plan)| needs_prober(plan))
            .map(|(&id, plan)| (id, Arc::clone(plan)))
            .collect();
        plans.chunks(PLANS).for_each(|plans| link.send(&Order::Plans(plans.to_vec())));
        let waiting: Vec<_> = self.waiting.drain().map(|(_, run)| run).collect();
        link.run(&waiting, now);
        self.replace = false;
        if let Some(before) = self.link.replace(link) {
            let longest = before.ledger.longest().min(LONGEST).saturating_add(FAREWELL);
            self.retiring = Some((before, now + longest));
        }
    }

    fn hear(&mut self, round: &mut Round) {
        let mut heard = Vec::new();
        if let Some(link) = &mut self.link
            && let Err(reason) = link.hear(&mut heard)
        {
            let reason = reason.map_or(Reason::Itself, Reason::Told);
            round.ended.extend(self.link.take().map(|link| (link, Some(reason))));
        }
        let mut last = Vec::new();
        if let Some((link, _)) = &mut self.retiring
            && let Err(reason) = link.hear(&mut last)
        {
            let reason = reason.map_or(Reason::Itself, Reason::Told);
            round.ended.extend(self.retiring.take().map(|(link, _)| (link, Some(reason))));
        }
        for heard in heard.into_iter().chain(last) {
            match heard {
                Heard::Outcomes(checked) => self.take(checked, round),
                Heard::Line(level, text) => round.lines.push((level, text)),
                Heard::Ready(walls) => self.stands(walls, round),
                // None is ever asked for.
                Heard::Transcript(..) => {}
            }
        }
    }

    /// Takes outcomes, those of servers whose agent is a command when that has been asked.
    fn take(&mut self, checked: Vec<Checked>, round: &mut Round) {
        if !self.has_commands {
            round.outcomes.extend(checked);
            return;
        }
        for checked in checked {
            let outcome = match self.plans.get(&checked.check) {
                Some(plan) => self.here.ask_agent(checked, plan),
                None => Some(checked),
            };
            round.outcomes.extend(outcome);
        }
    }

    /// Says once what a prober's walls lack.
    fn stands(&mut self, walls: Walls, round: &mut Round) {
        if !walls.missing.is_empty() && walls.missing != self.told {
            let text = format!("goes on without some of its walls: {}", walls.missing.join("; "));
            round.lines.push((log::Level::Warn, text));
            self.told.clone_from(&walls.missing);
        }
        if let Some(link) = &mut self.link {
            link.walls = Some(walls);
        }
    }

    fn timeout(&self, now: Instant) -> Duration {
        let mut next = self.next_look;
        if self.installed && (self.link.is_none() || self.replace) {
            next = next.min(self.next_start.max(now + Duration::from_millis(5)));
        }
        next.saturating_duration_since(now)
    }

    fn sockets(&self) -> Vec<(Arc<UnixStream>, PollFlags)> {
        let links = self.link.iter().chain(self.retiring.iter().map(|(link, _)| link));
        let flags = |link: &Link| match link.has_unsent() {
            true => PollFlags::POLLIN | PollFlags::POLLOUT,
            false => PollFlags::POLLIN,
        };
        links.map(|link| (link.socket(), flags(link))).collect()
    }
}

/// Which files the resolver's are now.
fn resolver_files() -> Vec<Option<(u64, u64)>> {
    let identity = |file| std::fs::metadata(file).ok().map(|meta| (meta.dev(), meta.ino()));
    RESOLVER.iter().map(identity).collect()
}
