//! ssh against OpenSSH, tftp against tftpd-hpa, snmp against Net-SNMP, websocket against Python's
//! websockets, udp against a few lines.

use crate::check::Check;
use crate::server::{Home, LOOPBACKS, Server, free_port, install, run};
use ldirectord::model::Service;
use std::net::UdpSocket;
use std::process::Command;
use std::thread;
use std::time::Duration;

#[test]
fn ssh_identifications() {
    install(&["openssh-server"]);
    let home = Home::new("sshd");
    let port = free_port();
    let key = home.name("key");
    run(Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f", &key]));
    std::fs::create_dir_all("/run/sshd").unwrap();
    let configuration = format!(
        "Port {port}\nListenAddress 127.0.0.1\nListenAddress ::1\nHostKey {key}\nPidFile none\n\
         MaxStartups 1000\n"
    );
    let file = home.write("sshd_config", configuration);
    let _server =
        Server::start(&home, Command::new("/usr/sbin/sshd").args(["-D", "-e", "-f", &file]))
            .wait_for_ports("sshd", &[port]);
    let check = Check::new(Service::Ssh, port);
    check.expect("up");
    check.clone().receive("OpenSSH").expect("up");
    check.receive("Dropbear").expect("answer does not match receive");
    Check::new(Service::Ssh, free_port()).expect("connection refused");
}

#[test]
fn tftp_files() {
    install(&["tftpd-hpa"]);
    let home = Home::new("tftpd");
    let port = free_port();
    std::fs::create_dir_all(home.path("files")).unwrap();
    home.write("files/boot", "boot me\n".repeat(1000));
    run(Command::new("chmod").args(["-R", "a+rX", &home.name(".")]));
    let _servers = LOOPBACKS.map(|address| {
        let listen = match address.is_ipv4() {
            true => format!("{address}:{port}"),
            false => format!("[{address}]:{port}"),
        };
        let family = if address.is_ipv4() { "-4" } else { "-6" };
        let mut command = Command::new("/usr/sbin/in.tftpd");
        command.args(["-L", family, "-a", &listen, "-u", "nobody", "-s", &home.name("files")]);
        let probe = Check::new(Service::Tftp, port).words("boot").timeout(Duration::from_secs(1));
        Server::start(&home, &mut command).wait("tftpd", || probe.run_at(address) == "up")
    });
    let check = Check::new(Service::Tftp, port);
    check.clone().words("boot").expect("up");
    check.clone().words("boot").receive("reboot").expect("answer does not match receive");
    check.clone().words("boot").receive("(?m)^boot me$").expect("up");
    check.clone().words("none").expect("rejected: 1 File not found");
    let silent = Check::new(Service::Tftp, free_port()).words("boot");
    silent.timeout(Duration::from_secs(2)).expect("no answer in time");
}

#[test]
fn snmp_values() {
    install(&["snmpd"]);
    let home = Home::new("snmpd");
    let port = free_port();
    let configuration = format!(
        "agentaddress udp:127.0.0.1:{port},udp6:[::1]:{port}
rocommunity monitor default
rocommunity6 monitor default
sysName director.example
sysServices 72
"
    );
    let file = home.write("snmpd.conf", configuration);
    let mut command = Command::new("/usr/sbin/snmpd");
    command.args(["-f", "-Le", "-C", "-c", &file, "-p", &home.name("pid")]);
    command.env("SNMP_PERSISTENT_DIR", home.directory("state"));
    let check = Check::new(Service::Snmp, port).secret("monitor").words("");
    let probe = check.clone().timeout(Duration::from_secs(1));
    let _server = Server::start(&home, &mut command)
        .wait("snmpd", || LOOPBACKS.into_iter().all(|address| probe.run_at(address) == "up"));
    check.clone().receive("^[0-9]+$").expect("up");
    let name = check.clone().words("1.3.6.1.2.1.1.5.0");
    name.clone().receive("^director\\.example$").expect("up");
    name.receive("^other").expect("answer does not match receive");
    check.clone().words("1.3.6.1.2.1.1.7.0").receive("^72$").expect("up");
    check.clone().words("1.3.6.1.2.1.1.2.0").receive(r"^1\.3\.6\.1\.4\.1\.8072\.").expect("up");
    check.clone().words("1.3.6.1.4.1.99999.1").expect("nothing found");
    let stranger = check.secret("wrong").timeout(Duration::from_secs(2));
    stranger.expect("no answer in time");
}

#[test]
fn websocket_handshakes() {
    install(&["python3-websockets"]);
    let home = Home::new("websockets");
    let port = free_port();
    let program = format!(
        "import asyncio, http, websockets
async def serve(socket, path):
    await socket.wait_closed()
async def refuse(path, headers):
    if path != '/live':
        return (http.HTTPStatus.NOT_FOUND, [], b'')
async def main():
    async with websockets.serve(serve, ['127.0.0.1', '::1'], {port}, process_request=refuse):
        await asyncio.Future()
asyncio.run(main())
"
    );
    let file = home.write("server.py", program);
    let _server = Server::start(&home, Command::new("/usr/bin/python3").arg(&file))
        .wait_for_ports("websockets", &[port]);
    let check = Check::new(Service::Websocket, port);
    check.clone().request("live").expect("up");
    check.request("dead").expect("status 404 Not Found");
    Check::new(Service::Websocket, free_port()).request("live").expect("connection refused");
}

#[test]
fn udp_bytes() {
    let port = free_port();
    for address in LOOPBACKS {
        let socket = UdpSocket::bind((address, port)).unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 100];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                buffer[..length].reverse();
                let _ = socket.send_to(&buffer[..length], from);
            }
        });
    }
    let check = Check::new(Service::Udp, port).words("ff:00 0a");
    check.expect("up");
    check.clone().receive("^0a00ff$").expect("up");
    let other = check.clone().receive("^ff").timeout(Duration::from_secs(2));
    other.expect("answer does not match receive");
    check.words("xyz").expect("request: not an even number of hexadecimal digits");
    Check::new(Service::Udp, free_port()).words("00").expect("connection refused");
}
