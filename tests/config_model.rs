//! What accepted text means.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

use ldirectord::config::{Severity, Source, load_source};
use ldirectord::model::{
    CertificateCheck, CheckMethod, CheckSource, Exchange, Fallback, FallbackMinimum,
    ForwardingMethod, HttpMethod, HttpOptions, LoadError, LogTarget, MARKS, MemoryResolver, Model,
    Netmask, RealServer, Service, ServiceAddress, StatusSet, SystemResolver, Thresholds, Tls,
    Transport, VirtualService,
};
use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

fn resolver() -> MemoryResolver {
    MemoryResolver::new("http 80/tcp\nsmtp 25/tcp\ndomain 53/tcp\ndomain 53/udp\nsip 5060/udp\n")
        .host("www.example.com", "192.0.2.80".parse().unwrap())
        .host("six.example.com", "2001:db8::80".parse().unwrap())
        .directory("/maintenance")
        .certificate_file("/ca.pem")
}

/// The model, and what only this program says about the text.
fn load(text: &str) -> (Model, Vec<String>) {
    let loaded = load_source(Path::new("FILE"), Source::from_bytes(text.into()), &resolver());
    let loaded =
        loaded.unwrap_or_else(|error| panic!("{:?}", error.messages(0).collect::<Vec<_>>()));
    let notes = loaded.report.diagnostics.iter().filter(|said| said.severity == Severity::Note);
    let notes = notes.map(|said| said.text.clone()).collect();
    (loaded.model, notes)
}

fn model(text: &str) -> Model {
    load(text).0
}

/// A section on 10.0.0.1:80 with these lines, and global lines before it.
fn service(global: &str, lines: &str) -> VirtualService {
    let lines = lines.replace('\n', "\n\t");
    model(&format!("{global}\nvirtual=10.0.0.1:80\n\t{lines}\n")).services.remove(0)
}

fn first_error(text: &str) -> String {
    match load_source(Path::new("FILE"), Source::from_bytes(text.into()), &resolver()) {
        Err(LoadError::Refused(report)) => {
            let mut said = report.diagnostics.iter();
            said.find(|said| said.severity == Severity::Error).unwrap().text.clone()
        }
        other => panic!("{text}: {other:?}"),
    }
}

fn exchange(service: &VirtualService, index: usize) -> Arc<Exchange> {
    match &service.real_servers[index].check.method {
        CheckMethod::Negotiate(exchange) | CheckMethod::Combined { exchange, .. } => {
            exchange.clone()
        }
        other => panic!("{other:?}"),
    }
}

const REAL: &str = "real=10.0.0.2:8080 masq";

#[test]
fn an_empty_file_has_the_defaults() {
    let settings = model("").settings;
    assert_eq!(settings.check_interval, Duration::from_secs(10));
    assert_eq!(settings.log, LogTarget::File("/var/log/ldirectord.log".into()));
    assert!(!settings.fork && !settings.supervised && !settings.auto_reload);
}

#[test]
fn global_lines_may_follow_sections_and_the_last_one_wins() {
    let model = model(
        "quiescent=no\nvirtual=10.0.0.1:80\n\tcleanstop=no\nquiescent=yes\ncleanstop=yes\n\
         logfile=\"local0\"\ncallback=/bin/true # quotes are optional\nmaintenancedir=/maintenance\n\
         execute=a.cf\nexecute=b.cf\nsupervised\nautoreload=yes\n",
    );
    assert!(model.services[0].quiescent);
    assert!(!model.services[0].clean_stop);
    assert_eq!(model.settings.log, LogTarget::Syslog("local0".into()));
    assert_eq!(model.settings.callback, Some("/bin/true".into()));
    assert_eq!(model.settings.maintenance_dir, Some("/maintenance".into()));
    assert_eq!(model.settings.execute, ["a.cf", "b.cf"]);
    assert!(model.settings.supervised && model.settings.auto_reload);
}

#[test]
fn addresses_of_virtual_services() {
    for (line, id) in [
        ("virtual=10.0.0.1:80", "tcp:10.0.0.1:80"),
        ("virtual=10.0.0.1:domain", "udp:10.0.0.1:53"),
        ("virtual=10.0.0.1:053", "tcp:10.0.0.1:53"),
        ("virtual=10.0.0.1:0", "tcp:10.0.0.1:0"),
        ("virtual=127.1:http # comment", "tcp:127.0.0.1:80"),
        ("virtual=www.example.com:http", "tcp:192.0.2.80:80"),
        ("virtual=7", "fwm:7"),
        ("virtual6=7 # comment", "fwm6:7"),
        ("virtual6=[2001:db8:0::1]:80", "tcp:[2001:db8::1]:80"),
        ("virtual6=six.example.com:80", "tcp:[2001:db8::80]:80"),
    ] {
        assert_eq!(model(line).services[0].address.id(), id, "{line}");
    }
    let both = model(
        "virtual=10.0.0.1:80\n\nvirtual=10.0.0.1:80\n\tprotocol=udp\n\nvirtual=7\nvirtual6=7",
    );
    assert_eq!(both.services.len(), 4);
}

#[test]
fn blank_lines_and_comments_do_not_end_a_section() {
    let text = "virtual=10.0.0.1:80\n\n\tquiescent=yes # c\n# column one\n \t \n    cleanstop=no\r\n\t# indented\n  \tscheduler=rr\nfork=yes\n";
    let model = model(text);
    assert!(model.services[0].quiescent && !model.services[0].clean_stop);
    assert_eq!(model.services[0].scheduler, "rr");
    assert!(model.settings.fork);
}

#[test]
fn each_timeout_stands_in_for_the_other() {
    for (global, lines, check, negotiate) in [
        ("", "", 5, 30),
        ("checktimeout=3", "", 3, 3),
        ("negotiatetimeout=7", "", 7, 7),
        ("checktimeout=3\nnegotiatetimeout=7", "", 3, 7),
        ("checktimeout=3", "negotiatetimeout=9", 9, 9),
        ("negotiatetimeout=3", "checktimeout=9", 9, 9),
        ("checktimeout=3\nnegotiatetimeout=7", "checktimeout=1\nnegotiatetimeout=2", 1, 2),
    ] {
        let service = service(global, &format!("{lines}\n{REAL}"));
        let plan = &service.real_servers[0].check;
        assert_eq!(plan.check_timeout.as_secs(), check, "{global} {lines}");
        assert_eq!(plan.negotiate_timeout.as_secs(), negotiate, "{global} {lines}");
    }
}

#[test]
fn times_may_have_a_fraction_and_a_unit() {
    for (written, milliseconds) in [
        ("3", 3000),
        ("3s", 3000),
        ("\"3\"", 3000),
        ("1.5", 1500),
        ("0.25s", 250),
        ("500ms", 500),
        ("10ms", 10),
        ("2m", 120_000),
        ("\"500ms\"", 500),
        // compat: the first digits of whatever there is.
        ("3 seconds", 3000),
        ("x3y", 3000),
        ("1.5.2", 1000),
        ("500 ms", 500_000),
    ] {
        let times = format!("checktimeout={written}\nnegotiatetimeout={written}");
        let service = service(&format!("checkinterval={written}\n{times}"), REAL);
        let plan = &service.real_servers[0].check;
        for time in [service.check_interval, plan.check_timeout, plan.negotiate_timeout] {
            assert_eq!(time.as_millis(), milliseconds, "{written}");
        }
    }
    for written in ["0", "0s", "0.0", "0.001", "9ms", "0ms", "ms", ".s"] {
        let error = first_error(&format!("checkinterval={written}\n"));
        assert_eq!(error, "invalid check interval value", "{written}");
    }
    for written in ["x", "1.5.2", "5 s", "1h", "-1"] {
        let error = first_error(&format!("fastinterval={written}\n"));
        assert_eq!(error, "invalid fast interval", "{written}");
    }
    assert_eq!(service("", REAL).fast_interval, None);
    let fast = service("fastinterval=2", &format!("fastinterval=300ms\n{REAL}")).fast_interval;
    assert_eq!(fast, Some(Duration::from_millis(300)));
}

#[test]
fn real_servers_have_their_defaults_and_options() {
    let service = service(
        "",
        "real=10.0.0.2 gate\nreal=10.0.0.3:http ipip 7 l:5 u:10\nreal=10.0.0.4:80 masq, 0 \"l:1\" \"u:2\"\n\
         real=10.0.0.5:80 masq u:9 l:3\nreal=10.0.0.6:80 masq l:5",
    );
    let found: Vec<_> = service
        .real_servers
        .iter()
        .map(|server| {
            let Thresholds { lower, upper } = server.thresholds;
            format!("{} {} {} {lower} {upper}", server.address, server.forwarding, server.weight)
        })
        .collect();
    assert_eq!(
        found,
        [
            "10.0.0.2:0 gate 1 0 0",
            "10.0.0.3:80 ipip 7 5 10",
            "10.0.0.4:80 masq 0 1 2",
            "10.0.0.5:80 masq 1 3 9",
            "10.0.0.6:80 masq 1 0 0",
        ]
    );
}

#[test]
fn ranges_are_inclusive_and_cross_any_boundary() {
    let service = service("", "real=59.154.201.254->59.154.202.1:80 gate 2");
    let found: Vec<_> =
        service.real_servers.iter().map(|server| server.address.to_string()).collect();
    let expected = ["59.154.201.254:80", "59.154.201.255:80", "59.154.202.0:80", "59.154.202.1:80"];
    assert_eq!(found, expected);
    let text = "virtual=10.0.0.1:80\n\treal=0.0.0.0->255.255.255.255:80 gate\n";
    assert!(first_error(text).contains("65536 addresses at most"));
}

#[test]
fn check_ports() {
    for (head, lines, port) in [
        ("virtual=10.0.0.1:80", "real=10.0.0.2:8080 masq", 8080),
        ("virtual=10.0.0.1:80", "real=10.0.0.2 masq", 80),
        ("virtual=10.0.0.1:80", "real=10.0.0.2:8080 masq\n\tcheckport=81", 81),
        ("virtual=10.0.0.1:80", "real=10.0.0.2 masq\n\tservice=smtp", 25),
        ("virtual=10.0.0.1:8080", "real=10.0.0.2 masq", 0),
        ("virtual=7", "real=10.0.0.2 gate\n\tservice=http", 80),
    ] {
        let model = model(&format!("{head}\n\t{lines}\n"));
        assert_eq!(model.services[0].real_servers[0].check.port, port, "{head} {lines}");
    }
}

#[test]
fn check_types() {
    let method =
        |lines: &str| service("", &format!("{lines}\n{REAL}")).real_servers[0].check.method.clone();
    assert_eq!(method("checktype=on"), CheckMethod::On);
    assert_eq!(method("checktype=\"off\""), CheckMethod::Off);
    assert_eq!(method("checktype=connect"), CheckMethod::Connect);
    assert_eq!(method("checktype=ping\ncheckcount=3"), CheckMethod::Ping { attempts: 3 });
    let udp = "protocol=udp\ncheckcount=2\nchecktype=connect";
    assert_eq!(method(udp), CheckMethod::Ping { attempts: 2 });
    let CheckMethod::Combined { connects: 3, transport: Transport::Udp, .. } =
        method("checktype=3\nprotocol=udp")
    else {
        panic!()
    };
    let CheckMethod::External(script) = method("checktype=external\ncheckcommand=/bin/x ") else {
        panic!()
    };
    assert_eq!(script.command, "/bin/x");
    assert_eq!(script.arguments, ["10.0.0.1", "80", "10.0.0.2", "8080"]);
    let CheckMethod::ExternalPerl(script) = method("checktype=external-perl") else { panic!() };
    assert_eq!((script.command.as_str(), script.user), ("/bin/true", None));
    let own = "checkcommanduser=\"nobody\"\nchecktype=external";
    let CheckMethod::External(script) = method(own) else { panic!() };
    let user = script.user.unwrap();
    assert_eq!((user.name.as_str(), user.uid), ("nobody", 65_534));
}

#[test]
fn scripts_get_marks_and_brackets() {
    for (text, arguments) in [
        ("virtual=7\n\treal=10.0.0.2 gate\n\tchecktype=external", ["7", "0", "10.0.0.2", "0"]),
        (
            "virtual6=[fd00::1]:80\n\treal6=[fd00::2]:81 masq\n\tchecktype=external",
            ["[fd00::1]", "80", "[fd00::2]", "81"],
        ),
    ] {
        let model = model(text);
        let CheckMethod::External(script) = &model.services[0].real_servers[0].check.method else {
            panic!()
        };
        assert_eq!(script.arguments, arguments);
    }
}

#[test]
fn exchanges_take_the_strings_of_the_section_or_of_the_server() {
    let service = service(
        "",
        "real=10.0.0.2:80 masq\nreal=10.0.0.3:80 masq 1 \"own\", \"mine\"\nreal=10.0.0.4:80 masq \"/x\",\"OK\"\n\
         real=10.0.0.5:80 masq 1 \"http://other:81/p\", \"\"\nrequest=\"a#b\"\nreceive=\"theirs\"\n\
         virtualhost=\"www.example.com\nhttpmethod=head",
    );
    let of = |index| {
        let exchange = exchange(&service, index);
        let receive = exchange.receive.as_ref().map_or("-", |pattern| pattern.as_str()).to_owned();
        format!("{} {receive} {}", exchange.request, exchange.request_is_own)
    };
    assert_eq!(of(0), "/a#b theirs false");
    assert_eq!(of(1), "/own mine true");
    assert_eq!(of(2), "/x OK true");
    assert_eq!(of(3), "/http://other:81/p - true");
    let exchange = exchange(&service, 1);
    assert_eq!(exchange.virtual_host.as_deref(), Some("www.example.com"));
    assert_eq!(exchange.http_method, HttpMethod::Head);
    assert_eq!(exchange.service, Service::Http);
}

#[test]
fn default_logins_follow_the_service_however_it_was_found() {
    for (text, login, passwd) in [
        (
            "virtual=10.0.0.1:21\n\treal=10.0.0.2 masq",
            "anonymous",
            "ldirectord@director.example.com",
        ),
        ("virtual=7\n\treal=10.0.0.2 masq\n\tservice=sip", "ldirectord@director.example.com", ""),
        (
            "virtual=7\n\treal=10.0.0.2 masq\n\tservice=ftp\n\tlogin=\"me\"",
            "me",
            "ldirectord@director.example.com",
        ),
        ("virtual=10.0.0.1:110\n\treal=10.0.0.2 masq", "", ""),
    ] {
        let exchange = exchange(&model(text).services[0], 0);
        assert_eq!((exchange.login.as_str(), exchange.passwd.as_str()), (login, passwd), "{text}");
    }
}

#[test]
fn equal_checks_are_one() {
    let model = model(
        "virtual=10.0.0.1:80\n\treal=10.0.0.2:80 masq\n\treal=10.0.0.3:80 masq\n\trequest=\"x\"\n\treceive=\"OK\"\n\
         virtual=10.0.0.9:80\n\treal=10.0.0.2:80 gate 5\n\trequest=\"x\"\n\treceive=\"OK\"\n\
         virtual=10.0.0.8:80\n\treal=10.0.0.2:80 gate 5\n\trequest=\"x\"\n\treceive=\"OK\"\n\tpasswd=\"y\"\n",
    );
    let plan = |service: usize| &model.services[service].real_servers[0].check;
    assert!(Arc::ptr_eq(plan(0), plan(1)), "weight and forwarding are no part of a check");
    assert!(!Arc::ptr_eq(plan(0), plan(2)), "a password is");
    let other = exchange(&model.services[0], 1);
    assert!(Arc::ptr_eq(&exchange(&model.services[0], 0), &other), "one exchange for a section");
}

#[test]
fn fallbacks() {
    let fallback = |text: &str| {
        let model = model(text);
        match model.services[0].fallbacks.as_slice() {
            [] => "none".to_owned(),
            [one] => format!("{} {}", one.address, one.forwarding),
            more => panic!("{more:?}"),
        }
    };
    for (text, expected) in [
        ("virtual=10.0.0.1:80\n", "none"),
        ("fallback=127.0.0.1:8080\nvirtual=10.0.0.1:80\n", "127.0.0.1:8080 gate"),
        ("fallback=127.0.0.1 masq\nvirtual=10.0.0.1:80\n", "127.0.0.1:80 masq"),
        ("fallback=127.0.0.1:http\nvirtual=10.0.0.1:81\n", "127.0.0.1:80 gate"),
        ("fallback=127.0.0.1:0\nvirtual=10.0.0.1:81\n", "127.0.0.1:0 gate"),
        ("fallback=127.0.0.1\nvirtual=10.0.0.1:80\n\tfallback=10.9.9.9 ipip\n", "10.9.9.9:80 ipip"),
        ("virtual=10.0.0.1:80\n\tfallback= # here\n", "127.0.0.1:80 gate"),
        ("fallback=127.0.0.1:80\nvirtual=7\n", "127.0.0.1:0 gate"),
        ("virtual=7\n\tfallback=127.0.0.1:8080 masq\n", "127.0.0.1:8080 masq"),
        ("fallback=127.0.0.1\nvirtual6=[fd00::1]:80\n", "none"),
        ("fallback6=[::1]\nvirtual6=[fd00::1]:80\n", "[::1]:80 gate"),
    ] {
        assert_eq!(fallback(text), expected, "{text}");
    }
    assert_eq!(
        service("fallback=127.0.0.1", "").fallbacks[0],
        Fallback {
            address: ([127, 0, 0, 1], 80).into(),
            forwarding: ForwardingMethod::Gate,
            weight: 1
        }
    );
}

#[test]
fn several_fallbacks() {
    let fallbacks = |text: &str| -> Vec<String> {
        let shown = |it: &Fallback| format!("{} {} {}", it.address, it.forwarding, it.weight);
        model(text).services[0].fallbacks.iter().map(shown).collect()
    };
    let global = "fallback=10.9.0.1\nfallbackserver=10.9.0.2 masq 5\nfallbackserver=10.9.0.3:81 7\n\
                  fallbackserver6=[fd00::9] 3\n";
    for (lines, expected) in [
        (
            "virtual=10.0.0.1:80\n",
            &["10.9.0.1:80 gate 1", "10.9.0.2:80 masq 5", "10.9.0.3:81 gate 7"][..],
        ),
        ("virtual6=[fd00::1]:80\n", &["[fd00::9]:80 gate 3"]),
        ("virtual=7\n", &["10.9.0.1:0 gate 1", "10.9.0.2:0 masq 5", "10.9.0.3:0 gate 7"]),
        ("virtual=10.0.0.1:80\n\tfallback=10.9.0.4\n", &["10.9.0.4:80 gate 1"]),
        ("virtual=10.0.0.1:80\n\tfallbackserver=10.9.0.4\n", &["10.9.0.4:80 gate 1"]),
        (
            "virtual=10.0.0.1:80\n\tfallbackserver=www.example.com:http ipip 0 # none\n\
             \tfallbackserver = [10.9.0.5]:8080   masq\t9999999999\n\tfallback=10.9.0.4\n",
            &["10.9.0.4:80 gate 1", "192.0.2.80:80 ipip 0", "10.9.0.5:8080 masq 2147483647"],
        ),
        (
            "virtual=10.0.0.1:80\n\tports=81\n\tfallbackserver=10.9.0.4 gate 2\n",
            &["10.9.0.4:80 gate 2"],
        ),
    ] {
        assert_eq!(fallbacks(&format!("{global}{lines}")), expected, "{lines}");
    }
    let ported = model("virtual=10.0.0.1:80\n\tports=81\n\tfallbackserver=10.9.0.4\n");
    assert_eq!(ported.services[1].fallbacks[0].address, ([10, 9, 0, 4], 81).into());
}

#[test]
fn fallback_commands_and_what_goes_with_them() {
    let service = service(
        "fallbackcommand=/bin/g -x # c\nfallbackcommandretry=yes\nfallbackminimum=50%\nfallbackholddown=3\nrisecount=2\nreconcile=yes",
        "fallbackcommand=\"/bin/v -y\"\nfallbackcommandtimeout=9\nfallbackcommandonstop=yes\nreal=10.0.0.2 gate",
    );
    let command = service.fallback_command.as_ref().unwrap();
    assert_eq!((command.command.as_str(), command.retry), ("/bin/v -y", true));
    assert_eq!(command.timeout, Duration::from_secs(9));
    assert_eq!(service.fallback_minimum, FallbackMinimum::Percent(50));
    assert_eq!(service.fallback_hold_down, Duration::from_secs(3));
    assert!(service.fallback_command_on_stop && service.reconcile);
    assert_eq!(service.rise_count, 2);
    let global = self::service("fallbackcommand=\"/bin/g -x\"\nfallbackcommanduser=nobody", "");
    let command = global.fallback_command.unwrap();
    assert_eq!(command.command, "/bin/g -x");
    assert_eq!(command.user.unwrap().name, "nobody");
}

#[test]
fn additions_are_refused_where_they_make_no_sense() {
    for (text, error) in [
        ("virtual=10.0.0.1:80\n\tfallbackholddown=5\n", "fallbackholddown needs a fallbackcommand"),
        (
            "virtual=10.0.0.1:80\n\tfallbackcommanduser=nobody\n",
            "fallbackcommanduser needs a fallbackcommand",
        ),
        (
            "virtual=10.0.0.1:80\n\tchecktype=connect\n\tcheckcommanduser=nobody\n",
            "checkcommanduser makes no sense for checktype=connect",
        ),
        (
            "checkcommanduser=nosuch\nvirtual=10.0.0.1:80\n\tchecktype=external\n",
            "invalid check command user: nosuch: no such user",
        ),
        (
            "virtual=10.0.0.1:80\n\tfallbackcommand=/bin/x\n\tfallbackcommanduser=nosuch\n",
            "invalid fallback command user: nosuch: no such user",
        ),
        (
            "virtual=10.0.0.1:80\n\tfallbackcommandonstop=yes\n",
            "fallbackcommandonstop needs a fallbackcommand",
        ),
        (
            "fallbackcommandretry=yes\nvirtual=10.0.0.1:80\n",
            "fallbackcommandretry needs a fallbackcommand",
        ),
        (
            "fallbackcommand=/x\nvirtual=10.0.0.1:80\n\tfallbackminimum=2\n\treal=10.0.0.2 gate\n",
            "fallbackminimum is larger than the number of real servers of the virtual service at line 2 (1)",
        ),
        ("fallbackminimum=101%\n", "invalid fallback minimum"),
        ("fallbackminimum=0\n", "invalid fallback minimum"),
        ("risecount=0\n", "invalid rise count value"),
        ("risecount=2x\n", "invalid rise count value"),
        ("reconcile=true\n", "reconcile must be 'yes' or 'no'"),
        ("checkcertificate=maybe\n", "checkcertificate must be chain, name or no"),
        (
            "virtual=10.0.0.1:25\n\tcheckcertificate=no\n\treal=10.0.0.2 gate\n",
            "checkcertificate makes no sense for service=smtp",
        ),
        ("checktls=maybe\n", "checktls must be no, yes or starttls"),
        (
            "virtual=10.0.0.1:80\n\tchecktls=yes\n\treal=10.0.0.2 gate\n",
            "checktls yes makes no sense for service=http",
        ),
        (
            "virtual=10.0.0.1:993\n\tservice=imaps\n\tchecktls=no\n\treal=10.0.0.2 gate\n",
            "checktls no makes no sense for service=imaps",
        ),
        (
            "virtual=10.0.0.1:3306\n\tservice=mysql\n\tchecktls=yes\n\treal=10.0.0.2 gate\n",
            "checktls yes makes no sense for service=mysql",
        ),
        (
            "virtual=10.0.0.1:53\n\tservice=dns\n\tprotocol=udp\n\tchecktls=yes\n\treal=10.0.0.2 gate\n",
            "checktls yes makes no sense for protocol=udp",
        ),
        (
            "virtual=10.0.0.1:25\n\tchecktype=connect\n\tchecktls=yes\n\treal=10.0.0.2 gate\n",
            "checktls yes makes no sense for checktype=connect",
        ),
        (
            "virtual=10.0.0.1:443\n\tservice=https\n\tcheckkey=/key.pem\n\treal=10.0.0.2 gate\n",
            "checkkey makes no sense without checkcert",
        ),
        (
            "virtual=10.0.0.1:443\n\tservice=https\n\tcheckcert=/no.pem\n\treal=10.0.0.2 gate\n",
            "invalid client certificate: no such file",
        ),
        (
            "virtual=10.0.0.1:9\n\tservice=udp\n\trequest=\"0\"\n\treal=10.0.0.2 gate\n",
            "invalid request string: 0",
        ),
        (
            "virtual=10.0.0.1:9\n\tservice=snmp\n\treal=10.0.0.2 gate 1 \"sysName\",\"x\"\n",
            "invalid request string: sysName",
        ),
        (
            "virtual=10.0.0.1:80\n\tcheckproxy=v3\n\treal=10.0.0.2 gate\n",
            "checkproxy must be no, v1 or v2",
        ),
        (
            "virtual=10.0.0.1:53\n\tservice=dns\n\tprotocol=udp\n\tcheckproxy=v1\n\treal=10.0.0.2 gate\n",
            "checkproxy v1 makes no sense for protocol=udp",
        ),
        (
            "virtual=10.0.0.1:80\n\tchecktype=connect\n\tcheckproxy=v2\n\treal=10.0.0.2 gate\n",
            "checkproxy v2 makes no sense for checktype=connect",
        ),
        (
            "virtual=10.0.0.1:80\n\thttpversion=2\n\treal=10.0.0.2 gate\n",
            "httpversion must be 1.0 or 1.1",
        ),
        (
            "virtual=10.0.0.1:80\n\tchecktype=on\n\tagentport=8042\n\treal=10.0.0.2 gate\n",
            "agentport 8042 makes no sense for checktype=on and off",
        ),
        (
            "virtual=10.0.0.1:80\n\tchecktype=external\n\tagentport=8042\n\treal=10.0.0.2 gate\n",
            "agentport 8042 makes no sense for external checks",
        ),
        (
            "virtual=10.0.0.1:80\n\texternalweight=yes\n\treal=10.0.0.2 gate\n",
            "externalweight yes makes no sense for this checktype",
        ),
        (
            "virtual=10.0.0.1:80\n\tservice=none\n\tagentport=8042\n\treal=10.0.0.2 gate\n",
            "agentport 8042 makes no sense for service=none",
        ),
        (
            "virtual=10.0.0.1:80\n\tchecktype=on\n\tagentcommand=/bin/load\n\treal=10.0.0.2 gate\n",
            "agentcommand /bin/load makes no sense for checktype=on and off",
        ),
        (
            "virtual=10.0.0.1:80\n\tagentport=1\n\tagentcommand=/bin/load\n\treal=10.0.0.2 gate\n",
            "agentcommand /bin/load makes no sense for a section with agentport",
        ),
        (
            "virtual=10.0.0.1:80\n\tagentcommand=/bin/load\n\tcheckcommanduser=nosuch\n\treal=10.0.0.2 gate\n",
            "invalid check command user: nosuch: no such user",
        ),
        ("jitter=51\n", "invalid jitter"),
        ("slowstart=0\n", "invalid slow start time"),
        ("checkcertdays=0\n", "checkcertdays must be a number of days"),
        (
            "virtual=10.0.0.1:443\n\tcheckcafile=/nowhere\n\treal=10.0.0.2 gate\n",
            "invalid certificate file: /nowhere: no such file",
        ),
        (
            "virtual=10.0.0.1:80\n\treceive=\"*x\"\n\treal=10.0.0.2 gate\n",
            "invalid receive string: quantifier does not follow a repeatable item",
        ),
        (
            "virtual=10.0.0.1:80\n\treal=10.0.0.2 gate 1 \"x\",\"(\"\n",
            "invalid receive string: missing closing parenthesis",
        ),
    ] {
        assert_eq!(first_error(text), error, "{text}");
    }
}

#[test]
fn a_service_that_the_original_does_not_know_is_had_by_name_and_asked_as_written() {
    let of = |port: u16, more: &str| {
        let text = format!("virtual=10.0.0.1:{port}\n{more}\treal=10.0.0.2:{port} gate\n");
        let exchange = exchange(&model(&text).services[0], 0);
        (exchange.service, exchange.request.clone())
    };
    let ask = |service: &str| format!("\tservice={service}\n\trequest=\"a b\"\n");
    for port in [5672, 11211, 1883, 6379, 161, 22, 69] {
        assert_eq!(of(port, "").0, Service::None, "{port}");
    }
    assert_eq!(of(9, &ask("redis")), (Service::Redis, "a b".to_owned()));
    assert_eq!(of(9, &ask("tftp")), (Service::Tftp, "a b".to_owned()));
    assert_eq!(of(9, &ask("websocket")), (Service::Websocket, "/a b".to_owned()));
}

#[test]
fn tls_of_a_check() {
    let checked = |more: &str, service: &str| {
        let text =
            format!("{more}virtual=10.0.0.1:9\n\tservice={service}\n\treal=10.0.0.2:9 gate\n");
        match &model(&text).services[0].real_servers[0].check.method {
            CheckMethod::Negotiate(exchange) => exchange.tls,
            other => panic!("{other:?}"),
        }
    };
    // A global one is for whom it may concern.
    for (service, without, starttls, yes) in [
        ("smtp", Tls::No, Tls::Start, Tls::Yes),
        ("pgsql", Tls::No, Tls::Start, Tls::No),
        ("simpletcp", Tls::No, Tls::No, Tls::Yes),
        ("https", Tls::Yes, Tls::Yes, Tls::Yes),
        ("http", Tls::No, Tls::No, Tls::No),
    ] {
        assert_eq!(checked("", service), without, "{service}");
        assert_eq!(checked("checktls=starttls\n", service), starttls, "{service}");
        assert_eq!(checked("checktls=yes\n", service), yes, "{service}");
    }
}

#[test]
fn certificates() {
    let checked = |lines: &str| {
        let text = format!("virtual=10.0.0.1:443\n\treal=10.0.0.2 gate\n\t{lines}\n");
        let exchange = exchange(&model(&text).services[0], 0);
        (exchange.certificate, exchange.ca_file.clone())
    };
    assert_eq!(checked(""), (CertificateCheck::Chain, None));
    assert_eq!(checked("service=ldaps"), (CertificateCheck::No, None));
    assert_eq!(checked("checkcertificate=name"), (CertificateCheck::Name, None));
    assert_eq!(
        checked("checkcafile=\"/ca.pem\""),
        (CertificateCheck::Chain, Some("/ca.pem".into()))
    );
}

#[test]
fn where_checks_leave_from() {
    let of = |lines: &str| {
        service("", &format!("{lines}\n{REAL}")).real_servers[0].check.way.source.clone()
    };
    let address = |text: &str| Some(CheckSource::Address(text.parse().unwrap()));
    let interface = |name: &str| Some(CheckSource::Interface(name.to_owned()));
    assert_eq!(of(""), None);
    assert_eq!(of("checkfrom=192.0.2.250"), address("192.0.2.250"));
    assert_eq!(of("checkfrom=\"bond0.17\""), interface("bond0.17"));
    assert_eq!(of("checkfrom=2001:db8::1"), None, "for real servers of the same family");
    assert_eq!(of("checkfrom=eth0\nchecktype=ping"), interface("eth0"));
    let global = |from: &str, lines: &str| {
        let global = format!("checkfrom={from}");
        service(&global, &format!("{lines}\n{REAL}")).real_servers[0].check.way.source.clone()
    };
    assert_eq!(global("192.0.2.250", ""), address("192.0.2.250"));
    assert_eq!(global("192.0.2.250", "checkfrom=eth1"), interface("eth1"));
    for lines in ["checktype=ping", "checktype=external"] {
        assert_eq!(global("192.0.2.250", lines), None, "{lines}");
    }
    for (lines, error) in [
        ("checkfrom=no such", "invalid check source: no such"),
        ("checkfrom=1.2.3.4/24", "invalid check source: 1.2.3.4/24"),
        ("checkfrom=sixteen-letters-", "invalid check source: sixteen-letters-"),
        (
            "checktype=ping\n\tcheckfrom=192.0.2.250",
            "checkfrom 192.0.2.250 makes no sense for checktype=ping",
        ),
        (
            "checktype=external\n\tcheckfrom=eth0",
            "checkfrom eth0 makes no sense for checktype=external",
        ),
    ] {
        assert_eq!(first_error(&format!("virtual=10.0.0.1:80\n\t{lines}\n")), error, "{lines}");
    }
}

#[test]
fn the_path_of_checks() {
    let paths = |global: &str, lines: &str| {
        let service = service(global, lines);
        let path = |server: &RealServer| server.check.way.path.clone();
        service.real_servers.iter().map(path).collect::<Vec<_>>()
    };
    let servers = "real=10.0.0.11:8080 gate\n\treal=10.0.0.12 ipip\n\treal=10.0.0.13 masq";
    assert_eq!(paths("", servers), [None, None, None]);
    let through = paths("checkpath=service", servers);
    let [Some(gate), Some(ipip), None] = &through[..] else { panic!("{through:?}") };
    assert_eq!(
        gate.address,
        service("", servers).address.to_string()[..8].parse::<IpAddr>().unwrap()
    );
    assert_eq!(
        (gate.server.to_string(), gate.forwarding),
        ("10.0.0.11".into(), ForwardingMethod::Gate)
    );
    assert_eq!(
        (ipip.server.to_string(), ipip.forwarding),
        ("10.0.0.12".into(), ForwardingMethod::Ipip)
    );
    assert!(gate.mark != ipip.mark && [gate, ipip].iter().all(|it| MARKS.contains(&it.mark)));
    assert_eq!(
        paths("", &format!("checkpath=service\n\t{servers}")),
        through,
        "the same everywhere"
    );
    let direct = format!("checkpath=direct\n\t{servers}");
    assert_eq!(paths("checkpath=service", &direct), [None, None, None]);
    for lines in ["checktype=ping", "checktype=external", "checktype=external-perl"] {
        assert_eq!(
            paths("checkpath=service", &format!("{lines}\n\t{servers}")),
            [None, None, None]
        );
        let error = format!("checkpath service makes no sense for {lines}");
        let lines = format!("virtual=10.0.0.1:80\n\t{lines}\n\tcheckpath=service\n");
        assert_eq!(first_error(&lines), error);
    }
    assert_eq!(
        first_error("virtual=7\n\tprotocol=fwm\n\tcheckpath=service\n"),
        "checkpath: a firewall mark is no address"
    );
    assert_eq!(
        first_error("virtual=10.0.0.1:80\n\tcheckpath=through\n"),
        "checkpath must be direct or service"
    );
}

#[test]
fn what_http_checks_send_and_accept() {
    let of = |lines: &str| {
        exchange(&service("", &format!("service=http\n{lines}\n{REAL}")), 0).http.clone()
    };
    assert_eq!(of(""), HttpOptions::default());
    let http =
        of("httpmethod=post\nhttpbody=\"{\"ping\":1}\"\nhttpheader=\"X-Health:  director \"\n\
         httpheader = Content-Type: application/json\nhttpstatus=200-299, 401\nhttpredirect=no");
    let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    let headers = [pair("X-Health", "director"), pair("Content-Type", "application/json")];
    assert_eq!(http.headers, headers);
    assert_eq!(http.body, "{\"ping\":1}");
    assert_eq!(http.statuses, [(200, 299), (401, 401)]);
    assert!(http.stays);
    for (line, error) in [
        ("httpheader=\"no colon\"", "invalid http header"),
        ("httpheader=\"a b: c\"", "invalid http header"),
        ("httpheader=\": c\"", "invalid http header"),
        ("httpheader=\"X: \u{7}\"", "invalid http header"),
        ("httpheader=\"Host: x\"", "invalid http header"),
        ("httpheader=\"content-length: 5\"", "invalid http header"),
        ("httpstatus=99", "httpstatus must be statuses and ranges of them: 200-299,401"),
        ("httpstatus=1000", "httpstatus must be statuses and ranges of them: 200-299,401"),
        ("httpstatus=300-200", "httpstatus must be statuses and ranges of them: 200-299,401"),
        ("httpstatus=2xx", "httpstatus must be statuses and ranges of them: 200-299,401"),
        ("httpredirect=maybe", "httpredirect must be 'yes' or 'no'"),
        ("httpmethod=PUT", "httpmethod must be GET or HEAD"),
    ] {
        assert_eq!(first_error(&format!("virtual=10.0.0.1:80\n\t{line}\n")), error, "{line}");
    }
}

#[test]
fn scheduling() {
    let service = service(
        "",
        "scheduler=sh\nschedflags=sh-port,flag-1 x\npersistent=600\nnetmask=255.255.255.0",
    );
    assert!(service.sched_flags.flag1 && service.sched_flags.flag2 && !service.sched_flags.flag3);
    let persistence = service.persistence.unwrap();
    assert_eq!(persistence.timeout, 600);
    assert_eq!(persistence.netmask, Netmask::Inet([255, 255, 255, 0].into()));
    let v6 =
        model("virtual6=[fd00::1]:80\n\tpersistent=5\n\tnetmask=64\n\tops=yes\n\tprotocol=udp\n");
    assert_eq!(v6.services[0].persistence.unwrap().netmask, Netmask::Inet6(64));
    assert!(v6.services[0].one_packet);
    assert_eq!(self::service("", "").scheduler, "wrr");
}

#[test]
fn mail() {
    let alert = service(
        "emailalert=\"a@example.com, b@example.com\"\nemailalertfreq=60\nemailalertfrom=me\nsmtp=mail.example.com # c",
        "emailalertstatus=running,stopping\nservicename=My shop # c\ncomment=a\tb",
    )
    .alert;
    assert_eq!(alert.to, ["a@example.com", "b@example.com"]);
    assert_eq!(alert.frequency, Some(Duration::from_secs(60)));
    assert_eq!(alert.statuses, StatusSet { running: true, stopping: true, ..StatusSet::NONE });
    assert_eq!(alert.smtp.as_deref(), Some("mail.example.com"));
    assert_eq!(alert.service_name.as_deref(), Some("My shop"));
    assert_eq!(alert.comment.as_deref(), Some("a    b"));
    assert_eq!(service("", "emailalertstatus=").alert.statuses, StatusSet::NONE);
    assert_eq!(service("", "emailalertfreq=0").alert.frequency, None);
}

#[test]
fn the_interval_of_a_section_needs_fork() {
    let interval = |text: &str| service(text, "checkinterval=3").check_interval.as_secs();
    assert_eq!(interval(""), 10);
    assert_eq!(interval("checkinterval=7"), 7);
    assert_eq!(interval("checkinterval=7\nfork=yes"), 3);
    assert_eq!(service("checkinterval=7\nfork=yes", "").check_interval.as_secs(), 7);
}

#[test]
fn hazards_are_pointed_out() {
    for (text, note) in [
        (
            "virtual=10.0.0.1:8080\n",
            "no service is known for this port, so its real servers are always up",
        ),
        ("virtual=10.0.0.1:53\n", "a dns check without receive never succeeds"),
        ("virtual=10.0.0.1:110\n", "without login, the server must greet to be up"),
        (
            "virtual=10.0.0.1:21\n",
            "without receive, the login must succeed for the server to be up",
        ),
        ("virtual=10.0.0.1:3306\n", "an SQL check without login and request never succeeds"),
        ("virtual=10.0.0.1:3128\n", "an http_proxy check whose request is no URL never succeeds"),
        (
            "virtual=10.0.0.1:80\n\thttpmethod=HEAD\n\treceive=\"x\"\n",
            "the answer to HEAD has no body, so receive is never found",
        ),
        ("virtual=10.0.0.1:80\n\tnetmask=255.0.0.0\n", "netmask has no effect without persistent"),
        (
            "virtual=10.0.0.1:80\n\tops=yes\n",
            "ops=yes has no effect, because the service is not udp",
        ),
        ("virtual=10.0.0.1:80\n\tload=\"x\"\n", "load has no effect"),
        (
            "checkinterval=1.5\nvirtual=10.0.0.1:8080\n\tservice=none\n",
            "checkinterval is taken as 1.5 s",
        ),
        ("virtual=10.0.0.1:80\n\tchecktype=connect2\n", "checktype is taken as 2"),
        (
            "virtual=10.0.0.1:80\n\treal=10.0.0.2 gate 1 \"/x\",\"y\"\n",
            "request and receive of this real server are used as they are written",
        ),
        (
            "virtual=10.0.0.1:80\n\treal=10.0.0.2 gate 1 l:5\n",
            "the lower threshold is not below an upper one and is left out",
        ),
        ("virtual=0\n\tchecktype=connect\n", "0 is the mark of packets that have none"),
    ] {
        assert_eq!(load(text).1, [note], "{text}");
    }
    for text in [
        "virtual=10.0.0.1:8080\n\tservice=none\n",
        "virtual=10.0.0.1:8080\n\tchecktype=connect\n",
        "virtual=10.0.0.1:53\n\treal=10.0.0.2 gate \"x\", \"y\"\n",
        "checkinterval=\"5\"\nchecktimeout=> 3\nvirtual=10.0.0.1:8080\n\tservice=none\n",
    ] {
        assert_eq!(load(text).1, [""; 0], "{text}");
    }
}

#[test]
fn a_note_that_holds_for_many_places_is_said_twice_and_counted() {
    let text: String = (1..=100).map(|n| format!("virtual=10.0.0.{n}:8080\n\n")).collect();
    let loaded =
        load_source(Path::new("FILE"), Source::from_bytes(text.into()), &resolver()).unwrap();
    let said: Vec<_> = loaded.report.messages(1).collect();
    assert_eq!(said.len(), 2);
    assert!(said[1].ends_with("(and 98 more like this)"), "{said:?}");
}

#[test]
fn bytes_of_other_encodings_are_kept_where_they_matter() {
    let text =
        b"virtual=10.0.0.1:80\n\treal=10.0.0.2 gate\n\tcomment=caf\xe9\n\treceive=\"caf\xe9\"\n"
            .to_vec();
    let loaded = load_source(Path::new("FILE"), Source::from_bytes(text), &resolver()).unwrap();
    let service = &loaded.model.services[0];
    assert_eq!(service.alert.comment.as_deref(), Some("café"));
    let pattern = exchange(service, 0).receive.clone().unwrap();
    assert!(pattern.is_match(b"un caf\xe9") && !pattern.is_match("un café".as_bytes()));
}

#[test]
fn all_errors_are_reported_in_the_order_of_the_file() {
    let text = "nonsense\nvirtual=10.0.0.1:80\n\treal=nohost:80 gate\n\treal=10.0.0.2:80 fly\n\tfoo=1\n\
                virtual=10.0.0.1:80\n\nquiescent=maybe\n";
    let Err(LoadError::Refused(report)) =
        load_source(Path::new("FILE"), Source::from_bytes(text.into()), &resolver())
    else {
        panic!()
    };
    let lines: Vec<_> = report.messages(9).collect();
    assert_eq!(
        lines,
        [
            "Error [9] reading file FILE at line 1: Unknown command nonsense\n ",
            "Error [9] reading file FILE at line 5: Unknown command \"\tfoo=1\n\"",
            "Error [9] reading file FILE at line 3: invalid address (nohost) for real server (could not resolve host)",
            "Error [9] reading file FILE at line 4: forward method must be gate, masq or ipip",
            "Error [9] reading file FILE at line 7: duplicate virtual server",
            "Error [9] reading file FILE at line 8: quiescent must be 'yes' or 'no'",
        ]
    );
}

#[test]
fn files_that_are_none_are_refused() {
    let message = |path: &str| {
        let error = ldirectord::config::load(Path::new(path), &resolver()).unwrap_err();
        error.messages(5).next().unwrap()
    };
    assert_eq!(message("/nonexistent/x.cf"), "Error [5]: can not open file /nonexistent/x.cf");
    assert_eq!(message("/dev/zero"), "Error [5]: can not open file /dev/zero");
    assert_eq!(message("/tmp"), "Error [5]: can not open file /tmp");
}

#[test]
fn files_to_be_written_are_looked_at_without_making_them() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("x.log");
    let check = |text: String| {
        let source = Source::from_bytes(text.into());
        let loaded = load_source(Path::new("FILE"), source, &SystemResolver::new());
        loaded.map(|_| ()).map_err(|error| error.messages(5).next().unwrap())
    };
    assert_eq!(check(format!("logfile=\"{}\"\n", log.display())), Ok(()));
    assert!(!log.exists());
    assert_eq!(check("logfile=\"local3\"\n".to_owned()), Ok(()));
    let error = "Error [5] reading file FILE at line 1: unable to open logfile: /nonexist/x";
    assert_eq!(check("logfile=\"/nonexist/x\"\n".to_owned()), Err(error.to_owned()));
    let error = "Error [5] reading file FILE at line 2: unable to open monitorfile /nonexist/x: No such file or directory";
    let text = "virtual=10.0.0.1:80\n\tmonitorfile=/nonexist/x\n";
    assert_eq!(check(text.to_owned()), Err(error.to_owned()));
    let text = "virtual=10.0.0.1:80\n\tmonitorfile=/nonexist/x\n\tmonitorfile=/tmp/x\nnonsense\n";
    assert_eq!(check(text.to_owned()), Err(error.to_owned()), "the first error, though replaced");
}

#[test]
fn a_service_knows_its_line() {
    let model = model("\n\nvirtual=10.0.0.1:80\n\nvirtual=7\n");
    let lines: Vec<_> = model.services.iter().map(|service| service.origin.as_str()).collect();
    assert_eq!(lines, ["line 3", "line 5"]);
    assert!(matches!(model.services[1].address, ServiceAddress::Fwmark { mark: 7, .. }));
}

#[test]
fn an_error_is_not_displaced_by_warnings_whatever_their_number() {
    for at in [0, 150, 201, 299] {
        let mut text = String::from("fork=no\n");
        for n in 0..300 {
            let host = if n == at { "no.such.host.invalid" } else { "10.0.0.2" };
            let section =
                format!("virtual=10.1.{}.{}:80\n\treal={host}:80 masq\n", n / 250, n % 250);
            text += &(section + "\tcheckinterval=3\n\tchecktype=connect\n");
        }
        assert!(first_error(&text).contains("no.such.host.invalid"), "{at}");
    }
}
