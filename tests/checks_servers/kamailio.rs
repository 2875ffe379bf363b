//! sip against Kamailio.

use crate::check::Check;
use crate::server::{Home, LOOPBACKS, Server, free_port, install};
use ldirectord::model::{Service, Transport};
use std::process::Command;

#[test]
fn sip_over_udp_and_tcp() {
    install(&["kamailio"]);
    let home = Home::new("kamailio");
    let port = free_port();
    let configuration = format!(
        "#!KAMAILIO
debug=1
log_stderror=yes
fork=yes
children=1
tcp_children=1
disable_tcp=no
auto_aliases=no
dns=no
rev_dns=no
listen=udp:127.0.0.1:{port}
listen=tcp:127.0.0.1:{port}
listen=udp:[::1]:{port}
listen=tcp:[::1]:{port}
loadmodule \"sl.so\"
loadmodule \"pv.so\"
request_route {{
    if ($rU == \"busy\") {{
        sl_send_reply(\"503\", \"Busy\");
        exit;
    }}
    if ($rU == \"other\") {{
        sl_send_reply(\"200\", \"Fine\");
        exit;
    }}
    if ($rU == \"slow\") {{
        sl_send_reply(\"100\", \"Trying\");
    }}
    sl_send_reply(\"200\", \"OK\");
}}
"
    );
    let file = home.write("kamailio.cfg", configuration);
    let runtime = home.directory("run");
    let mut command = Command::new("kamailio");
    command.args(["-DD", "-E", "-m", "16", "-M", "4", "-f", &file, "-Y", &runtime]);
    let check = Check::new(Service::Sip, port).login("me@here.example", "");
    let over = |transport| check.clone().transport(transport);
    let _server = Server::start(&home, &mut command).wait("kamailio", || {
        LOOPBACKS.into_iter().all(|address| {
            [Transport::Udp, Transport::Tcp].into_iter().all(|it| over(it).run_at(address) == "up")
        })
    });

    for transport in [Transport::Udp, Transport::Tcp] {
        let check = over(transport);
        check.expect("up");
        check.clone().login("slow@here.example", "").expect("up");
        check.clone().login("busy@here.example", "").expect("rejected: 503 Busy");
        check.clone().login("other@here.example", "").expect("rejected: 200 Fine");
        Check::new(Service::Sip, free_port()).transport(transport).expect("connection refused");
    }
}
