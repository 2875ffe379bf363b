//! One request to the kernel's routing netlink (rtnetlink(7)) at a time, with a deadline.

use std::io;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use netlink_packet_core::{
    DoneBuffer, ErrorBuffer, NLM_F_ACK, NLM_F_DUMP, NLM_F_DUMP_INTR, NLM_F_MULTIPART,
    NLM_F_REQUEST, NLMSG_ALIGNTO, NLMSG_DONE, NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN,
    NetlinkBuffer, NetlinkHeader, NetlinkMessage, Parseable,
};
use netlink_packet_route::RouteNetlinkMessage;
use netlink_packet_route::address::{AddressAttribute, AddressFlags, AddressMessage};
use netlink_sys::protocols::NETLINK_ROUTE;
use netlink_sys::{Socket, SocketAddr};
use nix::errno::Errno;
use nix::libc::MSG_TRUNC;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// The kernel answers within the system call; more than this and it will not answer at all.
const DEADLINE: Duration = Duration::from_secs(5);

/// The kernel's dumps come in datagrams of at most 32 KiB, or a page if pages are larger.
const BUFFER: usize = 64 * 1024;

/// Listings of a table that changes meanwhile, before giving up.
const ATTEMPTS: usize = 8;

/// Why a request was not answered as it should be.
#[derive(Debug)]
pub(crate) enum Refusal {
    /// The kernel's own answer.
    Errno(Errno),
    /// No answer, or one that cannot be read. The socket is of no further use.
    Broken(String),
}

/// A socket on which the kernel owes no answer.
#[derive(Debug)]
pub(crate) struct Channel {
    socket: Socket,
    sequence: u32,
    buffer: Box<[u8]>,
}

impl Channel {
    /// A channel to the network namespace of the calling thread.
    pub(crate) fn open() -> io::Result<Self> {
        let socket = Socket::new(NETLINK_ROUTE)?;
        // Connected to the kernel (address 0), the socket takes nothing from other processes.
        socket.connect(&SocketAddr::new(0, 0))?;
        socket.set_non_blocking(true)?;
        Ok(Self { socket, sequence: 0, buffer: vec![0; BUFFER].into_boxed_slice() })
    }

    /// A channel on which a listing may be asked for in part: the kernel looks at more of the request.
    /// Before Linux 4.20 it lists everything all the same.
    pub(crate) fn open_strict() -> io::Result<Self> {
        let channel = Self::open()?;
        let _ = channel.socket.set_netlink_get_strict_chk(true);
        Ok(channel)
    }

    /// Has one thing done, or one thing told to `take`. `flags` are added to the request's.
    pub(crate) fn ask(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        mut take: impl FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<(), Refusal> {
        self.exchange(message, NLM_F_REQUEST | NLM_F_ACK | flags, &mut take)?;
        Ok(())
    }

    /// Lists a table: the payloads as `read` understands them.
    pub(crate) fn list<T>(
        &mut self,
        message: &RouteNetlinkMessage,
        read: impl Fn(&[u8]) -> Result<T, String>,
    ) -> Result<Vec<T>, Refusal> {
        for _ in 0..ATTEMPTS {
            let mut listed = Vec::new();
            let whole =
                self.exchange(message.clone(), NLM_F_REQUEST | NLM_F_DUMP, &mut |payload| {
                    listed.push(read(payload)?);
                    Ok(())
                });
            match whole {
                Ok(Listing::Whole) => return Ok(listed),
                // Some tables say in this way that they have changed.
                Ok(Listing::Torn) | Err(Refusal::Errno(Errno::EINTR)) => {}
                Err(refusal) => return Err(refusal),
            }
        }
        Err(Refusal::Broken("the listing changes again and again".to_owned()))
    }

    fn exchange(
        &mut self,
        message: RouteNetlinkMessage,
        flags: u16,
        take: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<Listing, Refusal> {
        self.sequence = self.sequence.wrapping_add(1);
        let mut header = NetlinkHeader::default();
        header.sequence_number = self.sequence;
        header.flags = flags;
        let mut request = NetlinkMessage::new(header, message.into());
        request.finalize();
        let mut bytes = vec![0; request.buffer_len()];
        request.serialize(&mut bytes);
        self.send(&bytes)?;

        let deadline = Instant::now() + DEADLINE;
        let mut answer = Answer { sequence: self.sequence, listing: Listing::Whole };
        loop {
            let length = self.receive(deadline)?;
            let datagram = self
                .buffer
                .get(..length)
                .ok_or_else(|| Refusal::Broken(format!("answer of {length} bytes was cut")))?;
            if answer.read(datagram, take)? {
                return Ok(answer.listing);
            }
        }
    }

    /// The kernel takes a request within the system call, so that this never waits.
    fn send(&self, bytes: &[u8]) -> Result<(), Refusal> {
        loop {
            match self.socket.send(bytes, 0) {
                Ok(_) => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Refusal::Broken(error.to_string())),
            }
        }
    }

    /// Length of the next datagram, also if that is more than the buffer holds.
    fn receive(&mut self, deadline: Instant) -> Result<usize, Refusal> {
        loop {
            let error = match self.socket.recv(&mut &mut self.buffer[..], MSG_TRUNC) {
                Ok(length) => return Ok(length),
                Err(error) => error,
            };
            match error.kind() {
                io::ErrorKind::Interrupted => {}
                io::ErrorKind::WouldBlock => {
                    let remaining = deadline.saturating_duration_since(Instant::now());
                    if remaining.is_zero() {
                        return Err(Refusal::Broken("no answer from the kernel".to_owned()));
                    }
                    // poll counts whole milliseconds; a rest of one must not become a busy loop.
                    let timeout = PollTimeout::try_from(remaining.as_millis() + 1)
                        .unwrap_or(PollTimeout::MAX);
                    // What poll says, the next attempt to receive says better.
                    let _ =
                        poll(&mut [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)], timeout);
                }
                _ => return Err(Refusal::Broken(error.to_string())),
            }
        }
    }
}

/// Whether a listing shows one state of the table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listing {
    Whole,
    /// The table changed between two parts of the listing (`NLM_F_DUMP_INTR`).
    Torn,
}

/// The answer to one request, as far as it has come.
struct Answer {
    sequence: u32,
    listing: Listing,
}

impl Answer {
    /// Takes the next datagram; true when the answer is complete.
    fn read(
        &mut self,
        datagram: &[u8],
        take: &mut dyn FnMut(&[u8]) -> Result<(), String>,
    ) -> Result<bool, Refusal> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest)
                .map_err(|error| Refusal::Broken(error.to_string()))?;
            if message.sequence_number() != self.sequence {
                return Err(Refusal::Broken("an answer to something else".to_owned()));
            }
            let torn = NLM_F_MULTIPART | NLM_F_DUMP_INTR;
            if message.flags() & torn == torn {
                self.listing = Listing::Torn;
            }
            match message.message_type() {
                NLMSG_NOOP => {}
                NLMSG_DONE => return end(done_code(message.payload())?),
                NLMSG_ERROR => return end(error_code(message.payload())?),
                NLMSG_OVERRUN => return Err(Refusal::Broken("data was lost".to_owned())),
                _ => take(message.payload()).map_err(Refusal::Broken)?,
            }
            let length = (message.length() as usize).next_multiple_of(usize::from(NLMSG_ALIGNTO));
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(false)
    }
}

/// The answer is complete; `code` is 0 or a negative errno.
fn end(code: i32) -> Result<bool, Refusal> {
    match code {
        0 => Ok(true),
        code => Err(Refusal::Errno(Errno::from_raw(code.saturating_neg()))),
    }
}

fn error_code(payload: &[u8]) -> Result<i32, Refusal> {
    let error =
        ErrorBuffer::new_checked(payload).map_err(|error| Refusal::Broken(error.to_string()))?;
    Ok(error.code().map_or(0, i32::from))
}

/// A listing that fails on the way ends with its error.
fn done_code(payload: &[u8]) -> Result<i32, Refusal> {
    // Linux may leave the code out, which means 0.
    if payload.is_empty() {
        return Ok(0);
    }
    let done =
        DoneBuffer::new_checked(payload).map_err(|error| Refusal::Broken(error.to_string()))?;
    Ok(done.code())
}

/// An address that an interface has.
pub(crate) struct Assigned {
    /// The interface.
    pub(crate) index: u32,
    /// The address; `None` if the message has none.
    pub(crate) address: Option<IpAddr>,
    /// The other end of a point-to-point link.
    pub(crate) peer: Option<IpAddr>,
    /// Bits of its network.
    pub(crate) prefix_length: u8,
    /// Whether duplicate address detection does not hold it back.
    pub(crate) usable: bool,
}

impl Assigned {
    /// Reads one listed address.
    pub(crate) fn parse(payload: &[u8]) -> Result<Self, String> {
        let message = AddressMessage::parse(payload).map_err(|error| error.to_string())?;
        let (mut local, mut peer) = (None, None);
        let mut flags = AddressFlags::from_bits_retain(u32::from(message.header.flags.bits()));
        for attribute in &message.attributes {
            match attribute {
                AddressAttribute::Local(address) => local = Some(*address),
                AddressAttribute::Address(address) => peer = Some(*address),
                AddressAttribute::Flags(all) => flags = *all,
                _ => {}
            }
        }
        Ok(Self {
            index: message.header.index,
            // Without IFA_LOCAL (IPv6), IFA_ADDRESS is the address itself.
            address: local.or(peer),
            peer,
            prefix_length: message.header.prefix_len,
            usable: !flags.intersects(AddressFlags::Tentative | AddressFlags::Dadfailed),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(datagram: &[u8]) -> Result<(bool, Vec<Vec<u8>>, Listing), Refusal> {
        let mut answer = Answer { sequence: 7, listing: Listing::Whole };
        let mut payloads = Vec::new();
        let complete = answer.read(datagram, &mut |payload| {
            payloads.push(payload.to_vec());
            Ok(())
        })?;
        Ok((complete, payloads, answer.listing))
    }

    fn message(kind: u16, flags: u16, sequence: u32, payload: &[u8]) -> Vec<u8> {
        let length = u32::try_from(16 + payload.len()).unwrap();
        let mut bytes = length.to_ne_bytes().to_vec();
        bytes.extend(kind.to_ne_bytes());
        bytes.extend(flags.to_ne_bytes());
        bytes.extend(sequence.to_ne_bytes());
        bytes.extend([0; 4]);
        bytes.extend(payload);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn an_answer_is_complete_with_its_acknowledgement_or_the_end_of_the_listing() {
        let part = message(20, NLM_F_MULTIPART, 7, b"abc");
        let end = message(NLMSG_DONE, NLM_F_MULTIPART, 7, &[0; 4]);
        let done = read(&[part.clone(), part.clone(), end].concat()).unwrap();
        assert_eq!(done, (true, vec![b"abc".to_vec(); 2], Listing::Whole));
        assert_eq!(read(&part).unwrap(), (false, vec![b"abc".to_vec()], Listing::Whole));
        assert!(read(&message(NLMSG_ERROR, 0, 7, &[0; 20])).unwrap().0);
        let torn = message(20, NLM_F_MULTIPART | NLM_F_DUMP_INTR, 7, b"abc");
        assert_eq!(read(&torn).unwrap().2, Listing::Torn);
    }

    #[test]
    fn a_refusal_is_the_kernels_errno_also_at_the_end_of_a_listing() {
        let part = message(20, NLM_F_MULTIPART, 7, b"abc");
        for errno in [Errno::EPERM, Errno::ENOENT, Errno::EINTR] {
            let mut payload = (-(errno as i32)).to_ne_bytes().to_vec();
            let done = message(NLMSG_DONE, NLM_F_MULTIPART, 7, &payload);
            payload.extend([0; 16]);
            for answer in
                [message(NLMSG_ERROR, 0, 7, &payload), done.clone(), [part.clone(), done].concat()]
            {
                let refusal = read(&answer).unwrap_err();
                assert!(matches!(refusal, Refusal::Errno(said) if said == errno), "{refusal:?}");
            }
        }
        assert!(read(&message(NLMSG_DONE, NLM_F_MULTIPART, 7, &[])).unwrap().0);
        let cut = read(&message(NLMSG_DONE, NLM_F_MULTIPART, 7, &[1, 2]));
        assert!(matches!(cut, Err(Refusal::Broken(_))));
    }

    #[test]
    fn an_answer_to_another_request_is_refused() {
        assert!(matches!(read(&message(20, 0, 8, b"abc")), Err(Refusal::Broken(_))));
    }

    proptest! {
        #[test]
        fn no_datagram_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&bytes);
        }

        #[test]
        fn no_cut_makes_it_panic(length in 0usize..60) {
            let whole = [message(20, 2, 7, b"abc"), message(NLMSG_ERROR, 0, 7, &[0; 20])].concat();
            let _ = read(&whole[..length.min(whole.len())]);
        }
    }
}
