//! What `status` says.

use super::*;
use crate::model::{Fallback, Script, Step};
use crate::status::{
    FallbackStatus, HookRun as HookRunStatus, HookStatus, Phase, ServerState, ServerStatus,
};
use std::time::{SystemTime, UNIX_EPOCH};

fn unix(at: SystemTime) -> i64 {
    at.duration_since(UNIX_EPOCH).expect("after 1970").as_secs() as i64
}

fn server(bench: &mut Bench) -> ServerStatus {
    bench.status().services.remove(0).servers.remove(0)
}

#[test]
fn status_tells_of_a_server_what_its_last_check_found_and_what_the_table_lists() {
    let mut bench = Bench::of(VirtualService { failure_count: 2, ..service() });
    let start = unix(bench.now.wall);
    let unchecked = ServerStatus {
        address: "10.0.0.2:80".to_owned(),
        forwarding: "masq".to_owned(),
        state: ServerState::Unknown,
        since: Some(start),
        checked: None,
        check_duration_us: None,
        why: None,
        failures: 0,
        weight_wanted: None,
        weight_listed: None,
        active: 0,
        inactive: 0,
        connections_per_second: 0,
        operator: None,
        certificate: None,
    };
    assert_eq!(server(&mut bench), unchecked);
    bench.pass(Duration::from_secs(1));
    bench.up(2);
    let up = ServerStatus {
        state: ServerState::Up,
        since: Some(start + 1),
        checked: Some(start + 1),
        check_duration_us: Some(3000),
        weight_wanted: Some(1),
        weight_listed: Some(1),
        ..unchecked
    };
    assert_eq!(server(&mut bench), up);
    bench.pass(Duration::from_secs(10));
    bench.down(2);
    let why = Some("connection refused".to_owned());
    let soft = ServerStatus { checked: Some(start + 11), why, failures: 1, ..up };
    assert_eq!(server(&mut bench), soft);
    bench.pass(Duration::from_secs(10));
    bench.down(2);
    let down = ServerStatus {
        state: ServerState::Down,
        since: Some(start + 21),
        checked: Some(start + 21),
        failures: 2,
        weight_wanted: None,
        weight_listed: None,
        ..soft
    };
    assert_eq!(server(&mut bench), down);
    bench.pass(Duration::from_secs(5));
    assert_eq!(server(&mut bench), down, "moments do not move");
    bench.reload(one(VirtualService { failure_count: 3, ..service() }));
    assert_eq!(server(&mut bench), down, "nor does a reload move them");
}

#[test]
fn status_says_that_a_server_is_in_maintenance_off_or_drained() {
    let mut bench = Bench::with(maintained(VirtualService { quiescent: true, ..service() }));
    bench.up(2);
    bench.files(&["10.0.0.2"]);
    let status = server(&mut bench);
    assert_eq!(status.state, ServerState::Maintenance);
    assert_eq!(status.why.as_deref(), Some("a file in maintenancedir"));
    assert_eq!((status.weight_wanted, status.weight_listed), (Some(0), Some(0)));
    let mut unwatched = service();
    unwatched.real_servers[0].check = plan(2, CheckMethod::Off);
    assert_eq!(server(&mut Bench::of(unwatched)).state, ServerState::Off);
}

#[test]
fn status_says_the_phase_and_the_last_reload() {
    let mut bench = Bench::of(service());
    let status = bench.status();
    assert_eq!((status.instance.as_str(), status.config.as_str()), ("a", "/a.cf"));
    assert_eq!((status.table.as_str(), status.table_error), ("memory", None));
    assert_eq!(status.since, unix(bench.now.wall));
    assert_eq!((status.phase, status.last_reload), (Phase::Starting, None));
    bench.up(2);
    assert_eq!(bench.status().phase, Phase::Running);
    bench.pass(Duration::from_secs(5));
    bench.reload(one(VirtualService { real_servers: vec![real(2), real(3)], ..service() }));
    let status = bench.status();
    let reload = status.last_reload.expect("a reload");
    assert_eq!((reload.at, reload.error), (unix(bench.now.wall), None));
    assert_eq!(status.phase, Phase::Reloading);
    bench.up(3);
    assert_eq!(bench.status().phase, Phase::Running);
    bench.step(Input::Terminate("TERM"));
    assert_eq!(bench.status().phase, Phase::Stopping);
}

#[test]
fn status_tells_of_a_service_its_fallback_its_hook_and_what_the_table_lists_otherwise() {
    let fallback = Fallback {
        address: "127.0.0.1:80".parse().expect("an address"),
        forwarding: ForwardingMethod::Masq,
        weight: 1,
    };
    let mut bench = Bench::of(VirtualService {
        fallbacks: vec![fallback],
        fallback_command: Some(command()),
        ..service()
    });
    let status = bench.status().services.remove(0);
    assert_eq!((status.address.as_str(), status.protocol.as_str()), ("10.0.0.1:80", "tcp"));
    assert_eq!((status.scheduler.as_str(), status.listed), ("wrr", true));
    let address = "127.0.0.1:80".to_owned();
    assert_eq!(status.fallback, Some(FallbackStatus { address: address.clone(), on: true }));
    let command = "/bin/announce".to_owned();
    let hook = HookStatus { command, running: false, last: None };
    assert_eq!(status.hook, Some(hook.clone()));
    assert_eq!(status.drift, [""; 0]);
    bench.up(2);
    let status = bench.status().services.remove(0);
    assert_eq!(status.fallback, Some(FallbackStatus { address, on: false }));
    assert_eq!(status.hook, Some(HookStatus { running: true, ..hook.clone() }));
    for (end, argument, succeeded, result) in [
        (HookResult::Exited(0), "stop", true, "exit status 0"),
        (HookResult::Exited(3), "start", false, "exit status 3"),
        (HookResult::TimedOut, "stop", false, "timed out"),
    ] {
        bench.pass(Duration::from_secs(1));
        bench.hook_ends(end);
        let (argument, at) = (argument.to_owned(), unix(bench.now.wall));
        let last =
            HookRunStatus { argument: argument.clone(), at, succeeded, result: result.to_owned() };
        let status = bench.status().services.remove(0);
        assert_eq!(status.hook, Some(HookStatus { last: Some(last), ..hook.clone() }));
        if argument == "stop" { bench.down(2) } else { bench.up(2) }
    }
    bench.up(2);
    let key = crate::dataplane::service_key(vip());
    let gone = Operation::DeleteDestination(key, ([10, 0, 0, 2], 80).into());
    bench.owner.table.backend().apply(&gone).expect("it is listed");
    let status = bench.status().services.remove(0);
    assert_eq!(status.drift, ["add destination 10.0.0.2:80 to tcp 10.0.0.1:80"]);
    let server = &status.servers[0];
    assert_eq!((server.weight_wanted, server.weight_listed), (Some(1), None));
    bench.owner.table.backend().apply(&Operation::DeleteService(key)).expect("it is listed");
    let status = bench.status().services.remove(0);
    assert!(!status.listed);
    assert_eq!(status.drift[0], "add service tcp 10.0.0.1:80");
}

#[test]
fn a_check_is_called_by_its_method() {
    let script = Script { command: "a".to_owned(), arguments: Default::default(), user: None };
    for (check, name) in [
        (CheckMethod::On, "on"),
        (CheckMethod::Off, "off"),
        (CheckMethod::Connect, "connect"),
        (CheckMethod::Ping { attempts: 1 }, "ping"),
        (CheckMethod::External(script.clone()), "external"),
        (CheckMethod::ExternalPerl(script), "external-perl"),
    ] {
        assert_eq!(plan(2, check).word(Step::Full), name);
    }
}

#[test]
fn the_listing_is_that_of_the_table() {
    let mut bench = Bench::of(service());
    bench.up(2);
    match bench.answer(Question::Listing) {
        Answer::Listing(text) => assert!(text.contains("-> 10.0.0.2:80"), "{text}"),
        other => panic!("{other:?}"),
    }
}
