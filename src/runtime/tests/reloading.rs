//! The configuration is read again.

use super::*;
use crate::config::Files;
use crate::runtime::{End, Refused};

const ASKER: u64 = 5;

fn hand_over(bench: &mut Bench) {
    bench.step(Input::Question(Question::HandOver, ASKER));
}

/// What the successor was told.
fn told(bench: &mut Bench) -> Option<Result<(), String>> {
    bench.take().into_iter().find_map(|effect| match effect {
        Effect::Answer(ASKER, Answer::HandOver(result)) => Some(result),
        _ => None,
    })
}

fn services(bench: &mut Bench) -> usize {
    bench.owner.table.backend().services().expect("a table").len()
}

#[test]
fn a_reading_that_does_not_end_is_given_up_and_its_late_answer_is_dropped() {
    let mut bench = Bench::of(service());
    bench.take();
    bench.step(Input::Reload);
    let late = bench.load().expect("a reading");
    bench.step(Input::Reload);
    bench.pass(Duration::from_secs(299));
    assert_eq!(bench.load(), Some(late));
    assert_eq!(bench.status().faults.unanswered_reloads, 0);
    bench.pass(Duration::from_secs(1));
    assert_ne!(bench.load(), Some(late), "it has been asked for once more");
    let status = bench.status();
    assert_eq!(status.faults.unanswered_reloads, 1);
    assert_eq!(status.last_reload.and_then(|last| last.error).as_deref(), Some("it did not end"));
    assert_eq!(bench.reloads(), (0, 1));
    let configuration = configuration(Model::default());
    let result = Box::new(Ok(Loaded { configuration, maintenance: None }));
    bench.step(Input::Loaded { load: late, result });
    assert_eq!(services(&mut bench), 1, "the late answer");
    bench.loaded(one(VirtualService { scheduler: "rr".to_owned(), ..service() }));
    assert_eq!(bench.status().services[0].scheduler, "rr");
    assert_eq!(bench.reloads(), (1, 1));
}

#[test]
fn a_file_without_services_ends_them_if_somebody_asked_for_the_reload_only() {
    let mut model = one(service());
    model.settings.auto_reload = true;
    let mut bench = Bench::with(model);
    bench.take();
    bench.step(Input::FilesChanged(vec!["/a.cf".into()]));
    bench.loaded(Model::default());
    assert_eq!(services(&mut bench), 1);
    assert_eq!(
        bench.logs(),
        [
            "Configuration file '/a.cf' has changed on disk",
            " - reread new configuration",
            "/a.cf has no virtual service; autoreload leaves it",
            "reload refused; keeping the previous configuration",
        ]
    );
    bench.reload(Model::default());
    assert_eq!(services(&mut bench), 0);
    let line = "/a.cf has no virtual service any more; all 1 services are removed";
    assert!(bench.logs().iter().any(|log| log == line));
    bench.reload(Model::default());
    assert!(!bench.logs().iter().any(|log| log.contains("any more")), "there was none");
}

#[test]
fn a_changed_file_is_read_with_autoreload_only_and_calls_callback() {
    for auto_reload in [true, false] {
        let mut model = one(service());
        model.settings.auto_reload = auto_reload;
        model.settings.callback = Some("/bin/callback".into());
        let mut bench = Bench::with(model);
        bench.take();
        bench.step(Input::FilesChanged(vec!["/a.cf".into()]));
        assert_eq!(bench.load().is_some(), auto_reload);
        let program =
            HookProgram::Callback { program: "/bin/callback".into(), config: "/a.cf".into() };
        let begun: Vec<_> = bench.hooks.iter().map(|run| run.program.clone()).collect();
        assert_eq!(begun, [program]);
    }
}

#[test]
fn a_refused_file_changes_nothing_and_is_told_about_once() {
    let mut bench = Bench::of(service());
    bench.take();
    bench.step(Input::Reload);
    let load = bench.load().expect("a reading");
    let found: Files = Fingerprint { stamp: None, checksum: [7; 16] }.into();
    let refused = Refused {
        diagnostics: "line 1: no\nsuch word\n".to_owned(),
        found: Some(Box::new(found.clone())),
    };
    bench.take();
    bench.step(Input::Loaded { load, result: Box::new(Err(refused)) });
    let rebased = |effect: &Effect| matches!(effect, Effect::Rebase(of) if *of == found);
    assert!(bench.effects.iter().any(rebased), "the watch need not tell of it");
    assert_eq!(
        bench.logs(),
        ["line 1: no\nsuch word", "reload refused; keeping the previous configuration"]
    );
    assert_eq!(services(&mut bench), 1);
    let last = bench.status().last_reload.expect("a reload");
    assert_eq!(last.error.as_deref(), Some("line 1: no"));
    assert_eq!(bench.reloads(), (0, 1));
}

#[test]
fn a_successor_takes_over_after_a_reload_or_hears_why_not() {
    let mut bench = Bench::of(service());
    hand_over(&mut bench);
    bench.loaded(Model::default());
    assert!(matches!(bench.effects.last(), Some(Effect::End(End::HandedOver))));
    assert_eq!(told(&mut bench), Some(Ok(())));
    assert_eq!(services(&mut bench), 0, "what is not configured any more is purged");

    let mut model = one(VirtualService { real_servers: Vec::new(), ..service() });
    model.services[0].check_interval = Duration::from_secs(60);
    model.settings.check_interval = Duration::from_secs(60);
    let mut bench = Bench::with(model);
    hand_over(&mut bench);
    assert_eq!(bench.owner.wait(bench.now.instant), Duration::from_secs(30));
    bench.pass(Duration::from_secs(30) - Duration::from_nanos(1));
    assert_eq!(told(&mut bench), None);
    bench.pass(Duration::from_nanos(1));
    let busy = Err("the configuration is still being read".to_owned());
    assert_eq!(told(&mut bench), Some(busy));
    bench.pass(Duration::from_secs(30));
    assert_eq!(told(&mut bench), None, "every question has one answer");

    let mut bench = Bench::of(service());
    hand_over(&mut bench);
    bench.step(Input::Question(Question::HandOver, ASKER + 1));
    assert_eq!(told(&mut bench), Some(Err("another process takes over".to_owned())));
}

/// Services on ports 81 and 82 whose command is told `start` when they are removed.
fn two() -> Vec<VirtualService> {
    let service = |host: u8| VirtualService {
        address: ServiceAddress::Address {
            protocol: Protocol::Tcp,
            address: ([10, 0, 0, 1], 80 + u16::from(host)).into(),
        },
        real_servers: vec![real(host)],
        fallback_command: Some(command()),
        fallback_command_on_stop: true,
        ..service()
    };
    vec![service(1), service(2)]
}

#[test]
fn start_is_the_last_word_of_each_removed_service_whether_it_waits_already_or_not() {
    for waiting in [1, 2] {
        let mut bench = Bench::with(Model { services: two(), ..Model::default() });
        for host in [1, 2] {
            bench.up(host);
        }
        // Both are being told `stop`; one of them waits to be told `start`.
        assert_eq!(bench.hooks.len(), 2);
        bench.down(waiting);
        bench.reload(Model::default());
        for _ in [1, 2] {
            bench.hook_ends(HookResult::Exited(0));
        }
        let mut lines: Vec<String> =
            bench.hooks.iter().map(|run| run.program.to_string()).collect();
        lines.sort_unstable();
        let start = |port| format!("/bin/announce start 10.0.0.1:{port} tcp");
        assert_eq!(lines, [start(81), start(82)]);
    }
}

#[test]
fn the_log_says_what_a_reload_really_changes() {
    let [first, second] = <[_; 2]>::try_from(two()).expect("two");
    let of = |services: &[&VirtualService]| Model {
        services: services.iter().map(|&service| service.clone()).collect(),
        ..Model::default()
    };
    let changed = VirtualService { scheduler: "rr".to_owned(), ..first.clone() };
    let moved = VirtualService { origin: "line 99".to_owned(), ..first.clone() };
    for (before, after, line) in [
        (of(&[&first]), of(&[&first]), "0 of 1 services changed, 0 added, 0 removed"),
        (of(&[&first]), of(&[&moved]), "0 of 1 services changed, 0 added, 0 removed"),
        (of(&[&first]), of(&[&changed]), "1 of 1 services changed, 0 added, 0 removed"),
        (of(&[&first]), of(&[&second]), "0 of 0 services changed, 1 added, 1 removed"),
        (of(&[&first]), of(&[&second, &first]), "0 of 1 services changed, 1 added, 0 removed"),
        (of(&[&first, &second]), of(&[&changed]), "1 of 1 services changed, 0 added, 1 removed"),
    ] {
        let mut bench = Bench::with(before);
        bench.reload(after);
        let line = format!("reload: {line}");
        assert!(bench.logs().contains(&line), "{line}");
    }
}

#[test]
fn of_every_service_that_is_listed_a_reload_says_that_it_changed() {
    let mut bench = Bench::of(service());
    bench.take();
    bench.reload(one(service()));
    let line = "Changed virtual server: 10.0.0.1:80".to_owned();
    assert!(bench.logs().contains(&line));
    bench.pass(Duration::from_secs(10));
    assert!(!bench.logs().contains(&line), "a round does not");
}

#[test]
fn a_removed_service_is_forgotten_unless_its_hook_still_runs() {
    let hooked = VirtualService { fallback_command: Some(command()), ..service() };
    for runs in [true, false] {
        let mut bench = Bench::of(hooked.clone());
        bench.up(2);
        if !runs {
            bench.hook_ends(HookResult::Exited(0));
        }
        let is_forgotten = |bench: &mut Bench| {
            bench.take().iter().any(|effect| match effect {
                Effect::Remember(lines) => lines.iter().any(|line| line.told.is_none()),
                _ => false,
            })
        };
        bench.take();
        bench.reload(Model::default());
        assert_eq!(is_forgotten(&mut bench), !runs);
        if runs {
            bench.hook_ends(HookResult::Exited(0));
            assert!(is_forgotten(&mut bench));
        }
    }
}

#[test]
fn rounds_come_once_in_the_shortest_check_interval_and_sooner_after_a_reload() {
    let every = |seconds| {
        let check_interval = Duration::from_secs(seconds);
        let mut model =
            one(VirtualService { real_servers: Vec::new(), check_interval, ..service() });
        model.settings.check_interval = check_interval;
        model
    };
    let wait = |bench: &mut Bench| bench.owner.wait(bench.now.instant).as_secs();
    let mut bench = Bench::with(every(50));
    assert_eq!(wait(&mut bench), 50);
    bench.pass(Duration::from_secs(20));
    assert_eq!(wait(&mut bench), 30);
    bench.reload(every(40));
    assert_eq!(wait(&mut bench), 30, "no later");
    bench.reload(every(5));
    assert_eq!(wait(&mut bench), 5);
    bench.pass(Duration::from_secs(5));
    assert_eq!(wait(&mut bench), 5);
    bench.reload(every(3600));
    bench.pass(Duration::from_secs(5));
    assert_eq!(wait(&mut bench), 60, "once a minute at least");
}
