//! mqtt against Mosquitto, amqp against RabbitMQ.

use crate::check::Check;
use crate::server::{Certificates, Home, Server, free_port, install, run, text};
use ldirectord::model::{Service, Tls};
use std::process::Command;
use std::time::Duration;

#[test]
fn mqtt_with_and_without_login_and_tls() {
    install(&["mosquitto"]);
    let home = Home::new("mosquitto");
    let certificates = Certificates::new(&home);
    let [open, guarded, tls] = [(); 3].map(|()| free_port());
    let passwords = home.write("passwords", "");
    run(Command::new("mosquitto_passwd").args(["-b", &passwords, "checker", "right"]));
    let configuration = format!(
        "per_listener_settings true
user root
listener {open}
allow_anonymous true
listener {guarded}
allow_anonymous false
password_file {passwords}
listener {tls}
allow_anonymous false
password_file {passwords}
certfile {cert}
keyfile {key}
",
        cert = text(&certificates.certificate),
        key = text(&certificates.key),
    );
    let file = home.write("mosquitto.conf", configuration);
    let _server = Server::start(&home, Command::new("mosquitto").args(["-c", &file]))
        .wait_for_ports("mosquitto", &[open, guarded, tls]);
    Check::new(Service::Mqtt, open).expect("up");
    let guarded = Check::new(Service::Mqtt, guarded);
    guarded.expect("login refused: not authorized");
    guarded.clone().login("checker", "wrong").expect("login refused: not authorized");
    guarded.login("checker", "right").expect("up");
    let tls = Check::new(Service::Mqtt, tls).login("checker", "right").tls(Tls::Yes);
    tls.expect("TLS handshake failed: certificate not trusted");
    tls.ca_file(&certificates.authority).expect("up");
    Check::new(Service::Mqtt, free_port()).expect("connection refused");
}

#[test]
fn amqp_with_and_without_login() {
    install(&["rabbitmq-server"]);
    let home = Home::new("rabbitmq");
    let [port, distribution] = [(); 2].map(|()| free_port());
    let configuration = format!(
        "listeners.tcp.v4 = 127.0.0.1:{port}
listeners.tcp.v6 = ::1:{port}
loopback_users = none
default_user = checker
default_pass = right
",
    );
    home.write("rabbitmq.conf", configuration);
    let mut command = Command::new("/usr/lib/rabbitmq/bin/rabbitmq-server");
    command
        .env("RABBITMQ_NODENAME", format!("test{port}@localhost"))
        .env("RABBITMQ_DIST_PORT", distribution.to_string())
        .env("RABBITMQ_CONFIG_FILE", home.name("rabbitmq.conf"))
        .env("RABBITMQ_ENABLED_PLUGINS_FILE", home.write("plugins", "[]."))
        .env("RABBITMQ_MNESIA_BASE", home.directory("mnesia"))
        .env("RABBITMQ_LOG_BASE", home.directory("logs"))
        .env("HOME", home.directory("home"));
    let _server = Server::start(&home, &mut command).wait_for_ports("rabbitmq", &[port]);
    let check = Check::new(Service::Amqp, port).timeout(Duration::from_secs(30));
    check.expect("up");
    check.clone().login("checker", "right").expect("up");
    check.clone().login("checker", "wrong").expect("login refused: 403 ACCESS_REFUSED");
    Check::new(Service::Amqp, free_port()).expect("connection refused");
}
