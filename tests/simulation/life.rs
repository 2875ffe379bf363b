//! What the oracle knows of one process: the configuration in force, the verdicts that follow from
//! the outcomes it was given, and what was asked of it.

use crate::expect::{Verdict, argument, listed_address};
use crate::orders::Orders;
use crate::table::Listed;
use crate::world::{Micros, SECOND, key_of, micros};
use ldirectord::check::{AgentAnswer, CheckOutcome, Failure};
use ldirectord::director::{CheckId, Checked};
use ldirectord::model::{
    CheckMethod, CheckPlan, HookArgument, Model, ServiceAddress, Step, VirtualService,
};
use ldirectord::runtime::{Asker, Command, Listing, Name, Question};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// A check and when it must run.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) plan: Arc<CheckPlan>,
    pub(crate) id: Option<CheckId>,
    pub(crate) failures: u32,
    pub(crate) successes: u32,
    pub(crate) flight: Option<Flight>,
    /// When it must have begun, if it is not in flight.
    pub(crate) bound: Micros,
    /// Runs without an answer, in a row.
    pub(crate) streak: u32,
    /// All its servers are in maintenance.
    pub(crate) rests: bool,
    pub(crate) local: bool,
    /// It has been told that the check has no answer.
    pub(crate) told: bool,
    pub(crate) interval: Micros,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Flight {
    pub(crate) run: u64,
    pub(crate) begun: Micros,
    pub(crate) limit: Micros,
}

/// A service, its verdicts and its hook.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) service: VirtualService,
    pub(crate) plans: Vec<usize>,
    pub(crate) verdicts: Vec<Verdict>,
    /// The weights that operators have set.
    pub(crate) weights: Vec<Option<u32>>,
    /// The weights that the servers' agents have asked for.
    pub(crate) agents: Vec<Option<u32>>,
    /// Until then a weight may rise (`slowstart`).
    pub(crate) rises_until: Micros,
    pub(crate) lane: Lane,
}

/// What a service's hook does and was told.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lane {
    pub(crate) running: Option<u64>,
    pub(crate) told: Option<Told>,
    /// Since when the service has been good.
    pub(crate) good_since: Option<Micros>,
    pub(crate) has_passed: bool,
    /// A failed run that is to be repeated has been by then.
    pub(crate) retry_by: Option<Micros>,
    /// The service is gone, and its hook must end with `start`.
    pub(crate) closing: bool,
    /// … which is repeated until it has been heard.
    pub(crate) repeats: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) argument: HookArgument,
    pub(crate) end: RunEnd,
    pub(crate) retry: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunEnd {
    Running,
    Succeeded,
    Failed,
    /// Begun by an earlier process; what came of it is not known.
    Unknown,
}

/// How a process ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Ending {
    Stop,
    HandOver,
}

#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) question: Question,
    pub(crate) at: Micros,
    pub(crate) states: Vec<Verdict>,
    /// Whether a command must be done; `None` if that does not matter.
    pub(crate) must: Option<bool>,
    /// Of a plan or a reload: whether the reading that is under way is for it.
    pub(crate) taken: bool,
}

/// What a file is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    Reload,
    Plan,
    /// Names are looked up; the file is not read.
    Names,
}

/// A reload that is taken back unless it is confirmed.
#[derive(Debug)]
pub(crate) struct Unconfirmed {
    pub(crate) before: Model,
    pub(crate) names: u64,
    pub(crate) files: Option<(PathBuf, BTreeSet<String>)>,
    pub(crate) until: Micros,
}

#[derive(Debug)]
pub(crate) struct Life {
    pub(crate) model: Model,
    /// The addresses of names in it.
    pub(crate) followed: u64,
    pub(crate) services: Vec<Watched>,
    pub(crate) gone: BTreeMap<ServiceAddress, Lane>,
    pub(crate) plans: Vec<Plan>,
    pub(crate) ids: BTreeMap<CheckId, usize>,
    pub(crate) directory: Option<PathBuf>,
    pub(crate) orders: Orders,
    order: u64,
    files: BTreeSet<String>,
    names: BTreeMap<IpAddr, Option<String>>,
    pub(crate) asked_names: BTreeSet<IpAddr>,
    pub(crate) load: Option<(u64, Micros)>,
    pub(crate) purpose: Option<Purpose>,
    /// A reading that must begin in this step.
    pub(crate) starting: Option<Purpose>,
    pub(crate) unconfirmed: Option<Unconfirmed>,
    pub(crate) load_wanted: bool,
    pub(crate) pending: BTreeMap<Asker, Asked>,
    pub(crate) ending: Option<(Ending, Micros)>,
    pub(crate) unanswered: u64,
    /// Whether the last configuration was the one before, but for its line numbers.
    pub(crate) is_same: bool,
}

/// What the hooks were told by earlier processes.
pub(crate) type Memory = BTreeMap<ServiceAddress, (String, Told)>;

impl Life {
    pub(crate) fn new(
        now: Micros,
        model: Model,
        listing: Option<&Listing>,
        orders: Orders,
        table: &Listed,
    ) -> Self {
        let mut life = Self {
            model: Model::default(),
            followed: 0,
            services: Vec::new(),
            gone: BTreeMap::new(),
            plans: Vec::new(),
            ids: BTreeMap::new(),
            directory: None,
            orders,
            order: 0,
            files: BTreeSet::new(),
            names: BTreeMap::new(),
            asked_names: BTreeSet::new(),
            load: None,
            purpose: None,
            starting: None,
            unconfirmed: None,
            load_wanted: false,
            pending: BTreeMap::new(),
            ending: None,
            unanswered: 0,
            is_same: false,
        };
        life.install(now, model, listing, Some(table));
        life
    }

    /// Takes on a configuration, at a start or a reload.
    pub(crate) fn install(
        &mut self,
        now: Micros,
        model: Model,
        listing: Option<&Listing>,
        table: Option<&Listed>,
    ) {
        let mut before = std::mem::take(&mut self.services);
        let mut old_plans = std::mem::take(&mut self.plans);
        let old: Vec<Arc<CheckPlan>> = old_plans.iter().map(|it| Arc::clone(&it.plan)).collect();
        self.ids.clear();
        if model.settings.maintenance_dir != self.directory {
            self.directory.clone_from(&model.settings.maintenance_dir);
            self.files.clear();
        }
        let known: BTreeSet<IpAddr> = match self.directory {
            None => BTreeSet::new(),
            Some(_) => model
                .services
                .iter()
                .flat_map(|service| &service.real_servers)
                .map(|real| real.address.ip())
                .collect(),
        };
        self.names.retain(|address, _| known.contains(address));
        self.asked_names.retain(|address| known.contains(address));
        if let Some(listing) = listing {
            self.take_listing(listing);
        }
        for service in &model.services {
            let position = before.iter().position(|old| old.service.address == service.address);
            let mut old_service = position.map(|position| before.swap_remove(position));
            let mut plans = Vec::new();
            let mut verdicts = Vec::new();
            let mut agents = Vec::new();
            let mut taken = BTreeSet::new();
            // Who has both address and check in common with an old one is that one.
            let mut matches: Vec<Option<usize>> = vec![None; service.real_servers.len()];
            for same_check in [true, false] {
                for (index, real) in service.real_servers.iter().enumerate() {
                    let Some(old_service) = &old_service else { break };
                    if matches[index].is_some() {
                        continue;
                    }
                    let found = old_service.service.real_servers.iter().enumerate().find(
                        |(position, old)| {
                            !taken.contains(position)
                                && old.address == real.address
                                && (!same_check || old.check == real.check)
                        },
                    );
                    if let Some((position, _)) = found {
                        taken.insert(position);
                        matches[index] = Some(position);
                    }
                }
            }
            for (index, real) in service.real_servers.iter().enumerate() {
                let plan = self.plan_index(&real.check, &mut old_plans, now);
                plans.push(plan);
                let carried = matches[index].and_then(|position| {
                    let old_service = old_service.as_ref()?;
                    let same = *old[old_service.plans[position]] == *real.check;
                    Some(match old_service.verdicts[position] {
                        Verdict::Up if !same => Verdict::Adopted,
                        verdict => verdict,
                    })
                });
                let verdict = carried.unwrap_or_else(|| {
                    let listed = listed_address(service, real.address, real.forwarding);
                    let weight = table
                        .and_then(|table| table.get(&key_of(service.address)))
                        .and_then(|(_, all)| all.iter().find(|it| it.socket_address() == listed))
                        .map(|it| it.weight);
                    match weight {
                        Some(weight) if weight > 0 || real.weight == 0 => Verdict::Adopted,
                        _ => Verdict::Unknown,
                    }
                });
                verdicts.push(verdict);
                // What was said with another check says nothing with this one.
                agents.push(matches[index].and_then(|position| {
                    let old_service = old_service.as_ref()?;
                    let same = *old[old_service.plans[position]] == *real.check;
                    old_service.agents[position].filter(|_| same)
                }));
            }
            let rises_until = old_service.as_ref().map_or(0, |old| old.rises_until);
            let mut lane = match &mut old_service {
                Some(old) => std::mem::take(&mut old.lane),
                None => Lane {
                    running: self.gone.remove(&service.address).and_then(|lane| lane.running),
                    ..Lane::default()
                },
            };
            let command = |service: &VirtualService| {
                service.fallback_command.as_ref().map(|it| it.command.clone())
            };
            if old_service.as_ref().and_then(|old| command(&old.service)) != command(service) {
                lane =
                    Lane { running: lane.running, has_passed: lane.has_passed, ..Lane::default() };
            }
            if let (Some(_), Some(told), Some(command)) =
                (lane.running, &mut lane.told, &service.fallback_command)
            {
                told.retry = command.retry;
            }
            let weights = vec![None; verdicts.len()];
            let service = service.clone();
            self.services.push(Watched {
                service,
                plans,
                verdicts,
                weights,
                agents,
                rises_until,
                lane,
            });
        }
        for old in before {
            let service = &old.service;
            let asks = service.fallback_command_on_stop
                && service.clean_stop
                && service.fallback_command.is_some();
            let repeats = service.fallback_command.as_ref().is_some_and(|it| it.retry);
            let lane = Lane { closing: asks, repeats, retry_by: None, ..old.lane };
            self.gone.insert(service.address, lane);
        }
        self.is_same = without_lines(&self.model) == without_lines(&model);
        self.model = model;
        for index in 0..self.plans.len() {
            let interval = self.interval(index);
            let plan = &mut self.plans[index];
            plan.interval = interval;
            if let Some(id) = plan.id {
                self.ids.insert(id, index);
            }
            plan.bound = plan.bound.min(now + interval);
        }
        self.maintain(now);
        for service in &mut self.services {
            service.judge(now);
        }
    }

    fn plan_index(&mut self, plan: &Arc<CheckPlan>, old: &mut [Plan], now: Micros) -> usize {
        if let Some(index) = self.plans.iter().position(|it| it.plan == *plan) {
            return index;
        }
        let known = old.iter().position(|it| it.plan == *plan);
        let entry = match known {
            Some(position) => {
                // The others keep their places: they are looked up by number.
                let spare = Plan::new(Arc::new(CheckPlan { port: 1, ..(**plan).clone() }), now);
                std::mem::replace(&mut old[position], spare)
            }
            None => Plan::new(Arc::clone(plan), now),
        };
        self.plans.push(entry);
        self.plans.len() - 1
    }

    fn interval(&self, plan: usize) -> Micros {
        let services = self.services.iter().filter(|service| service.plans.contains(&plan));
        services.map(|service| micros(service.service.check_interval)).min().unwrap_or(0)
    }

    /// The shortest interval: that of the rounds.
    pub(crate) fn round(&self) -> Micros {
        let services = self.model.services.iter().map(|service| service.check_interval);
        micros(services.fold(self.model.settings.check_interval, std::time::Duration::min))
    }

    pub(crate) fn service(&self, address: ServiceAddress) -> Option<&Watched> {
        self.services.iter().find(|service| service.service.address == address)
    }

    pub(crate) fn lane(&mut self, address: ServiceAddress) -> Option<&mut Lane> {
        let service = self.services.iter_mut().find(|it| it.service.address == address);
        match service {
            Some(service) => Some(&mut service.lane),
            None => self.gone.get_mut(&address),
        }
    }

    pub(crate) fn listing(&mut self, listing: &Listing, now: Micros) {
        self.take_listing(listing);
        self.maintain(now);
    }

    /// The file shall be read for a reload, now or after the reading that is under way.
    pub(crate) fn want_reload(&mut self) {
        self.abandon_look_up();
        if self.load.is_some() || self.starting.is_some() {
            self.load_wanted = true;
        } else {
            self.begin(Purpose::Reload);
        }
    }

    /// A look-up of names gives way.
    fn abandon_look_up(&mut self) {
        if self.purpose == Some(Purpose::Names) {
            self.load = None;
        }
    }

    /// The same for a plan.
    pub(crate) fn want_plan(&mut self) {
        self.abandon_look_up();
        if self.load.is_none() && self.starting.is_none() {
            self.begin(Purpose::Plan);
        }
    }

    fn begin(&mut self, purpose: Purpose) {
        self.starting = Some(purpose);
        for asked in self.pending.values_mut() {
            asked.taken |= matches!(
                (&asked.question, purpose),
                (Question::Reload(_), Purpose::Reload) | (Question::Plan, Purpose::Plan)
            );
        }
    }

    /// A reading is over: what waits for the next one?
    pub(crate) fn begin_again(&mut self) {
        let plans = self.pending.values().any(|it| it.question == Question::Plan && !it.taken);
        if std::mem::take(&mut self.load_wanted) {
            self.begin(Purpose::Reload);
        } else if plans {
            self.begin(Purpose::Plan);
        }
    }

    /// The files of the directory, as they are known.
    pub(crate) fn known_files(&self) -> Option<(PathBuf, BTreeSet<String>)> {
        Some((self.directory.clone()?, self.files.clone()))
    }

    /// A reload that was not confirmed is taken back. Tells which services go, and whether their hooks run.
    pub(crate) fn take_back(
        &mut self,
        now: Micros,
        table: Option<&Listed>,
    ) -> Vec<(ServiceAddress, bool)> {
        let Some(Unconfirmed { before, names, files, .. }) = self.unconfirmed.take() else {
            return Vec::new();
        };
        self.abandon_look_up();
        self.followed = names;
        let goes =
            |it: &&Watched| before.services.iter().all(|old| old.address != it.service.address);
        let gone = self.services.iter().filter(goes);
        let gone = gone.map(|it| (it.service.address, it.lane.running.is_some())).collect();
        let directory = self.directory.clone();
        let files = files.filter(|(name, _)| Some(name) != directory.as_ref());
        let listing = files.map(|(directory, files)| Listing {
            directory,
            order: self.order,
            files: Ok(files),
        });
        self.install(now, before, listing.as_ref(), table);
        gone
    }

    fn take_listing(&mut self, listing: &Listing) {
        if Some(&listing.directory) == self.directory.as_ref() && listing.order >= self.order {
            self.order = listing.order;
            if let Ok(files) = &listing.files {
                self.files.clone_from(files);
            }
        }
    }

    pub(crate) fn named(&mut self, names: &[(IpAddr, Name)], now: Micros) {
        for (address, name) in names {
            if self.asked_names.contains(address) {
                match name {
                    Name::Known(name) => self.names.insert(*address, Some(name.clone())),
                    Name::Nameless => self.names.insert(*address, None),
                    Name::Failed => None,
                };
            }
        }
        self.maintain(now);
    }

    /// Whether a file may stand for a name: then a first check may wait for the name.
    pub(crate) fn has_names(&self) -> bool {
        let servers = self.services.iter().flat_map(|it| &it.service.real_servers);
        let known: BTreeSet<String> = servers
            .flat_map(|real| [real.address.to_string(), real.address.ip().to_string()])
            .collect();
        self.files.iter().any(|file| !known.contains(file))
    }

    /// Checks that waited for a name come a moment later.
    pub(crate) fn doubts_end(&mut self, now: Micros) {
        for plan in &mut self.plans {
            plan.bound = plan.bound.max(now + SECOND / 3);
        }
    }

    /// An operator says something. Tells whether it must be done.
    pub(crate) fn operate(&mut self, command: &Command, now: Micros, wall: Micros) -> Option<bool> {
        let must = self.orders.apply(command, &self.services, now, wall);
        self.maintain(now);
        must
    }

    /// What was said for a time ends.
    pub(crate) fn orders_end(&mut self, now: Micros) {
        if self.orders.next_end().is_some_and(|end| end <= now) {
            self.orders.end(now);
            self.maintain(now);
        }
    }

    fn maintain(&mut self, now: Micros) {
        let Self { files, names, services, plans, orders, .. } = self;
        for service in &mut *services {
            let address = service.service.address;
            let states = service.verdicts.iter_mut().zip(&mut service.weights);
            let states = states.zip(&mut service.agents);
            for (real, ((verdict, weight), agent)) in
                service.service.real_servers.iter().zip(states)
            {
                let name = names.get(&real.address.ip()).and_then(Option::as_deref);
                let (disabled, said) = orders.of(address, real.address);
                *weight = said;
                let is_maintained = disabled || has_file(files, real.address, name);
                *verdict = match (*verdict, is_maintained) {
                    (_, true) => Verdict::Maintained,
                    (Verdict::Maintained, false) => Verdict::Unknown,
                    (verdict, false) => verdict,
                };
                if *verdict == Verdict::Maintained {
                    *agent = None;
                }
            }
            service.judge(now);
        }
        for (index, plan) in plans.iter_mut().enumerate() {
            let rests = services.iter().all(|service| {
                let mut members = service.plans.iter().zip(&service.verdicts);
                members.all(|(&plan, &verdict)| plan != index || verdict == Verdict::Maintained)
            });
            if plan.rests && !rests {
                plan.bound = plan.bound.max(now + plan.interval);
            }
            plan.rests = rests;
        }
    }

    /// A run of a check is over. Tells whether its outcome counts.
    pub(crate) fn ended(&mut self, id: CheckId, run: u64) -> Option<(usize, Flight)> {
        let index = *self.ids.get(&id)?;
        let flight = self.plans[index].flight.take_if(|flight| flight.run == run)?;
        Some((index, flight))
    }

    pub(crate) fn checked(&mut self, checked: &Checked, now: Micros) -> bool {
        let Some((index, flight)) = self.ended(checked.check, checked.run) else { return false };
        let plan = &mut self.plans[index];
        plan.bound = (flight.begun + plan.interval).max(now);
        plan.streak = 0;
        plan.told = false;
        let (up, said) = match &checked.outcome {
            CheckOutcome::Up(note) => (true, note.agent),
            CheckOutcome::Down(Failure::Local(_)) => return true,
            CheckOutcome::Down(_) => (false, AgentAnswer::NotAsked),
        };
        let asked = match said {
            AgentAnswer::NotAsked => None,
            AgentAnswer::Nothing | AgentAnswer::Percent(100) => Some(None),
            AgentAnswer::Percent(0) => Some(Some(0)),
            AgentAnswer::Weight(weight) => Some(Some(u32::from(weight))),
            AgentAnswer::Percent(_) => panic!("a percentage that is smoothed"),
        };
        (plan.failures, plan.successes) =
            if up { (0, plan.successes + 1) } else { (plan.failures + 1, 0) };
        let (failures, successes) = (plan.failures, plan.successes);
        for service in &mut self.services {
            let states = service.verdicts.iter_mut().zip(&mut service.agents);
            for (plan, (verdict, agent)) in service.plans.iter().zip(states) {
                if *plan == index {
                    *agent = asked.unwrap_or(*agent);
                    let after = if up {
                        verdict.passed(&service.service, successes)
                    } else {
                        verdict.failed(&service.service, failures)
                    };
                    match (*verdict, after, service.service.slow_start) {
                        (before, Verdict::Down, _) if before != Verdict::Down => *agent = None,
                        (Verdict::Down, Verdict::Up, Some(time)) => {
                            let until = now + micros(time) + SECOND;
                            service.rises_until = service.rises_until.max(until);
                        }
                        _ => {}
                    }
                    *verdict = after;
                }
            }
            if service.plans.contains(&index) {
                service.judge(now);
            }
        }
        true
    }

    /// A run has no answer: it must begin again, after a pause that grows.
    pub(crate) fn lost(&mut self, index: usize, now: Micros) {
        let plan = &mut self.plans[index];
        plan.flight = None;
        let pause = if plan.streak == 0 { 0 } else { SECOND << (plan.streak - 1).min(6) };
        plan.streak += 1;
        plan.bound = now + pause;
    }
}

impl Plan {
    fn new(plan: Arc<CheckPlan>, now: Micros) -> Self {
        Self {
            plan,
            id: None,
            failures: 0,
            successes: 0,
            flight: None,
            // The first runs are spread a little.
            bound: now + SECOND / 50,
            streak: 0,
            rests: false,
            local: false,
            told: false,
            interval: 0,
        }
    }

    /// How long a run may be without an answer.
    pub(crate) fn patience(&self, step: Step) -> Micros {
        let timeout = self.plan.timeout(step);
        let external =
            matches!(self.plan.method, CheckMethod::External(_) | CheckMethod::ExternalPerl(_));
        micros(timeout) + SECOND + if external { SECOND } else { 0 }
    }
}

impl Watched {
    /// Looks whether the service is good.
    pub(crate) fn judge(&mut self, now: Micros) {
        let (service, verdicts) = self.effective();
        match argument(&service, &verdicts) {
            Some(HookArgument::Stop) => {
                self.lane.has_passed = true;
                self.lane.good_since.get_or_insert(now);
            }
            Some(HookArgument::Start) | None => self.lane.good_since = None,
        }
    }
}

/// Where in the file a service stands changes nothing.
fn without_lines(model: &Model) -> Model {
    let mut model = model.clone();
    model.services.iter_mut().for_each(|service| service.origin.clear());
    model
}

/// Whether a server has a file in `maintenancedir`: by address or name, each with or without a port.
pub(crate) fn has_file(files: &BTreeSet<String>, server: SocketAddr, name: Option<&str>) -> bool {
    let (ip, port) = (server.ip().to_string(), server.port());
    let short = name.and_then(|name| name.split('.').next());
    [Some(ip.as_str()), name, short]
        .into_iter()
        .flatten()
        .any(|word| files.iter().any(|file| file == word || *file == format!("{word}:{port}")))
}
