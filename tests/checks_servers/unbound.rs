//! dns against Unbound.

use crate::check::Check;
use crate::server::{Certificates, Home, Server, free_port, install, text};
use ldirectord::model::{Service, Tls, Transport};
use std::process::Command;

#[test]
fn dns_over_udp_and_tcp() {
    install(&["unbound"]);
    let home = Home::new("unbound");
    let [port, tls] = [(); 2].map(|()| free_port());
    let certificates = Certificates::new(&home);
    let long: String =
        (0..60).map(|host| format!("local-data: \"many.example. A 192.0.2.{host}\"\n")).collect();
    let configuration = format!(
        "server:
interface: 127.0.0.1
interface: ::1
interface: 127.0.0.1@{tls}
interface: ::1@{tls}
tls-port: {tls}
tls-service-pem: {cert}
tls-service-key: {key}
port: {port}
do-daemonize: no
use-syslog: no
username: \"\"
chroot: \"\"
directory: {directory}
pidfile: \"\"
module-config: \"iterator\"
max-udp-size: 512
local-zone: example. static
local-data: \"www.example. A 192.0.2.7\"
local-data: \"www.example. AAAA 2001:db8::7\"
local-data: \"alias.example. CNAME www.example.\"
local-data: \"example. MX 10 mail.example.\"
local-data: \"example. NS ns.example.\"
local-data: 'example. TXT \"v=spf1 -all\"'
local-data-ptr: \"192.0.2.7 www.example\"
local-data-ptr: \"2001:db8::7 www6.example\"
local-zone: refused.example. refuse
{long}
remote-control:
control-enable: no
",
        directory = home.name("."),
        cert = text(&certificates.certificate),
        key = text(&certificates.key),
    );
    let file = home.write("unbound.conf", configuration);
    let _server = Server::start(&home, Command::new("unbound").args(["-d", "-c", &file]))
        .wait_for_ports("unbound", &[port, tls]);

    let private = Check::new(Service::Dns, tls).request("www.example").receive("7").tls(Tls::Yes);
    private.expect("TLS handshake failed: certificate not trusted");
    private.clone().ca_file(&certificates.authority).expect("up");
    private.ca_file(&certificates.authority).receive("8").expect("answer does not match receive");

    for transport in [Transport::Udp, Transport::Tcp] {
        let ask =
            |request: &str| Check::new(Service::Dns, port).transport(transport).request(request);
        let mismatch = "answer does not match receive";
        ask("www.example").receive(r"^192\.0\.2\.7$").expect("up");
        ask("www.example.").receive("7").expect("up");
        ask("WWW.Example").receive("7").expect("up");
        ask("www.example").receive(r"\.8$").expect(mismatch);
        ask("www.example").expect("service=dns needs receive");
        ask("none.example").receive(".").expect("rejected: NXDOMAIN");
        ask("refused.example").receive(".").expect("rejected: REFUSED");
        ask("192.0.2.7").receive("^www.example$").expect("up");
        ask("2001:db8::7").receive("^www6.example$").expect("up");

        ask("AAAA www.example").receive("^2001:db8::7$").expect("up");
        ask("AAAA www.example").receive("192").expect(mismatch);
        ask("MX example.").receive("^10 mail.example$").expect("up");
        ask("NS example.").receive("^ns.example$").expect("up");
        ask("TXT example.").receive("^v=spf1 -all$").expect("up");
        ask("CNAME alias.example").receive("^www.example$").expect("up");
        ask("MX www.example").receive(".").expect("nothing found");

        // Does not fit into 512 bytes: over UDP the answer is cut, and asked for again over TCP.
        ask("many.example").receive(r"^192\.0\.2\.59$").expect("up");
    }
    let nobody = Check::new(Service::Dns, free_port()).request("www.example").receive("7");
    nobody.clone().transport(Transport::Udp).expect("connection refused");
    nobody.expect("connection refused");
}
