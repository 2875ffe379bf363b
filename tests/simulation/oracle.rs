//! The rules: what must hold after every step, and what when the world is at rest.

use crate::expect::{Verdict, argument, difference, listed_address};
use crate::file;
use crate::life::{
    Asked, Ending, Flight, Life, Memory, Purpose, RunEnd, Told, Unconfirmed, Watched, has_file,
};
use crate::orders::Orders;
use crate::table::{Asked as Operations, Listed, service_of};
use crate::world::{Delivery, MS, Micros, Read, SECOND, key_of, micros};
use ipvs_rs::ServiceKey;
use ldirectord::check::{CheckOutcome, Failure};
use ldirectord::dataplane::Operation;
use ldirectord::hook::{HookEvent, HookProgram, HookResult, HookRun};
use ldirectord::model::{CheckMethod, HookArgument, Model, ServiceAddress};
use ldirectord::runtime::{Answer, Effect, End, Listing, Question};
use ldirectord::status::{Phase, ServerState, StatusReport};
use log::Level;
use std::collections::{BTreeMap, BTreeSet};

/// How much later than asked the loop may wake up.
const LATE: Micros = 30 * MS;

/// Bursts of checks are so far apart: a check that becomes due just after one waits for the next.
const BURST: Micros = 20 * MS;

/// How long a first check may wait for a name.
const DOUBT: Micros = 3 * SECOND + 500 * MS;

/// A rule that does not hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Violation(pub(crate) String);

impl Violation {
    pub(crate) fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// What it is about, without its numbers: a shortened history must end with the same.
    pub(crate) fn kind(&self) -> String {
        let text = self.0.split(':').next().unwrap_or_default();
        text.chars().filter(|c| !c.is_ascii_digit()).collect()
    }
}

macro_rules! ensure {
    ($holds:expr, $($words:tt)*) => {
        if !$holds {
            return Err(Violation::new(format!($($words)*)));
        }
    };
}

/// One step, as it was seen from outside.
pub(crate) struct Moment<'a> {
    pub(crate) now: Micros,
    pub(crate) batch: &'a [Delivery],
    pub(crate) effects: &'a [Effect],
    pub(crate) asked: &'a Operations,
    /// The clock on the wall, since the epoch.
    pub(crate) wall: Micros,
}

#[derive(Debug)]
pub(crate) struct Oracle {
    life: Option<Life>,
    memory: Memory,
    /// What operators have said that a restart keeps.
    kept: Orders,
    /// Services of others, which nobody may touch.
    strangers: BTreeSet<ServiceKey>,
    /// What the table lists.
    pub(crate) contents: Listed,
    /// Services that somebody else has changed, and that nobody need put right before a reload.
    tampered: BTreeSet<ServiceKey>,
    /// Services that must be as wanted by then.
    owed: BTreeMap<ServiceKey, Micros>,
    /// The last reload could not list the table: what it left to the next round, the next reload may do.
    blind_reload: bool,
    /// Goes up when something changes that may be a reason to say the same once more.
    epoch: u64,
    said: BTreeMap<String, u64>,
    zero_waits: (Micros, u32),
    /// Failures of this machine that may be told of.
    local_lines: u32,
    /// Checks without an answer that may be told of.
    silent_lines: u32,
    /// Pauses and repetitions that a history has caused.
    worst_streak: u32,
    last_status: Option<StatusReport>,
    expected_at_rest: bool,
}

/// Verdicts, and the weights that operators and agents have said.
type Judged = (Vec<Verdict>, [Vec<Option<u32>>; 2]);

impl Oracle {
    pub(crate) fn new(strangers: BTreeSet<ServiceKey>) -> Self {
        Self {
            life: None,
            memory: Memory::new(),
            kept: Orders::default(),
            strangers,
            contents: Listed::new(),
            tampered: BTreeSet::new(),
            owed: BTreeMap::new(),
            blind_reload: false,
            epoch: 0,
            said: BTreeMap::new(),
            zero_waits: (0, 0),
            local_lines: 0,
            silent_lines: 0,
            worst_streak: 0,
            last_status: None,
            expected_at_rest: false,
        }
    }

    pub(crate) fn is_strange(&self, key: &ServiceKey) -> bool {
        self.strangers.contains(key)
    }

    /// What a restart keeps.
    pub(crate) fn memory(&self) -> (Memory, Orders) {
        (self.memory.clone(), self.kept.clone())
    }

    pub(crate) fn take_contents(&mut self) -> Listed {
        std::mem::take(&mut self.contents)
    }

    pub(crate) fn world_changed(&mut self) {
        self.epoch += 1;
    }

    /// Somebody else has changed the table.
    pub(crate) fn tampered(&mut self, key: ServiceKey, contents: Listed) {
        self.epoch += 1;
        self.contents = contents;
        self.tampered.insert(key);
    }

    /// A process begins.
    pub(crate) fn start(
        &mut self,
        now: Micros,
        (model, names): (Model, u64),
        listing: Option<&Listing>,
        table: &Listed,
        wall: Micros,
    ) {
        let orders = self.kept.again(now, wall);
        let mut life = Life::new(now, model, listing, orders, table);
        life.followed = names;
        self.strangers = table.keys().copied().collect();
        for service in &mut life.services {
            let address = service.service.address;
            self.strangers.remove(&key_of(address));
            let Some(command) = &service.service.fallback_command else { continue };
            if let Some((known, told)) = self.memory.get(&address)
                && *known == command.command
            {
                service.lane.told = Some(told.clone());
            }
        }
        self.epoch += 1;
        self.tampered.clear();
        self.owed.clear();
        self.life = Some(life);
    }

    /// The process is gone, whether it wanted to or not.
    pub(crate) fn died(&mut self, contents: Listed) {
        self.contents = contents;
        for (_, told) in self.memory.values_mut() {
            if told.end != RunEnd::Succeeded {
                told.end = RunEnd::Unknown;
            }
        }
        self.life = None;
    }

    /// The effects of the last step were not carried out.
    pub(crate) fn forget_step(&mut self, (memory, kept): (Memory, Orders)) {
        self.memory = memory;
        self.kept = kept;
    }

    /// Before a step: has the owner overslept?
    pub(crate) fn before(&mut self, now: Micros, in_time: bool) -> Result<(), Violation> {
        let Some(life) = self.life.as_ref().filter(|_| in_time) else { return Ok(()) };
        if let Some((ending, since)) = life.ending {
            ensure!(now <= since + 5 * SECOND + LATE, "it does not end: {ending:?} since {since}");
            return Ok(());
        }
        if let Some(end) = life.orders.next_end() {
            ensure!(now <= end + LATE, "what was said for a time does not end: {end}");
        }
        for asked in life.pending.values() {
            let patience = match asked.question {
                // Behind a reading that never ends.
                Question::Plan | Question::Reload(_) => 605 * SECOND,
                _ => 30 * SECOND,
            };
            ensure!(now <= asked.at + patience + LATE, "a question has no answer: {asked:?}");
        }
        let doubt = if life.has_names() { DOUBT } else { 0 };
        for plan in &life.plans {
            if plan.plan.method == CheckMethod::Off || plan.rests {
                continue;
            }
            let due = plan.flight.map_or(plan.bound + doubt, |flight| flight.limit);
            ensure!(
                now <= due + LATE,
                "a check is overslept: {} was due {} ms ago, in flight: {:?}",
                plan.plan.target(),
                (now - due) / MS,
                plan.flight
            );
        }
        Ok(())
    }

    /// The owner asks for the next step at once.
    pub(crate) fn no_wait(&mut self, now: Micros) -> Result<(), Violation> {
        let (at, times) = self.zero_waits;
        self.zero_waits = if at.abs_diff(now) < MS { (now, times + 1) } else { (now, 1) };
        ensure!(self.zero_waits.1 < 20, "it spins: it wants no pause, again and again");
        Ok(())
    }

    /// After a step: its inputs, its effects and what became of the table.
    pub(crate) fn stepped(&mut self, it: &Moment<'_>, contents: Listed) -> Result<(), Violation> {
        let before = std::mem::replace(&mut self.contents, contents);
        let was_ending = self.life.as_ref().is_some_and(|life| life.ending.is_some());
        let clean = self.tampered.is_empty() && self.owed.is_empty() && !self.blind_reload;
        let verdicts = self.verdicts();
        for (index, delivery) in it.batch.iter().enumerate() {
            self.receive(delivery, index, it)?;
        }
        let life = self.life.as_mut().expect("it lives");
        if life.ending.is_none() {
            life.orders_end(it.now);
            let is_over = |unconfirmed: &Unconfirmed| unconfirmed.until <= it.now;
            if life.unconfirmed.as_ref().is_some_and(is_over) {
                self.take_back(&before, it);
            }
        }
        let changed = self.verdicts() != verdicts;
        if changed {
            self.epoch += 1;
        }
        self.no_change_no_operation(it, clean && !changed)?;
        self.overdue(it.now);
        self.operations(it)?;
        // A reload and one that is taken back may come in one step: the last plans count.
        let is_plans = |effect: &Effect| matches!(effect, Effect::Plans(_));
        let last_plans = it.effects.iter().rposition(is_plans);
        for (position, effect) in it.effects.iter().enumerate() {
            if !is_plans(effect) || Some(position) == last_plans {
                self.effect(effect, it)?;
            }
        }
        let life = self.life.as_mut().expect("it lives");
        let ending = life.ending.is_some();
        let left = life.pending.iter().find(|(_, it)| match it.question {
            Question::HandOver => false,
            Question::Plan | Question::Reload(_) => ending,
            _ => true,
        });
        ensure!(left.is_none(), "a question has no answer: {left:?}");
        if let Some(ending) = life.ending {
            return self.end(ending, was_ending, it);
        }
        self.checks_are_under_way(it.now)?;
        self.hooks_are_under_way(it.now)?;
        self.table_is_as_wanted(it.now)?;
        let life = self.life.as_mut().expect("it lives");
        ensure!(
            life.starting.is_none() && (!life.load_wanted || life.load.is_some()),
            "a reload that was asked for never begins"
        );
        Ok(())
    }

    /// Of each service.
    fn verdicts(&self) -> Vec<Judged> {
        let life = self.life.as_ref().expect("it lives");
        let of = |service: &Watched| {
            (service.verdicts.clone(), [service.weights.clone(), service.agents.clone()])
        };
        life.services.iter().map(of).collect()
    }

    fn receive(
        &mut self,
        delivery: &Delivery,
        index: usize,
        it: &Moment<'_>,
    ) -> Result<(), Violation> {
        let now = it.now;
        let life = self.life.as_mut().expect("it lives");
        if let Delivery::Hook(event) = delivery {
            self.hook_event(event, now);
            return Ok(());
        }
        if let Delivery::Question(question, asker) = delivery {
            let states = life.services.iter().flat_map(|service| service.verdicts.clone());
            let states = states.collect();
            let must = match question {
                Question::Operate(_) if life.ending.is_some() => Some(false),
                Question::Operate(command) => life.operate(command, now, it.wall),
                _ => None,
            };
            let must = match question {
                Question::Confirm if life.ending.is_some() => Some(false),
                Question::Confirm => Some(life.unconfirmed.take().is_some()),
                _ => must,
            };
            let (question, taken) = (question.clone(), false);
            let asked = Asked { question: question.clone(), at: now, states, must, taken };
            life.pending.insert(*asker, asked);
            if life.ending.is_none() {
                match question {
                    Question::HandOver | Question::Reload(_) => life.want_reload(),
                    Question::Plan => life.want_plan(),
                    _ => {}
                }
            }
            return Ok(());
        }
        if let (Delivery::Terminate, None | Some((Ending::HandOver, _))) = (delivery, life.ending) {
            life.ending = Some((Ending::Stop, now));
            return Ok(());
        }
        if life.ending.is_some() {
            return Ok(());
        }
        match delivery {
            Delivery::Outcome(checked) => {
                let plan = life.ids.get(&checked.check).copied();
                if life.checked(checked, now)
                    && let Some(plan) = plan
                {
                    let local = matches!(checked.outcome, CheckOutcome::Down(Failure::Local(_)));
                    let plan = &mut life.plans[plan];
                    self.local_lines += u32::from(local && !plan.local);
                    plan.local = local;
                }
            }
            Delivery::Lost(run) => {
                if let Some((plan, _)) = life.ended(run.check, run.run) {
                    life.lost(plan, now);
                    self.worst_streak = self.worst_streak.max(life.plans[plan].streak);
                }
            }
            Delivery::Maintenance(listing) => {
                let before = life.has_names();
                life.listing(listing, now);
                if before && !life.has_names() {
                    life.doubts_end(now);
                }
            }
            Delivery::Names(names) => life.named(names, now),
            Delivery::FileChanged => {
                if life.model.settings.auto_reload {
                    life.want_reload();
                }
            }
            Delivery::Reload => life.want_reload(),
            Delivery::Loaded { load, read } => {
                let of_this = |(number, _): &(u64, Micros)| number == load;
                let is_awaited = life.load.as_ref().is_some_and(of_this);
                self.loaded(*load, read, index, it)?;
                let life = self.life.as_mut().expect("it lives");
                if is_awaited && life.ending.is_none() {
                    life.begin_again();
                }
            }
            Delivery::Hook(_) | Delivery::Question(..) | Delivery::Terminate => {}
        }
        Ok(())
    }

    fn loaded(
        &mut self,
        load: u64,
        read: &Read,
        index: usize,
        it: &Moment<'_>,
    ) -> Result<(), Violation> {
        let now = it.now;
        let life = self.life.as_mut().expect("it lives");
        if life.load.take_if(|(number, _)| *number == load).is_none() {
            return Ok(());
        }
        if life.purpose == Some(Purpose::Plan) {
            return Ok(());
        }
        let names = match read {
            Read::Accepted { names, .. } => *names,
            Read::Refused { .. } => life.followed,
        };
        if life.purpose == Some(Purpose::Names) && names == life.followed {
            return Ok(());
        }
        let accepted = it.effects.iter().any(|effect| matches!(effect, Effect::Settings(_)));
        let again = it.effects.iter().any(|effect| matches!(effect, Effect::Load(..)));
        let Read::Accepted { model, maintenance, .. } = read else {
            let takes_back = life.unconfirmed.as_ref().is_some_and(|it| it.until <= now);
            ensure!(!accepted || takes_back, "a broken file is accepted");
            return Ok(());
        };
        if model.services.is_empty() && !life.model.services.is_empty() && !accepted {
            return Ok(());
        }
        ensure!(accepted, "a good file is not accepted");
        // A question for the status or for the table lists the services once, before the reload does.
        let asked = it.batch[..index].iter().filter(|delivery| {
            matches!(
                delivery,
                Delivery::Question(Question::Status | Question::Listing | Question::Serving, _)
            )
        });
        let listing = it.asked.listings.get(asked.count()).and_then(Option::as_ref);
        let ours = |listed: &&Listed| {
            let mut services = model.services.iter();
            !it.asked.listing_refused
                || !services.any(|service| listed.contains_key(&key_of(service.address)))
        };
        let table = listing.filter(ours);
        for service in &life.services {
            let address = service.service.address;
            if model.services.iter().all(|it| it.address != address)
                && service.lane.running.is_none()
            {
                forget(&mut self.memory, address);
            }
        }
        let confirm =
            life.pending.values().filter(|it| it.taken).filter_map(|it| match it.question {
                Question::Reload(confirm) => confirm,
                _ => None,
            });
        if let Some(time) = confirm.min() {
            let until = now + micros(time);
            let (before, names, files) = (life.model.clone(), life.followed, life.known_files());
            let first = life.unconfirmed.get_or_insert(Unconfirmed { before, names, files, until });
            first.until = until;
        }
        let hand_over = life.pending.values().any(|it| it.question == Question::HandOver);
        let before = life.has_names();
        life.install(now, (**model).clone(), maintenance.as_ref(), table);
        life.followed = names;
        if before && !life.has_names() {
            life.doubts_end(now);
        }
        for service in &life.services {
            self.strangers.remove(&key_of(service.service.address));
        }
        self.epoch += 1;
        self.tampered.clear();
        self.blind_reload = it.asked.listing_refused;
        if it.asked.listing_refused {
            self.owe_all(now);
        }
        let life = self.life.as_mut().expect("it lives");
        if hand_over && !again {
            life.ending = Some((Ending::HandOver, now));
        }
        Ok(())
    }

    fn owe_all(&mut self, now: Micros) {
        let life = self.life.as_ref().expect("it lives");
        let until = now + life.round();
        for key in self.contents.keys() {
            if !self.strangers.contains(key) {
                self.owed.insert(*key, until);
            }
        }
        for service in &life.services {
            self.owed.insert(key_of(service.service.address), until);
        }
    }

    /// A reload of the same configuration, alone in its step.
    fn no_change_no_operation(&self, it: &Moment<'_>, clean: bool) -> Result<(), Violation> {
        let life = self.life.as_ref().expect("it lives");
        let [Delivery::Loaded { read: Read::Accepted { .. }, .. }] = it.batch else {
            return Ok(());
        };
        let same = life.is_same;
        if same && clean && !it.asked.listing_refused && life.ending.is_none() {
            let rises = |key| {
                let mut services = life.services.iter();
                services
                    .any(|service| key_of(service.service.address) == key && service.rises(it.now))
            };
            let mut done = it.asked.operations.clone();
            done.retain(|(operation, _, _)| !rises(service_of(operation)));
            ensure!(done.is_empty(), "a reload that changes nothing does something: {done:?}");
        }
        Ok(())
    }

    /// A reload that was not confirmed is taken back.
    fn take_back(&mut self, before: &Listed, it: &Moment<'_>) {
        let life = self.life.as_mut().expect("it lives");
        // Without an operation it is as it was.
        let table = if before.is_empty() { &self.contents } else { before };
        let had_names = life.has_names();
        let gone: Vec<_> = life.take_back(it.now, (!it.asked.listing_refused).then_some(table));
        for (address, is_running) in gone {
            if !is_running {
                forget(&mut self.memory, address);
            }
        }
        if had_names && !life.has_names() {
            life.doubts_end(it.now);
        }
        for service in &life.services {
            self.strangers.remove(&key_of(service.service.address));
        }
        self.epoch += 1;
        self.tampered.clear();
        self.blind_reload = it.asked.listing_refused;
        if it.asked.listing_refused {
            self.owe_all(it.now);
        }
    }

    fn overdue(&mut self, now: Micros) {
        let life = self.life.as_mut().expect("it lives");
        if life.ending.is_some() {
            return;
        }
        if life.load.take_if(|(_, until)| *until <= now).is_some() {
            life.begin_again();
        }
        for index in 0..life.plans.len() {
            if life.plans[index].flight.is_some_and(|flight| flight.limit <= now) {
                life.lost(index, now);
                life.unanswered += 1;
                let plan = &mut life.plans[index];
                self.silent_lines += u32::from(!std::mem::replace(&mut plan.told, true));
                self.worst_streak = self.worst_streak.max(life.plans[index].streak);
            }
        }
    }

    /// What was asked of the table.
    fn operations(&mut self, it: &Moment<'_>) -> Result<(), Violation> {
        self.epoch += u64::from(it.asked.raced);
        let life = self.life.as_ref().expect("it lives");
        let until = it.now + life.round();
        for (operation, weight, succeeded) in &it.asked.operations {
            let key = service_of(operation);
            ensure!(!self.strangers.contains(&key), "a foreign service is touched: {operation:?}");
            if !succeeded {
                self.owed.insert(key, until);
                if matches!(operation, Operation::SetDestination(..)) {
                    // Somebody may have removed it; `readdquiescent` says whether it comes back.
                    self.tampered.insert(key);
                }
            }
            let service = life.services.iter().find(|it| key_of(it.service.address) == key);
            let Some(service) = service.filter(|_| life.ending.is_none()) else { continue };
            let address = match operation {
                Operation::DeleteDestination(_, address) => *address,
                Operation::SetDestination(_, to) if to.weight == 0 => to.socket_address(),
                Operation::DeleteService(_) => {
                    return Err(Violation::new(format!("a service that lives is removed: {key}")));
                }
                _ => continue,
            };
            // Of several with this address, the last one in service decides.
            let (service, verdicts) = service.effective();
            let members = service.real_servers.iter().zip(&verdicts);
            let last = members.rev().find(|(real, verdict)| {
                let listed = listed_address(&service, real.address, real.forwarding);
                verdict.serves() && listed == address
            });
            // Two things in one step may each change it: a reload and an outcome, an operator twice.
            let changes = |delivery: &Delivery| {
                let is_said = matches!(delivery, Delivery::Question(Question::Operate(_), _));
                is_said || matches!(delivery, Delivery::Loaded { .. })
            };
            let twice = it.batch.len() > 1 && it.batch.iter().any(changes);
            let passing = !twice
                && last.is_some_and(|(real, verdict)| real.weight > 0 && *verdict == Verdict::Up);
            let zero = weight.is_none_or(|weight| weight == 0);
            ensure!(
                zero || !passing,
                "a server that passes its checks leaves the table: {operation:?}"
            );
        }
        if it.asked.listing_refused {
            self.owe_all(it.now);
        }
        Ok(())
    }

    fn effect(&mut self, effect: &Effect, it: &Moment<'_>) -> Result<(), Violation> {
        let now = it.now;
        let life = self.life.as_mut().expect("it lives");
        match effect {
            Effect::Plans(plans) => {
                life.ids.clear();
                for (id, plan) in plans {
                    let found = life.plans.iter().position(|it| *it.plan == **plan);
                    let Some(index) = found else {
                        return Err(Violation::new(format!("a check of nothing: {plan:?}")));
                    };
                    let known = life.plans[index].id.replace(*id);
                    ensure!(
                        known.is_none_or(|known| known == *id),
                        "a check is made anew: {plan:?}"
                    );
                    life.ids.insert(*id, index);
                }
                let off = |index: usize| life.plans[index].plan.method == CheckMethod::Off;
                let missing =
                    (0..life.plans.len()).find(|it| !off(*it) && life.plans[*it].id.is_none());
                ensure!(missing.is_none(), "a server without a check: {missing:?}");
            }
            Effect::Check(runs) => {
                for run in runs {
                    let Some(plan) = life.ids.get(&run.check).copied() else {
                        return Err(Violation::new(format!("a check that is gone runs: {run:?}")));
                    };
                    let plan = &mut life.plans[plan];
                    ensure!(plan.flight.is_none(), "a check runs twice at a time: {run:?}");
                    ensure!(!plan.rests, "a check runs in maintenance: {run:?}");
                    let limit = now + plan.patience(run.step);
                    plan.flight = Some(Flight { run: run.run, begun: now, limit });
                }
            }
            Effect::Keep(_) => self.kept.clone_from(&life.orders),
            Effect::Leave(counters) => {
                let counted: BTreeSet<_> = counters.services.keys().copied().collect();
                let served = life.model.services.iter().map(|service| service.address).collect();
                ensure!(counted == served, "counted are {counted:?}, served {served:?}");
            }
            Effect::Hook(run) => self.hook_begins(run, now)?,
            Effect::Log(level, line) => self.log(*level, line)?,
            Effect::Load(number, names) => {
                life.load = Some((*number, now + 300 * SECOND));
                life.purpose = match names {
                    Some(_) => Some(Purpose::Names),
                    None => life.starting.take(),
                };
                ensure!(life.purpose.is_some(), "a file is read that nobody asked for");
            }
            Effect::LookUp(addresses) => life.asked_names.extend(addresses),
            Effect::Mail(mail) => {
                let text = format!("{mail:?}");
                if let Some((_, rest)) = text.split_once("Inaccessible real server: ") {
                    self.reminder(rest)?;
                }
            }
            Effect::Answer(asker, answer) => {
                let Some(asked) = life.pending.remove(asker) else {
                    return Err(Violation::new(format!("an answer to nobody: {asker}")));
                };
                match (&asked.question, answer) {
                    (Question::Status, Answer::Status(report)) => self.status(report, &asked)?,
                    (Question::Plan, Answer::Plan(_))
                    | (Question::Reload(_), Answer::Reload(_)) => {}
                    (Question::Confirm, Answer::Reload(done)) => {
                        let fits = asked.must == Some(done.is_ok());
                        ensure!(fits, "a confirmation is answered otherwise: {done:?}");
                    }
                    (Question::Listing, Answer::Listing(_)) => {}
                    (Question::Serving, Answer::Serving(Ok(services))) => {
                        let listed = |service: &ServiceAddress| {
                            let mut listings = it.asked.listings.iter().flatten();
                            listings.any(|listed| listed.contains_key(&key_of(*service)))
                        };
                        ensure!(services.iter().all(listed), "it stands for what is not listed");
                    }
                    (Question::Serving, Answer::Serving(Err(_))) => {}
                    (Question::Operate(command), Answer::Operate(done)) => {
                        let fits = asked.must.is_none_or(|must| must == done.is_ok());
                        ensure!(fits, "an operator is answered otherwise: {done:?} to {command:?}");
                    }
                    (Question::HandOver, Answer::HandOver(result)) => {
                        let ending = matches!(life.ending, Some((Ending::HandOver, _)));
                        ensure!(result.is_err() || ending, "it hands over without a reload");
                    }
                    (question, _) => {
                        return Err(Violation::new(format!("another answer: to {question:?}")));
                    }
                }
            }
            Effect::Settings(_)
            | Effect::Remember(_)
            | Effect::Event(_)
            | Effect::Serving(_)
            | Effect::Monitor(..)
            | Effect::Watch(..)
            | Effect::Rebase(_)
            | Effect::Stopping
            | Effect::End(_) => {}
        }
        Ok(())
    }

    fn reminder(&self, rest: &str) -> Result<(), Violation> {
        let life = self.life.as_ref().expect("it lives");
        for service in &life.services {
            let mut members = service.service.real_servers.iter().zip(&service.verdicts);
            let name = |real: &ldirectord::model::RealServer| {
                format!("{} ({})", real.address, service.service.address)
            };
            let all_up = {
                let mut same = members.clone().filter(|(real, _)| rest.starts_with(&name(real)));
                same.all(|(_, verdict)| *verdict == Verdict::Up)
            };
            let is_this = members.any(|(real, _)| rest.starts_with(&name(real)));
            ensure!(!is_this || !all_up, "a server that is up is called inaccessible: {rest:.40}");
        }
        Ok(())
    }

    fn log(&mut self, level: Level, line: &str) -> Result<(), Violation> {
        let told_each_time = [
            "system(",
            "reload refused",
            "the file is broken",
            "/a.cf has no virtual service",
            "fallbackcommand queue full",
            "hooks of",
            "internal fault: reading",
        ];
        if let Some(service) = line.strip_prefix("the table is as wanted again ") {
            // What is refused after that is another matter.
            self.said.retain(|said, _| !said.ends_with(service));
        }
        if let Some((directory, _)) = line.rsplit_once(" can be read again") {
            // What cannot be read after that is another matter.
            self.said.retain(|said, _| !said.starts_with(&format!("read {directory}: ")));
        }
        // Each reload says so, also one that is taken back in the same step.
        let blind = line.ends_with("the table is left as it is until the next round");
        if level > Level::Warn
            || blind
            || told_each_time.iter().any(|words| line.starts_with(words))
        {
            return Ok(());
        }
        if line.ends_with("; the server stays as it is") {
            ensure!(self.local_lines > 0, "the log says the same again: {line}");
            self.local_lines -= 1;
            return Ok(());
        }
        if line.starts_with("internal fault: the check of") {
            ensure!(self.silent_lines > 0, "the log says the same again: {line}");
            self.silent_lines -= 1;
            return Ok(());
        }
        let before = self.said.insert(line.to_owned(), self.epoch);
        ensure!(before != Some(self.epoch), "the log says the same again: {line}");
        Ok(())
    }

    fn hook_begins(&mut self, run: &HookRun, now: Micros) -> Result<(), Violation> {
        let HookProgram::Shell(line) = &run.program else { return Ok(()) };
        let life = self.life.as_mut().expect("it lives");
        let Some((command, argument, address)) = parse(line) else {
            return Err(Violation::new(format!("a hook of nobody: {line}")));
        };
        let ending = life.ending.is_some();
        let configured = life.service(address).map(|it| it.service.clone());
        let Some(lane) = life.lane(address) else {
            return Err(Violation::new(format!("a hook of a service that is unknown: {line}")));
        };
        ensure!(lane.running.is_none(), "two hooks of a service at a time: {line}");
        let retry = match &configured {
            None => {
                let closes = lane.closing && argument == HookArgument::Start;
                ensure!(closes || ending, "a hook of a service that is gone: {line}");
                lane.repeats
            }
            Some(service) => {
                let known = service.fallback_command.as_ref();
                let is_this = known.is_some_and(|known| known.command == command);
                ensure!(is_this || ending, "a hook that nobody asks for: {line}");
                if let Some(told) = &lane.told {
                    let same = told.argument == argument && told.end == RunEnd::Succeeded;
                    ensure!(!same, "a hook is told the same again: {line}");
                }
                let may = argument == HookArgument::Start || lane.has_passed;
                ensure!(may, "a hook is told stop before a pass: {line}");
                known.is_some_and(|known| known.retry)
            }
        };
        lane.running = Some(run.run);
        lane.retry_by = None;
        let told = Told { argument, end: RunEnd::Running, retry };
        lane.told = Some(told.clone());
        self.memory.insert(address, (command.to_owned(), told));
        let _ = now;
        Ok(())
    }

    fn hook_event(&mut self, event: &HookEvent, now: Micros) {
        let HookEvent::Ended { run, result, .. } = event else { return };
        let end = match result {
            HookResult::Exited(0) => RunEnd::Succeeded,
            _ => RunEnd::Failed,
        };
        let life = self.life.as_mut().expect("it lives");
        let ending = life.ending.is_some();
        let services = life.services.iter().map(|it| it.service.address);
        let all: Vec<ServiceAddress> = services.chain(life.gone.keys().copied()).collect();
        for address in all {
            let configured =
                life.service(address).is_some_and(|it| it.service.fallback_command.is_some());
            let Some(lane) = life.lane(address) else { continue };
            if lane.running != Some(*run) {
                continue;
            }
            lane.running = None;
            if let Some((_, told)) = self.memory.get_mut(&address) {
                told.end = end;
            }
            if let Some(told) = &mut lane.told {
                told.end = end;
                if end == RunEnd::Failed && told.retry && !ending && configured {
                    lane.retry_by = Some(now + 60 * SECOND);
                }
            }
            if !configured {
                // `start` is still to be told, or to be repeated until it has been heard.
                let told = lane.told.as_ref().map(|told| told.argument);
                let more = lane.closing
                    && (told != Some(HookArgument::Start)
                        || (lane.repeats && end == RunEnd::Failed && !ending));
                if !more {
                    self.memory.remove(&address);
                }
            }
        }
    }

    fn checks_are_under_way(&self, now: Micros) -> Result<(), Violation> {
        let life = self.life.as_ref().expect("it lives");
        let doubt = if life.has_names() { DOUBT } else { 0 };
        for plan in &life.plans {
            if plan.plan.method == CheckMethod::Off || plan.rests || plan.flight.is_some() {
                continue;
            }
            ensure!(
                now <= plan.bound + doubt + BURST,
                "a check that is due does not begin: {} {:?}",
                plan.plan.target(),
                plan.plan.method
            );
        }
        Ok(())
    }

    fn hooks_are_under_way(&mut self, now: Micros) -> Result<(), Violation> {
        let life = self.life.as_mut().expect("it lives");
        for service in &life.services {
            let (lane, configuration) = (&service.lane, &service.service);
            if configuration.fallback_command.is_none() || lane.running.is_some() {
                continue;
            }
            let (effective, verdicts) = service.effective();
            let Some(needed) = argument(&effective, &verdicts) else { continue };
            let told = lane.told.as_ref();
            let sure =
                told.is_some_and(|told| told.argument == needed && told.end != RunEnd::Unknown);
            let holds_down = needed == HookArgument::Stop
                && told.is_some_and(|told| told.argument == HookArgument::Start)
                && lane
                    .good_since
                    .is_some_and(|since| now < since + micros(configuration.fallback_hold_down));
            ensure!(
                sure || holds_down,
                "a hook that is due does not begin: {needed:?} of {}, told {told:?}",
                configuration.address
            );
            ensure!(
                lane.retry_by.is_none_or(|by| now <= by + LATE),
                "a failed hook is not repeated: {}",
                configuration.address
            );
        }
        for (address, lane) in &life.gone {
            let told = lane.told.as_ref().map(|told| (told.argument, told.end));
            let is_closed =
                matches!(told, Some((HookArgument::Start, end)) if end != RunEnd::Unknown);
            ensure!(
                !lane.closing || lane.running.is_some() || is_closed,
                "the hook of a removed service is not told start: {address}, told {told:?}"
            );
        }
        // The last word is repeated until it has been heard, if that was asked for.
        life.gone.retain(|_, lane| {
            let heard = lane.told.as_ref().is_some_and(|told| told.end == RunEnd::Succeeded);
            lane.running.is_some() || (lane.closing && !heard)
        });
        Ok(())
    }

    fn table_is_as_wanted(&mut self, now: Micros) -> Result<(), Violation> {
        let life = self.life.as_ref().expect("it lives");
        for service in &life.services {
            let key = key_of(service.service.address);
            if service.service.reconcile && self.tampered.remove(&key) {
                self.owed.insert(key, now + life.round());
            }
            if self.tampered.contains(&key) {
                continue;
            }
            let listed = self.contents.get(&key);
            let (mut effective, verdicts) = service.effective();
            effective.slow_start = effective.slow_start.filter(|_| service.rises(now));
            match difference(&effective, &verdicts, listed) {
                // While a weight rises, it is not seen whether it is the right one.
                None if service.rises(now) => {}
                None => {
                    self.owed.remove(&key);
                }
                Some(what) => {
                    let owed = self.owed.get(&key).is_some_and(|until| now <= *until);
                    ensure!(owed, "the table is not as wanted: {key}, {what}");
                }
            }
        }
        for key in self.contents.keys() {
            let wanted = life.services.iter().any(|it| key_of(it.service.address) == *key);
            let owed = self.owed.get(key).is_some_and(|until| now <= *until);
            ensure!(
                wanted || owed || self.strangers.contains(key) || self.tampered.contains(key),
                "a service that is gone stays in the table: {key}"
            );
        }
        let Self { contents, owed, .. } = self;
        owed.retain(|key, _| {
            contents.contains_key(key)
                || life.services.iter().any(|it| key_of(it.service.address) == *key)
        });
        Ok(())
    }

    fn end(
        &mut self,
        (ending, since): (Ending, Micros),
        was_ending: bool,
        it: &Moment<'_>,
    ) -> Result<(), Violation> {
        let life = self.life.as_ref().expect("it lives");
        let end = it.effects.iter().find_map(|effect| match effect {
            Effect::End(end) => Some(*end),
            _ => None,
        });
        let Some(end) = end else { return Ok(()) };
        let last = matches!(it.effects.last(), Some(Effect::End(_)));
        ensure!(last, "something follows the end");
        ensure!(life.pending.is_empty(), "a question has no answer: {:?}", life.pending);
        let fits = matches!(
            (end, ending),
            (End::Signal(_), Ending::Stop) | (End::HandedOver, Ending::HandOver)
        );
        ensure!(fits, "it ends otherwise: {end:?}, not {ending:?}");
        let mut lanes = life.services.iter().map(|it| &it.lane).chain(life.gone.values());
        let running = lanes.find_map(|lane| lane.running);
        let waited = it.now >= since + 5 * SECOND;
        ensure!(waited || running.is_none(), "it ends while a hook runs: {running:?}");
        for key in self.contents.keys() {
            let wanted = life.services.iter().any(|it| key_of(it.service.address) == *key);
            let mut tried = it.asked.operations.iter();
            let excused = it.asked.listing_refused
                || tried.any(|(it, _, succeeded)| service_of(it) == *key && !succeeded);
            ensure!(
                wanted || excused || self.strangers.contains(key) || self.tampered.contains(key),
                "an end leaves a service that is gone in the table: {key}"
            );
        }
        for service in &life.services {
            let key = key_of(service.service.address);
            if ending == Ending::HandOver {
                continue;
            }
            if service.service.clean_stop {
                let excused = self.owed.contains_key(&key);
                let listed = self.contents.contains_key(&key);
                ensure!(!listed || excused, "a stop leaves a service in the table: {key}");
                let lane = &service.lane;
                let asks = service.service.fallback_command_on_stop
                    && service.service.fallback_command.is_some();
                let told = lane.told.as_ref().map(|told| told.argument);
                ensure!(
                    !asks || told == Some(HookArgument::Start) || lane.running.is_some(),
                    "a stop without the hook that was asked for: {key}"
                );
                if lane.running.is_none() {
                    forget(&mut self.memory, service.service.address);
                }
            } else {
                let touched = it.asked.operations.iter().any(|(it, ..)| service_of(it) == key);
                ensure!(!touched || !was_ending, "a stop touches a service that stays: {key}");
            }
        }
        Ok(())
    }

    fn status(&mut self, report: &StatusReport, asked: &Asked) -> Result<(), Violation> {
        let life = self.life.as_ref().expect("it lives");
        self.last_status = Some(report.clone());
        let servers = report.services.iter().flat_map(|service| &service.servers);
        let states: Vec<ServerState> = servers.map(|server| server.state).collect();
        // A reload in the same step may have come between.
        if states.len() == asked.states.len() {
            let kinds = life.services.iter().flat_map(|it| &it.service.real_servers);
            for ((state, verdict), real) in states.iter().zip(&asked.states).zip(kinds) {
                let fits = match state {
                    ServerState::Off => true,
                    ServerState::Down => *verdict == Verdict::Down,
                    ServerState::Maintenance => *verdict == Verdict::Maintained,
                    ServerState::Unknown => matches!(verdict, Verdict::Unknown | Verdict::Adopted),
                    ServerState::Up => *verdict == Verdict::Up,
                };
                let off = real.check.method == CheckMethod::Off;
                ensure!(fits || off, "status says otherwise: {state:?} instead of {verdict:?}");
            }
        }
        ensure!(
            report.faults.unanswered_checks <= life.unanswered,
            "an answer in time is not counted: {} faults, {} checks without an answer",
            report.faults.unanswered_checks,
            life.unanswered
        );
        Ok(())
    }

    /// Whether the file is being read.
    pub(crate) fn is_loading(&self) -> bool {
        self.life.as_ref().is_some_and(|life| life.load.is_some())
    }

    /// How long the world must be still until everything must be as it says.
    pub(crate) fn patience(&self, model: &Model) -> Micros {
        let mut patience = 10 * SECOND;
        for service in &model.services {
            let times = u64::from(service.failure_count.max(service.rise_count)) + 1;
            let checks = micros(service.check_interval) * times;
            let hook = micros(service.fallback_hold_down)
                + service.fallback_command.as_ref().map_or(0, |it| micros(it.timeout));
            patience = patience.max(checks + hook + 25 * SECOND);
        }
        let lost = if self.worst_streak > 1 { SECOND << self.worst_streak.min(7) } else { 0 };
        let repeats = self.life.as_ref().is_some_and(|life| {
            life.services.iter().any(|service| service.lane.retry_by.is_some())
        });
        patience + lost.min(70 * SECOND) + if repeats { 61 * SECOND } else { 0 }
    }

    /// The world has been still: the verdicts are what the world is.
    pub(crate) fn at_rest(
        &mut self,
        model: &Model,
        is_good: impl Fn(usize) -> bool,
        files: &BTreeSet<String>,
        name: impl Fn(std::net::IpAddr) -> Option<String>,
    ) -> Result<(), Violation> {
        let life = self.life.as_ref().expect("it lives");
        ensure!(life.model == *model, "another configuration is in force");
        for service in &life.services {
            for (real, verdict) in service.service.real_servers.iter().zip(&service.verdicts) {
                let name = name(real.address.ip());
                let has_file =
                    life.directory.is_some() && has_file(files, real.address, name.as_deref());
                let (disabled, _) = life.orders.of(service.service.address, real.address);
                let maintained = has_file || disabled;
                let truth = if maintained {
                    Verdict::Maintained
                } else if real.check.method == CheckMethod::Off {
                    *verdict
                } else if real.check.method == CheckMethod::On || is_good(file::target(&real.check))
                {
                    Verdict::Up
                } else {
                    Verdict::Down
                };
                ensure!(
                    truth == *verdict,
                    "a server is {verdict:?} when it should be {truth:?}: {} of {}",
                    real.address,
                    service.service.address
                );
            }
            let lane = &service.lane;
            ensure!(lane.running.is_none(), "a hook still runs: {}", service.service.address);
            if let Some(told) = &lane.told {
                let repeats = told.retry && told.end == RunEnd::Failed;
                ensure!(!repeats, "a hook has not succeeded: {}", service.service.address);
            }
        }
        ensure!(self.owed.is_empty(), "the table is owed something: {:?}", self.owed);
        ensure!(self.tampered.is_empty(), "the table is tampered with: {:?}", self.tampered);
        self.last_status = None;
        self.expected_at_rest = true;
        Ok(())
    }

    /// The last status, of a world at rest.
    pub(crate) fn over(&mut self) -> Result<(), Violation> {
        let life = self.life.as_ref().expect("it lives");
        let Some(report) = &self.last_status else {
            return Err(Violation::new("no status at rest"));
        };
        ensure!(
            report.table_error.is_none(),
            "status has an error at rest: {:?}",
            report.table_error
        );
        ensure!(report.phase == Phase::Running, "the phase at rest is {:?}", report.phase);
        ensure!(
            report.services.len() == life.services.len(),
            "status has other services: {}",
            report.services.len()
        );
        for (status, service) in report.services.iter().zip(&life.services) {
            let configuration = &service.service;
            ensure!(
                status.address == configuration.address.to_string() && status.listed,
                "status has another service: {status:?}"
            );
            ensure!(status.drift.is_empty(), "status has drift at rest: {:?}", status.drift);
            let serving = service.effective().1.iter().any(|it| it.serves());
            let told: Vec<_> = status.fallbacks.iter().map(|it| (&it.address, it.weight)).collect();
            let named: Vec<_> = configuration
                .fallbacks
                .iter()
                .map(|it| (it.address.to_string(), it.weight))
                .collect();
            ensure!(
                told.iter().copied().eq(named.iter().map(|(address, weight)| (address, *weight)))
                    && status.fallbacks.iter().all(|it| it.on != serving)
                    && status.fallbacks.iter().all(|it| it.weight_listed.is_some() == it.on)
                    && status.fallback.as_ref().map(|it| (&it.address, it.on))
                        == status.fallbacks.first().map(|it| (&it.address, it.on)),
                "status has the fallbacks otherwise: {status:?}"
            );
            if let (Some(hook), Some(told)) = (&status.hook, &service.lane.told) {
                ensure!(!hook.running, "status has a hook running at rest: {status:?}");
                let fits = hook.last.as_ref().is_none_or(|it| it.argument == told.argument.word());
                ensure!(fits, "status has another hook: {status:?}");
            }
        }
        Ok(())
    }
}

/// A hook is told anew; but what an earlier process began may still run, and is outwaited.
fn forget(memory: &mut Memory, address: ServiceAddress) {
    if memory.get(&address).is_some_and(|(_, told)| told.end != RunEnd::Unknown) {
        memory.remove(&address);
    }
}

/// `/bin/a --fast start 10.0.0.1:80 tcp`
fn parse(line: &str) -> Option<(&str, HookArgument, ServiceAddress)> {
    let mut words = line.rsplitn(4, ' ');
    let (protocol, target) = (words.next()?, words.next()?);
    let argument = match words.next()? {
        "start" => HookArgument::Start,
        "stop" => HookArgument::Stop,
        _ => return None,
    };
    let command = words.next()?;
    let address = (0..16)
        .map(file::service_address)
        .find(|address| address.hook_argument() == target && address.protocol_word() == protocol)?;
    Some((command, argument, address))
}
