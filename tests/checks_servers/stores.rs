//! redis against Redis, memcached against memcached.

use crate::check::Check;
use crate::server::{Certificates, Home, Server, free_port, install, text};
use ldirectord::model::{Service, Tls};
use std::process::Command;

#[test]
fn redis_commands_with_and_without_login_and_tls() {
    install(&["redis-server"]);
    let home = Home::new("redis");
    let certificates = Certificates::new(&home);
    let [open, guarded, tls] = [(); 3].map(|()| free_port());
    let start = |name: &str, ports: &[u16], configuration: &str| {
        let common = format!(
            "bind 127.0.0.1 ::1\nsave \"\"\ndaemonize no\ndir {}\n{configuration}",
            home.directory(name)
        );
        let file = home.write(&format!("{name}.conf"), common);
        Server::start(&home, Command::new("redis-server").arg(file)).wait_for_ports(name, ports)
    };
    let _open = start("open", &[open], &format!("port {open}\n"));
    let guarded_configuration = format!(
        "port {guarded}
tls-port {tls}
tls-cert-file {cert}
tls-key-file {key}
tls-ca-cert-file {ca}
tls-auth-clients yes
requirepass right
user checker on >other +ping +role ~*
",
        cert = text(&certificates.certificate),
        key = text(&certificates.key),
        ca = text(&certificates.authority),
    );
    let _guarded = start("guarded", &[guarded, tls], &guarded_configuration);

    let check = Check::new(Service::Redis, open).words("");
    check.expect("up");
    check.clone().words("ROLE").receive("(?m)^master$").expect("up");
    check.clone().words("ROLE").receive("slave").expect("answer does not match receive");
    check.clone().words("INFO replication").receive("role:master").expect("up");
    check.clone().words("NONSENSE").expect("rejected: ERR unknown command");
    let guarded = Check::new(Service::Redis, guarded).words("");
    guarded.expect("login refused: NOAUTH");
    guarded.clone().login("", "wrong").expect("login refused: WRONGPASS");
    guarded.clone().login("", "right").expect("up");
    guarded.clone().login("checker", "other").words("ROLE").expect("up");
    guarded.login("checker", "other").words("INFO").expect("rejected: NOPERM");
    let tls = Check::new(Service::Redis, tls).words("").login("", "right").tls(Tls::Yes);
    tls.expect("TLS handshake failed: certificate not trusted");
    let tls = tls.ca_file(&certificates.authority);
    tls.client(&certificates.certificate, &certificates.key).expect("up");
    Check::new(Service::Redis, free_port()).expect("connection refused");
}

#[test]
fn memcached_commands() {
    install(&["memcached"]);
    let home = Home::new("memcached");
    let port = free_port();
    let mut command = Command::new("memcached");
    command.args(["-u", "nobody", "-l", "127.0.0.1,::1", "-p", &port.to_string(), "-U", "0"]);
    let _server = Server::start(&home, &mut command).wait_for_ports("memcached", &[port]);
    let check = Check::new(Service::Memcached, port).words("");
    check.expect("up");
    check.clone().receive("^VERSION 1").expect("up");
    check.clone().receive("^VERSION 0").expect("answer does not match receive");
    check.clone().words("stats").receive("(?m)^STAT accepting_conns 1$").expect("up");
    check.clone().words("get nothing").receive("^END$").expect("up");
    check.words("nonsense").expect("rejected: ERROR");
}
