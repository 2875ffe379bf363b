//! The hooks' processes: they outlive the daemon that began them.

use crate::event::Hooks;
use crate::oracle::Violation;
use crate::world::{MS, Micros, SECOND, micros};
use ldirectord::hook::{HookEvent, HookProgram, HookResult, HookRun};
use ldirectord::process::Identity;
use std::collections::BTreeMap;
use std::time::Duration;

#[derive(Default)]
pub(crate) struct Processes {
    running: BTreeMap<u32, Process>,
    last: u32,
}

struct Process {
    run: u64,
    life: u64,
    /// Target and protocol of the service; `None` for a callback.
    service: Option<String>,
    /// Whether the journal has it: who comes later can know of it.
    noted: bool,
    begun: Micros,
    ends: Micros,
    result: HookResult,
}

pub(crate) struct Begun {
    pub(crate) process: Identity,
    pub(crate) takes: Micros,
}

pub(crate) struct Over {
    pub(crate) life: u64,
    pub(crate) event: HookEvent,
}

impl Processes {
    pub(crate) fn begin(
        &mut self,
        run: &HookRun,
        mood: Hooks,
        dice: u64,
        now: Micros,
        life: u64,
    ) -> Result<Begun, Violation> {
        let service = match &run.program {
            HookProgram::Shell(line) => line.split_once(" st").map(|(_, rest)| {
                rest.split_once(' ').map_or_else(String::new, |(_, target)| target.to_owned())
            }),
            HookProgram::Callback { .. } => None,
        };
        let other = self.running.values().find(|other| {
            service.is_some() && other.service == service && (other.noted || other.life == life)
        });
        if let Some(other) = other {
            return Err(Violation::new(format!(
                "two runs of {service:?} at a time: run {} of life {} and run {} of life {life}",
                other.run, other.life, run.run
            )));
        }
        let mood = match mood {
            Hooks::Mixed => {
                [Hooks::Quick, Hooks::Slow, Hooks::Fail, Hooks::Hang][dice as usize / 8 % 4]
            }
            other => other,
        };
        let timeout = micros(run.timeout);
        let (takes, result) = match mood {
            _ if service.is_none() => (10 * MS, HookResult::Exited(0)),
            Hooks::Quick | Hooks::Mixed => (5 * MS + dice % (300 * MS), HookResult::Exited(0)),
            Hooks::Slow => (3 * SECOND + dice % (6 * SECOND), HookResult::Exited(0)),
            Hooks::Fail => (5 * MS + dice % (300 * MS), HookResult::Exited(1)),
            Hooks::Hang => (u64::MAX / 2, HookResult::TimedOut),
        };
        let (takes, result) =
            if takes >= timeout { (timeout, HookResult::TimedOut) } else { (takes, result) };
        self.last += 1;
        let process = Identity { pid: self.last, started: now };
        let entry = Process {
            run: run.run,
            life,
            service,
            noted: false,
            begun: now,
            ends: now + takes,
            result,
        };
        self.running.insert(self.last, entry);
        Ok(Begun { process, takes })
    }

    /// The journal has this process.
    pub(crate) fn noted(&mut self, pid: u32) {
        if let Some(process) = self.running.get_mut(&pid) {
            process.noted = true;
        }
    }

    /// When this process ends, if it lives.
    pub(crate) fn ends(&self, pid: u32) -> Option<Micros> {
        self.running.get(&pid).map(|process| process.ends)
    }

    pub(crate) fn over(&mut self, pid: u32, now: Micros) -> Option<Over> {
        let process = self.running.remove(&pid)?;
        let event = HookEvent::Ended {
            run: process.run,
            result: process.result,
            duration: Duration::from_micros(now - process.begun),
        };
        Some(Over { life: process.life, event })
    }
}
