//! smtp and submission against Exim.

use crate::check::Check;
use crate::server::{Certificates, Home, Server, free_port, install, text};
use ldirectord::model::{CertificateCheck, Service, Tls};
use std::process::Command;

#[test]
fn smtp_and_submission() {
    install(&["exim4-daemon-light"]);
    let home = Home::new("exim");
    let certificates = Certificates::new(&home);
    let [smtp, submission, smtps, closed] = [(); 4].map(|()| free_port());
    let configuration = format!(
        "spool_directory = {spool}
log_file_path = {spool}/%slog
primary_hostname = mail.example
daemon_smtp_ports = {smtp} : {submission} : {smtps} : {closed}
tls_on_connect_ports = {smtps}
local_interfaces = <; 127.0.0.1 ; ::1
tls_advertise_hosts = ${{if eq{{$received_port}}{{{smtp}}}{{}}{{*}}}}
tls_certificate = {cert}
tls_privatekey = {key}
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
        spool = home.directory("spool"),
        cert = text(&certificates.certificate),
        key = text(&certificates.key),
    );
    let file = home.write("exim.conf", configuration);
    run_as_root_only(&file);
    home.give("spool", "Debian-exim");
    home.give("key.pem", "Debian-exim");
    let _server = Server::start(&home, Command::new("exim4").args(["-bdf", "-C", &file]))
        .wait_for_ports("exim", &[smtp, submission, smtps, closed]);

    Check::new(Service::Smtp, smtp).expect("up");
    Check::new(Service::Submission, submission).expect("up");
    let untrusted = "TLS handshake failed: certificate not trusted";
    for (service, port, how) in
        [(Service::Submission, submission, Tls::Start), (Service::Smtp, smtps, Tls::Yes)]
    {
        let check = Check::new(service, port).tls(how);
        check.expect(untrusted);
        let check = check.ca_file(&certificates.authority);
        check.expect("up");
        check.clone().certificate(CertificateCheck::Name).expect(untrusted);
        check.certificate(CertificateCheck::Name).virtual_host("server.example").expect("up");
    }
    // One that offers no TLS, and one that speaks nothing else.
    let check = Check::new(Service::Smtp, smtp).tls(Tls::Start);
    check.expect("TLS handshake failed: refused: 503 STARTTLS command used when not advertised");
    Check::new(Service::Smtp, smtp).tls(Tls::Yes).expect("TLS handshake failed");
    Check::new(Service::Smtp, closed).expect("rejected: 550 no service");
    Check::new(Service::Smtp, free_port()).expect("connection refused");
}

/// Exim reads no configuration that others could have written.
fn run_as_root_only(file: &str) {
    crate::server::run(Command::new("chmod").args(["go-w", file]));
}
