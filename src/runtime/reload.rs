//! The configuration is read again: because of a signal, because its file has changed, for a
//! successor, or because its names are looked up again.

use super::effect::{Answer, Effect};
use super::input::{Asker, Listing, Loaded, Now, Refused};
use super::maintenance::Heard;
use super::setup::Configuration;
use super::step::Owner;
use crate::dataplane::Stage;
use crate::director::{Action, ServiceState, WantedService};
use crate::event::What;
use crate::model::{ServiceAddress, Status, VirtualService};
use crate::status::unix;
use log::Level;
use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// How long reading the configuration may take; names are looked up meanwhile.
const PATIENCE: Duration = Duration::from_secs(300);

/// How long a successor waits for it.
const SUCCESSOR: Duration = Duration::from_secs(30);

/// The configuration being read, and what waits for it.
#[derive(Debug, Default)]
pub(super) struct Loads {
    last: u64,
    under_way: Option<Load>,
    /// The file is to be read once more after that.
    again: Option<Cause>,
    successor: Option<Successor>,
    /// Who waits for a plan, and who for a reload, from a reading that has not begun.
    plans: Vec<Asker>,
    reloads: Vec<Wish>,
    unconfirmed: Option<Unconfirmed>,
    /// When the names of the configuration are looked up next.
    names: Option<Instant>,
    /// Why what they have now was refused the last time.
    names_refused: Option<String>,
}

#[derive(Debug)]
struct Load {
    number: u64,
    cause: Cause,
    until: Instant,
    plans: Vec<Asker>,
    reloads: Vec<Wish>,
}

/// A client that waits for a reload, and how long the reload then waits to be confirmed.
#[derive(Debug, Clone, Copy)]
struct Wish {
    asker: Asker,
    confirm: Option<Duration>,
}

/// A reload that is taken back unless somebody confirms it.
#[derive(Debug)]
struct Unconfirmed {
    before: Configuration,
    maintenance: Option<Listing>,
    until: Instant,
}

/// Why the file is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Cause {
    /// Its names are due to be looked up; the file is not read.
    Names,
    /// Somebody wants to know what a reload would do.
    Plan,
    /// It has changed, and `autoreload` is on.
    Changed,
    /// Somebody asked for it.
    Asked,
}

#[derive(Debug)]
struct Successor {
    asker: Asker,
    until: Instant,
}

impl Loads {
    /// When a reload is taken back, if one waits for its confirmation.
    pub(super) fn taken_back(&self) -> Option<Instant> {
        self.unconfirmed.as_ref().map(|unconfirmed| unconfirmed.until)
    }

    /// When something that is waited for has taken too long.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let load = self.under_way.as_ref().map(|load| load.until);
        let successor = self.successor.as_ref().map(|successor| successor.until);
        let unconfirmed = self.unconfirmed.as_ref().map(|unconfirmed| unconfirmed.until);
        [load, successor, unconfirmed, self.names].into_iter().flatten().min()
    }
}

impl Owner {
    pub(super) fn files_changed(&mut self, paths: &[PathBuf], now: Now) {
        for path in paths {
            let line = format!("Configuration file '{}' has changed on disk", path.display());
            self.log(Level::Info, line);
        }
        if self.configuration.model.settings.auto_reload {
            self.log(Level::Info, " - reread new configuration");
            self.load(Cause::Changed, now);
        } else {
            self.log(Level::Info, " - ignore new configuration");
        }
        if let Some(callback) = &self.configuration.model.settings.callback {
            paths.iter().for_each(|path| self.hooks.callback(callback, path));
        }
    }

    pub(super) fn load_on_request(&mut self, now: Now) {
        self.load(Cause::Asked, now);
    }

    /// Has the configuration read, now or after the reading that is under way, which may have begun
    /// before the file was as it is.
    fn load(&mut self, cause: Cause, now: Now) {
        // Names are looked up with the file, too.
        self.abandon_look_up(now);
        if self.loads.under_way.is_some() {
            self.loads.again = self.loads.again.max(Some(cause));
            return;
        }
        self.loads.last += 1;
        let (number, until) = (self.loads.last, now.instant + PATIENCE);
        let (plans, reloads) = match cause {
            Cause::Names => (Vec::new(), Vec::new()),
            Cause::Plan => (std::mem::take(&mut self.loads.plans), Vec::new()),
            Cause::Changed | Cause::Asked => (Vec::new(), std::mem::take(&mut self.loads.reloads)),
        };
        self.loads.under_way = Some(Load { number, cause, until, plans, reloads });
        let names = self.configuration.names.look_up.clone().filter(|_| cause == Cause::Names);
        self.effects.push(Effect::Load(number, names));
    }

    /// Has the names of the configuration looked up an interval from now.
    pub(super) fn follow_names(&mut self, now: Now) {
        let interval = self.configuration.model.settings.resolve_interval;
        let interval = interval.filter(|_| self.configuration.names.look_up.is_some());
        self.loads.names = interval.and_then(|interval| now.instant.checked_add(interval));
    }

    pub(super) fn names_due(&mut self, now: Now) {
        if self.loads.names.take_if(|at| *at <= now.instant).is_none() {
            return;
        }
        match self.loads.under_way {
            Some(_) => self.follow_names(now),
            None => self.load(Cause::Names, now),
        }
    }

    /// Gives up a look-up of names that is under way.
    fn abandon_look_up(&mut self, now: Now) {
        if self.loads.under_way.take_if(|load| load.cause == Cause::Names).is_some() {
            self.follow_names(now);
        }
    }

    /// The names of the configuration have been looked up.
    fn names_looked_up(&mut self, result: Result<Loaded, Refused>, now: Now) {
        self.follow_names(now);
        let loaded = match result {
            Ok(loaded) => loaded,
            Err(refused) => {
                let why = first_line(&refused.diagnostics);
                if self.loads.names_refused.as_ref() != Some(&why) {
                    self.log(Level::Error, format!("names are not followed: {why}"));
                    self.loads.names_refused = Some(why);
                }
                return;
            }
        };
        self.loads.names_refused = None;
        let (before, after) = (&self.configuration.names, &loaded.configuration.names);
        let mut lines = Vec::new();
        for (name, why) in &after.failures {
            if !before.failures.contains_key(name) {
                let line = format!("cannot look up {name}: {why}; it keeps its addresses");
                lines.push((Level::Warn, line));
            }
        }
        for name in before.failures.keys().filter(|&name| !after.failures.contains_key(name)) {
            lines.push((Level::Info, format!("{name} can be looked up again")));
        }
        for (name, now) in &after.addresses {
            let then = before.addresses.get(name).cloned().unwrap_or_default();
            if let Some(changes) = difference(&then, now) {
                lines.push((Level::Info, format!("{name} has changed: {changes}")));
            }
        }
        let changed = before.addresses != after.addresses;
        lines.into_iter().for_each(|(level, line)| self.log(level, line));
        if changed {
            self.reload(loaded, now);
        } else {
            self.configuration.names.failures = loaded.configuration.names.failures;
        }
    }

    /// Somebody wants to know what a reload would do.
    pub(super) fn plan_asked(&mut self, asker: Asker, now: Now) {
        self.loads.plans.push(asker);
        self.load(Cause::Plan, now);
    }

    /// Somebody wants a reload, and to hear of its result.
    pub(super) fn reload_asked(&mut self, asker: Asker, confirm: Option<Duration>, now: Now) {
        self.log(Level::Info, "Reloading Linux Director Daemon config on request");
        self.loads.reloads.push(Wish { asker, confirm });
        self.load(Cause::Asked, now);
    }

    /// The reload that waits for it stays.
    pub(super) fn confirm(&mut self) -> Result<String, String> {
        if self.loads.unconfirmed.take().is_none() {
            return Err("no reload waits for a confirmation".to_owned());
        }
        self.log(Level::Info, "the reload is confirmed");
        Ok("the reload is confirmed".to_owned())
    }

    /// Nobody has confirmed a reload: it may have cut the operator off.
    pub(super) fn unconfirmed_over(&mut self, now: Now) {
        let over = |unconfirmed: &mut Unconfirmed| unconfirmed.until <= now.instant;
        let Some(Unconfirmed { before, maintenance, .. }) = self.loads.unconfirmed.take_if(over)
        else {
            return;
        };
        // It would bring the addresses of the configuration that goes.
        self.abandon_look_up(now);
        let line = "the reload was not confirmed; the configuration before is in force again";
        self.log(Level::Warn, line);
        self.event(What::Reload { accepted: false, text: "it was not confirmed".to_owned() });
        let taken_back = self.configuration.files.clone();
        // Of the same directory there may be a newer listing.
        let maintenance = maintenance
            .filter(|it| Some(&it.directory) != self.maintenance.directory())
            .map(|it| Listing { order: self.maintenance.order(), ..it });
        self.reload(Loaded { configuration: before, maintenance }, now);
        self.watch();
        self.reload_ended(Err("it was not confirmed".to_owned()), now);
        // Autoreload does not take the file again until it changes once more.
        self.effects.push(Effect::Rebase(taken_back));
    }

    /// Whoever waits for a plan or a reload will not get it.
    pub(super) fn refuse_waiting(&mut self, why: &str) {
        let mut plans = std::mem::take(&mut self.loads.plans);
        let mut reloads = std::mem::take(&mut self.loads.reloads);
        if let Some(load) = &mut self.loads.under_way {
            plans.append(&mut load.plans);
            reloads.append(&mut load.reloads);
        }
        self.refuse_all(&plans, &reloads, why);
    }

    fn refuse_all(&mut self, plans: &[Asker], reloads: &[Wish], why: &str) {
        let plans = plans.iter().map(|&asker| (asker, Answer::Plan(Err(why.to_owned()))));
        let reloads = reloads.iter().map(|wish| (wish.asker, Answer::Reload(Err(why.to_owned()))));
        let answers = plans.chain(reloads).map(|(asker, answer)| Effect::Answer(asker, answer));
        self.effects.extend(answers);
    }

    /// Another process wants to take over, after a reload: what the configuration does not have any
    /// more is purged.
    pub(super) fn hand_over_asked(&mut self, asker: Asker, now: Now) {
        self.refuse_successor("another process takes over");
        self.loads.successor = Some(Successor { asker, until: now.instant + SUCCESSOR });
        self.load_on_request(now);
    }

    pub(super) fn refuse_successor(&mut self, why: &str) {
        if let Some(Successor { asker, .. }) = self.loads.successor.take() {
            let refusal = Answer::HandOver(Err(why.to_owned()));
            self.effects.push(Effect::Answer(asker, refusal));
        }
    }

    /// A reading that does not come to an end is given up.
    pub(super) fn loads_overdue(&mut self, now: Now) {
        let is_over = |until: Instant| until <= now.instant;
        let overdue = self.loads.under_way.take_if(|load| is_over(load.until));
        if overdue.as_ref().is_some_and(|load| load.cause == Cause::Names) {
            let diagnostics = format!("no answer for {} s", PATIENCE.as_secs());
            self.names_looked_up(Err(Refused { diagnostics, found: None }), now);
        } else if let Some(load) = overdue {
            self.refuse_all(&load.plans, &load.reloads, "reading the configuration did not end");
            self.faults.unanswered_reloads += 1;
            let seconds = PATIENCE.as_secs();
            let line = format!(
                "internal fault: reading the configuration has not ended for {seconds} s; it is \
                 given up, the previous configuration stays in force"
            );
            self.fault(line);
            self.reload_ended(Err("it did not end".to_owned()), now);
            self.refuse_successor("the configuration cannot be read");
            self.load_again(now);
        }
        if self.loads.successor.as_ref().is_some_and(|successor| is_over(successor.until)) {
            self.refuse_successor("the configuration is still being read");
        }
    }

    fn load_again(&mut self, now: Now) {
        let plan = (!self.loads.plans.is_empty()).then_some(Cause::Plan);
        if let Some(cause) = self.loads.again.take().max(plan) {
            self.load(cause, now);
        }
    }

    /// The configuration has been read.
    pub(super) fn loaded(&mut self, number: u64, result: Result<Loaded, Refused>, now: Now) {
        let Some(load) = self.loads.under_way.take_if(|load| load.number == number) else {
            return;
        };
        if load.cause == Cause::Names {
            self.names_looked_up(result, now);
            return;
        }
        if load.cause == Cause::Plan {
            self.planned(&load.plans, result, now);
            self.load_again(now);
            return;
        }
        let refused = match result {
            Ok(loaded) if load.cause == Cause::Changed && self.loses_everything(&loaded) => {
                let path = self.config.display();
                let diagnostics = format!("{path} has no virtual service; autoreload leaves it");
                let found = Some(Box::new(loaded.configuration.files));
                Some(Refused { diagnostics, found })
            }
            Ok(loaded) => {
                let maintenance = self.maintenance.listing();
                let (before, words) = self.reload(loaded, now);
                self.watch();
                self.reloaded(&load.reloads, before, maintenance, &words, now);
                self.reload_ended(Ok(()), now);
                None
            }
            Err(refused) => Some(refused),
        };
        if let Some(Refused { diagnostics, found }) = refused {
            let first = first_line(&diagnostics);
            self.log(Level::Error, diagnostics.trim_end());
            self.log(Level::Error, "reload refused; keeping the previous configuration");
            self.refuse_successor(&first);
            self.refuse_all(&[], &load.reloads, &first);
            self.event(What::Reload { accepted: false, text: first.clone() });
            self.reload_ended(Err(first), now);
            // It has been told about, so the watch need not.
            if let Some(found) = found {
                self.effects.push(Effect::Rebase(*found));
            }
        }
        if self.loads.again.is_some() || self.loads.successor.is_none() {
            self.load_again(now);
        } else if let Some(Successor { asker, .. }) = self.loads.successor.take() {
            self.begin_hand_over(asker, now);
        }
    }

    /// Remembers and counts how a reload has ended.
    fn reload_ended(&mut self, result: Result<(), String>, now: Now) {
        match &result {
            Ok(()) => {
                self.counters.reloads += 1;
                self.counters.accepted = unix(now.wall);
            }
            Err(_) => self.counters.refused_reloads += 1,
        }
        self.last_reload = Some((now.wall, result));
    }

    fn planned(&mut self, askers: &[Asker], result: Result<Loaded, Refused>, now: Now) {
        let plan = match result {
            Ok(loaded) => self.plan(loaded, now),
            Err(refused) => Err(first_line(&refused.diagnostics)),
        };
        for &asker in askers {
            let answer = Answer::Plan(plan.clone().map(Box::new));
            self.effects.push(Effect::Answer(asker, answer));
        }
    }

    /// Answers who has asked for a reload. The configuration before is kept if one of them said so.
    fn reloaded(
        &mut self,
        wishes: &[Wish],
        before: Configuration,
        maintenance: Option<Listing>,
        words: &str,
        now: Now,
    ) {
        let confirm = wishes.iter().filter_map(|wish| wish.confirm).min();
        let until = confirm.and_then(|time| now.instant.checked_add(time));
        if let Some(until) = until {
            match &mut self.loads.unconfirmed {
                // What was confirmed last comes back.
                Some(unconfirmed) => unconfirmed.until = until,
                None => {
                    self.loads.unconfirmed = Some(Unconfirmed { before, maintenance, until });
                }
            }
        }
        for wish in wishes {
            let words = match confirm {
                None => words.to_owned(),
                Some(time) => {
                    let seconds = time.as_secs();
                    format!("{words}; it is taken back in {seconds} s unless it is confirmed")
                }
            };
            self.effects.push(Effect::Answer(wish.asker, Answer::Reload(Ok(words))));
        }
    }

    /// Whether a file that may be in the middle of being written would end all services.
    fn loses_everything(&self, loaded: &Loaded) -> bool {
        loaded.configuration.model.services.is_empty()
            && !self.configuration.model.services.is_empty()
    }

    /// Takes on a new model: what is unchanged keeps its state, its place in the table and its time
    /// in the schedule.
    /// Returns what was in force before, and what has changed in words.
    fn reload(&mut self, loaded: Loaded, now: Now) -> (Configuration, String) {
        if self.loses_everything(&loaded) {
            let (path, count) = (self.config.display(), self.configuration.model.services.len());
            let line =
                format!("{path} has no virtual service any more; all {count} services are removed");
            self.log(Level::Error, line);
        }
        let Loaded { configuration, maintenance } = loaded;
        let before = std::mem::replace(&mut self.configuration, configuration);
        self.status = Status::Reloading;
        self.effects.push(Effect::Settings(Box::new(self.configuration.model.settings.clone())));
        let words = self.tell_difference(&before);
        self.maintenance.install(&self.configuration.model);
        let heard =
            maintenance.map_or(Heard::Nothing, |listing| self.maintenance.listed(listing).1);
        self.maintenance_heard(heard);
        let overrides = self.overrides();
        let model = &self.configuration.model;
        let snapshot = match self.table.snapshot(&model.services) {
            Ok(snapshot) => Some(snapshot),
            Err(error) => {
                let line = format!("{error}; the table is left as it is until the next round");
                self.effects.push(Effect::Log(Level::Error, line));
                None
            }
        };
        let removed = match &snapshot {
            Some(snapshot) => self.director.reload(model, snapshot, overrides, now.instant),
            None => self.director.reload(model, &(), overrides, now.instant),
        };
        // Of a service that is gone, `start` is the last word if that was asked for: it may wait
        // already, or is queued now.
        let says = |address: ServiceAddress| {
            removed.actions.iter().any(|action| match action {
                Action::Hook { service, .. } => *service == address,
                Action::Destination(_) | Action::Report(_) => false,
            })
        };
        let asked: Vec<ServiceAddress> =
            removed.services.iter().filter(|it| it.starts_on_stop()).map(|it| it.address).collect();
        for &service in asked.iter().filter(|&&service| !says(service)) {
            self.hooks.close(service);
        }
        let director = &self.director;
        director.services().iter().for_each(|state| self.hooks.open(state.address()));
        self.hooks.retain(|service| {
            director.service(service).and_then(|state| state.service.fallback_command.clone())
        });
        self.act(removed.actions, now);
        for service in asked {
            self.hooks.close(service);
        }
        let gone = removed.services.iter().map(|service| (service, None));
        let done = self.table.remove(gone, Stage::Start);
        self.tell(done, now);
        for service in &removed.services {
            if !self.hooks.is_busy(service.address) {
                self.hooks.forget(service.address);
            }
            self.last_hooks.remove(&service.address);
        }
        let wanted: Vec<WantedService<'_>> =
            self.director.services().iter().map(ServiceState::wanted).collect();
        match snapshot {
            Some(snapshot) => {
                let done = self.table.synchronise(&wanted, &snapshot);
                self.tell_whole(done, now);
            }
            None => self.table.owe(wanted.iter().map(|wanted| wanted.service.address)),
        }
        self.lay_paths();
        self.serving();
        self.follow_names(now);
        self.install_checks(now);
        self.round_soon(now);
        let director = &self.director;
        self.last_checks.retain(|&id, _| !director.members(id).is_empty());
        self.alerts.retain(&self.director);
        let settled = self.director.settle(now.instant);
        self.act(settled, now);
        self.first_round_over();
        (before, words)
    }

    /// One line that says what a reload really changes.
    fn tell_difference(&mut self, before: &Configuration) -> String {
        let old: HashMap<_, &VirtualService> =
            before.model.services.iter().map(|service| (service.address, service)).collect();
        let new = &self.configuration.model.services;
        let kept = new.iter().filter_map(|service| Some((service, *old.get(&service.address)?)));
        // Where in the file a service stands changes nothing.
        let same = |new: &VirtualService, old: &VirtualService| {
            VirtualService { origin: new.origin.clone(), ..old.clone() } == *new
        };
        let (mut stays, mut changed) = (0, 0);
        for (new, old) in kept {
            stays += 1;
            changed += usize::from(!same(new, old));
        }
        let (added, removed) = (new.len() - stays, old.len() - stays);
        let line = format!(
            "reload: {changed} of {stays} services changed, {added} added, {removed} removed"
        );
        self.event(What::Reload { accepted: true, text: line.clone() });
        self.log(Level::Info, line.clone());
        line
    }
}

/// `10.0.0.4 added, 10.0.0.3 removed`; `None` if nothing is.
fn difference(before: &BTreeSet<String>, after: &BTreeSet<String>) -> Option<String> {
    let added = after.difference(before).map(|address| format!("{address} added"));
    let removed = before.difference(after).map(|address| format!("{address} removed"));
    let changes: Vec<String> = added.chain(removed).collect();
    (!changes.is_empty()).then(|| changes.join(", "))
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}
