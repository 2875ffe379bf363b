//! How a probe went, for people.

use super::choose::Chosen;
use super::escape::{escape, lines, plain};
use super::verdict::{Tally, Verdict};
use crate::check::transcript::{
    Bytes, Certificate, Event, Handshake, Place, Search, Seen, Transcript,
};
use crate::model::Step;
use crate::status::{ServerState, UnixTime};
use std::time::Duration;

/// What is put before each line that belongs to the one above it.
const MARGIN: &str = "                ";

/// What is probed.
pub(super) fn heading(chosen: &Chosen) -> String {
    let services: Vec<String> = chosen.services.iter().map(|service| service.id()).collect();
    let name = chosen.name.as_ref().map(|name| format!("{}, ", plain(name))).unwrap_or_default();
    format!(
        "real server {name}{} ({}): {}",
        chosen.server,
        services.join(", "),
        chosen.plan.word(Step::Full)
    )
}

/// Every step with its time since the beginning, and the verdict.
pub(super) fn render(verdict: &Verdict, transcript: &Transcript, now: UnixTime) -> String {
    let mut text = Text(String::new());
    for Event { at, seen } in &transcript.events {
        text.event(Duration::from_micros(*at), seen, now);
    }
    if transcript.left_out > 0 {
        text.more(&format!("({} more steps)", transcript.left_out));
    }
    text.step(verdict.duration, &verdict_words(verdict));
    text.0
}

/// `down: connection refused`
pub(super) fn verdict_words(verdict: &Verdict) -> String {
    let words = plain(&verdict.words);
    match (verdict.state, verdict.failure_count) {
        (ServerState::Up, _) => format!("up: {words}"),
        (ServerState::Off, _) => "off: checktype=off, it is never checked".to_owned(),
        (ServerState::Down, 1) => format!("down: {words}"),
        (ServerState::Down, count) => {
            format!("down: {words} (failurecount={count}: down after {count} in a row)")
        }
        _ => format!("no verdict: {words}"),
    }
}

/// What many probes of one server have come to.
pub(super) fn summary(chosen: &Chosen, tally: &Tally) -> String {
    let Tally { up, down, longest, .. } = tally;
    let rest = match tally.unknown + tally.off {
        0 => String::new(),
        rest => format!(", {rest} without a verdict"),
    };
    let shortest = milliseconds(tally.shortest.unwrap_or_default());
    let (mean, longest) = (milliseconds(tally.mean()), milliseconds(*longest));
    format!(
        "{}: {} probes, {up} up, {down} down{rest}; {shortest} to {longest} ms, on average {mean} ms\n",
        heading(chosen),
        tally.probes(),
    )
}

fn milliseconds(time: Duration) -> String {
    format!("{:.1}", time.as_secs_f64() * 1000.0)
}

struct Text(String);

impl Text {
    fn step(&mut self, at: Duration, words: &str) {
        self.0.push_str(&format!("{:>10} ms   {words}\n", milliseconds(at)));
    }

    fn more(&mut self, words: &str) {
        self.0.push_str(&format!("{MARGIN}{words}\n"));
    }

    fn event(&mut self, at: Duration, seen: &Seen, now: UnixTime) {
        match seen {
            Seen::Resolved { name, address: Some(address) } => {
                self.step(at, &format!("{} has the address {address}", plain(name)));
            }
            Seen::Resolved { name, address: None } => {
                self.step(at, &format!("{} has no address", plain(name)));
            }
            Seen::Connecting(address) => self.step(at, &format!("connect to {address}")),
            Seen::Connected { from: Some(from) } => {
                self.step(at, &format!("connected from {from}"));
            }
            Seen::Connected { from: None } => self.step(at, "connected"),
            Seen::Udp(address) => self.step(at, &format!("speak to {address} over UDP")),
            Seen::Tls(handshake) => self.handshake(at, handshake, now),
            Seen::Sent(bytes) => self.said(at, '>', bytes),
            Seen::Received(bytes) => self.said(at, '<', bytes),
            Seen::Ended => self.step(at, "the server has closed its side"),
            Seen::Searched { pattern, bytes, result } => {
                let pattern = plain(pattern);
                match result {
                    Search::Found(None) => {
                        self.step(at, &format!("pattern \"{pattern}\" found in {bytes} bytes"));
                    }
                    Search::Found(Some(place)) => {
                        let offset = place.offset;
                        let words =
                            format!("pattern \"{pattern}\" found at byte {offset} of {bytes}:");
                        self.step(at, &words);
                        self.place(place);
                    }
                    Search::NotFound(beginning) => {
                        let words = format!("pattern \"{pattern}\" not found in {bytes} bytes");
                        self.step(at, &words);
                        for line in lines(&beginning.shown, beginning.left_out) {
                            self.more(&format!("  {line}"));
                        }
                    }
                }
            }
            Seen::Ping { attempt, answered } => {
                let answer = if *answered { "answered" } else { "not answered" };
                self.step(at, &format!("ping {attempt}: {answer}"));
            }
            Seen::Command { words, user } => {
                let words: Vec<String> = words.iter().map(|word| plain(word)).collect();
                let user = user.as_ref().map(|user| format!(" as {}", plain(user)));
                self.step(at, &format!("run {}{}", words.join(" "), user.unwrap_or_default()));
            }
        }
    }

    fn said(&mut self, at: Duration, sign: char, bytes: &Bytes) {
        let lines = lines(&bytes.shown, bytes.left_out);
        for (number, line) in lines.iter().enumerate() {
            match number {
                0 => self.step(at, &format!("{sign} {line}")),
                _ => self.more(&format!("{sign} {line}")),
            }
        }
    }

    /// The match, underlined in the line that it is in.
    fn place(&mut self, place: &Place) {
        let line_before = place.before.rsplit(|&byte| byte == b'\n').next().unwrap_or_default();
        let line_after = place.after.split(|&byte| byte == b'\n').next().unwrap_or_default();
        let (before, matched) = (escape(line_before), escape(&place.matched.shown));
        let after = match place.matched.left_out {
            0 => escape(line_after),
            more => format!(" ({more} more bytes)"),
        };
        self.more(&format!("  {before}{matched}{after}"));
        let width = matched.chars().count().max(1);
        self.more(&format!("  {}{}", " ".repeat(before.chars().count()), "^".repeat(width)));
    }

    fn handshake(&mut self, at: Duration, handshake: &Handshake, now: UnixTime) {
        let result = if handshake.agreed { "TLS" } else { "TLS handshake failed:" };
        let cipher = handshake.cipher.as_deref().unwrap_or("no cipher");
        let mut words = format!("{result} {}, {}", plain(&handshake.version), plain(cipher));
        if let Some(name) = &handshake.server_name {
            words.push_str(&format!(", server name {}", plain(name)));
        }
        self.step(at, &words);
        for (number, certificate) in handshake.chain.iter().enumerate() {
            self.certificate(number, certificate, now);
        }
        let asked = plain(&handshake.asked);
        self.more(&match &handshake.distrust {
            Some((number, why)) => {
                format!("certificate {number} is not trusted: {}", plain(why))
            }
            None if handshake.asked == "no" => {
                "the certificates are not verified (checkcertificate=no)".to_owned()
            }
            None if handshake.agreed => format!("trusted (checkcertificate={asked})"),
            None if handshake.chain.is_empty() => "no certificate has come".to_owned(),
            None => "no certificate is distrusted".to_owned(),
        });
    }

    fn certificate(&mut self, number: usize, certificate: &Certificate, now: UnixTime) {
        let Certificate { subject, issuer, names, not_before, not_after } = certificate;
        self.more(&format!("certificate {number}: {}", plain(subject)));
        self.more(&format!("  issued by {}", plain(issuer)));
        if !names.is_empty() {
            let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
            self.more(&format!("  for {}", names.join(", ")));
        }
        let remark = match () {
            () if now > *not_after => ", EXPIRED",
            () if now < *not_before => ", NOT YET VALID",
            () => "",
        };
        self.more(&format!("  valid from {} to {}{remark}", day(*not_before), day(*not_after)));
    }
}

/// `2026-11-26 12:00:00 UTC`
fn day(time: UnixTime) -> String {
    let time = jiff::Timestamp::from_second(time).unwrap_or_default();
    time.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
}
