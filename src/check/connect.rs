//! What a check talks over: the dialer's connection, TLS on top of it, or a UDP socket.

use super::tls::{self, TlsStream};
use super::transcript::{self, Seen};
use super::{Deadline, Failure, TimedStream};
use crate::model::{CheckSource, Exchange};
use nix::errno::Errno;
use nix::poll::PollFlags;
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind, connect, setsockopt, socket, sockopt,
};
use std::ffi::OsString;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// What a negotiate check is given.
#[derive(Debug)]
pub(super) struct Probe<'a> {
    /// The directives.
    pub(super) exchange: &'a Exchange,
    /// The real server's address and check port.
    pub(super) target: SocketAddr,
    /// The end of it all.
    pub(super) deadline: Deadline,
    /// `checkfrom`.
    pub(super) from: Option<&'a CheckSource>,
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
            Some(stream) => Ok(TimedStream::new(stream, self.deadline)),
            None => self.another(self.target),
        }
    }

    /// A new connection, to this server or where it leads.
    ///
    /// # Errors
    /// As [`tcp`].
    pub(super) fn another(&self, target: SocketAddr) -> Result<TimedStream, Failure> {
        // A redirect may lead to the other family, where our address is nobody's.
        let fits = |from: &&CheckSource| match from {
            CheckSource::Address(from) => from.is_ipv4() == target.is_ipv4(),
            CheckSource::Interface(_) => true,
        };
        tcp(target, self.from.filter(fits), self.deadline)
    }

    /// [`Probe::tcp`] with TLS on it, as `checkcertificate`, `checkcafile` and `virtualhost` ask.
    ///
    /// # Errors
    /// As [`tcp`] and [`tls::connect`].
    pub(super) fn tls(&mut self) -> Result<TlsStream, Failure> {
        let name = tls::server_name(self.exchange, self.target.ip());
        tls::connect(self.tcp()?, self.exchange, &name)
    }

    /// A UDP socket that speaks with the target only.
    ///
    /// # Errors
    /// When there is no route, or no socket to be had.
    pub(super) fn udp(&self) -> Result<UdpSocket, Failure> {
        let local: SocketAddr = match self.target {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let local = match self.from {
            Some(CheckSource::Address(from)) => SocketAddr::new(*from, 0),
            _ => local,
        };
        let socket = UdpSocket::bind(local).map_err(Failure::local)?;
        if let Some(CheckSource::Interface(name)) = self.from {
            bind_to_interface(&socket, name)?;
        }
        transcript::tell(|| Seen::Udp(self.target));
        socket.connect(self.target).map_err(Failure::not_connected)?;
        Ok(socket)
    }
}

/// Connects within the deadline.
///
/// # Errors
/// [`Failure::ConnectTimedOut`], [`Failure::Refused`], [`Failure::Unreachable`], [`Failure::Io`],
/// [`Failure::Local`].
pub(super) fn tcp(
    target: SocketAddr,
    from: Option<&CheckSource>,
    deadline: Deadline,
) -> Result<TimedStream, Failure> {
    transcript::tell(|| Seen::Connecting(target));
    let stream = TimedStream::new(begin(target, from)?.into(), deadline);
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
pub fn begin(target: SocketAddr, from: Option<&CheckSource>) -> Result<OwnedFd, Failure> {
    let family = if target.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let flags = SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC;
    let socket = socket(family, SockType::Stream, flags, None)
        .map_err(|error| Failure::local(error.into()))?;
    match from {
        None => {}
        Some(CheckSource::Interface(name)) => bind_to_interface(&socket, name)?,
        Some(CheckSource::Address(address)) => {
            let local = SockaddrStorage::from(SocketAddr::new(*address, 0));
            bind(socket.as_raw_fd(), &local).map_err(|error| Failure::local(error.into()))?;
        }
    }
    match connect(socket.as_raw_fd(), &SockaddrStorage::from(target)) {
        Ok(()) | Err(Errno::EINPROGRESS) => Ok(socket),
        Err(Errno::ETIMEDOUT) => Err(Failure::ConnectTimedOut),
        Err(error) => Err(Failure::not_connected(error.into())),
    }
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
        assert_eq!(tcp(closed, None, deadline).err(), Some(Failure::Refused));
    }
}
