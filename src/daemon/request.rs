//! The language of the control socket: one line a request. ldirectord-control(7) describes it.

use crate::director::Override;
use crate::runtime::Change;
use std::fmt::Write;
use std::time::Duration;

/// Bytes of a request, its newline included.
pub const LONGEST: usize = 1024;

/// How long a client waits for its answer, others before it included.
const PATIENCE: Duration = Duration::from_secs(15);

/// The same where names are looked up before the answer, or hooks may end.
const LONG_PATIENCE: Duration = Duration::from_secs(60);

/// A request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// `status`: a [`StatusReport`](crate::status::StatusReport) as JSON.
    Status,
    /// `metrics`: a [`MetricsReport`](crate::metrics::MetricsReport) as JSON.
    Metrics,
    /// `listing`: the table in the form of `ipvsadm -Ln`.
    Listing,
    /// `serving`: the services that the daemon stands for, one a line.
    Serving,
    /// `handover`: whether the daemon ends and leaves the table to the next one, as it is then about to.
    HandOver,
    /// `events [after=NUMBER] [since=MILLISECONDS]`: what has happened, one JSON object a line.
    Events {
        /// Events with a higher number only.
        after: u64,
        /// Events of this time (since the epoch) or later only.
        since_ms: u64,
    },
    /// `plan`: what a reload would do, as JSON.
    Plan,
    /// `reload [confirm=SECONDS]`: reads the configuration again.
    Reload {
        /// The one before comes back after this time unless it is confirmed.
        confirm: Option<Duration>,
    },
    /// `confirm`: a reload that waits for it stays in force.
    Confirm,
    /// `drain`, `disable`, `enable TARGET …`, `weight TARGET NUMBER …`, with
    /// `[of=SERVICE] [for=SECONDS] [force] [reason=TEXT]`.
    Operate(Operate),
    /// `fail`: a fault of the program, for tests of what follows.
    #[cfg(debug_assertions)]
    Fail,
}

/// An operator's command about real servers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operate {
    /// What shall become of them.
    pub change: Change,
    /// A real server or a virtual service.
    pub target: String,
    /// Only in this virtual service.
    pub service: Option<String>,
    /// Until it ends by itself.
    pub length: Option<Duration>,
    /// Whether a service may be left without any server.
    pub force: bool,
    /// Why.
    pub reason: String,
}

impl Request {
    /// Reads a line without its newline.
    ///
    /// # Errors
    /// What is wrong with it, in one line.
    pub fn parse(line: &str) -> Result<Self, String> {
        let line = line.trim_end();
        let (verb, rest) = line.split_once(' ').unwrap_or((line, ""));
        let request = match verb {
            "status" => Self::Status,
            "metrics" => Self::Metrics,
            "listing" => Self::Listing,
            "serving" => Self::Serving,
            "handover" => Self::HandOver,
            "plan" => Self::Plan,
            "confirm" => Self::Confirm,
            #[cfg(debug_assertions)]
            "fail" => Self::Fail,
            "events" => {
                let (mut after, mut since_ms) = (0, 0);
                for word in rest.split_ascii_whitespace() {
                    match word.split_once('=') {
                        Some(("after", number)) => after = whole(verb, word, number)?,
                        Some(("since", number)) => since_ms = whole(verb, word, number)?,
                        _ => return Err(unknown_word(verb, word)),
                    }
                }
                return Ok(Self::Events { after, since_ms });
            }
            "reload" => {
                let mut confirm = None;
                for word in rest.split_ascii_whitespace() {
                    match word.split_once('=') {
                        Some(("confirm", number)) => {
                            confirm = Some(Duration::from_secs(whole(verb, word, number)?));
                        }
                        _ => return Err(unknown_word(verb, word)),
                    }
                }
                return Ok(Self::Reload { confirm });
            }
            "drain" => return operate(verb, Change::Set(Override::Drain), rest),
            "disable" => return operate(verb, Change::Set(Override::Disable), rest),
            "enable" => return operate(verb, Change::Enable, rest),
            "weight" => return operate(verb, Change::Set(Override::Weight(0)), rest),
            _ => return Err("unknown request".to_owned()),
        };
        match rest.split_ascii_whitespace().next() {
            None => Ok(request),
            Some(word) => Err(unknown_word(verb, word)),
        }
    }

    /// The line, with its newline.
    pub fn line(&self) -> String {
        let mut line = match self {
            Self::Status => "status".to_owned(),
            Self::Metrics => "metrics".to_owned(),
            Self::Listing => "listing".to_owned(),
            Self::Serving => "serving".to_owned(),
            Self::HandOver => "handover".to_owned(),
            Self::Events { after, since_ms } => format!("events after={after} since={since_ms}"),
            Self::Plan => "plan".to_owned(),
            Self::Reload { confirm: None } => "reload".to_owned(),
            Self::Reload { confirm: Some(time) } => format!("reload confirm={}", time.as_secs()),
            Self::Confirm => "confirm".to_owned(),
            Self::Operate(operate) => operate.line(),
            #[cfg(debug_assertions)]
            Self::Fail => "fail".to_owned(),
        };
        line.push('\n');
        line
    }

    /// Whether it changes anything: who may only read may not ask so.
    pub fn changes(&self) -> bool {
        match self {
            Self::Status
            | Self::Metrics
            | Self::Listing
            | Self::Serving
            | Self::Events { .. }
            | Self::Plan => false,
            Self::HandOver | Self::Reload { .. } | Self::Confirm | Self::Operate(_) => true,
            #[cfg(debug_assertions)]
            Self::Fail => true,
        }
    }

    /// How long a client waits for the answer.
    pub fn patience(&self) -> Duration {
        match self {
            Self::HandOver | Self::Plan | Self::Reload { .. } => LONG_PATIENCE,
            _ => PATIENCE,
        }
    }
}

impl Operate {
    fn line(&self) -> String {
        let (verb, weight) = match self.change {
            Change::Set(Override::Drain) => ("drain", None),
            Change::Set(Override::Disable) => ("disable", None),
            Change::Set(Override::Weight(weight)) => ("weight", Some(weight)),
            Change::Enable => ("enable", None),
        };
        let mut line = format!("{verb} {}", one_word(&self.target));
        // Writing to a string does not fail.
        if let Some(weight) = weight {
            let _ = write!(line, " {weight}");
        }
        if let Some(service) = &self.service {
            let _ = write!(line, " of={}", one_word(service));
        }
        if let Some(length) = self.length {
            let _ = write!(line, " for={}", length.as_secs());
        }
        if self.force {
            line.push_str(" force");
        }
        if !self.reason.is_empty() {
            let _ = write!(line, " reason={}", printable(&self.reason));
        }
        line
    }
}

fn operate(verb: &str, change: Change, rest: &str) -> Result<Request, String> {
    // The reason may have any words.
    let (words, reason) = match rest.split_once("reason=") {
        Some((words, reason)) if words.is_empty() || words.ends_with(' ') => (words, reason),
        _ => (rest, ""),
    };
    let mut words = words.split_ascii_whitespace();
    let target = words.next().ok_or_else(|| format!("{verb}: which real server?"))?.to_owned();
    let change = match change {
        Change::Set(Override::Weight(_)) => {
            let word = words.next().ok_or_else(|| format!("{verb}: which weight?"))?;
            let weight = word.parse().map_err(|_| format!("{verb}: {word} is no weight"))?;
            Change::Set(Override::Weight(weight))
        }
        change => change,
    };
    let (mut service, mut length, mut force) = (None, None, false);
    for word in words {
        match word.split_once('=') {
            Some(("of", name)) => service = Some(name.to_owned()),
            Some(("for", number)) => {
                length = Some(Duration::from_secs(whole(verb, word, number)?));
            }
            None if word == "force" => force = true,
            _ => return Err(unknown_word(verb, word)),
        }
    }
    let reason = printable(reason.trim());
    Ok(Request::Operate(Operate { change, target, service, length, force, reason }))
}

fn whole(verb: &str, word: &str, number: &str) -> Result<u64, String> {
    number.parse().map_err(|_| format!("{verb}: no whole number: {}", printable(word)))
}

fn unknown_word(verb: &str, word: &str) -> String {
    format!("{verb}: unknown word: {}", printable(word))
}

/// What a person says must not end the line, nor play tricks on a terminal.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

/// No address or name has a blank.
fn one_word(text: &str) -> String {
    text.chars().filter(|c| !c.is_whitespace() && !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_request_is_read_as_it_was_written() {
        let operate = Operate {
            change: Change::Set(Override::Drain),
            target: "[fd00::2]:80".into(),
            service: Some("tcp:[fd00::1]:80".into()),
            length: Some(Duration::from_secs(1800)),
            force: true,
            reason: "new disks, for=1 of=them".into(),
        };
        let plain = Operate {
            change: Change::Enable,
            target: "10.0.0.2".into(),
            service: None,
            length: None,
            force: false,
            reason: String::new(),
        };
        let weight = Operate { change: Change::Set(Override::Weight(7)), ..plain.clone() };
        for request in [
            Request::Status,
            Request::Metrics,
            Request::Listing,
            Request::Serving,
            Request::HandOver,
            Request::Plan,
            Request::Confirm,
            Request::Reload { confirm: None },
            Request::Reload { confirm: Some(Duration::from_secs(60)) },
            Request::Events { after: 3, since_ms: 4 },
            Request::Operate(operate),
            Request::Operate(plain),
            Request::Operate(weight),
        ] {
            let line = request.line();
            assert_eq!(line.matches('\n').count(), 1);
            assert_eq!(Request::parse(line.trim_end()).as_ref(), Ok(&request), "{line}");
        }
        assert_eq!(Request::parse("events"), Ok(Request::Events { after: 0, since_ms: 0 }));
    }

    #[test]
    fn what_is_not_understood_is_refused_in_one_line() {
        for (line, words) in [
            ("", "unknown request"),
            ("stop", "unknown request"),
            ("STATUS", "unknown request"),
            ("status now", "status: unknown word: now"),
            ("events after=x", "events: no whole number: after=x"),
            ("events follow", "events: unknown word: follow"),
            ("drain", "drain: which real server?"),
            ("drain 10.0.0.2 for=-1", "drain: no whole number: for=-1"),
            ("drain 10.0.0.2 until=noon", "drain: unknown word: until=noon"),
            ("weight 10.0.0.2", "weight: which weight?"),
            ("weight 10.0.0.2 much", "weight: much is no weight"),
            ("reload confirm=1m", "reload: no whole number: confirm=1m"),
        ] {
            assert_eq!(Request::parse(line), Err(words.to_owned()), "{line}");
        }
    }

    #[test]
    fn a_reason_cannot_add_a_line_to_the_log() {
        let parsed = Request::parse("drain 10.0.0.2 reason=disks\u{1b}[2J\rroot: all is well");
        let Ok(Request::Operate(operate)) = parsed else { panic!("{parsed:?}") };
        assert_eq!(operate.reason, "disks [2J root: all is well");
    }
}
