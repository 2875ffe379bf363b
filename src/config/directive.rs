//! The one table of directives: parser, diagnostics, manual page and completions read it.
//!
//! A new directive is a row here and a use in [`crate::model`].

/// Where a directive may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// On a line of its own, from column 1.
    Global,
    /// Indented, in a virtual section.
    Virtual,
    /// Both; the section's value is preferred to the global one.
    Both,
}

/// How a directive's value is spelled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `virtual`, `virtual6`: opens a section.
    VirtualService,
    /// `real`, `real6`
    RealServer,
    /// `fallback`, `fallback6`
    FallbackServer,
    /// `fallbackserver`, `fallbackserver6`: the same with a weight, and there may be several.
    WeightedFallback,
    /// The first run of digits of the value, at least `least`.
    Number {
        /// 0 or 1.
        least: u64,
    },
    /// A time: `1.5`, `1.5s`, `500ms`, `2m`; anything else as [`Kind::Number`], in seconds, at least 1.
    Time,
    /// The digits that the value begins with.
    LeadingNumber,
    /// A number from 1 to 65535.
    Port,
    /// A number as above, or one followed by `%`.
    CountOrPercent,
    /// Exactly `yes` or `no`.
    YesNo,
    /// As [`Kind::YesNo`], or no value at all.
    YesNoOrBare,
    /// From the first `"` to the last; anything else is not this directive.
    Quoted,
    /// As [`Kind::Quoted`], or the rest of the line.
    QuotedOrBare,
    /// The rest of the line.
    Rest,
    /// The rest of the line, without one pair of quotes around it.
    RestUnquoted,
    /// A host name to the next quote or the end of the line.
    HostName,
    /// The letters, digits and `._+-` that the value begins with.
    MailServer,
    /// One of these words, found as the first run of letters, digits and `_`.
    Word(&'static [&'static str]),
    /// Exactly one of these, with or without quotes.
    Exactly(&'static [&'static str]),
    /// One of these words in any case; the value is the word of the list.
    AnyCaseWord(&'static [&'static str]),
    /// A service's word, of [`crate::model::SERVICES`].
    Service,
    /// A check type's word, or a number.
    CheckType,
    /// Ports and ranges of ports, separated by commas.
    Ports,
    /// Statuses of HTTP and ranges of them, separated by commas.
    Statuses,
    /// A comma-separated list of daemon states.
    States,
    /// The first run of lower-case letters.
    Scheduler,
    /// The first run of non-blanks.
    SchedulerFlags,
    /// A dotted quad, or a prefix length in a `virtual6` section.
    DottedQuad,
    /// Files to read at this place.
    Include,
    /// Opens a template.
    Template,
    /// Names of templates.
    Use,
    /// Read and not used.
    Ignored,
    /// Always an error: the row's text says what to write instead.
    Withdrawn,
}

/// A directive.
#[derive(Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Where it may stand.
    pub scope: Scope,
    /// The spelling of its value.
    pub kind: Kind,
    /// The message about a malformed value; empty if no value is malformed.
    pub error: &'static str,
    /// The same in a virtual section, where the original words some differently.
    pub section_error: &'static str,
    /// The value without the directive, as the manual shows it; empty if there is none.
    pub default: &'static str,
    /// The unit of a number; empty if it has none.
    pub unit: &'static str,
    /// One paragraph for the manual.
    pub about: &'static str,
    /// A line as it would stand in a file.
    pub example: &'static str,
    /// Whether the original does not know it.
    pub addition: bool,
    /// Whether several of them add up; of other directives the last one holds.
    pub repeatable: bool,
}

impl Row {
    const fn new(name: &'static str, scope: Scope, kind: Kind, error: &'static str) -> Self {
        Self {
            name,
            scope,
            kind,
            error,
            section_error: error,
            default: "",
            unit: "",
            about: "",
            example: "",
            addition: false,
            repeatable: false,
        }
    }

    const fn in_section(mut self, error: &'static str) -> Self {
        self.section_error = error;
        self
    }

    const fn repeatable(mut self) -> Self {
        self.repeatable = true;
        self
    }

    const fn or(mut self, default: &'static str) -> Self {
        self.default = default;
        self
    }

    const fn seconds(mut self) -> Self {
        self.unit = "seconds";
        self
    }

    const fn about(mut self, example: &'static str, about: &'static str) -> Self {
        self.example = example;
        self.about = about;
        self
    }

    const fn addition(mut self) -> Self {
        self.addition = true;
        self
    }

    /// Whether it may stand on a global line.
    pub fn is_global(&self) -> bool {
        self.scope != Virtual
    }

    /// Whether it may stand in a virtual section.
    pub fn is_virtual(&self) -> bool {
        self.scope != Global
    }
}

/// Rows are the same if they are the same place of the table.
impl PartialEq for Row {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self, other)
    }
}

impl Eq for Row {}

/// The row of a name.
pub fn directive(name: &str) -> Option<&'static Row> {
    DIRECTIVES.iter().copied().find(|row| row.name == name)
}

/// The words of `checktype`, beside a number.
pub const CHECK_TYPES: &[&str] =
    &["connect", "negotiate", "ping", "off", "on", "external", "external-perl"];

/// The syslog facilities that `logfile` may name; the position is the number (syslog.h), empty ones have no
/// name.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv",
    "ftp", "", "", "", "", "local0", "local1", "local2", "local3", "local4", "local5", "local6",
    "local7",
];

/// The words of `emailalertstatus`.
pub const STATES: &[&str] = &["all", "none", "starting", "running", "stopping", "reloading"];

macro_rules! directives {
    ($($id:ident = $row:expr;)*) => {
        $(#[doc = concat!("The row `", stringify!($id), "`.")] pub static $id: Row = $row;)*
        /// Every directive, in the order of the manual.
        pub static DIRECTIVES: &[&Row] = &[$(&$id),*];
    };
}

use Kind::{
    AnyCaseWord, CheckType, CountOrPercent, DottedQuad, Exactly, FallbackServer, HostName, Ignored,
    Include, LeadingNumber, MailServer, Number, Port, Ports, Quoted, QuotedOrBare, RealServer,
    Rest, RestUnquoted, Scheduler, SchedulerFlags, States, Statuses, Template, Time, Use,
    VirtualService, WeightedFallback, Withdrawn, Word, YesNo, YesNoOrBare,
};
use Scope::{Both, Global, Virtual};

const ONE: Kind = Number { least: 1 };
const ZERO: Kind = Number { least: 0 };
const SERVICE_ERROR: &str = "service must be dns, ftp, http, https, http_proxy, imap, imaps, ldap, \
    ldaps, mysql, nntp, none, oracle, pop, pops, radius, pgsql, simpletcp, sip, smtp or submission";
const WITHDRAWN_CONNECT: &str = "connecttimeout directive deprecated in favour of negotiatetimeout";

directives! {
    VIRTUAL = Row::new("virtual", Global, VirtualService, "invalid address for virtual server")
        .about("virtual = 192.0.2.1:80",
            "Opens the section of an IPv4 virtual service: `ADDRESS:PORT`, where both may be names, \
             or a firewall mark, a plain number. The directives of the section follow, indented by a \
             tab or at least four blanks. The protocol is tcp, but udp if the port is written 53 or \
             domain, and fwm for a mark.");
    VIRTUAL6 = Row::new("virtual6", Global, VirtualService, "invalid address for virtual server")
        .about("virtual6 = [2001:db8::1]:80",
            "Opens the section of an IPv6 virtual service: `[ADDRESS]:PORT`, `NAME:PORT`, or a \
             firewall mark that is to hold for IPv6. One mark may have an IPv4 and an IPv6 section.");
    PORTS = Row::new("ports", Virtual, Ports, "invalid ports: write 443,8000-8010")
        .addition()
        .about("ports = 443,8000-8010",
            "Further ports of the virtual service's address, and ranges of them: each is a virtual \
             service of its own, with everything that the section says, beside the one of the port that \
             stands in the `virtual` line. A real server without a port is used on the port of each \
             service, one with a port on that port by all of them; where service is not given, it \
             follows each port.");
    REAL = Row::new("real", Virtual, RealServer, "invalid address for real server (wrong format)")
        .about("real = 192.0.2.11:80 gate 5 \"status\", \"OK\" l:90 u:100",
            "A real server: `HOST[->LAST][:PORT] gate|masq|ipip [WEIGHT] [\"REQUEST\", \"RECEIVE\"] \
             [l:LOWER] [u:UPPER]`. `->` makes one real server of every address up to LAST. Without a \
             port, checks use that of the service, and the table has port 0 (masq) or the virtual \
             service's port. The weight is 1 unless given; 0 keeps new connections away. The two \
             strings take the place of the section's request and receive. l: and u: are the \
             connection counts below which a full server is used again and at which it is full.");
    REAL6 = Row::new("real6", Virtual, RealServer, "invalid address for real server (wrong format)")
        .about("real6 = [2001:db8::11]:80 masq", "As real, in a virtual6 section; there are no ranges.");
    FALLBACK = Row::new("fallback", Both, FallbackServer,
            "forward method must be gate, masq or ipip")
        .about("fallback = 127.0.0.1:80 gate",
            "The server that takes the connections while no real server is up: `HOST[:PORT] \
             [gate|masq|ipip]`, gate unless given, with weight 1. A port left out is the virtual \
             service's. The global one holds for every IPv4 section that has none of its own.");
    FALLBACK6 = Row::new("fallback6", Both, FallbackServer,
            "forward method must be gate, masq or ipip")
        .about("fallback6 = [::1]:80 gate", "As fallback, for virtual6 sections.");
    FALLBACKSERVER = Row::new("fallbackserver", Both, WeightedFallback,
            "a fallback server is written HOST[:PORT] [gate|masq|ipip] [WEIGHT]")
        .addition().repeatable()
        .about("fallbackserver = 192.0.2.21:80 masq 3",
            "One of several fallback servers: `HOST[:PORT] [gate|masq|ipip] [WEIGHT]`, gate and weight 1 \
             unless given. May be repeated. While no real server is up, all of them are in the table, \
             and the one of fallback with them; the scheduler shares the connections out. A section that \
             has a fallback or a fallbackserver of its own has none of the global ones.");
    FALLBACKSERVER6 = Row::new("fallbackserver6", Both, WeightedFallback,
            "a fallback server is written HOST[:PORT] [gate|masq|ipip] [WEIGHT]")
        .addition().repeatable()
        .about("fallbackserver6 = [2001:db8::21]:80 masq 3", "As fallbackserver, for virtual6 sections.");
    FALLBACKCOMMAND = Row::new("fallbackcommand", Both, QuotedOrBare, "invalid fallback command")
        .about("fallbackcommand = \"/usr/local/sbin/announce\"",
            "A command for /bin/sh, to which `start|stop VIP:PORT PROTOCOL` is appended: run with \
             start when the last real server of a service has died, and with stop when the first has \
             come up. A firewall mark is passed as `MARK:0 fwm`. Commands of one service never \
             overlap.");
    FALLBACKCOMMANDRETRY = Row::new("fallbackcommandretry", Both, YesNo,
            "fallbackcommandretry must be 'yes' or 'no'")
        .or("no").addition()
        .about("fallbackcommandretry = yes",
            "Repeats a fallbackcommand that failed, with growing pauses, until it succeeds or the \
             state of the service has changed.");
    FALLBACKCOMMANDTIMEOUT = Row::new("fallbackcommandtimeout", Both, ONE,
            "invalid fallback command timeout")
        .or("60").seconds().addition()
        .about("fallbackcommandtimeout = 20",
            "How long a fallbackcommand may run before its process group is ended, first with TERM, \
             then with KILL.");
    FALLBACKCOMMANDUSER = Row::new("fallbackcommanduser", Both, QuotedOrBare,
            "invalid fallback command user")
        .or("the user of the daemon, root").addition()
        .about("fallbackcommanduser = announcer",
            "Who runs the fallbackcommand: the user's number, group and groups, with HOME, USER and \
             LOGNAME.");
    CONTROLGROUP = Row::new("controlgroup", Global, QuotedOrBare, "invalid control group")
        .or("none").addition()
        .about("controlgroup = wheel",
            "The group whose members may drain, disable and enable servers and ask for a reload by the \
             commands of ldirectord(8), beside root. Reading commands work for the group \
             `ldirectord`, if there is one.");
    FALLBACKCOMMANDONSTOP = Row::new("fallbackcommandonstop", Both, YesNo,
            "fallbackcommandonstop must be 'yes' or 'no'")
        .or("no").addition()
        .about("fallbackcommandonstop = yes",
            "Runs the fallbackcommand with start when the program stops, before the service is \
             removed, so that an announced address is withdrawn before nobody answers on it.");
    FALLBACKMINIMUM = Row::new("fallbackminimum", Both, CountOrPercent, "invalid fallback minimum")
        .or("1").addition()
        .about("fallbackminimum = 50%",
            "How many real servers must be up for the service to count as alive for the \
             fallbackcommand: a number, or a percentage of those configured, rounded up. The table is \
             not affected.");
    FALLBACKHOLDDOWN = Row::new("fallbackholddown", Both, ZERO, "invalid fallback hold-down")
        .or("0").seconds().addition()
        .about("fallbackholddown = 30",
            "How long a service must have stayed alive before the fallbackcommand is run with stop \
             again, so that a service that flaps is announced once.");
    CHECKTYPE = Row::new("checktype", Virtual, CheckType,
            "checktype must be \"connect\", \"negotiate\", \"on\", \"off\", \"ping\", \"external\", \
             \"external-perl\" or a positive number")
        .or("negotiate")
        .about("checktype = negotiate",
            "How real servers are checked. connect: a TCP connection (for udp, a ping). negotiate: a \
             question and an answer in the protocol of the service. ping: ICMP echo. external: the \
             exit status of checkcommand. external-perl: the same for a Perl script. on: always up. \
             off: never checked. A number N: a negotiate check first and after each failure, \
             then N connect checks between two negotiate checks.");
    SERVICE = Row::new("service", Virtual, Kind::Service, SERVICE_ERROR)
        .or("by the virtual service's port, else none")
        .about("service = http",
            "The protocol of the negotiate check. Without it, the port of the virtual service decides; \
             for a port that is in no row of the list, and for a firewall mark, it is none: real \
             servers are then taken to be up without being asked. Another word is a service of one's \
             own, which the file of this name in `/etc/ha.d/services.d` defines; see ldirectord-checks(7).");
    CHECKCOMMAND = Row::new("checkcommand", Virtual, QuotedOrBare, "invalid check command")
        .or("/bin/true")
        .about("checkcommand = \"/usr/local/lib/check-queue\"",
            "The program of an external check, run without a shell as `PROGRAM VIP VPORT RIP RPORT`; \
             exit status 0 means up. It is one word: arguments cannot be given.");
    CHECKCOMMANDUSER = Row::new("checkcommanduser", Both, QuotedOrBare, "invalid check command user")
        .or("the user of the daemon, root").addition()
        .about("checkcommanduser = nobody",
            "Who runs the checkcommand of external and external-perl checks: the user's number, group \
             and groups, with HOME, USER and LOGNAME. He must be able to read and execute it.");
    CHECKPORT = Row::new("checkport", Virtual, Port, "invalid port")
        .or("the real server's port, else that of the service")
        .about("checkport = 8081", "The port that checks connect to.");
    CHECKFROM = Row::new("checkfrom", Both, QuotedOrBare, "invalid check source")
        .or("what the kernel's routes choose").addition()
        .about("checkfrom = 192.0.2.250",
            "Where the packets of checks leave this machine from: one of its addresses, for real servers of \
             the same family, or the name of an interface or VRF. It is not for external checks; a ping \
             can leave by an interface only.");
    CHECKPATH = Row::new("checkpath", Both, Word(&["direct", "service"]),
            "checkpath must be direct or service")
        .or("direct").addition()
        .about("checkpath = service",
            "Where checks go. direct: to the real server's own address. service: to the virtual address, \
             forwarded by ip_vs to that one server, as a client's connection is: a server that has \
             lost the virtual address from its loopback, or does not unpack ipip, is down. See CHECKS THROUGH \
             THE SERVICE.");
    CHECKTIMEOUT = Row::new("checktimeout", Both, Time, "invalid check timeout value")
        .in_section("invalid check timeout").or("negotiatetimeout if that is set, else 5").seconds()
        .about("checktimeout = 3",
            "How long a connect, ping, external, ldap or radius check may take.");
    NEGOTIATETIMEOUT = Row::new("negotiatetimeout", Both, Time, "invalid negotiate timeout value")
        .in_section("invalid negotiate timeout")
        .or("checktimeout if that is set, else 30").seconds()
        .about("negotiatetimeout = 5",
            "How long every other negotiate check may take, from the connection to the last byte.");
    CHECKINTERVAL = Row::new("checkinterval", Both, Time, "invalid check interval value")
        .in_section("invalid checkinterval").or("10").seconds()
        .about("checkinterval = 5",
            "The pause between two checks of a real server. The one of a section is honoured only with \
             fork=yes.");
    FASTINTERVAL = Row::new("fastinterval", Both, Time, "invalid fast interval")
        .or("checkinterval").seconds().addition()
        .about("fastinterval = 500ms",
            "The pause between two checks of a real server while its verdict is open: it has failed, but \
             not failurecount times, or is dead and has passed, but not risecount times. With \
             `checkinterval = 10`, `failurecount = 3` and `fastinterval = 500ms`, a death is certain a \
             second after its first sign, not 20.");
    CHECKCOUNT = Row::new("checkcount", Both, ONE, "invalid check count value")
        .in_section("invalid check count").or("1")
        .about("checkcount = 3",
            "How many echoes a ping check sends at most before the server counts as dead. Deprecated: \
             see failurecount.");
    FAILURECOUNT = Row::new("failurecount", Both, ONE, "invalid failure count value")
        .in_section("invalid failure count").or("1")
        .about("failurecount = 3", "How many checks must fail in a row before a server counts as dead.");
    STARTSPREAD = Row::new("startspread", Global, Time, "invalid start spread").seconds()
        .or("0.3ms for each check").addition()
        .about("startspread = 10s",
            "The time over which the first checks after a start, and those that a reload brings, are spread.");
    JITTER = Row::new("jitter", Global, LeadingNumber, "invalid jitter").or("0").addition()
        .about("jitter = 10",
            "By how many percent of its interval, up to 50, each pause between checks is longer or shorter at random, \
             so that several directors do not all ask a server at the same moment. The mean stays.");
    RESOLVEINTERVAL = Row::new("resolveinterval", Global, Time, "invalid resolve interval").seconds()
        .addition()
        .about("resolveinterval = 30s",
            "Names of real servers and fallbacks stand for all their addresses, and are looked up again in \
             this interval, at least 1s: addresses that come are added, those that go are removed, and the \
             log says so. Nothing else changes, not even by a file that was edited meanwhile. A name that \
             cannot be looked up keeps the addresses it had. A name server that gives only some of the \
             addresses at a time makes servers come and go. The name of a service, as in `real = \
             _http._tcp.example.com masq`, stands for the servers of its SRV records with the lowest priority \
             number, with their ports and weights where the line has none; they are asked of the name servers \
             in `/etc/resolv.conf`. Names of virtual services and the ends of ranges stay as they were when \
             the file was read. Without it, a name stands for its first address, looked up when the file is \
             read.");
    RISECOUNT = Row::new("risecount", Both, ONE, "invalid rise count value")
        .in_section("invalid rise count").or("1").addition()
        .about("risecount = 2",
            "How many checks must succeed in a row before a dead server is used again.");
    REQUEST = Row::new("request", Virtual, Quoted, "no request string specified").or("/")
        .about("request = \"health/status\"",
            "What a negotiate check asks: for http and https the path, for http_proxy a URL, for ftp a \
             file, for dns a name, for ldap a base, for SQL a statement, for simpletcp the text to \
             send, with `\\n` for a line end. A `/` is put before it where it has none, and taken away \
             again where the protocol has no use for it. For memcached and redis a command, for snmp an \
             object identifier, for tftp a file, for udp hexadecimal digits, for websocket the path.");
    RECEIVE = Row::new("receive", Virtual, Quoted, "invalid receive string")
        .about("receive = \"^OK\"",
            "A regular expression in Perl's syntax that must be found in the answer; case matters, and \
             ^ and $ are the ends of the answer unless the expression begins with (?m).");
    HTTPMETHOD = Row::new("httpmethod", Virtual, AnyCaseWord(&["GET", "HEAD", "POST"]),
            "httpmethod must be GET or HEAD")
        .or("GET")
        .about("httpmethod = HEAD",
            "The method of http and https checks: GET, HEAD or, which the original does not know, POST. An \
             answer to HEAD has no body, so receive cannot match.");
    HTTPBODY = Row::new("httpbody", Virtual, QuotedOrBare, "invalid http body").addition()
        .about("httpbody = \"{\\\"ping\\\":1}\"",
            "What a POST sends, as it is written. Its type is told by httpheader: \
             `httpheader = \"Content-Type: application/json\"`.");
    HTTPHEADER = Row::new("httpheader", Virtual, QuotedOrBare, "invalid http header")
        .addition().repeatable()
        .about("httpheader = \"X-Health: director\"",
            "A header that http, https and http_proxy checks send, `NAME: VALUE`. May be repeated. After a \
             redirect to another host it is not sent. Host is set by virtualhost.");
    HTTPSTATUS = Row::new("httpstatus", Virtual, Statuses,
            "httpstatus must be statuses and ranges of them: 200-299,401")
        .or("200-299").addition()
        .about("httpstatus = 200-299,401",
            "The statuses of an answer that http, https and http_proxy checks take for good.");
    HTTPREDIRECT = Row::new("httpredirect", Virtual, YesNo, "httpredirect must be 'yes' or 'no'")
        .or("yes").addition()
        .about("httpredirect = no",
            "Whether http, https and http_proxy checks follow redirects, at most seven. With no, the status \
             of the redirect itself counts: see httpstatus.");
    HTTPVERSION = Row::new("httpversion", Virtual, Exactly(&["1.0", "1.1"]), "httpversion must be 1.0 or 1.1")
        .or("1.1").addition()
        .about("httpversion = 1.0",
            "The version of HTTP in the request of http, https and http_proxy checks.");
    VIRTUALHOST = Row::new("virtualhost", Virtual, HostName, "")
        .or("the real server's address")
        .about("virtualhost = www.example.com",
            "The Host header of http and https checks, and the server name in the TLS handshake. A port \
             behind it is for the header only; an address or a wildcard is not sent as a server name.");
    LOGIN = Row::new("login", Virtual, Quoted, "invalid login string")
        .or("anonymous for ftp, ldirectord@HOSTNAME for sip, else empty")
        .about("login = \"monitor\"",
            "The user name of amqp, ftp, imap, ldap, mqtt, mysql, oracle, pgsql, pop, radius, redis and sip checks.");
    PASSWD = Row::new("passwd", Virtual, Quoted, "invalid password")
        .or("ldirectord@HOSTNAME for ftp, else empty")
        .about("passwd = \"secret\"", "The password that goes with login.");
    DATABASE = Row::new("database", Virtual, Quoted, "invalid database")
        .about("database = \"shop\"", "The database of mysql, oracle and pgsql checks.");
    SECRET = Row::new("secret", Virtual, Quoted, "invalid secret")
        .about("secret = \"shared\"", "The secret shared with a radius server; the community of snmp checks.");
    AGENTPORT = Row::new("agentport", Virtual, Port, "invalid agent port").addition()
        .about("agentport = 8042",
            "A TCP port of the real servers at which an agent tells, after each check that passes, how much the \
             server can take: see WEIGHTS.");
    AGENTCOMMAND = Row::new("agentcommand", Virtual, QuotedOrBare, "invalid agent command").addition()
        .about("agentcommand = \"/usr/local/lib/load-of\"",
            "A program of the director that tells, after each check that passes, how much the server can take. It is run as \
             an external check is, by checkcommanduser: see WEIGHTS.");
    EXTERNALWEIGHT = Row::new("externalweight", Virtual, YesNo, "externalweight must be 'yes' or 'no'")
        .or("no").addition()
        .about("externalweight = yes",
            "yes: an external check that ends with status 2 or more says that the server is up with this weight \
             plus two, as a script of keepalived does: see WEIGHTS.");
    SLOWSTART = Row::new("slowstart", Both, Time, "invalid slow start time").seconds().addition()
        .about("slowstart = 30",
            "For so long the weight of a server that has been down rises, from little to all of it: see WEIGHTS.");
    CHECKPROXY = Row::new("checkproxy", Virtual, Word(&["no", "v1", "v2"]), "checkproxy must be no, v1 or v2")
        .or("no").addition()
        .about("checkproxy = v2",
            "Begins the connections of a negotiate check over TCP with a header of the PROXY protocol, for servers that \
             take no others, before TLS too. v1 names the check's own addresses; v2 says that the \
             connection is the proxy's own (LOCAL).");
    CHECKTLS = Row::new("checktls", Both, Word(&["no", "yes", "starttls"]), "checktls must be no, yes or starttls")
        .or("no").addition()
        .about("checktls = starttls",
            "Whether a negotiate check speaks TLS. yes: from the first byte, for dns, ftp, imap, ldap, nntp, pop, \
             simpletcp, sip, smtp and submission over TCP; on another port, set checkport. starttls: by the protocol's own \
             command, for ftp, imap, ldap, mysql, nntp, pgsql, pop, smtp and submission; a server that refuses it is \
             down. https, imaps, ldaps and pops speak TLS without it. Certificates are judged as \
             checkcertificate says, also those of pgsql, which without checktls takes any.");
    CHECKCERTIFICATE = Row::new("checkcertificate", Both, Word(&["chain", "name", "no"]),
            "checkcertificate must be chain, name or no")
        .or("chain, but no for ldaps").addition()
        .about("checkcertificate = no",
            "What a check over TLS asks of the certificate. chain: it leads to a trusted one. name: \
             that, and it is for the virtualhost or, without one, the address. no: nothing.");
    CHECKCAFILE = Row::new("checkcafile", Both, QuotedOrBare, "invalid certificate file").addition()
        .about("checkcafile = \"/etc/ssl/private-ca.pem\"",
            "Certificates in PEM form that checks over TLS trust beside the system's.");
    CHECKCERT = Row::new("checkcert", Both, QuotedOrBare, "invalid client certificate").addition()
        .about("checkcert = \"/etc/ha.d/checks.pem\"",
            "A certificate in PEM form, with those that lead from it to a trusted one, that checks over TLS show to \
             servers that ask for one.");
    CHECKKEY = Row::new("checkkey", Both, QuotedOrBare, "invalid client key").or("the file of checkcert").addition()
        .about("checkkey = \"/etc/ha.d/checks.key\"",
            "The key of checkcert, in PEM form and not encrypted. Only root need be able to read it.");
    CHECKCERTDAYS = Row::new("checkcertdays", Both, ONE, "checkcertdays must be a number of days").addition()
        .about("checkcertdays = 21",
            "Says when a server's certificate ends in fewer days than this: in the log, once a day, in status \
             and in the metrics. The server stays up.");
    LOAD = Row::new("load", Virtual, Ignored, "invalid string for load testing")
        .about("load = \"idle\"", "Accepted and not used.");
    SCHEDULER = Row::new("scheduler", Virtual, Scheduler,
            "invalid scheduler, should be only lowercase letters (a-z)")
        .or("wrr")
        .about("scheduler = wlc",
            "The scheduler by which ip_vs chooses a real server: rr, wrr, lc, wlc, sh, mh and whatever \
             else the kernel has. For sh and mh see HASHING SCHEDULERS.");
    SCHEDFLAGS = Row::new("schedflags", Virtual, SchedulerFlags, "invalid sched-flags")
        .about("schedflags = sh-fallback,sh-port",
            "Flags of the scheduler: sh-fallback, sh-port, mh-fallback, mh-port, flag-1, flag-2, flag-3. \
             Only sh and mh have any; HASHING SCHEDULERS says what they do.");
    PERSISTENT = Row::new("persistent", Virtual, ZERO, "invalid persistent timeout").seconds()
        .about("persistent = 600",
            "How long the connections of one client go to the same real server.");
    NETMASK = Row::new("netmask", Virtual, DottedQuad,
            "invalid netmask: dotted quad notation is required")
        .or("255.255.255.255, or 128 for IPv6")
        .about("netmask = 255.255.255.0",
            "Which clients persistent takes for one: a dotted quad, or a prefix length in a virtual6 \
             section. Not used without persistent.");
    PROTOCOL = Row::new("protocol", Virtual, Word(&["tcp", "udp", "fwm"]), "invalid protocol")
        .or("tcp; udp for port 53; fwm for a mark")
        .about("protocol = udp", "The transport of the virtual service.");
    OPS = Row::new("ops", Virtual, YesNo, "ops must be 'yes' or 'no'").or("no")
        .about("ops = yes", "One-packet scheduling: each datagram is scheduled anew. For udp only.");
    QUIESCENT = Row::new("quiescent", Both, YesNo, "quiescent must be 'yes' or 'no'").or("no")
        .about("quiescent = yes",
            "yes: a dead real server stays in the table with weight 0 and keeps the connections it \
             has. no: it is removed.");
    READDQUIESCENT = Row::new("readdquiescent", Global, YesNo, "readdquiescent must be 'yes' or 'no'")
        .or("no")
        .about("readdquiescent = yes",
            "With quiescent=yes, puts a dead server that somebody removed back with weight 0.");
    RECONCILE = Row::new("reconcile", Both, YesNo, "reconcile must be 'yes' or 'no'")
        .or("no").addition()
        .about("reconcile = yes",
            "Puts right at the next round what others have changed in the table of this service. \
             Without it the table is left alone until a server's state changes.");
    CLEANSTOP = Row::new("cleanstop", Both, YesNo, "cleanstop must be 'yes' or 'no'").or("yes")
        .about("cleanstop = no",
            "no: the virtual service stays in the table, and goes on, when the program stops.");
    MAINTENANCEDIR = Row::new("maintenancedir", Global, RestUnquoted, "maintenance directory not specified")
        .about("maintenancedir = /etc/ha.d/maintenance",
            "A directory in which a file named like a real server, `ADDRESS`, `ADDRESS:PORT`, \
             `NAME` or `NAME:PORT` takes it out of service for as long as the file exists. While the \
             directory cannot be read, nothing changes.");
    FORK = Row::new("fork", Global, YesNo, "fork must be 'yes' or 'no'").or("no")
        .about("fork = yes",
            "yes: each section's own checkinterval is honoured. Services never wait for one another, \
             whatever is set here.");
    AUTORELOAD = Row::new("autoreload", Global, YesNo, "autoreload must be 'yes' or 'no'").or("no")
        .about("autoreload = yes",
            "Reads the file again when it has changed, or one in `/etc/ha.d/services.d` that it names. A \
             file that has lost all its virtual services is not put into force; `reload` does that.");
    CALLBACK = Row::new("callback", Global, QuotedOrBare, "")
        .about("callback = \"/usr/local/sbin/sync-config\"",
            "A program that is run with the file's path as its argument when the file has changed, or \
             one in `/etc/ha.d/services.d` that it names.");
    LOGFILE = Row::new("logfile", Global, QuotedOrBare, "").or("/var/log/ldirectord.log")
        .about("logfile = \"local0\"",
            "A file if it begins with /, else a syslog facility: kern, user, mail, daemon, auth, syslog, \
             lpr, news, uucp, cron, authpriv, ftp, or local0 to local7.");
    SUPERVISED = Row::new("supervised", Global, YesNoOrBare, "supervised must be 'yes' or 'no'")
        .or("no")
        .about("supervised = yes",
            "Stays in the foreground, without a pid file, and logs to standard output.");
    INCLUDE = Row::new("include", Global, Include, "no file specified").addition().repeatable()
        .about("include = \"/etc/ha.d/conf.d/*.cf\"",
            "Reads a file at this place, or all files that a pattern (`*`, `?`, `[abc]`) matches, in \
             alphabetical order. A relative path starts at the directory of the file that it stands in. \
             No section goes on from one file to another. A pattern may match nothing; a file named \
             without a pattern must exist. autoreload and callback notice changes of included files, \
             and new ones.");
    TEMPLATE = Row::new("template", Global, Template, "a template has a name of letters, digits, _, - and .").addition()
        .about("template = web",
            "Opens a template: lines of a section that virtual services may use. It may stand before or after \
             them, also in another file.");
    USE = Row::new("use", Virtual, Use, "no template specified").addition()
        .about("use = web",
            "Takes the lines of a template, or of several with commas between them, as if they stood first in \
             this section: the section's own lines override them, and a later template's an earlier \
             one's. Real servers, and lines that may be repeated, add up. A template may use others.");
    EXECUTE = Row::new("execute", Global, RestUnquoted, "")
        .about("execute = second.cf",
            "A configuration for which a further instance is started and stopped along with this one. \
             May be repeated.");
    EMAILALERT = Row::new("emailalert", Both, RestUnquoted, "no email address specified")
        .about("emailalert = admin@example.com",
            "Where mail about changes of real servers goes; several addresses are separated by commas.");
    EMAILALERTFROM = Row::new("emailalertfrom", Global, Rest, "no email from address specified")
        .about("emailalertfrom = ldirectord@example.com", "The sender of the mail.");
    EMAILALERTFREQ = Row::new("emailalertfreq", Both, LeadingNumber, "invalid email alert frequency")
        .or("0").seconds()
        .about("emailalertfreq = 600",
            "The pause between reminders about a server that is still dead; 0 sends none.");
    EMAILALERTSTATUS = Row::new("emailalertstatus", Both, States, "invalid email alert status")
        .or("all")
        .about("emailalertstatus = running, reloading",
            "In which states of the program mail is sent: all, none, or a list of starting, running, \
             stopping and reloading, separated by commas.");
    SMTP = Row::new("smtp", Both, MailServer, "invalid SMTP server address")
        .or("the local sendmail")
        .about("smtp = mail.example.com", "The server that mail is handed to.");
    SERVICENAME = Row::new("servicename", Virtual, Rest, "")
        .about("servicename = Web shop", "A name of the service, for mail.");
    COMMENT = Row::new("comment", Virtual, Rest, "")
        .about("comment = rack 12", "A remark on the service, for mail.");
    MONITORFILE = Row::new("monitorfile", Virtual, QuotedOrBare,
            "unable to open monitorfile : No such file or directory")
        .about("monitorfile = \"/var/log/web-checks.log\"",
            "A file to which the result of every check is appended.");
    TIMEOUT = Row::new("timeout", Global, Withdrawn,
            "timeout directive deprecated in favour of checktimeout and negotiatetimeout")
        .about("timeout = 5", "Refused: write checktimeout and negotiatetimeout.");
    CONNECTTIMEOUT = Row::new("connecttimeout", Both, Withdrawn, WITHDRAWN_CONNECT)
        .about("connecttimeout = 5", "Refused: write negotiatetimeout.");
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn every_row_is_documented_and_its_example_names_it() {
        let mut names = HashSet::new();
        for row in DIRECTIVES {
            assert!(names.insert(row.name), "{} twice", row.name);
            assert!(row.about.ends_with('.'), "{}", row.name);
            assert!(row.example.starts_with(&format!("{} = ", row.name)), "{}", row.name);
            assert_eq!(directive(row.name), Some(*row));
        }
    }
}
