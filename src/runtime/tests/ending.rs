//! The end.

use super::*;
use crate::runtime::End;

const MOMENT: Duration = Duration::from_nanos(1);

/// How long an end waits for hooks.
const LONGEST: Duration = Duration::from_secs(5);

fn hooked() -> VirtualService {
    VirtualService {
        fallback_command: Some(command()),
        fallback_command_on_stop: true,
        ..service()
    }
}

fn end(bench: &mut Bench) -> Option<End> {
    match bench.effects.last() {
        Some(Effect::End(end)) => Some(*end),
        _ => None,
    }
}

#[test]
fn an_end_comes_at_once_if_no_hook_runs() {
    let mut bench = Bench::of(service());
    bench.up(2);
    bench.take();
    bench.step(Input::Terminate("TERM"));
    assert_eq!(end(&mut bench), Some(End::Signal("TERM")));
    let stopping = |effect: &Effect| matches!(effect, Effect::Stopping);
    assert_eq!(bench.effects.iter().filter(|effect| stopping(effect)).count(), 1);
    assert_eq!(
        bench.logs(),
        [
            "Purged real server (stop): 10.0.0.2:80 (10.0.0.1:80)",
            "Purged virtual server (stop): 10.0.0.1:80",
            "Linux Director Daemon terminated on signal: TERM",
        ]
    );
}

#[test]
fn an_end_waits_for_the_hooks_that_have_been_started_but_not_for_ever() {
    for ends in [true, false] {
        let mut bench = Bench::of(hooked());
        bench.up(2);
        bench.hook_ends(HookResult::Exited(0));
        bench.take();
        bench.step(Input::Terminate("TERM"));
        assert_eq!(bench.hooks.len(), 1, "start has been asked for");
        assert_eq!(bench.owner.wait(bench.now.instant), LONGEST);
        bench.pass(LONGEST - MOMENT);
        assert_eq!(end(&mut bench), None);
        if ends {
            bench.hook_ends(HookResult::Exited(1));
        } else {
            bench.pass(MOMENT);
        }
        assert_eq!(end(&mut bench), Some(End::Signal("TERM")));
        let warned = bench.logs().contains(&"hooks of 1 services are still running".to_owned());
        assert_eq!(warned, !ends);
    }
}

#[test]
fn a_service_that_is_purged_at_the_end_is_announced_anew_at_the_next_start() {
    for (clean_stop, forgotten) in [(true, true), (false, false)] {
        let mut bench = Bench::of(VirtualService { clean_stop, ..hooked() });
        bench.up(2);
        bench.hook_ends(HookResult::Exited(0));
        bench.take();
        bench.step(Input::Terminate("TERM"));
        if clean_stop {
            bench.hook_ends(HookResult::Exited(0));
        }
        let mut lines = bench.effects.iter().filter_map(|effect| match effect {
            Effect::Remember(lines) => lines.last().cloned(),
            _ => None,
        });
        let last = lines.next_back();
        assert_eq!(last.is_some_and(|line| line.told.is_none()), forgotten);
    }
}

#[test]
fn nothing_is_decided_once_it_ends_but_questions_are_answered() {
    let mut bench = Bench::of(hooked());
    bench.up(2);
    bench.step(Input::Terminate("TERM"));
    bench.take();
    for input in [Input::Reload, Input::FilesChanged(vec!["/a.cf".into()]), Input::Terminate("INT")]
    {
        bench.step(input);
        assert!(bench.take().is_empty());
    }
    assert_eq!(bench.status().phase, crate::status::Phase::Stopping);
    match bench.answer(Question::HandOver) {
        Answer::HandOver(refused) => assert_eq!(refused, Err("the daemon is stopping".to_owned())),
        other => panic!("{other:?}"),
    }
}

#[test]
fn fallbackholddown_decides_nothing_any_more_once_it_ends() {
    let hold_down = Duration::from_secs(2);
    let holding = VirtualService {
        fallback_command: Some(command()),
        fallback_hold_down: hold_down,
        ..service()
    };
    let address = ServiceAddress::Fwmark { family: crate::model::Family::Inet, mark: 7 };
    let other = VirtualService { address, real_servers: vec![real(3)], ..hooked() };
    let mut bench = Bench::with(Model { services: vec![holding, other], ..Model::default() });
    bench.down(2);
    bench.hook_ends(HookResult::Exited(0));
    bench.up(3);
    bench.hook_ends(HookResult::Exited(0));
    bench.up(2);
    assert!(bench.hooks.is_empty(), "it holds down");
    bench.step(Input::Terminate("TERM"));
    assert_eq!(bench.hooks.len(), 1, "the other one is told start");
    bench.pass(hold_down);
    bench.pass(hold_down);
    assert_eq!(bench.hooks.len(), 1);
    assert_eq!(end(&mut bench), None);
}

#[test]
fn a_removal_that_the_table_has_refused_is_tried_once_more_at_the_end() {
    for stop in [true, false] {
        let mut bench = Bench::of(service());
        let refused = Arc::new(AtomicBool::new(true));
        let refuses = Arc::clone(&refused);
        let mut memory = Memory::new();
        let entry = crate::dataplane::wanted_entry(&service());
        memory.apply(&Operation::AddService(entry)).expect("an empty table");
        let refusal = move |_: &Operation| refuses.load(Ordering::Relaxed).then_some(Errno::EPERM);
        bench.owner.table = Table::new(Box::new(memory.refusing(Box::new(refusal))));
        bench.reload(Model::default());
        refused.store(false, Ordering::Relaxed);
        if stop {
            bench.step(Input::Terminate("TERM"));
        } else {
            bench.step(Input::Question(Question::HandOver, 5));
            bench.loaded(Model::default());
        }
        assert!(end(&mut bench).is_some());
        assert_eq!(bench.owner.table.backend().services().expect("a table"), []);
    }
}
