//! The same services for each program.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

/// The real servers' port.
pub(crate) const PORT: u16 = 8000;

/// How real servers are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// A connection.
    Connect,
    /// A request, a response, a pattern in its body.
    Http,
}

impl Method {
    /// Its name.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Http => "http",
        }
    }
}

/// What is watched, and how often.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Real servers of each virtual service.
    pub(crate) services: Vec<Vec<SocketAddr>>,
    /// How.
    pub(crate) method: Method,
    /// Seconds between two checks.
    pub(crate) interval: u32,
    /// Seconds until a check is given up.
    pub(crate) timeout: u32,
}

/// So many real servers on addresses of 127.0.0.0/8.
pub(crate) fn targets(count: usize) -> Vec<SocketAddr> {
    addresses([127, 1], count)
}

/// So many addresses of a network of 16 bits, at [`PORT`].
pub(crate) fn addresses(network: [u8; 2], count: usize) -> Vec<SocketAddr> {
    (0..count)
        .map(|number| {
            let [first, second] = network;
            let ip = IpAddr::from([first, second, (number / 250) as u8, (number % 250 + 1) as u8]);
            SocketAddr::new(ip, PORT)
        })
        .collect()
}

impl Plan {
    /// These servers, in services of at most `per_service`.
    pub(crate) fn new(servers: &[SocketAddr], per_service: usize, method: Method) -> Self {
        let services = servers.chunks(per_service).map(<[SocketAddr]>::to_vec).collect();
        Self { services, method, interval: 1, timeout: 1 }
    }

    /// How many real servers.
    pub(crate) fn servers(&self) -> usize {
        self.services.iter().map(Vec::len).sum()
    }

    /// As an `ldirectord.cf`.
    pub(crate) fn ldirectord(&self, log: &str) -> String {
        let mut text = format!(
            "checkinterval={}\nchecktimeout={}\nnegotiatetimeout={}\nlogfile=\"{log}\"\n",
            self.interval, self.timeout, self.timeout
        );
        for (number, servers) in self.services.iter().enumerate() {
            let _ = writeln!(text, "virtual={}:80", virtual_address(number));
            for server in servers {
                let _ = writeln!(text, "\treal={server} masq");
            }
            text += match self.method {
                Method::Connect => "\tchecktype=connect\n",
                Method::Http => "\tservice=http\n\trequest=\"/\"\n\treceive=\"ok\"\n",
            };
        }
        text
    }

    /// As a `keepalived.conf`.
    pub(crate) fn keepalived(&self) -> String {
        let mut text = "global_defs {\n}\n".to_owned();
        for (number, servers) in self.services.iter().enumerate() {
            let address = virtual_address(number);
            let (interval, timeout) = (self.interval, self.timeout);
            let _ = writeln!(text, "virtual_server {address} 80 {{\n delay_loop {interval}");
            text += " lvs_sched wrr\n lvs_method NAT\n protocol TCP\n";
            for server in servers {
                let (ip, port) = (server.ip(), server.port());
                let check = match self.method {
                    Method::Connect => format!("TCP_CHECK {{ connect_timeout {timeout} }}"),
                    Method::Http => format!(
                        "HTTP_GET {{ connect_timeout {timeout}\n url {{ path /\n status_code 200 }} }}"
                    ),
                };
                let check = check.replace(" }", "\n}").replace("{ ", "{\n");
                let _ = writeln!(text, " real_server {ip} {port} {{\n weight 1\n {check}\n }}");
            }
            text += "}\n";
        }
        text
    }
}

fn virtual_address(number: usize) -> IpAddr {
    IpAddr::from([10, 9, (number / 250) as u8, (number % 250 + 1) as u8])
}
