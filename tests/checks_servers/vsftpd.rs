//! ftp against vsftpd.

use crate::check::Check;
use crate::server::{Certificates, Home, LOOPBACKS, Server, free_port, install, text};
use ldirectord::model::{Service, Tls};
use std::net::{IpAddr, TcpStream};
use std::process::Command;

#[test]
fn ftp_login_and_file() {
    install(&["vsftpd"]);
    let home = Home::new("vsftpd");
    let [port, implicit] = [(); 2].map(|()| free_port());
    let certificates = Certificates::new(&home);
    std::fs::create_dir_all(home.path("files/pub")).unwrap();
    home.write("files/pub/status", "everything is fine\n");
    home.write("files/pub/long", "begin\n".repeat(1_000_000));
    home.directory("empty");
    home.write("banned", "wrong@here\n");
    let configuration = format!(
        "background=NO
anonymous_enable=YES
local_enable=NO
anon_root={files}
deny_email_enable=YES
banned_email_file={banned}
secure_chroot_dir={empty}
nopriv_user=nobody
ftp_username=ftp
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
xferlog_enable=NO
ssl_enable=YES
allow_anon_ssl=YES
require_ssl_reuse=NO
rsa_cert_file={cert}
rsa_private_key_file={key}
",
        files = home.name("files"),
        banned = home.name("banned"),
        empty = home.name("empty"),
        cert = text(&certificates.certificate),
        key = text(&certificates.key),
    );
    crate::server::run(Command::new("chmod").args(["-R", "go-w", &home.name("files")]));
    crate::server::run(Command::new("chmod").args(["go-w", &home.name("empty")]));
    let start = |address: IpAddr, port: u16, more: &str| {
        let listen = match address {
            IpAddr::V4(_) => format!("listen=YES\nlisten_address={address}\n"),
            IpAddr::V6(_) => {
                format!("listen=NO\nlisten_ipv6=YES\nlisten_address6={address}\n")
            }
        };
        let name = format!("{port}-{}", if address.is_ipv4() { "v4.conf" } else { "v6.conf" });
        let own = format!("{configuration}{listen}listen_port={port}\n{more}");
        let file = home.write(&name, own);
        Server::start(&home, Command::new("vsftpd").arg(file))
            .wait("vsftpd", || TcpStream::connect((address, port)).is_ok())
    };
    let _servers = LOOPBACKS
        .map(|address| [start(address, port, ""), start(address, implicit, "implicit_ssl=YES\n")]);

    let check = Check::new(Service::Ftp, port).login("anonymous", "me@here");
    check.expect("up");
    check.clone().login("anonymous", "wrong@here").expect("login refused: 530");
    check.clone().login("somebody", "right").expect("login refused: 530");
    let status = check.clone().request("pub/status");
    status.clone().receive("^everything is fine$").expect("up");
    status.clone().receive("broken").expect("answer does not match receive");
    check.clone().request("pub/none").receive(".").expect("rejected: 550");
    // Of a file of six megabytes the beginning is matched.
    check.clone().request("pub/long").receive("^begin").expect("up");
    for (port, tls) in [(port, Tls::Start), (implicit, Tls::Yes)] {
        let check = Check::new(Service::Ftp, port).login("anonymous", "me@here").tls(tls);
        check.expect("TLS handshake failed: certificate not trusted");
        let check = check.ca_file(&certificates.authority);
        check.expect("up");
        check.clone().login("somebody", "right").expect("login refused: 530");
        let status = check.request("pub/status");
        status.clone().receive("^everything is fine$").expect("up");
        status.receive("broken").expect("answer does not match receive");
    }
    Check::new(Service::Ftp, free_port()).expect("connection refused");
}
