//! radius against FreeRADIUS.

use crate::check::Check;
use crate::server::{Home, LOOPBACKS, Server, free_port, install};
use ldirectord::model::Service;
use std::process::Command;
use std::time::Duration;

#[test]
fn radius_accept_reject_and_wrong_secret() {
    install(&["freeradius"]);
    let home = Home::new("freeradius");
    let port = free_port();
    let users = home.write(
        "users",
        "checker Cleartext-Password := \"a password of more than sixteen bytes\"\n\
         locked Auth-Type := Reject\n    Reply-Message = \"locked out\"\n",
    );
    let log = home.directory("log-directory");
    let configuration = format!(
        "prefix = /usr
logdir = {log}
raddbdir = {raddb}
run_dir = {log}
db_dir = {log}
libdir = /usr/lib/freeradius
pidfile = {log}/pid
log {{
    destination = stdout
}}
security {{
    allow_core_dumps = no
    reject_delay = 0
    status_server = no
}}
thread pool {{
    start_servers = 1
    max_servers = 2
    min_spare_servers = 1
    max_spare_servers = 2
}}
client v4 {{
    ipaddr = 127.0.0.1
    secret = right
    require_message_authenticator = yes
}}
client v6 {{
    ipv6addr = ::1
    secret = right
    require_message_authenticator = yes
}}
modules {{
    pap {{
    }}
    files {{
        usersfile = {users}
    }}
}}
server default {{
    listen {{
        type = auth
        ipv4addr = 127.0.0.1
        port = {port}
    }}
    listen {{
        type = auth
        ipv6addr = ::1
        port = {port}
    }}
    authorize {{
        files
        pap
    }}
    authenticate {{
        pap
    }}
}}
",
        raddb = home.name(".")
    );
    home.write("radiusd.conf", configuration);
    home.write("dictionary", "$INCLUDE /usr/share/freeradius/dictionary\n");
    let mut command = Command::new("freeradius");
    command.args(["-f", "-l", "stdout", "-d", &home.name(".")]);
    let login = "a password of more than sixteen bytes";
    let check = Check::new(Service::Radius, port)
        .secret("right")
        .login("checker", login)
        .timeout(Duration::from_secs(20));
    let _server = Server::start(&home, &mut command)
        .wait("freeradius", || LOOPBACKS.into_iter().all(|address| check.run_at(address) == "up"));

    check.expect("up");
    check.clone().login("checker", "wrong").expect("login refused: ");
    check.clone().login("nobody", login).expect("login refused: ");
    check.clone().login("", "").expect("login refused: ");
    check.clone().login("locked", login).expect("login refused: locked out");
    // The server drops what is not sealed with its secret.
    let wrong = check.clone().secret("wrong").timeout(Duration::from_secs(2));
    wrong.expect("no answer in time");
    Check::new(Service::Radius, free_port()).secret("right").expect("connection refused");
}
