//! `service=radius`: an Access-Request that is accepted (RFC 2865, RFC 2869, RFC 3579).
//!
//! Sends `login` and `passwd`, hidden with `secret`, and a Message-Authenticator, which servers
//! demand since 2024 (Blast-RADIUS). Up when an Access-Accept comes whose authenticator proves that
//! the server knows the secret.

use super::Failure;
use super::connect::Probe;
use super::datagram::{Heard, ask, nonce};
use super::transcript::secret;
use hmac::{Hmac, KeyInit, Mac};
use md5::{Digest, Md5};

const ACCESS_REQUEST: u8 = 1;
const ACCESS_ACCEPT: u8 = 2;
const ACCESS_REJECT: u8 = 3;
const ACCESS_CHALLENGE: u8 = 11;

const USER_NAME: u8 = 1;
const USER_PASSWORD: u8 = 2;
const NAS_IP_ADDRESS: u8 = 4;
const REPLY_MESSAGE: u8 = 18;
const MESSAGE_AUTHENTICATOR: u8 = 80;

/// Code, identifier, length, authenticator (RFC 2865 section 3).
const HEADER: usize = 20;

/// Asks the server over UDP.
///
/// # Errors
/// Why the server is down.
pub(super) fn check(probe: Probe<'_>) -> Result<(), Failure> {
    let request = Request {
        identifier: nonce::<1>()?[0],
        authenticator: nonce()?,
        secret: probe.exchange.secret.as_bytes(),
    };
    let (login, password) = (&probe.exchange.login, &probe.exchange.passwd);
    let message = request.message(login.as_bytes(), password.as_bytes())?;
    let udp = probe.udp()?;
    ask(&udp, probe.deadline, &message, |bytes| request.judge(bytes))?
}

/// What one request is known by.
#[derive(Debug)]
pub struct Request<'a> {
    /// Matches answers to requests.
    pub identifier: u8,
    /// Random; hides the password and goes into the answer's own authenticator.
    pub authenticator: [u8; 16],
    /// `secret`.
    pub secret: &'a [u8],
}

impl Request<'_> {
    fn message(&self, login: &[u8], password: &[u8]) -> Result<Vec<u8>, Failure> {
        let mut message = vec![ACCESS_REQUEST, self.identifier, 0, 0];
        message.extend_from_slice(&self.authenticator);
        // First of all attributes, where a forger cannot push it out (draft-ietf-radext-deprecating-radius).
        message.extend_from_slice(&[MESSAGE_AUTHENTICATOR, 18]);
        let place = message.len()..message.len() + 16;
        message.extend_from_slice(&[0; 16]);
        attribute(&mut message, USER_NAME, login)?;
        attribute(&mut message, USER_PASSWORD, secret(&self.hide(password)?))?;
        // compat: the original names itself so, whatever its address (spec 4.4)
        attribute(&mut message, NAS_IP_ADDRESS, &[127, 0, 0, 1])?;
        let length = u16::try_from(message.len()).unwrap_or(u16::MAX);
        message[2..4].copy_from_slice(&length.to_be_bytes());
        let seal = self.seal(&message);
        // Who sees it can try words for the secret.
        message[place].copy_from_slice(secret(&seal));
        Ok(message)
    }

    /// RFC 2865 section 5.2: blocks of 16 bytes, each hidden by a hash over the one before.
    fn hide(&self, password: &[u8]) -> Result<Vec<u8>, Failure> {
        if password.len() > 128 {
            return Err(Failure::Config("passwd: more than 128 bytes for radius".into()));
        }
        let mut hidden = password.to_vec();
        hidden.resize(password.len().max(1).next_multiple_of(16), 0);
        let mut before = self.authenticator;
        for block in hidden.chunks_exact_mut(16) {
            let mask = Md5::new().chain_update(self.secret).chain_update(before).finalize();
            block.iter_mut().zip(mask).for_each(|(byte, mask)| *byte ^= mask);
            before.copy_from_slice(block);
        }
        Ok(hidden)
    }

    /// RFC 3579 section 3.2: over the whole message, the seal's own place being zero.
    fn seal(&self, message: &[u8]) -> [u8; 16] {
        self.mac(message).finalize().into_bytes().into()
    }

    fn mac(&self, message: &[u8]) -> Hmac<Md5> {
        let mut mac =
            Hmac::<Md5>::new_from_slice(self.secret).expect("a key of any length is taken");
        mac.update(message);
        mac
    }

    /// What a datagram is to this request.
    pub fn judge(&self, bytes: &[u8]) -> Heard<Result<(), Failure>> {
        let suspect = |why: &'static str| Heard::Suspect(Failure::Protocol(why.into()));
        let Some((message, attributes)) = framed(bytes) else {
            return suspect("not a RADIUS message");
        };
        if message[1] != self.identifier {
            return Heard::Stray;
        }
        // RFC 2865 section 3: an answer that is not signed is silently discarded.
        secret(&message[4..HEADER]);
        if !self.signed(message) || !self.sealed(message) {
            return suspect("the answer is not signed with this secret");
        }
        let words = || {
            let text = find(attributes, REPLY_MESSAGE).map(|(_, text)| Failure::text(text));
            text.unwrap_or_else(|| "Access-Reject".to_owned())
        };
        match message[0] {
            ACCESS_ACCEPT => Heard::Answer(Ok(())),
            ACCESS_REJECT => Heard::Answer(Err(Failure::LoginRefused(words()))),
            ACCESS_CHALLENGE => {
                Heard::Answer(Err(Failure::LoginRefused("Access-Challenge".to_owned())))
            }
            _ => suspect("neither accepted nor rejected"),
        }
    }

    /// The response authenticator.
    fn signed(&self, message: &[u8]) -> bool {
        let expected = Md5::new()
            .chain_update(&message[..4])
            .chain_update(self.authenticator)
            .chain_update(&message[HEADER..])
            .chain_update(self.secret)
            .finalize();
        message[4..HEADER] == expected[..]
    }

    /// Message-Authenticator, if there is one, computed with the request's authenticator.
    fn sealed(&self, message: &[u8]) -> bool {
        let Some((offset, seal)) = find(&message[HEADER..], MESSAGE_AUTHENTICATOR) else {
            return true;
        };
        secret(seal);
        let mut copy = message.to_vec();
        copy[4..HEADER].copy_from_slice(&self.authenticator);
        copy[HEADER + offset..][..seal.len()].fill(0);
        self.mac(&copy).verify_slice(seal).is_ok()
    }
}

fn attribute(message: &mut Vec<u8>, kind: u8, value: &[u8]) -> Result<(), Failure> {
    let length = u8::try_from(value.len() + 2)
        .map_err(|_| Failure::Config("login: more than 253 bytes for radius".into()))?;
    message.extend_from_slice(&[kind, length]);
    message.extend_from_slice(value);
    Ok(())
}

/// The message within a datagram, which may be padded, and the attributes within the message.
fn framed(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let length = u16::from_be_bytes(*bytes.get(2..)?.first_chunk()?);
    let message = bytes.get(..usize::from(length))?;
    let attributes = message.get(HEADER..)?;
    Some((message, attributes))
}

/// The first attribute of this kind: where its value begins, and the value.
fn find(attributes: &[u8], kind: u8) -> Option<(usize, &[u8])> {
    let mut at = 0;
    while let [this, length, ..] = attributes.get(at..)? {
        let length = usize::from(*length).max(2);
        let value = attributes.get(at + 2..at + length)?;
        if *this == kind {
            return Some((at + 2, value));
        }
        at += length;
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The request of RFC 2865 section 7.1.
    const EXAMPLE: Request<'static> = Request {
        identifier: 0,
        authenticator: [
            0x0f, 0x40, 0x3f, 0x94, 0x73, 0x97, 0x80, 0x57, 0xbd, 0x83, 0xd5, 0xcb, 0x98, 0xf4,
            0x22, 0x7a,
        ],
        secret: b"xyzzy5461",
    };

    /// Its answer there.
    const ACCEPT: [u8; 38] = [
        0x02, 0x00, 0x00, 0x26, 0x86, 0xfe, 0x22, 0x0e, 0x76, 0x24, 0xba, 0x2a, 0x10, 0x05, 0xf6,
        0xbf, 0x9b, 0x55, 0xe0, 0xb2, 0x06, 0x06, 0x00, 0x00, 0x00, 0x01, 0x0f, 0x06, 0x00, 0x00,
        0x00, 0x00, 0x0e, 0x06, 0xc0, 0xa8, 0x01, 0x03,
    ];

    #[test]
    fn the_password_is_hidden_as_in_the_standards_example() {
        assert_eq!(
            EXAMPLE.hide(b"arctangent").unwrap(),
            [
                0x0d, 0xbe, 0x70, 0x8d, 0x93, 0xd4, 0x13, 0xce, 0x31, 0x96, 0xe4, 0x3f, 0x78, 0x2a,
                0x0a, 0xee
            ]
        );
        for (length, hidden) in [(0, 16), (1, 16), (16, 16), (17, 32), (128, 128)] {
            assert_eq!(EXAMPLE.hide(&vec![b'x'; length]).unwrap().len(), hidden);
        }
        assert!(EXAMPLE.hide(&[b'x'; 129]).is_err());
    }

    #[test]
    fn the_standards_example_is_accepted() {
        assert_eq!(EXAMPLE.judge(&ACCEPT), Heard::Answer(Ok(())));
        let padded = [&ACCEPT[..], b"padding"].concat();
        assert_eq!(EXAMPLE.judge(&padded), Heard::Answer(Ok(())));
    }

    #[test]
    fn another_secret_and_a_changed_answer_are_suspect() {
        let suspect =
            Heard::Suspect(Failure::Protocol("the answer is not signed with this secret".into()));
        let other = Request { secret: b"other", ..EXAMPLE };
        assert_eq!(other.judge(&ACCEPT), suspect);
        let mut changed = ACCEPT;
        changed[0] = ACCESS_REJECT;
        assert_eq!(EXAMPLE.judge(&changed), suspect);
        changed[1] = 9;
        assert_eq!(EXAMPLE.judge(&changed), Heard::Stray);
    }

    /// A signed answer with a Message-Authenticator over it.
    fn sealed_answer(code: u8, attributes: &[u8], secret: &[u8]) -> Vec<u8> {
        let signer = Request { secret, ..EXAMPLE };
        let length = u8::try_from(HEADER + 18 + attributes.len()).unwrap();
        let mut message = vec![code, 0, 0, length];
        message.extend_from_slice(&EXAMPLE.authenticator);
        message.extend_from_slice(&[MESSAGE_AUTHENTICATOR, 18]);
        message.extend_from_slice(&[0; 16]);
        message.extend_from_slice(attributes);
        let seal = signer.seal(&message);
        message[22..38].copy_from_slice(&seal);
        let signature = Md5::new().chain_update(&message).chain_update(EXAMPLE.secret).finalize();
        message[4..HEADER].copy_from_slice(&signature);
        message
    }

    #[test]
    fn a_message_authenticator_is_verified() {
        let answer = sealed_answer(ACCESS_ACCEPT, b"", EXAMPLE.secret);
        assert_eq!(EXAMPLE.judge(&answer), Heard::Answer(Ok(())));
        let forged = sealed_answer(ACCESS_ACCEPT, b"", b"another");
        assert!(matches!(EXAMPLE.judge(&forged), Heard::Suspect(_)));
    }

    #[test]
    fn a_reject_has_the_servers_words() {
        let answer = sealed_answer(ACCESS_REJECT, b"\x12\x05no!", EXAMPLE.secret);
        let expected = Heard::Answer(Err(Failure::LoginRefused("no!".into())));
        assert_eq!(EXAMPLE.judge(&answer), expected);
    }

    #[test]
    fn damaged_attributes_do_no_harm() {
        for attributes in [b"\x12".as_slice(), b"\x12\x00", b"\x12\xff", b"\x50\x02"] {
            let answer = sealed_answer(ACCESS_REJECT, attributes, EXAMPLE.secret);
            let _ = EXAMPLE.judge(&answer);
        }
        assert_eq!(find(b"\x01\x00\x02\x03x", 2), Some((4, b"x".as_slice())));
        assert_eq!(EXAMPLE.judge(b"\x02\x00\x00\x04"), {
            Heard::Suspect(Failure::Protocol("not a RADIUS message".into()))
        });
    }

    #[test]
    fn the_request_carries_its_own_seal() {
        let mut message = EXAMPLE.message(b"nemo", b"arctangent").unwrap();
        assert_eq!(usize::from(message[3]), message.len());
        let (offset, seal) = find(&message[HEADER..], MESSAGE_AUTHENTICATOR).unwrap();
        let (offset, seal) = (HEADER + offset, seal.to_vec());
        message[offset..offset + 16].fill(0);
        assert_eq!(EXAMPLE.seal(&message)[..], seal);
        assert_eq!(find(&message[HEADER..], USER_NAME).unwrap().1, b"nemo");
    }
}
