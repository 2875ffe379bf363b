//! The table of services that a negotiate check can speak: one row each.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::str::FromStr;

/// `service`: the protocol of a negotiate check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Service {
    /// RFC 1035
    Dns,
    /// RFC 959
    Ftp,
    /// RFC 9112
    Http,
    /// RFC 9112 over TLS
    Https,
    /// RFC 9112, absolute-form requests
    HttpProxy,
    /// RFC 3501
    Imap,
    /// RFC 3501 over TLS
    Imaps,
    /// RFC 4511
    Ldap,
    /// RFC 4511 over TLS
    Ldaps,
    /// MySQL and MariaDB
    Mysql,
    /// RFC 3977
    Nntp,
    /// No check: always up.
    None,
    /// RFC 5905; an addition to the original's services
    Ntp,
    /// Oracle Database
    Oracle,
    /// One that a file of its own defines, by what is sent and expected; an addition
    Own,
    /// PostgreSQL
    Pgsql,
    /// RFC 1939
    Pop,
    /// RFC 1939 over TLS
    Pops,
    /// RFC 2865
    Radius,
    /// A string sent, a pattern expected
    Simpletcp,
    /// RFC 3261
    Sip,
    /// RFC 5321
    Smtp,
    /// RFC 6409
    Submission,
    /// AMQP 0-9-1; this and the following are additions
    Amqp,
    /// memcached's text protocol
    Memcached,
    /// MQTT 3.1.1
    Mqtt,
    /// RESP2
    Redis,
    /// RFC 3416
    Snmp,
    /// RFC 4253
    Ssh,
    /// RFC 1350
    Tftp,
    /// A datagram sent, a pattern expected
    Udp,
    /// RFC 6455
    Websocket,
}

/// A row of the table.
#[derive(Debug)]
pub struct ServiceRow {
    /// The service.
    pub service: Service,
    /// Its word in the configuration.
    pub word: &'static str,
    /// Default port. `None`: no default.
    pub port: Option<u16>,
    /// Whether a virtual service on this port has this service by default.
    pub implied: bool,
    /// The directives it reads, beside checkport, the timeouts and those of TLS.
    pub directives: &'static [&'static str],
    /// How it comes to TLS.
    pub tls: ServiceTls,
    /// What counts as up, for manual and `--check`.
    pub up: &'static str,
}

/// How a service comes to TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServiceTls {
    /// Not at all; or, as http by a redirect, without a directive of its own.
    Never,
    /// By its name, or by its definition.
    Always,
    /// By these words of `checktls`.
    Words(&'static [&'static str]),
}

/// For the manual.
impl fmt::Display for ServiceTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str("no"),
            Self::Always => f.write_str("always"),
            Self::Words(words) => write!(f, "checktls = {}", words.join(" or ")),
        }
    }
}

/// TLS from the first byte, or by a command of the protocol.
const EITHER: ServiceTls = ServiceTls::Words(&["yes", "starttls"]);
/// The protocol has a command for it.
const COMMAND: ServiceTls = ServiceTls::Words(&["starttls"]);
/// From the first byte.
const AT_ONCE: ServiceTls = ServiceTls::Words(&["yes"]);

/// The services in the order of the configuration's error message, additions last.
pub const SERVICES: &[ServiceRow] = &[
    row(
        Service::Dns,
        "dns",
        Some(53),
        &["request", "receive", "protocol"],
        "a record of the answer matches receive",
    )
    .over(AT_ONCE),
    row(
        Service::Ftp,
        "ftp",
        Some(21),
        &["request", "receive", "login", "passwd"],
        "login accepted; the file request matches receive, if receive is given",
    )
    .over(EITHER),
    row(
        Service::Http,
        "http",
        Some(80),
        &[
            "request",
            "receive",
            "virtualhost",
            "httpmethod",
            "httpbody",
            "httpheader",
            "httpstatus",
            "httpredirect",
            "httpversion",
        ],
        "status 2xx and the body matches receive",
    ),
    row(
        Service::Https,
        "https",
        Some(443),
        &[
            "request",
            "receive",
            "virtualhost",
            "httpmethod",
            "httpbody",
            "httpheader",
            "httpstatus",
            "httpredirect",
            "httpversion",
        ],
        "certificate trusted, status 2xx and the body matches receive",
    )
    .over(ServiceTls::Always),
    row(
        Service::HttpProxy,
        "http_proxy",
        Some(3128),
        &[
            "request",
            "receive",
            "httpmethod",
            "httpbody",
            "httpheader",
            "httpstatus",
            "httpredirect",
            "httpversion",
        ],
        "the URL request, fetched through the proxy, answers status 2xx and a body that matches receive",
    ),
    row(
        Service::Imap,
        "imap",
        Some(143),
        &["login", "passwd"],
        "greeting OK or PREAUTH; login accepted, if login is given",
    )
    .over(EITHER),
    row(Service::Imaps, "imaps", Some(993), &["login", "passwd"], "as imap, over TLS")
        .over(ServiceTls::Always),
    row(
        Service::Ldap,
        "ldap",
        Some(389),
        &["request", "receive", "login", "passwd"],
        "exactly one entry at the base request, and its name matches receive",
    )
    .over(EITHER),
    row(
        Service::Ldaps,
        "ldaps",
        Some(636),
        &["request", "receive", "login", "passwd"],
        "as ldap, over TLS",
    )
    .over(ServiceTls::Always),
    row(
        Service::Mysql,
        "mysql",
        Some(3306),
        &["request", "login", "passwd", "database"],
        "the statement request returns a row",
    )
    .over(COMMAND),
    row(Service::Nntp, "nntp", Some(119), &[], "the greeting begins with 2").over(EITHER),
    row(Service::None, "none", None, &[], "always"),
    row(
        Service::Oracle,
        "oracle",
        Some(1521),
        &["request", "login", "passwd", "database"],
        "the statement request returns a row",
    ),
    row(
        Service::Pop,
        "pop",
        Some(110),
        &["login", "passwd"],
        "greeting +OK; login accepted, if login is given",
    )
    .over(EITHER),
    row(Service::Pops, "pops", Some(995), &["login", "passwd"], "as pop, over TLS")
        .over(ServiceTls::Always),
    row(
        Service::Radius,
        "radius",
        Some(1812),
        &["login", "passwd", "secret"],
        "Access-Accept with a valid authenticator",
    ),
    row(
        Service::Pgsql,
        "pgsql",
        Some(5432),
        &["request", "login", "passwd", "database"],
        "the statement request returns a row",
    )
    .over(COMMAND),
    row(
        Service::Simpletcp,
        "simpletcp",
        None,
        &["request", "receive", "protocol"],
        "a line of the answer matches receive; any answer, if receive is not given",
    )
    .over(AT_ONCE),
    row(
        Service::Sip,
        "sip",
        Some(5060),
        &["login", "protocol"],
        "the answer to OPTIONS begins with SIP/2.0 200 OK",
    )
    .over(AT_ONCE),
    row(Service::Smtp, "smtp", Some(25), &[], "greeting and EHLO or HELO accepted").over(EITHER),
    row(Service::Submission, "submission", Some(587), &[], "as smtp").over(EITHER),
    row(Service::Ntp, "ntp", Some(123), &[], "a synchronised server's answer to our question"),
    row(
        Service::Amqp,
        "amqp",
        Some(5672),
        &["login", "passwd"],
        "the broker begins a connection; login accepted, if login is given",
    )
    .over(AT_ONCE)
    .named(),
    row(
        Service::Memcached,
        "memcached",
        Some(11211),
        &["request", "receive"],
        "the answer to request, or to version, is no error and matches receive",
    )
    .over(AT_ONCE)
    .named(),
    row(
        Service::Mqtt,
        "mqtt",
        Some(1883),
        &["login", "passwd"],
        "the broker accepts the connection, and login, if it is given",
    )
    .over(AT_ONCE)
    .named(),
    row(
        Service::Redis,
        "redis",
        Some(6379),
        &["request", "receive", "login", "passwd"],
        "the answer to request, or to PING, is no error and matches receive",
    )
    .over(AT_ONCE)
    .named(),
    row(
        Service::Snmp,
        "snmp",
        Some(161),
        &["request", "receive", "secret"],
        "the object request, or sysUpTime, has a value that matches receive",
    )
    .named(),
    row(
        Service::Ssh,
        "ssh",
        Some(22),
        &["receive"],
        "the identification is one of SSH 2 and matches receive",
    )
    .named(),
    row(
        Service::Tftp,
        "tftp",
        Some(69),
        &["request", "receive"],
        "the first block of the file request comes and matches receive",
    )
    .named(),
    row(
        Service::Udp,
        "udp",
        None,
        &["request", "receive"],
        "an answer to the bytes request comes, and its bytes match receive",
    )
    .named(),
    row(
        Service::Websocket,
        "websocket",
        Some(80),
        &["request", "virtualhost", "httpheader"],
        "the server switches to the protocol",
    )
    .over(AT_ONCE)
    .named(),
];

/// What a service that a file defines has in common with the others; its word is the file's name.
static OWN: ServiceRow =
    row(Service::Own, "own", None, &[], "all that the service's definition expects has come")
        .over(ServiceTls::Always);

const fn row(
    service: Service,
    word: &'static str,
    port: Option<u16>,
    directives: &'static [&'static str],
    up: &'static str,
) -> ServiceRow {
    ServiceRow { service, word, port, implied: true, directives, tls: ServiceTls::Never, up }
}

impl ServiceRow {
    /// Only who writes `service` has it: the original knows no service of this port.
    const fn named(mut self) -> Self {
        self.implied = false;
        self
    }

    const fn over(mut self, tls: ServiceTls) -> Self {
        self.tls = tls;
        self
    }
}

impl Service {
    /// The service's row of [`SERVICES`], or one beside it.
    pub fn row(self) -> &'static ServiceRow {
        if self == Self::Own {
            return &OWN;
        }
        SERVICES.iter().find(|row| row.service == self).expect("every service has a row")
    }

    /// The service that a virtual service on this port has by default.
    pub fn of_port(port: u16) -> Self {
        let mut implied = SERVICES.iter().filter(|row| row.implied);
        implied.find(|row| row.port == Some(port)).map_or(Self::None, |row| row.service)
    }

    /// Whether `checktimeout` bounds its negotiate check, instead of `negotiatetimeout`.
    // compat: the original's alarm for these two is checktimeout (spec 4.3)
    pub fn uses_check_timeout(self) -> bool {
        matches!(self, Self::Ldap | Self::Ldaps | Self::Radius)
    }
}

impl FromStr for Service {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        SERVICES.iter().find(|row| row.word == word).map(|row| row.service).ok_or(())
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.row().word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_and_ports_find_their_service() {
        for row in SERVICES {
            assert_eq!(row.word.parse(), Ok(row.service));
            if let Some(port) = row.port.filter(|_| row.implied) {
                assert_eq!(Service::of_port(port), row.service);
            }
        }
        assert_eq!(Service::of_port(8080), Service::None);
        assert_eq!(Service::of_port(6379), Service::None);
        assert_eq!("HTTP".parse::<Service>(), Err(()));
    }
}
