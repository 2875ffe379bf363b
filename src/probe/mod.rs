//! The command `probe`: checks real servers now and shows how it went.
//!
//! Nothing is asked of a daemon, and nothing is changed. The checks are those of the configuration, run by
//! the same code in the same prober behind the same walls as a daemon's ([`Transcriber`]), which sends
//! back what it did and heard; this process, which may be root's, only shows it.

mod choose;
mod escape;
mod json;
mod request;
mod text;
mod verdict;

pub use request::{Form, Request, command};

use crate::check::{CheckOutcome, Failure};
use crate::cli::{ExitStatus, Target};
use crate::dataplane::{Kernel, Paths, obstacle};
use crate::model::{CheckPlan, Model};
use crate::prober::{ProberOptions, Transcribed, Transcriber};
use crate::status::UnixTime;
use choose::{Chosen, choose, look_up};
use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::thread;
use std::time::{Instant, SystemTime};
use verdict::{Tally, Verdict};

/// Probes what is asked for, and tells on standard output.
///
/// [`ExitStatus::Failure`] if a server was down, [`ExitStatus::Configuration`] if nothing could be
/// probed.
pub fn run(request: &Request, target: &Target, model: &Model) -> ExitStatus {
    let chosen = match choose(model, request, look_up) {
        Ok(chosen) => chosen,
        Err(error) => {
            let config = target.config.display();
            return complain(&format!("probe: {error} ({config})"));
        }
    };
    if request.form == Form::List {
        return match list(&chosen) {
            Ok(()) => ExitStatus::Success,
            Err(_) => ExitStatus::Failure,
        };
    }
    if let Err(error) = look_for_paths(&chosen) {
        return complain(&format!("probe: {error}"));
    }
    let plans = chosen.iter().map(|chosen| Arc::clone(&chosen.plan)).collect();
    let options = ProberOptions::new(&format!("probe {}", target.instance));
    let transcriber = match Transcriber::start(options, plans) {
        Ok(transcriber) => transcriber,
        Err(error) => return complain(&format!("probe: cannot start a thread: {error}")),
    };
    let tallies = vec![Tally::default(); chosen.len()];
    let mut told = Told { chosen: &chosen, form: request.form, tallies };
    match rounds(request, &transcriber, &mut told) {
        Ok(()) => told.status(),
        // Whoever closed it (`| head`) has read enough.
        Err(_) => ExitStatus::Failure,
    }
}

/// A check through a service has its path from the daemon.
fn look_for_paths(chosen: &[Chosen]) -> Result<(), String> {
    let paths: Vec<_> = chosen.iter().filter_map(|it| it.plan.way.path.as_ref()).collect();
    if paths.is_empty() {
        return Ok(());
    }
    let mut table = Kernel::open().map_err(|error| format!("checkpath=service: {error}"))?;
    let missing = Paths::first_missing(&mut table, paths).map_err(|error| error.to_string())?;
    match missing {
        None => Ok(()),
        Some(path) => Err(format!(
            "{} is checked through {}, and ip_vs does not have the path: is the daemon running?",
            path.server, path.address
        )),
    }
}

/// An outcome, unless it is no verdict: no answer could have come back.
fn judged(plan: &CheckPlan, outcome: &CheckOutcome) -> CheckOutcome {
    match (outcome, &plan.way.path) {
        (CheckOutcome::Down(_), Some(path)) => obstacle(path)
            .map_or_else(|| outcome.clone(), |why| CheckOutcome::Down(Failure::Local(why))),
        _ => outcome.clone(),
    }
}

fn complain(message: &str) -> ExitStatus {
    // There is nobody to tell that nobody listens.
    let _ = writeln!(io::stderr(), "{message}");
    ExitStatus::Configuration
}

/// One line for each server and service: what can be asked for.
fn list(chosen: &[Chosen]) -> io::Result<()> {
    let mut text = String::new();
    for chosen in chosen {
        for service in &chosen.services {
            text.push_str(&format!("{} {}\n", chosen.server, service.id()));
        }
    }
    io::stdout().write_all(text.as_bytes())
}

fn rounds(request: &Request, transcriber: &Transcriber, told: &mut Told<'_>) -> io::Result<()> {
    let mut round = 0;
    loop {
        let begun = Instant::now();
        round += 1;
        let many = request.count != Some(1);
        one_round(transcriber, told, round, many)?;
        if request.count.is_some_and(|count| round >= count) {
            return if many { told.sum_up() } else { Ok(()) };
        }
        thread::sleep(request.interval.saturating_sub(begun.elapsed()));
    }
}

/// Tells of each in the configuration's order, as soon as all before it have been told of.
fn one_round(
    transcriber: &Transcriber,
    told: &mut Told<'_>,
    round: u64,
    many: bool,
) -> io::Result<()> {
    let transcribed = transcriber.round();
    let mut early: HashMap<usize, Transcribed> = HashMap::new();
    for place in 0..told.chosen.len() {
        told.begin(place, round, many)?;
        while !early.contains_key(&place) {
            let next = transcribed.recv().map_err(io::Error::other)?;
            early.insert(next.plan, next);
        }
        if let Some(transcribed) = early.remove(&place) {
            told.tell(place, round, &transcribed)?;
        }
    }
    Ok(())
}

/// What has been told.
struct Told<'a> {
    chosen: &'a [Chosen],
    form: Form,
    /// In the order of `chosen`.
    tallies: Vec<Tally>,
}

impl Told<'_> {
    fn begin(&self, place: usize, round: u64, many: bool) -> io::Result<()> {
        if self.form == Form::Json {
            return Ok(());
        }
        let heading = text::heading(&self.chosen[place]);
        let blank = if place == 0 && round == 1 { "" } else { "\n" };
        let round = if many { format!(", probe {round}") } else { String::new() };
        say(&format!("{blank}{heading}{round}\n"))
    }

    fn tell(&mut self, place: usize, round: u64, transcribed: &Transcribed) -> io::Result<()> {
        let Transcribed { outcome, duration, transcript, .. } = transcribed;
        let chosen = &self.chosen[place];
        let now = unix_now();
        let outcome = judged(&chosen.plan, outcome);
        let verdict = Verdict::new(&chosen.plan, chosen.failure_count, &outcome, *duration, now);
        let text = match self.form {
            Form::Json => json::render(chosen, round, &verdict, transcript),
            Form::Text | Form::List => text::render(&verdict, transcript, now),
        };
        self.tallies[place].count(&verdict);
        say(&text)
    }

    /// After several rounds.
    fn sum_up(&self) -> io::Result<()> {
        if self.form == Form::Json {
            return Ok(());
        }
        let lines = self.chosen.iter().zip(&self.tallies);
        let lines = lines.map(|(chosen, tally)| text::summary(chosen, tally));
        say(&format!("\n{}", lines.collect::<String>()))
    }

    fn status(&self) -> ExitStatus {
        let any = |of: fn(&Tally) -> u64| self.tallies.iter().any(|tally| of(tally) > 0);
        if any(|tally| tally.down) {
            ExitStatus::Failure
        } else if any(|tally| tally.unknown) || !any(|tally| tally.up) {
            ExitStatus::Configuration
        } else {
            ExitStatus::Success
        }
    }
}

fn say(text: &str) -> io::Result<()> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn unix_now() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::transcript::{
        Bytes, Certificate, Event, Handshake, Place, Search, Seen, Transcript,
    };
    use crate::model::CheckMethod;
    use std::time::Duration;

    /// Everything that a prober can say, each text of it this one.
    fn transcript(evil: &str) -> Transcript {
        let text = || evil.to_owned();
        let bytes = || Bytes { shown: evil.as_bytes().to_vec(), left_out: 7 };
        let certificate = Certificate {
            subject: text(),
            issuer: text(),
            names: vec![text()],
            not_before: i64::MIN,
            not_after: i64::MAX,
        };
        let handshake = |agreed, distrust| {
            Seen::Tls(Box::new(Handshake {
                server_name: Some(text()),
                version: text(),
                cipher: Some(text()),
                asked: text(),
                chain: vec![certificate.clone()],
                agreed,
                distrust,
            }))
        };
        let searched = |result| Seen::Searched { pattern: text(), bytes: u64::MAX, result };
        let place = Place {
            offset: u64::MAX,
            before: evil.as_bytes().to_vec(),
            matched: bytes(),
            after: evil.as_bytes().to_vec(),
        };
        let server = "[fd00::2]:80".parse().expect("an address");
        let seen = [
            Seen::Resolved { name: text(), address: None },
            Seen::Connecting(server),
            Seen::Connected { from: None },
            Seen::Udp(server),
            handshake(true, None),
            handshake(false, Some((u32::MAX, text()))),
            Seen::Sent(bytes()),
            Seen::Received(bytes()),
            Seen::Ended,
            searched(Search::Found(Some(place))),
            searched(Search::Found(None)),
            searched(Search::NotFound(bytes())),
            Seen::Ping { attempt: u32::MAX, answered: false },
            Seen::Command { words: vec![text()], user: Some(text()) },
        ];
        let events = seen.into_iter().map(|seen| Event { at: u64::MAX, seen }).collect();
        Transcript { events, left_out: u64::MAX }
    }

    #[test]
    fn whatever_a_prober_says_plays_no_tricks_on_the_terminal() {
        let evil = "\x1b]0;x\x07\r\u{9b}2J\u{202e}\u{2028}\0";
        let server = "[fd00::2]:80".parse().expect("an address");
        let plan = Arc::new(CheckPlan {
            check_timeout: Duration::ZERO,
            negotiate_timeout: Duration::ZERO,
            ..CheckPlan::new((std::net::Ipv6Addr::LOCALHOST, 80).into(), CheckMethod::Connect)
        });
        let chosen = Chosen {
            server,
            name: Some(evil.to_owned()),
            services: Vec::new(),
            plan: Arc::clone(&plan),
            failure_count: 1,
        };
        for outcome in [
            CheckOutcome::up_with(evil),
            CheckOutcome::Down(Failure::Io(evil.to_owned())),
            CheckOutcome::Down(Failure::Local(evil.to_owned())),
        ] {
            let verdict = Verdict::new(&plan, 1, &outcome, Duration::MAX, UnixTime::MAX);
            let mut tally = Tally::default();
            tally.count(&verdict);
            for shown in [
                text::heading(&chosen),
                text::render(&verdict, &transcript(evil), 0),
                text::summary(&chosen, &tally),
                json::render(&chosen, 1, &verdict, &transcript(evil)),
            ] {
                let tricks = |c: char| c.is_control() && c != '\n';
                assert!(!shown.contains(tricks), "{shown:?}");
                assert!(!shown.contains(['\u{202e}', '\u{2028}']), "{shown:?}");
            }
        }
    }
}
