//! Scripted servers: what a case lets the checks talk to, and what they were asked.

mod datagram;
mod dialog;
mod dns;
mod http;
mod ldap;
mod sink;
mod stream;
mod tls;

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

pub(crate) use sink::{mail, syslog};
pub(crate) use stream::Running;
pub(crate) use tls::prepare as prepare_certificates;

/// Everything that servers noted, shared by their threads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Journal(Arc<Mutex<Entries>>);

#[derive(Debug, Default)]
struct Entries {
    mails: Vec<String>,
    /// (server, what it was asked, whether `settle` shows it)
    requests: Vec<(String, String, bool)>,
    syslog: Vec<String>,
}

impl Journal {
    fn lock(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn mails(&self, mark: &mut usize) -> Vec<String> {
        let entries = self.lock();
        let mut mails = entries.mails[*mark..].to_vec();
        *mark = entries.mails.len();
        mails.dedup();
        mails
    }

    pub(crate) fn mail_count(&self) -> usize {
        self.lock().mails.len()
    }

    pub(crate) fn syslog(&self, mark: &mut usize) -> Vec<String> {
        let entries = self.lock();
        let lines = entries.syslog[*mark..].to_vec();
        *mark = entries.syslog.len();
        lines
    }

    /// Each distinct request to a server with the option `record`, sorted: checks repeat.
    pub(crate) fn requests(&self, mark: &mut usize) -> Vec<String> {
        let entries = self.lock();
        let shown = entries.requests[*mark..].iter().filter(|(.., shown)| *shown);
        let mut requests: Vec<String> =
            shown.map(|(name, request, _)| format!("{name}: {request}")).collect();
        *mark = entries.requests.len();
        requests.sort();
        requests.dedup();
        requests
    }

    /// All requests to one server in their order.
    pub(crate) fn sequence(&self, server: &str) -> Vec<String> {
        let entries = self.lock();
        entries
            .requests
            .iter()
            .filter(|(name, ..)| name == server)
            .map(|(_, r, _)| r.clone())
            .collect()
    }

    /// Forgets the requests to one server.
    pub(crate) fn forget(&self, server: &str) {
        self.lock().requests.iter_mut().filter(|(name, ..)| name == server).for_each(|entry| {
            entry.0 = String::new();
            entry.2 = false;
        });
    }

    /// Notes a mail that a hook-like program (sendmail) or the SMTP sink took.
    pub(crate) fn mail(&self, mail: String) {
        self.lock().mails.push(mail);
    }
}

/// What a server is told to do; may change while it runs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Behaviour {
    pub(crate) options: BTreeMap<String, Vec<String>>,
    pub(crate) script: Vec<String>,
}

impl Behaviour {
    /// `key=value` words; a word without `=` is a flag.
    pub(crate) fn change(&mut self, words: &[String], script: &[String]) {
        let mut seen = Vec::new();
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            let values = self.options.entry(key.to_owned()).or_default();
            if !seen.contains(&key) {
                values.clear();
                seen.push(key);
            }
            values.push(crate::words::unescape(value));
        }
        if !script.is_empty() {
            self.script = script.to_vec();
        }
    }

    fn option(&self, key: &str) -> Option<&str> {
        self.options.get(key).and_then(|values| values.last()).map(String::as_str)
    }

    fn all(&self, key: &str) -> &[String] {
        self.options.get(key).map_or(&[], Vec::as_slice)
    }

    fn text<'a>(&'a self, key: &str, default: &'a str) -> &'a str {
        self.option(key).unwrap_or(default)
    }
}

/// What a server's threads need.
#[derive(Clone, Debug)]
pub(crate) struct Context {
    name: String,
    behaviour: Arc<Mutex<Behaviour>>,
    journal: Journal,
}

impl Context {
    fn behaviour(&self) -> Behaviour {
        self.behaviour.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn note(&self, request: String) {
        let shown = self.behaviour().option("record").is_some();
        self.journal.lock().requests.push((self.name.clone(), request, shown));
    }
}

/// A server of a case, up or down.
#[derive(Debug)]
pub(crate) struct Server {
    kind: String,
    address: SocketAddr,
    context: Context,
    running: Vec<Running>,
}

impl Server {
    /// `name kind address option…` and the script below it; started at once.
    pub(crate) fn start(
        words: &[String],
        script: &[String],
        journal: &Journal,
    ) -> Result<(String, Self), String> {
        let [name, kind, address, options @ ..] = words else {
            return Err("server NAME KIND ADDRESS:PORT [OPTION…]".to_owned());
        };
        let address: SocketAddr = address.parse().map_err(|e| format!("{address}: {e}"))?;
        if let IpAddr::V6(ip) = address.ip() {
            add_address(&ip.to_string())?;
        }
        let mut behaviour = Behaviour::default();
        behaviour.change(options, script);
        let context = Context {
            name: name.clone(),
            behaviour: Arc::new(Mutex::new(behaviour)),
            journal: journal.clone(),
        };
        let mut server = Self { kind: kind.clone(), address, context, running: Vec::new() };
        server.up()?;
        Ok((name.clone(), server))
    }

    pub(crate) fn up(&mut self) -> Result<(), String> {
        if !self.running.is_empty() {
            return Ok(());
        }
        let handler: stream::Handler = match self.kind.as_str() {
            "http" => http::answer,
            "dialog" => dialog::answer,
            "ldap" => ldap::answer,
            "mailbox" => sink::smtp,
            "silent" => stream::hold,
            "accept" => stream::accept_only,
            "dns" => {
                self.running.push(datagram::serve(
                    self.address,
                    self.context.clone(),
                    dns::datagram,
                )?);
                dns::answer
            }
            "udp" | "radius" | "blackhole" => {
                let handler = match self.kind.as_str() {
                    "udp" => datagram::reply,
                    "radius" => datagram::radius,
                    _ => datagram::silent,
                };
                self.running.push(datagram::serve(self.address, self.context.clone(), handler)?);
                return Ok(());
            }
            other => return Err(format!("no kind of server {other}")),
        };
        self.running.push(stream::serve(self.address, self.context.clone(), handler)?);
        Ok(())
    }

    /// Closes the socket and all its connections: the next connect is refused.
    pub(crate) fn down(&mut self) {
        for running in self.running.drain(..) {
            running.stop();
        }
    }

    pub(crate) fn change(&self, options: &[String], script: &[String]) {
        let mut behaviour = self.context.behaviour.lock().unwrap_or_else(PoisonError::into_inner);
        behaviour.change(options, script);
    }
}

/// An address on lo, usable at once (no duplicate address detection). Having it already is fine.
pub(crate) fn add_address(address: &str) -> Result<(), String> {
    let mut command = Command::new("ip");
    command.args(["addr", "add", address, "dev", "lo"]);
    if address.contains(':') {
        command.arg("nodad");
    }
    let output =
        command.stdin(Stdio::null()).output().map_err(|e| format!("ip addr add {address}: {e}"))?;
    let text = String::from_utf8_lossy(&output.stderr);
    if output.status.success() || text.contains("File exists") || text.contains("already assigned")
    {
        return Ok(());
    }
    Err(format!("ip addr add {address}: {text}"))
}
