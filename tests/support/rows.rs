//! The protocols of the matrix of hostile servers, one row each.

use super::hostile::Behaviour::{self, *};
use super::plan::{With, exchange};
use ldirectord::model::{CertificateCheck, Exchange, ProxyProtocol, Service, Tls};

/// A protocol.
pub struct Row {
    pub name: &'static str,
    pub exchange: Exchange,
    /// Whether hostility begins inside TLS.
    pub tls: bool,
    /// All that a good server says, whatever it is asked: at least 12 bytes, or dripping it would be
    /// quick enough.
    pub good: Vec<u8>,
    /// Whether `good` is good whatever was asked; not where an answer repeats a number of the question.
    pub fixed: bool,
    /// The misbehaviour that this protocol does not see: the check may be up.
    pub unseen: &'static [Behaviour],
}

impl Row {
    pub fn is_http(&self) -> bool {
        matches!(self.exchange.service, Service::Http | Service::Https | Service::HttpProxy)
    }
}

fn row(name: &'static str, exchange: Exchange, good: &[u8], unseen: &'static [Behaviour]) -> Row {
    let tls = exchange.tls == Tls::Yes;
    let exchange = if tls { exchange.certificate(CertificateCheck::No) } else { exchange };
    Row { name, exchange, tls, good: good.to_vec(), fixed: true, unseen }
}

const HTTP_GOOD: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: good\r\nContent-Type: text/plain\r\n\r\nhello, all is well here\n";

const LDAP_GOOD: &[u8] = b"\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00\
    \x30\x0d\x02\x01\x02\x64\x08\x04\x04dc=x\x30\x00\
    \x30\x0c\x02\x01\x02\x65\x07\x0a\x01\x00\x04\x00\x04\x00";

const POP_GOOD: &[u8] =
    b"+OK ready\r\n-ERR no CAPA\r\n+OK and\r\n+OK welcome, everything is here\r\n";

const IMAP_GOOD: &[u8] = b"* OK ready\r\n0 OK welcome, everything is here\r\n1 OK bye\r\n";

const SMTP_GOOD: &[u8] = b"220 ready\r\n250 welcome, everything is here\r\n221 bye\r\n";

/// Start; Tune.
const AMQP_GOOD: &[u8] =
    b"\x01\0\0\0\0\0\x06\0\x0a\0\x0a\0\x09\xce\x01\0\0\0\0\0\x06\0\x0a\0\x1e\x07\xff\xce";

/// No TLS; logged in; ready; a row; done; ready.
const PGSQL_GOOD: &[u8] = b"NR\0\0\0\x08\0\0\0\0Z\0\0\0\x05I\
    D\0\0\0\x0b\0\x01\0\0\0\x011C\0\0\0\x0dSELECT 1\0Z\0\0\0\x05I";

/// Greeting; logged in; one column; its description; its end; a row; the end.
const MYSQL_GOOD: &[u8] = b"\x4c\0\0\0\x0a5.5.5-10\0\x01\0\0\0abcdefgh\0\xfe\xf7\x2d\x02\0\xff\x81\x15\
    \0\0\0\0\0\0\0\0\0\0ijklmnopqrst\0mysql_native_password\0\
    \x07\0\0\x02\0\0\0\x02\0\0\0\
    \x01\0\0\x01\x01\x03\0\0\x02def\x05\0\0\x03\xfe\0\0\x02\0\x02\0\0\x04\x011\x05\0\0\x05\xfe\0\0\x02\0";

/// A protocol whose good answer depends on the question, so that none here is good.
fn asking(name: &'static str, exchange: Exchange, answer: &[u8]) -> Row {
    Row { fixed: false, ..row(name, exchange, answer, &[]) }
}

/// All of them.
pub fn rows() -> Vec<Row> {
    let logged_in = |service| exchange(service).login("checker", "secret");
    let query = |service| logged_in(service).request("/SELECT 1");
    let over = |service, tls| Exchange { tls, ..exchange(service) };
    let dns = || exchange(Service::Dns).request("/www.example.com").receive("192");
    vec![
        // The greeting's first byte is all that is looked at.
        row(
            "nntp",
            exchange(Service::Nntp),
            b"200 ready to serve\r\n",
            &[Drips, EndlessLine, EndlessLines, EndlessBody, Half, HalfThenSilent],
        ),
        row(
            "own",
            exchange(Service::Own).request("send = \"x\"\nexpect = \"here\\r\\n221 bye\\r\\n$\"\n"),
            SMTP_GOOD,
            &[EndlessBody],
        ),
        row("smtp", exchange(Service::Smtp), SMTP_GOOD, &[EndlessBody]),
        asking(
            "smtp with starttls",
            over(Service::Smtp, Tls::Start),
            b"220 a\r\n250 b\r\n220 go\r\n",
        ),
        asking("nntp with starttls", over(Service::Nntp, Tls::Start), b"200 a\r\n382 go\r\n"),
        asking("imap with starttls", over(Service::Imap, Tls::Start), b"* OK a\r\n0 OK go\r\n"),
        asking("pop with starttls", over(Service::Pop, Tls::Start), b"+OK a\r\n+OK go\r\n"),
        asking("ftp with starttls", over(Service::Ftp, Tls::Start), b"220 a\r\n234 go\r\n"),
        asking(
            "ldap with starttls",
            over(Service::Ldap, Tls::Start),
            b"\x30\x0c\x02\x01\x04\x78\x07\x0a\x01\x00\x04\x00\x04\x00",
        ),
        asking("pgsql with starttls", Exchange { tls: Tls::Start, ..query(Service::Pgsql) }, b"S"),
        #[cfg(feature = "mysql")]
        asking(
            "mysql with starttls",
            Exchange { tls: Tls::Start, ..query(Service::Mysql) },
            MYSQL_GOOD,
        ),
        row("smtp over tls", over(Service::Smtp, Tls::Yes), SMTP_GOOD, &[EndlessBody]),
        row(
            "simpletcp over tls",
            over(Service::Simpletcp, Tls::Yes).receive("^PONG here I am$"),
            b"PONG here I am\n",
            &[EndlessBody],
        ),
        row(
            "smtp behind the PROXY protocol",
            Exchange { proxy: Some(ProxyProtocol::V1), ..exchange(Service::Smtp) },
            SMTP_GOOD,
            &[EndlessBody],
        ),
        row(
            "redis",
            logged_in(Service::Redis).request(""),
            b"+OK\r\n+PONG\r\n",
            &[Drips, EndlessBody],
        ),
        row(
            "memcached",
            exchange(Service::Memcached).request("stats"),
            b"STAT pid 1\r\nSTAT threads 4\r\nEND\r\n",
            &[EndlessBody],
        ),
        // Both are over before a drip is too slow.
        row("mqtt", exchange(Service::Mqtt), b"\x20\x02\0\0", &[Drips, EndlessBody]),
        row("amqp", logged_in(Service::Amqp), AMQP_GOOD, &[EndlessBody]),
        row(
            "ssh",
            exchange(Service::Ssh).receive("here$"),
            b"welcome\r\nSSH-2.0-Open all is well here\r\n",
            &[EndlessBody],
        ),
        asking(
            "websocket",
            exchange(Service::Websocket),
            b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n\r\n",
        ),
        row(
            "tftp",
            exchange(Service::Tftp).request("file").receive("well here$").udp(),
            b"\0\x03\0\x01all is well here",
            &[],
        ),
        row(
            "udp",
            exchange(Service::Udp).request("00ff").receive("^00ff0a$").udp(),
            b"\0\xff\n",
            &[],
        ),
        asking("snmp", exchange(Service::Snmp).request("").udp(), b"\x30\x03\x02\x01\x01"),
        row("submission", exchange(Service::Submission), SMTP_GOOD, &[EndlessBody]),
        row(
            "ftp",
            logged_in(Service::Ftp),
            b"220 ready\r\n331 and?\r\n230 welcome, everything is here\r\n221 bye\r\n",
            &[EndlessBody],
        ),
        row("pop", logged_in(Service::Pop), POP_GOOD, &[EndlessBody]),
        row("pops", logged_in(Service::Pops), POP_GOOD, &[EndlessBody]),
        row("imap", logged_in(Service::Imap), IMAP_GOOD, &[EndlessBody]),
        row("imaps", logged_in(Service::Imaps), IMAP_GOOD, &[EndlessBody]),
        row("ldap", exchange(Service::Ldap).request("/dc=x"), LDAP_GOOD, &[EndlessBody]),
        row("ldaps", exchange(Service::Ldaps).request("/dc=x"), LDAP_GOOD, &[EndlessBody]),
        row("pgsql", query(Service::Pgsql), PGSQL_GOOD, &[EndlessBody]),
        #[cfg(feature = "mysql")]
        row("mysql", query(Service::Mysql), MYSQL_GOOD, &[EndlessBody]),
        row(
            "sip",
            exchange(Service::Sip).login("checker@example.com", ""),
            b"SIP/2.0 200 OK\r\n\r\n",
            &[EndlessBody],
        ),
        row(
            "sip over udp",
            exchange(Service::Sip).login("checker@example.com", "").udp(),
            b"SIP/2.0 200 OK\r\n\r\n",
            &[],
        ),
        asking("dns", dns(), b"\0\x0c\0\0\x81\x80\0\0\0\0\0\0\0\0"),
        asking("dns over udp", dns().udp(), b"\0\0\x81\x80\0\0\0\0\0\0\0\0"),
        asking("ntp", exchange(Service::Ntp).udp(), &[0x24; 48]),
        asking("radius", logged_in(Service::Radius).udp(), b"\x02\0\0\x14ABCDEFGHIJKLMNOP"),
        row("http", exchange(Service::Http).receive("is well"), HTTP_GOOD, &[EndlessBody]),
        row("https", exchange(Service::Https).receive("is well"), HTTP_GOOD, &[EndlessBody]),
        row(
            "http_proxy",
            exchange(Service::HttpProxy).request("/http://www.example.com/").receive("is well"),
            HTTP_GOOD,
            &[EndlessBody],
        ),
        row(
            "simpletcp",
            exchange(Service::Simpletcp).request("/PING\\n").receive("^PONG here I am$"),
            b"PONG here I am\n",
            &[EndlessBody],
        ),
        row(
            "simpletcp over udp",
            exchange(Service::Simpletcp).request("/PING\\n").receive("^PONG here I am$").udp(),
            b"PONG here I am\n",
            &[],
        ),
    ]
}
