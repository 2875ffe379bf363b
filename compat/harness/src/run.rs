//! Goes through the steps of one case and writes down what it sees.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::case::{Case, Step, load_all};
use crate::compare;
use crate::normalise;
use crate::observe::{self, Marks};
use crate::record::{Record, Section};
use crate::rhythm::Rhythm;
use crate::server::{self, Journal, Running, Server};
use crate::world;

/// A command line that has not ended by then hangs.
const COMMAND_LIMIT: Duration = Duration::from_secs(180);
const POLL: Duration = Duration::from_millis(150);

/// What the run is for, and so how long an observation waits.
struct Patience {
    /// Nothing may change for so long before a recording observes.
    quiet: Duration,
    /// The state of a comparison must last so long.
    hold: Duration,
    /// Then a comparison observes what there is.
    deadline: Duration,
}

struct Runner {
    case: Case,
    /// What to wait for; empty while recording.
    expected: Vec<Section>,
    patience: Patience,
    journal: Journal,
    servers: BTreeMap<String, Server>,
    background: BTreeMap<String, Child>,
    environment: Vec<(String, String)>,
    directory: PathBuf,
    marks: Marks,
    sections: Vec<Section>,
    keep: Vec<Running>,
}

/// `NAME record|compare original|PROGRAM CASES`: prints the record.
pub(crate) fn main(arguments: &[String]) -> Result<bool, String> {
    let [name, mode, program, cases] = arguments else {
        return Err("one NAME MODE PROGRAM CASES".to_owned());
    };
    let case = load_all(Path::new(cases))?
        .into_iter()
        .find(|case| case.name == *name)
        .ok_or_else(|| format!("no case {name}"))?;
    let original = program == "original";
    let expected = if mode == "compare" { expected(&case, original)? } else { Vec::new() };
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let kernel = if case.native { String::new() } else { format!(", Linux {}", kernel.trim()) };
    // The machine's packages are not seen from within.
    let version = version(original);
    world::enter((!original).then(|| Path::new(program)))?;
    let slow = if original { 20 } else { 1 };
    let mut runner = Runner {
        case: case.clone(),
        expected,
        patience: Patience {
            quiet: Duration::from_secs(3),
            hold: Duration::from_millis(1300),
            deadline: Duration::from_secs(20) * slow,
        },
        journal: Journal::default(),
        servers: BTreeMap::new(),
        background: BTreeMap::new(),
        environment: Vec::new(),
        directory: PathBuf::from("/root"),
        marks: Marks::default(),
        sections: Vec::new(),
        keep: Vec::new(),
    };
    for step in &case.steps {
        runner.step(step).map_err(|error| format!("{name}: {}: {error}", step.line))?;
    }
    let record = Record { header: format!("{version}{kernel}"), sections: runner.sections };
    print!("{}", record.to_text());
    Ok(true)
}

/// The original's record, with ours where a listed difference pins it.
fn expected(case: &Case, original: bool) -> Result<Vec<Section>, String> {
    let text = fs::read_to_string(&case.expected).unwrap_or_default();
    let mut sections = Record::from_text(&text)?.sections;
    if !original && let Ok(text) = fs::read_to_string(&case.ours) {
        for pinned in Record::from_text(&text)?.sections {
            for section in sections.iter_mut().filter(|section| section.title == pinned.title) {
                section.kinds.extend(pinned.kinds.clone());
            }
        }
    }
    Ok(sections)
}

fn version(original: bool) -> String {
    if !original {
        return "ours".to_owned();
    }
    let output = Command::new("dpkg-query").args(["-W", "-f", "${Version}", "ldirectord"]).output();
    let version =
        output.map(|o| String::from_utf8_lossy(&o.stdout).into_owned()).unwrap_or_default();
    format!("Debian's ldirectord {version}")
}

impl Runner {
    fn step(&mut self, step: &Step) -> Result<(), String> {
        let words: Vec<&str> = step.words.iter().map(String::as_str).collect();
        let text = || step.block.iter().flat_map(|line| [line, "\n"]).collect::<String>();
        match words.as_slice() {
            ["config"] => world::write(Path::new("/etc/ha.d/ldirectord.cf"), &text(), 0o644),
            ["file", path] => world::write(Path::new(path), &text(), 0o644),
            ["file", path, "unended"] => {
                world::write(Path::new(path), text().strip_suffix('\n').unwrap_or_default(), 0o644)
            }
            ["program", path] => world::write(Path::new(path), &text(), 0o755),
            ["append", path] => OpenOptions::new()
                .append(true)
                .open(path)
                .and_then(|mut file| file.write_all(text().as_bytes()))
                .map_err(|e| e.to_string()),
            [kind @ ("hook" | "checker"), path, environment @ ..] => {
                let names: Vec<String> = environment.iter().map(|&name| name.to_owned()).collect();
                world::write(Path::new(path), &world::recorder(kind, &names, &step.block), 0o755)
            }
            ["sendmail"] => world::write(Path::new("/usr/sbin/sendmail"), SENDMAIL, 0o755),
            ["syslog"] => {
                self.keep.push(server::syslog(&self.journal)?);
                Ok(())
            }
            ["certificates"] => server::prepare_certificates(),
            ["host", name, address] => OpenOptions::new()
                .append(true)
                .open("/etc/hosts")
                .and_then(|mut file| writeln!(file, "{address} {name}"))
                .map_err(|e| e.to_string()),
            ["address", address] => server::add_address(address),
            ["env", assignment] => {
                let (name, value) = assignment.split_once('=').ok_or("env NAME=VALUE")?;
                self.environment.push((name.to_owned(), value.to_owned()));
                Ok(())
            }
            ["cd", directory] => {
                self.directory = PathBuf::from(directory);
                Ok(())
            }
            ["server", ..] => {
                let (name, server) = Server::start(&step.words[1..], &step.block, &self.journal)?;
                self.servers.insert(name, server);
                Ok(())
            }
            ["down", names @ ..] => names.iter().try_for_each(|name| {
                self.server(name)?.down();
                Ok(())
            }),
            ["up", names @ ..] => names.iter().try_for_each(|name| self.server(name)?.up()),
            ["set", name, ..] => {
                self.server(name)?.change(&step.words[2..], &step.block);
                Ok(())
            }
            ["ldirectord", ..] => self.command(step, world::PROGRAM, &step.words[1..]),
            ["exec", ..] => {
                let shell = step.line.trim_start_matches("exec").trim().to_owned();
                self.command(step, "/bin/sh", &["-c".to_owned(), shell])
            }
            ["run", ..] => {
                self.must_succeed("/bin/sh", &["-c", step.line.trim_start_matches("run")])
            }
            ["ipvsadm", arguments @ ..] => self.must_succeed("/usr/sbin/ipvsadm", arguments),
            ["background", name, arguments @ ..] => self.start_background(name, arguments),
            ["wait", name] => self.wait(step, name),
            ["signal", signal] => self.signal(signal, None),
            ["signal", signal, whom] => self.signal(signal, Some(whom)),
            ["quit", ..] => {
                quit();
                Ok(())
            }
            ["clear"] => self.clear(),
            ["sleep", seconds] => {
                let seconds: f64 = seconds.parse().map_err(|_| "sleep SECONDS")?;
                thread::sleep(Duration::from_secs_f64(seconds));
                Ok(())
            }
            ["await", what @ ..] => self.wait_for(step, what),
            ["settle", options @ ..] => self.settle(step, options),
            ["show", path] => self.show(step, "content", path),
            ["show", path, "set"] => self.show(step, "set", path),
            ["files"] => {
                let mut section = self.section(step);
                section.put("files", world::files());
                self.sections.push(section);
                Ok(())
            }
            ["requests", name, count] => self.requests(step, name, count),
            ["forget", name] => {
                self.journal.forget(name);
                Ok(())
            }
            _ => Err("no such step".to_owned()),
        }
    }

    fn server(&mut self, name: &str) -> Result<&mut Server, String> {
        self.servers.get_mut(name).ok_or_else(|| format!("no server {name}"))
    }

    fn section(&self, step: &Step) -> Section {
        Section::new(format!("{} {}", self.sections.len() + 1, step.line))
    }

    fn prepared(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", "/root")
            .env("LANG", "C")
            .envs(self.environment.iter().cloned())
            .current_dir(&self.directory)
            .stdin(Stdio::null());
        command
    }

    /// Runs to its end; exit status and output are observed.
    fn command(&mut self, step: &Step, program: &str, arguments: &[String]) -> Result<(), String> {
        let mut command = self.prepared(program);
        let mut child = spawn(command.args(arguments), "command")?;
        let status = wait_limited(&mut child)?;
        let mut section = self.section(step);
        section.put("exit", vec![status]);
        put_output(&mut section, "command");
        self.sections.push(section);
        Ok(())
    }

    fn must_succeed(&self, program: &str, arguments: &[&str]) -> Result<(), String> {
        let output = self.prepared(program).args(arguments).output().map_err(|e| e.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        Err(format!("{}: {}", output.status, String::from_utf8_lossy(&output.stderr)))
    }

    fn start_background(&mut self, name: &str, arguments: &[&str]) -> Result<(), String> {
        let mut command = self.prepared(world::PROGRAM);
        let child = spawn(command.args(arguments), name)?;
        self.background.insert(name.to_owned(), child);
        Ok(())
    }

    fn wait(&mut self, step: &Step, name: &str) -> Result<(), String> {
        let mut child = self.background.remove(name).ok_or("no such background program")?;
        let status = wait_limited(&mut child)?;
        let mut section = self.section(step);
        section.put("exit", vec![status]);
        put_output(&mut section, name);
        self.sections.push(section);
        Ok(())
    }

    /// To a background program, to the daemon of an instance, or to the only daemon.
    fn signal(&self, signal: &str, whom: Option<&str>) -> Result<(), String> {
        let signal: Signal = format!("SIG{signal}").parse().map_err(|_| "no such signal")?;
        let pid = match whom.map(|name| (name, self.background.get(name))) {
            Some((_, Some(child))) => child.id().cast_signed(),
            other => {
                let file = other.map(|(instance, _)| format!("ldirectord.{instance}.pid"));
                let found = world::pid_files();
                let chosen =
                    found.iter().find(|(name, _)| file.as_ref().is_none_or(|file| file == name));
                chosen.and_then(|(_, pid)| *pid).ok_or("no pid file with a number")?
            }
        };
        match kill(Pid::from_raw(pid), signal) {
            // The comparison will show that it is gone.
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(error) => Err(format!("kill: {error}")),
        }
    }

    fn clear(&mut self) -> Result<(), String> {
        quit();
        self.must_succeed(
            "/bin/sh",
            &["-c", "rm -f /run/ldirectord* /var/log/ldirectord*; ipvsadm -C"],
        )?;
        self.marks.forget_logs();
        Ok(())
    }

    fn wait_for(&mut self, step: &Step, what: &[&str]) -> Result<(), String> {
        let limit = self.patience.deadline.max(Duration::from_secs(30)) * 2;
        let started = Instant::now();
        let mut section = self.section(step);
        while !self.holds(what)? {
            if started.elapsed() > limit {
                section.put("await", vec!["never came".to_owned()]);
                break;
            }
            thread::sleep(POLL);
        }
        self.sections.push(section);
        Ok(())
    }

    fn holds(&self, what: &[&str]) -> Result<bool, String> {
        let text = what.get(1..).unwrap_or_default().join(" ");
        Ok(match what {
            ["log", ..] => observe::log_contains(&self.marks, &text),
            ["table", ..] => observe::table()?.iter().any(|line| line.contains(&text)),
            ["no-table", ..] => !observe::table()?.iter().any(|line| line.contains(&text)),
            ["calls", ..] => observe::calls_contain(&self.marks, &text),
            ["file", path] => Path::new(path).exists(),
            ["no-file", path] => !Path::new(path).exists(),
            ["gone"] => world::pid_files().iter().all(|(_, pid)| !pid.is_some_and(world::is_alive)),
            ["request", server, count] => {
                let count: usize = count.parse().map_err(|_| "await request NAME COUNT")?;
                self.journal.sequence(server).len() >= count
            }
            _ => return Err("await what?".to_owned()),
        })
    }

    /// Recording: until nothing changes. Comparing: until it is as expected, and stays so.
    fn settle(&mut self, step: &Step, options: &[&str]) -> Result<(), String> {
        let option = |name: &str| {
            options
                .iter()
                .find_map(|o| o.strip_prefix(name)?.strip_prefix('=')?.parse::<f64>().ok())
        };
        let quiet = option("quiet").map_or(self.patience.quiet, Duration::from_secs_f64);
        let hold = option("hold").map_or(self.patience.hold, Duration::from_secs_f64);
        let number = self.sections.len() + 1;
        let title = format!("{number} {}", step.line);
        let started = Instant::now();
        let expected = self.expected.get(number - 1).cloned();
        let deadline = match &expected {
            Some(_) => self.patience.deadline.max(quiet * 3),
            None => Duration::from_secs(600),
        };
        let first = observe::signature(&self.journal);
        let mut rhythm = Rhythm::default();
        let mut signature = String::new();
        let mut since = Instant::now();
        let mut agreed: Option<Instant> = None;
        loop {
            let now = observe::signature(&self.journal);
            let processes = world::processes();
            rhythm.look(&processes);
            if now != signature {
                rhythm.restart();
                signature = now;
                since = Instant::now();
                agreed = None;
            }
            let over = started.elapsed() > deadline;
            match &expected {
                None => {
                    // Nothing at all may also mean: not yet.
                    let quiet = if signature == first { quiet * 2 } else { quiet };
                    if over {
                        return Err("the original never came to rest".to_owned());
                    }
                    if since.elapsed() >= quiet && rhythm.is_quiet(&processes) {
                        break;
                    }
                }
                Some(expected) => {
                    if over || agreed.is_some_and(|at| at.elapsed() >= hold) {
                        break;
                    }
                    if agreed.is_none() {
                        let (seen, _) =
                            observe::observe(title.clone(), &self.marks, &self.journal)?;
                        if self.agrees(number, expected, &seen) {
                            agreed = Some(Instant::now());
                        }
                    }
                }
            }
            thread::sleep(POLL);
        }
        let (section, marks) = observe::observe(title, &self.marks, &self.journal)?;
        self.marks = marks;
        self.sections.push(section);
        Ok(())
    }

    fn agrees(&self, number: usize, expected: &Section, seen: &Section) -> bool {
        let before = &self.expected[..number - 1];
        compare::section(number, before, expected, seen, self.case.strict).is_empty()
    }

    fn show(&mut self, step: &Step, kind: &str, path: &str) -> Result<(), String> {
        let number = self.sections.len() + 1;
        let started = Instant::now();
        let section = loop {
            let mut section = self.section(step);
            let line =
                if path.ends_with(".log") { normalise::log_line } else { normalise::monitor_line };
            let content = fs::read(path).map_or_else(
                |error| vec![format!("cannot read: {}", error.kind())],
                |bytes| String::from_utf8_lossy(&bytes).lines().map(line).collect(),
            );
            let mut lines: Vec<String> =
                content.iter().map(|line| normalise::blank_pids(line)).collect();
            if kind == "set" {
                lines.sort();
                lines.dedup();
            }
            section.put(kind, lines);
            match self.expected.get(number - 1) {
                Some(expected) if !self.agrees(number, expected, &section) => {}
                _ => break section,
            }
            if started.elapsed() > self.patience.deadline {
                break section;
            }
            thread::sleep(POLL);
        };
        self.sections.push(section);
        Ok(())
    }

    fn requests(&mut self, step: &Step, name: &str, count: &str) -> Result<(), String> {
        let count: usize = count.parse().map_err(|_| "requests NAME COUNT")?;
        let started = Instant::now();
        while self.journal.sequence(name).len() < count
            && started.elapsed() < self.patience.deadline * 2
        {
            thread::sleep(POLL);
        }
        let mut sequence = self.journal.sequence(name);
        sequence.truncate(count);
        let mut section = self.section(step);
        section.put("sequence", sequence);
        self.sections.push(section);
        Ok(())
    }
}

/// Takes one mail into a file of its own, complete when it has its name.
const SENDMAIL: &str = r#"#!/bin/sh
mkdir -p /run/compat/mails
now=$(date +%s%N)
{ echo "sendmail $*"; cat; } >/run/compat/mails/$now.$$.new
mv /run/compat/mails/$now.$$.new /run/compat/mails/$now.$$.mail
"#;

fn spawn(command: &mut Command, name: &str) -> Result<Child, String> {
    let file = |suffix: &str| {
        File::create(format!("{}/{name}.{suffix}", world::SCRATCH)).map_err(|e| e.to_string())
    };
    command.stdout(file("stdout")?).stderr(file("stderr")?).spawn().map_err(|e| e.to_string())
}

fn wait_limited(child: &mut Child) -> Result<String, String> {
    let started = Instant::now();
    loop {
        match child.try_wait() {
            Ok(Some(status)) => {
                return Ok(status
                    .code()
                    .map_or_else(|| status.to_string(), |code| code.to_string()));
            }
            Ok(None) if started.elapsed() < COMMAND_LIMIT => {
                thread::sleep(Duration::from_millis(20));
            }
            Ok(None) => {
                let _ = child.kill();
                let _ = child.wait();
                return Ok("did not end".to_owned());
            }
            Err(error) => return Err(format!("wait: {error}")),
        }
    }
}

fn put_output(section: &mut Section, name: &str) {
    for kind in ["stdout", "stderr"] {
        let bytes = fs::read(format!("{}/{name}.{kind}", world::SCRATCH)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        let lines = text.lines().filter(|line| !normalise::is_interpreter_noise(line));
        let lines = lines.map(normalise::output_line).filter(|line| !line.trim().is_empty());
        section.put(kind, lines.collect());
    }
}

/// Kills every process of the program under test in this world, the forked ones too.
fn quit() {
    for _ in 0..50 {
        let found = world::processes();
        if found.is_empty() {
            return;
        }
        for pid in found {
            let _ = kill(Pid::from_raw(pid), Signal::SIGKILL);
        }
        thread::sleep(Duration::from_millis(50));
    }
}
