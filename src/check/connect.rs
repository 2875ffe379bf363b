//! What a check talks over: the dialer's connection, TLS on top of it, or a UDP socket.

use super::{Deadline, Failure, TimedStream, tls};
use crate::model::Exchange;
use openssl::ssl::SslStream;
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};

/// What a negotiate check is given.
#[derive(Debug)]
pub(super) struct Probe<'a> {
    /// The directives.
    pub(super) exchange: &'a Exchange,
    /// The real server's address and check port.
    pub(super) target: SocketAddr,
    /// The end of it all.
    pub(super) deadline: Deadline,
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
            None => tcp(self.target, self.deadline),
        }
    }

    /// [`Probe::tcp`] with TLS on it, as `checkcertificate`, `checkcafile` and `virtualhost` ask.
    ///
    /// # Errors
    /// As [`tcp`] and [`tls::connect`].
    pub(super) fn tls(&mut self) -> Result<SslStream<TimedStream>, Failure> {
        let name = tls::server_name(self.exchange, self.target.ip());
        tls::connect(self.tcp()?, self.exchange, &name)
    }

    /// A UDP socket that speaks with the target only.
    ///
    /// # Errors
    /// When there is no route.
    pub(super) fn udp(&self) -> Result<UdpSocket, Failure> {
        let local: SocketAddr = match self.target {
            SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
            SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
        };
        let socket = UdpSocket::bind(local)?;
        socket.connect(self.target)?;
        Ok(socket)
    }
}

/// Connects within the deadline.
///
/// # Errors
/// [`Failure::ConnectTimedOut`], [`Failure::Refused`], [`Failure::Unreachable`], [`Failure::Io`].
pub(super) fn tcp(target: SocketAddr, deadline: Deadline) -> Result<TimedStream, Failure> {
    let connected = deadline.remaining().and_then(|left| TcpStream::connect_timeout(&target, left));
    match connected {
        Ok(stream) => Ok(TimedStream::new(stream, deadline)),
        Err(error) if error.kind() == io::ErrorKind::TimedOut => Err(Failure::ConnectTimedOut),
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_closed_tcp_port_is_refused() {
        let closed = std::net::TcpListener::bind("[::1]:0").unwrap().local_addr().unwrap();
        let deadline = Deadline::after(Duration::from_secs(5));
        assert_eq!(tcp(closed, deadline).err(), Some(Failure::Refused));
    }
}
