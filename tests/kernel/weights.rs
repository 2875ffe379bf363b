//! Weights that servers ask for, and weights that rise.

use std::io::Write;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::thread;

use super::director::{Director, PATIENCE};
use super::server::Server;
use super::world::World;
use super::{SEEN, Test, tests};

pub(crate) const TESTS: &[Test] = tests![
    a_server_s_agent_has_its_weight,
    a_command_of_the_director_has_the_weight_of_a_server_that_is_up,
    the_exit_status_of_an_external_check_is_a_weight,
    the_weight_of_a_server_that_returns_rises,
];

const CONFIG: &str = "checkinterval=1
checktimeout=5
virtual=10.9.0.1:80
    real=127.0.0.11:80 masq 100
    scheduler=wlc
";

/// An agent, and what it says.
fn agent(world: &World, address: &str) -> Arc<Mutex<&'static str>> {
    let address: SocketAddr = address.parse().unwrap();
    let listener = world.inside("director", || TcpListener::bind(address).unwrap());
    let words = Arc::new(Mutex::new("ready"));
    let said = Arc::clone(&words);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let _ = stream.unwrap().write_all(said.lock().unwrap().as_bytes());
        }
    });
    words
}

fn listed(weight: u32) -> String {
    format!("tcp 10.9.0.1:80 wlc -> 127.0.0.11:80 masq {weight}")
}

fn a_server_s_agent_has_its_weight() {
    let world = World::director("agent");
    let _server = Server::start(&world, "director", "127.0.0.11:80");
    let words = agent(&world, "127.0.0.11:8042");
    let text = format!("{CONFIG}    checktype=connect\n    agentport=8042\n");
    let director = Director::start(&world, &text);
    for (says, weight) in
        [("ready", 100), ("40%\n", 40), ("drain", 0), ("up 70% # busy", 70), ("200%", 200)]
    {
        *words.lock().unwrap() = says;
        director.expect(&[&listed(weight)], PATIENCE);
    }
    *words.lock().unwrap() = "down#full";
    director.expect(&["tcp 10.9.0.1:80 wlc ->"], SEEN);
    *words.lock().unwrap() = "";
    director.expect(&[&listed(100)], SEEN);
}

fn the_exit_status_of_an_external_check_is_a_weight() {
    let world = World::director("status");
    let directory = tempfile::tempdir().unwrap();
    let (script, status) = script(directory.path());
    let text = format!(
        "{CONFIG}    checktype=external\n    externalweight=yes\n    checkcommand={}\n",
        script.display()
    );
    std::fs::write(&status, "0").unwrap();
    let director = Director::start(&world, &text);
    expect_weights(&director, &status);
}

/// A program that ends with the status in a file; and this file.
fn script(directory: &Path) -> (PathBuf, PathBuf) {
    let (script, status) = (directory.join("check"), directory.join("status"));
    std::fs::write(&script, format!("#!/bin/sh\nexit $(cat {})\n", status.display())).unwrap();
    let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(&script, executable).unwrap();
    (script, status)
}

/// The weights that follow from exit statuses.
fn expect_weights(director: &Director, status: &Path) {
    for (exit, weight) in [("0", 100), ("52", 50), ("2", 0), ("255", 253), ("0", 100)] {
        std::fs::write(status, exit).unwrap();
        director.expect(&[&listed(weight)], SEEN);
    }
    std::fs::write(status, "1").unwrap();
    director.expect(&["tcp 10.9.0.1:80 wlc ->"], SEEN);
}

fn a_command_of_the_director_has_the_weight_of_a_server_that_is_up() {
    let world = World::director("command");
    let directory = tempfile::tempdir().unwrap();
    let (script, status) = script(directory.path());
    let server = Server::start(&world, "director", "127.0.0.11:80");
    let command = script.display();
    let text = format!("{CONFIG}    checktype=connect\n    agentcommand={command}\n");
    std::fs::write(&status, "0").unwrap();
    let director = Director::start(&world, &text);
    expect_weights(&director, &status);
    std::fs::write(&status, "7").unwrap();
    director.expect(&[&listed(5)], SEEN);
    drop(server);
    director.expect(&["tcp 10.9.0.1:80 wlc ->"], SEEN);
}

fn the_weight_of_a_server_that_returns_rises() {
    let world = World::director("slow");
    let server = Server::start(&world, "director", "127.0.0.11:80");
    let text = format!("{CONFIG}    checktype=connect\n    slowstart=5\n");
    let director = Director::start(&world, &text);
    director.expect(&[&listed(100)], PATIENCE);
    drop(server);
    director.expect(&["tcp 10.9.0.1:80 wlc ->"], SEEN);
    let _server = Server::start(&world, "director", "127.0.0.11:80");
    for weight in [20, 40, 60, 80, 100] {
        director.expect(&[&listed(weight)], SEEN);
    }
}
