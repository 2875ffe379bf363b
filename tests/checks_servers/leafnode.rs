//! nntp against Leafnode, which speaks on its standard input and output.

use crate::check::Check;
use crate::server::{Home, LOOPBACKS, free_port, install};
use ldirectord::model::Service;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::process::{Command, Stdio};
use std::thread;

/// Plays inetd on both loopback addresses, one connection each. Leafnode has one place for its
/// configuration, so it gets a mount namespace of its own.
fn serve(port: u16, configuration: &str) {
    for address in LOOPBACKS {
        let listener = TcpListener::bind((address, port)).unwrap();
        let configuration = configuration.to_owned();
        thread::spawn(move || {
            let stream = OwnedFd::from(listener.accept().unwrap().0);
            let script = "mount --bind \"$1\" /etc/news/leafnode/config
                          exec runuser -u news -- /usr/sbin/leafnode";
            let mut command = Command::new("unshare");
            command.args(["--mount", "sh", "-ec", script, "sh", &configuration]);
            command.stdin(stream.try_clone().unwrap()).stdout(stream).stderr(Stdio::null());
            command.status().unwrap();
        });
    }
}

#[test]
fn nntp_greetings() {
    install(&["leafnode"]);
    let home = Home::new("leafnode");
    let [port, refusing] = [(); 2].map(|()| free_port());
    let upstream = "server = news.invalid\nexpire = 20\n";
    let good = home.write("good", format!("{upstream}hostname = news.ldirectord.org\n"));
    let bad = home.write("bad", format!("{upstream}hostname = localhost\n"));
    serve(port, &good);
    Check::new(Service::Nntp, port).expect("up");
    serve(refusing, &bad);
    Check::new(Service::Nntp, refusing).expect("rejected: 503 Leafnode must have");
    Check::new(Service::Nntp, free_port()).expect("connection refused");
}
