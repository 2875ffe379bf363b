//! Names that are followed.

use super::*;
use crate::runtime::{LookUp, Refused};
use std::collections::BTreeMap;

const INTERVAL: Duration = Duration::from_secs(30);

/// A configuration in which `pool.example` stands for these servers.
fn pool(hosts: &[u8], failure: Option<&str>) -> Configuration {
    let servers: Vec<RealServer> = hosts.iter().map(|&host| real(host)).collect();
    let addresses = servers.iter().map(|it| it.address.ip().to_string()).collect();
    let name = "pool.example".to_owned();
    let look_up = LookUp(Arc::new(|| Err(Refused { diagnostics: String::new(), found: None })));
    let names = FollowedNames {
        addresses: BTreeMap::from([(name.clone(), addresses)]),
        failures: failure.map(|why| (name, why.to_owned())).into_iter().collect(),
        look_up: Some(look_up),
    };
    let mut model = one(VirtualService { real_servers: servers, ..service() });
    model.settings.resolve_interval = Some(INTERVAL);
    Configuration { names, ..configuration(model) }
}

fn bench() -> Bench {
    let mut bench = Bench::starting(Box::new(Memory::new()), pool(&[2, 3], None));
    bench.take();
    bench
}

/// The number of the look-up that is wanted, if one is.
fn look_up(bench: &mut Bench) -> Option<u64> {
    bench.take().into_iter().find_map(|effect| match effect {
        Effect::Load(number, Some(_)) => Some(number),
        _ => None,
    })
}

/// An interval passes, and the names are these.
fn interval(bench: &mut Bench, result: Result<Configuration, Refused>) {
    bench.pass(INTERVAL);
    let load = look_up(bench).expect("names are looked up");
    answer(bench, load, result);
}

fn answer(bench: &mut Bench, load: u64, result: Result<Configuration, Refused>) {
    let loaded = result.map(|configuration| Loaded { configuration, maintenance: None });
    bench.step(Input::Loaded { load, result: Box::new(loaded) });
}

const NOTHING: [&str; 0] = [];

/// What the log says of names.
fn said(bench: &mut Bench) -> Vec<String> {
    let mut logs = bench.logs();
    logs.retain(|line| line.contains("pool.example") || line.contains("names are"));
    logs
}

fn servers(bench: &mut Bench) -> Vec<String> {
    let status = bench.status();
    status.services[0].servers.iter().map(|it| it.address.to_string()).collect()
}

#[test]
fn addresses_that_come_are_added_and_those_that_go_are_removed() {
    let mut bench = bench();
    bench.pass(INTERVAL - Duration::from_secs(1));
    assert_eq!(look_up(&mut bench), None);
    bench.pass(Duration::from_secs(1));
    let load = look_up(&mut bench).expect("names are looked up");
    answer(&mut bench, load, Ok(pool(&[3, 4], None)));
    let line = "pool.example has changed: 10.0.0.4 added, 10.0.0.2 removed";
    assert_eq!(said(&mut bench), [line]);
    assert_eq!(servers(&mut bench), ["10.0.0.3:80", "10.0.0.4:80"]);
    assert_eq!(bench.reloads(), (0, 0), "the file was not read");
    interval(&mut bench, Ok(pool(&[3, 4], None)));
    assert_eq!(said(&mut bench), NOTHING, "nothing has changed");
}

#[test]
fn a_name_that_cannot_be_looked_up_is_told_of_once_at_its_begin_and_its_end() {
    let mut bench = bench();
    let ill = || Ok(pool(&[2, 3], Some("try again")));
    interval(&mut bench, ill());
    let line = "cannot look up pool.example: try again; it keeps its addresses";
    assert_eq!(said(&mut bench), [line]);
    interval(&mut bench, ill());
    assert_eq!(said(&mut bench), NOTHING);
    interval(&mut bench, Ok(pool(&[2, 3], None)));
    assert_eq!(said(&mut bench), ["pool.example can be looked up again"]);
    assert_eq!(servers(&mut bench), ["10.0.0.2:80", "10.0.0.3:80"]);
}

#[test]
fn what_is_refused_changes_nothing_and_is_told_of_once() {
    let mut bench = bench();
    let refused = || {
        let diagnostics = "Error [1]: no such file\nand more".to_owned();
        Err(Refused { diagnostics, found: None })
    };
    interval(&mut bench, refused());
    assert_eq!(said(&mut bench), ["names are not followed: Error [1]: no such file"]);
    interval(&mut bench, refused());
    assert_eq!(said(&mut bench), NOTHING);
    interval(&mut bench, Ok(pool(&[2, 3], None)));
    interval(&mut bench, refused());
    assert_eq!(said(&mut bench).len(), 1, "it was well between");
    assert_eq!(bench.reloads(), (0, 0));
}

#[test]
fn a_reload_does_not_wait_for_a_slow_name_server() {
    let mut bench = bench();
    bench.pass(INTERVAL);
    let late = look_up(&mut bench).expect("names are looked up");
    bench.step(Input::Reload);
    let reload = bench.load().expect("the file is read");
    answer(&mut bench, late, Ok(pool(&[9], None)));
    assert_eq!(servers(&mut bench), ["10.0.0.2:80", "10.0.0.3:80"], "the late answer");
    answer(&mut bench, reload, Ok(pool(&[3], None)));
    assert_eq!(servers(&mut bench), ["10.0.0.3:80"]);
    interval(&mut bench, Ok(pool(&[3], None)));
}

#[test]
fn names_are_not_looked_up_while_the_file_is_read() {
    let mut bench = bench();
    bench.pass(INTERVAL - Duration::from_secs(1));
    bench.step(Input::Reload);
    let reload = bench.load().expect("the file is read");
    bench.take();
    bench.pass(Duration::from_secs(1));
    assert_eq!(look_up(&mut bench), None);
    answer(&mut bench, reload, Ok(pool(&[2], None)));
    interval(&mut bench, Ok(pool(&[2], None)));
}

#[test]
fn a_look_up_without_an_end_is_given_up_and_is_no_fault_of_ours() {
    let mut bench = bench();
    bench.pass(INTERVAL);
    let lost = look_up(&mut bench).expect("names are looked up");
    bench.pass(Duration::from_secs(300));
    assert_eq!(said(&mut bench), ["names are not followed: no answer for 300 s"]);
    assert_eq!(bench.status().faults.unanswered_reloads, 0);
    answer(&mut bench, lost, Ok(pool(&[9], None)));
    interval(&mut bench, Ok(pool(&[3], None)));
    assert_eq!(servers(&mut bench), ["10.0.0.3:80"]);
}

#[test]
fn a_reload_that_is_taken_back_has_its_own_names() {
    let mut bench = bench();
    let minute = Some(Duration::from_secs(60));
    bench.step(Input::Question(Question::Reload(minute), 9));
    let reload = bench.load().expect("the file is read");
    answer(&mut bench, reload, Ok(pool(&[7], None)));
    bench.take();
    bench.pass(Duration::from_secs(45));
    let late = look_up(&mut bench).expect("names are looked up");
    bench.pass(Duration::from_secs(15));
    assert_eq!(servers(&mut bench), ["10.0.0.2:80", "10.0.0.3:80"]);
    answer(&mut bench, late, Ok(pool(&[8], None)));
    assert_eq!(servers(&mut bench), ["10.0.0.2:80", "10.0.0.3:80"], "it was of the other one");
    interval(&mut bench, Ok(pool(&[3], None)));
    assert_eq!(servers(&mut bench), ["10.0.0.3:80"]);
}
