//! The world: a clock, servers, hooks, files, names and a table, and the loop that feeds the owner's
//! step and carries its effects out. Everything follows from a seed and a list of events.

use crate::event::{Behaviour, Event, Hooks, Loads, Resolver, What};
use crate::file::{self, Size, TARGETS};
use crate::hooks::Processes;
use crate::oracle::{Moment, Oracle, Violation};
use crate::orders;
use crate::random::{Random, of};
use crate::table::{Asked, SharedTable};
use ipvs_rs::{Destination, Forwarding, Service, ServiceKey};
use ldirectord::check::{AgentAnswer, CheckOutcome, Failure, Note};
use ldirectord::dataplane::{Operation, Table, service_key};
use ldirectord::director::{CheckId, Checked};
use ldirectord::hook::{HookEvent, HookRun, Line, Memory};
use ldirectord::metrics::Counters;
use ldirectord::model::{CheckMethod, CheckPlan, Model, Step};
use ldirectord::prober::Run;
use ldirectord::process::Identity;
use ldirectord::runtime::{
    Asker, Beginning, Configuration, Effect, End, Faults, Files, Fingerprint, FollowedNames, Input,
    Listing, Loaded, LookUp, Name, Now, OverrideLine, Owner, Question, Refused,
};
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

/// A moment of the world, in microseconds.
pub(crate) type Micros = u64;

pub(crate) const MS: Micros = 1000;
pub(crate) const SECOND: Micros = 1000 * MS;

pub(crate) fn micros(duration: Duration) -> Micros {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX / 4).min(u64::MAX / 4)
}

/// An input on its way; what an [`Input`] says, in a form that can be looked at twice.
#[derive(Debug, Clone)]
pub(crate) enum Delivery {
    Outcome(Checked),
    Lost(Run),
    Hook(HookEvent),
    Maintenance(Listing),
    Names(Vec<(IpAddr, Name)>),
    FileChanged,
    Loaded { load: u64, read: Read },
    Reload,
    Terminate,
    Question(Question, Asker),
}

/// What reading the file has found.
#[derive(Debug, Clone)]
pub(crate) enum Read {
    Accepted {
        version: usize,
        /// The addresses that names had.
        names: u64,
        model: Box<Model>,
        maintenance: Option<Listing>,
    },
    Refused {
        stamp: u64,
    },
}

/// What happens in the world, by itself or because the owner asked for it.
#[derive(Debug)]
pub(crate) enum Due {
    Deliver(Delivery),
    /// The watch thread looks.
    Look(u64),
    ReadFile(u64),
    /// The names of this version of the file.
    LookUpNames(u64, usize),
    FinishLoad {
        load: u64,
        version: usize,
        broken: bool,
    },
    HookBegins(HookRun, Micros),
    HookIsOver(u32),
    Start,
}

pub(crate) struct World {
    seed: u64,
    size: Size,
    base: Instant,
    pub(crate) now: Micros,
    queue: BTreeMap<(Micros, u64), (u64, Due)>,
    sequence: u64,
    life: u64,
    owner: Option<Owner>,
    wake: Micros,
    starved_until: Micros,
    inbox: Vec<Delivery>,
    table: SharedTable,
    versions: Vec<Model>,
    version: usize,
    broken: bool,
    in_force: u64,
    baseline: u64,
    changing: Option<u64>,
    looks: u64,
    /// Agents have nothing more to say.
    at_rest: bool,
    /// The addresses that names have.
    names: u64,
    look_chain: u64,
    told_listing: Option<Result<BTreeSet<String>, String>>,
    watched: Option<PathBuf>,
    files: BTreeSet<usize>,
    readable: bool,
    order: u64,
    resolver: Resolver,
    behaviours: [Behaviour; TARGETS],
    runs: [u64; TARGETS],
    plans: BTreeMap<CheckId, Arc<CheckPlan>>,
    hooks: Hooks,
    loads: Loads,
    processes: Processes,
    journal: BTreeMap<String, Line>,
    /// What the state file says of servers.
    overrides: Vec<OverrideLine>,
    /// What a process that handed over has counted.
    counters: Counters,
    kill_after: Option<usize>,
    wall_jump: i64,
    askers: Asker,
    pub(crate) oracle: Oracle,
    pub(crate) steps: u64,
    /// Everything that was decided, as one number: two runs of a history have the same.
    pub(crate) digest: u64,
    pub(crate) trace: bool,
}

impl World {
    pub(crate) fn new(seed: u64, size: Size) -> Self {
        let mut r = Random::new(of(seed, 1, 0));
        let table = SharedTable::default();
        let mut strangers = BTreeSet::new();
        {
            let mut contents = table.lock();
            for number in 0..2 {
                let key = stranger(number);
                strangers.insert(key);
                contents.tamper(&Operation::AddService(Service::new(key, "rr")));
                contents.tamper(&Operation::AddDestination(key, destination(3, 80, 1)));
            }
        }
        let model = file::first(size, &mut r);
        let mut oracle = Oracle::new(strangers);
        oracle.contents = table.lock().listed();
        Self {
            seed,
            size,
            base: Instant::now(),
            now: SECOND,
            queue: BTreeMap::new(),
            sequence: 0,
            life: 0,
            owner: None,
            wake: u64::MAX,
            starved_until: 0,
            inbox: Vec::new(),
            table,
            versions: vec![model],
            version: 0,
            broken: false,
            in_force: 0,
            baseline: 0,
            changing: None,
            looks: 0,
            at_rest: false,
            names: 0,
            look_chain: 0,
            told_listing: None,
            watched: None,
            files: BTreeSet::new(),
            readable: true,
            order: 0,
            resolver: Resolver::Answers,
            behaviours: std::array::from_fn(|_| {
                if r.chance(75) { Behaviour::Good } else { Behaviour::Bad }
            }),
            runs: [0; TARGETS],
            plans: BTreeMap::new(),
            hooks: Hooks::Quick,
            loads: Loads::Quick,
            processes: Processes::default(),
            journal: BTreeMap::new(),
            overrides: Vec::new(),
            counters: Counters::default(),
            kill_after: None,
            wall_jump: 0,
            askers: 0,
            oracle,
            steps: 0,
            digest: 0,
            trace: false,
        }
    }

    /// Lives through the events, then lets the world come to rest and looks at the whole.
    pub(crate) fn live(&mut self, events: &[Event]) -> Result<(), Violation> {
        self.start()?;
        let mut at = self.now;
        for event in events {
            at += Micros::from(event.after_ms) * MS;
            self.advance(at)?;
            if self.trace {
                eprintln!("{:>12.3} s  == {:?}", self.seconds(), event.what);
            }
            self.happen(&event.what);
        }
        self.rest()
    }

    fn seconds(&self) -> f64 {
        self.now as f64 / SECOND as f64
    }

    /// The clock on the wall, in microseconds since the epoch.
    fn wall_micros(&self) -> Micros {
        let since = self.moment().wall.duration_since(SystemTime::UNIX_EPOCH);
        micros(since.expect("after 1970"))
    }

    fn moment(&self) -> Now {
        let seconds = 1_700_000_000 + self.wall_jump;
        let wall = SystemTime::UNIX_EPOCH
            + Duration::from_secs(u64::try_from(seconds).expect("after 1970"))
            + Duration::from_micros(self.now);
        Now { instant: self.base + Duration::from_micros(self.now), wall }
    }

    fn later(&mut self, after: Micros, due: Due) {
        self.sequence += 1;
        // A grid of two milliseconds: what happens at about the same time is one batch.
        let at = (self.now + after).next_multiple_of(2 * MS);
        self.queue.insert((at, self.sequence), (self.life, due));
    }

    fn dice(&mut self, kind: u64) -> u64 {
        self.sequence += 1;
        of(self.seed, kind, self.sequence)
    }

    fn stamp(&self) -> u64 {
        self.version as u64 | u64::from(self.broken) << 40
    }

    /// Lets time pass.
    pub(crate) fn advance(&mut self, until: Micros) -> Result<(), Violation> {
        loop {
            let due = self.queue.first_key_value().map_or(u64::MAX, |(&(at, _), _)| at);
            let wake = match &self.owner {
                Some(_) if self.inbox.is_empty() => self.wake.max(self.starved_until),
                Some(_) => self.now.max(self.starved_until),
                None => u64::MAX,
            };
            let next = due.min(wake);
            if next > until {
                self.now = self.now.max(until);
                return Ok(());
            }
            self.now = self.now.max(next);
            while let Some(entry) = self.queue.first_entry()
                && entry.key().0 <= self.now
            {
                let (life, due) = entry.remove();
                self.due(life, due)?;
            }
            let is_time = !self.inbox.is_empty() || self.now >= self.wake;
            if is_time && self.now >= self.starved_until && self.owner.is_some() {
                self.step()?;
            }
        }
    }

    fn due(&mut self, life: u64, due: Due) -> Result<(), Violation> {
        if let Due::HookIsOver(pid) = due {
            if let Some(ended) = self.processes.over(pid, self.now)
                && ended.life == self.life
            {
                self.inbox.push(Delivery::Hook(ended.event));
            }
            return Ok(());
        }
        if life != self.life {
            return Ok(());
        }
        match due {
            Due::Deliver(delivery) => self.inbox.push(delivery),
            Due::Look(chain) if chain == self.look_chain => self.look(),
            Due::Look(_) | Due::HookIsOver(_) => {}
            Due::ReadFile(load) => self.read(load, self.version, self.broken),
            Due::LookUpNames(load, version) => self.read(load, version, false),
            Due::FinishLoad { load, version, broken } => {
                let read = if broken {
                    Read::Refused { stamp: version as u64 | 1 << 40 }
                } else {
                    let names = self.names;
                    let model = Box::new(file::with_names(&self.versions[version], names));
                    let directory = model.settings.maintenance_dir.clone();
                    let maintenance = directory.map(|directory| self.list(&directory));
                    Read::Accepted { version, names, model, maintenance }
                };
                self.inbox.push(Delivery::Loaded { load, read });
            }
            Due::HookBegins(run, begun) => self.hook_begins(run, begun)?,
            Due::Start => {
                if self.owner.is_none() {
                    self.start()?;
                }
            }
        }
        Ok(())
    }

    /// A thread reads the file, or looks its names up.
    fn read(&mut self, load: u64, version: usize, broken: bool) {
        let after = match self.loads {
            Loads::Quick => 5 * MS + self.dice(20) % (50 * MS),
            Loads::Slow => SECOND + self.dice(20) % (24 * SECOND),
            Loads::Never => return,
            Loads::Twice => {
                let after = SECOND + self.dice(21) % (3 * SECOND);
                self.later(after, Due::FinishLoad { load, version, broken });
                20 * MS
            }
        };
        self.later(after, Due::FinishLoad { load, version, broken });
    }

    fn start(&mut self) -> Result<(), Violation> {
        if self.broken {
            self.later(2 * SECOND, Due::Start);
            return Ok(());
        }
        let model = file::with_names(&self.versions[self.version], self.names);
        let directory = model.settings.maintenance_dir.clone();
        let maintenance = directory.map(|directory| self.list(&directory));
        let beginning = Beginning {
            config: PathBuf::from("/a.cf"),
            instance: "a".to_owned(),
            configuration: configuration(model.clone(), self.stamp(), self.names),
            table: (Table::new(Box::new(self.table.clone())), "memory"),
            memory: Memory::from_lines(self.journal.values().cloned()),
            maintenance: maintenance.clone(),
            earlier: Vec::new(),
            overrides: self.overrides.clone(),
            faults: Faults::default(),
            counters: std::mem::take(&mut self.counters),
        };
        let contents = self.table.lock().listed();
        self.table.lock().asked = Asked::default();
        self.look_chain += 1;
        let now = self.moment();
        let started = guarded(|| Owner::start(beginning, now))?;
        self.steps += 1;
        let (owner, effects) = match started {
            Ok(started) => started,
            Err(_)
                if self.table.lock().lists_services() && self.table.lock().lists_destinations() =>
            {
                return Err(Violation::new("the start fails although the table can be read"));
            }
            Err(_) => {
                self.later(SECOND, Due::Start);
                return Ok(());
            }
        };
        if self.trace {
            eprintln!("{:>12.3} s  -- start\n{}", self.seconds(), show(&effects));
        }
        self.owner = Some(owner);
        let asked = std::mem::take(&mut self.table.lock().asked);
        let listed = self.table.lock().listed();
        let wall = self.wall_micros();
        self.oracle.start(self.now, (model, self.names), maintenance.as_ref(), &contents, wall);
        let moment = Moment { now: self.now, batch: &[], effects: &effects, asked: &asked, wall };
        self.oracle.stepped(&moment, listed)?;
        self.told_listing = None;
        self.later(SECOND, Due::Look(self.look_chain));
        self.finish(effects)
    }

    fn step(&mut self) -> Result<(), Violation> {
        let mut batch = std::mem::take(&mut self.inbox);
        self.shuffle(&mut batch);
        let in_time = self.now <= self.wake;
        self.oracle.before(self.now, in_time)?;
        {
            let mut contents = self.table.lock();
            contents.asked = Asked::default();
            let looks_at = |it: &Delivery| {
                let serving = matches!(it, Delivery::Question(Question::Serving, _));
                serving || matches!(it, Delivery::Loaded { .. })
            };
            contents.keep_listings = batch.iter().any(looks_at);
        }
        let inputs = inputs(&batch);
        let now = self.moment();
        let owner = self.owner.as_mut().expect("it runs");
        let effects = guarded(|| owner.step(inputs, now))?;
        self.steps += 1;
        if self.trace {
            eprintln!(
                "{:>12.3} s  -- {:?}\n{}",
                self.seconds(),
                batch.iter().map(short).collect::<Vec<_>>(),
                show(&effects)
            );
        }
        let asked = std::mem::take(&mut self.table.lock().asked);
        if self.trace && !asked.operations.is_empty() {
            eprintln!("                  table: {:?}", asked.operations);
        }
        let memory_before = self.oracle.memory();
        let wall = self.wall_micros();
        let moment =
            Moment { now: self.now, batch: &batch, effects: &effects, asked: &asked, wall };
        let quiet = asked.operations.is_empty();
        let listed = if quiet { None } else { Some(self.table.lock().listed()) };
        let listed = listed.unwrap_or_else(|| self.oracle.take_contents());
        self.oracle.stepped(&moment, listed)?;
        self.digest = of(self.digest, effects.len() as u64, asked.operations.len() as u64);
        let mut effects = effects;
        let killed = self.kill_after.take();
        if let Some(mut after) = killed {
            // The journal has all of a step's lines or none, so that the oracle knows which.
            let is_line = |effect: &Effect| matches!(effect, Effect::Remember(_) | Effect::Keep(_));
            if effects.iter().take(after).any(is_line) {
                after = after.max(effects.iter().rposition(is_line).map_or(0, |last| last + 1));
            }
            effects.truncate(after);
        }
        let remembers = effects.iter().any(|effect| matches!(effect, Effect::Remember(_)));
        if remembers {
            for delivery in &batch {
                if let Delivery::Hook(HookEvent::Started { process, .. }) = delivery {
                    self.processes.noted(process.pid);
                }
            }
        }
        if killed.is_some() {
            let kept = effects.iter().any(|effect| matches!(effect, Effect::Keep(_)));
            if !remembers && !kept {
                self.oracle.forget_step(memory_before);
            }
            let ends = effects.iter().any(|effect| matches!(effect, Effect::End(_)));
            if !ends {
                self.carry_out(effects)?;
                self.die(SECOND / 2);
                return Ok(());
            }
        }
        self.finish(effects)
    }

    /// Carries effects out, and asks when the next step is due.
    fn finish(&mut self, effects: Vec<Effect>) -> Result<(), Violation> {
        if let Some(_end) = self.carry_out(effects)? {
            let pause = 100 * MS + self.dice(30) % (2 * SECOND);
            self.die(pause);
            return Ok(());
        }
        let now = self.moment().instant;
        let owner = self.owner.as_mut().expect("it runs");
        let wait = micros(guarded(|| owner.wait(now))?);
        if wait == 0 {
            self.oracle.no_wait(self.now)?;
        }
        self.wake = self.now + wait.max(1);
        Ok(())
    }

    fn die(&mut self, pause: Micros) {
        let listed = self.table.lock().listed();
        self.oracle.died(listed);
        self.owner = None;
        self.life += 1;
        self.inbox.clear();
        self.wake = u64::MAX;
        self.queue.retain(|_, (_, due)| matches!(due, Due::HookIsOver(_)));
        self.later(pause, Due::Start);
    }

    /// In any order, but what one thread says stays in its order.
    fn shuffle(&mut self, batch: &mut [Delivery]) {
        let mut r = Random::new(self.dice(40));
        for index in (1..batch.len()).rev() {
            batch.swap(index, r.below(index + 1));
        }
        let started = |delivery: &Delivery| match delivery {
            Delivery::Hook(HookEvent::Started { run, .. }) => Some(*run),
            _ => None,
        };
        let ended = |delivery: &Delivery| match delivery {
            Delivery::Hook(HookEvent::Ended { run, .. }) => Some(*run),
            _ => None,
        };
        for early in 0..batch.len() {
            let Some(run) = ended(&batch[early]) else { continue };
            if let Some(late) = (early..batch.len()).find(|&at| started(&batch[at]) == Some(run)) {
                batch.swap(early, late);
            }
        }
    }

    fn carry_out(&mut self, effects: Vec<Effect>) -> Result<Option<End>, Violation> {
        for effect in effects {
            match effect {
                Effect::Plans(plans) => self.plans = plans.into_iter().collect(),
                Effect::Check(runs) => {
                    for run in runs {
                        self.check(run);
                    }
                }
                Effect::Remember(lines) => {
                    for line in lines {
                        match line.told {
                            Some(_) => self.journal.insert(line.service.clone(), line),
                            None => self.journal.remove(&line.service),
                        };
                    }
                }
                Effect::Keep(lines) => self.overrides = lines,
                Effect::Leave(counters) => self.counters = *counters,
                Effect::Hook(run) => {
                    let after = MS + self.dice(50) % (4 * MS);
                    let now = self.now;
                    self.later(after, Due::HookBegins(run, now));
                }
                Effect::Load(load, None) => self.later(MS, Due::ReadFile(load)),
                Effect::Load(load, Some(LookUp(text))) => {
                    let version = text().map_or(u64::MAX, |text| stamp_of(text.files.config));
                    let version = usize::try_from(version).expect("no broken file is in force");
                    self.later(MS, Due::LookUpNames(load, version));
                }
                Effect::Watch(directory, now) => {
                    self.baseline = stamp_of(now.config);
                    self.in_force = self.baseline;
                    if directory != self.watched {
                        self.watched = directory;
                        self.look_chain += 1;
                        self.told_listing = None;
                        self.later(5 * MS, Due::Look(self.look_chain));
                    }
                }
                Effect::Rebase(now) => self.baseline = stamp_of(now.config),
                Effect::LookUp(addresses) => self.look_up(addresses),
                Effect::End(end) => return Ok(Some(end)),
                Effect::Log(..)
                | Effect::Serving(_)
                | Effect::Event(_)
                | Effect::Mail(_)
                | Effect::Monitor(..)
                | Effect::Settings(_)
                | Effect::Answer(..)
                | Effect::Stopping => {}
            }
        }
        Ok(None)
    }

    fn check(&mut self, run: Run) {
        let Some(plan) = self.plans.get(&run.check).cloned() else { return };
        let target = file::target(&plan);
        self.runs[target] += 1;
        let dice = of(self.seed, 100 + target as u64, self.runs[target]);
        let timeout = micros(plan.timeout(run.step));
        let behaviour = match plan.method {
            CheckMethod::On => Behaviour::Good,
            _ => self.behaviours[target],
        };
        let agent = match (&plan.agent, run.step) {
            (Some(_), Step::Full) if self.at_rest => AgentAnswer::Nothing,
            (Some(_), Step::Full) => agent_answer(dice / 11),
            _ => AgentAnswer::NotAsked,
        };
        let up = CheckOutcome::Up(Note { agent, ..Note::default() });
        let up = (up, MS + dice % (400 * MS));
        let bad = (CheckOutcome::Down(Failure::Refused), MS + dice % (50 * MS));
        let (outcome, after) = match behaviour {
            Behaviour::Good | Behaviour::Twice => up,
            Behaviour::Bad => bad,
            Behaviour::BadOtherwise => (CheckOutcome::Down(Failure::TimedOut), timeout),
            Behaviour::Flaky if (dice / 7).is_multiple_of(3) => bad,
            Behaviour::Flaky => up,
            Behaviour::Hangs => return,
            Behaviour::Late => (up.0, timeout + 2 * SECOND + dice % (4 * SECOND)),
            Behaviour::Local => (CheckOutcome::Down(Failure::Local("no port".into())), MS),
            Behaviour::Lost => {
                self.later(MS + dice % SECOND, Due::Deliver(Delivery::Lost(run)));
                return;
            }
        };
        let duration = Duration::from_micros(after);
        let checked = Checked { check: run.check, run: run.run, step: run.step, outcome, duration };
        if behaviour == Behaviour::Twice {
            let again = after + dice % (3 * SECOND);
            self.later(again, Due::Deliver(Delivery::Outcome(checked.clone())));
        }
        self.later(after, Due::Deliver(Delivery::Outcome(checked)));
    }

    fn hook_begins(&mut self, run: HookRun, begun: Micros) -> Result<(), Violation> {
        if let Some(Identity { pid, .. }) = run.after
            && let Some(over) = self.processes.ends(pid)
        {
            let patience = begun + micros(run.timeout);
            if self.now < patience {
                let after = over.min(patience).saturating_sub(self.now).max(MS);
                self.later(after, Due::HookBegins(run, begun));
                return Ok(());
            }
            self.processes.over(pid, self.now);
        }
        let dice = self.dice(60);
        let begun = self.processes.begin(&run, self.hooks, dice, self.now, self.life)?;
        let started = HookEvent::Started { run: run.run, process: begun.process };
        self.later(MS, Due::Deliver(Delivery::Hook(started)));
        // Never before its process has been told of.
        self.later(begun.takes.max(4 * MS), Due::HookIsOver(begun.process.pid));
        Ok(())
    }

    fn list(&mut self, directory: &Path) -> Listing {
        self.order += 1;
        let files = if !self.readable {
            Err("input/output error".to_owned())
        } else if directory == Path::new("/maintenance") {
            Ok(self.files.iter().map(|&file| crate::event::file_name(file).to_owned()).collect())
        } else {
            Ok(BTreeSet::from(["10.1.0.4".to_owned()]))
        };
        Listing { directory: directory.to_owned(), order: self.order, files }
    }

    /// As the watch thread does; but a listing that says nothing new is told only now and then.
    fn look(&mut self) {
        self.looks += 1;
        let stamp = self.stamp();
        if stamp == self.baseline {
            self.changing = None;
        } else if self.changing == Some(stamp) {
            self.changing = None;
            self.baseline = stamp;
            self.inbox.push(Delivery::FileChanged);
        } else {
            self.changing = Some(stamp);
        }
        if let Some(directory) = self.watched.clone() {
            let listing = self.list(&directory);
            if self.told_listing.as_ref() != Some(&listing.files) || self.looks.is_multiple_of(8) {
                self.told_listing = Some(listing.files.clone());
                let after =
                    if self.dice(70).is_multiple_of(8) { self.dice(71) % SECOND } else { 0 };
                self.later(after, Due::Deliver(Delivery::Maintenance(listing)));
            }
        }
        self.later(SECOND, Due::Look(self.look_chain));
    }

    fn look_up(&mut self, addresses: Vec<IpAddr>) {
        let name = |address: IpAddr| name(address).map_or(Name::Nameless, Name::Known);
        let names = match self.resolver {
            Resolver::Answers => addresses.into_iter().map(|it| (it, name(it))).collect(),
            Resolver::Fails => addresses.into_iter().map(|it| (it, Name::Failed)).collect(),
            Resolver::Hangs => return,
        };
        let after = MS + self.dice(80) % (2 * SECOND);
        self.later(after, Due::Deliver(Delivery::Names(names)));
    }

    fn happen(&mut self, what: &What) {
        match *what {
            What::Server(target, behaviour) => self.behaviours[target] = behaviour,
            What::Servers(behaviour) => self.behaviours = [behaviour; TARGETS],
            What::Edit(number) => {
                let mut model = self.versions[self.version].clone();
                file::edit(&mut model, self.size, &mut Random::new(number));
                self.versions.push(model);
                self.version = self.versions.len() - 1;
            }
            What::Undo => {
                self.version = usize::try_from(self.in_force).expect("no broken file is in force");
                self.broken = false;
            }
            What::Broken(broken) => self.broken = broken,
            What::Reload => self.tell(Delivery::Reload),
            What::Kill(after) => {
                if self.owner.is_some() {
                    self.kill_after = Some(after);
                    self.wake = self.now;
                }
            }
            What::HandOver => self.ask(Question::HandOver),
            What::Stop => self.tell(Delivery::Terminate),
            What::Operate(number) => {
                let command = orders::command(&mut Random::new(number));
                self.ask(Question::Operate(Box::new(command)));
            }
            What::Plan => self.ask(Question::Plan),
            What::Ask(confirm) => {
                let confirm = confirm.map(|seconds| Duration::from_secs(seconds.into()));
                self.ask(Question::Reload(confirm));
            }
            What::Confirm => self.ask(Question::Confirm),
            What::Status => self.ask(Question::Status),
            What::Listing => self.ask(Question::Listing),
            What::Rename(names) => self.names = names,
            What::Serving => self.ask(Question::Serving),
            What::Touch(file) => {
                self.files.insert(file);
            }
            What::Remove(file) => {
                self.files.remove(&file);
            }
            What::Directory(readable) => self.readable = readable,
            What::Resolver(resolver) => self.resolver = resolver,
            What::Refuse(kinds, refusal) => {
                let mut contents = self.table.lock();
                contents.refused_kinds = kinds;
                contents.refusal = Some(refusal);
                drop(contents);
                self.oracle.world_changed();
            }
            What::Race(count) => {
                self.table.lock().races = count;
                self.oracle.world_changed();
            }
            What::Tamper(number) => self.tamper(&mut Random::new(number)),
            What::Hooks(hooks) => self.hooks = hooks,
            What::Loads(loads) => self.loads = loads,
            What::Starve(ms) => self.starved_until = self.now + Micros::from(ms) * MS,
            What::Wall(seconds) => self.wall_jump += i64::from(seconds),
        }
    }

    fn tell(&mut self, delivery: Delivery) {
        if self.owner.is_some() {
            self.inbox.push(delivery);
        }
    }

    fn ask(&mut self, question: Question) {
        self.askers += 1;
        self.tell(Delivery::Question(question, self.askers));
    }

    fn tamper(&mut self, r: &mut Random) {
        let mut contents = self.table.lock();
        let listed = contents.listed();
        let ours: Vec<ServiceKey> =
            listed.keys().copied().filter(|key| !self.oracle.is_strange(key)).collect();
        if ours.is_empty() {
            return;
        }
        let key = r.pick(&ours);
        let (service, destinations) = &listed[&key];
        let operation = match r.below(6) {
            0 => Operation::DeleteService(key),
            1 => Operation::SetService(Service { scheduler: "sed".to_owned(), ..service.clone() }),
            2 => Operation::AddDestination(key, destination(1 + r.below(8), 80, 3)),
            _ if destinations.is_empty() => return,
            3..5 => {
                let it = r.pick(destinations);
                Operation::DeleteDestination(key, it.socket_address())
            }
            _ => {
                let weight = u32::try_from(r.below(4)).expect("small");
                let it = Destination { weight, ..r.pick(destinations) };
                Operation::SetDestination(key, it)
            }
        };
        contents.tamper(&operation);
        let listed = contents.listed();
        drop(contents);
        self.oracle.tampered(key, listed);
    }

    /// Nothing changes any more; when everything has had its time, everything must be as the file and
    /// the world say.
    fn rest(&mut self) -> Result<(), Violation> {
        let seed = self.seed;
        self.at_rest = true;
        self.behaviours = std::array::from_fn(|target| match self.behaviours[target] {
            Behaviour::Bad | Behaviour::BadOtherwise => self.behaviours[target],
            Behaviour::Hangs | Behaviour::Lost if of(seed, 90, target as u64).is_multiple_of(2) => {
                Behaviour::Bad
            }
            _ => Behaviour::Good,
        });
        {
            let mut contents = self.table.lock();
            (contents.refused_kinds, contents.races) = (0, 0);
        }
        self.oracle.world_changed();
        self.broken = false;
        self.readable = true;
        self.resolver = Resolver::Answers;
        self.hooks = Hooks::Quick;
        self.loads = Loads::Quick;
        // A stop, a hand-over or a start that is under way; then what is being read.
        self.advance(self.now + 45 * SECOND)?;
        if self.oracle.is_loading() {
            self.advance(self.now + 300 * SECOND)?;
        }
        self.ask(Question::Confirm);
        self.tell(Delivery::Reload);
        let patience = self.oracle.patience(&self.versions[self.version]);
        self.advance(self.now + patience)?;
        if self.owner.is_none() {
            return Err(Violation::new("nobody watches any more"));
        }
        self.askers += 1;
        self.inbox.push(Delivery::Question(Question::Status, self.askers));
        let model = file::with_names(&self.versions[self.version], self.names);
        let files = match &model.settings.maintenance_dir {
            Some(directory) => self.list(directory).files.expect("it can be read"),
            None => BTreeSet::new(),
        };
        let is_good = |target: usize| self.behaviours[target] == Behaviour::Good;
        self.oracle.at_rest(&model, is_good, &files, name)?;
        self.advance(self.now + MS)?;
        self.oracle.over()
    }
}

/// A panic of the step is a violation like others.
fn guarded<T>(work: impl FnOnce() -> T) -> Result<T, Violation> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|fault| {
        let text = fault.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| fault.downcast_ref::<&str>().copied()).unwrap_or("no words");
        Violation::new(format!("a panic: {text}"))
    })
}

fn inputs(batch: &[Delivery]) -> Vec<Input> {
    let mut inputs = Vec::with_capacity(batch.len());
    for delivery in batch {
        let input = match delivery.clone() {
            Delivery::Outcome(checked) => {
                if let Some(Input::Outcomes(all)) = inputs.last_mut() {
                    all.push(checked);
                    continue;
                }
                Input::Outcomes(vec![checked])
            }
            Delivery::Lost(run) => Input::Lost(vec![run]),
            Delivery::Hook(event) => Input::Hook(event),
            Delivery::Maintenance(listing) => Input::Maintenance(listing),
            Delivery::Names(names) => Input::Names(names),
            Delivery::FileChanged => Input::FilesChanged(vec!["/a.cf".into()]),
            Delivery::Loaded { load, read } => {
                let result = match read {
                    Read::Accepted { version, names, model, maintenance } => Ok(Loaded {
                        configuration: configuration(*model, version as u64, names),
                        maintenance,
                    }),
                    Read::Refused { stamp } => Err(Refused {
                        diagnostics: "the file is broken".to_owned(),
                        found: Some(Box::new(fingerprint(stamp).into())),
                    }),
                };
                Input::Loaded { load, result: Box::new(result) }
            }
            Delivery::Reload => Input::Reload,
            Delivery::Terminate => Input::Terminate("TERM"),
            Delivery::Question(question, asker) => Input::Question(question, asker),
        };
        inputs.push(input);
    }
    inputs
}

/// A configuration as it was read from this file. Its text in force is told from others by the file.
fn configuration(model: Model, stamp: u64, names: u64) -> Configuration {
    let files = Files::from(fingerprint(stamp));
    if model.settings.resolve_interval.is_none() {
        return Configuration { model, files, names: FollowedNames::default() };
    }
    let text = files.clone();
    let look_up = LookUp(Arc::new(move || {
        let (model, names) = (Model::default(), FollowedNames::default());
        Ok(Configuration { model, files: text.clone(), names })
    }));
    let addresses = BTreeSet::from([names.to_string()]);
    let names = FollowedNames {
        addresses: BTreeMap::from([("pool.example".to_owned(), addresses)]),
        failures: BTreeMap::new(),
        look_up: Some(look_up),
    };
    Configuration { model, files, names }
}

/// What an agent says of its server: mostly nothing, or what it said before.
fn agent_answer(dice: u64) -> AgentAnswer {
    match dice % 16 {
        0..8 => AgentAnswer::Nothing,
        8 => AgentAnswer::Percent(0),
        9 => AgentAnswer::Percent(100),
        10 => AgentAnswer::Weight(0),
        11..14 => AgentAnswer::Weight(3),
        _ => AgentAnswer::Weight(7),
    }
}

/// What an address is called.
fn name(address: IpAddr) -> Option<String> {
    let IpAddr::V4(address) = address else { return None };
    let octet = address.octets()[3];
    (octet % 2 == 0 || octet == 1).then(|| format!("web{octet}.example"))
}

fn short(delivery: &Delivery) -> String {
    match delivery {
        Delivery::Outcome(checked) => {
            let word = match &checked.outcome {
                CheckOutcome::Up(Note { agent: AgentAnswer::NotAsked, .. }) => "up".to_owned(),
                CheckOutcome::Up(note) => format!("up {:?}", note.agent),
                CheckOutcome::Down(_) => "down".to_owned(),
            };
            format!("check {} run {} {word}", checked.check.0, checked.run)
        }
        Delivery::Loaded { load, read: Read::Accepted { version, .. } } => {
            format!("loaded {load}: version {version}")
        }
        other => format!("{other:?}"),
    }
}

fn show(effects: &[Effect]) -> String {
    let mut text = String::new();
    for effect in effects {
        let line = match effect {
            Effect::Plans(plans) => {
                format!("plans {:?}", plans.iter().map(|it| it.0.0).collect::<Vec<_>>())
            }
            Effect::Answer(asker, _) => format!("answer {asker}"),
            Effect::Settings(_) => "settings".to_owned(),
            other => format!("{other:?}"),
        };
        text.push_str("                  ");
        text.push_str(&line);
        text.push('\n');
    }
    text.pop();
    text
}

fn fingerprint(stamp: u64) -> Fingerprint {
    let mut checksum = [0; 16];
    checksum[..8].copy_from_slice(&stamp.to_le_bytes());
    Fingerprint { stamp: None, checksum }
}

fn stamp_of(fingerprint: Fingerprint) -> u64 {
    u64::from_le_bytes(fingerprint.checksum[..8].try_into().expect("eight bytes"))
}

fn stranger(number: u32) -> ServiceKey {
    ServiceKey::Fwmark { family: ipvs_rs::Family::Inet, mark: 1000 + number }
}

fn destination(octet: usize, port: u16, weight: u32) -> Destination {
    let octet = u8::try_from(octet).expect("an octet");
    let address = IpAddr::from([10, 1, 0, octet]);
    Destination { weight, ..Destination::new(address, port, Forwarding::Masq) }
}

/// What the table calls a service of the file.
pub(crate) fn key_of(address: ldirectord::model::ServiceAddress) -> ServiceKey {
    service_key(address)
}
