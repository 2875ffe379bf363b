//! One daemon, its world, and what has been done to both.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::dice::Dice;
use super::director::{ipvsadm, table, wait_for};
use super::gauge::{self, Gauge};
use super::oracle::{FOREIGN, Facts, Unrepeated};
use super::peers::Peers;
use super::pulse::Pulse;
use super::site::Config;
use super::world::World;

/// Within which everything has to be as it should be, once nothing moves any more.
const SETTLES: Duration = Duration::from_secs(120);

/// How long it has to stay so.
const STAYS: Duration = Duration::from_millis(2500);

/// Between two looks.
const LOOK: Duration = Duration::from_millis(400);

/// How long a moment in which the machine stood still may have consequences: timeouts, and counts of
/// failures and successes.
const SHADOW: Duration = Duration::from_secs(12);

/// The same for a line in the log, which is read after all is right again.
const LONG_SHADOW: Duration = Duration::from_secs(150);

/// The longest timeout of a check, and a little.
const UNDER_WAY: Duration = Duration::from_millis(4300);

/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(90);

/// Events that are told after a failure.
const TOLD: usize = 60;

const CHECK: &str = "#!/bin/sh
read mood <FOLDER/servers/$3:$4
case $mood in
Serves) exit 0 ;;
Hangs) exec sleep 60 ;;
Babbles) head -c 300000 /dev/zero; kill -KILL $$ ;;
*) exit 1 ;;
esac
";

const HOOK: &str = "#!/bin/sh
echo \"$*\" >>FOLDER/told
read mode <FOLDER/mode
case $mode in
fails) exit 3 ;;
hangs) exec sleep 40 ;;
dies) kill -KILL $$ ;;
slow) sleep 1 ;;
esac
echo \"$*\" >>FOLDER/done
";

/// What is in the configuration's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Disk {
    Valid(Config),
    /// No service, no setting.
    Empty,
    Broken,
}

/// A daemon and its world.
pub(crate) struct Life<'w> {
    pub(crate) world: &'w World,
    /// Whether it is killed, stopped and started, or lives as long as the run.
    pub(crate) rough: bool,
    pub(crate) dice: Dice,
    pub(crate) folder: String,
    pub(crate) peers: Peers<'w>,
    pub(crate) in_force: Config,
    /// Hooks whose last run may have failed before it was to be repeated.
    unrepeated: Unrepeated,
    pub(crate) disk: Disk,
    /// Whether it is not sure that the daemon has read the file.
    pub(crate) unread: bool,
    pub(crate) maintenance: BTreeSet<String>,
    /// When the daemon was made to fail.
    pub(crate) faults: Vec<Instant>,
    /// Since when it runs without one.
    pub(crate) faults_of_this: usize,
    /// Whether the disk for the log is full.
    pub(crate) full: bool,
    program: PathBuf,
    begun: Instant,
    events: VecDeque<String>,
    pub(crate) counts: BTreeMap<&'static str, usize>,
    log: Log,
    daemon: Gauge,
    prober: Gauge,
    settled: Vec<Duration>,
    stop: Arc<AtomicBool>,
    pulse: Pulse,
    /// Checks without an answer, and moments of unrest, while the machine did not let us run.
    excused: usize,
    /// When a prober was last made to start, which takes this guest some seconds.
    pub(crate) prober_start: Option<Instant>,
}

/// What has been read of the log.
#[derive(Default)]
struct Log {
    at: u64,
    lines: usize,
    faults: usize,
    restarts: usize,
    last: VecDeque<String>,
}

impl<'w> Life<'w> {
    /// Everything serves, nothing runs yet.
    pub(crate) fn new(
        world: &'w World,
        rough: bool,
        seed: u64,
        stop: Arc<AtomicBool>,
        pulse: Pulse,
    ) -> Self {
        let folder = format!("/run/soak/{}", world.name());
        for part in ["log", "maintenance"] {
            fs::create_dir_all(format!("{folder}/{part}")).unwrap();
        }
        let size = "size=4m";
        let mount = ["-t", "tmpfs", "-o", size, "soak", &format!("{folder}/log")];
        assert!(Command::new("mount").args(mount).status().unwrap().success());
        for (name, text) in [("check", CHECK), ("hook", HOOK), ("callback", "#!/bin/sh\nexit 0\n")]
        {
            let path = format!("{folder}/{name}");
            fs::write(&path, text.replace("FOLDER", &folder)).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let mut dice = Dice::new(seed);
        let in_force = Config::any(&mut dice);
        let life = Self {
            world,
            rough,
            dice,
            peers: Peers::start(world, &folder),
            disk: Disk::Valid(in_force.clone()),
            in_force,
            unrepeated: Unrepeated::default(),
            unread: false,
            maintenance: BTreeSet::new(),
            faults: Vec::new(),
            faults_of_this: 0,
            full: false,
            program: std::env::var_os("LDIRECTORD_PROGRAM")
                .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_ldirectord")), PathBuf::from),
            begun: Instant::now(),
            events: VecDeque::new(),
            counts: BTreeMap::new(),
            log: Log::default(),
            daemon: Gauge::new("daemon"),
            prober: Gauge::new("prober"),
            settled: Vec::new(),
            stop,
            pulse,
            excused: 0,
            prober_start: None,
            folder,
        };
        life.set_mode("works");
        ipvsadm(world, "-A -t 10.9.0.9:80 -s sh");
        ipvsadm(world, "-a -t 10.9.0.9:80 -r 10.0.2.13:80 -g -w 7");
        fs::write(life.config(), life.in_force.text(&life.folder)).unwrap();
        life
    }

    /// Lives for so long: bursts of events, and after each a while in which nothing moves.
    pub(crate) fn live(&mut self, duration: Duration) {
        self.start();
        self.settle();
        while self.begun.elapsed() < duration && !self.stop.load(Ordering::Relaxed) {
            for _ in 0..1 + self.dice.below(10) {
                self.event();
                thread::sleep(Duration::from_millis(self.dice.below(900) as u64));
            }
            self.stand_still();
            self.settle();
            self.tell();
        }
        self.happens("stop", "at the end".into());
        self.command("stop");
        assert_eq!(table(self.world), [FOREIGN], "after the stop");
    }

    /// Leaves on the host how it goes.
    fn tell(&self) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/soak");
        let _ = fs::create_dir_all(&folder);
        let _ = fs::write(folder.join(format!("{}-now.txt", self.world.name())), self.summary());
    }

    /// Notes an event.
    pub(crate) fn happens(&mut self, kind: &'static str, text: String) {
        *self.counts.entry(kind).or_default() += 1;
        self.note(format!("{kind}: {text}"));
    }

    fn note(&mut self, text: String) {
        let at = self.begun.elapsed().as_secs_f64();
        self.events.push_back(format!("{at:8.1} {text}"));
        if self.events.len() > TOLD {
            self.events.pop_front();
        }
    }

    /// Waits until all is as it should be, and looks whether it stays so.
    fn settle(&mut self) {
        // What a check that is under way finds may be about a while ago.
        thread::sleep(UNDER_WAY);
        let begun = Instant::now();
        loop {
            while let Err(why) = self.judge() {
                assert!(begun.elapsed() < SETTLES, "not right within {SETTLES:?}: {why}");
                thread::sleep(LOOK);
            }
            let right = Instant::now();
            let Err(why) = self.stays() else { break };
            // A reload may have begun only now.
            if std::mem::take(&mut self.unread) {
                continue;
            }
            // A check that was begun a moment earlier may have failed by this.
            assert!(self.starved(right, SHADOW), "it does not stay so: {why}");
            self.excused += 1;
            self.note("starved".into());
        }
        self.unrepeated.settled(&self.folder);
        let took = begun.elapsed() - STAYS;
        self.settled.push(took);
        self.unread = false;
        self.note(format!("settled after {:.1} s", took.as_secs_f64()));
        self.read_log();
        self.measure();
    }

    fn starved(&self, at: Instant, shadow: Duration) -> bool {
        self.pulse.late_since(at.checked_sub(shadow).unwrap_or(at)) > 0
    }

    fn stays(&self) -> Result<(), String> {
        let begun = Instant::now();
        while begun.elapsed() < STAYS {
            thread::sleep(LOOK);
            let (listed, wanted) = (table(self.world), self.facts().table());
            if listed != wanted {
                return Err(format!("{listed:?}, not {wanted:?}"));
            }
        }
        self.judge()
    }

    /// A fault that nobody has asked for: excused where nothing could run.
    fn unasked(&mut self, line: &str) {
        let is_check = line.contains("internal fault: the check of");
        let starting = self.prober_start.is_some_and(|at| at.elapsed() < LONG_SHADOW);
        assert!(is_check && (starting || self.starved(Instant::now(), LONG_SHADOW)), "{line}");
        self.excused += 1;
        self.note(line.to_owned());
    }

    /// Another configuration is in force.
    pub(crate) fn take(&mut self, config: Config) {
        self.unrepeated.edited(&self.in_force, &config);
        self.in_force = config;
    }

    fn facts(&self) -> Facts<'_> {
        Facts {
            config: &self.in_force,
            peers: &self.peers,
            maintenance: &self.maintenance,
            folder: &self.folder,
        }
    }

    fn judge(&self) -> Result<(), String> {
        let facts = self.facts();
        let (listed, wanted) = (table(self.world), facts.table());
        if listed != wanted {
            let (listed, wanted) = (listed.join("\n    "), wanted.join("\n    "));
            return Err(format!("listed:\n    {listed}\nwanted:\n    {wanted}"));
        }
        facts.hooks(&self.unrepeated)?;
        let status = self.ask("status")?;
        let status = serde_json::from_str(&status).map_err(|error| format!("status: {error}"))?;
        facts.status(&status)?;
        let faults = &status["faults"];
        if faults["restarts"] != self.faults_of_this {
            return Err(format!("status: {faults}, not {} restarts", self.faults_of_this));
        }
        if faults["unanswered_reloads"] != 0 {
            return Err(format!("status: {faults}"));
        }
        Ok(())
    }

    /// Asks the control socket, as `status --json` does.
    pub(crate) fn ask(&self, question: &str) -> Result<String, String> {
        let path = format!("/run/ldirectord-rs/soak-{}.cf.sock", self.world.name());
        let ask = || -> std::io::Result<String> {
            let mut socket = UnixStream::connect(&path)?;
            socket.set_read_timeout(Some(Duration::from_secs(20)))?;
            socket.write_all(format!("{question}\n").as_bytes())?;
            let mut answer = String::new();
            socket.read_to_string(&mut answer)?;
            Ok(answer)
        };
        let answer = ask().map_err(|error| format!("{question}: {error}"))?;
        match answer.strip_prefix("ok\n") {
            Some(text) => Ok(text.to_owned()),
            None => Err(format!("{question}: {answer}")),
        }
    }

    /// Memory, descriptors, threads, zombies.
    fn measure(&mut self) {
        let (pid, at) = (self.pid(), self.begun.elapsed());
        self.daemon.zombies += gauge::zombies(pid);
        self.daemon.note(at, gauge::holding(pid).expect("the daemon lives"));
        if let Some(prober) = gauge::prober(pid) {
            self.prober.zombies += gauge::zombies(prober);
            if let Some(holding) = gauge::holding(prober) {
                self.prober.note(at, holding);
            }
        }
        for gauge in [&self.daemon, &self.prober] {
            assert_eq!(gauge.zombies, 0, "{gauge}");
            if let Err(grown) = gauge.growth() {
                panic!("{grown}; {gauge}");
            }
        }
    }

    /// Reads what is new in the log: no fault but those that were asked for.
    fn read_log(&mut self) {
        let Ok(mut file) = File::open(format!("{}/log/log", self.folder)) else { return };
        let length = file.metadata().unwrap().len();
        file.seek(SeekFrom::Start(self.log.at.min(length))).unwrap();
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).unwrap();
        self.log.at = length.max(self.log.at.min(length) + bytes.len() as u64);
        let mut fault = None;
        for line in String::from_utf8_lossy(&bytes).lines() {
            self.log.lines += 1;
            self.log.faults += usize::from(line.contains("internal fault, please report"));
            self.log.restarts += usize::from(line.contains("starts itself anew"));
            let known = ["internal fault, please report", "starts itself anew"];
            let foreign =
                line.contains("internal fault") && !known.iter().any(|it| line.contains(it));
            self.log.last.push_back(line.to_owned());
            if self.log.last.len() > 2 * TOLD {
                self.log.last.pop_front();
            }
            if foreign {
                fault.get_or_insert_with(|| line.to_owned());
            }
        }
        if let Some(line) = fault {
            self.unasked(&line);
        }
        let (asked, faults) = (self.faults.len(), self.log.faults.max(self.log.restarts));
        assert!(faults <= asked, "{faults} faults in the log, {asked} asked for");
    }

    /// The log begins anew, as after a rotation.
    pub(crate) fn rotate_log(&mut self) {
        self.read_log();
        let path = format!("{}/log/log", self.folder);
        let _ = fs::remove_file(path);
        let _ = fs::remove_file(format!("{}/log/monitor", self.folder));
        self.log.at = 0;
    }

    /// How much the log's disk holds.
    pub(crate) fn log_size(&self) -> u64 {
        let size = |name: &str| {
            fs::metadata(format!("{}/log/{name}", self.folder)).map_or(0, |meta| meta.len())
        };
        size("log") + size("monitor")
    }

    pub(crate) fn config(&self) -> String {
        format!("{}/soak-{}.cf", self.folder, self.world.name())
    }

    /// How the hooks behave from now on.
    pub(crate) fn set_mode(&self, mode: &str) {
        let new = format!("{}/mode.new", self.folder);
        fs::write(&new, format!("{mode}\n")).unwrap();
        fs::rename(new, format!("{}/mode", self.folder)).unwrap();
    }

    /// Runs `start`, `reload` and the like: the exit status, and what it said.
    pub(crate) fn run(&self, command: &str) -> (i32, String) {
        // A pipe would be kept open by the daemon, if it kept it; files cannot hang us.
        let output = format!("{}/output", self.folder);
        let mut child = self.world.inside("director", || {
            let out = File::create(&output).unwrap();
            let err = out.try_clone().unwrap();
            let mut program = Command::new(&self.program);
            program.arg(self.config()).args(command.split(' ')).stdin(Stdio::null());
            program.stdout(out).stderr(err).spawn().unwrap()
        });
        let mut status = None;
        wait_for(command, COMMAND, || {
            status = child.try_wait().unwrap();
            status.map(drop).ok_or("it does not end")
        });
        let said = fs::read(&output).unwrap_or_default();
        let status = status.and_then(|status| status.code()).unwrap_or(-1);
        (status, String::from_utf8_lossy(&said).into_owned())
    }

    /// Runs a command that must succeed.
    pub(crate) fn command(&self, command: &str) {
        let (status, said) = self.run(command);
        assert_eq!(status, 0, "{command}: {said}");
    }

    /// Starts the daemon over what the file says, which must be valid.
    pub(crate) fn start(&mut self) {
        let Disk::Valid(config) = self.disk.clone() else { panic!("nothing to start with") };
        self.command("start");
        self.take(config);
        self.faults_of_this = 0;
        self.prober_start = Some(Instant::now());
    }

    /// The daemon's process.
    pub(crate) fn pid(&self) -> u32 {
        let path = format!("/var/run/ldirectord.soak-{}.cf.pid", self.world.name());
        let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        text.trim().parse().unwrap_or_else(|_| panic!("{path}: {text}"))
    }

    /// What happened last, in lines.
    pub(crate) fn last_events(&self, count: usize) -> String {
        let skipped = self.events.len().saturating_sub(count);
        self.events.iter().skip(skipped).cloned().collect::<Vec<_>>().join("\n")
    }

    /// What has happened, for a failure's message.
    pub(crate) fn story(&mut self) -> String {
        let events = self.last_events(TOLD);
        // What it says of itself may be what is wrong.
        let _ = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.read_log()));
        let log: Vec<String> = self.log.last.iter().cloned().collect();
        format!(
            "last events:\n{}\nlast lines of the log:\n{}\nfile:\n{}\nstatus:\n{}",
            events,
            log.join("\n"),
            fs::read_to_string(self.config()).unwrap_or_default(),
            self.ask("status").unwrap_or_else(|error| error),
        )
    }

    /// How it went, in lines.
    pub(crate) fn summary(&self) -> String {
        let mut settled = self.settled.clone();
        settled.sort();
        let at = |part: f64| {
            let index = ((settled.len() as f64 * part) as usize).min(settled.len().max(1) - 1);
            settled.get(index).map_or(0.0, Duration::as_secs_f64)
        };
        let counts: Vec<String> =
            self.counts.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
        format!(
            "{}: {:.1} min; {} events: {}; {} times still and right, after {:.1} s in the median and \
             {:.1} s at most; {} times excused; {} lines of log; {} mails taken\n  {}\n  {}",
            self.world.name(),
            self.begun.elapsed().as_secs_f64() / 60.0,
            self.counts.values().sum::<usize>(),
            counts.join(", "),
            settled.len(),
            at(0.5),
            at(1.0),
            self.excused,
            self.log.lines,
            self.peers.mail.taken(),
            self.daemon,
            self.prober,
        )
    }
}
