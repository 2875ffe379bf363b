//! UDP servers.

use std::net::{SocketAddr, UdpSocket};

use openssl::hash::{MessageDigest, hash};

use super::stream::{Running, wait};
use super::{Behaviour, Context};
use crate::words::unescape;

/// From a datagram to what is noted and the answer, if any.
pub(crate) type Handler = fn(&[u8], &Behaviour) -> (String, Option<Vec<u8>>);

pub(crate) fn serve(
    address: SocketAddr,
    context: Context,
    handler: Handler,
) -> Result<Running, String> {
    let socket = UdpSocket::bind(address).map_err(|e| format!("bind {address}: {e}"))?;
    Running::start(move |stopped| {
        let mut buffer = [0; 4096];
        while wait(&socket, &stopped) {
            let Ok((length, peer)) = socket.recv_from(&mut buffer) else { continue };
            let (note, answer) = handler(&buffer[..length], &context.behaviour());
            context.note(note);
            if let Some(answer) = answer {
                let _ = socket.send_to(&answer, peer);
            }
        }
    })
}

/// Option `reply=TEXT` with escapes, or the script's lines with CRLF; none of both: no answer.
pub(crate) fn reply(datagram: &[u8], behaviour: &Behaviour) -> (String, Option<Vec<u8>>) {
    let heard = String::from_utf8_lossy(datagram);
    let heard: Vec<&str> = heard.lines().collect();
    let answer = match behaviour.option("reply") {
        Some(text) => Some(text.as_bytes().to_vec()),
        None if behaviour.script.is_empty() => None,
        None => Some(
            behaviour
                .script
                .iter()
                .flat_map(|l| format!("{}\r\n", unescape(l)).into_bytes())
                .collect(),
        ),
    };
    (heard.join(" | "), answer)
}

pub(crate) fn silent(_: &[u8], _: &Behaviour) -> (String, Option<Vec<u8>>) {
    ("datagram".to_owned(), None)
}

/// RFC 2865. Options `secret=`, `user=`, `pass=`; another user or password is rejected; `wrong` answers with another
/// secret's authenticator.
pub(crate) fn radius(packet: &[u8], behaviour: &Behaviour) -> (String, Option<Vec<u8>>) {
    let (Some(&code), Some(&id), Some(authenticator)) =
        (packet.first(), packet.get(1), packet.get(4..20))
    else {
        return ("short packet".to_owned(), None);
    };
    let secret = behaviour.text("secret", "secret").as_bytes();
    let mut user = String::new();
    let mut password = Vec::new();
    let mut types = Vec::new();
    let mut rest = packet.get(20..).unwrap_or_default();
    while let [kind, length, ..] = *rest {
        let length = usize::from(length);
        if length < 2 || length > rest.len() {
            break;
        }
        let value = &rest[2..length];
        types.push(kind.to_string());
        match kind {
            1 => user = String::from_utf8_lossy(value).into_owned(),
            2 => password = reveal(value, secret, authenticator),
            _ => {}
        }
        rest = &rest[length..];
    }
    let password = String::from_utf8_lossy(&password).trim_end_matches('\0').to_owned();
    let good = user == behaviour.text("user", "") && password == behaviour.text("pass", "");
    let note =
        format!("code {code} user {user:?} password {password:?} attributes {}", types.join(","));
    let mut answer = vec![if good { 2 } else { 3 }, id, 0, 20];
    let answer_secret: &[u8] =
        if behaviour.option("wrong").is_some() { b"another" } else { secret };
    let signed = [&answer[..], authenticator, answer_secret].concat();
    match hash(MessageDigest::md5(), &signed) {
        Ok(digest) => answer.extend_from_slice(&digest),
        Err(_) => return (note, None),
    }
    (note, Some(answer))
}

fn reveal(hidden: &[u8], secret: &[u8], authenticator: &[u8]) -> Vec<u8> {
    let mut before = authenticator.to_vec();
    let mut clear = Vec::new();
    for block in hidden.chunks(16) {
        let Ok(mask) = hash(MessageDigest::md5(), &[secret, &before].concat()) else {
            return clear;
        };
        clear.extend(block.iter().zip(mask.iter()).map(|(b, m)| b ^ m));
        before = block.to_vec();
    }
    clear
}
