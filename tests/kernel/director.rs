//! The program under test as a daemon in a world's director, and the kernel's table there.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use ipvs_rs::{Ipvs, ServiceKey};

use super::world::World;

/// Where configurations and logs are.
const FOLDER: &str = "/run/kernel-tests";

/// How long anything may take that has no limit of its own in the test.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A director: one instance of the program with its configuration, in one namespace.
pub(crate) struct Director<'w> {
    world: &'w World,
    config: PathBuf,
    log: PathBuf,
}

impl<'w> Director<'w> {
    /// Writes the configuration and starts the daemon.
    pub(crate) fn start(world: &'w World, config: &str) -> Self {
        let director = Self::stopped(world, config);
        director.command("start");
        director
    }

    /// Writes the configuration only. Each world has one instance, named after it.
    pub(crate) fn stopped(world: &'w World, config: &str) -> Self {
        fs::create_dir_all(FOLDER).unwrap();
        let name = world.name();
        let director = Self {
            world,
            config: PathBuf::from(format!("{FOLDER}/ldirectord-{name}.cf")),
            log: PathBuf::from(format!("{FOLDER}/{name}.log")),
        };
        director.configure(config);
        director
    }

    /// Writes another configuration; the log's place is added.
    pub(crate) fn configure(&self, config: &str) {
        let text = format!("logfile=\"{}\"\n{config}\n", self.log.display());
        fs::write(&self.config, text).unwrap();
    }

    /// Runs `start`, `stop`, `drain 10.0.2.11:80` or another command; it must succeed.
    pub(crate) fn command(&self, command: &str) -> Output {
        let output = self.attempt(command);
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "{command}: {}: {said}", output.status);
        output
    }

    /// What a command says that may fail.
    pub(crate) fn output(&self, command: &str) -> String {
        String::from_utf8_lossy(&self.attempt(command).stdout).into_owned()
    }

    fn attempt(&self, command: &str) -> Output {
        // A pipe would be kept open by the daemon, if it kept it; files cannot hang us.
        let output = self.log.with_extension("out");
        let run = || {
            let out = fs::File::create(&output).unwrap();
            let err = out.try_clone().unwrap();
            Command::new(program())
                .arg(&self.config)
                .args(command.split(' '))
                .stdin(Stdio::null())
                .stdout(out)
                .stderr(err)
                .status()
                .unwrap()
        };
        let status = self.world.inside("director", run);
        Output { status, stdout: fs::read(&output).unwrap(), stderr: Vec::new() }
    }

    /// Stops the daemon and waits until it is gone.
    pub(crate) fn stop(&self) {
        let pid = self.pid();
        self.command("stop");
        wait_for("the daemon's end", PATIENCE, || {
            (!alive(pid)).then_some(()).ok_or_else(|| self.story())
        });
    }

    /// Kills the daemon as nothing can be caught.
    pub(crate) fn kill(&self) {
        let pid = self.pid();
        send(pid, "KILL");
        wait_for("the daemon's end", PATIENCE, || (!alive(pid)).then_some(()).ok_or("alive"));
    }

    /// What it knows.
    pub(crate) fn status(&self) -> serde_json::Value {
        let output = self.log.with_extension("status");
        let run = || {
            let out = fs::File::create(&output).unwrap();
            Command::new(program())
                .arg(&self.config)
                .args(["status", "--json"])
                .stdin(Stdio::null())
                .stdout(out)
                .status()
                .unwrap()
        };
        assert!(self.world.inside("director", run).success());
        serde_json::from_slice(&fs::read(&output).unwrap()).unwrap()
    }

    /// Has it end by a fault of its own.
    pub(crate) fn fail(&self) {
        let name = self.config.file_name().unwrap().to_string_lossy();
        let path = format!("/run/ldirectord-rs/{name}.sock");
        wait_for("an answer", PATIENCE, || {
            let mut socket = UnixStream::connect(&path).map_err(|error| error.to_string())?;
            socket.write_all(b"fail\n").map_err(|error| error.to_string())
        });
    }

    /// Sends the daemon a signal.
    pub(crate) fn signal(&self, signal: &str) {
        send(self.pid(), signal);
    }

    /// Has it read its configuration again.
    pub(crate) fn reload(&self, config: &str) {
        self.configure(config);
        self.signal("HUP");
    }

    /// The daemon's process.
    pub(crate) fn pid(&self) -> u32 {
        let name = self.config.file_name().unwrap().to_string_lossy();
        let path = format!("/var/run/ldirectord.{name}.pid");
        let read = || fs::read_to_string(&path).ok()?.trim().parse().ok();
        let mut pid = None;
        wait_for("a pid file", PATIENCE, || {
            pid = read();
            pid.map(drop).ok_or(&path)
        });
        pid.unwrap()
    }

    /// What it has logged.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// How many lines of the log have this in them.
    pub(crate) fn logged(&self, text: &str) -> usize {
        self.log().lines().filter(|line| line.contains(text)).count()
    }

    /// Waits until the table is this; returns how long that took.
    ///
    /// One line a service: `tcp 10.9.0.1:80 rr -> 10.0.2.11:80 masq 1, 10.0.2.12:80 masq 1`, both
    /// sorted.
    pub(crate) fn expect(&self, table: &[&str], limit: Duration) -> Duration {
        let wanted: Vec<String> = table.iter().map(|line| (*line).to_owned()).collect();
        wait_for("the table", limit, || {
            let listed = self.table();
            if listed == wanted {
                return Ok(());
            }
            Err(format!(
                "listed:\n    {}\nwanted:\n    {}\n{}",
                listed.join("\n    "),
                wanted.join("\n    "),
                self.story()
            ))
        })
    }

    /// The table stays as it is for this long.
    pub(crate) fn stays(&self, table: &[&str], duration: Duration) {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            assert_eq!(self.table(), table, "{}", self.story());
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The table, as [`Director::expect`] writes it.
    pub(crate) fn table(&self) -> Vec<String> {
        table(self.world)
    }

    /// How many paths of checks the table has, for `checkpath=service`.
    pub(crate) fn paths(&self) -> usize {
        let mut ipvs = self.world.inside("director", || Ipvs::open().unwrap());
        ipvs.services().unwrap().iter().filter(|entry| is_path(&entry.service.key)).count()
    }

    /// The end of the log, for a failure's message.
    pub(crate) fn story(&self) -> String {
        let log = self.log();
        let lines: Vec<&str> = log.lines().collect();
        lines[lines.len().saturating_sub(40)..].join("\n")
    }
}

impl Drop for Director<'_> {
    fn drop(&mut self) {
        let name = self.config.file_name().unwrap_or_default().to_string_lossy();
        let pid = fs::read_to_string(format!("/var/run/ldirectord.{name}.pid"));
        if let Some(pid) = pid.ok().and_then(|pid| pid.trim().parse().ok()) {
            send(pid, "KILL");
        }
    }
}

fn is_path(key: &ServiceKey) -> bool {
    matches!(key, ServiceKey::Fwmark { mark, .. } if ldirectord::model::MARKS.contains(mark))
}

/// The table of a world's director, without the paths of checks.
pub(crate) fn table(world: &World) -> Vec<String> {
    let mut ipvs = world.inside("director", || Ipvs::open().unwrap());
    let mut lines = Vec::new();
    for entry in ipvs.services().unwrap() {
        if is_path(&entry.service.key) {
            continue;
        }
        let mut destinations: Vec<String> = ipvs
            .destinations(&entry.service.key)
            .unwrap()
            .iter()
            .map(|entry| {
                let destination = entry.destination;
                let (address, weight) = (destination.socket_address(), destination.weight);
                format!("{address} {} {weight}", destination.forwarding)
            })
            .collect();
        destinations.sort();
        let service = &entry.service;
        let line = format!("{} {} -> {}", service.key, service.scheduler, destinations.join(", "));
        lines.push(line.trim_end().to_owned());
    }
    lines.sort();
    lines
}

/// Changes the table behind the daemon's back.
pub(crate) fn ipvsadm(world: &World, arguments: &str) {
    world.inside("director", || {
        let output = Command::new("ipvsadm").args(arguments.split(' ')).output().unwrap();
        assert!(output.status.success(), "ipvsadm {arguments}: {output:?}");
    });
}

/// Repeats `attempt` until it succeeds; panics with its last answer after `limit`.
pub(crate) fn wait_for<E: std::fmt::Display>(
    what: &str,
    limit: Duration,
    mut attempt: impl FnMut() -> Result<(), E>,
) -> Duration {
    let begun = Instant::now();
    loop {
        match attempt() {
            Ok(()) => return begun.elapsed(),
            Err(last) if begun.elapsed() > limit => {
                panic!("{what}: not within {} ms: {last}", limit.as_millis())
            }
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

/// The program under test: `LDIRECTORD_PROGRAM` if set, else the one that was built.
fn program() -> PathBuf {
    std::env::var_os("LDIRECTORD_PROGRAM")
        .map_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_ldirectord")), PathBuf::from)
}

fn alive(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn send(pid: u32, signal: &str) {
    let _ = Command::new("kill").args([format!("-{signal}"), pid.to_string()]).status();
}
