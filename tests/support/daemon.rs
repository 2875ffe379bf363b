//! Real servers, as a child process with its own directory on a port of its own.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A started server; ended with everything it started when dropped.
pub struct Daemon {
    child: Child,
    log: PathBuf,
}

impl Daemon {
    /// Starts a server in the foreground and waits until it accepts connections at `address`.
    ///
    /// Its output goes to `DIRECTORY/output`, which is shown if it does not come up.
    pub fn start(command: &mut Command, directory: &Path, address: SocketAddr) -> Self {
        let mut daemon = Self::spawn(command, directory);
        daemon.wait_for(|| TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok());
        daemon
    }

    /// Starts a server; [`Daemon::wait_for`] tells when it is ready.
    pub fn spawn(command: &mut Command, directory: &Path) -> Self {
        let log = directory.join("output");
        let output = std::fs::File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("start {command:?}: {error}"));
        Self { child, log }
    }

    /// Waits until the server is ready.
    pub fn wait_for(&mut self, mut ready: impl FnMut() -> bool) {
        let patience = Instant::now() + Duration::from_secs(60);
        while !ready() {
            let ended = self.child.try_wait().unwrap();
            let late = Instant::now() > patience;
            assert!(ended.is_none() && !late, "did not come up ({ended:?}): {}", self.output());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// What it has printed.
    pub fn output(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_default()
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        if let Ok(group) = i32::try_from(self.child.id()) {
            let group = nix::unistd::Pid::from_raw(group);
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGTERM);
            let patience = Instant::now() + Duration::from_secs(5);
            while self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
                if Instant::now() > patience {
                    let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
                    let _ = self.child.wait();
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        }
    }
}

/// Installs Debian packages if they are missing, when root; fails if they cannot be had.
pub fn packages(names: &[&str]) {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deps");
    let status = Command::new(script).args(names).status().unwrap();
    assert!(status.success(), "packages {names:?} are needed");
}

/// A port of this address that was free a moment ago.
pub fn free_port(address: &str) -> SocketAddr {
    let address: std::net::IpAddr = address.parse().unwrap();
    TcpListener::bind((address, 0)).unwrap().local_addr().unwrap()
}
