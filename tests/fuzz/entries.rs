//! What a fuzz target calls: one function for each protocol, with what a server says.
//!
//! The corpus test calls the same functions.

use ldirectord::check::transcript::EVENTS;
use ldirectord::check::{
    converse, dns, ftp, ntp, radius, sip, snmp as check_snmp, tftp as check_tftp,
};
use ldirectord::config;
use ldirectord::director::CheckId;
use ldirectord::model::{self, CertificateCheck, Exchange, Pattern, Service, Step};
use ldirectord::prober::Run;
use ldirectord::prober::belief::{Heard, Ledger};
use std::cell::Cell;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// A target's name and its function.
pub type Entry = (&'static str, fn(&[u8]));

/// All of them.
pub const ENTRIES: &[Entry] = &[
    ("amqp", amqp),
    ("config", config),
    ("dns", dns),
    ("ftp", ftp),
    ("http", http),
    ("imap", imap),
    ("ldap", ldap),
    ("memcached", memcached),
    ("mqtt", mqtt),
    ("mysql", mysql),
    ("nntp", nntp),
    ("ntp", ntp),
    ("pgsql", pgsql),
    ("pop", pop),
    ("prober", prober),
    ("radius", radius),
    ("redis", redis),
    ("simpletcp", simpletcp),
    ("sip", sip),
    ("smtp", smtp),
    ("snmp", snmp),
    ("ssh", ssh),
    ("tftp", tftp),
    ("websocket", websocket),
];

pub fn amqp(said: &[u8]) {
    talk(Service::Amqp, said);
}

pub fn memcached(said: &[u8]) {
    talk(Service::Memcached, said);
}

pub fn mqtt(said: &[u8]) {
    talk(Service::Mqtt, said);
}

pub fn redis(said: &[u8]) {
    talk(Service::Redis, said);
}

pub fn ssh(said: &[u8]) {
    talk(Service::Ssh, said);
}

pub fn websocket(said: &[u8]) {
    talk(Service::Websocket, said);
}

/// A response to question 0x41424344.
pub fn snmp(said: &[u8]) {
    let _ = check_snmp::judge(said, 0x4142_4344, None);
}

pub fn tftp(said: &[u8]) {
    let _ = check_tftp::judge(said, None);
}

pub fn http(said: &[u8]) {
    talk(Service::Http, said);
}

pub fn imap(said: &[u8]) {
    talk(Service::Imap, said);
}

pub fn ldap(said: &[u8]) {
    talk(Service::Ldap, said);
}

pub fn mysql(said: &[u8]) {
    talk(Service::Mysql, said);
}

pub fn nntp(said: &[u8]) {
    talk(Service::Nntp, said);
}

pub fn pgsql(said: &[u8]) {
    talk(Service::Pgsql, said);
}

pub fn pop(said: &[u8]) {
    talk(Service::Pop, said);
}

pub fn simpletcp(said: &[u8]) {
    talk(Service::Simpletcp, said);
}

pub fn smtp(said: &[u8]) {
    talk(Service::Smtp, said);
}

pub fn sip(said: &[u8]) {
    let _ = sip::judge(said);
    talk(Service::Sip, said);
}

pub fn dns(said: &[u8]) {
    model::read_answer(said);
    for kind in [dns::Kind::A, dns::Kind::Mx, dns::Kind::Txt] {
        if let Ok(query) = dns::Query::numbered(7, "www.example", kind) {
            let _ = query.records(said);
        }
    }
    let _ = dns::search_domains(&String::from_utf8_lossy(said));
}

pub fn ntp(said: &[u8]) {
    let _ = ntp::judge(said, [0; 8]);
}

pub fn radius(said: &[u8]) {
    let request = radius::Request { identifier: 0, authenticator: [0; 16], secret: b"secret" };
    let _ = request.judge(said);
}

pub fn ftp(said: &[u8]) {
    let text = String::from_utf8_lossy(said);
    let _ = ftp::pasv_port(&text);
    let _ = ftp::epsv_port(&text);
}

/// A configuration is read from a file, not from a server; it is as little to be trusted.
pub fn config(text: &[u8]) {
    let source = config::Source::from_bytes(text.to_vec());
    let assembled =
        config::assemble(Path::new("/a.cf"), source, &Mirrors { text, left: Cell::new(16) });
    let _ = config::parse_assembled(&assembled);
}

/// Every file that is included is the configuration itself, until there have been enough of them.
struct Mirrors<'t> {
    text: &'t [u8],
    left: Cell<u32>,
}

impl config::Library for Mirrors<'_> {
    fn read(&self, _: &Path) -> Result<config::Source, config::SourceError> {
        let left = self.left.get().checked_sub(1).ok_or(config::SourceError::NotAFile)?;
        self.left.set(left);
        Ok(config::Source::from_bytes(self.text.to_vec()))
    }

    fn matching(&self, pattern: &str) -> Result<Vec<PathBuf>, String> {
        Ok(vec![pattern.into(), "/b.cf".into()])
    }
}

/// What the director hears from a prober that was overrun.
pub fn prober(said: &[u8]) {
    let now = Instant::now();
    let mut ledger = Ledger::new(now);
    for check in 0..4 {
        let run = Run { check: CheckId(check), step: Step::Full, run: check };
        ledger.ask(run, Duration::from_secs(1), now);
    }
    let run = Run { check: CheckId(4), step: Step::Full, run: 4 };
    ledger.ask_transcript(run, Duration::from_secs(1), now);
    let _ = ledger.ask_alive(now);
    let (mut heard, mut nonsense) = (Vec::new(), false);
    // In pieces, as a socket has them.
    for piece in said.chunks(7) {
        nonsense |= ledger.hear(piece, now, &mut heard).is_err();
        if nonsense {
            break;
        }
    }
    let outcomes = heard.iter().map(|heard| match heard {
        Heard::Outcomes(checked) => checked.len(),
        Heard::Ready(_) => 0,
        Heard::Transcript(run, transcript) => {
            assert!(run.check == CheckId(4) && transcript.events.len() <= EVENTS);
            0
        }
        Heard::Line(_, text) => {
            assert!(!text.contains(char::is_control));
            0
        }
    });
    assert!(outcomes.sum::<usize>() <= 5);
}

fn talk(service: Service, said: &[u8]) {
    // A `!` before what is said means that the check logs in, so that both ways are searched.
    let (login, said) = match said.split_first() {
        Some((b'!', rest)) => ("me", rest),
        _ => ("", said),
    };
    let exchange = Exchange {
        request: "/x".to_owned(),
        receive: Pattern::new("o.e").ok(),
        login: login.to_owned(),
        passwd: "secret".to_owned(),
        secret: "secret".to_owned(),
        certificate: CertificateCheck::No,
        ..Exchange::new(service)
    };
    let _ = converse(&exchange, Says(io::Cursor::new(said.to_vec())));
}

/// A server that says this, whatever it hears.
#[derive(Debug)]
struct Says(io::Cursor<Vec<u8>>);

impl Read for Says {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Says {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
