//! How a probe went, for programs: one object a line. The names of the fields are an interface; the manual
//! page ldirectord(8) has them.

use super::choose::Chosen;
use super::escape::{escape, plain};
use super::verdict::Verdict;
use crate::check::transcript::{Bytes, Event, Search, Seen, Transcript};
use crate::model::Step;
use crate::status::{ServerState, UnixTime};
use serde::Serialize;

/// One probe.
#[derive(Debug, Serialize)]
struct Probe {
    server: String,
    name: Option<String>,
    services: Vec<Service>,
    check: String,
    target: String,
    round: u64,
    checked: UnixTime,
    state: ServerState,
    why: Option<String>,
    answer: Option<String>,
    check_duration_us: u64,
    steps: Vec<Timed>,
    steps_left_out: u64,
}

/// As in `status --json`.
#[derive(Debug, Serialize)]
struct Service {
    address: String,
    protocol: String,
}

#[derive(Debug, Serialize)]
struct Timed {
    at_us: u64,
    #[serde(flatten)]
    step: Said,
}

#[derive(Debug, Serialize)]
#[serde(tag = "step", rename_all = "snake_case")]
enum Said {
    Resolve {
        name: String,
        address: Option<String>,
    },
    Connect {
        address: String,
    },
    Connected {
        from: Option<String>,
    },
    Udp {
        address: String,
    },
    Tls {
        agreed: bool,
        version: String,
        cipher: Option<String>,
        server_name: Option<String>,
        checkcertificate: String,
        certificates: Vec<Certificate>,
        not_trusted: Option<NotTrusted>,
    },
    Sent {
        text: String,
        left_out: u64,
    },
    Received {
        text: String,
        left_out: u64,
    },
    Closed,
    Search {
        pattern: String,
        found: bool,
        bytes: u64,
        offset: Option<u64>,
        text: Option<String>,
    },
    Ping {
        attempt: u32,
        answered: bool,
    },
    Command {
        words: Vec<String>,
        user: Option<String>,
    },
}

#[derive(Debug, Serialize)]
struct Certificate {
    subject: String,
    issuer: String,
    names: Vec<String>,
    not_before: UnixTime,
    not_after: UnixTime,
}

#[derive(Debug, Serialize)]
struct NotTrusted {
    certificate: u32,
    why: String,
}

/// One line.
pub(super) fn render(
    chosen: &Chosen,
    round: u64,
    verdict: &Verdict,
    transcript: &Transcript,
) -> String {
    let words = plain(&verdict.words);
    let is_up = verdict.state == ServerState::Up;
    let probe = Probe {
        server: chosen.server.to_string(),
        name: chosen.name.as_deref().map(plain),
        services: chosen
            .services
            .iter()
            .map(|service| Service {
                address: service.to_string(),
                protocol: service.protocol_word().to_owned(),
            })
            .collect(),
        check: chosen.plan.word(Step::Full),
        target: chosen.plan.target().to_string(),
        round,
        checked: verdict.checked,
        state: verdict.state,
        why: (!is_up).then(|| words.clone()),
        answer: is_up.then_some(words),
        check_duration_us: u64::try_from(verdict.duration.as_micros()).unwrap_or(u64::MAX),
        steps: transcript.events.iter().map(timed).collect(),
        steps_left_out: transcript.left_out,
    };
    // Strings and numbers are all there is in it.
    let line = serde_json::to_string(&probe).unwrap_or_default();
    line + "\n"
}

fn timed(event: &Event) -> Timed {
    Timed { at_us: event.at, step: said(&event.seen) }
}

fn said(seen: &Seen) -> Said {
    let part = |bytes: &Bytes| (escape(&bytes.shown), bytes.left_out);
    match seen {
        Seen::Resolved { name, address } => {
            Said::Resolve { name: plain(name), address: address.map(|it| it.to_string()) }
        }
        Seen::Connecting(address) => Said::Connect { address: address.to_string() },
        Seen::Connected { from } => Said::Connected { from: from.map(|it| it.to_string()) },
        Seen::Udp(address) => Said::Udp { address: address.to_string() },
        Seen::Tls(handshake) => Said::Tls {
            agreed: handshake.agreed,
            version: plain(&handshake.version),
            cipher: handshake.cipher.as_deref().map(plain),
            server_name: handshake.server_name.as_deref().map(plain),
            checkcertificate: plain(&handshake.asked),
            certificates: handshake
                .chain
                .iter()
                .map(|it| Certificate {
                    subject: plain(&it.subject),
                    issuer: plain(&it.issuer),
                    names: it.names.iter().map(|name| plain(name)).collect(),
                    not_before: it.not_before,
                    not_after: it.not_after,
                })
                .collect(),
            not_trusted: handshake.distrust.as_ref().map(|(certificate, why)| NotTrusted {
                certificate: *certificate,
                why: plain(why),
            }),
        },
        Seen::Sent(bytes) => {
            let (text, left_out) = part(bytes);
            Said::Sent { text, left_out }
        }
        Seen::Received(bytes) => {
            let (text, left_out) = part(bytes);
            Said::Received { text, left_out }
        }
        Seen::Ended => Said::Closed,
        Seen::Searched { pattern, bytes, result } => {
            let pattern = plain(pattern);
            let bytes = *bytes;
            match result {
                Search::Found(place) => Said::Search {
                    pattern,
                    found: true,
                    bytes,
                    offset: place.as_ref().map(|place| place.offset),
                    text: place.as_ref().map(|place| escape(&place.matched.shown)),
                },
                Search::NotFound(beginning) => Said::Search {
                    pattern,
                    found: false,
                    bytes,
                    offset: None,
                    text: Some(escape(&beginning.shown)),
                },
            }
        }
        Seen::Ping { attempt, answered } => Said::Ping { attempt: *attempt, answered: *answered },
        Seen::Command { words, user } => Said::Command {
            words: words.iter().map(|word| plain(word)).collect(),
            user: user.as_deref().map(plain),
        },
    }
}
