//! ntp against chrony.

use crate::check::Check;
use crate::server::{Home, Server, free_port, install};
use ldirectord::model::Service;
use std::process::Command;
use std::time::Duration;

/// Serves its own clock, which it does not touch.
fn start(home: &Home, port: u16, more: &str) -> Server {
    let configuration = format!(
        "port {port}
bindaddress 127.0.0.1
bindaddress ::1
allow
cmdport 0
bindcmdaddress /
pidfile {pid}
{more}
",
        pid = home.name("pid")
    );
    let file = home.write("chrony.conf", configuration);
    Server::start(home, Command::new("chronyd").args(["-d", "-x", "-u", "root", "-f", &file]))
}

#[test]
fn only_a_synchronised_server_is_up() {
    install(&["chrony"]);
    let (home, port) = (Home::new("chrony"), free_port());
    let check = Check::new(Service::Ntp, port).timeout(Duration::from_secs(5));
    let _server = start(&home, port, "local stratum 3").wait("chrony", || {
        crate::server::LOOPBACKS.into_iter().all(|address| check.run_at(address) == "up")
    });
    check.expect("up");

    // A server without a source of time says so.
    let (home, port) = (Home::new("chrony"), free_port());
    let check = Check::new(Service::Ntp, port).timeout(Duration::from_secs(5));
    let _lost = start(&home, port, "").wait("chrony", || {
        let answers = |address| !check.run_at(address).starts_with("connection refused");
        crate::server::LOOPBACKS.into_iter().all(answers)
    });
    check.expect("rejected: ");
    Check::new(Service::Ntp, free_port()).expect("connection refused");
}
