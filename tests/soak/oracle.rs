//! What table, hooks and status must be once nothing has moved for a while: from the configuration
//! in force and from what the servers do, and from nothing that the program says.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use serde_json::Value;

use super::peers::Peers;
use super::site::{Config, SLOTS, Section};

/// A service that is not ours, and as it must stay.
pub(crate) const FOREIGN: &str = "tcp 10.9.0.9:80 sh -> 10.0.2.13:80 gate 7";

/// Hooks to which `fallbackcommandretry` came after a run that may have failed: that one is not repeated,
/// only later ones are.
#[derive(Debug, Default)]
pub(crate) struct Unrepeated {
    /// By the hook's target: how often it had been told when all was still; `None` until then.
    told: BTreeMap<String, Option<usize>>,
}

impl Unrepeated {
    /// Another configuration is in force.
    pub(crate) fn edited(&mut self, before: &Config, after: &Config) {
        let retry = |config: &Config, slot: usize| {
            let section = config.sections.iter().find(|section| section.slot == slot);
            section.and_then(|section| section.hook).map(|hook| hook.retry)
        };
        for (slot, place) in SLOTS.iter().enumerate() {
            if (retry(before, slot), retry(after, slot)) == (Some(false), Some(true)) {
                self.told.insert(place.hook_target(), None);
            }
        }
    }

    /// All is still: runs that begin from now on are repeated.
    pub(crate) fn settled(&mut self, folder: &str) {
        for (target, told) in &mut self.told {
            told.get_or_insert_with(|| count(folder, target));
        }
    }

    fn excuses(&self, target: &str, folder: &str) -> bool {
        let told = self.told.get(target);
        told.is_some_and(|told| told.is_none_or(|told| told == count(folder, target)))
    }
}

/// How often a hook was told something of this target.
fn count(folder: &str, target: &str) -> usize {
    let text = fs::read_to_string(format!("{folder}/told")).unwrap_or_default();
    text.lines().filter(|line| line.split_once(' ').is_some_and(|it| it.1 == target)).count()
}

/// The world as far as verdicts depend on it.
pub(crate) struct Facts<'a> {
    pub(crate) config: &'a Config,
    pub(crate) peers: &'a Peers<'a>,
    /// The names in `maintenancedir`.
    pub(crate) maintenance: &'a BTreeSet<String>,
    pub(crate) folder: &'a str,
}

/// The verdict on a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Up,
    Down,
    Maintenance,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Down => "down",
            Self::Maintenance => "maintenance",
        }
    }
}

impl Facts<'_> {
    fn verdict(&self, slot: usize, server: usize) -> Verdict {
        let (ip, whole) = (SLOTS[slot].server_ip(server), SLOTS[slot].server(server));
        if self.maintenance.contains(&ip) || self.maintenance.contains(&whole) {
            Verdict::Maintenance
        } else if self.peers.passes(slot, server) {
            Verdict::Up
        } else {
            Verdict::Down
        }
    }

    fn up(&self, section: &Section) -> usize {
        let is_up = |server: usize| self.verdict(section.slot, server) == Verdict::Up;
        section.servers.iter().filter(|(server, _)| is_up(*server)).count()
    }

    /// The table, as `director::table` writes it.
    pub(crate) fn table(&self) -> Vec<String> {
        let mut table: Vec<String> =
            self.config.sections.iter().map(|section| self.line(section)).collect();
        table.push(FOREIGN.to_owned());
        table.sort();
        table
    }

    fn line(&self, section: &Section) -> String {
        let slot = &SLOTS[section.slot];
        let mut listed = Vec::new();
        for &(server, weight) in &section.servers {
            let weight = match self.verdict(section.slot, server) {
                Verdict::Up => weight,
                _ if section.quiescent => 0,
                _ => continue,
            };
            listed.push(format!("{} {} {weight}", slot.server(server), slot.forwarding));
        }
        if section.fallback && self.up(section) == 0 {
            let (address, way) = (section.fallback_address(), section.fallback_forwarding());
            listed.push(format!("{address} {way} 1"));
        }
        listed.sort();
        let line = format!("{} {} -> {}", slot.key, section.scheduler, listed.join(", "));
        line.trim_end().to_owned()
    }

    /// What is wrong with the last words of the hooks.
    pub(crate) fn hooks(&self, unrepeated: &Unrepeated) -> Result<(), String> {
        for section in &self.config.sections {
            let Some(hook) = section.hook else { continue };
            let target = SLOTS[section.slot].hook_target();
            let word = if self.up(section) > 0 { "stop" } else { "start" };
            let repeats = hook.retry && !unrepeated.excuses(&target, self.folder);
            for (file, counts) in [("told", true), ("done", repeats)] {
                let text =
                    fs::read_to_string(format!("{}/{file}", self.folder)).unwrap_or_default();
                let is_ours = |line: &&str| line.split_once(' ').is_some_and(|it| it.1 == target);
                let last = text.lines().rev().find(is_ours).unwrap_or("nothing");
                if counts && last != format!("{word} {target}") {
                    return Err(format!("hook of {target}, {file}: {last}, not {word}"));
                }
            }
        }
        Ok(())
    }

    /// What is wrong with `status --json`.
    pub(crate) fn status(&self, status: &Value) -> Result<(), String> {
        let same = |what: &str, said: &Value, wanted: Value| {
            if *said == wanted {
                Ok(())
            } else {
                Err(format!("status: {what}: {said}, not {wanted}"))
            }
        };
        same("phase", &status["phase"], "running".into())?;
        same("table_error", &status["table_error"], Value::Null)?;
        let services = status["services"].as_array().ok_or("status without services")?;
        same("services", &services.len().into(), self.config.sections.len().into())?;
        for (section, service) in self.config.sections.iter().zip(services) {
            let slot = &SLOTS[section.slot];
            let about = |what: &str| format!("{} of {}", what, slot.key);
            same("order", &service["address"], slot.address.into())?;
            same(&about("protocol"), &service["protocol"], slot.protocol.into())?;
            same(&about("scheduler"), &service["scheduler"], section.scheduler.into())?;
            same(&about("listed"), &service["listed"], true.into())?;
            same(&about("drift"), &service["drift"], Value::Array(Vec::new()))?;
            let on = section.fallback && self.up(section) == 0;
            let fallback = &service["fallback"];
            same(&about("fallback"), &fallback.is_object().into(), section.fallback.into())?;
            same(&about("fallback"), &(fallback["on"] == true).into(), on.into())?;
            let runs = service["hook"]["running"] == true;
            same(&about("running hook"), &runs.into(), false.into())?;
            let servers = service["servers"].as_array().ok_or("a service without servers")?;
            same(&about("servers"), &servers.len().into(), section.servers.len().into())?;
            for (&(number, weight), server) in section.servers.iter().zip(servers) {
                let verdict = self.verdict(section.slot, number);
                let about = |what: &str| about(&format!("{what} of {}", slot.server(number)));
                same(&about("address"), &server["address"], slot.server(number).into())?;
                same(&about("state"), &server["state"], verdict.word().into())?;
                let weight = match verdict {
                    Verdict::Up => Value::from(weight),
                    _ if section.quiescent => 0.into(),
                    _ => Value::Null,
                };
                same(&about("wanted weight"), &server["weight_wanted"], weight.clone())?;
                same(&about("listed weight"), &server["weight_listed"], weight)?;
            }
        }
        Ok(())
    }
}
