//! The programs that are measured, as daemons.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::Result;
use crate::accounting::alive;
use crate::configuration::Plan;

/// Which program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Program {
    /// Ours, with the table in memory.
    OursInMemory,
    /// Ours, on ip_vs.
    Ours,
    /// Debian's ldirectord.
    Original,
    /// Debian's keepalived.
    Keepalived,
}

impl Program {
    /// Its name in the report.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OursInMemory | Self::Ours => "ours",
            Self::Original => "original",
            Self::Keepalived => "keepalived",
        }
    }
}

/// A daemon that runs; killed when dropped.
pub(crate) struct Daemon {
    program: Program,
    config: PathBuf,
    log: Log,
    /// Its first process.
    pub(crate) pid: u32,
}

impl Daemon {
    /// Starts a program on a plan; its files are under `folder`.
    pub(crate) fn start(program: Program, plan: &Plan, folder: &Path) -> Result<Self> {
        let name = format!("bench-{}", program.name());
        let (config, log) = (folder.join(format!("{name}.cf")), folder.join(format!("{name}.log")));
        let _ = fs::remove_file(&log);
        let text = match program {
            Program::Keepalived => plan.keepalived(),
            _ => plan.ldirectord(&log.to_string_lossy()),
        };
        fs::write(&config, text).map_err(|e| format!("{}: {e}", config.display()))?;
        let pid_file = match program {
            Program::Keepalived => folder.join("keepalived.pid"),
            _ => PathBuf::from(format!("/var/run/ldirectord.{name}.cf.pid")),
        };
        let mut command = match program {
            Program::OursInMemory | Program::Ours => Command::new(ours()?),
            Program::Original => Command::new("/usr/sbin/ldirectord"),
            Program::Keepalived => Command::new("/usr/sbin/keepalived"),
        };
        match program {
            Program::OursInMemory => command.args(["--table", "memory"]).arg(&config).arg("start"),
            Program::Ours | Program::Original => command.arg(&config).arg("start"),
            Program::Keepalived => command
                .args(["-C", "-f"])
                .arg(&config)
                .arg("-p")
                .arg(&pid_file)
                .arg("-c")
                .arg(folder.join("checkers.pid")),
        };
        let out =
            fs::File::create(folder.join(format!("{name}.out"))).map_err(|e| e.to_string())?;
        let err = out.try_clone().map_err(|e| e.to_string())?;
        let _ = fs::remove_file(&pid_file);
        let status = command.stdin(Stdio::null()).stdout(out).stderr(err).status();
        match status {
            Ok(status) if status.success() => {}
            other => return Err(format!("{name}: {other:?}, see {}", folder.display())),
        }
        let pid = read_pid(&pid_file)?;
        Ok(Self { program, config, log: Log::new(log), pid })
    }

    /// Entries of the table as ours sees it, for the table in memory.
    pub(crate) fn listed(&self) -> Result<usize> {
        let output = Command::new(ours()?)
            .arg(&self.config)
            .args(["status", "--listing"])
            .output()
            .map_err(|e| e.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout);
        Ok(text.lines().filter(|line| line.starts_with("  -> ")).count().saturating_sub(1))
    }

    /// Lines of its log with this text, so far.
    pub(crate) fn logged(&self, text: &'static str) -> usize {
        self.log.count(text)
    }

    /// Has it read its configuration again.
    pub(crate) fn reload(&self) -> Result<()> {
        kill(self.pid, nix::sys::signal::Signal::SIGHUP)
    }

    /// Ends it, by force if it takes long.
    pub(crate) fn stop(self) {
        drop(self);
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        use nix::sys::signal::Signal::{SIGKILL, SIGTERM};
        let _ = kill(self.pid, SIGTERM);
        // The original purges one entry after the other, each with a process.
        let patience = Duration::from_secs(if self.program == Program::Original { 3 } else { 20 });
        let begun = Instant::now();
        while alive(self.pid) && begun.elapsed() < patience {
            sleep(Duration::from_millis(50));
        }
        let _ = kill(self.pid, SIGKILL);
    }
}

/// A log that grows; each text is looked for only in what is new.
struct Log {
    path: PathBuf,
    seen: RefCell<HashMap<&'static str, (u64, usize)>>,
}

impl Log {
    fn new(path: PathBuf) -> Self {
        Self { path, seen: RefCell::default() }
    }

    fn count(&self, text: &'static str) -> usize {
        let mut seen = self.seen.borrow_mut();
        let (offset, count) = seen.entry(text).or_default();
        let mut new = Vec::new();
        if let Ok(mut file) = fs::File::open(&self.path) {
            let at = file.seek(SeekFrom::Start(*offset));
            let _ = at.and_then(|_| file.read_to_end(&mut new));
        }
        // A line that is not complete is looked at again.
        let end = new.iter().rposition(|&byte| byte == b'\n').map_or(0, |last| last + 1);
        *offset += end as u64;
        let lines = String::from_utf8_lossy(&new[..end]);
        *count += lines.lines().filter(|line| line.contains(text)).count();
        *count
    }
}

fn kill(pid: u32, signal: nix::sys::signal::Signal) -> Result<()> {
    let pid = nix::unistd::Pid::from_raw(i32::try_from(pid).map_err(|e| e.to_string())?);
    nix::sys::signal::kill(pid, signal).map_err(|e| format!("kill {pid}: {e}"))
}

/// The release build beside this program.
fn ours() -> Result<PathBuf> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    Ok(own.with_file_name("ldirectord"))
}

fn read_pid(path: &Path) -> Result<u32> {
    let begun = Instant::now();
    loop {
        let pid = fs::read_to_string(path).ok().and_then(|text| text.trim().parse().ok());
        match pid {
            Some(pid) => return Ok(pid),
            None if begun.elapsed() > Duration::from_secs(20) => {
                return Err(format!("{}: no pid", path.display()));
            }
            None => sleep(Duration::from_millis(2)),
        }
    }
}

/// Repeats `look` until it says yes; how long that took.
pub(crate) fn until(
    what: &str,
    limit: Duration,
    pause: Duration,
    mut look: impl FnMut() -> Result<bool>,
) -> Result<Duration> {
    let begun = Instant::now();
    while !look()? {
        if begun.elapsed() > limit {
            return Err(format!("{what}: not within {} s", limit.as_secs()));
        }
        sleep(pause);
    }
    Ok(begun.elapsed())
}
