//! Datagrams from the kernel, cut into messages. Pure, so that hostile replies can be tested.

use netlink_packet_core::{
    DoneBuffer, ErrorBuffer, NLM_F_DUMP_INTR, NLM_F_MULTIPART, NLMSG_ALIGNTO, NLMSG_DONE,
    NLMSG_ERROR, NLMSG_NOOP, NLMSG_OVERRUN, NetlinkBuffer,
};

use nix::errno::Errno;

use super::Failure;
use super::decode::Malformed;

/// Whether the answer to a request is complete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Progress {
    /// Another datagram is to come.
    More,
    /// The acknowledgement or the end of the dump has come.
    Complete,
}

/// The answer to one request, as far as it has come.
#[derive(Debug)]
pub(crate) struct Answer {
    sequence: u32,
    family: u16,
    interrupted: bool,
}

impl Answer {
    /// The answer to the request with that sequence number to that family.
    pub(crate) fn new(sequence: u32, family: u16) -> Self {
        Self { sequence, family, interrupted: false }
    }

    /// Takes the next datagram and passes the payload of each message in it to `take`.
    ///
    /// Only after [`Progress::Complete`] or [`Failure::Errno`] or [`Failure::Interrupted`] is the
    /// socket fit for another request.
    pub(crate) fn read(
        &mut self,
        datagram: &[u8],
        take: &mut dyn FnMut(&[u8]) -> Result<(), Malformed>,
    ) -> Result<Progress, Failure> {
        let mut rest = datagram;
        while !rest.is_empty() {
            let message = NetlinkBuffer::new_checked(rest)
                .map_err(|error| Failure::Malformed(error.to_string()))?;
            if message.sequence_number() != self.sequence {
                return Err(Failure::Malformed(format!(
                    "sequence number {} where {} was expected",
                    message.sequence_number(),
                    self.sequence
                )));
            }
            // Only in dumps: in other messages the bit means something else.
            let dump = message.flags() & NLM_F_MULTIPART != 0;
            self.interrupted |= dump && message.flags() & NLM_F_DUMP_INTR != 0;
            let payload = message.payload();
            match message.message_type() {
                NLMSG_NOOP => {}
                NLMSG_ERROR => return self.finish(error_code(payload)?),
                NLMSG_DONE => return self.end_dump(done_code(payload)?),
                NLMSG_OVERRUN => return Err(Failure::Malformed("data was lost (overrun)".into())),
                family if family == self.family => take(payload).map_err(Failure::Malformed)?,
                other => {
                    return Err(Failure::Malformed(format!("message of unknown type {other}")));
                }
            }
            let length = (message.length() as usize).next_multiple_of(usize::from(NLMSG_ALIGNTO));
            rest = rest.get(length..).unwrap_or_default();
        }
        Ok(Progress::More)
    }

    /// Some listings say by their last word that the table has changed meanwhile.
    fn end_dump(&self, code: i32) -> Result<Progress, Failure> {
        if code == -(Errno::EINTR as i32) {
            return Err(Failure::Interrupted);
        }
        self.finish(code)
    }

    /// `code` is 0 or a negative errno.
    fn finish(&self, code: i32) -> Result<Progress, Failure> {
        match code {
            0 if self.interrupted => Err(Failure::Interrupted),
            0 => Ok(Progress::Complete),
            code => Err(Failure::Errno(code.saturating_neg())),
        }
    }
}

fn error_code(payload: &[u8]) -> Result<i32, Failure> {
    let error =
        ErrorBuffer::new_checked(payload).map_err(|error| Failure::Malformed(error.to_string()))?;
    Ok(error.code().map_or(0, i32::from))
}

fn done_code(payload: &[u8]) -> Result<i32, Failure> {
    // Linux may leave the code out, which means 0.
    if payload.is_empty() {
        return Ok(0);
    }
    let done =
        DoneBuffer::new_checked(payload).map_err(|error| Failure::Malformed(error.to_string()))?;
    Ok(done.code())
}
