//! Servers that misbehave, each in one way, for every protocol.

use super::certificate::{Identity, Recipe};
use super::rows::Row;
use super::scripted::Scripted;
use ldirectord::model::Transport;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

/// One way to misbehave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Behaviour {
    /// Not at all: says the right thing, and waits for the check to leave.
    Good,
    /// Nobody listens.
    Refused,
    /// Takes what comes, says nothing.
    Silent,
    /// Closes at once.
    Closes,
    /// Closes with a reset.
    Resets,
    /// Says the right thing, one byte each 100 ms.
    Drips,
    /// One line without end.
    EndlessLine,
    /// Lines without end.
    EndlessLines,
    /// The right thing, then a flood.
    EndlessBody,
    /// Promises a gigabyte and gives little.
    HugeLength,
    /// Bytes of no protocol.
    Garbage,
    /// Half of the right thing, then closes.
    Half,
    /// Half of the right thing, then nothing.
    HalfThenSilent,
    /// Takes the ClientHello, never answers.
    TlsSilent,
    /// Answers the ClientHello with an alert.
    TlsAlert,
    /// Answers the ClientHello in clear text.
    TlsPlain,
    /// Redirects to itself.
    RedirectLoop,
    /// Redirects to a server that says nothing.
    RedirectElsewhere,
}

use Behaviour::*;

pub const ALL: &[Behaviour] = &[
    Refused,
    Silent,
    Closes,
    Resets,
    Drips,
    EndlessLine,
    EndlessLines,
    EndlessBody,
    HugeLength,
    Garbage,
    Half,
    HalfThenSilent,
    TlsSilent,
    TlsAlert,
    TlsPlain,
    RedirectLoop,
    RedirectElsewhere,
];

impl Behaviour {
    /// Whether it makes sense for this protocol.
    pub fn applies_to(self, row: &Row) -> bool {
        match self {
            TlsSilent | TlsAlert | TlsPlain => row.tls,
            HugeLength | RedirectLoop | RedirectElsewhere => row.is_http(),
            Closes | Resets | HalfThenSilent => row.exchange.transport == Transport::Tcp,
            _ => true,
        }
    }
}

/// A server that misbehaves until it is dropped.
pub struct Hostile {
    pub address: SocketAddr,
    _tcp: Option<Scripted>,
    _other: Option<Scripted>,
    udp: Option<(Arc<AtomicBool>, JoinHandle<()>)>,
}

impl Drop for Hostile {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.udp.take() {
            stop.store(true, Ordering::Relaxed);
            let _ = thread.join();
        }
    }
}

/// Starts one.
pub fn server(row: &Row, behaviour: Behaviour) -> Hostile {
    let no_server = |address| Hostile { address, _tcp: None, _other: None, udp: None };
    let udp = row.exchange.transport == Transport::Udp;
    match behaviour {
        Refused if udp => no_server(UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()),
        Refused => no_server(TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()),
        _ if udp => udp_server(row, behaviour),
        _ => tcp_server(row, behaviour),
    }
}

fn tcp_server(row: &Row, behaviour: Behaviour) -> Hostile {
    let good = row.good.clone();
    let other = (behaviour == RedirectElsewhere).then(|| Scripted::new(wait_for_end));
    let elsewhere = other.as_ref().map(|it| it.address);
    let tls = row.tls && !matches!(behaviour, TlsSilent | TlsAlert | TlsPlain | Closes | Resets);
    let serve = move |mut stream: TcpStream| {
        if !tls {
            return misbehave(&mut stream, behaviour, &good, elsewhere);
        }
        let socket = stream.try_clone().unwrap();
        if let Ok(mut stream) = identity().acceptor().accept(stream) {
            misbehave(&mut stream, behaviour, &good, elsewhere);
            let _ = stream.shutdown();
        }
        drop(socket);
    };
    let tcp = Scripted::new(serve);
    Hostile { address: tcp.address, _tcp: Some(tcp), _other: other, udp: None }
}

fn identity() -> &'static Identity {
    static IDENTITY: OnceLock<Identity> = OnceLock::new();
    IDENTITY.get_or_init(|| Recipe::new("hostile.example").make())
}

trait Channel: Read + Write {
    fn reset(&mut self) {}
    fn end(&mut self);
}

impl Channel for TcpStream {
    fn reset(&mut self) {
        // Closing with a linger of zero sends RST.
        let linger = nix::libc::linger { l_onoff: 1, l_linger: 0 };
        nix::sys::socket::setsockopt(self, nix::sys::socket::sockopt::Linger, &linger).unwrap();
    }
    fn end(&mut self) {
        let _ = self.shutdown(std::net::Shutdown::Write);
    }
}

impl<S: Read + Write> Channel for openssl::ssl::SslStream<S> {
    fn end(&mut self) {
        let _ = self.shutdown();
    }
}

fn misbehave(
    stream: &mut impl Channel,
    behaviour: Behaviour,
    good: &[u8],
    elsewhere: Option<SocketAddr>,
) {
    // An error is the check leaving.
    let _ = match behaviour {
        Refused | Closes => Ok(()),
        Resets => {
            stream.reset();
            Ok(())
        }
        Good => stream.write_all(good).and_then(|()| finish(stream)),
        Silent | TlsSilent => read_to_end(stream),
        Drips => drip(stream, good),
        EndlessLine => flood(stream, b"2", b"xxxxxxxxxxxxxxxx"),
        EndlessLines => flood(stream, b"", b"2 hello\r\n"),
        EndlessBody => flood(stream, good, b"more and more and more\r\n"),
        HugeLength => {
            let head = b"HTTP/1.1 200 OK\r\nContent-Length: 1073741824\r\n\r\nlittle";
            stream.write_all(head).and_then(|()| read_to_end(stream))
        }
        Garbage => stream.write_all(&garbage()),
        Half => stream.write_all(&good[..good.len() / 2]),
        HalfThenSilent => {
            stream.write_all(&good[..good.len() / 2]).and_then(|()| read_to_end(stream))
        }
        // Handshake failure, fatal (RFC 8446, section 6).
        TlsAlert => read_some(stream).and_then(|()| stream.write_all(&[21, 3, 3, 0, 2, 2, 40])),
        TlsPlain => read_some(stream).and_then(|()| stream.write_all(good)),
        RedirectLoop => redirect(stream, "/again"),
        RedirectElsewhere => {
            let elsewhere = elsewhere.expect("there is one");
            redirect(stream, &format!("http://{elsewhere}/"))
        }
    };
}

/// Ends our side and waits for the other's end.
fn finish(stream: &mut impl Channel) -> std::io::Result<()> {
    stream.end();
    read_to_end(stream)
}

fn redirect(stream: &mut impl Channel, to: &str) -> std::io::Result<()> {
    read_some(stream)?;
    write!(stream, "HTTP/1.1 302 Found\r\nLocation: {to}\r\nContent-Length: 0\r\n\r\n")
}

fn wait_for_end(mut stream: TcpStream) {
    let _ = read_to_end(&mut stream);
}

fn read_some(stream: &mut impl Read) -> std::io::Result<()> {
    stream.read(&mut [0; 4096]).map(drop)
}

fn read_to_end(stream: &mut impl Read) -> std::io::Result<()> {
    while stream.read(&mut [0; 4096])? > 0 {}
    Ok(())
}

fn drip(stream: &mut impl Write, good: &[u8]) -> std::io::Result<()> {
    for byte in good.iter().cycle() {
        stream.write_all(&[*byte])?;
        std::thread::sleep(Duration::from_millis(100));
    }
    Ok(())
}

/// Until the check leaves.
fn flood(stream: &mut impl Write, first: &[u8], rest: &[u8]) -> std::io::Result<()> {
    stream.write_all(first)?;
    let rest = rest.repeat(1024);
    loop {
        stream.write_all(&rest)?;
    }
}

/// The same each time, and of no protocol.
fn garbage() -> Vec<u8> {
    let mut state = 0x9e37_79b9_u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        (state >> 24) as u8
    };
    (0..2000).map(|_| next()).collect()
}

fn udp_server(row: &Row, behaviour: Behaviour) -> Hostile {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let good = row.good.clone();
    let thread = std::thread::spawn(move || {
        let mut client = None;
        let mut at = 0;
        while !stopped.load(Ordering::Relaxed) {
            let pause = if client.is_some() { 1 } else { 20 };
            socket.set_read_timeout(Some(Duration::from_millis(pause))).unwrap();
            if let Ok((_, from)) = socket.recv_from(&mut [0; 4096]) {
                client = Some(from);
            }
            let Some(client) = client else { continue };
            let answer: Vec<u8> = match behaviour {
                Silent => continue,
                Drips => {
                    std::thread::sleep(Duration::from_millis(100));
                    at += 1;
                    vec![good[at % good.len()]]
                }
                Good => good.clone(),
                Half => good[..good.len() / 2].to_vec(),
                Garbage => garbage(),
                EndlessLine => vec![b'x'; 60_000],
                _ => b"2 hello\r\n".repeat(100),
            };
            let _ = socket.send_to(&answer, client);
        }
    });
    Hostile { address, _tcp: None, _other: None, udp: Some((stop, thread)) }
}
