//! Networks for the tests: namespaces, and work done inside them.
//!
//! ```text
//!     client ── 10.0.1.0/24 ── director ── bridge 10.0.2.0/24 ── rs1 rs2 rs3 rs4
//!       └───────────────────────────────────────┘
//! ```
//!
//! What comes from a virtual address (gate, ipip: the real server answers itself) goes back to the
//! client past the director; what comes from a real server's own address (masq) goes through it.
//! IPv6 likewise in fd00:1::/64 and fd00:2::/64. The director has the virtual addresses
//! 10.9.0.1-9 and fd00:9::1-9; the real servers have .2, .3, .5 and .6 of them too.
//!
//! 10.66.0.0/16 swallows packets.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::Write as _;
use std::process::{Command, Stdio};

use nix::sched::{CloneFlags, setns};

/// The real servers of a full world, and the last parts of their addresses.
pub(crate) const SERVERS: [(&str, u8); 4] = [("rs1", 11), ("rs2", 12), ("rs3", 13), ("rs4", 14)];

/// The virtual addresses that the real servers have too.
const SHARED: [u8; 4] = [2, 3, 5, 6];

/// Namespaces with a common name; gone with the guest.
pub(crate) struct World {
    name: String,
}

impl World {
    /// A director alone, with the virtual addresses and the swallowing network.
    pub(crate) fn director(name: &str) -> Self {
        let world = Self { name: name.to_owned() };
        world.create(&["director"]);
        world.ip("director", &director_addresses());
        world
    }

    /// A client, a director and four real servers.
    pub(crate) fn full(name: &str) -> Self {
        let world = Self { name: name.to_owned() };
        let servers = SERVERS.map(|(server, _)| server);
        world.create(&["client", "director"]);
        world.create(&servers);
        let client = world.namespace("client");
        let mut batch = director_addresses();
        batch += &format!(
            "link add br0 type bridge
            link set br0 up
            link add d0 type veth peer name c0 netns {client}
            link set d0 up
            link add client type veth peer name c1 netns {client}
            link set client up
            link set client master br0
            addr add 10.0.1.1/24 dev d0
            addr add 10.0.2.1/24 dev br0
            addr add fd00:1::1/64 dev d0 nodad
            addr add fd00:2::1/64 dev br0 nodad
            "
        );
        for server in servers {
            let peer = world.namespace(server);
            let _ = writeln!(batch, "link add {server} type veth peer name r0 netns {peer}");
            let _ = writeln!(batch, "link set {server} up\nlink set {server} master br0");
        }
        world.ip("director", &batch);
        world.ip(
            "client",
            "link set c0 up
            link set c1 up
            addr add 10.0.1.2/24 dev c0
            addr add 10.0.2.2/24 dev c1
            addr add fd00:1::2/64 dev c0 nodad
            addr add fd00:2::2/64 dev c1 nodad
            route add 10.9.0.0/24 via 10.0.1.1
            route add fd00:9::/64 via fd00:1::1
            ",
        );
        for (server, last) in SERVERS {
            world.ip(server, &server_addresses(last));
            // In a batch the family of a rule is not taken from its address.
            world.feed(
                server,
                &["ip", "-6", "-batch", "-"],
                "rule add from fd00:9::/64 lookup 100\n",
            );
        }
        world
    }

    /// The name of one of its namespaces.
    pub(crate) fn namespace(&self, member: &str) -> String {
        format!("{}-{member}", self.name)
    }

    /// Its own name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Runs `work` on a thread inside a namespace. Sockets and processes made there stay there.
    pub(crate) fn inside<T: Send>(&self, member: &str, work: impl FnOnce() -> T + Send) -> T {
        let namespace = self.namespace(member);
        std::thread::scope(|scope| {
            let thread = scope.spawn(|| {
                let file = File::open(format!("/run/netns/{namespace}")).unwrap();
                setns(file, CloneFlags::CLONE_NEWNET).unwrap();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Sets a variable under `/proc/sys/net` of a namespace.
    pub(crate) fn sysctl(&self, member: &str, variable: &str, value: &str) {
        self.inside(member, || fs::write(format!("/proc/sys/net/{variable}"), value).unwrap());
    }

    /// Runs commands of `ip` in a namespace, one a line.
    pub(crate) fn ip(&self, member: &str, batch: &str) {
        self.feed(member, &["ip", "-batch", "-"], batch);
    }

    /// Runs a command in a namespace with text as its input.
    pub(crate) fn feed(&self, member: &str, command: &[&str], input: &str) {
        self.inside(member, || {
            let mut child = Command::new(command[0])
                .args(&command[1..])
                .stdin(Stdio::piped())
                .spawn()
                .unwrap_or_else(|error| panic!("{}: {error}", command[0]));
            child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
            assert!(child.wait().unwrap().success(), "{command:?} with\n{input}");
        });
    }

    fn create(&self, members: &[&str]) {
        for member in members {
            let namespace = self.namespace(member);
            let status = Command::new("ip").args(["netns", "add", &namespace]).status().unwrap();
            assert!(status.success(), "ip netns add {namespace}");
            for variable in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
                self.sysctl(member, variable, "1");
            }
            for family in ["all", "default"] {
                self.sysctl(member, &format!("ipv4/conf/{family}/rp_filter"), "0");
            }
        }
    }
}

fn director_addresses() -> String {
    let mut batch = "link set lo up
        link add hole type dummy
        link set hole up
        addr add 10.66.0.1/16 dev hole
        "
    .to_owned();
    for last in 1..=9 {
        batch += &format!("addr add 10.9.0.{last}/32 dev lo\n");
        batch += &format!("addr add fd00:9::{last}/128 dev lo nodad\n");
    }
    batch
}

fn server_addresses(last: u8) -> String {
    let mut batch = format!(
        "link set lo up
        link set r0 up
        addr add 10.0.2.{last}/24 dev r0
        addr add fd00:2::{last}/64 dev r0 nodad
        route add default via 10.0.2.1
        route add default via fd00:2::1
        rule add from 10.9.0.0/24 lookup 100
        route add default via 10.0.2.2 table 100
        route add default via fd00:2::2 table 100
        link add tunnel4 type ipip local 10.0.2.{last}
        link add tunnel6 type ip6tnl mode ip6ip6 local fd00:2::{last}
        link set tunnel4 up
        link set tunnel6 up
        "
    );
    for shared in SHARED {
        batch += &format!("addr add 10.9.0.{shared}/32 dev lo\n");
        batch += &format!("addr add fd00:9::{shared}/128 dev lo nodad\n");
    }
    batch
}
