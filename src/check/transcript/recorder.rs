//! Who listens to a check: puts together what belongs together, masks what is secret, and keeps no more
//! than anybody reads.

use super::{Bytes, EVENTS, Event, MASK, Place, Search, Seen, TELLING, Transcript};
use std::time::Instant;

/// Bytes that are kept of what was sent or received in a row.
const SHOWN: usize = 2 * 1024;

/// Bytes of it in which secrets are looked for: those that are kept, and what may begin in them.
const LOOKED_AT: usize = 8 * SHOWN;

/// Bytes that are kept of all that was sent and received.
const ROOM: usize = 128 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    Out,
    In,
}

/// What goes one way until something else happens.
struct Open {
    direction: Direction,
    at: u64,
    bytes: Vec<u8>,
    total: u64,
}

pub(super) struct Recorder {
    begun: Instant,
    transcript: Transcript,
    open: Option<Open>,
    /// Looked for in both directions.
    configured: Vec<Vec<u8>>,
    /// Marked where they are used.
    marked: Vec<Vec<u8>>,
    room: usize,
}

impl Recorder {
    pub(super) fn new(configured: Vec<&str>) -> Self {
        Self {
            begun: Instant::now(),
            transcript: Transcript::default(),
            open: None,
            configured: configured.into_iter().map(|word| word.as_bytes().to_vec()).collect(),
            marked: Vec::new(),
            room: ROOM,
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    pub(super) fn push(&mut self, seen: Seen) {
        self.close();
        let seen = match seen {
            Seen::Searched { pattern, bytes, result } => {
                let result = match result {
                    Search::Found(place) => Search::Found(place.map(|it| self.masked_place(it))),
                    Search::NotFound(Bytes { shown, left_out }) => {
                        let hidden = self.hidden(Direction::In, &shown);
                        Search::NotFound(Bytes { shown: masked(&shown, &hidden), left_out })
                    }
                };
                Seen::Searched { pattern, bytes, result }
            }
            other => other,
        };
        self.keep(self.now(), seen);
    }

    fn keep(&mut self, at: u64, seen: Seen) {
        if self.transcript.events.len() < EVENTS {
            self.transcript.events.push(Event { at, seen });
        } else {
            self.transcript.left_out += 1;
        }
    }

    /// Bytes of a stream: what goes the same way in a row is one event.
    pub(super) fn hear(&mut self, direction: Direction, bytes: &[u8]) {
        if self.open.as_ref().is_some_and(|open| open.direction != direction) {
            self.close();
        }
        let at = self.now();
        let open =
            self.open.get_or_insert_with(|| Open { direction, at, bytes: Vec::new(), total: 0 });
        let room = LOOKED_AT.saturating_sub(open.bytes.len()).min(bytes.len());
        open.bytes.extend_from_slice(&bytes[..room]);
        open.total += bytes.len() as u64;
    }

    /// Once, however often the end is read.
    pub(super) fn end(&mut self) {
        let is_last = |event: &Event| event.seen == Seen::Ended;
        if self.open.is_some() || !self.transcript.events.last().is_some_and(is_last) {
            self.push(Seen::Ended);
        }
    }

    pub(super) fn datagram(&mut self, direction: Direction, bytes: &[u8]) {
        self.close();
        self.hear(direction, bytes);
        // It stays open until the next event, since the receiver may still mark secrets in it.
    }

    pub(super) fn hide(&mut self, secret: &[u8]) {
        if !secret.is_empty() && !self.marked.iter().any(|known| known == secret) {
            self.marked.push(secret.to_vec());
        }
    }

    fn close(&mut self) {
        let Some(Open { direction, at, bytes, total }) = self.open.take() else { return };
        let limit = SHOWN.min(self.room);
        let (shown, used) = self.mask(direction, &bytes, limit);
        self.room -= used.min(self.room);
        let part = Bytes { shown, left_out: total - used as u64 };
        self.keep(
            at,
            match direction {
                Direction::Out => Seen::Sent(part),
                Direction::In => Seen::Received(part),
            },
        );
    }

    pub(super) fn finish(mut self) -> Transcript {
        self.close();
        self.transcript
    }

    fn masked_place(&self, place: Place) -> Place {
        let Place { offset, before, matched, after } = place;
        let whole = [before.as_slice(), &matched.shown, &after].concat();
        let hidden = self.hidden(Direction::In, &whole);
        let (first, second) = (before.len(), before.len() + matched.shown.len());
        let masked = |from: usize, to: usize| masked(&whole[from..to], &hidden[from..to]);
        Place {
            offset,
            before: masked(0, first),
            matched: Bytes { shown: masked(first, second), left_out: matched.left_out },
            after: masked(second, whole.len()),
        }
    }

    /// The beginning with its secrets masked, and how many bytes it stands for.
    fn mask(&self, direction: Direction, bytes: &[u8], limit: usize) -> (Vec<u8>, usize) {
        let hidden = self.hidden(direction, bytes);
        let mut end = limit.min(bytes.len());
        while end > 0 && end < bytes.len() && hidden[end - 1] && hidden[end] {
            end += 1;
        }
        (masked(&bytes[..end], &hidden[..end]), end)
    }

    /// Which bytes belong to a secret, or to the beginning of one that was cut.
    fn hidden(&self, direction: Direction, bytes: &[u8]) -> Vec<bool> {
        let mut hidden = vec![false; bytes.len()];
        let marked = self.marked.iter().filter(|secret| {
            // A server says short words without meaning the secret.
            direction == Direction::Out || secret.len() >= TELLING
        });
        for secret in self.configured.iter().chain(marked) {
            for at in 0..bytes.len() {
                let rest = &bytes[at..];
                let here = rest.starts_with(secret)
                    || (bytes.len() == LOOKED_AT && secret.starts_with(rest));
                if here {
                    let end = bytes.len().min(at + secret.len());
                    hidden[at..end].fill(true);
                }
            }
        }
        hidden
    }
}

/// Each run of hidden bytes as one [`MASK`].
fn masked(bytes: &[u8], hidden: &[bool]) -> Vec<u8> {
    let mut shown = Vec::with_capacity(bytes.len());
    let mut before = false;
    for (&byte, &hidden) in bytes.iter().zip(hidden) {
        match (hidden, before) {
            (false, _) => shown.push(byte),
            (true, false) => shown.extend_from_slice(MASK.as_bytes()),
            (true, true) => {}
        }
        before = hidden;
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::super::{
        is_recording, received, received_datagram, record, search, secret, sent, sent_datagram,
    };
    use super::*;
    use crate::check::CheckOutcome;
    use crate::model::{CheckMethod, CheckPlan, Pattern};
    use std::time::Duration;

    fn plan(passwd: &str) -> CheckPlan {
        use crate::model::{Exchange, Service};
        let exchange = Exchange {
            passwd: passwd.to_owned(),
            ..crate::check::tests::exchange(Service::Simpletcp)
        };
        CheckPlan {
            check_timeout: Duration::ZERO,
            negotiate_timeout: Duration::ZERO,
            ..CheckPlan::new(([127, 0, 0, 1], 1).into(), CheckMethod::Negotiate(exchange.into()))
        }
    }

    /// What was said, as `> sent`, `< received`, `.` for the end; and how much was left out.
    fn said(passwd: &str, check: impl FnOnce()) -> (Vec<String>, u64) {
        let (_, transcript) = record(&plan(passwd), || {
            check();
            CheckOutcome::up()
        });
        let part = |sign: &str, bytes: &Bytes| {
            let left_out = match bytes.left_out {
                0 => String::new(),
                more => format!("+{more}"),
            };
            format!("{sign} {}{left_out}", String::from_utf8_lossy(&bytes.shown))
        };
        let said = transcript.events.iter().map(|event| match &event.seen {
            Seen::Sent(bytes) => part(">", bytes),
            Seen::Received(bytes) => part("<", bytes),
            Seen::Ended => ".".to_owned(),
            other => format!("{other:?}"),
        });
        (said.collect(), transcript.left_out)
    }

    #[test]
    fn bytes_in_a_row_are_one_event_and_datagrams_are_each_their_own() {
        let (stream, _) = said("", || {
            [&b"220 "[..], b"hi", b"\r\n"].into_iter().for_each(received);
            [&b"QU"[..], b"IT"].into_iter().for_each(sent);
            [&b"bye"[..], b"", b""].into_iter().for_each(received);
        });
        assert_eq!(stream, ["< 220 hi\r\n", "> QUIT", "< bye", "."]);
        let (datagrams, _) = said("", || {
            sent_datagram(b"?");
            sent_datagram(b"?");
            received_datagram(b"1");
            received_datagram(b"2");
        });
        assert_eq!(datagrams, ["> ?", "> ?", "< 1", "< 2"]);
    }

    #[test]
    fn nobody_listens_beyond_the_check() {
        assert!(!is_recording());
        sent(b"lost");
        assert_eq!(said("", || assert!(is_recording())).0, [] as [&str; 0]);
        assert!(!is_recording());
    }

    #[test]
    fn secrets_are_masked_wherever_they_are_cut() {
        for step in [1, 2, 5, 100] {
            let (all, _) = said("xyzzy", || {
                b"PASS xyzzy again xyzzyxyzzy!".chunks(step).for_each(sent);
                b"-ERR xyzzy xyzz".chunks(step).for_each(received);
            });
            assert_eq!(all, ["> PASS *** again ***!", "< -ERR *** xyzz"], "{step}");
        }
        let (all, _) = said("", || {
            sent(b"PASS a");
            secret("a");
            received(b"a is wrong, digest");
            secret("digest");
        });
        assert_eq!(all, ["> PASS ***", "< a is wrong, ***"], "short ones in what we say");
        // One that begins before the end of what is shown, and one that is longer than all that is kept.
        for length in [50, 10 * LOOKED_AT] {
            let long = "s".repeat(length);
            let sent_bytes = format!("{}{long}end", "x".repeat(SHOWN - 10));
            let (all, _) = said("", || {
                secret(&long);
                sent(sent_bytes.as_bytes());
            });
            assert!(!all[0].contains('s'), "{length}");
            assert!(all[0].contains("x***+"), "{length}: {}", all[0]);
        }
    }

    #[test]
    fn a_match_and_what_stands_around_it_is_masked_too() {
        let pattern = Pattern::new("is .*!").expect("a pattern");
        let (_, transcript) = record(&plan("xyzzy"), || {
            search(&pattern, b"it is xyzzy! or xyzzy");
            search(&pattern, b"no xyzzy");
            CheckOutcome::up()
        });
        let seen = format!("{:?}", transcript.events);
        let bytes = |text: &str| format!("{:?}", text.as_bytes());
        assert!(seen.contains(&bytes("is ***!")) && seen.contains(&bytes(" or ***")), "{seen}");
        assert!(seen.contains(&bytes("no ***")), "{seen}");
    }

    #[test]
    fn a_chatty_server_fills_no_memory() {
        let (all, left_out) = said("", || {
            for _ in 0..2 * EVENTS {
                sent(b"more");
                received(&[b'x'; 10 * LOOKED_AT]);
            }
        });
        assert_eq!((all.len(), left_out), (EVENTS, 3 * EVENTS as u64));
        assert!(all.iter().map(String::len).sum::<usize>() < ROOM + EVENTS * 20);
    }
}
