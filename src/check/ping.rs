//! ping: ICMP echo (RFC 792, RFC 4443).

use super::transcript::{self, Seen};
use super::{Deadline, Failure};
use crate::model::CheckSource;
use nix::sys::socket::{AddressFamily, SockFlag, SockProtocol, SockType, socket};
use ping::{Error, Pinger};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// Asks at most `attempts` times, each time for at most `each`.
///
/// # Errors
/// [`Failure::NoReply`]; [`Failure::Local`] if this process may not ping.
pub(super) fn check(
    address: IpAddr,
    attempts: u32,
    each: Duration,
    from: Option<&CheckSource>,
    deadline: Deadline,
) -> Result<(), Failure> {
    let mut pinger = match from {
        Some(CheckSource::Interface(name)) => {
            let built = Pinger::builder().bind_device(name).build();
            built.map_err(|error| Failure::Local(format!("checkfrom {name}: {error}")))?
        }
        Some(CheckSource::Address(_)) | None => Pinger::new(),
    };
    let mut failure = Failure::NoReply;
    for attempt in 1..=attempts.max(1) {
        let Ok(left) = deadline.remaining() else { break };
        let answer = pinger.ping(address, each.min(left));
        transcript::tell(|| Seen::Ping { attempt, answered: answer.is_ok() });
        match answer {
            Ok(_) => return Ok(()),
            Err(error) => failure = why(error, || may_ping(address)),
        }
        if matches!(failure, Failure::Local(_)) {
            break;
        }
    }
    Err(failure)
}

/// `may_ping` tells a missing privilege from a packet filter that lets nothing through.
fn why(error: Error, may_ping: impl Fn() -> bool) -> Failure {
    match error {
        Error::Timeout => Failure::NoReply,
        Error::IoError { error } if error.kind() == io::ErrorKind::PermissionDenied => {
            if may_ping() {
                return Failure::Io(error.to_string());
            }
            Failure::Local(
                "ping needs the capability CAP_NET_RAW, or a group in net.ipv4.ping_group_range"
                    .into(),
            )
        }
        Error::IoError { error } => error.into(),
        other => Failure::Internal(other.to_string()),
    }
}

/// Whether there is a socket to be had that pings can be sent from.
fn may_ping(address: IpAddr) -> bool {
    let (family, protocol) = match address {
        IpAddr::V4(_) => (AddressFamily::Inet, SockProtocol::Icmp),
        IpAddr::V6(_) => (AddressFamily::Inet6, SockProtocol::IcmpV6),
    };
    [SockType::Datagram, SockType::Raw]
        .into_iter()
        .any(|kind| socket(family, kind, SockFlag::SOCK_CLOEXEC, protocol).is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_privilege_is_named_and_ours_and_a_filter_is_not() {
        let denied = || Error::IoError { error: io::ErrorKind::PermissionDenied.into() };
        let failure = why(denied(), || false);
        assert!(
            matches!(failure, Failure::Local(_)) && failure.to_string().contains("CAP_NET_RAW")
        );
        assert!(matches!(why(denied(), || true), Failure::Io(_)));
        assert_eq!(why(Error::Timeout, || true), Failure::NoReply);
    }
}
