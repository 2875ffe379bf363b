//! What operators say, and reloads that wait for a confirmation.

use super::*;
use crate::director::Override;
use crate::runtime::operator::{Change, Command};
use crate::status::ServerState;

fn command(change: Change, length: Option<Duration>) -> Command {
    Command {
        change,
        target: "10.0.0.2".to_owned(),
        service: None,
        length,
        force: true,
        by: "root".to_owned(),
        reason: "disks".to_owned(),
    }
}

fn operate(bench: &mut Bench, command: Command) -> Result<String, String> {
    bench.step(Input::Question(Question::Operate(Box::new(command)), 9));
    let answer = bench.effects.iter().rev().find_map(|effect| match effect {
        Effect::Answer(9, Answer::Operate(result)) => Some(result.clone()),
        _ => None,
    });
    answer.expect("an answer")
}

/// How many lines were kept last.
fn kept(bench: &Bench) -> Option<usize> {
    bench.effects.iter().rev().find_map(|effect| match effect {
        Effect::Keep(lines) => Some(lines.len()),
        _ => None,
    })
}

fn weight(bench: &mut Bench) -> Option<u32> {
    bench.status().services[0].servers[0].weight_listed
}

#[test]
fn what_an_operator_says_holds_until_its_time_is_over() {
    let hour = Duration::from_secs(3600);
    let mut service = service();
    service.real_servers.clear();
    let mut bench = Bench::of(service);
    let drain = Change::Set(Override::Drain);
    assert!(operate(&mut bench, command(drain, None)).is_err(), "there is none");
    assert_eq!(kept(&bench), None);

    let mut bench = Bench::of(super::service());
    bench.up(2);
    assert!(operate(&mut bench, command(drain, Some(hour))).is_ok());
    assert_eq!((kept(&bench), weight(&mut bench)), (Some(1), Some(0)));
    let said = bench.status().overrides.remove(0);
    let begun = bench.now.wall.duration_since(std::time::UNIX_EPOCH).expect("a time").as_secs();
    assert_eq!((said.target.as_str(), said.what.as_str()), ("10.0.0.2", "drain"));
    assert_eq!((said.since as u64, said.until.map(|at| at as u64)), (begun, Some(begun + 3600)));
    assert_eq!((said.by.as_str(), said.reason.as_str()), ("root", "disks"));
    assert_eq!(bench.status().services[0].servers[0].operator, Some(said));
    bench.pass(hour - Duration::from_nanos(1));
    assert_eq!(weight(&mut bench), Some(0));
    assert!(bench.owner.wait(bench.now.instant) <= Duration::from_nanos(1));
    bench.take();
    bench.pass(Duration::from_nanos(1));
    assert_eq!((kept(&bench), weight(&mut bench)), (Some(0), Some(1)));
    let line = "10.0.0.2 is no longer drained by root: disks".to_owned();
    assert!(bench.logs().contains(&line));
}

#[test]
fn a_disabled_server_is_in_maintenance_because_an_operator_says_so() {
    let mut bench = Bench::of(service());
    bench.up(2);
    bench.take();
    operate(&mut bench, command(Change::Set(Override::Disable), None)).expect("it is there");
    let server = bench.status().services[0].servers.remove(0);
    assert_eq!(server.state, ServerState::Maintenance);
    assert_eq!(server.why.as_deref(), Some("disabled by root: disks"));
    let line = "real server 10.0.0.2:80 (tcp:10.0.0.1:80)";
    let logs = bench.logs();
    let disabled = format!("{line}: disabled by root: disks: up -> maintenance");
    assert!(logs.contains(&disabled), "{logs:?}");
    assert_eq!(logs[0], "operator root: disable 10.0.0.2 (disks)");
    operate(&mut bench, command(Change::Enable, None)).expect("it was disabled");
    let enabled = format!("{line}: enabled: maintenance -> unknown");
    assert!(bench.logs().contains(&enabled));
    assert_eq!(bench.status().overrides, []);

    let mut bench = Bench::with(maintained(service()));
    operate(&mut bench, command(Change::Set(Override::Drain), None)).expect("it is there");
    bench.files(&["10.0.0.2"]);
    let server = bench.status().services[0].servers.remove(0);
    assert_eq!(
        server.why.as_deref(),
        Some("a file in maintenancedir"),
        "being drained is no reason"
    );
}

#[test]
fn a_time_that_the_clock_on_the_wall_cannot_say_is_no_fault() {
    let mut bench = Bench::of(service());
    let ages = Duration::from_secs(i64::MAX as u64 - 1_000_000_000);
    operate(&mut bench, command(Change::Set(Override::Weight(7)), Some(ages))).expect("a weight");
    assert_eq!(bench.status().overrides[0].until, None);
    bench.step(Input::Question(Question::Reload(Some(ages)), 9));
    bench.loaded(one(service()));
    assert_eq!(bench.status().unconfirmed, None);
}

#[test]
fn a_reload_that_nobody_confirms_is_taken_back() {
    let minute = Duration::from_secs(60);
    let changed = || one(VirtualService { scheduler: "rr".to_owned(), ..service() });
    let scheduler = |bench: &mut Bench| bench.status().services.remove(0).scheduler;
    for confirms in [true, false] {
        let mut bench = Bench::of(service());
        bench.step(Input::Question(Question::Reload(Some(minute)), 9));
        bench.loaded(changed());
        let told = bench.take().into_iter().find_map(|effect| match effect {
            Effect::Answer(9, Answer::Reload(result)) => Some(result),
            _ => None,
        });
        let words = "reload: 1 of 1 services changed, 0 added, 0 removed; \
                     it is taken back in 60 s unless it is confirmed";
        assert_eq!(told, Some(Ok(words.to_owned())));
        assert_eq!(scheduler(&mut bench), "rr");
        assert!(bench.status().unconfirmed.is_some());
        bench.pass(minute - Duration::from_nanos(1));
        assert_eq!(scheduler(&mut bench), "rr");
        assert!(bench.owner.wait(bench.now.instant) <= Duration::from_nanos(1));
        if confirms {
            match bench.answer(Question::Confirm) {
                Answer::Reload(result) => assert!(result.is_ok()),
                other => panic!("{other:?}"),
            }
        }
        bench.pass(Duration::from_nanos(1));
        assert_eq!(scheduler(&mut bench), if confirms { "rr" } else { "wrr" });
        assert_eq!(bench.status().unconfirmed, None);
        match bench.answer(Question::Confirm) {
            Answer::Reload(result) => assert!(result.is_err(), "none waits"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn the_plan_of_a_reload_says_what_it_would_change_and_changes_nothing() {
    let two = VirtualService { real_servers: vec![real(2), real(3)], ..service() };
    let mark = ServiceAddress::Fwmark { family: crate::model::Family::Inet, mark: 7 };
    let other = VirtualService::new(mark);
    let mut bench = Bench::of(two);
    bench.up(2);
    bench.up(3);
    bench.step(Input::Question(Question::Plan, 9));
    let load = bench.load().expect("it is to be read");
    let model = Model { services: vec![service(), other], ..Model::default() };
    let loaded = Loaded { configuration: configuration(model), maintenance: None };
    bench.step(Input::Loaded { load, result: Box::new(Ok(loaded)) });
    let plan = bench.take().into_iter().find_map(|effect| match effect {
        Effect::Answer(9, Answer::Plan(result)) => Some(result.expect("a plan")),
        _ => None,
    });
    let plan = plan.expect("an answer");
    let services: Vec<_> =
        plan.services.iter().map(|plan| (plan.service.as_str(), plan.operations.clone())).collect();
    assert_eq!(
        services,
        [
            (
                "tcp:10.0.0.1:80",
                vec!["delete destination 10.0.0.3:80 from tcp 10.0.0.1:80".to_owned()]
            ),
            ("fwm:7", vec!["add service fwm 7".to_owned()]),
        ]
    );
    let status = bench.status();
    assert_eq!((status.services.len(), status.services[0].servers.len()), (1, 2));
}

#[test]
fn nobody_is_reminded_of_a_server_that_an_operator_drains_but_of_others_and_of_one_in_maintenance()
{
    let alert = AlertPolicy {
        to: vec!["root@localhost".to_owned()],
        frequency: Some(Duration::from_secs(100)),
        ..AlertPolicy::default()
    };
    let real_servers = vec![real(2), real(3)];
    let service = VirtualService { quiescent: true, real_servers, alert, ..service() };
    let reminded = |bench: &mut Bench, host: u8| {
        bench.take();
        bench.pass(Duration::from_secs(150));
        let server = format!("10.0.0.{host}:80");
        let message = format!("Inaccessible real server: {server} (10.0.0.1:80)");
        let policy = &bench.owner.director.services()[0].service.alert;
        let mail = Mail::new(policy, crate::model::Status::Running, &message);
        bench.mails().contains(&mail.expect("a mail"))
    };
    let mut bench = Bench::with(maintained(service));
    bench.up(2);
    bench.up(3);
    operate(&mut bench, command(Change::Set(Override::Drain), None)).expect("it is there");
    assert!(!reminded(&mut bench, 2));
    bench.files(&["10.0.0.3"]);
    assert!(reminded(&mut bench, 3));
    assert!(!reminded(&mut bench, 2));
}

#[test]
fn a_reload_that_is_taken_back_brings_back_who_was_in_maintenance_as_far_as_is_known() {
    let minute = Duration::from_secs(60);
    let other = |directory: Option<&str>| {
        let mut model = one(service());
        model.settings.maintenance_dir = directory.map(Into::into);
        model
    };
    let state = |bench: &mut Bench| bench.status().services[0].servers[0].state;
    for (directory, comes_back) in [(None, true), (Some("/n"), true), (Some("/m"), false)] {
        let mut bench = Bench::with(maintained(service()));
        bench.files(&[]);
        bench.files(&["10.0.0.2"]);
        assert_eq!(state(&mut bench), ServerState::Maintenance);
        bench.step(Input::Question(Question::Reload(Some(minute)), 9));
        bench.loaded(other(directory));
        if let Some(directory) = directory {
            let files = Ok(Default::default());
            let listing = Listing { directory: directory.into(), order: 3, files };
            bench.step(Input::Maintenance(listing));
        }
        assert_eq!(state(&mut bench), ServerState::Unknown, "{directory:?}");
        bench.pass(minute);
        let expected = if comes_back { ServerState::Maintenance } else { ServerState::Unknown };
        assert_eq!(state(&mut bench), expected, "{directory:?}: before any new listing");
    }
}

fn plan_of(bench: &mut Bench, model: Model) -> crate::status::PlanReport {
    bench.step(Input::Question(Question::Plan, 9));
    bench.loaded(model);
    let plan = bench.take().into_iter().find_map(|effect| match effect {
        Effect::Answer(9, Answer::Plan(result)) => Some(*result.expect("a plan")),
        _ => None,
    });
    plan.expect("an answer")
}

#[test]
fn a_plan_names_the_services_that_change_or_that_the_table_lists_otherwise() {
    use crate::status::PlanChange;
    let mut bench = Bench::of(service());
    bench.up(2);
    assert_eq!(plan_of(&mut bench, one(service())).services, []);
    let changed = VirtualService { failure_count: 7, ..service() };
    let plan = plan_of(&mut bench, one(changed)).services.remove(0);
    assert_eq!((plan.change, plan.operations), (PlanChange::Changed, Vec::new()));
    assert_eq!((plan.with.len(), plan.without.len()), (1, 1), "{:?} {:?}", plan.with, plan.without);
    let gone = plan_of(&mut bench, Model::default()).services.remove(0);
    assert_eq!((gone.change, gone.service.as_str()), (PlanChange::Removed, "tcp:10.0.0.1:80"));
    assert!(gone.with.is_empty() && !gone.without.is_empty());
    let key = crate::dataplane::service_key(vip());
    let drifted = Operation::DeleteDestination(key, ([10, 0, 0, 2], 80).into());
    bench.owner.table.backend().apply(&drifted).expect("it is listed");
    let plan = plan_of(&mut bench, one(service())).services.remove(0);
    assert!(plan.with.is_empty() && plan.without.is_empty());
    assert_eq!(plan.operations, ["add destination 10.0.0.2:80 to tcp 10.0.0.1:80"]);
}

#[test]
fn who_asks_while_the_file_is_read_is_served_by_the_next_reading() {
    let mut bench = Bench::of(service());
    bench.step(Input::Reload);
    let first = bench.load();
    bench.step(Input::Question(Question::Plan, 9));
    bench.loaded(one(service()));
    assert_ne!(bench.load(), first);
    bench.loaded(one(service()));
    let planned = |effect: &Effect| matches!(effect, Effect::Answer(9, Answer::Plan(Ok(_))));
    assert!(bench.take().iter().any(planned));

    bench.step(Input::Reload);
    let first = bench.load();
    bench.step(Input::Question(Question::HandOver, 9));
    bench.loaded(one(service()));
    let second = bench.load();
    assert_ne!(second, first, "what was read may be older than the question");
    assert!(!bench.take().iter().any(|effect| matches!(effect, Effect::End(_))));
    let load = second.expect("a reading");
    let loaded = Loaded { configuration: configuration(one(service())), maintenance: None };
    bench.step(Input::Loaded { load, result: Box::new(Ok(loaded)) });
    assert!(bench.take().iter().any(|effect| matches!(effect, Effect::End(_))));
}

#[test]
fn who_waits_for_a_plan_or_a_reload_when_it_ends_hears_so() {
    let mut bench = Bench::of(service());
    bench.step(Input::Question(Question::Plan, 7));
    bench.step(Input::Question(Question::Reload(None), 8));
    bench.step(Input::Question(Question::Plan, 9));
    bench.take();
    bench.step(Input::Terminate("TERM"));
    let mut refused: Vec<(u64, String)> = bench
        .take()
        .into_iter()
        .filter_map(|effect| match effect {
            Effect::Answer(asker, Answer::Plan(Err(why))) => Some((asker, why)),
            Effect::Answer(asker, Answer::Reload(Err(why))) => Some((asker, why)),
            _ => None,
        })
        .collect();
    refused.sort_unstable();
    assert_eq!(refused, [7, 8, 9].map(|asker| (asker, "the daemon is stopping".to_owned())));
}
