//! Real servers that come, die, hang and answer nonsense, and a mail server that does the same.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use std::time::Duration;
use std::{fs, thread};

use nix::sys::socket::{Shutdown as Half, shutdown};

use super::dice::Dice;
use super::director::{PATIENCE, wait_for};
use super::site::{Check, SLOTS};
use super::world::{SERVERS, World};

/// What a server does with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Mood {
    Serves,
    Hangs,
    Babbles,
    /// Nobody listens.
    Refuses,
}

const MOODS: [Mood; 4] = [Mood::Serves, Mood::Hangs, Mood::Babbles, Mood::Refuses];

/// How long a connection is kept at most.
const KEPT: Duration = Duration::from_secs(20);

/// The servers of one world.
pub(crate) struct Peers<'w> {
    world: &'w World,
    folder: String,
    moods: [[Mood; SERVERS.len()]; SLOTS.len()],
    listeners: Vec<Vec<Option<Listener>>>,
    /// Whether the cable of a server is in.
    cable: [bool; SERVERS.len()],
    /// Whether a server answers pings.
    echo: [bool; SERVERS.len()],
    pub(crate) mail: MailServer,
}

impl<'w> Peers<'w> {
    /// All serve.
    pub(crate) fn start(world: &'w World, folder: &str) -> Self {
        fs::create_dir_all(format!("{folder}/servers")).unwrap();
        let mut peers = Self {
            world,
            folder: folder.to_owned(),
            moods: [[Mood::Refuses; SERVERS.len()]; SLOTS.len()],
            listeners: SLOTS.iter().map(|_| SERVERS.iter().map(|_| None).collect()).collect(),
            cable: [true; SERVERS.len()],
            echo: [true; SERVERS.len()],
            mail: MailServer::start(world),
        };
        for slot in 0..SLOTS.len() {
            (0..SERVERS.len()).for_each(|server| peers.set(slot, server, Mood::Serves));
        }
        peers
    }

    /// Whether a server passes its check.
    pub(crate) fn passes(&self, slot: usize, server: usize) -> bool {
        let mood = self.moods[slot][server];
        match SLOTS[slot].check {
            Check::Connect => self.cable[server] && mood != Mood::Refuses,
            Check::Http | Check::SimpleTcp => self.cable[server] && mood == Mood::Serves,
            Check::External => mood == Mood::Serves,
            Check::Ping => self.cable[server] && self.echo[server],
            Check::On => true,
        }
    }

    /// Some server, or all of a service, or everything on a machine changes its mood.
    pub(crate) fn change(&mut self, dice: &mut Dice) -> String {
        // More of them serve than not.
        let any = |dice: &mut Dice| if dice.chance(40) { Mood::Serves } else { dice.pick(&MOODS) };
        let mood = any(dice);
        let (slot, server) = (dice.below(SLOTS.len()), dice.below(SERVERS.len()));
        match dice.below(6) {
            0 => {
                (0..SERVERS.len()).for_each(|server| self.set(slot, server, mood));
                format!("all servers of {}: {mood:?}", SLOTS[slot].key)
            }
            1 => {
                (0..SLOTS.len()).for_each(|slot| self.set(slot, server, mood));
                format!("everything on {}: {mood:?}", SERVERS[server].0)
            }
            _ => {
                self.set(slot, server, mood);
                format!("{}: {mood:?}", SLOTS[slot].server(server))
            }
        }
    }

    /// All serve again.
    pub(crate) fn heal(&mut self) {
        for server in 0..SERVERS.len() {
            (0..SLOTS.len()).for_each(|slot| self.set(slot, server, Mood::Serves));
            self.set_cable(server, true);
            self.set_echo(server, true);
        }
    }

    /// A cable is pulled or put back, or a server ceases to answer pings or begins again.
    pub(crate) fn change_link(&mut self, dice: &mut Dice) -> String {
        let server = dice.below(SERVERS.len());
        let name = SERVERS[server].0;
        if dice.chance(50) {
            self.set_cable(server, !self.cable[server]);
            format!("{name}: cable in: {}", self.cable[server])
        } else {
            self.set_echo(server, !self.echo[server]);
            format!("{name}: answers pings: {}", self.echo[server])
        }
    }

    fn set(&mut self, slot: usize, server: usize, mood: Mood) {
        let before = std::mem::replace(&mut self.moods[slot][server], mood);
        match SLOTS[slot].check {
            Check::Ping | Check::On => {}
            Check::External => {
                let place = format!("{}/servers/{}", self.folder, SLOTS[slot].server(server));
                let new = format!("{place}.new");
                fs::write(&new, format!("{mood:?}\n")).unwrap();
                fs::rename(new, place).unwrap();
            }
            Check::Connect | Check::Http | Check::SimpleTcp => {
                let place = &mut self.listeners[slot][server];
                match place {
                    _ if mood == Mood::Refuses => *place = None,
                    Some(listener) => listener.mood.store(mood as u8, Ordering::Relaxed),
                    None => {
                        debug_assert_eq!(before, Mood::Refuses);
                        let (name, address) = (SERVERS[server].0, SLOTS[slot].server(server));
                        *place = Some(Listener::start(self.world, name, &address, mood));
                    }
                }
            }
        }
    }

    fn set_cable(&mut self, server: usize, is_in: bool) {
        if std::mem::replace(&mut self.cable[server], is_in) != is_in {
            let state = if is_in { "up" } else { "down" };
            let name = SERVERS[server].0;
            self.world.ip("director", &format!("link set {name} {state}\n"));
        }
    }

    fn set_echo(&mut self, server: usize, answers: bool) {
        self.echo[server] = answers;
        let ignored = if answers { "0" } else { "1" };
        self.world.sysctl(SERVERS[server].0, "ipv4/icmp_echo_ignore_all", ignored);
    }
}

/// A listening socket; none listens when it is dropped.
struct Listener {
    socket: Arc<TcpListener>,
    mood: Arc<AtomicU8>,
}

impl Listener {
    fn start(world: &World, member: &str, address: &str, mood: Mood) -> Self {
        let address: SocketAddr = address.parse().unwrap();
        let mut socket = None;
        // A child between fork and exec may hold a closed listener's address for a moment.
        wait_for("an address to listen on", PATIENCE, || {
            world.inside(member, || TcpListener::bind(address)).map(|bound| socket = Some(bound))
        });
        let listener =
            Self { socket: Arc::new(socket.unwrap()), mood: Arc::new(AtomicU8::new(mood as u8)) };
        let (socket, mood) = (Arc::clone(&listener.socket), Arc::clone(&listener.mood));
        let name = member.to_owned();
        thread::spawn(move || {
            let mut number = 0;
            while let Ok((stream, _)) = socket.accept() {
                number += 1;
                let (mood, name) = (mood.load(Ordering::Relaxed), name.clone());
                thread::spawn(move || talk(stream, mood, &name, number));
            }
        });
        listener
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        // On Linux this ends a waiting accept, and new connections are refused at once.
        let _ = shutdown(self.socket.as_raw_fd(), Half::Both);
    }
}

fn talk(mut stream: TcpStream, mood: u8, name: &str, number: u64) {
    let _ = stream.set_read_timeout(Some(KEPT));
    let _ = stream.set_write_timeout(Some(KEPT));
    let mut heard = [0; 2048];
    if mood == Mood::Babbles as u8 {
        let _ = stream.write_all(&nonsense(&mut Dice::new(number)));
        return;
    }
    while let Ok(count @ 1..) = stream.read(&mut heard) {
        if mood != Mood::Serves as u8 {
            continue;
        }
        let body = format!("alive {name}\n");
        let is_http = heard[..count].starts_with(b"GET ");
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
        let answer = if is_http { head + &body } else { body };
        if stream.write_all(answer.as_bytes()).is_err() || is_http {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// What no client of any protocol understands.
fn nonsense(dice: &mut Dice) -> Vec<u8> {
    match dice.below(5) {
        0 => Vec::new(),
        1 => (0..dice.below(4096)).map(|_| dice.next() as u8).collect(),
        2 => vec![b'A'; 200_000],
        3 => b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\nwhat".to_vec(),
        _ => b"HTTP/1.1 200 OK\r\nX: \xff\xfe\r\n\r\nnothing that was asked for".to_vec(),
    }
}

/// Takes mail on 127.0.0.1:25 of the director, as it is minded.
pub(crate) struct MailServer {
    mood: Arc<AtomicU8>,
    taken: Arc<AtomicUsize>,
}

impl MailServer {
    fn start(world: &World) -> Self {
        let listener = world.inside("director", || TcpListener::bind("127.0.0.1:25")).unwrap();
        let server = Self { mood: Arc::default(), taken: Arc::default() };
        let (mood, taken) = (Arc::clone(&server.mood), Arc::clone(&server.taken));
        thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                let (mood, taken) = (mood.load(Ordering::Relaxed), Arc::clone(&taken));
                thread::spawn(move || take_mail(stream, mood, &taken));
            }
        });
        server
    }

    pub(crate) fn change(&mut self, dice: &mut Dice) -> String {
        let mood = dice.pick(&[Mood::Serves, Mood::Serves, Mood::Hangs, Mood::Babbles]);
        self.mood.store(mood as u8, Ordering::Relaxed);
        format!("mail server: {mood:?}")
    }

    /// How many mails it has taken.
    pub(crate) fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

fn take_mail(mut stream: TcpStream, mood: u8, taken: &AtomicUsize) {
    let _ = stream.set_read_timeout(Some(KEPT));
    if mood == Mood::Babbles as u8 {
        let _ = stream.write_all(b"554 \xff go away\r\nwhat?\r\n");
        return;
    }
    let mut heard = [0; 4096];
    if mood == Mood::Hangs as u8 {
        while let Ok(1..) = stream.read(&mut heard) {}
        return;
    }
    let mut text = Vec::new();
    let mut in_data = false;
    let say = |stream: &mut TcpStream, word: &str| stream.write_all(word.as_bytes()).is_ok();
    if !say(&mut stream, "220 sink\r\n") {
        return;
    }
    while let Ok(count @ 1..) = stream.read(&mut heard) {
        text.extend_from_slice(&heard[..count]);
        loop {
            let end: &[u8] = if in_data { b"\r\n.\r\n" } else { b"\r\n" };
            let Some(at) = text.windows(end.len()).position(|part| part == end) else { break };
            let line: Vec<u8> = text.drain(..at + end.len()).collect();
            let answer = if in_data {
                in_data = false;
                taken.fetch_add(1, Ordering::Relaxed);
                "250 taken\r\n"
            } else if line.starts_with(b"DATA") {
                in_data = true;
                "354 go on\r\n"
            } else if line.starts_with(b"QUIT") {
                "221 bye\r\n"
            } else {
                "250 yes\r\n"
            };
            if !say(&mut stream, answer) {
                return;
            }
        }
    }
}
