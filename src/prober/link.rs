//! One prober process: its start, what is sent to it, what it says, its end.

use super::belief::{Heard, Ledger};
use super::seam::{Order, Rights, Run, TO_PROBER, Walls, put};
use super::serve::ARGUMENT;
use crate::process::{self, Ending, Limits, Running};
use nix::errno::Errno;
use nix::sys::socket::{MsgFlags, recv, send};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// What of the environment a prober needs: where OpenSSL, the resolver and the loader look.
const ENVIRONMENT: [&str; 8] = [
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "OPENSSL_CONF",
    "OPENSSL_MODULES",
    "RES_OPTIONS",
    "LOCALDOMAIN",
    "LD_LIBRARY_PATH",
    "GLIBC_TUNABLES",
];

/// Bytes that a prober may leave unread before it is taken for hanging: far more than all plans and
/// certificates there are.
const UNREAD: usize = 256 << 20;

/// Bytes that are read at a time, and how often before others have their turn.
const CHUNK: usize = 64 * 1024;
const CHUNKS: usize = 16;

/// How long a prober that closed its socket has to end by itself, so that its status says why.
const LAST_WORDS: Duration = Duration::from_millis(500);

/// A prober that was started.
#[derive(Debug)]
pub(super) struct Link {
    child: Running,
    socket: Arc<UnixStream>,
    /// What the socket has not taken yet, and how much of it has been.
    unsent: Vec<u8>,
    sent: usize,
    chunk: Vec<u8>,
    pub(super) ledger: Ledger,
    pub(super) walls: Option<Walls>,
    /// What it was begun with.
    pub(super) rights: Rights,
    pub(super) since: Instant,
}

impl Link {
    /// Starts a prober, which gets its first order.
    ///
    /// # Errors
    /// When it cannot be started.
    pub(super) fn start(
        program: &Path,
        instance: &str,
        rights: Rights,
        now: Instant,
    ) -> io::Result<Self> {
        let (ours, its) = UnixStream::pair()?;
        let mut command = Command::new(program);
        command.arg0(format!("ldirectord: prober for {instance}")).arg(ARGUMENT).env_clear();
        command.envs(ENVIRONMENT.iter().filter_map(|&name| Some((name, std::env::var_os(name)?))));
        command.current_dir("/").stdin(OwnedFd::from(its));
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let child = process::spawn(&mut command)?;
        let mut link = Self {
            child,
            socket: Arc::new(ours),
            unsent: Vec::new(),
            sent: 0,
            chunk: vec![0; CHUNK],
            ledger: Ledger::new(now),
            walls: None,
            rights,
            since: now,
        };
        link.send(&Order::Begin { rights, verbosity: log::max_level() as usize });
        Ok(link)
    }

    pub(super) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// To wait for it.
    pub(super) fn socket(&self) -> Arc<UnixStream> {
        Arc::clone(&self.socket)
    }

    /// Whether it would be of use to wait until the socket takes more.
    pub(super) fn has_unsent(&self) -> bool {
        self.sent < self.unsent.len()
    }

    /// Sends an order, as far as the socket takes it now; [`Link::flush`] sends the rest.
    pub(super) fn send(&mut self, order: &Order) {
        let queued = self.has_unsent();
        if put(order, TO_PROBER, &mut self.unsent).is_err() {
            log::error!("internal fault, please report: an order to the prober is too long");
        }
        if !queued {
            self.flush();
        }
    }

    /// Notes runs and sends them.
    pub(super) fn run(&mut self, runs: &[(Run, Duration)], now: Instant) {
        for runs in runs.chunks(super::seam::RUNS) {
            runs.iter().for_each(|&(run, timeout)| self.ledger.ask(run, timeout, now));
            self.send(&Order::Run(runs.iter().map(|&(run, _)| run).collect()));
        }
    }

    /// Notes runs that are to be transcribed, and sends them.
    pub(super) fn transcribe(&mut self, runs: &[(Run, Duration)], now: Instant) {
        for runs in runs.chunks(super::seam::RUNS) {
            for &(run, timeout) in runs {
                self.ledger.ask_transcript(run, timeout, now);
            }
            self.send(&Order::Transcribe(runs.iter().map(|&(run, _)| run).collect()));
        }
    }

    /// Sends what is left, as far as the socket takes it. An error of the socket is its reader's to
    /// find.
    pub(super) fn flush(&mut self) {
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        while self.has_unsent() {
            match send(self.socket.as_raw_fd(), &self.unsent[self.sent..], flags) {
                Ok(count) => self.sent += count,
                Err(Errno::EINTR) => {}
                Err(_) => return,
            }
        }
        self.unsent.clear();
        self.unsent.shrink_to(CHUNK);
        self.sent = 0;
    }

    /// Why it has to be taken for hanging, if it has.
    pub(super) fn hangs(&self, patience: Duration, now: Instant) -> Option<String> {
        if self.unsent.len() - self.sent > UNREAD {
            return Some("it does not read what it is sent".to_owned());
        }
        self.ledger.hangs(patience, now)
    }

    /// Reads what has come.
    ///
    /// # Errors
    /// Why it has to be ended: `None` if it has ended itself.
    pub(super) fn hear(&mut self, heard: &mut Vec<Heard>) -> Result<(), Option<String>> {
        for _ in 0..CHUNKS {
            match recv(self.socket.as_raw_fd(), &mut self.chunk, MsgFlags::MSG_DONTWAIT) {
                Ok(0) => return Err(None),
                Ok(count) => {
                    self.ledger
                        .hear(&self.chunk[..count], Instant::now(), heard)
                        .map_err(|nonsense| Some(nonsense.to_string()))?;
                    if count < CHUNK {
                        break;
                    }
                }
                Err(Errno::EAGAIN) => break,
                Err(Errno::EINTR) => {}
                Err(_) => return Err(None),
            }
        }
        Ok(())
    }

    /// Ends it. Returns what its end says about why, if it has ended by itself.
    pub(super) fn end(self) -> Option<String> {
        drop(self.socket);
        if !self.child.ends_within(LAST_WORDS) {
            // Dropped, it is killed and reaped.
            return None;
        }
        let over = Limits { timeout: Duration::ZERO, grace: Duration::ZERO };
        self.child.finish(over).ok().map(words)
    }

    /// Ends it at once, without asking.
    pub(super) fn kill(self) {
        drop(self.child);
    }
}

fn words(ending: Ending) -> String {
    match ending {
        Ending::Signalled(signal) => {
            let name = nix::sys::signal::Signal::try_from(signal).map_or("?", |name| name.as_str());
            format!("signal {signal} ({name})")
        }
        Ending::Exited(status) => format!("exit status {status}"),
        Ending::TimedOut => "an unknown end".to_owned(),
    }
}
