//! What may happen.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use nix::sys::time::TimeSpec;
use nix::time::{ClockId, clock_settime};

use super::director::{table, wait_for};
use super::gauge;
use super::life::{Disk, Life};
use super::oracle::FOREIGN;
use super::site::{Config, SLOTS};
use super::world::SERVERS;

/// More faults in a minute end the daemon, as they should.
const FAULTS_A_MINUTE: usize = 4;

/// Within which a killed process is gone.
const DIES: Duration = Duration::from_secs(60);

impl Life<'_> {
    /// Something happens.
    pub(crate) fn event(&mut self) {
        if self.log_size() > 2 << 20 {
            self.happens("log rotated", String::new());
            self.rotate_log();
        }
        // A life that is not rough is not killed, stopped or started.
        let kinds = if self.rough { 25 } else { 19 };
        match self.dice.below(kinds) {
            0..=4 => {
                let text = self.peers.change(&mut self.dice);
                self.happens("server", text);
            }
            5 => {
                let text = self.peers.change_link(&mut self.dice);
                self.happens("link", text);
            }
            6 if self.dice.chance(30) => {
                self.peers.heal();
                self.happens("all servers well", String::new());
            }
            6..=8 => self.edit(),
            9 => self.spoil(),
            10 | 11 => self.maintain(),
            12 | 13 => self.change_table(),
            14 => {
                let mode = self.dice.pick(&["works", "works", "slow", "fails", "hangs", "dies"]);
                self.set_mode(mode);
                self.happens("hooks", mode.into());
            }
            15 => {
                let text = self.peers.mail.change(&mut self.dice);
                self.happens("mail server", text);
            }
            16 => self.strike_prober(),
            17 => self.fill_or_free_disk(),
            18 => self.pester(),
            19 | 20 => self.kill(),
            21 => self.restart(),
            22 => self.stop_and_start(),
            23 => self.fail(),
            _ => self.freeze_or_jump(),
        }
    }

    /// Before all has to become right: what would hinder it is put right.
    pub(crate) fn stand_still(&mut self) {
        self.set_mode("works");
        // A file that says otherwise than the daemon does is as good a state as any.
        match &self.disk {
            Disk::Valid(config) if *config == self.in_force => {}
            Disk::Valid(_) if self.in_force.autoreload || self.dice.chance(50) => self.reload(),
            Disk::Broken if self.dice.chance(50) => self.repair(),
            Disk::Empty if self.in_force.sections.is_empty() => self.repair(),
            Disk::Valid(_) | Disk::Broken | Disk::Empty => {}
        }
    }

    /// An edit, and one of the ways in which it comes into force.
    fn edit(&mut self) {
        let base = match &self.disk {
            Disk::Valid(config) => config.clone(),
            Disk::Empty | Disk::Broken => self.last_good(),
        };
        let next = base.edited(&mut self.dice);
        let text = next.text(&self.folder);
        let way = self.dice.below(4);
        let reloads = way == 0 || self.dice.chance(60);
        if !reloads {
            self.synchronise();
        }
        match way {
            // In place, in pieces; a reload may come in the middle.
            0 => {
                let mut file = fs::File::create(self.config()).unwrap();
                let cut = self.dice.below(text.len());
                file.write_all(&text.as_bytes()[..cut]).unwrap();
                thread::sleep(Duration::from_millis(self.dice.below(60) as u64));
                if self.dice.chance(50) {
                    // It may find half of a line.
                    self.run("reload");
                }
                thread::sleep(Duration::from_millis(self.dice.below(120) as u64));
                file.write_all(&text.as_bytes()[cut..]).unwrap();
            }
            1 => fs::write(self.config(), &text).unwrap(),
            _ => {
                let new = format!("{}.new", self.config());
                fs::write(&new, &text).unwrap();
                fs::rename(new, self.config()).unwrap();
            }
        }
        self.disk = Disk::Valid(next.clone());
        self.happens("edit", format!("{} sections", next.sections.len()));
        if reloads {
            self.reload();
        } else if self.in_force.autoreload {
            self.take(next);
            self.unread = true;
        }
    }

    /// Waits until the file has been read that is there, so that it is known which one is in force.
    fn synchronise(&mut self) {
        if !std::mem::take(&mut self.unread) {
            return;
        }
        // A reading that is under way may be of another file: this one begins after it.
        let read = self.ask("reload");
        if let Disk::Valid(_) = self.disk {
            read.unwrap();
        }
    }

    /// A file that is not to be accepted, or one that has lost everything.
    fn spoil(&mut self) {
        self.synchronise();
        let good = self.last_good().text(&self.folder);
        let (text, what) = match self.dice.below(4) {
            0 => (good.replacen("scheduler=", "schedular=", 1), "unknown directive"),
            1 => (good.clone() + "virtual=10.9.0.6:80\n\treal=nonsense masq\n", "bad server"),
            2 => (good.replacen("scheduler=", "scheduler=R", 1), "bad scheduler"),
            _ => (String::new(), "empty"),
        };
        self.disk = if text.is_empty() { Disk::Empty } else { Disk::Broken };
        fs::write(self.config(), text).unwrap();
        self.happens("spoilt file", what.into());
        match self.dice.below(3) {
            0 => self.reload(),
            1 if self.disk == Disk::Broken && self.rough => {
                let (status, said) = self.run("restart");
                assert_ne!(status, 0, "a restart with a broken file: {said}");
            }
            _ => thread::sleep(Duration::from_millis(self.dice.below(1500) as u64)),
        }
        if self.dice.chance(60) {
            self.repair();
        }
    }

    /// What the file would say, were it not spoilt.
    fn last_good(&mut self) -> Config {
        if self.in_force.sections.is_empty() {
            return Config::any(&mut self.dice);
        }
        self.in_force.clone()
    }

    /// A valid file, put into force.
    fn repair(&mut self) {
        let good = self.last_good();
        fs::write(self.config(), good.text(&self.folder)).unwrap();
        self.disk = Disk::Valid(good);
        self.happens("repaired file", String::new());
        self.reload();
    }

    /// The file is read again.
    fn reload(&mut self) {
        if self.dice.chance(50) {
            let (status, said) = self.run("reload");
            assert_eq!(status != 0, self.disk == Disk::Broken, "reload: {status}: {said}");
        } else {
            self.signal(self.pid(), "HUP");
        }
        match &self.disk {
            Disk::Valid(config) => self.take(config.clone()),
            Disk::Empty => self.take(Config::empty()),
            Disk::Broken => {}
        }
        self.unread = true;
        self.happens("reload", format!("{} sections", self.in_force.sections.len()));
    }

    /// A file comes into `maintenancedir` or goes.
    fn maintain(&mut self) {
        let (slot, server) = (self.dice.below(SLOTS.len()), self.dice.below(SERVERS.len()));
        let name = match self.dice.below(5) {
            0 => SLOTS[slot].server_ip(server),
            // Neither stands for a server.
            1 => self.dice.pick(&["README", "fd00:2::11"]).to_owned(),
            _ => SLOTS[slot].server(server),
        };
        let path = format!("{}/maintenance/{name}", self.folder);
        let some = self.maintenance.iter().next().cloned();
        if let Some(first) = some.filter(|_| self.dice.chance(50)) {
            self.maintenance.remove(&first);
            fs::remove_file(format!("{}/maintenance/{first}", self.folder)).unwrap();
            self.happens("maintenance", format!("{first} gone"));
        } else if self.maintenance.insert(name.clone()) {
            fs::write(path, "").unwrap();
            self.happens("maintenance", name);
        }
    }

    /// Somebody changes the table of a service that is put right again.
    fn change_table(&mut self) {
        let ours: Vec<_> =
            self.in_force.sections.iter().filter(|section| section.reconcile).cloned().collect();
        if ours.is_empty() {
            return;
        }
        let section = &ours[self.dice.below(ours.len())];
        let slot = &SLOTS[section.slot];
        let address = match slot.protocol {
            "fwm" => format!("-f {}", slot.address),
            "udp" => format!("-u {}", slot.address),
            _ => format!("-t {}", slot.address),
        };
        let way = match slot.forwarding {
            "gate" => "-g",
            "ipip" => "-i",
            _ => "-m",
        };
        let server = slot.server(self.dice.below(SERVERS.len()));
        let arguments = match self.dice.below(5) {
            0 => format!("-D {address}"),
            1 => format!("-E {address} -s sed"),
            2 => format!("-d {address} -r {server}"),
            3 => format!("-a {address} -r {server} {way} -w 77"),
            _ => format!("-e {address} -r {server} {way} -w 33"),
        };
        // It may not be there, or be there already.
        let change = || std::process::Command::new("ipvsadm").args(arguments.split(' ')).output();
        self.world.inside("director", change).unwrap();
        self.happens("table changed", arguments);
    }

    /// The prober is killed, or stands still for a moment.
    fn strike_prober(&mut self) {
        let Some(prober) = gauge::prober(self.pid()) else { return };
        match self.dice.below(4) {
            0 => {
                self.signal(prober, "STOP");
                thread::sleep(Duration::from_millis(self.dice.below(900) as u64));
                self.signal(prober, "CONT");
                self.happens("prober frozen", prober.to_string());
            }
            way => {
                self.signal(prober, if way == 1 { "ABRT" } else { "KILL" });
                self.prober_start = Some(Instant::now());
                self.happens("prober killed", prober.to_string());
            }
        }
    }

    /// The disk for the log is full, or has room again.
    fn fill_or_free_disk(&mut self) {
        let filler = format!("{}/log/filler", self.folder);
        if self.full {
            fs::remove_file(filler).unwrap();
            self.rotate_log();
        } else {
            let mut file = OpenOptions::new().create(true).append(true).open(filler).unwrap();
            while file.write_all(&[0; 4096]).is_ok() {}
        }
        self.full = !self.full;
        self.happens("disk", if self.full { "full" } else { "has room" }.into());
    }

    /// Questions, and what is no question.
    fn pester(&mut self) {
        for _ in 0..1 + self.dice.below(5) {
            match self.dice.below(4) {
                0 => drop(self.ask(&"?".repeat(200))),
                1 => drop(self.ask("listing")),
                2 => self.command("status --table"),
                _ => self.command("status --json"),
            }
        }
        self.happens("questions", String::new());
    }

    /// The daemon dies as nothing can catch, and another one is started.
    fn kill(&mut self) {
        self.ensure_valid();
        // The next process knows nothing of services that the file has lost meanwhile.
        self.synchronise();
        if self.disk != Disk::Valid(self.in_force.clone()) {
            self.reload();
        }
        let pid = self.pid();
        let signal = self.dice.pick(&["KILL", "KILL", "ABRT"]);
        self.signal(pid, signal);
        self.happens("daemon killed", signal.into());
        // A start right behind has to wait for the end itself.
        if self.dice.chance(60) {
            wait_for("the daemon's end", DIES, || (!alive(pid)).then_some(()).ok_or("it lives"));
            thread::sleep(Duration::from_millis(self.dice.below(1500) as u64));
        }
        let (status, said) = self.run("start");
        if status != 0 {
            self.note_refused(&said);
            wait_for("the daemon's end", DIES, || (!alive(pid)).then_some(()).ok_or("it lives"));
        }
        self.start();
        assert_ne!(self.pid(), pid);
    }

    fn note_refused(&mut self, said: &str) {
        assert!(said.contains("is ending"), "start: {said}");
        self.happens("start refused", said.trim().into());
    }

    fn restart(&mut self) {
        self.ensure_valid();
        self.command("restart");
        let Disk::Valid(config) = self.disk.clone() else { return };
        self.take(config);
        self.faults_of_this = 0;
        self.prober_start = Some(Instant::now());
        self.happens("restart", String::new());
    }

    fn stop_and_start(&mut self) {
        self.ensure_valid();
        self.command("stop");
        assert_eq!(table(self.world), [FOREIGN], "after the stop");
        thread::sleep(Duration::from_millis(self.dice.below(1000) as u64));
        self.start();
        self.happens("stop and start", String::new());
    }

    /// A fault of the daemon's own.
    fn fail(&mut self) {
        let recent = |at: &&Instant| at.elapsed() < Duration::from_secs(62);
        if self.faults.iter().filter(recent).count() >= FAULTS_A_MINUTE {
            return;
        }
        let spoilt = self.disk == Disk::Broken;
        if !spoilt {
            self.ensure_valid();
        }
        let pid = self.pid();
        wait_for("an answer", DIES, || self.ask("fail").map(drop));
        self.faults.push(Instant::now());
        self.faults_of_this += 1;
        if spoilt {
            // It waits for a file with which it can go on.
            thread::sleep(Duration::from_millis(self.dice.below(3000) as u64));
            let good = self.last_good();
            fs::write(self.config(), good.text(&self.folder)).unwrap();
            self.disk = Disk::Valid(good);
        }
        let wanted = self.faults_of_this;
        wait_for("a new start in place", DIES, || {
            let status = self.ask("status")?;
            let status: serde_json::Value =
                serde_json::from_str(&status).map_err(|error| error.to_string())?;
            let restarts = &status["faults"]["restarts"];
            if *restarts == wanted { Ok(()) } else { Err(format!("{restarts} restarts")) }
        });
        assert_eq!(self.pid(), pid, "the same process");
        let Disk::Valid(config) = self.disk.clone() else { return };
        self.take(config);
        self.prober_start = Some(Instant::now());
        self.happens("fault", if spoilt { "with a spoilt file" } else { "" }.into());
    }

    /// The daemon stands still for a moment, or the clock on the wall jumps.
    fn freeze_or_jump(&mut self) {
        if self.dice.chance(50) {
            let pid = self.pid();
            self.signal(pid, "STOP");
            thread::sleep(Duration::from_millis(self.dice.below(3000) as u64));
            self.signal(pid, "CONT");
            self.happens("daemon frozen", String::new());
            return;
        }
        let hours = self.dice.pick(&[-48_i64, -1, 1, 24]);
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
        let then = TimeSpec::new(now.cast_signed() + hours * 3600, 0);
        clock_settime(ClockId::CLOCK_REALTIME, then).unwrap();
        self.happens("clock", format!("{hours} hours"));
    }

    fn ensure_valid(&mut self) {
        if !matches!(self.disk, Disk::Valid(_)) {
            self.repair();
        }
    }

    fn signal(&self, pid: u32, signal: &str) {
        let pid = pid.to_string();
        let _ = std::process::Command::new("kill").args([format!("-{signal}"), pid]).status();
    }
}

fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}
