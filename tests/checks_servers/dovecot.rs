//! pop, pops, imap and imaps against Dovecot.

use crate::check::Check;
use crate::server::{Certificates, Home, Server, free_port, install, text};
use ldirectord::model::{CertificateCheck, Service, Tls};
use std::process::Command;
use std::time::Duration;

#[test]
fn pop_and_imap_with_and_without_login_and_tls() {
    install(&["dovecot-pop3d", "dovecot-imapd"]);
    let home = Home::new("dovecot");
    let certificates = Certificates::new(&home);
    let [pop, pops, imap, imaps] = [(); 4].map(|()| free_port());
    let users = home.write("users", "mailer:{PLAIN}right word\nüser:{PLAIN}süß\n");
    let mail = home.directory("mail");
    let configuration = format!(
        "base_dir = {base}
         state_dir = {base}
         log_path = /dev/stderr
         protocols = pop3 imap
         listen = 127.0.0.1, ::1
         ssl = yes
         ssl_cert = <{cert}
         ssl_key = <{key}
         disable_plaintext_auth = no
         auth_mechanisms = plain cram-md5 apop
         auth_failure_delay = 0 secs
         auth_username_chars =
         mail_max_userip_connections = 1000
         mail_location = maildir:{mail}/%u
         first_valid_uid = 1
         passdb {{
           driver = passwd-file
           args = {users}
         }}
         userdb {{
           driver = static
           args = uid=mail gid=mail home={mail}/%u
         }}
         # Otherwise every failed login makes the next one wait longer.
         service anvil {{
           unix_listener anvil-auth-penalty {{
             mode = 0
           }}
         }}
         service pop3-login {{
           inet_listener pop3 {{
             port = {pop}
           }}
           inet_listener pop3s {{
             port = {pops}
           }}
         }}
         service imap-login {{
           inet_listener imap {{
             port = {imap}
           }}
           inet_listener imaps {{
             port = {imaps}
           }}
         }}
        ",
        base = home.directory("base"),
        cert = text(&certificates.certificate),
        key = text(&certificates.key),
    );
    let file = home.write("dovecot.conf", configuration);
    let _server = Server::start(&home, Command::new("dovecot").args(["-F", "-c", &file]))
        .wait_for_ports("dovecot", &[pop, pops, imap, imaps]);

    for (plain, port) in [(Service::Pop, pop), (Service::Imap, imap)] {
        let check = Check::new(plain, port);
        check.expect("up");
        check.clone().login("mailer", "right word").expect("up");
        check.clone().login("mailer", "wrong").expect("login refused: ");
        check.clone().login("nobody", "right word").expect("login refused: ");
    }
    Check::new(Service::Imap, imap).login("üser", "süß").expect("up");

    for (tls, port) in [(Service::Pops, pops), (Service::Imaps, imaps)] {
        let check = Check::new(tls, port);
        let untrusted = "TLS handshake failed: certificate not trusted";
        check.expect(untrusted);
        check.clone().certificate(CertificateCheck::No).expect("up");
        let check = check.ca_file(&certificates.authority);
        // The name is not looked at: the check goes to an address.
        check.expect("up");
        check.clone().login("mailer", "right word").expect("up");
        check.clone().login("mailer", "wrong").expect("login refused: ");
        let check = check.certificate(CertificateCheck::Name);
        check.expect(untrusted);
        check.clone().virtual_host("server.example").expect("up");
        check.clone().virtual_host("other.example").expect(untrusted);
    }

    for (service, plain, tls) in [(Service::Pop, pop, pops), (Service::Imap, imap, imaps)] {
        for (how, port) in [(Tls::Start, plain), (Tls::Yes, tls)] {
            let check = Check::new(service, port).tls(how);
            check.expect("TLS handshake failed: certificate not trusted");
            let check = check.ca_file(&certificates.authority);
            check.expect("up");
            check.clone().login("mailer", "right word").expect("up");
            check.clone().login("mailer", "wrong").expect("login refused: ");
        }
        // Nothing of the protocol comes before TLS on this port.
        let silent = Check::new(service, tls).tls(Tls::Start).timeout(Duration::from_secs(2));
        silent.expect("no answer in time");
    }

    // The other protocol's port, TLS to a server in the clear, and the reverse.
    Check::new(Service::Pop, imap).expect("not a proper answer");
    Check::new(Service::Imap, pop).expect("not a proper answer");
    Check::new(Service::Imaps, imap).expect("TLS handshake failed");
    Check::new(Service::Imap, free_port()).expect("connection refused");
}
