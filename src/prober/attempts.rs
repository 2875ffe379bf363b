//! For the tests, and in no program that is shipped: a prober that tries what it must not do, and
//! tells how it went, as lines of its log.

use super::outbox::Outbox;
use super::seam::Word;
use nix::sys::ptrace;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use nix::unistd::{Uid, getppid, setresuid};
use std::fs;
use std::io;
use std::net::{TcpListener, ToSocketAddrs, UdpSocket};
use std::process::Command;

/// Set by a test, which starts the prober itself; a director passes no such variable on.
const WANTED: &str = "LDIRECTORD_PROBER_ATTEMPTS";

/// Tries, if a test wants it: each line is a name and `refused: …` or `done`.
pub(super) fn try_what_is_forbidden(outbox: &Outbox) {
    let Ok(directory) = std::env::var(WANTED) else { return };
    let netlink = |protocol| {
        socket(AddressFamily::Netlink, SockType::Raw, SockFlag::SOCK_CLOEXEC, protocol)
            .map(drop)
            .map_err(io::Error::from)
    };
    let packets = || socket(AddressFamily::Packet, SockType::Raw, SockFlag::empty(), None);
    let attempts: Vec<(&str, io::Result<()>)> = vec![
        ("read /etc/shadow", fs::read("/etc/shadow").map(drop)),
        ("read a world-readable file", fs::read(format!("{directory}/readable")).map(drop)),
        ("read /etc/passwd", fs::read("/etc/passwd").map(drop)),
        ("write a file", fs::write(format!("{directory}/written"), "x")),
        ("remove a file", fs::remove_file(format!("{directory}/readable"))),
        ("run a program", Command::new("/bin/true").spawn().map(drop)),
        ("fork", fork::fork().map(drop).map_err(io::Error::other)),
        ("open ip_vs", netlink(SockProtocol::NetlinkGeneric)),
        ("open packets", packets().map(drop).map_err(io::Error::from)),
        ("trace the director", ptrace::attach(getppid()).map_err(io::Error::from)),
        ("signal the director", nix::sys::signal::kill(getppid(), None).map_err(io::Error::from)),
        ("read the director", fs::read(format!("/proc/{}/environ", getppid())).map(drop)),
        ("become root", setresuid(Uid::from_raw(0), 0.into(), 0.into()).map_err(io::Error::from)),
        ("listen", TcpListener::bind("127.0.0.1:0").map(drop)),
        // What checks need, to show that the walls are not simply everywhere.
        ("may ask names", ("localhost", 80).to_socket_addrs().map(drop)),
        ("may read names", fs::read("/etc/hosts").map(drop)),
        ("may send", UdpSocket::bind("127.0.0.1:0").map(drop)),
        ("may start threads", std::thread::Builder::new().spawn(|| {}).map(drop)),
        ("may ask for addresses", netlink(SockProtocol::NetlinkRoute)),
    ];
    for (what, result) in attempts {
        let text = match result {
            Ok(()) => format!("{what}: done"),
            Err(error) => format!("{what}: refused: {error}"),
        };
        outbox.say(Word::Line { level: log::Level::Warn as usize, text });
    }
}
