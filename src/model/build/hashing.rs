//! Services that `sh` and `mh` schedule by a hash of the client: flags that miss or have no effect.

use super::Builder;
use super::hazards::SCHEDULERS;
use super::lookup::Lookup;
use crate::config::{QUIESCENT, SCHEDFLAGS, SCHEDULER, Section};
use crate::model::VirtualService;

/// The name that this scheduler has for a flag of the other one. The kernel gives both the same bits.
fn own_name(scheduler: &str, flag: &str) -> Option<&'static str> {
    match (scheduler, flag) {
        ("mh", "sh-fallback") => Some("mh-fallback"),
        ("mh", "sh-port") => Some("mh-port"),
        ("sh", "mh-fallback") => Some("sh-fallback"),
        ("sh", "mh-port") => Some("sh-port"),
        _ => None,
    }
}

impl Builder<'_, '_> {
    /// Flags under the name of another scheduler, or of one that has none.
    pub(super) fn flag_hazards(&mut self, section: &Section<'_>, lookup: Lookup<'_, '_>) {
        let found = section.found();
        let scheduler = lookup.text(&SCHEDULER).unwrap_or(SCHEDULER.default);
        let (Some(flags), Some(place), false) =
            (lookup.text(&SCHEDFLAGS), lookup.place(&SCHEDFLAGS), section.is_broken(&SCHEDULER))
        else {
            return;
        };
        let hashes = matches!(scheduler, "sh" | "mh");
        for flag in flags.split(',') {
            if let Some(own) = own_name(scheduler, flag) {
                let text = format!("{flag} is taken as {own}");
                let hint =
                    "the kernel has one bit for both: write the name that the scheduler has for it";
                self.diagnostics.note(found, place, text, hint);
            }
            let ignored = match flag {
                "flag-3" => true,
                "flag-1" | "flag-2" | "sh-fallback" | "sh-port" | "mh-fallback" | "mh-port" => {
                    !hashes
                }
                _ => false,
            };
            // What a scheduler of somebody's own does with its flags is not known.
            if ignored && SCHEDULERS.contains(&scheduler) {
                let text = format!("{scheduler} ignores {flag}");
                let hint =
                    "of the schedulers of Linux, only sh and mh have flags: fallback and port";
                self.diagnostics.note(found, place, text, hint);
            }
        }
    }

    /// What hashing does to clients, where another choice would spare them.
    pub(super) fn hashing_hazards(
        &mut self,
        section: &Section<'_>,
        lookup: Lookup<'_, '_>,
        service: &VirtualService,
    ) {
        let is_mh = service.scheduler == "mh";
        let place = match (service.scheduler.as_str(), lookup.place(&SCHEDULER)) {
            ("sh" | "mh", Some(place)) => place,
            _ => return,
        };
        if section.is_broken(&SCHEDFLAGS) || section.is_broken(&QUIESCENT) {
            return;
        }
        let found = section.found();
        let flags = service.sched_flags;
        let servers = service.real_servers.len();
        let mut note = |text: &str, hint| self.diagnostics.note(found, place, text, hint);
        if service.quiescent && !flags.flag1 && servers + service.fallbacks.len() > 1 {
            let (text, hint) = if is_mh {
                (
                    "with quiescent=yes, mh refuses the new connections that fall to a dead server",
                    "add mh-fallback to schedflags, which gives them to the other servers, or set quiescent=no",
                )
            } else {
                (
                    "with quiescent=yes, sh refuses the new connections that fall to a dead server",
                    "add sh-fallback to schedflags, which gives them to the other servers",
                )
            };
            note(text, hint);
        }
        if !is_mh && !service.quiescent && servers > 1 {
            note(
                "sh gives most clients another server when a dead one is removed, and when it is back",
                "mh moves few; sh moves few with quiescent=yes, sh-fallback and all weights 1",
            );
        }
        if is_mh && service.persistence.is_some() {
            note(
                "persistent overrules mh: a client stays where it is, and other directors place it by the hash",
                "leave persistent out: without mh-port, mh gives a client the same server each time",
            );
        // Who sets persistent wants clients to stay.
        } else if !flags.flag2 && service.persistence.is_none() && servers > 1 {
            let (text, hint) = if is_mh {
                (
                    "without mh-port, all connections from one client address go to one server",
                    "if clients need not stay, mh-port in schedflags spreads those behind one NAT address too",
                )
            } else {
                (
                    "without sh-port, all connections from one client address go to one server",
                    "if clients need not stay, sh-port in schedflags spreads those behind one NAT address too",
                )
            };
            note(text, hint);
        }
    }
}
