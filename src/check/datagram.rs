//! One question and its answer over UDP.

use super::ours::errno;
use super::transcript;
use super::{Deadline, Failure};
use nix::errno::Errno;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

/// Bytes of one answer that are kept; no protocol here has longer ones (DNS 512, RADIUS 4096).
const ANSWER_LIMIT: usize = 16 * 1024;

/// The question is repeated after this long, then after twice as long, and so on: a lost datagram
/// is no dead server (RFC 1035 section 4.2.1, RFC 2865 section 2.5, RFC 3261 section 17.1).
const FIRST_REPEAT: Duration = Duration::from_secs(1);

/// What a received datagram is to the one who asked.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard<T> {
    /// The answer.
    Answer(T),
    /// Not an answer to this question; go on listening.
    Stray,
    /// Nearly an answer; go on listening, and if nothing better comes, this was wrong.
    Suspect(Failure),
}

/// Sends the question, now and then again, until `judge` finds the answer.
///
/// # Errors
/// The last suspicion, else [`Failure::TimedOut`]; or what the network reports: a connected socket
/// also hears that nobody listens on the server's port.
pub(super) fn ask<T>(
    socket: &UdpSocket,
    deadline: Deadline,
    question: &[u8],
    judge: impl FnMut(&[u8]) -> Heard<T>,
) -> Result<T, Failure> {
    let send = || socket.send(question).map(drop);
    let receive = |buffer: &mut [u8]| socket.recv(buffer).map(|length| Some((length, ())));
    repeat(socket, deadline, question, send, receive, judge).map(|((), answer)| answer)
}

/// As [`ask`], of a server that answers from any of its ports; returns which. Nothing tells such a socket
/// that nobody listens.
///
/// # Errors
/// As [`ask`].
pub(super) fn ask_any_port<T>(
    socket: &UdpSocket,
    server: SocketAddr,
    deadline: Deadline,
    question: &[u8],
    judge: impl FnMut(&[u8]) -> Heard<T>,
) -> Result<(SocketAddr, T), Failure> {
    let send = || socket.send_to(question, server).map(drop);
    let receive = |buffer: &mut [u8]| {
        let (length, from) = socket.recv_from(buffer)?;
        Ok((from.ip() == server.ip()).then_some((length, from)))
    };
    repeat(socket, deadline, question, send, receive, judge)
}

fn repeat<T, F>(
    socket: &UdpSocket,
    deadline: Deadline,
    question: &[u8],
    send: impl Fn() -> io::Result<()>,
    receive: impl Fn(&mut [u8]) -> io::Result<Option<(usize, F)>>,
    mut judge: impl FnMut(&[u8]) -> Heard<T>,
) -> Result<(F, T), Failure> {
    let send = || {
        send().map_err(not_sent)?;
        transcript::sent_datagram(question);
        Ok::<_, Failure>(())
    };
    let mut buffer = vec![0; ANSWER_LIMIT];
    let mut suspicion = None;
    let mut pause = FIRST_REPEAT;
    send()?;
    let mut repeat_at = Instant::now() + pause;
    loop {
        let Ok(left) = deadline.remaining() else {
            return Err(suspicion.unwrap_or(Failure::TimedOut));
        };
        let until_repeat = repeat_at.saturating_duration_since(Instant::now());
        if until_repeat.is_zero() {
            send()?;
            pause *= 2;
            repeat_at += pause;
            continue;
        }
        socket.set_read_timeout(Some(left.min(until_repeat)))?;
        let (length, from) = match receive(&mut buffer) {
            Ok(Some(received)) => received,
            // Somebody else's.
            Ok(None) => continue,
            Err(error) if is_pause(&error) => continue,
            Err(error) => return Err(error.into()),
        };
        transcript::received_datagram(&buffer[..length]);
        match judge(&buffer[..length]) {
            Heard::Answer(answer) => return Ok((from, answer)),
            Heard::Stray => {}
            Heard::Suspect(failure) => suspicion = Some(failure),
        }
    }
}

/// A packet filter of this machine lets nothing through to the server, neither what is forwarded:
/// over TCP the connect would time out.
fn not_sent(error: io::Error) -> Failure {
    match errno(&error) {
        Some(Errno::EPERM) => Failure::Io(error.to_string()),
        _ => error.into(),
    }
}

fn is_pause(error: &io::Error) -> bool {
    use io::ErrorKind::{Interrupted, TimedOut, WouldBlock};
    matches!(error.kind(), WouldBlock | TimedOut | Interrupted)
}

/// Bytes that nobody can guess: message identifiers and authenticators.
///
/// # Errors
/// [`Failure::Local`] if the machine has no randomness to give.
pub(super) fn nonce<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    openssl::rand::rand_bytes(&mut bytes)
        .map_err(|error| Failure::Local(format!("no random bytes: {error}")))?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::thread;

    /// A server's socket, and a client's that is connected to it.
    fn pair() -> (UdpSocket, UdpSocket) {
        let server = UdpSocket::bind("127.0.0.1:0").unwrap();
        let client = UdpSocket::bind("127.0.0.1:0").unwrap();
        client.connect(server.local_addr().unwrap()).unwrap();
        (server, client)
    }

    #[test]
    fn a_lost_question_is_asked_again_and_strays_are_ignored() {
        let (server, client) = pair();
        let answering = thread::spawn(move || {
            let mut buffer = [0; 16];
            server.recv_from(&mut buffer).unwrap();
            let (length, client) = server.recv_from(&mut buffer).unwrap();
            assert_eq!(&buffer[..length], b"question");
            server.send_to(b"stray", client).unwrap();
            server.send_to(b"answer", client).unwrap();
        });
        let deadline = Deadline::after(Duration::from_secs(30));
        let answer = ask(&client, deadline, b"question", |bytes| {
            if bytes == b"answer" { Heard::Answer(bytes.to_vec()) } else { Heard::Stray }
        });
        assert_eq!(answer, Ok(b"answer".to_vec()));
        answering.join().unwrap();
    }

    #[test]
    fn a_suspicion_is_the_failure_when_nothing_better_comes() {
        let (server, client) = pair();
        server.send_to(b"?", client.local_addr().unwrap()).unwrap();
        let deadline = Deadline::after(Duration::from_millis(200));
        let answer = ask(&client, deadline, b"question", |_| Heard::<()>::Suspect(Failure::Empty));
        assert_eq!(answer, Err(Failure::Empty));
    }

    #[test]
    fn a_port_without_a_server_is_refused_at_once() {
        let (server, client) = pair();
        drop(server);
        let deadline = Deadline::after(Duration::from_secs(60));
        let answer = ask(&client, deadline, b"question", |_| Heard::<()>::Stray);
        assert_eq!(answer, Err(Failure::Refused));
    }
}
