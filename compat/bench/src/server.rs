//! The real servers: one listener for all of 127.0.0.0/8, or one for a single address.

use rustix::net::{Shutdown, shutdown};
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

/// What servers do with a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Nothing: the kernel completes the handshake, and the queue is long. No process takes part,
    /// so that only the checking side is measured.
    Queue,
    /// Accept and close.
    Close,
    /// One request and one response of HTTP.
    Http,
}

/// Connections that may wait to be accepted.
const QUEUE: i32 = 1 << 20;

/// Listening servers; new connections are refused once it is dropped.
pub(crate) struct Servers {
    kind: Kind,
    listener: Arc<TcpListener>,
}

impl Servers {
    /// Listens on `address:port`.
    pub(crate) fn start(kind: Kind, address: &str) -> crate::Result<Self> {
        let listener = TcpListener::bind(address).map_err(|e| format!("listen {address}: {e}"))?;
        rustix::net::listen(&listener, QUEUE).map_err(|e| format!("listen {address}: {e}"))?;
        let listener = Arc::new(listener);
        let workers = match kind {
            Kind::Queue => 0,
            Kind::Close => 2,
            Kind::Http => 16,
        };
        for _ in 0..workers {
            let listener = Arc::clone(&listener);
            thread::spawn(move || {
                while let Ok((stream, _)) = listener.accept() {
                    if kind == Kind::Http {
                        // A client that goes away is its own business.
                        let _ = respond(stream);
                    }
                }
            });
        }
        Ok(Self { kind, listener })
    }

    /// Closes what has queued up where nobody accepts.
    pub(crate) fn drain(&self) {
        if self.kind == Kind::Queue && self.listener.set_nonblocking(true).is_ok() {
            while self.listener.accept().is_ok() {}
        }
    }
}

impl Drop for Servers {
    fn drop(&mut self) {
        // On Linux this ends the waiting accepts, and new connections are refused at once.
        let _ = shutdown(&*self.listener, Shutdown::Both);
    }
}

fn respond(mut stream: TcpStream) -> std::io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(1)))?;
    let (mut request, mut length) = ([0; 2048], 0);
    while !request[..length].ends_with(b"\r\n\r\n") {
        match stream.read(&mut request[length..])? {
            0 => return Ok(()),
            more => length += more,
        }
    }
    stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n")
}
