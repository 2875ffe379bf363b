//! A machine of its own for the program: own network, mounts, processes and host name, with an empty
//! `/run`, and with `/etc`, `/usr/sbin` and `/var` as they are but nothing written through to the host.
//!
//! Works without root where unprivileged user namespaces do.

#![allow(clippy::unwrap_used, reason = "this is all test code")]
#![allow(dead_code, unreachable_pub, missing_docs, reason = "no test uses all of it")]

use std::fs;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Far beyond what anything here takes, even on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_ldirectord");

pub struct Sandbox {
    keeper: Child,
    init: String,
    home: TempDir,
}

const SETUP: &str = r#"
set -e
mount --make-rprivate /
mount -t tmpfs tmpfs /run
mkdir /run/.overlay
for directory in etc usr/sbin var; do
    layer=/run/.overlay/$directory
    mkdir -p "$layer/upper" "$layer/work"
    mount -t overlay overlay -o "lowerdir=/$directory,upperdir=$layer/upper,workdir=$layer/work" "/$directory"
done
rm -rf /etc/ha.d /var/log/ldirectord* /var/lib/ldirectord-rs
mkdir -p /etc/ha.d/conf
[ /var/run -ef /run ] || { rm -rf /var/run; ln -s /run /var/run; }
ip link set lo up
echo ready
# The first process reaps what others leave behind.
exec perl -e '$SIG{CHLD} = "IGNORE"; sleep 1000 while 1'
"#;

impl Sandbox {
    pub fn new() -> Self {
        let home = tempfile::Builder::new().prefix("ldirectord-").tempdir().unwrap();
        fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
        let mut unshare = Command::new("unshare");
        if !nix::unistd::geteuid().is_root() {
            unshare.args(["--user", "--map-root-user"]);
        }
        unshare.args([
            "--net",
            "--mount",
            "--pid",
            "--uts",
            "--fork",
            "--kill-child",
            "--mount-proc",
        ]);
        unshare.args(["/bin/sh", "-c", SETUP]).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut keeper = unshare.spawn().expect("util-linux is installed");
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "ready\n", "the namespaces could not be made");
        let pid = keeper.id();
        let init = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        Self { keeper, init: init.trim().to_owned(), home }
    }

    /// A path in the directory that test and sandbox share.
    pub fn path(&self, name: &str) -> String {
        self.home.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    pub fn program(&self, name: &str, script: &str) -> String {
        let path = self.write(name, &format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        path
    }

    /// A file's text, empty if there is none.
    pub fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap_or_default()
    }

    /// A file as the sandbox sees it.
    pub fn seen(&self, path: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{path}", self.init))
    }

    /// A command inside, in the shared directory.
    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.init, "--net", "--mount", "--pid", "--uts"]);
        if !nix::unistd::geteuid().is_root() {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg(format!("--wd={}", self.home.path().display()));
        command.args([
            "/usr/bin/env",
            "-u",
            "NOTIFY_SOCKET",
            "TZ=UTC",
            "timeout",
            "--foreground",
            "60",
            program,
        ]);
        command.stdin(Stdio::null());
        command
    }

    /// Runs the program under test.
    pub fn ldirectord(&self, arguments: &str) -> Ran {
        Ran::new(self.command(PROGRAM).args(arguments.split_whitespace()))
    }

    pub fn shell(&self, script: &str) -> Ran {
        Ran::new(self.command("/bin/sh").arg("-c").arg(script))
    }

    /// The daemon's process, as numbered inside.
    pub fn pid(&self, instance: &str) -> u32 {
        let path = self.seen(&format!("/run/ldirectord.{instance}.pid"));
        fs::read_to_string(path).unwrap().trim().parse().unwrap()
    }

    pub fn has_pid_file(&self, instance: &str) -> bool {
        self.seen(&format!("/run/ldirectord.{instance}.pid")).exists()
    }

    pub fn signal(&self, instance: &str, signal: &str) {
        let pid = self.pid(instance);
        assert_eq!(self.shell(&format!("kill -{signal} {pid}")).status, 0);
    }

    /// Numbers of the program's processes inside.
    pub fn daemons(&self) -> usize {
        let ran = self.shell("pgrep -c -x ldirectord || true");
        ran.stdout.trim().parse().unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        // Everything inside ends with its first process.
        let _ = Command::new("kill").args(["-9", &self.init]).status();
        let _ = self.keeper.kill();
        let _ = self.keeper.wait();
    }
}

/// How a command has ended.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub status: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn new(command: &mut Command) -> Self {
        let Output { status, stdout, stderr } = command.output().unwrap();
        Self {
            status: status.code().unwrap_or(-1),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// Exit status, standard output and standard error.
    #[track_caller]
    pub fn expect(self, status: i32, stdout: &str, stderr: &str) {
        let expected = Self { status, stdout: stdout.into(), stderr: stderr.into() };
        assert_eq!(self, expected);
    }

    #[track_caller]
    pub fn succeeds(self) -> Self {
        assert_eq!(self.status, 0, "{self:?}");
        self
    }
}

/// Waits until something is so.
#[track_caller]
pub fn wait_for(what: &str, mut so: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !so() {
        assert!(Instant::now() < deadline, "not within {PATIENCE:?}: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}
