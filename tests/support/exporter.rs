//! The exporter, on a port of its own.

#![allow(dead_code, unreachable_pub, missing_docs, reason = "no test uses all of it")]

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

pub struct Exporter {
    child: Child,
    pub address: String,
}

/// The program. It is another package's, so cargo has not built it for the test.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let built = Command::new(env!("CARGO"))
            .args(["build", "--quiet", "--package", "ldirectord-exporter"])
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .status();
        assert!(built.is_ok_and(|status| status.success()), "build the exporter");
        Path::new(env!("CARGO_BIN_EXE_ldirectord")).with_file_name("ldirectord-exporter")
    })
}

impl Exporter {
    /// Started, and serving the daemons with sockets in this directory.
    pub fn start(sockets: &Path) -> Self {
        Self::start_with(sockets, "1")
    }

    /// [`Exporter::start`] with another interval, in seconds.
    pub fn start_with(sockets: &Path, interval: &str) -> Self {
        let mut child = Command::new(program())
            .args(["--listen", "127.0.0.1:0", "--interval", interval, "--sockets"])
            .arg(sockets)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stderr.take().unwrap()).read_line(&mut line).unwrap();
        let address =
            line.trim().strip_prefix("serving http://").and_then(|it| it.strip_suffix('/'));
        let address = address.unwrap_or_else(|| panic!("{line}")).to_owned();
        Self { child, address }
    }

    pub fn connect(&self) -> TcpStream {
        let client = TcpStream::connect(&self.address).unwrap();
        client.set_read_timeout(Some(super::sandbox::PATIENCE)).unwrap();
        client
    }

    /// The body of what is at this path.
    #[track_caller]
    pub fn get(&self, path: &str) -> String {
        self.ask(path, "*/*")
    }

    /// [`Exporter::get`] for a client that accepts this kind.
    #[track_caller]
    pub fn ask(&self, path: &str, accept: &str) -> String {
        let mut client = self.connect();
        let head = "Host: localhost\r\nConnection: close\r\n";
        write!(client, "GET {path} HTTP/1.0\r\n{head}Accept: {accept}\r\n\r\n").unwrap();
        let mut answer = String::new();
        client.read_to_string(&mut answer).unwrap();
        let (_, body) = answer.split_once("\r\n\r\n").unwrap_or_else(|| panic!("{path}: {answer}"));
        body.to_owned()
    }

    /// Bytes of memory.
    pub fn resident(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
    }

    /// Has it end, and says how.
    pub fn end(mut self) -> ExitStatus {
        let pid = nix::unistd::Pid::from_raw(self.child.id().try_into().unwrap());
        nix::sys::signal::kill(pid, nix::sys::signal::Signal::SIGTERM).unwrap();
        self.child.wait().unwrap()
    }
}

impl Drop for Exporter {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
