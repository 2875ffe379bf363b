//! What a file that is wrong, or right and not meant, is told beside the original's words.

#![allow(clippy::unwrap_used, reason = "this is all test code")]

use ldirectord::config::{Severity, Source, load_source};
use ldirectord::model::{
    CheckMethod, LoadError, MemoryResolver, Model, Report, Service, ServiceAddress, describe,
};
use std::path::Path;

fn load(text: &[u8]) -> (Option<Model>, Report) {
    let resolver = MemoryResolver::new("http 80/tcp www\nhttps 443/tcp\n")
        .service_definition("line", "port = 6379\ntls = yes\nexpect = \"PONG\"\n")
        .service_definition("broken", "expect = \"(\"\n");
    match load_source(Path::new("FILE"), Source::from_bytes(text.to_vec()), &resolver) {
        Ok(loaded) => (Some(loaded.model), loaded.report),
        Err(LoadError::Refused(report)) => (None, report),
        Err(error) => panic!("{error}"),
    }
}

/// `error|warning TEXT (HINT)`, one line each.
fn said(text: impl AsRef<[u8]>) -> Vec<String> {
    let (_, report) = load(text.as_ref());
    let line = |it: &ldirectord::config::Diagnostic| {
        let severity = if it.severity == Severity::Error { "error" } else { "warning" };
        format!("{severity} {} ({})", it.text.trim(), it.hint.as_deref().unwrap_or_default())
    };
    report.diagnostics.iter().map(line).collect()
}

#[track_caller]
fn says(text: impl AsRef<[u8]>, parts: &[&str]) {
    let all = said(text);
    let one = all.iter().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(one, "{parts:?} in {all:#?}");
}

fn section(lines: &str) -> String {
    format!("virtual=192.0.2.1:80\n\tscheduler=rr\n{lines}\tchecktype=connect\n")
}

#[test]
fn one_port_stands_in_virtual_and_ports_has_the_others() {
    for (value, more) in [("80,443", "; ports takes more than one port)"), ("80 gate", "dropped)")]
    {
        let text = format!("virtual=192.0.2.1:{value}\n\tchecktype=connect\n");
        says(&text, &["warning virtual is taken as 192.0.2.1:80", more]);
    }
    says("virtual=192.0.2.1:8000-8010\n", &["error invalid address for virtual service (one port"]);
    says("virtual=192.0.2.1:nosuch-port\n", &["error invalid address for virtual service ()"]);
}

#[test]
fn a_word_that_is_no_state_is_told_which_are() {
    says("emailalertstatus=up\n", &["at: \"up\" (words are all, none, starting,"]);
}

#[test]
fn fallback_servers_that_are_not_what_they_seem() {
    let two = |one: &str, other: &str| {
        section(&format!("\treal=192.0.2.9:80 masq\n\t{one}\n\t{other}\n"))
    };
    let server = "fallbackserver=192.0.2.8:80 masq 3";
    let already =
        "warning 192.0.2.8:80 is a fallback server already, at line 4 (the kernel lists it once";
    says(two(server, "fallbackserver=192.0.2.8:80"), &[already]);
    says(two("fallbackserver=192.0.2.8:81", "fallbackserver=192.0.2.8"), &[already]);
    says(two("fallback=192.0.2.8", server), &["is a fallback server already, at line 4"]);
    let real = "warning 192.0.2.9:80 is a real server of this service too (while all real servers";
    says(two(server, "fallbackserver=192.0.2.9"), &[real]);
    says(format!("fallbackserver=192.0.2.9\n{}", two("", "")), &[real]);
    let none =
        "warning all fallback servers of this service have weight 0 (while no real server is up";
    says(two("fallbackserver=192.0.2.7 gate 0", "fallbackserver=192.0.2.8 0"), &[none]);
    says(two(server, "fallbackserver=192.0.2.7 65536"), &["weight 65536 is more than ipvsadm"]);
    says("fallbackserver=192.0.2.7 65536\n", &["weight 65536 is more than ipvsadm"]);
    says(
        two(server, "fallbackserver=[192.0.2.7]:80,5 masq"),
        &["warning fallbackserver is taken as [192.0.2.7]:80"],
    );
    for right in
        [two(server, "fallbackserver=192.0.2.7 0"), two("fallback=192.0.2.9", "fallback=192.0.2.9")]
    {
        assert_eq!(said(right), [""; 0]);
    }
    let wrong = "error a fallback server is written HOST[:PORT] [gate|masq|ipip] [WEIGHT]";
    for value in
        ["", "192.0.2.8 nat", "192.0.2.8 masq -1", "192.0.2.8 5 masq", "192.0.2.8 masq 5 5"]
    {
        says(two(server, &format!("fallbackserver={value}")), &[wrong]);
        says(format!("fallbackserver={value}\n"), &[wrong]);
    }
    says(
        two(server, "fallbackserver=no.example"),
        &["could not resolve for fallback server: no.example"],
    );
    says(
        two(server, "fallbackserver=192.0.2.8:nobody"),
        &["error invalid port for fallback server"],
    );
    says("fallbackserver=192.0.2.8:nobody\n", &["error invalid port for fallback server"]);
    says(two(server, "fallbackserver6=[fd00::8]"), &["please use \"fallbackserver\" instead"]);
    for (text, hint) in [
        ("fallback=192.0.2.8:80\u{a0}gate\n", "there is a no-break space"),
        ("fallback=192.0.2.8:80:gate\n", "a blank belongs between the address and the forwarding"),
        ("fallbackserver=[fd00::8]:80\n", "an IPv6 fallback is a virtual6 section's"),
        ("fallbackserver6=192.0.2.8\n", "an IPv4 fallback is a virtual section's"),
        ("fallback6=fd00::8\n", "an IPv6 address is written in brackets"),
    ] {
        says(text, &["could not resolve for fallback server", hint]);
    }
    let many = "fallbackserver=192.0.2.8\n".repeat(65);
    says(&many, &["error more than 64 lines of fallbackserver"]);
    let indented = section(&format!("\t{}", many.trim_end().replace('\n', "\n\t") + "\n"));
    says(indented, &["error more than 64 lines of fallbackserver"]);
}

#[test]
fn a_log_that_is_neither_a_path_nor_a_facility_is_an_error() {
    for wrong in [
        "\u{201c}/var/log/l.log\u{201c}",
        "ldirectord.log",
        "local0x # y",
        "\"Local 0\"",
        "var/log/x",
    ] {
        let text = format!("logfile={wrong}\n{}", section(""));
        says(&text, &["error logfile is neither a path nor a syslog facility"]);
        // Also where a later line replaces it.
        says(format!("{text}\nlogfile=local0\n"), &["error logfile is neither"]);
    }
    says("logfile=\u{201c}/var/log/l.log\u{201d}\n", &["typographic quotes"]);
    for right in ["local0", "\"LOG_LOCAL7\"", "Daemon", "/var/log/x.log", "\"\""] {
        assert_eq!(said(format!("logfile={right}\n{}", section(""))), [""; 0], "{right}");
    }
}

#[test]
fn what_is_dropped_of_a_value_is_told() {
    for (line, taken) in [
        ("scheduler=sh sh-port", "scheduler is taken as sh"),
        ("schedflags=sh-fallback, sh-port", "schedflags is taken as sh-fallback,"),
        ("service=http-proxy", "service is taken as http"),
        ("protocol=tcp, udp", "protocol is taken as tcp"),
        ("checktype=connect or ping", "checktype is taken as connect"),
        ("virtualhost=\"a.example\" b.example", "virtualhost is taken as a.example"),
        ("request=\"x\" y", "request is taken as x"),
        ("smtp=mail.example.com:25", "smtp is taken as mail.example.com"),
        ("httpmethod=GET, HEAD", "httpmethod is taken as GET"),
        ("checkcommand=\"/bin/x\"y", "checkcommand is taken as /bin/x"),
    ] {
        says(format!("virtual=192.0.2.1:80\n\t{line}\n"), &["warning", taken, "dropped"]);
    }
    says("logfile=\"/tmp/x.log\"junk\n", &["logfile is taken as /tmp/x.log"]);
    says(
        "virtual=192.0.2.1:80,443\n\tchecktype=connect\n",
        &["virtual is taken as 192.0.2.1:80", "ports"],
    );
    says(
        "virtual6=[2001:db8::1]:80\n\tfallback6=[::1]:80x,\n",
        &["fallback6 is taken as [::1]:80x"],
    );
    for fine in
        ["scheduler=\"wlc\"", "request=\"x\" # y", "service = > http", "virtualhost=a.example # y"]
    {
        let text = format!("virtual=192.0.2.1:80 # the web\n\tservice=http\n\t{fine}\n");
        assert_eq!(said(text), [""; 0], "{fine}");
    }
}

#[test]
fn a_real_server_that_is_refused_is_told_what_is_missing() {
    for (value, hint) in [
        ("192.0.2.2:80", "the forwarding method is missing"),
        ("192.0.2.2:80:gate", "a blank belongs between"),
        ("192.0.2.2:80,gate", "a blank belongs between"),
        ("192.0.2.2:80\u{a0}gate", "no-break space"),
        ("2001:db8::2 gate", "in brackets"),
    ] {
        let text = section(&format!("\treal={value}\n"));
        says(text, &["error invalid address for real server (wrong format)", hint]);
    }
    let mark = "virtual=7\n\treal=[2001:db8::2] gate\n";
    says(mark, &["could not resolve host", "is written as real6"]);
    let inet = "virtual6=7\n\treal6=192.0.2.2 gate\n";
    assert!(
        said(inet)
            .iter()
            .all(|line| !line.contains("error") || line.contains("is written as real, "))
    );
}

#[test]
fn characters_that_look_like_others_are_named() {
    let nbsp = "checkinterval\u{a0}=\u{a0}5\n";
    says(nbsp, &["error Unknown command", "no-break space"]);
    says(b"checkinterval\xa0=\xa05\n", &["no-break space"]);
    says("virtual=192.0.2.1:80\n\treceive=\u{201c}OK\u{201d}\n", &["typographic quotes"]);
    let utf16: Vec<u8> =
        "\u{feff}checkinterval=5\n".encode_utf16().flat_map(u16::to_le_bytes).collect();
    says(utf16, &["UTF-16"]);
    says("check\u{200b}interval=5\n", &["cannot be seen"]);
    says("a=1\rb=2\r", &["error", "CR within this line"]);
    says("# a file of an old Macintosh\rvirtual=192.0.2.1:80\r", &["warning", "CR within"]);
    let (model, report) = load(format!("\u{feff}{}", section("")).as_bytes());
    assert_eq!((model.unwrap().services.len(), report.diagnostics.is_empty()), (1, true));
}

#[test]
fn a_service_that_is_in_error_is_not_warned_about_too() {
    for line in [
        "service=htttp",
        "servcie=pop",
        "Service=dns",
        "login=x\n\trequest=\"SELECT 1\"\n\tservice=mysql",
    ] {
        let all = said(format!("virtual=192.0.2.1:8080\n\t{line}\n"));
        assert_eq!(all.len(), 1, "{all:?}");
        assert!(all[0].starts_with("error "), "{all:?}");
    }
}

#[test]
fn hazards_that_only_reading_the_whole_section_shows() {
    let twice = section("\treal=192.0.2.2:80 gate\n\treal=192.0.2.1->192.0.2.9:81 gate\n");
    says(&twice, &["192.0.2.2:80 is in this section already, at line 3"]);
    let masq = section("\treal=192.0.2.2:80 masq\n\treal=192.0.2.2:81 masq\n");
    assert_eq!(said(masq), [""; 0]);
    let idle = "\treal=192.0.2.2 gate 0\n\treal=192.0.2.3 gate\n\tfallback=127.0.0.1\n";
    says(section(idle), &["weight 0 that is up keeps the fallback out"]);
    says(section("\tscheduler=wlcc\n"), &["wlcc is none of the schedulers"]);
    let command = "virtual=192.0.2.1:80\n\tchecktype=external\n\tcheckcommand=/bin/check a\n";
    says(command, &["name of one program"]);
    let sni =
        |host: &str| format!("virtual=192.0.2.1:443\n\tservice=https\n\tvirtualhost={host}\n");
    for host in ["*.example.com", "192.0.2.1", "192.0.2.1:8443"] {
        says(sni(host), &["is not sent as the server name of TLS"]);
    }
    assert_eq!(said(sni("www.example.com:8443")), [""; 0]);
}

/// What is said of a service with two real servers that has these lines.
fn said_of(lines: &[&str]) -> Vec<String> {
    let servers = "\treal=192.0.2.2 gate\n\treal=192.0.2.3 gate\n";
    let lines: String = lines.iter().map(|line| format!("\t{line}\n")).collect();
    said(section(&format!("{servers}{lines}")))
}

#[track_caller]
fn says_only(lines: &[&str], parts: &[&str]) {
    let all = said_of(lines);
    assert_eq!(all.len(), parts.len(), "{all:#?}");
    for (line, part) in all.iter().zip(parts) {
        assert!(line.starts_with("warning ") && line.contains(part), "{part:?} in {all:#?}");
    }
}

#[test]
fn a_hash_that_refuses_or_moves_clients_is_told() {
    let refuses = "refuses the new connections that fall to a dead server (add";
    let moves = "sh gives most clients another server";
    let stays = "all connections from one client address go to one server (if";
    let known = "persistent overrules mh: a client stays where it is";
    let yes = "quiescent=yes";
    says_only(&["scheduler=mh", yes, "schedflags=mh-port"], &[refuses]);
    says_only(&["scheduler=sh", yes, "schedflags=sh-port"], &[refuses]);
    says_only(&["scheduler=mh", "schedflags=mh-fallback"], &[stays]);
    says_only(&["scheduler=sh", yes, "schedflags=sh-fallback"], &[stays]);
    says_only(&["scheduler=sh", "schedflags=sh-port,sh-fallback"], &[moves]);
    says_only(&["scheduler=sh"], &[moves, stays]);
    says_only(&["scheduler=mh", "persistent=60", "schedflags=mh-port"], &[known]);
    says_only(&["scheduler=mh", "persistent=60"], &[known]);
    for right in [
        &["scheduler=mh", "schedflags=mh-port"][..],
        &["scheduler=mh", yes, "schedflags=mh-port,mh-fallback"],
        &["scheduler=sh", yes, "schedflags=flag-1,flag-2"],
        &["scheduler=sh", yes, "schedflags=sh-fallback", "persistent=60"],
        &["scheduler=mh", "schedflags=mh-port", "persistent=60", "scheduler=wlc", "schedflags=x"],
        &["scheduler=wlc", yes, "persistent=60"],
    ] {
        let all = said_of(right);
        assert!(all.iter().all(|line| line.contains("unknown scheduler flag")), "{all:#?}");
    }
    // The line of the file also where quiescent is global, and once for all ports.
    let global = "quiescent=yes\nvirtual=192.0.2.1:80\n\tports=81\n\tscheduler=mh\n\tschedflags=mh-port\n\tchecktype=connect\n";
    let (one, two) = ("\treal=192.0.2.2 gate\n", "\treal=192.0.2.3 gate\n");
    let (_, report) = load(format!("{global}{one}{two}").as_bytes());
    let lines: Vec<_> =
        report.diagnostics.iter().map(|it| it.place.as_ref().unwrap().line).collect();
    assert_eq!(lines, [4]);
    // A single server has nobody to give clients to; a fallback takes a share of the hash.
    assert_eq!(said(format!("{global}{one}")), [""; 0]);
    says(format!("{global}{one}\tfallback=192.0.2.9\n"), &[refuses]);
    assert_eq!(said(section(&format!("{one}\tscheduler=sh\n"))), [""; 0]);
}

#[test]
fn flags_that_a_scheduler_does_not_have_are_told() {
    for (scheduler, flag, own) in [
        ("mh", "sh-port", "mh-port"),
        ("mh", "sh-fallback", "mh-fallback"),
        ("sh", "mh-port", "sh-port"),
        ("sh", "mh-fallback", "sh-fallback"),
    ] {
        let flags = format!("schedflags={flag},flag-1,flag-2");
        let text = format!("warning {flag} is taken as {own} (");
        says_only(&[&format!("scheduler={scheduler}"), "quiescent=yes", &flags], &[&text]);
    }
    for flag in ["sh-port", "mh-fallback", "flag-1", "flag-2", "flag-3"] {
        let text = format!("warning rr ignores {flag} (of the schedulers of Linux");
        says_only(&[&format!("schedflags={flag}")], &[&text]);
    }
    says_only(&["scheduler=mh", "schedflags=mh-port,flag-3"], &["mh ignores flag-3"]);
    says_only(&["scheduler=own", "schedflags=flag-1,flag-3"], &["none of the schedulers of Linux"]);
    let broken = said_of(&["scheduler=WLC", "schedflags=flag-1"]);
    assert!(broken.len() == 1 && broken[0].starts_with("error "), "{broken:#?}");
    let broken = said_of(&["scheduler=sh", "schedflags="]);
    assert!(broken.len() == 1 && broken[0].starts_with("error "), "{broken:#?}");
}

#[test]
fn flags_are_shown_by_the_names_of_their_scheduler() {
    for (scheduler, shown) in [
        ("sh", "scheduler sh sh-fallback sh-port flag-3\n"),
        ("mh", "scheduler mh mh-fallback mh-port flag-3\n"),
        ("own", "scheduler own flag-1 flag-2 flag-3\n"),
        ("wlc", "scheduler wlc flag-1 flag-2 flag-3\n"),
    ] {
        let text =
            section(&format!("\tscheduler={scheduler}\n\tschedflags=flag-1,sh-port,flag-3\n"));
        let shows = describe(&load(text.as_bytes()).0.unwrap());
        assert!(shows.contains(shown), "{shows}");
    }
    let text = section("\tscheduler=mh\n\tschedflags=mh-port\n");
    assert!(describe(&load(text.as_bytes()).0.unwrap()).contains("scheduler mh mh-port\n"));
}

#[test]
fn files_that_are_not_complete_are_warned_about() {
    says("virtual=127", &["warning the last line has no line end"]);
    assert_eq!(said(format!("{}# end", section(""))), [""; 0]);
}

#[test]
fn ports_make_one_service_each() {
    let text =
        section("\tports=443, 8000-8002,80\n\treal=192.0.2.2 gate\n\treal=192.0.2.3:90 masq\n");
    let (model, report) = load(text.as_bytes());
    let services = model.unwrap().services;
    assert!(report.diagnostics.is_empty());
    let ports: Vec<u16> = services.iter().map(|service| service.address.port()).collect();
    assert_eq!(ports, [80, 443, 8000, 8001, 8002]);
    for service in &services {
        let servers: Vec<_> =
            service.real_servers.iter().map(|it| it.listed(service.address).to_string()).collect();
        assert_eq!(
            servers,
            [format!("192.0.2.2:{}", service.address.port()), "192.0.2.3:90".into()]
        );
        assert!(matches!(service.address, ServiceAddress::Address { .. }));
    }
    for wrong in ["", "0", "443-442", "70000", "80;443", "http", "1-2-3", "80,"] {
        says(section(&format!("\tports={wrong}\n")), &["error invalid ports"]);
    }
    says(section("\tports=1-1025\n"), &["more than 1024"]);
    says("virtual=7\n\tports=80\n\tchecktype=connect\n", &["error ports needs an address"]);
    let other = "virtual=192.0.2.1:443\n\tchecktype=connect\n";
    says(format!("{}{other}", section("\tports=443\n")), &["error duplicate virtual server"]);
    says(format!("{other}{}", section("\tports=443\n")), &["error duplicate virtual server"]);
    says("ports=80\n", &["error Unknown command", "belongs in a virtual section"]);
    // What there is to say is said once.
    let once = said("virtual=192.0.2.1:8080\n\tports=8081-8089\n");
    assert_eq!(once.len(), 1, "{once:?}");
}

#[test]
fn a_service_of_one_s_own_is_what_its_file_says() {
    let text = |more: &str| {
        format!("virtual=192.0.2.1:7000\n\treal=192.0.2.2 gate\n\tservice=line\n{more}")
    };
    let port = |more: &str| {
        let (model, report) = load(text(more).as_bytes());
        assert!(report.diagnostics.is_empty());
        let plan = model.unwrap().services[0].real_servers[0].check.clone();
        let CheckMethod::Negotiate(exchange) = &plan.method else { panic!("{plan:?}") };
        assert_eq!(exchange.service, Service::Own);
        assert!(exchange.request.starts_with("port = 6379\n"));
        plan.port
    };
    assert_eq!(port(""), 6379);
    assert_eq!(port("\tcheckport=7001\n\tcheckcertificate=no\n"), 7001);
    let no = "virtual=192.0.2.1:80\n\tservice=nosuch\n";
    says(no, &["error service must be dns, ftp,", "/etc/ha.d/services.d/nosuch"]);
    // Also where a later line replaces it.
    says(format!("{no}\tservice=http\n"), &["error service must be dns"]);
    says(
        "virtual=192.0.2.1:80\n\tservice=broken\n",
        &["error invalid service: /etc/ha.d/services.d/broken: line 1"],
    );
    let udp =
        "error service line is checked over tcp, and this virtual service is udp (set protocol=tcp";
    says(text("\tprotocol=udp\n"), &[udp]);
    says(text("").replace(":7000", ":53"), &[udp]);
    assert_eq!(said(text("").replace("192.0.2.1:7000", "7")), [""; 0]);
    for odd in ["../x", "a/b", "..", "a b", "\"\""] {
        says(format!("virtual=192.0.2.1:80\n\tservice={odd}\n"), &["error service must be dns"]);
    }
}
