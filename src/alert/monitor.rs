//! `monitorfile`: every check result, appended to a file.

use super::worker::Worker;
use crate::check::{CheckOutcome, Failure};
use crate::logging::{ctime, cut};
use crate::model::{CheckMethod, RealServer, ServiceAddress};
use std::collections::HashSet;
use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Lines that wait for a slow disk; further ones are lost.
const QUEUE: usize = 20_000;

/// Bytes of a message; more is cut.
// The original writes whole HTTP bodies (spec, K30).
const MESSAGE: usize = 1024;

/// The state that a line of a monitorfile tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// `[up]`
    Up,
    /// `[down]`
    Down,
}

/// Appends to monitorfiles from a thread of its own, so that a slow disk delays no check.
#[derive(Debug)]
pub struct MonitorFiles {
    worker: Worker<(PathBuf, String)>,
}

impl MonitorFiles {
    /// Starts the thread.
    pub fn start() -> Self {
        let mut files = Files::default();
        Self { worker: Worker::start("monitorfile", QUEUE, move |batch| files.append_all(batch)) }
    }

    /// Queues a line, with its newline, for a file; drops it if the disk does not follow. A file that
    /// cannot be written is logged once, until it can be again.
    pub fn append(&self, path: &Path, line: String) {
        if self.worker.push((path.to_owned(), line)).is_err() {
            log::debug!("monitorfile {}: the disk does not follow, a line is lost", path.display());
        }
    }

    /// The message that a monitorfile has for an outcome.
    pub fn message(outcome: &CheckOutcome) -> String {
        match outcome {
            CheckOutcome::Up(note) => note.to_string(),
            // compat: of an HTTP status, the status line (spec 5.10)
            CheckOutcome::Down(Failure::Status { code, phrase }) => format!("{code} {phrase}"),
            // compat: of an answer that does not match, the answer, here cut (spec 5.10, K30)
            CheckOutcome::Down(Failure::Mismatch(answer)) if !answer.is_empty() => answer.clone(),
            CheckOutcome::Down(failure) => failure.to_string(),
        }
    }

    /// Waits until every line is written, at most this long.
    pub fn drain(&self, timeout: Duration) -> bool {
        self.worker.drain(timeout)
    }
}

/// The files that cannot be written at the moment.
#[derive(Debug, Default)]
struct Files {
    failed: HashSet<PathBuf>,
}

impl Files {
    /// One write for successive lines of one file.
    fn append_all(&mut self, batch: Vec<(PathBuf, String)>) {
        for lines in batch.chunk_by(|(a, _), (b, _)| a == b) {
            let path = &lines[0].0;
            let text: String = lines.iter().map(|(_, line)| line.as_str()).collect();
            match append(path, &text) {
                Ok(()) => {
                    self.failed.remove(path);
                }
                Err(error) => {
                    if self.failed.insert(path.clone()) {
                        log::error!("unable to write monitorfile {}: {error}", path.display());
                    }
                }
            }
        }
    }
}

fn append(path: &Path, text: &str) -> io::Result<()> {
    OpenOptions::new()
        .append(true)
        .create(true)
        .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
        .open(path)?
        .write_all(text.as_bytes())
}

/// A line of a monitorfile with its newline:
/// `[<ctime>] [<pid>] <real id> [up|down] <message>`, the message on one line and cut to 1 KiB.
pub fn monitor_line(
    time: SystemTime,
    pid: u32,
    real_id: &str,
    verdict: Verdict,
    message: &str,
) -> String {
    let state = match verdict {
        Verdict::Up => "up",
        Verdict::Down => "down",
    };
    let mut line = format!("[{}] [{pid}] {real_id} [{state}] ", ctime(time));
    for c in cut(message, MESSAGE).chars() {
        match c {
            '%' | '|' | '\r' | '\n' => {
                let _ = write!(line, "%{:02x}", u32::from(c));
            }
            _ => line.push(c),
        }
    }
    line.push('\n');
    line
}

/// The identity of a real server in a monitorfile: the kind of check, protocol, address, port,
/// virtual host, check port, weight, forwarding method, request and pattern, joined by blanks; absent
/// ones vanish.
// compat: the original joins the fields with colons and makes one blank of each run of them, wherever
// they come from; backslashes vanish (spec 5.10)
pub fn real_id(service: ServiceAddress, server: &RealServer) -> String {
    let plan = &server.check;
    let exchange = match &plan.method {
        CheckMethod::Negotiate(exchange) | CheckMethod::Combined { exchange, .. } => Some(exchange),
        _ => None,
    };
    let kind = match &plan.method {
        CheckMethod::On => "on".to_owned(),
        CheckMethod::Off => "off".to_owned(),
        CheckMethod::Connect => "connect".to_owned(),
        CheckMethod::Ping { .. } => "ping".to_owned(),
        CheckMethod::External(script) => format!("external:{}", script.command),
        CheckMethod::ExternalPerl(script) => format!("external-perl:{}", script.command),
        CheckMethod::Negotiate(exchange) => format!("negotiate:{}", exchange.service),
        CheckMethod::Combined { exchange, .. } => format!("combined:{}", exchange.service),
    };
    let port = server.address.port();
    let check_port =
        if port == 0 || plan.port == port { String::new() } else { plan.port.to_string() };
    let virtual_host = exchange.and_then(|exchange| exchange.virtual_host.as_deref());
    let request = exchange.map_or("/", |exchange| exchange.request.as_str());
    let receive = exchange.and_then(|exchange| exchange.receive.as_ref());
    let fields = format!(
        "{kind}:{}:{}:{}:{check_port}:{}:{}:{request}:{}",
        service.protocol_word(),
        server.address,
        virtual_host.unwrap_or_default(),
        server.weight,
        server.forwarding,
        receive.map_or("", |pattern| pattern.as_str()),
    );
    let mut id = String::with_capacity(fields.len());
    let mut previous = ' ';
    for c in fields.chars() {
        match c {
            ':' if previous == ':' => {}
            ':' => id.push(' '),
            '\\' => {}
            c if c.is_control() => id.push(' '),
            c => id.push(c),
        }
        previous = c;
    }
    id
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{
        CheckPlan, Exchange, ForwardingMethod, Pattern, Protocol, Script, Service, Thresholds,
        Transport,
    };
    use std::fs;
    use std::sync::Arc;

    fn service() -> ServiceAddress {
        let address = "10.0.0.1:80".parse().unwrap();
        ServiceAddress::Address { protocol: Protocol::Tcp, address }
    }

    fn server(address: &str, port: u16, weight: u32, method: CheckMethod) -> RealServer {
        let address: std::net::SocketAddr = address.parse().unwrap();
        RealServer {
            address,
            forwarding: ForwardingMethod::Masq,
            weight,
            thresholds: Thresholds::default(),
            check: Arc::new(CheckPlan::new((address.ip(), port).into(), method)),
        }
    }

    fn http(request: &str, receive: Option<&str>, virtual_host: Option<&str>) -> Arc<Exchange> {
        Arc::new(Exchange {
            request: request.into(),
            receive: receive.map(|pattern| Pattern::new(pattern).unwrap()),
            virtual_host: virtual_host.map(Into::into),
            ..Exchange::new(Service::Http)
        })
    }

    #[test]
    fn identities_are_spelt_as_the_original_spells_them() {
        let external =
            Script { command: "/bin/true".into(), arguments: Default::default(), user: None };
        for (server, id) in [
            (
                server("127.0.0.2:8001", 8001, 1, CheckMethod::Negotiate(http("/", None, None))),
                "negotiate http tcp 127.0.0.2 8001 1 masq / ",
            ),
            (
                server(
                    "127.0.0.2:80",
                    8001,
                    3,
                    CheckMethod::Combined {
                        connects: 3,
                        transport: Transport::Tcp,
                        exchange: http("/foo", Some("x:y\\d"), Some("www.x.org")),
                    },
                ),
                "combined http tcp 127.0.0.2 80 www.x.org 8001 3 masq /foo x yd",
            ),
            (
                server("127.0.0.2:0", 80, 1, CheckMethod::External(external)),
                "external /bin/true tcp 127.0.0.2 0 1 masq / ",
            ),
            (
                server("[fd00::2]:80", 80, 1, CheckMethod::Connect),
                "connect tcp [fd00 2] 80 1 masq / ",
            ),
        ] {
            assert_eq!(real_id(service(), &server), id);
        }
    }

    #[test]
    fn a_line_tells_state_and_message_on_one_line() {
        let mismatch = Failure::Mismatch("bad\r\nanswer".into());
        let status = Failure::Status { code: 404, phrase: "File|not\nfound %".into() };
        for (outcome, verdict, end) in [
            (CheckOutcome::up(), Verdict::Up, "[up] -"),
            (CheckOutcome::up_with("200 OK"), Verdict::Up, "[up] 200 OK"),
            (CheckOutcome::Down(Failure::Refused), Verdict::Down, "[down] connection refused"),
            (CheckOutcome::Down(status), Verdict::Down, "[down] 404 File%7cnot%0afound %25"),
            (CheckOutcome::Down(mismatch), Verdict::Down, "[down] bad%0d%0aanswer"),
        ] {
            let message = MonitorFiles::message(&outcome);
            let line = monitor_line(SystemTime::now(), 55, "id", verdict, &message);
            assert!(line.starts_with('['), "{line}");
            assert!(line.ends_with(&format!("] [55] id {end}\n")), "{line}");
        }
        let long = "é".repeat(3000);
        let line = monitor_line(SystemTime::now(), 55, "id", Verdict::Down, &long);
        assert!(line.len() < MESSAGE + 60);
    }

    #[test]
    fn lines_reach_their_files_and_a_bad_file_harms_nobody() {
        let directory = tempfile::tempdir().unwrap();
        let (one, two) = (directory.path().join("one"), directory.path().join("two"));
        let files = MonitorFiles::start();
        files.append(&one, "a\n".into());
        files.append(&directory.path().join("no/such"), "lost\n".into());
        files.append(&two, "b\n".into());
        files.append(&one, "c\n".into());
        assert!(files.drain(Duration::from_secs(60)));
        assert_eq!(fs::read_to_string(one).unwrap(), "a\nc\n");
        assert_eq!(fs::read_to_string(two).unwrap(), "b\n");
    }
}
