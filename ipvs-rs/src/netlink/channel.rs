//! The generic netlink socket: one request at a time, with a deadline.

use std::fmt;
use std::io;
use std::os::fd::AsFd;
use std::time::Instant;

use netlink_packet_core::{
    NLM_F_ACK, NLM_F_DUMP, NLM_F_REQUEST, NLMSG_ALIGNTO, NetlinkHeader, NetlinkMessage,
    NetlinkSerializable,
};
use netlink_packet_generic::GenlMessage;
use netlink_packet_generic::constants::GENL_ID_CTRL;
use netlink_packet_generic::ctrl::nlas::GenlCtrlAttrs;
use netlink_packet_generic::ctrl::{GenlCtrl, GenlCtrlCmd};
use netlink_sys::protocols::NETLINK_GENERIC;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc::MSG_TRUNC;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::attribute::FAMILY_NAME;
use super::decode::{self, Malformed};
use super::frame::{Answer, Progress};
use super::{Failure, encode};

/// The kernel's dumps come in datagrams of at most 32 KiB, or a page if pages are larger.
const BUFFER: usize = 64 * 1024;

/// What a request asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One thing to be done or read: answered with an acknowledgement.
    Single,
    /// A listing.
    Dump,
}

/// A socket on which the kernel owes no answer.
///
/// After any failure but an errno or [`Failure::Interrupted`] an answer may still be on its way,
/// and the channel is to be dropped.
pub(crate) struct Channel {
    socket: Socket,
    sequence: u32,
    buffer: Box<[u8]>,
}

/// Without the buffer, which is long and tells nothing.
impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { socket, sequence, buffer: _ } = self;
        f.debug_struct("Channel").field("socket", socket).field("sequence", sequence).finish()
    }
}

impl Channel {
    pub(crate) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_GENERIC)?;
        // Connected to the kernel (address 0), the socket takes nothing from other processes.
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; BUFFER].into_boxed_slice() })
    }

    /// The number of the ip_vs family, which generic netlink gives out when the module is loaded.
    pub(crate) fn resolve(&mut self, deadline: Instant) -> Result<u16, Failure> {
        let request = GenlMessage::from_payload(GenlCtrl {
            cmd: GenlCtrlCmd::GetFamily,
            nlas: vec![GenlCtrlAttrs::FamilyName(FAMILY_NAME.to_owned())],
        });
        let message = NetlinkMessage::new(NetlinkHeader::default(), request.into());
        let mut family = None;
        self.exchange(message, GENL_ID_CTRL, Kind::Single, deadline, &mut |payload| {
            family = Some(decode::family(payload)?);
            Ok(())
        })
        .map_err(|failure| match failure {
            Failure::Errno(errno) if errno == Errno::ENOENT as i32 => Failure::NoFamily,
            other => other,
        })?;
        family.ok_or_else(|| Failure::Malformed("no family in the reply".into()))
    }

    /// Sends a request to ip_vs and passes the payload of each message of its answer to `take`.
    pub(crate) fn request(
        &mut self,
        request: encode::Request,
        family: u16,
        kind: Kind,
        deadline: Instant,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Failure> {
        self.exchange(request.into_message(family), family, kind, deadline, take)
    }

    /// Sends requests to ip_vs in one datagram. The kernel handles one after the other; one answer each, in
    /// this order. After a failure of the channel the rest has the same.
    pub(crate) fn request_all(
        &mut self,
        requests: impl Iterator<Item = encode::Request>,
        family: u16,
        deadline: Instant,
    ) -> Vec<Result<(), Failure>> {
        let first = self.sequence.wrapping_add(1);
        let mut bytes = Vec::new();
        let mut count: u32 = 0;
        for request in requests {
            self.put(request.into_message(family), Kind::Single, &mut bytes);
            count += 1;
        }
        if let Err(failure) = self.send(&bytes) {
            return failure.of_all(count as usize);
        }
        let mut answers = Vec::with_capacity(count as usize);
        for number in 0..count {
            let answer = Answer::new(first.wrapping_add(number), family);
            match self.answer(answer, deadline, &mut |_| Ok(())) {
                answer @ (Ok(()) | Err(Failure::Errno(_))) => answers.push(answer),
                Err(failure) => {
                    answers.extend(failure.of_all((count - number) as usize));
                    break;
                }
            }
        }
        answers
    }

    fn exchange<M: NetlinkSerializable>(
        &mut self,
        message: NetlinkMessage<M>,
        family: u16,
        kind: Kind,
        deadline: Instant,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Failure> {
        let mut bytes = Vec::new();
        self.put(message, kind, &mut bytes);
        self.send(&bytes)?;
        self.answer(Answer::new(self.sequence, family), deadline, take)
    }

    /// Appends a request with the next sequence number.
    fn put<M: NetlinkSerializable>(
        &mut self,
        mut message: NetlinkMessage<M>,
        kind: Kind,
        bytes: &mut Vec<u8>,
    ) {
        self.sequence = self.sequence.wrapping_add(1);
        message.header.sequence_number = self.sequence;
        message.header.flags = NLM_F_REQUEST
            | match kind {
                Kind::Single => NLM_F_ACK,
                Kind::Dump => NLM_F_DUMP,
            };
        message.finalize();
        let begin = bytes.len();
        // Each message begins at a multiple of four bytes, and so it ends.
        bytes
            .resize((begin + message.buffer_len()).next_multiple_of(usize::from(NLMSG_ALIGNTO)), 0);
        message.serialize(&mut bytes[begin..]);
    }

    /// Takes the whole answer to one request.
    fn answer(
        &mut self,
        mut answer: Answer,
        deadline: Instant,
        take: &mut dyn FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<(), Failure> {
        loop {
            let length = self.receive(deadline)?;
            let datagram = self.buffer.get(..length).ok_or_else(|| {
                Failure::Malformed(format!("datagram of {length} bytes cut to {BUFFER}"))
            })?;
            if answer.read(datagram, take)? == Progress::Complete {
                return Ok(());
            }
        }
    }

    /// The kernel takes a netlink request within the system call, so that this never waits.
    fn send(&self, bytes: &[u8]) -> Result<(), Failure> {
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Failure::Socket(error)),
            }
        }
    }

    /// Length of the next datagram, also if that is more than the buffer holds.
    fn receive(&mut self, deadline: Instant) -> Result<usize, Failure> {
        loop {
            // MSG_TRUNC makes a datagram's real length known.
            match self.socket.recv(&mut &mut self.buffer[..], MSG_TRUNC) {
                Ok(length) => return Ok(length),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait(deadline)?,
                Err(error) => return Err(Failure::Socket(error)),
            }
        }
    }

    /// Waits until something can be received, a signal has come, or the deadline has passed.
    fn wait(&self, deadline: Instant) -> Result<(), Failure> {
        let remaining = deadline.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            return Err(Failure::Timeout);
        }
        // poll counts whole milliseconds; a rest of one must not become a busy loop.
        let timeout = PollTimeout::try_from(remaining.as_millis() + 1).unwrap_or(PollTimeout::MAX);
        match poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(errno) => Err(Failure::Socket(errno.into())),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_kernel_that_does_not_answer_is_a_timeout() {
        let mut channel = Channel::open().unwrap();
        let started = Instant::now();
        let deadline = started + Duration::from_millis(50);
        assert!(matches!(channel.receive(deadline), Err(Failure::Timeout)));
        assert!(Instant::now() >= deadline);
    }
}
