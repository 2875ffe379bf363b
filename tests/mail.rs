//! Mail through a real server (Exim) and through the machine's own sendmail (Exim's, too).

#![allow(clippy::unwrap_used, reason = "this is all test code")]

#[path = "support/sandbox.rs"]
mod sandbox;

use sandbox::{Sandbox, wait_for};
use std::fs;
use std::process::Command;

/// Delivers everything into one file, but refuses `refused`.
const EXIM: &str = "\
primary_hostname = lb1.example
domainlist local = *
tls_advertise_hosts =
daemon_smtp_ports = 25
local_interfaces = 127.0.0.1
qualify_domain = lb1.example
acl_smtp_rcpt = recipient
keep_environment =
begin acl
recipient:
  deny local_parts = refused
       message = nobody here
  accept
begin routers
all:
  driver = accept
  transport = file
begin transports
file:
  driver = appendfile
  file = /var/mail/all
  user = mail
  group = mail
  envelope_to_add
";

fn machine(mail: &str) -> Sandbox {
    let deps = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/deps");
    assert!(Command::new(deps).arg("exim4-daemon-light").status().unwrap().success());
    assert!(nix::unistd::geteuid().is_root(), "these tests need root");
    let machine = Sandbox::new();
    fs::create_dir_all(machine.seen("/etc/exim4")).unwrap();
    fs::write(machine.seen("/etc/exim4/exim4.conf"), EXIM).unwrap();
    machine.shell("rm -f /var/mail/*; hostname lb1.example").succeeds();
    let config = format!(
        "checkinterval=1\nemailalertfrom=director@example.org\n{mail}\
         virtual=10.9.9.9:80\n\treal=127.0.0.2:8001 masq\n\tfallback=127.0.0.1:9 masq\n\
         \tchecktype=connect\n\tservicename=Web shop\n\tcomment=call Joe\n"
    );
    fs::write(machine.seen("/etc/ha.d/web.cf"), config).unwrap();
    machine
}

/// The mail that was delivered to this name.
fn mailbox(machine: &Sandbox, name: &str) -> String {
    let all = fs::read_to_string(machine.seen("/var/mail/all")).unwrap_or_default();
    let to = format!("\nEnvelope-to: {name}@example.org\n");
    all.split("\nFrom ").filter(|mail| mail.contains(&to)).collect()
}

const ADDED: &str = "[Web shop] Added fallback server: 127.0.0.1:9 (10.9.9.9:80) (Weight set to 1)";

#[track_caller]
fn check_mail(text: &str) {
    for line in [
        "From: director@example.org\n",
        "To: first@example.org, refused@example.org, second@example.org\n",
        &format!("Subject: {ADDED}\n"),
        &format!(
            "\n\nldirectord host: lb1.example\nLog-Message: {ADDED}\nDaemon-Status: starting\n\n\
             Service name: Web shop\nComment: call Joe\n"
        ),
    ] {
        assert!(text.contains(line), "{line:?} is not in\n{text}");
    }
}

#[test]
fn a_mail_server_takes_the_mail_for_every_address_that_it_knows() {
    let machine = machine(
        "emailalert=first@example.org, refused@example.org, second@example.org\nsmtp=127.0.0.1\n",
    );
    machine.shell("exim4 -bd").succeeds();
    let listens = "perl -MIO::Socket::INET -e 'exit !IO::Socket::INET->new(\"127.0.0.1:25\")'";
    wait_for("exim listens", || machine.shell(listens).status == 0);
    machine.ldirectord("--table memory web.cf start").succeeds();
    for name in ["first", "second"] {
        wait_for("the mail", || mailbox(&machine, name).contains("Comment: call Joe"));
        let text = mailbox(&machine, name);
        check_mail(&text);
        assert!(text.contains("(envelope-from <root@lb1.example>)"), "{text}");
        assert_eq!(text.matches("\nDate: ").count(), 1, "{text}");
    }
    let log = || fs::read_to_string(machine.seen("/var/log/ldirectord.log")).unwrap_or_default();
    wait_for("the refusal in the log", || {
        log().contains("failed to send SMTP email message to refused@example.org: 550 nobody here")
    });
    assert!(log().contains("emailalert: Added fallback server: 127.0.0.1:9 (10.9.9.9:80)"));
}

#[test]
fn without_a_mail_server_the_machine_s_own_mailer_gets_it() {
    let machine =
        machine("emailalert=first@example.org, refused@example.org, second@example.org\n");
    machine.ldirectord("--table memory web.cf start").succeeds();
    for name in ["first", "second"] {
        wait_for("the mail", || mailbox(&machine, name).contains("Comment: call Joe"));
        check_mail(&mailbox(&machine, name));
    }
}

#[test]
fn a_dead_mail_server_and_no_mailer_are_logged_and_delay_nothing() {
    let machine = machine("emailalert=first@example.org\nsmtp=127.0.0.1\n");
    let log = || fs::read_to_string(machine.seen("/var/log/ldirectord.log")).unwrap_or_default();
    machine.ldirectord("--table memory web.cf start").succeeds();
    wait_for("the failure in the log", || {
        log().contains("failed to send SMTP email message: 127.0.0.1: Connection refused")
    });
    machine.ldirectord("web.cf stop").succeeds();
    let path = machine.seen("/etc/ha.d/web.cf");
    let without = fs::read_to_string(&path).unwrap().replace("smtp=127.0.0.1\n", "");
    fs::write(&path, without).unwrap();
    // What every name of a mailer leads to.
    machine.shell("rm /usr/sbin/exim4").succeeds();
    machine.ldirectord("--table memory web.cf start").succeeds();
    wait_for("the failure in the log", || log().contains("no sendmail on this machine"));
    machine.ldirectord("web.cf stop").succeeds();
}
