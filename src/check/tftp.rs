//! `service=tftp`: the beginning of a file (RFC 1350). An addition to the original.
//!
//! Up when the server sends the first block of the file `request` and, if `receive` is given, the block matches
//! it.

use super::Failure;
use super::connect::Probe;
use super::datagram::{Heard, ask_any_port};
use super::transcript::search;
use crate::model::Pattern;
use std::net::{SocketAddr, UdpSocket};

/// Operations (section 5).
const READ_REQUEST: u16 = 1;
const DATA: u16 = 3;
const ERROR: u16 = 5;

/// Asks the server over UDP. It answers from another port than the one that is asked (section 4).
///
/// # Errors
/// Why the server is down.
pub(super) fn check(probe: Probe<'_>) -> Result<(), Failure> {
    let request = request(&probe.exchange.request)?;
    let udp = probe.udp_to_any_port()?;
    let (from, outcome) = ask_any_port(&udp, probe.target, probe.deadline, &request, |answer| {
        judge(answer, probe.exchange.receive.as_ref())
    })?;
    stop(&udp, from);
    outcome
}

fn request(file: &str) -> Result<Vec<u8>, Failure> {
    if file.is_empty() || file.contains('\0') {
        return Err(Failure::Config("service=tftp needs request: the name of a file".into()));
    }
    Ok([&READ_REQUEST.to_be_bytes(), file.as_bytes(), b"\0octet\0"].concat())
}

/// What a datagram is.
pub fn judge(answer: &[u8], receive: Option<&Pattern>) -> Heard<Result<(), Failure>> {
    let malformed = || Heard::Suspect(Failure::Protocol("not an answer of TFTP".into()));
    let Some((head, rest)) = answer.split_first_chunk::<4>() else { return malformed() };
    let [operation, number] = [[head[0], head[1]], [head[2], head[3]]].map(u16::from_be_bytes);
    match (operation, number) {
        (DATA, 1) => Heard::Answer(match receive {
            Some(pattern) if !search(pattern, rest) => {
                Err(Failure::Mismatch(Failure::verbatim(rest)))
            }
            _ => Ok(()),
        }),
        (ERROR, code) => {
            let words = rest.split(|&byte| byte == 0).next().unwrap_or_default();
            Heard::Answer(Err(Failure::Rejected(format!("{code} {}", Failure::text(words)))))
        }
        _ => malformed(),
    }
}

/// A courtesy: else the server sends the block again and again.
fn stop(socket: &UdpSocket, server: SocketAddr) {
    let _ = socket.send_to(&[&ERROR.to_be_bytes()[..], b"\0\0enough\0"].concat(), server);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_block_decides() {
        let pattern = Pattern::new("^boot").unwrap();
        let of = |answer: &[u8]| judge(answer, Some(&pattern));
        assert_eq!(of(b"\0\x03\0\x01boot me"), Heard::Answer(Ok(())));
        assert_eq!(
            of(b"\0\x03\0\x01root"),
            Heard::Answer(Err(Failure::Mismatch("root".to_owned())))
        );
        let rejected = Failure::Rejected("1 File not found".to_owned());
        assert_eq!(of(b"\0\x05\0\x01File not found\0"), Heard::Answer(Err(rejected)));
        for other in [&b"\0\x03\0\x02boot"[..], b"\0\x03", b"", b"\0\x01\0\x01"] {
            assert!(matches!(of(other), Heard::Suspect(Failure::Protocol(_))), "{other:?}");
        }
        assert_eq!(judge(b"\0\x03\0\x01", None), Heard::Answer(Ok(())));
    }

    #[test]
    fn a_request_names_a_file() {
        assert_eq!(request("/a b").unwrap(), b"\0\x01/a b\0octet\0");
        assert!(request("").is_err() && request("a\0b").is_err());
    }
}
