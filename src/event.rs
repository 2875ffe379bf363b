//! What has happened, as plain data: the stream that `ldirectord events` shows and that programs read.

use serde::{Deserialize, Serialize};
use std::collections::VecDeque;
use std::fmt;

/// Events that a daemon keeps.
pub const KEPT: usize = 10_000;

/// An event with its number and time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Counts from 1 in each process of the daemon.
    pub seq: u64,
    /// Milliseconds since 1970-01-01 00:00:00 UTC.
    pub time_ms: u64,
    /// What has happened.
    #[serde(flatten)]
    pub what: What,
}

/// What has happened. Services are named as in `status --json` with their protocol
/// (`tcp:10.0.0.1:80`), servers by their configured address.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum What {
    /// The daemon watches; `cause` says how it came about.
    Started {
        /// In a few words.
        cause: String,
    },
    /// The daemon stops or hands over.
    Ending {
        /// In a few words.
        cause: String,
    },
    /// A real server's health has changed.
    Transition {
        /// The virtual service.
        service: String,
        /// The real server.
        server: String,
        /// `unknown`, `adopted`, `up`, `down`, `maintenance`.
        from: String,
        /// The same words.
        to: String,
        /// Why, with the check and its duration if it was one.
        cause: String,
    },
    /// A check has failed that does not yet make the server down.
    SoftFailure {
        /// The virtual service.
        service: String,
        /// The real server.
        server: String,
        /// Failures in a row.
        failures: u32,
        /// `failurecount`.
        limit: u32,
    },
    /// The table has been changed.
    Table {
        /// The virtual service.
        service: String,
        /// The line of the log.
        text: String,
    },
    /// The table has refused a change; it is tried again.
    TableRefused {
        /// The virtual service.
        service: String,
        /// The operation and its cause.
        text: String,
    },
    /// What the table refused before is as wanted again.
    TableRecovered {
        /// The virtual service.
        service: String,
    },
    /// A run of `fallbackcommand` has ended.
    Hook {
        /// The virtual service.
        service: String,
        /// `start` or `stop`.
        argument: String,
        /// Whether it ended with status 0.
        succeeded: bool,
        /// How it ended.
        result: String,
        /// How long it took.
        duration_ms: u64,
        /// Which attempt it was, from 1.
        attempt: u32,
    },
    /// The configuration has been read again.
    Reload {
        /// Whether it is in force.
        accepted: bool,
        /// What has changed, or why it is refused.
        text: String,
    },
    /// An operator's command, or the end of one that was said for a time.
    Operator {
        /// In a line.
        text: String,
    },
    /// A fault of the program itself, or of the machine.
    Fault {
        /// In a line.
        text: String,
    },
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Started { cause } => write!(f, "started: {cause}"),
            Self::Ending { cause } => write!(f, "ending: {cause}"),
            Self::Transition { service, server, from, to, cause } => {
                write!(f, "{server} of {service}: {from} -> {to}: {cause}")
            }
            Self::SoftFailure { service, server, failures, limit } => {
                write!(f, "{server} of {service}: failure {failures} of {limit}")
            }
            Self::Table { text, .. } => write!(f, "table: {text}"),
            Self::TableRefused { service, text } => write!(f, "table refused: {text} ({service})"),
            Self::TableRecovered { service } => write!(f, "table as wanted again: {service}"),
            Self::Hook { service, argument, result, duration_ms, attempt, .. } => {
                write!(f, "fallbackcommand {argument} of {service}: {result}, {duration_ms} ms")?;
                if *attempt > 1 { write!(f, ", attempt {attempt}") } else { Ok(()) }
            }
            Self::Reload { accepted: true, text } => f.write_str(text),
            Self::Reload { accepted: false, text } => write!(f, "reload refused: {text}"),
            Self::Operator { text } => f.write_str(text),
            Self::Fault { text } => write!(f, "FAULT {text}"),
        }
    }
}

/// The last [`KEPT`] events.
#[derive(Debug, Default)]
pub struct EventLog {
    events: VecDeque<Event>,
    last: u64,
}

impl EventLog {
    /// Adds one.
    pub fn push(&mut self, what: What, time_ms: u64) {
        self.last += 1;
        if self.events.len() == KEPT {
            self.events.pop_front();
        }
        self.events.push_back(Event { seq: self.last, time_ms, what });
    }

    /// The events after this number, which came at or after this time, oldest first. A number that
    /// has not been given yet was of an earlier process: then all count.
    pub fn after(&self, seq: u64, time_ms: u64) -> impl Iterator<Item = &Event> {
        let seq = if seq > self.last { 0 } else { seq };
        self.events.iter().filter(move |event| event.seq > seq && event.time_ms >= time_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(number: u64) -> What {
        What::Fault { text: number.to_string() }
    }

    #[test]
    fn the_last_ones_are_kept_and_given_by_number_and_time() {
        let mut log = EventLog::default();
        let count = KEPT as u64 + 5;
        (1..=count).for_each(|number| log.push(fault(number), 10 * number));
        assert_eq!(log.after(0, 0).count(), KEPT);
        assert_eq!(log.after(0, 0).next().map(|event| event.seq), Some(6));
        let seqs = |seq, time| log.after(seq, time).map(|event| event.seq).collect::<Vec<_>>();
        assert_eq!(seqs(count - 2, 0), [count - 1, count]);
        assert_eq!(seqs(0, 10 * count), [count]);
        assert_eq!(seqs(count, 0), [0; 0]);
        assert_eq!(seqs(count + 1, 0).len(), KEPT, "another process has given that number");
    }

    #[test]
    fn an_event_is_one_flat_object() {
        let what = What::SoftFailure {
            service: "tcp:10.0.0.1:80".into(),
            server: "10.0.0.2:80".into(),
            failures: 1,
            limit: 3,
        };
        let event = Event { seq: 7, time_ms: 1000, what };
        let json = serde_json::to_string(&event).unwrap();
        let expected = "{\"seq\":7,\"time_ms\":1000,\"event\":\"soft_failure\",\
            \"service\":\"tcp:10.0.0.1:80\",\"server\":\"10.0.0.2:80\",\"failures\":1,\"limit\":3}";
        assert_eq!(json, expected);
        assert_eq!(serde_json::from_str::<Event>(&json).unwrap(), event);
    }
}
