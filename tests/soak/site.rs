//! What is configured: some of nine services, each with some of four servers, and edits of that.

use std::fmt::Write as _;

use super::dice::Dice;
use super::world::SERVERS;

/// How a service's servers are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Check {
    Connect,
    Http,
    SimpleTcp,
    External,
    Ping,
    On,
}

/// What never changes about a service.
pub(crate) struct Slot {
    /// As the table lists it.
    pub(crate) key: &'static str,
    /// As `status` calls it, and as its section is opened.
    pub(crate) address: &'static str,
    pub(crate) protocol: &'static str,
    pub(crate) port: u16,
    pub(crate) forwarding: &'static str,
    pub(crate) check: Check,
}

impl Slot {
    pub(crate) fn is_v6(&self) -> bool {
        self.address.starts_with('[')
    }

    /// The address of one of its servers.
    pub(crate) fn server(&self, server: usize) -> String {
        format!("{}:{}", self.server_ip(server), self.port)
    }

    /// The same without its port, and IPv6 in brackets.
    pub(crate) fn server_ip(&self, server: usize) -> String {
        let last = SERVERS[server].1;
        if self.is_v6() { format!("[fd00:2::{last}]") } else { format!("10.0.2.{last}") }
    }

    /// What its fallbackcommand is told it is about.
    pub(crate) fn hook_target(&self) -> String {
        match self.protocol {
            "fwm" => format!("{}:0 fwm", self.address),
            protocol => format!("{} {protocol}", self.address),
        }
    }
}

const fn slot(
    key: &'static str,
    address: &'static str,
    protocol: &'static str,
    port: u16,
    forwarding: &'static str,
    check: Check,
) -> Slot {
    Slot { key, address, protocol, port, forwarding, check }
}

/// The services that there may be.
pub(crate) const SLOTS: [Slot; 10] = [
    slot("tcp 10.9.0.1:8000", "10.9.0.1:8000", "tcp", 8000, "masq", Check::Http),
    slot("tcp 10.9.0.2:8001", "10.9.0.2:8001", "tcp", 8001, "gate", Check::Connect),
    slot("tcp 10.9.0.1:8002", "10.9.0.1:8002", "tcp", 8002, "masq", Check::External),
    slot("tcp 10.9.0.3:8003", "10.9.0.3:8003", "tcp", 8003, "ipip", Check::Ping),
    slot("tcp [fd00:9::1]:8004", "[fd00:9::1]:8004", "tcp", 8004, "masq", Check::Http),
    slot("fwm 17", "17", "fwm", 8005, "masq", Check::Connect),
    slot("tcp 10.9.0.1:8006", "10.9.0.1:8006", "tcp", 8006, "masq", Check::SimpleTcp),
    slot("udp 10.9.0.4:8007", "10.9.0.4:8007", "udp", 8007, "masq", Check::Ping),
    slot("tcp [fd00:9::2]:8008", "[fd00:9::2]:8008", "tcp", 8008, "gate", Check::Connect),
    slot("tcp 10.9.0.5:8009", "10.9.0.5:8009", "tcp", 8009, "gate", Check::On),
];

/// One section of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    pub(crate) slot: usize,
    /// Servers with their weights, in order.
    pub(crate) servers: Vec<(usize, u32)>,
    pub(crate) scheduler: &'static str,
    pub(crate) quiescent: bool,
    pub(crate) reconcile: bool,
    pub(crate) fallback: bool,
    pub(crate) hook: Option<Hook>,
    monitor_file: bool,
    /// `smtp`.
    mail: Option<&'static str>,
    failures: u32,
    rises: u32,
    /// Makes two texts differ.
    comment: usize,
}

/// `fallbackcommand`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Hook {
    pub(crate) retry: bool,
    hold_down: u32,
}

/// A whole file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Config {
    pub(crate) sections: Vec<Section>,
    pub(crate) autoreload: bool,
    on_stop: bool,
    interval: u32,
    timeout: u32,
}

const SCHEDULERS: [&str; 4] = ["rr", "wrr", "lc", "wlc"];

/// A sink that takes mail, and an address at which nobody listens.
const MAIL: [Option<&str>; 4] = [None, Some("127.0.0.1"), Some("127.0.0.1"), Some("127.0.0.9")];

impl Section {
    fn any(slot: usize, dice: &mut Dice) -> Self {
        let count = 1 + dice.below(SERVERS.len());
        let mut order: Vec<usize> = (0..SERVERS.len()).collect();
        dice.shuffle(&mut order);
        let servers = order.into_iter().take(count).map(|server| (server, weight(dice))).collect();
        Self {
            slot,
            servers,
            scheduler: dice.pick(&SCHEDULERS),
            quiescent: dice.chance(40),
            reconcile: dice.chance(60),
            fallback: dice.chance(60),
            hook: hook(dice),
            monitor_file: dice.chance(30),
            mail: dice.pick(&MAIL),
            failures: 1 + dice.below(2) as u32,
            rises: 1 + dice.below(2) as u32,
            comment: dice.below(1000),
        }
    }

    fn edit(&mut self, dice: &mut Dice) {
        match dice.below(12) {
            0 => *self = Self::any(self.slot, dice),
            1 if self.servers.len() > 1 => {
                let gone = dice.below(self.servers.len());
                self.servers.remove(gone);
            }
            2 => {
                let server = dice.below(SERVERS.len());
                if self.servers.iter().all(|(known, _)| *known != server) {
                    let place = dice.below(self.servers.len() + 1);
                    self.servers.insert(place, (server, weight(dice)));
                }
            }
            3 => {
                let place = dice.below(self.servers.len());
                self.servers[place].1 = weight(dice);
            }
            4 => dice.shuffle(&mut self.servers),
            5 => self.scheduler = dice.pick(&SCHEDULERS),
            6 => self.quiescent = !self.quiescent,
            7 => self.reconcile = !self.reconcile,
            8 => self.fallback = !self.fallback,
            9 => self.hook = hook(dice),
            10 => {
                self.mail = dice.pick(&MAIL);
                self.monitor_file = !self.monitor_file;
            }
            _ => self.comment = dice.below(1000),
        }
    }

    fn text(&self, folder: &str) -> String {
        let slot = &SLOTS[self.slot];
        let six = if slot.is_v6() { "6" } else { "" };
        let mut text = format!("virtual{six}={}\n", slot.address);
        let mut line = |line: String| {
            let _ = writeln!(text, "\t{line}");
        };
        for &(server, weight) in &self.servers {
            line(format!("real{six}={} {} {weight}", slot.server(server), slot.forwarding));
        }
        line(format!("protocol={}", slot.protocol));
        line(format!("scheduler={}", self.scheduler));
        match slot.check {
            Check::Connect => line("checktype=connect".into()),
            Check::Ping => line("checktype=ping".into()),
            Check::On => line("checktype=on".into()),
            Check::External => {
                line("checktype=external".into());
                line(format!("checkcommand=\"{folder}/check\""));
            }
            Check::Http | Check::SimpleTcp => {
                let http = slot.check == Check::Http;
                line(format!("service={}", if http { "http" } else { "simpletcp" }));
                line(format!("request=\"{}\"", if http { "alive" } else { "who\\n" }));
                line("receive=\"alive\"".into());
            }
        }
        let yes_no = |yes| if yes { "yes" } else { "no" };
        line(format!("quiescent={}", yes_no(self.quiescent)));
        line(format!("reconcile={}", yes_no(self.reconcile)));
        line(format!("failurecount={}", self.failures));
        line(format!("risecount={}", self.rises));
        line(format!("comment={}", self.comment));
        if self.fallback {
            line(format!(
                "fallback{six}={} {}",
                self.fallback_address(),
                self.fallback_forwarding()
            ));
        }
        if let Some(hook) = self.hook {
            line(format!("fallbackcommand=\"{folder}/hook\""));
            line(format!("fallbackcommandretry={}", yes_no(hook.retry)));
            line("fallbackcommandtimeout=8".into());
            line(format!("fallbackholddown={}", hook.hold_down));
        }
        if self.monitor_file {
            line(format!("monitorfile=\"{folder}/log/monitor\""));
        }
        if let Some(server) = self.mail {
            line("emailalert=admin@example.com".into());
            line(format!("smtp={server}"));
            line("emailalertfreq=5".into());
        }
        text + "\n"
    }

    pub(crate) fn fallback_address(&self) -> String {
        let slot = &SLOTS[self.slot];
        let host = if slot.is_v6() { "[::1]" } else { "127.0.0.1" };
        format!("{host}:{}", slot.port)
    }

    pub(crate) fn fallback_forwarding(&self) -> &'static str {
        SLOTS[self.slot].forwarding
    }
}

fn weight(dice: &mut Dice) -> u32 {
    1 + dice.below(9) as u32
}

fn hook(dice: &mut Dice) -> Option<Hook> {
    let hook = Hook { retry: dice.chance(60), hold_down: dice.pick(&[0, 0, 1, 3]) };
    dice.chance(70).then_some(hook)
}

impl Config {
    pub(crate) fn any(dice: &mut Dice) -> Self {
        let mut slots: Vec<usize> = (0..SLOTS.len()).collect();
        dice.shuffle(&mut slots);
        let sections = slots.into_iter().take(7).map(|slot| Section::any(slot, dice)).collect();
        Self { sections, autoreload: true, on_stop: false, interval: 1, timeout: 3 }
    }

    /// A file without any service, and so without any setting.
    pub(crate) fn empty() -> Self {
        Self { sections: Vec::new(), autoreload: false, on_stop: false, interval: 10, timeout: 5 }
    }

    /// Another one, of which there is something left.
    pub(crate) fn edited(&self, dice: &mut Dice) -> Self {
        let mut next = self.clone();
        for _ in 0..1 + dice.below(4) {
            match dice.below(14) {
                0 => next.autoreload = !next.autoreload,
                1 => next.on_stop = !next.on_stop,
                2 => next.interval = 1 + dice.below(2) as u32,
                3 => next.timeout = 3 + dice.below(2) as u32,
                4 => dice.shuffle(&mut next.sections),
                5 if next.sections.len() > 2 => {
                    let place = dice.below(next.sections.len());
                    next.sections.remove(place);
                }
                5 | 6 => {
                    let slot = dice.below(SLOTS.len());
                    if next.sections.iter().all(|section| section.slot != slot) {
                        let place = dice.below(next.sections.len() + 1);
                        next.sections.insert(place, Section::any(slot, dice));
                    }
                }
                _ => {
                    let place = dice.below(next.sections.len());
                    next.sections[place].edit(dice);
                }
            }
        }
        next
    }

    pub(crate) fn text(&self, folder: &str) -> String {
        let yes_no = |yes| if yes { "yes" } else { "no" };
        let mut sections = String::new();
        self.sections.iter().for_each(|section| sections += &section.text(folder));
        // Without a command it is an error.
        let on_stop = if sections.contains("fallbackcommand=") {
            format!("fallbackcommandonstop={}\n", yes_no(self.on_stop))
        } else {
            String::new()
        };
        format!(
            "logfile=\"{folder}/log/log\"\nmaintenancedir={folder}/maintenance\n\
             checkinterval={}\nchecktimeout={}\nnegotiatetimeout={}\nautoreload={}\n\
             {on_stop}emailalertfrom=lb@example.com\ncallback=\"{folder}/callback\"\n\n{sections}",
            self.interval,
            self.timeout,
            self.timeout,
            yes_no(self.autoreload),
        )
    }
}
