//! ftp against vsftpd.

use crate::check::Check;
use crate::server::{Home, LOOPBACKS, Server, free_port, install};
use ldirectord::model::Service;
use std::net::TcpStream;
use std::process::Command;

#[test]
fn ftp_login_and_file() {
    install(&["vsftpd"]);
    let home = Home::new("vsftpd");
    let port = free_port();
    std::fs::create_dir_all(home.path("files/pub")).unwrap();
    home.write("files/pub/status", "everything is fine\n");
    home.write("files/pub/long", "begin\n".repeat(1_000_000));
    home.directory("empty");
    home.write("banned", "wrong@here\n");
    let configuration = format!(
        "background=NO
listen_port={port}
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
",
        files = home.name("files"),
        banned = home.name("banned"),
        empty = home.name("empty"),
    );
    crate::server::run(Command::new("chmod").args(["-R", "go-w", &home.name("files")]));
    crate::server::run(Command::new("chmod").args(["go-w", &home.name("empty")]));
    let _servers = LOOPBACKS.map(|address| {
        let listen = match address {
            std::net::IpAddr::V4(_) => format!("listen=YES\nlisten_address={address}\n"),
            std::net::IpAddr::V6(_) => {
                format!("listen=NO\nlisten_ipv6=YES\nlisten_address6={address}\n")
            }
        };
        let name = if address.is_ipv4() { "v4.conf" } else { "v6.conf" };
        let file = home.write(name, format!("{configuration}{listen}"));
        Server::start(&home, Command::new("vsftpd").arg(file))
            .wait("vsftpd", || TcpStream::connect((address, port)).is_ok())
    });

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
    Check::new(Service::Ftp, free_port()).expect("connection refused");
}
