//! `service=ntp`: a server that knows the time (NTPv4, RFC 5905). An addition to the original.
//!
//! Up when the answer to our question is a server's (mode 4), synchronised (leap indicator not 3,
//! stratum 1 to 15), and repeats the time stamp that we sent, which is a random number: nothing of
//! our clock leaves the machine (draft-ietf-ntp-data-minimization).

use super::Failure;
use super::connect::Probe;
use super::datagram::{Heard, ask, nonce};

/// Bytes of a message without extensions (section 7.3).
const HEADER: usize = 48;

/// Asks the server over UDP.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(probe: Probe<'_>) -> Result<(), Failure> {
    let stamp = nonce()?;
    let udp = probe.udp()?;
    ask(&udp, probe.deadline, &request(stamp), |bytes| judge(bytes, stamp))?
}

/// Version 4, mode 3 (client); all else zero but the transmit time stamp.
fn request(stamp: [u8; 8]) -> [u8; HEADER] {
    let mut message = [0; HEADER];
    message[0] = 4 << 3 | 3;
    message[40..].copy_from_slice(&stamp);
    message
}

/// What a datagram is to the question with this time stamp.
pub fn judge(bytes: &[u8], stamp: [u8; 8]) -> Heard<Result<(), Failure>> {
    let Some((header, _extensions)) = bytes.split_first_chunk::<HEADER>() else {
        return Heard::Suspect(Failure::Protocol("too short for NTP".into()));
    };
    let (leap, mode, stratum) = (header[0] >> 6, header[0] & 7, header[1]);
    if header[24..32] != stamp {
        return Heard::Suspect(Failure::Protocol("an answer to another question".into()));
    }
    if mode != 4 {
        return Heard::Suspect(Failure::Protocol(format!("mode {mode} is no server's").into()));
    }
    Heard::Answer(match (stratum, leap) {
        // Section 7.4: the kiss code is in the place of the reference identifier.
        (0, _) => Err(Failure::Rejected(format!("kiss code {}", Failure::text(&header[12..16])))),
        (16.., _) => Err(Failure::Rejected(format!("stratum {stratum}: not synchronised"))),
        (_, 3) => Err(Failure::Rejected("leap indicator 3: not synchronised".to_owned())),
        _ => Ok(()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(first: u8, stratum: u8) -> Vec<u8> {
        let mut bytes = vec![0; HEADER];
        (bytes[0], bytes[1]) = (first, stratum);
        bytes[12..16].copy_from_slice(b"RATE");
        bytes[24..32].copy_from_slice(b"8 random");
        bytes
    }

    #[test]
    fn only_a_synchronised_server_that_answers_us_is_up() {
        let rejected = |why: &str| Heard::Answer(Err(Failure::Rejected(why.to_owned())));
        let suspect = |why: &'static str| Heard::Suspect(Failure::Protocol(why.into()));
        let cases = [
            (answer(0x24, 1), Heard::Answer(Ok(()))),
            (answer(0x24, 15), Heard::Answer(Ok(()))),
            (answer(0x1c, 3), Heard::Answer(Ok(()))), // version 3
            (answer(0x64, 2), Heard::Answer(Ok(()))), // a leap second is due
            (answer(0x24, 0), rejected("kiss code RATE")),
            (answer(0x24, 16), rejected("stratum 16: not synchronised")),
            (answer(0xe4, 2), rejected("leap indicator 3: not synchronised")),
            (answer(0x23, 2), suspect("mode 3 is no server's")),
            (answer(0x24, 2)[..47].to_vec(), suspect("too short for NTP")),
            (vec![], suspect("too short for NTP")),
        ];
        for (bytes, expected) in cases {
            assert_eq!(judge(&bytes, *b"8 random"), expected, "{bytes:02x?}");
        }
        let other = judge(&answer(0x24, 2), *b"another!");
        assert_eq!(other, suspect("an answer to another question"));
    }

    #[test]
    fn the_request_is_a_clients_with_nothing_but_its_stamp() {
        let request = request(*b"8 random");
        assert_eq!(request[0], 0x23);
        assert_eq!(&request[1..40], &[0; 39]);
        assert_eq!(&request[40..], b"8 random");
    }
}
