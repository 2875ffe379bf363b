//! ping: ICMP echo (RFC 792, RFC 4443).

use super::{Deadline, Failure};
use ping::{Error, Pinger};
use std::io;
use std::net::IpAddr;
use std::time::Duration;

/// Asks at most `attempts` times, each time for at most `each`.
///
/// # Errors
/// [`Failure::NoReply`]; [`Failure::Config`] if this process may not ping.
pub(super) fn check(
    address: IpAddr,
    attempts: u32,
    each: Duration,
    deadline: Deadline,
) -> Result<(), Failure> {
    let mut pinger = Pinger::new();
    let mut failure = Failure::NoReply;
    for _ in 0..attempts.max(1) {
        let Ok(left) = deadline.remaining() else { break };
        match pinger.ping(address, each.min(left)) {
            Ok(_) => return Ok(()),
            Err(error) => failure = why(error),
        }
        if matches!(failure, Failure::Config(_)) {
            break;
        }
    }
    Err(failure)
}

fn why(error: Error) -> Failure {
    match error {
        Error::Timeout => Failure::NoReply,
        Error::IoError { error } if error.kind() == io::ErrorKind::PermissionDenied => {
            Failure::Config(
                "ping needs the capability CAP_NET_RAW, or a group in net.ipv4.ping_group_range"
                    .into(),
            )
        }
        Error::IoError { error } => error.into(),
        other => Failure::Internal(other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_privilege_is_named() {
        let denied = io::Error::from(io::ErrorKind::PermissionDenied);
        assert!(why(Error::IoError { error: denied }).to_string().contains("CAP_NET_RAW"));
        assert_eq!(why(Error::Timeout), Failure::NoReply);
    }
}
