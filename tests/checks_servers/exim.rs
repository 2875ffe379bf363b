//! smtp and submission against Exim.

use crate::check::Check;
use crate::server::{Home, Server, free_port, install};
use ldirectord::model::Service;
use std::process::Command;

#[test]
fn smtp_and_submission() {
    install(&["exim4-daemon-light"]);
    let home = Home::new("exim");
    let [smtp, submission, closed] = [(); 3].map(|()| free_port());
    let configuration = format!(
        "spool_directory = {spool}
log_file_path = {spool}/%slog
primary_hostname = mail.example
daemon_smtp_ports = {smtp} : {submission} : {closed}
local_interfaces = <; 127.0.0.1 ; ::1
tls_advertise_hosts =
acl_smtp_connect = connect
acl_smtp_helo = helo
begin acl
connect:
  deny condition = ${{if eq{{$received_port}}{{{closed}}}}}
       message = no service
  accept
helo:
  accept
",
        spool = home.directory("spool")
    );
    let file = home.write("exim.conf", configuration);
    run_as_root_only(&file);
    home.give("spool", "Debian-exim");
    let _server = Server::start(&home, Command::new("exim4").args(["-bdf", "-C", &file]))
        .wait_for_ports("exim", &[smtp, submission, closed]);

    Check::new(Service::Smtp, smtp).expect("up");
    Check::new(Service::Submission, submission).expect("up");
    Check::new(Service::Smtp, closed).expect("rejected: 550 no service");
    Check::new(Service::Smtp, free_port()).expect("connection refused");
}

/// Exim reads no configuration that others could have written.
fn run_as_root_only(file: &str) {
    crate::server::run(Command::new("chmod").args(["go-w", file]));
}
