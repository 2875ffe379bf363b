//! What a check talks over: the dialer's connection, TLS on top of it, or a UDP socket.

use super::line::Lines;
use super::proxy;
use super::tls::{self, TlsStream};
use super::transcript::{self, Seen};
use super::{Deadline, Failure, TimedStream};
use crate::model::{CheckSource, Exchange, Tls, Way};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use std::ffi::OsString;
use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::SystemTime;

/// What a negotiate check is given.
#[derive(Debug)]
pub(super) struct Probe<'a> {
    /// The directives.
    pub(super) exchange: &'a Exchange,
    /// The real server's address and check port.
    pub(super) target: SocketAddr,
    /// The end of it all.
    pub(super) deadline: Deadline,
    /// `checkfrom` and `checkpath`.
    pub(super) way: &'a Way,
    /// The dialer's connection.
    pub(super) dialled: Option<TcpStream>,
}

impl Probe<'_> {
    /// The dialer's connection, or a new one if there is none.
    ///
    /// # Errors
    /// As [`tcp`].
    pub(super) fn tcp(&mut self) -> Result<TimedStream, Failure> {
        match self.dialled.take() {
            Some(stream) => self.introduced(TimedStream::new(stream, self.deadline)),
            None => self.another(self.target),
        }
    }

    /// A new connection, to this server or where it leads.
    ///
    /// # Errors
    /// As [`tcp`].
    pub(super) fn another(&self, target: SocketAddr) -> Result<TimedStream, Failure> {
        let stream = tcp(target, self.way, self.deadline)?;
        if target == self.target { self.introduced(stream) } else { Ok(stream) }
    }

    /// A connection to the server itself, with what `checkproxy` puts before all.
    fn introduced(&self, mut stream: TimedStream) -> Result<TimedStream, Failure> {
        if let Some(version) = self.exchange.proxy {
            let (from, to) = (stream.tcp().local_addr()?, stream.tcp().peer_addr()?);
            stream.write_all(&proxy::header(version, from, to))?;
        }
        Ok(stream)
    }

    /// [`Probe::tcp`] with TLS on it, as `checkcertificate`, `checkcafile` and `virtualhost` ask.
    ///
    /// # Errors
    /// As [`tcp`] and [`tls::connect`].
    pub(super) fn tls(&mut self) -> Result<TlsStream, Failure> {
        let stream = self.tcp()?;
        self.upgrade(stream)
    }

    /// The connection that `checktls` asks for, but for `starttls`: for protocols whose first word is the
    /// same on both.
    ///
    /// # Errors
    /// As [`Probe::tcp`] and [`Probe::tls`].
    pub(super) fn stream(&mut self) -> Result<Stream, Failure> {
        match self.exchange.tls {
            Tls::No | Tls::Start => Ok(Stream::Plain(self.tcp()?)),
            Tls::Yes => Ok(Stream::Tls(Box::new(self.tls()?))),
        }
    }

    /// A connection that has come to TLS by a command of the protocol: `ask` reads the greeting and gives
    /// the command. What it returns is returned with the connection.
    ///
    /// # Errors
    /// As [`Probe::tls`], and what `ask` says.
    pub(super) fn start_tls<T>(
        &mut self,
        ask: impl FnOnce(&mut Lines<TimedStream>) -> Result<T, Failure>,
    ) -> Result<(TlsStream, T), Failure> {
        let mut lines = Lines::new(self.tcp()?);
        let answer = ask(&mut lines)?;
        // What came before the handshake would be taken for something said behind it.
        let stream = lines
            .into_stream()
            .ok_or_else(|| Failure::Tls("the server speaks on before TLS begins".to_owned()))?;
        Ok((self.upgrade(stream)?, answer))
    }

    /// TLS on a connection that is agreed to go on with it.
    ///
    /// # Errors
    /// As [`tls::connect`].
    pub(super) fn upgrade(&self, stream: TimedStream) -> Result<TlsStream, Failure> {
        let name = tls::server_name(self.exchange, self.target.ip());
        tls::connect(stream, self.exchange, &name)
    }

    /// A UDP socket that speaks with the target only.
    ///
    /// # Errors
    /// When there is no route, or no socket to be had.
    pub(super) fn udp(&self) -> Result<UdpSocket, Failure> {
        let socket = self.udp_to_any_port()?;
        socket.connect(self.target).map_err(Failure::not_connected)?;
        Ok(socket)
    }

    /// A UDP socket for a protocol whose answers come from another port.
    ///
    /// # Errors
    /// When there is no socket to be had.
    pub(super) fn udp_to_any_port(&self) -> Result<UdpSocket, Failure> {
        let flags = SockFlag::SOCK_CLOEXEC;
        let socket = socket(family(self.target), SockType::Datagram, flags, None)
            .map_err(|error| Failure::local(error.into()))?;
        leave_by(&socket, self.target, self.way, Ports::Any)?;
        transcript::tell(|| Seen::Udp(self.target));
        Ok(UdpSocket::from(socket))
    }
}

/// A connection with or without TLS.
#[derive(Debug)]
pub(super) enum Stream {
    Plain(TimedStream),
    Tls(Box<TlsStream>),
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.read(buffer),
            Self::Tls(stream) => stream.read(buffer),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, buffer: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(stream) => stream.write(buffer),
            Self::Tls(stream) => stream.write(buffer),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(stream) => stream.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Connects within the deadline.
///
/// # Errors
/// [`Failure::ConnectTimedOut`], [`Failure::Refused`], [`Failure::Unreachable`], [`Failure::Io`],
/// [`Failure::Local`].
pub(super) fn tcp(
    target: SocketAddr,
    way: &Way,
    deadline: Deadline,
) -> Result<TimedStream, Failure> {
    transcript::tell(|| Seen::Connecting(target));
    let stream = TimedStream::new(begin(target, way)?.into(), deadline);
    let connected = stream.wait(PollFlags::POLLOUT).and_then(|()| stream.tcp().take_error());
    match connected {
        Ok(None) => {
            transcript::tell(|| Seen::Connected { from: stream.tcp().local_addr().ok() });
            Ok(stream)
        }
        Err(error) | Ok(Some(error)) => Err(match error.kind() {
            io::ErrorKind::TimedOut => Failure::ConnectTimedOut,
            _ => error.into(),
        }),
    }
}

/// Begins to connect; the socket does not block.
///
/// # Errors
/// As [`tcp`], but for what the network has to say.
pub fn begin(target: SocketAddr, way: &Way) -> Result<OwnedFd, Failure> {
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family(target), SockType::Stream, flags, None)
        .map_err(|error| Failure::local(error.into()))?;
    leave_by(&socket, target, way, Ports::InTurn)?;
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(target)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(Errno::ETIMEDOUT) => Err(Failure::ConnectTimedOut),
        Err(error) => Err(Failure::not_connected(error.into())),
    }
}

fn family(target: SocketAddr) -> AddressFamily {
    if target.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 }
}

/// Which local ports will do on a path through the service.
#[derive(Debug, Clone, Copy)]
enum Ports {
    /// Those that the kernel chooses: ip_vs keeps no connection.
    Any,
    /// One after the other, from [`FIRST_PORT`].
    InTurn,
}

/// Has a socket that is not connected yet leave by `checkfrom` and `checkpath`.
fn leave_by(socket: &OwnedFd, target: SocketAddr, way: &Way, ports: Ports) -> Result<(), Failure> {
    let address = match &way.source {
        Some(CheckSource::Interface(name)) => {
            bind_to_interface(socket, name)?;
            None
        }
        // A redirect may lead to the other family, where our address is nobody's.
        Some(CheckSource::Address(from)) => {
            Some(*from).filter(|from| from.is_ipv4() == target.is_ipv4())
        }
        None => None,
    };
    let Some(path) = way.path_to(target) else {
        return match address {
            Some(address) => bind_to(socket, SocketAddr::new(address, 0))
                .map_err(|error| Failure::local(error.into())),
            None => Ok(()),
        };
    };
    setsockopt(socket, sockopt::Mark, &path.mark).map_err(|error| {
        let needs = "needs CAP_NET_RAW and Linux 5.17";
        Failure::Local(format!("checkpath=service: cannot mark packets: {error} ({needs})"))
    })?;
    // The kernel would choose the virtual address itself, and its answer would not leave the server.
    let address = match address {
        Some(address) => address,
        None => own_address_towards(path.server, way)?,
    };
    if address == path.address {
        let text = "checks would leave from the virtual address; name another one with checkfrom";
        return Err(Failure::Local(format!("checkpath=service: {text}")));
    }
    let bound = match ports {
        Ports::Any => bind_to(socket, SocketAddr::new(address, 0)),
        Ports::InTurn => bind_in_turn(socket, address),
    };
    bound.map_err(|error| Failure::local(error.into()))
}

/// The address that packets to a real server leave from.
fn own_address_towards(server: IpAddr, way: &Way) -> Result<IpAddr, Failure> {
    let target = SocketAddr::new(server, 9);
    let probe = socket(family(target), SockType::Datagram, SockFlag::SOCK_CLOEXEC, None)
        .map_err(|error| Failure::local(error.into()))?;
    if let Some(CheckSource::Interface(name)) = &way.source {
        bind_to_interface(&probe, name)?;
    }
    let probe = UdpSocket::from(probe);
    probe.connect(target).map_err(Failure::not_connected)?;
    Ok(probe.local_addr().map_err(Failure::local)?.ip())
}

fn bind_to(socket: &OwnedFd, local: SocketAddr) -> Result<(), Errno> {
    bind(socket.as_raw_fd(), &SockaddrStorage::from(local))
}

/// The kernel's own range for connections that leave (`net.ipv4.ip_local_port_range`).
const FIRST_PORT: u16 = 32_768;
const PORTS: u16 = 28_232;

/// Ports that are tried; somebody else has those before.
const PORT_ATTEMPTS: usize = 64;

/// ip_vs remembers for a minute or two which server a connection to the virtual address was for, and
/// looks there before it looks at the mark. So a port comes again as late as can be, also after a
/// restart: the clock says where to begin.
fn bind_in_turn(socket: &OwnedFd, address: IpAddr) -> Result<(), Errno> {
    static TURN: LazyLock<AtomicU32> = LazyLock::new(|| AtomicU32::new(first_turn()));
    // A check a minute ago, of another service, is in nobody's way.
    setsockopt(socket, sockopt::ReuseAddr, &true)?;
    let mut result = Err(Errno::EADDRINUSE);
    for _ in 0..PORT_ATTEMPTS {
        let turn = TURN.fetch_add(1, Ordering::Relaxed) % u32::from(PORTS);
        let port = FIRST_PORT + u16::try_from(turn).unwrap_or_default();
        result = bind_to(socket, SocketAddr::new(address, port));
        if result != Err(Errno::EADDRINUSE) {
            break;
        }
    }
    result
}

/// Once around in two minutes.
fn first_turn() -> u32 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let turn = since.as_millis() % 120_000 * u128::from(PORTS) / 120_000;
    u32::try_from(turn).unwrap_or_default()
}

/// An interface that is gone, or no right to choose it: no verdict on the server.
fn bind_to_interface(socket: &impl AsFd, name: &str) -> Result<(), Failure> {
    let name = OsString::from(name);
    setsockopt(socket, sockopt::BindToDevice, &name)
        .map_err(|error| Failure::Local(format!("checkfrom {}: {error}", name.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_closed_tcp_port_is_refused() {
        let closed = std::net::TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
        let deadline = Deadline::after(Duration::from_secs(5));
        assert_eq!(tcp(closed, &Way::default(), deadline).err(), Some(Failure::Refused));
    }
}
