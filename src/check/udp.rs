//! `service=udp`: a datagram of any bytes, and its answer. An addition to the original.
//!
//! `request` is what is sent, in hexadecimal. Up when an answer comes and, if `receive` is given, its bytes match
//! it, written in lower-case hexadecimal.

use super::Failure;
use super::connect::Probe;
use super::datagram::{Heard, ask};
use super::transcript::search;
use crate::model::{Pattern, bytes_of_hex};

/// Asks the server over UDP.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(probe: Probe<'_>) -> Result<(), Failure> {
    let request = bytes_of_hex(&probe.exchange.request)
        .ok_or(Failure::Config("request: not an even number of hexadecimal digits".into()))?;
    let udp = probe.udp()?;
    ask(&udp, probe.deadline, &request, |answer| judge(answer, probe.exchange.receive.as_ref()))
}

/// What a datagram is.
pub fn judge(answer: &[u8], receive: Option<&Pattern>) -> Heard<()> {
    let Some(pattern) = receive else { return Heard::Answer(()) };
    let digits: String = answer.iter().map(|byte| format!("{byte:02x}")).collect();
    match search(pattern, digits.as_bytes()) {
        true => Heard::Answer(()),
        false => Heard::Suspect(Failure::Mismatch(Failure::text(digits.as_bytes()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bytes_of_the_answer_decide() {
        let pattern = Pattern::new("^00ff..0a$").unwrap();
        assert_eq!(judge(b"\0\xff7\n", Some(&pattern)), Heard::Answer(()));
        assert!(matches!(judge(b"\0\xff", Some(&pattern)), Heard::Suspect(Failure::Mismatch(_))));
        assert_eq!(judge(b"", None), Heard::Answer(()));
    }
}
