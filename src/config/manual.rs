//! The manual page ldirectord.cf(5), from the table of directives.

use super::directive::{CHECK_TYPES, DIRECTIVES, Kind, Row, STATES, Scope};
use crate::model::{SERVICES, ServiceTls};
use std::fmt::Write;

/// The page's source, in mdoc(7); a test compares `man/ldirectord.cf.5` with it.
pub fn manual_page() -> String {
    let mut page = Page(String::from(HEAD));
    page.list("GLOBAL DIRECTIVES", GLOBAL, |row| row.scope == Scope::Global);
    page.list("DIRECTIVES OF BOTH KINDS", BOTH, |row| row.scope == Scope::Both);
    page.list("DIRECTIVES OF A VIRTUAL SERVICE", VIRTUAL, |row| row.scope == Scope::Virtual);
    page.0.push_str(PARTS);
    page.0.push_str(WEIGHTS);
    page.0.push_str(HASHING);
    page.0.push_str(PATH);
    page.services();
    page.0.push_str(TAIL);
    page.additions();
    page.0.push_str(SEE_ALSO);
    page.0
}

struct Page(String);

impl Page {
    fn list(&mut self, title: &str, about: &str, belongs: impl Fn(&Row) -> bool) {
        let _ = writeln!(self.0, ".Sh {title}");
        self.text(about);
        self.0.push_str(".Bl -tag -width Ds\n");
        for row in DIRECTIVES.iter().filter(|row| belongs(row)) {
            self.directive(row);
        }
        self.0.push_str(".El\n");
    }

    fn directive(&mut self, row: &Row) {
        let _ = writeln!(self.0, ".It Ic {} No = Ar {}", row.name, argument(row));
        self.text(row.about);
        let mut facts = Vec::new();
        match (row.unit, row.kind) {
            ("", Kind::Number { least: 1 }) => facts.push("A number, at least 1.".to_owned()),
            ("", Kind::Number { .. } | Kind::Port) => {}
            ("", _) => {}
            (_, Kind::Time) => {
                facts.push("In seconds, or as `500ms`, `1.5s`, `2m`; at least 10ms.".to_owned());
            }
            (unit, Kind::Number { least: 1 }) => facts.push(format!("In {unit}, at least 1.")),
            (unit, _) => facts.push(format!("In {unit}.")),
        }
        if !row.default.is_empty() {
            facts.push(format!("Default: {}.", row.default));
        }
        if row.addition {
            facts.push("An addition of ldirectord-rs.".to_owned());
        }
        if !facts.is_empty() {
            self.text(&facts.join(" "));
        }
        let _ = writeln!(self.0, ".Dl {}", escape(row.example));
    }

    fn services(&mut self) {
        self.0.push_str(".Sh SERVICES\n");
        self.text(SERVICE_TEXT);
        self.0.push_str(".Bl -tag -width Ds\n");
        for row in SERVICES {
            let port = match row.port {
                None => "no port".to_owned(),
                Some(port) if row.implied => format!("port {port}"),
                Some(port) => format!("port {port}, by name only"),
            };
            let _ = writeln!(self.0, ".It Ic {} Pq {port}", row.word);
            self.text(&format!("Up: {}.", row.up));
            if !row.directives.is_empty() {
                self.text(&format!("Uses {}.", row.directives.join(", ")));
            }
            if row.tls != ServiceTls::Never {
                self.text(&format!("TLS: {}.", row.tls));
            }
        }
        self.0.push_str(".El\n");
    }

    fn additions(&mut self) {
        let additions = DIRECTIVES.iter().filter(|row| row.addition).map(|row| row.name);
        let names: Vec<&str> = additions.collect();
        self.text(&format!(
            "The directives {}, and the services ntp and those after it, are not known to the original ldirectord, \
             which refuses a file that has them.",
            names.join(", ")
        ));
    }

    /// A paragraph: one sentence a line, as mdoc wants it; text in backquotes is literal.
    fn text(&mut self, text: &str) {
        let mut literal = false;
        let mut out = String::new();
        for piece in text.split('`') {
            if literal {
                let _ = write!(out, "\\fB{}\\fP", escape(piece));
            } else {
                out.push_str(&escape(piece).replace(". ", ".\n"));
            }
            literal = !literal;
        }
        for line in out.lines() {
            let guard = if line.starts_with(['.', '\'']) { "\\&" } else { "" };
            let _ = writeln!(self.0, "{guard}{line}");
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-").replace('"', "\\(dq").replace('^', "\\(ha")
}

fn argument(row: &Row) -> String {
    let words = |words: &[&str]| words.join(" | ").replace('-', "\\-");
    match row.kind {
        Kind::VirtualService => "address".to_owned(),
        Kind::RealServer | Kind::FallbackServer | Kind::WeightedFallback => "server".to_owned(),
        Kind::Number { .. } | Kind::LeadingNumber if row.unit == "seconds" => "seconds".to_owned(),
        Kind::Number { .. } | Kind::LeadingNumber => "number".to_owned(),
        Kind::Time => "time".to_owned(),
        Kind::Port => "port".to_owned(),
        Kind::Ports => "port[\\-port],...".to_owned(),
        Kind::Statuses => "status[\\-status],...".to_owned(),
        Kind::CountOrPercent => "number | percentage".to_owned(),
        Kind::YesNo | Kind::YesNoOrBare => "yes | no".to_owned(),
        Kind::Quoted | Kind::Ignored => "string".to_owned(),
        Kind::QuotedOrBare if row.name.ends_with("command") => "command".to_owned(),
        Kind::QuotedOrBare => "path".to_owned(),
        Kind::Rest | Kind::RestUnquoted => "text".to_owned(),
        Kind::HostName | Kind::MailServer => "host".to_owned(),
        Kind::Word(list) | Kind::AnyCaseWord(list) | Kind::Exactly(list) => words(list),
        Kind::Service => "service".to_owned(),
        Kind::CheckType => format!("{} | number", words(CHECK_TYPES)),
        Kind::States => words(STATES).replace(" | ", " , "),
        Kind::Scheduler => "name".to_owned(),
        Kind::SchedulerFlags => "flag,...".to_owned(),
        Kind::DottedQuad => "mask".to_owned(),
        Kind::Include => "pattern".to_owned(),
        Kind::Template => "name".to_owned(),
        Kind::Use => "name,...".to_owned(),
        Kind::Withdrawn => "...".to_owned(),
    }
}

const HEAD: &str = r#".\" Written from the table of directives in src/config/directive.rs: change it there, then
.\" UPDATE_MAN=1 cargo test --test manual
.Dd November 23, 2026
.Dt LDIRECTORD.CF 5
.Os
.Sh NAME
.Nm ldirectord.cf
.Nd virtual services, their real servers and how these are checked
.Sh DESCRIPTION
The file tells
.Xr ldirectord 8
which virtual services the kernel is to have, which real servers stand behind each,
and how to tell whether a real server is up.
It consists of lines
.Pp
.Dl NAME = VALUE
.Pp
A
.Em global
line begins in the first column.
It holds for the program, or is what virtual services have that say nothing else.
Global lines may stand anywhere; where two say the same, the last one holds.
.Pp
A line
.Ic virtual
or
.Ic virtual6
opens the section of a virtual service.
The lines of the section are indented, by a tab or by at least four blanks; the section ends with the
next line that begins in the first column.
.Pp
Blank lines, and lines whose first character after blanks is
.Ql # ,
are passed over.
A
.Ql #
further on begins a comment unless it is in double quotes; on a global line whose value is free text it
also needs a blank before it.
Names of directives and words of their values are in lower case.
There are no escapes, no continued lines and no variables.
A tab in a section counts as four blanks, in quotes too.
Lines may end in CR LF, and the file may begin with a byte order mark of UTF\-8.
.Pp
Values in double quotes go from the first quote to the last one of the line.
Where a number is wanted, the first digits of the value are taken.
Host names are looked up when the file is read, and the first address is used; service names are
looked up in
.Pa /etc/services .
.Pp
.Dl ldirectord \-\-check FILE
.Pp
(or
.Ql - ,
for standard input) shows what a file is understood as, and all that is wrong with it, without touching anything.
"#;

const PARTS: &str = r#".Sh SEVERAL FILES AND TEMPLATES
A configuration of many virtual services can be one file for each, and what they share can stand in one place:
.Bd -literal -offset indent
checkinterval = 5
include = /etc/ha.d/sites.d/*.cf

template = web
	service = http
	request = "/health"
	receive = "OK"
.Ed
.Pp
and in
.Pa /etc/ha.d/sites.d/shop.cf :
.Bd -literal -offset indent
virtual = 192.0.2.20:80
	use = web
	request = "/cart/health"
	real = 10.0.1.11:80 gate
	real = 10.0.1.12:80 gate
.Ed
.Pp
.Ic include
puts the lines of another file in its place.
.Ic use
puts the lines of a template behind the
.Ic virtual
line, before the section's own, so that these hold where both say something.
Messages name the file and the line where a mistake stands, once also for a template that many sections use.
The configuration is refused as a whole if one of its files is wrong or cannot be read.
.Pp
.Dl ldirectord \-\-check FILE \-\-expand
.Pp
prints the one file that means the same.
Files may include others, eight deep, and templates use others.
"#;

const GLOBAL: &str = "These stand on a line of their own, from the first column.";
const BOTH: &str = "These stand on a global line or in a section. A section's own value is preferred to \
    the global one.";
const VIRTUAL: &str = "These stand in a section.";
const SERVICE_TEXT: &str = "A negotiate check speaks one of these protocols. A virtual service on the \
    port given here has that service unless it says otherwise or the service is had by name only, and checks of its real servers go to \
    that port where neither the real server nor checkport gives one.";

const WEIGHTS: &str = r#".Sh WEIGHTS
A real server that is up has its configured weight, unless one of these says otherwise, the first of them that does:
.Bl -enum
.It
An operator, by
.Ql ldirectord weight
or
.Ql drain .
.It
The server's agent
.Pq Ic agentport .
It is asked after each check that passes, for a second at most and what is left of the check's time, and answers with a line of words, as HAProxy's
.Cm agent-check
has them:
.Cm 75%
is a share of the configured weight, at most 1000%;
.Cm drain
is weight 0;
.Cm up
and
.Cm ready
are all of it;
.Cm down , failed , stopped
and
.Cm maint
make the check one that has failed.
A share that differs from the last one counts by half, so that a peak at one moment moves few connections.
An agent that does not answer says nothing: the configured weight holds.
.It
The exit status of a command of the director
.Pq Ic agentcommand ,
which is run after each check that passes, as an external check is, for a second at most:
2 to 255 are the weights 0 to 253, 0 is the configured weight, and 1 makes the check one that has failed.
A command that cannot be run or does not end in time says nothing.
.It
The exit status of an external check
.Pq Ic externalweight ,
which means the same.
.El
.Pp
With
.Ic slowstart
the weight of a server that comes back after it was down rises in steps of a second, at least 1 from the
beginning.
At the start of the program, and for a server that a reload has brought, it does not.
.Pp
Schedulers without a w in their names, and
.Cm sh
and
.Cm mh
but for weight 0, do not care for small differences or for weights at all.
"#;

const HASHING: &str = r#".Sh HASHING SCHEDULERS
.Cm sh
and
.Cm mh
choose the real server by a hash of the client's address.
Directors that have the same servers, with the same weights and in the same order, choose alike.
When a server is removed or added,
.Cm mh
gives few other clients another server, and
.Cm sh
most.
.Pp
With
.Cm mh\-port
or
.Cm sh\-port
in
.Ic schedflags
the client's port is part of the hash.
Without it all connections from one address go to one server, also those of many clients behind one NAT address.
.Pp
A server whose weight becomes 0, such as a dead one with
.Ic quiescent No = Cm yes ,
keeps a place in the hash.
The new connections that fall to it are refused,
or with
.Cm mh\-fallback
or
.Cm sh\-fallback
given to another server.
With
.Cm sh ,
a server that has another weight than 1 and gets weight 0 changes the places of the servers after it.
.Pp
Two sysctls of the kernel matter where several directors share an address, and where servers are removed:
.Bl -tag -width Ds
.It Va net.ipv4.vs.sloppy_tcp
With 1, a director takes over a TCP connection in its middle, as when another director has failed: the hash finds its server.
With 0, the default, it does so only from the connection's first packet.
.It Va net.ipv4.vs.expire_nodest_conn
With 0, the default, clients of a removed server hang until they give up.
With 1 their connections are reset.
.El
"#;

const PATH: &str = r#".Sh CHECKS THROUGH THE SERVICE
With
.Cm gate
and
.Cm ipip ,
a real server can answer on its own address and serve no client: it has lost the virtual address from its loopback
interface, or does not unpack tunnelled packets.
With
.Ic checkpath No = Cm service
the check sees that.
It connects to the virtual address, and its packets bear a firewall mark;
ip_vs has a service of this mark with the one real server, and forwards them as it forwards a client's.
.Ql ipvsadm \-L
shows these services, with marks from 0x4c000000 to 0x4cffffff and a large weight.
They come and go with the daemon; a killed daemon's are removed at the next start.
With
.Cm masq
the way to the server's own address is the way of clients, and nothing is different.
.Pp
The answer comes from the virtual address.
Where that is an address of the director itself, Linux drops such packets of IPv4 unless
.Dl net.ipv4.conf. Ns Ar interface Ns .accept_local = 1
for the interface towards the real servers.
With a strict
.Va rp_filter
of this interface, the way to the virtual address must be this interface, too.
IPv6 needs nothing.
While the answer cannot come back, checks have no verdict: the log says why, and servers stay as they are.
.Pp
Checks leave from the address that the route to the real server has, or from
.Ic checkfrom .
It takes Linux 5.17 to mark packets without more rights than checks should have.
ip_vs remembers each check for a minute or two, by the port that it came from;
.Ql ipvsadm \-Lc
shows them.
Ports are used in turn, which is enough for 400 checks a second that fail.
.Va net.ipv4.vs.conn_reuse_mode
must be 1, which is the default.
"#;

const TAIL: &str = r#".Sh EXAMPLES
Two web servers behind network address translation, and a third that says sorry:
.Bd -literal -offset indent
checkinterval = 5
checktimeout = 3

virtual = 192.0.2.1:80
	real = 10.0.0.11:80 masq
	real = 10.0.0.12:80 masq 2
	fallback = 127.0.0.1:80
	service = http
	request = "health"
	receive = "OK"
	scheduler = wlc
.Ed
.Pp
Two servers that say sorry, one of them for three connections out of four:
.Bd -literal -offset indent
virtual = 192.0.2.1:80
	real = 10.0.0.11:80 masq
	real = 10.0.0.12:80 masq
	fallbackserver = 10.0.0.21:80 masq 3
	fallbackserver = 10.0.0.22:80 masq 1
	service = http
.Ed
.Sh COMMON MISTAKES
What files in use really have, and what comes of it.
.Ql ldirectord \-\-check
tells all of it but the last.
.Bl -enum
.It
.Ql real = 192.0.2.11:80 ,
.Ql real = 192.0.2.11:80:gate :
the forwarding method is missing, or no blank stands before it.
The message says
.Dq wrong format ,
and means that.
.It
.Ql virtual = 192.0.2.1:80,443 :
only the first port is taken.
.Ic ports
takes the others.
.It
Lines of a section that are indented by two or three blanks, or not at all, and global lines that are
indented, as after copying the whole file from a page that indents it: they are unknown commands.
.It
Typographic quotes, no\-break spaces and dashes that a word processor or a page has put in the place of plain ones.
.It
A remark behind free text:
.Ql comment = rack 12 # second floor
keeps what stands before the
.Ql # ,
but
.Ql request = \(dqstatus\(dq ok
is taken as
.Ql status ,
and the rest dropped.
.It
.Ql request ,
.Ql receive ,
.Ql login
and
.Ql passwd
without double quotes, which all four need.
.It
.Ic checkinterval
in a section: it is for global lines, unless
.Ic fork
is
.Cm yes .
.It
A port that is no service's, and no
.Ic service :
nothing is asked of the real servers, they are always up.
.It
.Ql logfile = ldirectord.log :
what does not begin with
.Ql /
is the name of a syslog facility.
.It
A port behind a real server of
.Cm gate
or
.Cm ipip :
packets arrive unchanged, so that it serves on the port of the virtual service whatever is written; the port is for the check.
.El
.Sh DIAGNOSTICS
A mistake is reported on standard error, and by a program that runs already in its log, as
.Pp
.Dl Error [PID] reading file FILE at line N: TEXT
.Pp
with the line itself below it.
The file is refused as a whole: a program that starts ends with status 2, one that runs goes on with what
it has.
What is legal and probably not meant is reported as
.Ql Warning .
.Sh COMPATIBILITY
"#;

const SEE_ALSO: &str = r".Sh SEE ALSO
.Xr pcre2syntax 3 ,
.Xr ldirectord-checks 7 ,
.Xr ipvsadm 8 ,
.Xr ldirectord 8
";
