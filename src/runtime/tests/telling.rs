//! What is told, and to whom.

use super::*;
use crate::check::{CertificateEnd, Note};
use crate::model::{Exchange, Service};
use crate::model::{Fallback, Script, Status};
use std::path::Path;

fn alerted() -> VirtualService {
    let alert = AlertPolicy {
        to: vec!["root@localhost".to_owned()],
        frequency: Some(Duration::from_secs(100)),
        ..AlertPolicy::default()
    };
    VirtualService { alert, ..service() }
}

fn mail(status: Status, message: &str) -> Mail {
    Mail::new(&alerted().alert, status, message).expect("a mail")
}

/// The state and message of each line for a `monitorfile`.
fn monitored(bench: &mut Bench) -> Vec<String> {
    let line = |effect| match effect {
        Effect::Monitor(path, line) => {
            assert_eq!(path, Path::new("/monitor"));
            let (_, words) = line.rsplit_once(" [").expect("a state");
            assert!(words.ends_with('\n'));
            Some(words.trim_end().to_owned())
        }
        _ => None,
    };
    bench.take().into_iter().filter_map(line).collect()
}

#[test]
fn every_outcome_is_written_to_the_monitorfile_if_there_is_one() {
    let mut bench =
        Bench::of(VirtualService { monitor_file: Some("/monitor".into()), ..service() });
    bench.up(2);
    assert_eq!(monitored(&mut bench), ["up] -"]);
    bench.down(2);
    bench.down(2);
    assert_eq!(monitored(&mut bench), ["down] connection refused"; 2]);
    let mut bench = Bench::of(service());
    bench.up(2);
    assert_eq!(monitored(&mut bench), [""; 0]);
}

#[test]
fn checks_by_a_perl_script_and_servers_that_are_always_on_write_no_monitorfile() {
    let script = Script { command: "a".to_owned(), arguments: Default::default(), user: None };
    for (method, lines) in [
        (CheckMethod::On, 0),
        (CheckMethod::ExternalPerl(script.clone()), 0),
        (CheckMethod::External(script), 1),
        (CheckMethod::Ping { attempts: 1 }, 1),
    ] {
        let mut service = VirtualService { monitor_file: Some("/monitor".into()), ..service() };
        service.real_servers[0].check = plan(2, method);
        let mut bench = Bench::of(service);
        bench.up(2);
        assert_eq!(monitored(&mut bench).len(), lines);
    }
}

#[test]
fn a_server_in_maintenance_is_written_to_the_monitorfile_as_down() {
    let service = VirtualService {
        real_servers: vec![real(2), real(3)],
        monitor_file: Some("/monitor".into()),
        ..service()
    };
    let mut bench = Bench::with(maintained(service));
    bench.up(2);
    bench.take();
    bench.files(&["10.0.0.2"]);
    assert_eq!(monitored(&mut bench), ["down] Server in maintenance"]);
    bench.files(&["10.0.0.2", "10.0.0.3"]);
    assert_eq!(monitored(&mut bench), ["down] Server in maintenance"; 2]);
    bench.files(&["10.0.0.2", "10.0.0.3"]);
    assert_eq!(monitored(&mut bench), [""; 0], "nothing has changed");
    bench.files(&["10.0.0.2"]);
    bench.take();
    bench.files(&[]);
    assert_eq!(monitored(&mut bench), [""; 0], "nobody is");
}

#[test]
fn the_answer_of_a_server_that_has_gone_into_maintenance_meanwhile_is_not_written() {
    let service = VirtualService { monitor_file: Some("/monitor".into()), ..service() };
    let mut bench = Bench::with(maintained(service));
    bench.files(&["10.0.0.2"]);
    bench.take();
    bench.up(2);
    assert_eq!(monitored(&mut bench), [""; 0]);
}

#[test]
fn mail_says_what_has_become_of_a_server_and_of_the_fallback_in_the_words_of_the_log() {
    let fallback = Fallback {
        address: "127.0.0.1:80".parse().expect("an address"),
        forwarding: ForwardingMethod::Masq,
        weight: 1,
    };
    let mut bench = Bench::of(VirtualService { fallbacks: vec![fallback], ..alerted() });
    let added = "Added fallback server: 127.0.0.1:80 (10.0.0.1:80) (Weight set to 1)";
    assert_eq!(bench.mails(), [mail(Status::Starting, added)]);
    bench.up(2);
    let told = bench.mails();
    let up = "Added real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 1)";
    let gone = "Deleted fallback server: 127.0.0.1:80 (10.0.0.1:80)";
    assert_eq!(told, [up, gone].map(|message| mail(Status::Starting, message)));
    bench.down(2);
    let told = bench.mails();
    let down = "Deleted real server: 10.0.0.2:80 (10.0.0.1:80)";
    assert_eq!(told, [added, down].map(|message| mail(Status::Running, message)));
}

#[test]
fn reminders_of_a_server_that_is_down_come_when_they_are_due_until_it_is_up() {
    let mut bench = Bench::of(alerted());
    bench.up(2);
    bench.down(2);
    bench.take();
    let begun = bench.now.instant;
    let reminder = mail(Status::Running, "Inaccessible real server: 10.0.0.2:80 (10.0.0.1:80)");
    let mut due = begun + Duration::from_secs(100);
    for late in [Duration::ZERO, Duration::from_millis(1), Duration::from_secs(30)] {
        let before = due - Duration::from_millis(1) - bench.now.instant;
        bench.pass(before);
        assert_eq!(bench.mails(), []);
        assert!(bench.owner.wait(bench.now.instant) <= Duration::from_millis(1));
        bench.pass(Duration::from_millis(1) + late);
        assert_eq!(bench.mails(), std::slice::from_ref(&reminder));
        due = bench.now.instant + Duration::from_secs(100);
    }
    bench.up(2);
    bench.take();
    bench.pass(Duration::from_secs(300));
    assert_eq!(bench.mails(), []);
}

#[test]
fn nobody_is_reminded_without_a_frequency_or_of_a_server_that_is_not_configured_any_more() {
    let both = VirtualService { real_servers: vec![real(2), real(3)], ..alerted() };
    let mut silent = both.clone();
    silent.alert.frequency = None;
    let mut bench = Bench::of(silent);
    bench.down(2);
    bench.take();
    bench.pass(Duration::from_secs(300));
    assert_eq!(bench.mails(), []);
    let mut bench = Bench::of(both.clone());
    bench.down(2);
    bench.down(3);
    bench.reload(one(VirtualService { real_servers: vec![real(3)], ..both }));
    bench.take();
    bench.pass(Duration::from_secs(300));
    let reminder = "Inaccessible real server: 10.0.0.3:80 (10.0.0.1:80)";
    assert_eq!(bench.mails(), [mail(Status::Running, reminder)]);
}

#[test]
fn nobody_is_reminded_of_a_server_whose_second_entry_was_down_and_is_gone() {
    let second = RealServer { check: plan(2, CheckMethod::Ping { attempts: 1 }), ..real(2) };
    let twice = VirtualService { real_servers: vec![real(2), second], ..alerted() };
    let mut bench = Bench::of(twice.clone());
    bench.up(2);
    bench.down(2);
    assert_eq!(bench.owner.director.services()[0].serving(), 1, "one of the two");
    bench.reload(one(VirtualService { real_servers: vec![real(2)], ..twice }));
    bench.take();
    bench.pass(Duration::from_secs(300));
    assert_eq!(bench.mails(), []);
}

#[test]
fn nobody_is_reminded_of_a_fallback_that_has_gone() {
    let fallback = Fallback {
        address: "127.0.0.1:80".parse().expect("an address"),
        forwarding: ForwardingMethod::Masq,
        weight: 1,
    };
    let mut bench = Bench::of(VirtualService { fallbacks: vec![fallback], ..alerted() });
    bench.up(2);
    assert_eq!(bench.mails().len(), 3, "it has come and gone");
    bench.pass(Duration::from_secs(300));
    assert_eq!(bench.mails(), []);
}

#[test]
fn the_log_says_what_a_check_has_found_and_what_follows() {
    let mut bench = Bench::of(VirtualService { failure_count: 2, ..service() });
    bench.take();
    bench.outcome(2, CheckOutcome::up_with("fine"));
    assert_eq!(
        bench.logs(),
        [
            "real server 10.0.0.2:80 (tcp:10.0.0.1:80): connect, 3 ms, fine: unknown -> up",
            "Added real server: 10.0.0.2:80 (10.0.0.1:80) (Weight set to 1)",
        ]
    );
    bench.down(2);
    let soft = "Soft failure real server: 10.0.0.2:80 (tcp:10.0.0.1:80) failure 1/2";
    assert_eq!(bench.logs(), [soft]);
    bench.up(2);
    let forgiven = "Resetting soft failure count: 10.0.0.2:80 (tcp:10.0.0.1:80)";
    assert_eq!(bench.logs(), [forgiven]);
    bench.down(2);
    bench.take();
    bench.down(2);
    assert_eq!(
        bench.logs(),
        [
            "real server 10.0.0.2:80 (tcp:10.0.0.1:80): connect, 3 ms, connection refused: up -> down",
            "Deleted real server: 10.0.0.2:80 (10.0.0.1:80)",
        ]
    );
}

#[test]
fn the_log_says_who_goes_into_maintenance_and_comes_back() {
    let mut bench = Bench::with(maintained(service()));
    bench.up(2);
    bench.take();
    bench.files(&["10.0.0.2"]);
    let server = "real server 10.0.0.2:80 (tcp:10.0.0.1:80)";
    assert_eq!(bench.logs()[0], format!("{server}: a file in maintenancedir: up -> maintenance"));
    bench.files(&[]);
    let back = format!("{server}: no file in maintenancedir any more: maintenance -> unknown");
    assert_eq!(bench.logs(), [back]);
}

#[test]
fn a_failure_of_this_machine_is_logged_once_in_a_row() {
    let local = || CheckOutcome::Down(Failure::Local("too many open files".to_owned()));
    let mut bench = Bench::of(service());
    bench.up(2);
    for _ in 0..2 {
        bench.take();
        bench.outcome(2, local());
        let line = format!("10.0.0.2:80: {}; the server stays as it is", words_of(&local()));
        assert_eq!(bench.logs(), [line]);
        bench.outcome(2, local());
        assert_eq!(bench.logs(), [""; 0]);
        bench.up(2);
    }
}

fn words_of(outcome: &CheckOutcome) -> String {
    match outcome {
        CheckOutcome::Down(failure) => failure.to_string(),
        CheckOutcome::Up(note) => note.to_string(),
    }
}

#[test]
fn a_hook_is_logged_when_it_begins_and_when_it_fails() {
    let hooked = VirtualService { fallback_command: Some(command()), ..service() };
    let line = "/bin/announce start 10.0.0.1:80 tcp";
    for (result, words) in [
        (HookResult::Exited(0), None),
        (HookResult::Exited(3), Some("exit status 3")),
        (HookResult::TimedOut, Some("timed out after 60 s, ended")),
    ] {
        let mut bench = Bench::of(hooked.clone());
        bench.down(2);
        assert_eq!(bench.hooks[0].program, HookProgram::Shell(line.to_owned()));
        assert!(bench.logs().contains(&format!("Running system({line})")));
        bench.hook_ends(result);
        let failed = words.map(|words| format!("system({line}) failed: {words}"));
        assert_eq!(bench.logs(), Vec::from_iter(failed));
    }
}

#[test]
fn what_the_table_refuses_is_logged_and_that_it_does_so_no_more() {
    let mut bench = Bench::of(service());
    bench.take();
    bench.owner.table = refusing_once();
    bench.up(2);
    let logs = bench.logs();
    let refused = "add service tcp 10.0.0.1:80: Operation not permitted (EPERM); trying again every round (10.0.0.1:80)";
    assert!(!logs.iter().any(|line| line == refused), "only the destination: {logs:?}");
    let refused = "add destination 10.0.0.2:80 to tcp 10.0.0.1:80: Operation not permitted (EPERM); trying again every round (10.0.0.1:80)";
    assert!(logs.iter().any(|line| line == refused), "{logs:?}");
    bench.pass(Duration::from_secs(10));
    let logs = bench.logs();
    assert!(
        logs.iter().any(|line| line == "the table is as wanted again (10.0.0.1:80)"),
        "{logs:?}"
    );
}

#[test]
fn a_check_without_an_answer_is_a_fault_that_is_logged_once_until_one_comes() {
    let mut bench = Bench::of(service());
    let line = "internal fault: the check of 10.0.0.2:80 has not answered for 3 s; it is run again";
    let mut faults = 0;
    for _ in 0..2 {
        bench.take();
        for _ in 0..200 {
            bench.pass(Duration::from_millis(100));
        }
        assert_eq!(bench.logs().iter().filter(|log| *log == line).count(), 1);
        let before = std::mem::replace(&mut faults, bench.status().faults.unanswered_checks);
        assert!(faults > before + 2, "after pauses of 0, 1 and 2 s");
        bench.up(2);
    }
}

#[test]
fn a_maintenancedir_that_cannot_be_read_is_told_once_and_again_when_it_can() {
    let mut bench = Bench::with(maintained(service()));
    bench.take();
    for _ in 0..2 {
        for told in [true, false] {
            bench.listings += 1;
            let files = Err("too many".to_owned());
            let listing = Listing { directory: "/m".into(), order: bench.listings, files };
            bench.step(Input::Maintenance(listing));
            let line = "read maintenancedir /m: too many; servers in maintenance stay so";
            assert_eq!(bench.logs(), Vec::from_iter(told.then_some(line)));
        }
        bench.files(&[]);
        assert_eq!(bench.logs(), ["maintenancedir /m can be read again"]);
    }
}

#[test]
fn a_pair_of_runs_that_is_left_out_is_logged() {
    let mut bench = Bench::of(VirtualService { fallback_command: Some(command()), ..service() });
    bench.up(2);
    let line = "fallbackcommand queue full for 10.0.0.1:80: skipped a start/stop pair";
    for round in 1..=17 {
        bench.take();
        if round % 2 == 1 {
            bench.down(2);
        } else {
            bench.up(2);
        }
        assert_eq!(bench.logs().iter().any(|log| log == line), round == 17, "{round}");
    }
    assert_eq!(bench.hooks.len(), 1, "the first still runs");
}

/// A table that lists the service and refuses the first change.
fn refusing_once() -> Table {
    let mut memory = Memory::new();
    let entry = crate::dataplane::wanted_entry(&service());
    memory.apply(&Operation::AddService(entry)).expect("an empty table");
    let mut refused = false;
    let refusal = move |_: &Operation| {
        let first = !std::mem::replace(&mut refused, true);
        first.then_some(Errno::EPERM)
    };
    Table::new(Box::new(memory.refusing(Box::new(refusal))))
}

#[test]
fn a_certificate_that_ends_soon_is_told_once_a_day() {
    let exchange = Exchange { certificate_days: Some(14), ..Exchange::new(Service::Https) };
    let mut service = service();
    service.real_servers[0].check = plan(2, CheckMethod::Negotiate(Arc::new(exchange)));
    let mut bench = Bench::of(service);
    let mut pass = |days: Option<i32>| {
        let certificate = days.map(|days| CertificateEnd { at: 1000, days });
        bench.outcome(2, CheckOutcome::Up(Note { certificate, ..Note::default() }));
        bench.take().into_iter().filter_map(certificate_line).collect::<Vec<_>>()
    };
    assert_eq!(pass(None), [""; 0]);
    assert_eq!(pass(Some(20)), [""; 0], "not yet");
    assert_eq!(pass(Some(13)), ["the certificate ends in 13 days (checkcertdays=14)"]);
    assert_eq!(pass(Some(13)), [""; 0], "told");
    assert_eq!(pass(None), [""; 0]);
    assert_eq!(pass(Some(13)), [""; 0], "still told");
    assert_eq!(pass(Some(0)), ["the certificate ends within a day (checkcertdays=14)"]);
    assert_eq!(pass(Some(-1)), ["the certificate has ended (checkcertdays=14)"]);
    assert_eq!(pass(Some(89)), ["the certificate is valid for 89 days"]);
    assert_eq!(pass(Some(88)), [""; 0]);
}

fn certificate_line(effect: Effect) -> Option<String> {
    let Effect::Log(_, line) = effect else { return None };
    let (target, words) = line.split_once(": ")?;
    (words.contains("certificate") && target == "10.0.0.2:80").then(|| words.to_owned())
}
