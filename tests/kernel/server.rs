//! Real servers of the tests: they say their name.
//!
//! Over TCP a request of HTTP is answered with the name as body, any other line with the name, and
//! the connection stays. Over UDP every datagram is answered with the name.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use nix::sys::socket::{Shutdown, shutdown};
use std::os::fd::AsRawFd;

use super::director::PATIENCE;
use super::world::World;

/// A listening server; connections that stand live on when it is closed or dropped.
pub(crate) struct Server {
    listener: Arc<TcpListener>,
    /// Connections taken so far.
    pub(crate) accepted: Arc<AtomicUsize>,
}

impl Server {
    /// Listens in a namespace; the member's name is what it says.
    pub(crate) fn start(world: &World, member: &'static str, address: &str) -> Self {
        Self::named(world, member, member, address)
    }

    /// [`Server::start`] with another name.
    pub(crate) fn named(world: &World, member: &str, name: &'static str, address: &str) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let listener = Arc::new(world.inside(member, || listen(address)));
        let accepted = Arc::new(AtomicUsize::new(0));
        let server = Self { listener: Arc::clone(&listener), accepted: Arc::clone(&accepted) };
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                accepted.fetch_add(1, Ordering::Relaxed);
                thread::spawn(move || talk(stream, name));
            }
        });
        server
    }

    /// How many connections it has taken.
    pub(crate) fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // On Linux this ends a waiting accept, and new connections are refused at once.
        let _ = shutdown(self.listener.as_raw_fd(), Shutdown::Both);
    }
}

/// A child between fork and exec may hold a closed listener's address for a moment.
fn listen(address: SocketAddr) -> TcpListener {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpListener::bind(address) {
            Ok(listener) => return listener,
            Err(error) if Instant::now() > deadline => panic!("{address}: {error}"),
            Err(_) => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn talk(stream: TcpStream, name: &str) {
    let mut lines = BufReader::new(&stream).lines();
    while let Some(Ok(line)) = lines.next() {
        let reply = if line.starts_with("GET ") {
            for header in lines.by_ref() {
                if header.is_ok_and(|header| header.is_empty()) {
                    break;
                }
            }
            let length = name.len();
            format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{name}"
            )
        } else {
            format!("{name}\n")
        };
        if (&stream).write_all(reply.as_bytes()).is_err() || line.starts_with("GET ") {
            return;
        }
    }
}

/// Answers datagrams, for as long as the test runs.
pub(crate) fn answer_datagrams(world: &World, member: &'static str, address: &str) {
    let address: SocketAddr = address.parse().unwrap();
    let socket = world.inside(member, || UdpSocket::bind(address)).unwrap();
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok((_, from)) = socket.recv_from(&mut buffer) {
            let _ = socket.send_to(member.as_bytes(), from);
        }
    });
}

/// A client's connection to a virtual service.
pub(crate) struct Connection(BufReader<TcpStream>);

impl Connection {
    /// Connects; `None` when that fails.
    pub(crate) fn open(world: &World, member: &str, address: &str) -> Option<Self> {
        let address: SocketAddr = address.parse().unwrap();
        let limit = PATIENCE;
        let stream = world.inside(member, || TcpStream::connect_timeout(&address, limit)).ok()?;
        stream.set_read_timeout(Some(limit)).unwrap();
        Some(Self(BufReader::new(stream)))
    }

    /// Who is at the other end; `None` when nobody answers.
    pub(crate) fn who(&mut self) -> Option<String> {
        self.0.get_mut().write_all(b"who\n").ok()?;
        let mut name = String::new();
        self.0.read_line(&mut name).ok()?;
        let name = name.trim_end().to_owned();
        (!name.is_empty()).then_some(name)
    }
}

/// Who answers `count` connections from the client, sorted and each once; `-` for no answer.
pub(crate) fn who_answers(world: &World, address: &str, count: usize) -> String {
    let ask = || Connection::open(world, "client", address).and_then(|mut open| open.who());
    distinct((0..count).map(|_| ask().unwrap_or_else(|| "-".to_owned())))
}

/// [`who_answers`] over UDP, each time from another port.
pub(crate) fn who_answers_datagrams(world: &World, address: &str, count: usize) -> String {
    distinct((0..count).map(|_| who_answers_datagram_from(world, 0, address)))
}

/// Who answers a datagram from this port of the client; `-` for no answer.
pub(crate) fn who_answers_datagram_from(world: &World, port: u16, address: &str) -> String {
    let address: SocketAddr = address.parse().unwrap();
    let ask = || {
        let any = if address.is_ipv4() { "0.0.0.0" } else { "::" };
        let any = SocketAddr::new(any.parse().unwrap(), port);
        let socket = world.inside("client", || UdpSocket::bind(any)).unwrap();
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        // Not connected: with one-packet scheduling, the reply has the server's own address.
        socket.send_to(b"who", address).ok()?;
        let mut buffer = [0; 64];
        let (length, _) = socket.recv_from(&mut buffer).ok()?;
        Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
    };
    ask().unwrap_or_else(|| "-".to_owned())
}

fn distinct(names: impl Iterator<Item = String>) -> String {
    let names: std::collections::BTreeSet<String> = names.collect();
    names.into_iter().collect::<Vec<_>>().join(" ")
}
