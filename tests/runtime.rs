//! The runtime over the memory table: real connections on loopback, no root.

use ldirectord::dataplane::Memory;
use ldirectord::model::{
    CheckMethod, CheckPlan, ForwardingMethod, Model, Protocol, RealServer, ServiceAddress,
    Thresholds, VirtualService,
};
use ldirectord::prober::ProberOptions;
use ldirectord::runtime::{
    Configuration, Controller, End, Fingerprint, FollowedNames, Runtime, Setup,
};
use ldirectord::status::{Phase, ServerState, StatusReport};
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Far beyond what anything here takes, even on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

fn service(servers: &[SocketAddr]) -> VirtualService {
    let address = ServiceAddress::Address {
        protocol: Protocol::Tcp,
        address: "127.0.0.10:80".parse().expect("an address"),
    };
    VirtualService {
        real_servers: servers.iter().map(|&address| real_server(address)).collect(),
        check_interval: Duration::from_millis(200),
        ..VirtualService::new(address)
    }
}

fn real_server(address: SocketAddr) -> RealServer {
    RealServer {
        address,
        forwarding: ForwardingMethod::Masq,
        weight: 1,
        thresholds: Thresholds::default(),
        check: Arc::new(CheckPlan {
            check_timeout: Duration::from_millis(500),
            negotiate_timeout: Duration::from_secs(1),
            ..CheckPlan::new(address, CheckMethod::Connect)
        }),
    }
}

fn configuration(model: &Model) -> Configuration {
    let fingerprint = Fingerprint { stamp: None, checksum: [0; 16] };
    Configuration {
        model: model.clone(),
        files: fingerprint.into(),
        names: FollowedNames::default(),
    }
}

fn start(model: Model, directory: &tempfile::TempDir) -> (Controller, impl FnOnce()) {
    let setup = Setup {
        config: directory.path().join("test.cf"),
        instance: "test".to_owned(),
        configuration: configuration(&model),
        load: Arc::new(move || Ok(configuration(&model))),
        table: Box::new(Memory::new()),
        table_name: "memory",
        memory: directory.path().join("test.hooks"),
        overrides: directory.path().join("test.overrides"),
        counters: directory.path().join("test.counters"),
        settings_changed: Box::new(|_| {}),
        stopping: Box::new(|| {}),
        alive: None,
        earlier: Vec::new(),
        faults: Default::default(),
    };
    let program = env!("CARGO_BIN_EXE_ldirectord").into();
    let prober = ProberOptions { program, ..ProberOptions::new("test") };
    let (runtime, controller) = Runtime::start(setup, prober).expect("a runtime");
    let thread = std::thread::spawn(move || runtime.run());
    let stop = controller.clone();
    (controller, move || {
        stop.terminate("TERM");
        assert_eq!(thread.join().expect("no panic"), End::Signal("TERM"));
    })
}

fn wait_for(controller: &Controller, what: &str, is_so: impl Fn(&StatusReport) -> bool) {
    let begun = Instant::now();
    loop {
        let report = controller.status(PATIENCE).expect("a status");
        if is_so(&report) {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "not in time: {what}: {report:#?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn states(report: &StatusReport) -> Vec<ServerState> {
    report.services[0].servers.iter().map(|server| server.state).collect()
}

#[test]
fn a_server_leaves_the_table_when_it_dies_and_returns_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let first = TcpListener::bind("127.0.0.1:0").unwrap();
    let second = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [first.local_addr().unwrap(), second.local_addr().unwrap()];
    let model = Model { services: vec![service(&addresses)], ..Model::default() };
    let (controller, stop) = start(model, &directory);
    let up = ServerState::Up;
    wait_for(&controller, "both up", |report| states(report) == [up, up]);
    let listing = controller.listing(PATIENCE).unwrap();
    assert!(listing.contains(&addresses[0].to_string()), "{listing}");
    drop(first);
    wait_for(&controller, "one down", |report| states(report) == [ServerState::Down, up]);
    let report = controller.status(PATIENCE).unwrap();
    assert_eq!(report.services[0].servers[0].why.as_deref(), Some("connection refused"));
    assert_eq!(report.phase, Phase::Running);
    let listing = controller.listing(PATIENCE).unwrap();
    assert!(!listing.contains(&addresses[0].to_string()), "{listing}");
    let _back = TcpListener::bind(addresses[0]).unwrap();
    wait_for(&controller, "up again", |report| states(report) == [up, up]);
    stop();
}

#[test]
fn a_reload_without_changes_keeps_every_state() {
    let directory = tempfile::tempdir().unwrap();
    let server = TcpListener::bind("127.0.0.1:0").unwrap();
    let addresses = [server.local_addr().unwrap()];
    let model = Model { services: vec![service(&addresses)], ..Model::default() };
    let (controller, stop) = start(model, &directory);
    wait_for(&controller, "up", |report| states(report) == [ServerState::Up]);
    let before = controller.status(PATIENCE).unwrap();
    controller.reload();
    wait_for(&controller, "reloaded", |report| report.last_reload.is_some());
    let after = controller.status(PATIENCE).unwrap();
    assert_eq!(after.services[0].servers[0].state, ServerState::Up);
    assert_eq!(after.services[0].servers[0].since, before.services[0].servers[0].since);
    stop();
}
