//! TCP listeners that can be stopped at once, with or without TLS.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::{Context, tls};

/// Answers one connection.
pub(crate) type Handler = fn(&mut dyn Connection, &Context) -> io::Result<()>;

/// A connection in clear or in TLS.
pub(crate) trait Connection: Read + Write {
    /// Ends the sending direction, so that the peer sees the end of the answer.
    fn finish(&mut self);
}

impl Connection for TcpStream {
    fn finish(&mut self) {
        // The peer may have gone first.
        let _ = self.shutdown(Shutdown::Write);
    }
}

/// A thread that serves until it is stopped.
#[derive(Debug)]
pub(crate) struct Running {
    stop: UnixStream,
    thread: JoinHandle<()>,
}

impl Running {
    pub(crate) fn start(body: impl FnOnce(UnixStream) + Send + 'static) -> Result<Self, String> {
        let (stop, stopped) = UnixStream::pair().map_err(|e| format!("socket pair: {e}"))?;
        Ok(Self { stop, thread: thread::spawn(move || body(stopped)) })
    }

    pub(crate) fn stop(self) {
        drop(self.stop);
        let _ = self.thread.join();
    }
}

/// True when `socket` has something, false when the server is to stop.
pub(crate) fn wait(socket: &impl std::os::fd::AsFd, stopped: &UnixStream) -> bool {
    let mut fds = [
        PollFd::new(socket.as_fd(), PollFlags::POLLIN),
        PollFd::new(stopped.as_fd(), PollFlags::POLLIN),
    ];
    loop {
        match poll(&mut fds, PollTimeout::NONE) {
            Ok(_) => return !fds[1].any().unwrap_or(true),
            Err(nix::errno::Errno::EINTR) => {}
            Err(_) => return false,
        }
    }
}

pub(crate) fn serve(
    address: SocketAddr,
    context: Context,
    handler: Handler,
) -> Result<Running, String> {
    let listener = TcpListener::bind(address).map_err(|e| format!("listen on {address}: {e}"))?;
    Running::start(move |stopped| {
        let open: Arc<Mutex<Vec<TcpStream>>> = Arc::default();
        while wait(&listener, &stopped) {
            let Ok((stream, _)) = listener.accept() else { continue };
            if let Ok(copy) = stream.try_clone() {
                let mut open = open.lock().unwrap_or_else(PoisonError::into_inner);
                open.retain(|stream| stream.peer_addr().is_ok());
                open.push(copy);
            }
            let context = context.clone();
            thread::spawn(move || {
                let _ = one(stream, &context, handler);
            });
        }
        for stream in open.lock().unwrap_or_else(PoisonError::into_inner).drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    })
}

fn one(mut stream: TcpStream, context: &Context, handler: Handler) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let result = if let Some(kind) = context.behaviour().option("tls") {
        match tls::accept(kind, stream.try_clone()?) {
            Ok(mut secured) => handler(&mut secured, context),
            Err(error) => {
                context.note("TLS refused".to_owned());
                Err(error)
            }
        }
    } else {
        handler(&mut stream, context)
    };
    let _ = stream.shutdown(Shutdown::Both);
    result
}

/// Accepts and never says anything.
pub(crate) fn hold(connection: &mut dyn Connection, context: &Context) -> io::Result<()> {
    context.note("connect".to_owned());
    drain(connection)
}

/// Accepts and closes.
pub(crate) fn accept_only(connection: &mut dyn Connection, context: &Context) -> io::Result<()> {
    context.note("connect".to_owned());
    connection.finish();
    Ok(())
}

/// Reads until the peer closes.
pub(crate) fn drain(connection: &mut dyn Connection) -> io::Result<()> {
    let mut buffer = [0; 4096];
    while connection.read(&mut buffer)? > 0 {}
    Ok(())
}

/// One line without its end; nothing at the end of input. At most 64 KiB.
pub(crate) fn read_line(connection: &mut dyn Connection) -> io::Result<Option<String>> {
    let mut line = Vec::new();
    let mut byte = [0];
    while line.len() < 65_536 {
        if connection.read(&mut byte)? == 0 {
            if line.is_empty() {
                return Ok(None);
            }
            break;
        }
        if byte[0] == b'\n' {
            break;
        }
        line.push(byte[0]);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}
