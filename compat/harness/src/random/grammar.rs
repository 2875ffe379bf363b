//! Configurations at random, plausible ones, valid and broken, as proptest makes and simplifies them.
//!
//! What KNOWN_DIFFERENCES.md lists is not made here: it has cases of its own, and would hide the rest.

use proptest::prelude::*;
use proptest::sample::select;

/// A configuration in lines, each without its end.
#[derive(Clone, Debug)]
pub(super) struct Text {
    globals: Vec<String>,
    sections: Vec<Section>,
}

#[derive(Clone, Debug)]
struct Section {
    head: String,
    lines: Vec<String>,
}

impl Text {
    /// The file's lines. A virtual line shall not be the last of them.
    pub(super) fn lines(&self) -> Vec<String> {
        let sections =
            self.sections.iter().flat_map(|it| std::iter::once(&it.head).chain(&it.lines));
        let lines =
            self.globals.iter().chain(sections).flat_map(|it| it.lines().map(str::to_owned));
        lines.chain(std::iter::once("# end".to_owned())).collect()
    }
}

/// Files whose only question is whether they are accepted, and with which words.
pub(super) fn plausible() -> impl Strategy<Value = Text> {
    let globals = prop::collection::vec(prop_oneof![9 => global(), 1 => odd_line()], 0..4);
    let lines = prop::collection::vec(prop_oneof![12 => indented(), 1 => odd_line()], 0..7);
    let section = (head(), lines).prop_map(|(head, lines)| Section { head, lines });
    (globals, prop::collection::vec(section, 0..3))
        .prop_map(|(globals, sections)| Text { globals, sections })
}

/// Valid files, for the table that they lead to: many services of every kind in one.
pub(super) fn valid() -> impl Strategy<Value = Text> {
    let globals = (
        prop::option::of(select(vec!["quiescent=yes", "quiescent=no"])),
        prop::option::of(select(vec!["fallback=127.0.0.9", "fallback=127.0.0.9:80 masq"])),
        prop::option::of(select(vec!["fallback6=[fd00::9]", "fallback6=[fd00::9]:80"])),
        prop::option::of(select(vec!["readdquiescent=yes", "failurecount=1", "fork=no"])),
    );
    let sections = prop::collection::vec(valid_section(), 8);
    (globals, sections).prop_map(|(globals, sections)| {
        let (quiescent, fallback, fallback6, other) = globals;
        let set = [Some("checkinterval=1"), Some("checktimeout=3"), quiescent, fallback];
        let set = set.into_iter().chain([fallback6, other]).flatten();
        let quiescent = quiescent == Some("quiescent=yes");
        let number = |(at, section): (usize, ValidSection)| section.text(at, quiescent);
        Text {
            globals: set.map(str::to_owned).collect(),
            sections: sections.into_iter().enumerate().map(number).collect(),
        }
    })
}

/// What a section of a valid file is made of.
#[derive(Clone, Debug)]
struct ValidSection {
    kind: Kind,
    checktype: &'static str,
    options: Vec<&'static str>,
    servers: Vec<Server>,
    fallback: bool,
}

#[derive(Clone, Copy, Debug)]
enum Kind {
    V4,
    V6,
    Mark,
    Mark6,
}

#[derive(Clone, Debug)]
struct Server {
    method: &'static str,
    weight: Option<u8>,
    thresholds: Option<(u8, u8)>,
    port: u16,
}

fn valid_section() -> impl Strategy<Value = ValidSection> {
    let server = (
        select(vec!["masq", "gate", "ipip"]),
        prop::option::of(0u8..20),
        prop::option::of((1u8..9, 10u8..19)),
        select(vec![80u16, 8080]),
    )
        .prop_map(|(method, weight, thresholds, port)| Server {
            method,
            weight,
            thresholds,
            port,
        });
    let options = vec![
        "scheduler=rr",
        "scheduler=wlc",
        "scheduler=sh\n    schedflags=sh-fallback",
        "persistent=600",
        "protocol=udp",
        "ops=yes",
        "quiescent=yes",
        "quiescent=no",
        "failurecount=1",
    ];
    (
        select(vec![Kind::V4, Kind::V4, Kind::V4, Kind::V6, Kind::V6, Kind::Mark, Kind::Mark6]),
        // Not external: its children wake the original from its sleep, so that it never comes to rest.
        select(vec!["on", "off", "connect", "negotiate"]),
        prop::sample::subsequence(options, 0..4),
        prop::collection::vec(server, 0..4),
        any::<bool>(),
    )
        .prop_map(|(kind, checktype, options, servers, fallback)| ValidSection {
            kind,
            checktype,
            options,
            servers,
            fallback,
        })
}

impl ValidSection {
    /// The section with this number, which makes its address its own.
    fn text(&self, number: usize, quiescent: bool) -> Section {
        let mark = matches!(self.kind, Kind::Mark | Kind::Mark6);
        let v6 = matches!(self.kind, Kind::V6 | Kind::Mark6);
        let udp = !mark && self.options.contains(&"protocol=udp");
        let head = match self.kind {
            Kind::V4 => format!("virtual=10.0.1.{}:80", number + 1),
            Kind::V6 => format!("virtual6=[fd00:1::{:x}]:80", number + 1),
            Kind::Mark => format!("virtual={}", number + 1),
            Kind::Mark6 => format!("virtual6={}", number + 1),
        };
        let real = if v6 { "real6" } else { "real" };
        // The original mixes up servers that several services share while it starts.
        let host = |last: usize| {
            if v6 {
                format!("[fd00::{number:x}:{last:x}]")
            } else {
                format!("127.0.{number}.{last}")
            }
        };
        let mut lines = Vec::new();
        // A service needs one answer on what is quiescent; the thresholds of a quiesced server and the port of one
        // that is reached directly are listed differences.
        let own: Vec<&str> =
            self.options.iter().copied().filter(|it| it.starts_with("quie")).collect();
        let quiescent = own.last().map_or(quiescent, |it| *it == "quiescent=yes");
        for (at, server) in self.servers.iter().enumerate() {
            let direct = server.method != "masq" && !mark;
            let port = if direct { 80 } else { server.port };
            let weight = server.weight.map(|it| format!(" {it}")).unwrap_or_default();
            let thresholds = match server.thresholds {
                Some((lower, upper)) if !quiescent => format!(" l:{lower} u:{upper}"),
                _ => String::new(),
            };
            let host = host(at + 2);
            lines.push(format!("{real}={host}:{port} {}{weight}{thresholds}", server.method));
        }
        // ICMP in the place of a connect would be another case.
        let checktype = if udp && self.checktype == "connect" { "on" } else { self.checktype };
        lines.push(format!("checktype={checktype}"));
        if checktype == "negotiate" {
            lines.push("service=none".to_owned());
        }
        // A general fallback does not reach marks in the original.
        if self.fallback || mark {
            let name = if v6 { "fallback6" } else { "fallback" };
            lines.push(format!("{name}={}:80 masq", host(8)));
        }
        let fits = |option: &&str| !(mark && option.starts_with("protocol"));
        lines.extend(self.options.iter().copied().filter(fits).map(str::to_owned));
        Section { head, lines: lines.into_iter().map(|line| format!("    {line}")).collect() }
    }
}

/// `name=value` of a general directive.
fn global() -> impl Strategy<Value = String> {
    prop_oneof![
        directive(
            &["checkinterval", "checktimeout", "negotiatetimeout", "failurecount"],
            numbers()
        ),
        directive(&["checkcount", "emailalertfreq"], numbers()),
        directive(&["quiescent", "autoreload", "fork", "readdquiescent", "cleanstop"], words()),
        directive(&["fallback", "fallback6"], fallbacks()),
        directive(&["emailalertstatus"], statuses()),
        directive(&["emailalert", "emailalertfrom", "execute", "maintenancedir"], texts()),
        directive(&["smtp"], hosts()),
        directive(&["logfile"], logs()),
        directive(&["callback"], strings()),
        directive(&["timeout", "connecttimeout", "protocol", "receive", "nonsense"], numbers()),
        select(vec!["supervised", "supervised=yes", "supervised=no", "supervised=perhaps"])
            .prop_map(str::to_owned),
    ]
}

/// The line that opens a section.
fn head() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        8 => (1u8..4, ports()).prop_map(|(host, port)| format!("10.0.0.{host}:{port}")),
        2 => (0u32..9).prop_map(|mark| mark.to_string()),
        1 => select(vec![
            "localhost:80", "nosuch.invalid:80", "[fd00::1]:80", "10.0.0.300:80", "10.0.0.1:70000",
            "10.0.0.1:nosuch", ":80", "=10.0.0.1:80", "10.0.0:80",
        ]).prop_map(str::to_owned),
    ];
    let address6 = prop_oneof![
        4 => (1u8..4, ports()).prop_map(|(host, port)| format!("[fd00::{host}]:{port}")),
        1 => (0u32..9).prop_map(|mark| mark.to_string()),
        1 => select(vec!["[fd00::g]:80", "[fd00:::1]:80", "[::]:80", "10.0.0.1:80", "localhost:80", "[fd00::1]"])
            .prop_map(str::to_owned),
    ];
    prop_oneof![
        3 => address.prop_map(|it| format!("virtual={it}")),
        1 => address6.prop_map(|it| format!("virtual6={it}")),
    ]
}

/// A line of a section.
fn indented() -> impl Strategy<Value = String> {
    let indent = prop_oneof![
        8 => Just("    "), 4 => Just("\t"), 1 => Just(" \t"), 1 => Just("      "), 1 => Just("   ")
    ];
    (indent, prop_oneof![3 => real(), 5 => own()])
        .prop_map(|(indent, line)| format!("{indent}{line}"))
}

fn real() -> impl Strategy<Value = String> {
    let address = prop_oneof![
        6 => (2u8..5, ports()).prop_map(|(host, port)| format!("127.0.0.{host}:{port}")),
        1 => (2u8..5).prop_map(|host| format!("127.0.0.{host}")),
        1 => (2u8..5, 2u8..5, ports())
            .prop_map(|(from, to, port)| format!("127.0.0.{from}->127.0.0.{to}:{port}")),
        1 => select(vec!["localhost:80", "nosuch.invalid:80", "127.0.0.2:nosuch", "127.0.0.2:99999"])
            .prop_map(str::to_owned),
    ];
    let address6 = prop_oneof![
        4 => (2u8..5, ports()).prop_map(|(host, port)| format!("[fd00::{host}]:{port}")),
        1 => select(vec!["[fd00::2]", "[fd00::2]->[fd00::4]:80", "[fd00::3]"])
            .prop_map(str::to_owned),
    ];
    let method = prop_oneof![
        8 => select(vec!["gate", "masq", "ipip"]), 1 => select(vec!["route", "Gate", "gates", ""])
    ];
    let rest = prop_oneof![
        6 => Just(String::new()),
        4 => (0u32..300).prop_map(|weight| format!(" {weight}")),
        2 => Just(" 1 \"ask\", \"answer\"".to_owned()),
        1 => Just(" 2 \"ask\", \"answer\" l:5 u:10".to_owned()),
        1 => Just(" 3 l:5 u:10".to_owned()),
        1 => Just(" l:5".to_owned()),
        1 => select(vec![" -5", " nonsense", " 1 \"only one\"", " 1 l:x", " 1 2", ", 7", " 1 u:9", " 1 \"\", \"\""])
            .prop_map(str::to_owned),
    ];
    let named = prop_oneof![
        5 => address.prop_map(|it| format!("real={it}")),
        1 => address6.prop_map(|it| format!("real6={it}")),
    ];
    (named, method, rest).prop_map(|(address, method, rest)| format!("{address} {method}{rest}"))
}

/// `name=value` of a section's directive.
fn own() -> impl Strategy<Value = String> {
    prop_oneof![
        directive(
            &["checktype"],
            select(vec![
                "connect",
                "negotiate",
                "on",
                "off",
                "ping",
                "external",
                "external-perl",
                "3",
                "0",
                "Connect",
                "con",
                "\"connect\"",
                "",
            ])
            .prop_map(str::to_owned)
        ),
        directive(
            &["service"],
            select(vec![
                "http",
                "https",
                "http_proxy",
                "dns",
                "ftp",
                "imap",
                "imaps",
                "ldap",
                "ldaps",
                "mysql",
                "nntp",
                "none",
                "oracle",
                "pop",
                "pops",
                "radius",
                "pgsql",
                "simpletcp",
                "sip",
                "smtp",
                "submission",
                "HTTP",
                "httpx",
                "",
            ])
            .prop_map(str::to_owned)
        ),
        directive(&["checktimeout", "negotiatetimeout", "failurecount", "checkcount"], numbers()),
        directive(&["checkinterval", "checkport", "persistent", "emailalertfreq"], numbers()),
        directive(&["quiescent", "cleanstop", "ops"], words()),
        directive(
            &["protocol"],
            select(vec!["tcp", "udp", "fwm", "sctp", "TCP", ""]).prop_map(str::to_owned)
        ),
        directive(
            &["scheduler"],
            select(vec!["rr", "wlc", "sh", "1", "", "nosuch"]).prop_map(str::to_owned)
        ),
        directive(
            &["schedflags"],
            select(vec!["sh-port", "flag-1,flag-2", ""]).prop_map(str::to_owned)
        ),
        directive(
            &["netmask"],
            select(vec!["255.255.255.0", "24", "64", "129", "255.255.255", ""])
                .prop_map(str::to_owned)
        ),
        directive(
            &["httpmethod"],
            select(vec!["GET", "head", "Head", "PUT", ""]).prop_map(str::to_owned)
        ),
        directive(
            &["request", "receive", "login", "passwd", "database", "secret", "load"],
            strings()
        ),
        directive(
            &["virtualhost", "servicename", "comment", "fallbackcommand", "checkcommand"],
            texts()
        ),
        directive(&["fallback", "fallback6"], fallbacks()),
        directive(&["emailalert"], texts()),
        directive(&["emailalertstatus"], statuses()),
        directive(&["smtp"], hosts()),
        directive(
            &["autoreload", "readdquiescent", "fork", "nonsense", "Protocol", "timeout"],
            words()
        ),
    ]
}

/// A line that belongs nowhere, or anywhere.
fn odd_line() -> impl Strategy<Value = String> {
    select(vec![
        "# comment",
        "    # comment",
        "\t# comment",
        "nonsense",
        "    nonsense",
        "checkinterval 5",
        " quiescent=no",
        "    real",
        "    quiescent yes",
        "=",
        "virtual",
        "virtual=",
        "    virtual=10.0.0.9:80",
        "quiescent==no",
    ])
    .prop_map(str::to_owned)
}

/// With and without blanks around the `=`.
fn directive(
    names: &'static [&'static str],
    values: impl Strategy<Value = String>,
) -> impl Strategy<Value = String> {
    let equals = prop_oneof![9 => Just("="), 1 => Just(" = "), 1 => Just(" ="), 1 => Just("= ")];
    (select(names), equals, values)
        .prop_map(|(name, equals, value)| format!("{name}{equals}{value}"))
}

fn numbers() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => (1u32..90).prop_map(|it| it.to_string()),
        2 => select(vec!["0", "-5", "1.5", "\"5\"", "abc", "abc7", "", "65536", "5x", "5 # five"]).prop_map(str::to_owned),
    ]
}

fn words() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => select(vec!["yes", "no"]),
        1 => select(vec!["Yes", "true", "", "\"yes\"", "yesno", "1"]),
    ]
    .prop_map(str::to_owned)
}

fn ports() -> impl Strategy<Value = &'static str> {
    prop_oneof![
        8 => select(vec!["80", "443", "53", "25", "8080", "http", "domain", "21", "110", "143", "389", "5060"]),
        1 => select(vec!["0", "65535", "ldaps"]),
    ]
}

fn fallbacks() -> impl Strategy<Value = String> {
    select(vec![
        "127.0.0.9:80",
        "127.0.0.9",
        "127.0.0.9:80 masq",
        "127.0.0.9:80 gate",
        "127.0.0.9:0",
        "localhost:80",
        "127.0.0.9:80 masq 5",
        "127.0.0.9:80 route",
        "nosuch.invalid:80",
        "127.0.0.9:99999",
        "[fd00::9]:80",
        "[fd00::9]",
        "[fd00::9]:80 ipip",
        "fd00::9",
        "::1",
        "\"127.0.0.9:80\"",
    ])
    .prop_map(str::to_owned)
}

fn statuses() -> impl Strategy<Value = String> {
    let word = prop_oneof![
        6 => select(vec!["all", "none", "starting", "running", "stopping", "reloading"]),
        1 => select(vec!["foo", "All", ""]),
    ];
    prop::collection::vec(word, 0..4).prop_map(|words| words.join(","))
}

fn hosts() -> impl Strategy<Value = String> {
    select(vec!["mail.example.com", "127.0.0.1", "\"mail\"", "", "localhost more", "[::1]"])
        .prop_map(str::to_owned)
}

fn texts() -> impl Strategy<Value = String> {
    select(vec![
        "admin@example.com",
        "\"admin@example.com\"",
        "/bin/true",
        "\"/bin/true\"",
        "two words",
        "/",
        "x",
        "/nonexist",
    ])
    .prop_map(str::to_owned)
}

/// Values in quotes, or such as should be.
/// A log that is neither a path nor a syslog facility is a listed difference.
fn logs() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => "\"/var/log/[a-zA-Z0-9 .?=&,:-]{1,12}\"",
        3 => "\"(local[0-7]|daemon|user|auth)\"",
        1 => select(vec!["\"\"", "\"", "\"open"]).prop_map(str::to_owned),
    ]
}

fn strings() -> impl Strategy<Value = String> {
    prop_oneof![
        6 => "\"[a-zA-Z0-9 ./?=&,:-]{1,12}\"",
        1 => select(vec!["\"\"", "\"", "\"open", "\"a\"b\"", "\"a\" b", "\"tab\there\""]).prop_map(str::to_owned),
    ]
}
