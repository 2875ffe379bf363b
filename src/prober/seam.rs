//! What director and prober say to each other, and how it lies in the socket.
//!
//! A frame is its length (four bytes, little end first) and one message in postcard's form. Both
//! sides put many checks into one message and many frames into one write.

use crate::check::CheckOutcome;
use crate::check::transcript::Transcript;
use crate::director::CheckId;
use crate::model::{CheckMethod, CheckPlan, Step};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// Bytes of a frame to the director at most.
pub const TO_DIRECTOR: usize = 512 * 1024;

/// Bytes of a frame to the prober at most: the largest `checkcafile` fits.
pub const TO_PROBER: usize = 32 << 20;

/// Plans in one message.
pub const PLANS: usize = 512;

/// Runs in one message.
pub const RUNS: usize = 4096;

/// Outcomes in one message. Each has at most one text of a few kilobytes.
pub const ANSWERS: usize = 64;

/// One run of a check.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Run {
    /// The check.
    pub check: CheckId,
    /// The part of it that is due.
    pub step: Step,
    /// The caller's own number, which comes back with the outcome.
    pub run: u64,
}

/// What some checks need and others do not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rights {
    /// To ping.
    pub pings: bool,
    /// To mark packets and to choose the port that they leave from, for `checkpath=service`.
    pub marks: bool,
}

impl Rights {
    /// For all of these.
    pub fn of<'a>(plans: impl IntoIterator<Item = &'a Arc<CheckPlan>>) -> Self {
        let mut rights = Self::default();
        for plan in plans {
            rights.pings |= matches!(plan.method, CheckMethod::Ping { .. });
            rights.marks |= plan.way.path.is_some();
        }
        rights
    }

    /// Whether they are enough for this check.
    pub fn allow(self, plan: &CheckPlan) -> bool {
        (self.pings || !matches!(plan.method, CheckMethod::Ping { .. }))
            && (self.marks || plan.way.path.is_none())
    }
}

/// To the prober.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub enum Order {
    /// The first message: what the walls have to allow.
    Begin {
        /// What checks may come.
        rights: Rights,
        /// The most verbose level that is wanted of its log, as a number of [`log::LevelFilter`].
        verbosity: usize,
    },
    /// Plans of checks, each before its first run.
    Plans(Vec<(CheckId, Arc<CheckPlan>)>),
    /// Checks that will not be run again.
    Forget(Vec<CheckId>),
    /// What a `checkcafile` holds, or why it cannot be read. The prober reads none itself.
    Certificates(PathBuf, Result<Vec<u8>, String>),
    /// Checks to be run now.
    Run(Vec<Run>),
    /// The same, each with a [`Word::Transcript`] before its outcome.
    Transcribe(Vec<Run>),
    /// Wants [`Word::Alive`] with this number.
    Alive(u64),
}

/// To the director.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Word {
    /// The walls stand; the next thing is a check.
    Ready(Walls),
    /// What checks have found.
    Outcomes(Vec<Answer>),
    /// The answer to [`Order::Alive`].
    Alive {
        /// Its number.
        number: u64,
        /// Checks that wait for a free thread.
        waiting: u64,
    },
    /// A line for the log.
    Line {
        /// As a number of [`log::Level`].
        level: usize,
        /// What it says.
        text: String,
    },
    /// How a check went that was to be transcribed.
    Transcript(Run, Transcript),
}

/// An outcome on its way.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// Which check, which step, whose number.
    pub run: Run,
    /// What it found.
    pub outcome: CheckOutcome,
    /// How long it took.
    pub micros: u64,
}

/// The walls around a prober.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Walls {
    /// The user that it runs as.
    pub user: u32,
    /// Whether Landlock keeps it from files; false on kernels without it.
    pub landlock: bool,
    /// Whether seccomp keeps it from system calls; false on kernels without it.
    pub seccomp: bool,
    /// Whether it has CAP_NET_RAW, for ping and marks.
    pub net_raw: bool,
    /// What could not be had, one phrase each.
    pub missing: Vec<String>,
}

/// Why the other side cannot be believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nonsense {
    /// A frame of this many bytes.
    TooLong(usize),
    /// A frame that is no message.
    Garbled,
    /// An outcome of a run that was not asked for, or twice.
    Unasked(Run),
    /// A message that was not due.
    Unexpected(&'static str),
    /// More lines for the log than anybody reads.
    Chatter,
}

impl fmt::Display for Nonsense {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong(bytes) => write!(f, "it sent a message of {bytes} bytes"),
            Self::Garbled => f.write_str("it sent something that is no message"),
            Self::Unasked(run) => {
                write!(
                    f,
                    "it answered run {} of check {}, which nobody asked",
                    run.run, run.check.0
                )
            }
            Self::Unexpected(what) => write!(f, "it sent {what} that was not due"),
            Self::Chatter => f.write_str("it sent too many lines for the log"),
        }
    }
}

/// Appends a frame.
///
/// # Errors
/// When the message is longer than the other side takes; then nothing is appended.
pub fn put(message: &impl Serialize, limit: usize, frames: &mut Vec<u8>) -> Result<(), Nonsense> {
    let begin = frames.len();
    frames.extend_from_slice(&[0; 4]);
    let body = begin + 4;
    let length = match postcard::to_io(message, &mut *frames) {
        Ok(frames) => frames.len() - body,
        Err(_) => {
            frames.truncate(begin);
            return Err(Nonsense::Garbled);
        }
    };
    match u32::try_from(length) {
        Ok(number) if length <= limit => {
            frames[begin..body].copy_from_slice(&number.to_le_bytes());
            Ok(())
        }
        _ => {
            frames.truncate(begin);
            Err(Nonsense::TooLong(length))
        }
    }
}

/// Bytes as they come, messages as they are complete.
#[derive(Debug)]
pub struct Inbox {
    bytes: Vec<u8>,
    /// How many of them have been taken.
    taken: usize,
    limit: usize,
}

impl Inbox {
    /// For frames of at most `limit` bytes.
    pub fn new(limit: usize) -> Self {
        Self { bytes: Vec::new(), taken: 0, limit }
    }

    /// Takes in what was read. Never holds more than one frame and what came in one call, if
    /// [`Inbox::take`] is asked until it has no more.
    pub fn push(&mut self, bytes: &[u8]) {
        self.bytes.drain(..self.taken);
        self.taken = 0;
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message; `None` until it is complete.
    ///
    /// # Errors
    /// When it is too long or no message. What follows cannot be read.
    pub fn take<T: DeserializeOwned>(&mut self) -> Result<Option<T>, Nonsense> {
        let rest = &self.bytes[self.taken..];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_le_bytes(*length) as usize;
        if length > self.limit {
            return Err(Nonsense::TooLong(length));
        }
        let Some(frame) = rest.get(..length) else { return Ok(None) };
        match postcard::take_from_bytes(frame) {
            Ok((message, [])) => {
                self.taken += 4 + length;
                Ok(Some(message))
            }
            Ok(_) | Err(_) => Err(Nonsense::Garbled),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::tests::exchange;
    use crate::model::{Pattern, Service, Way};
    use std::time::Duration;

    #[test]
    fn a_plan_arrives_as_it_was_sent_however_it_is_cut() {
        let mut exchange = exchange(Service::Https);
        exchange.receive = Pattern::new("a{,2}(b").ok().or(Pattern::new("^OK ä").ok());
        exchange.ca_file = Some("/etc/ssl/ours.pem".into());
        let plan = Arc::new(CheckPlan {
            address: "2001:db8::1".parse().expect("an address"),
            port: 443,
            check_timeout: Duration::from_millis(1500),
            negotiate_timeout: Duration::MAX,
            way: Way::default(),
            agent: None,
            method: CheckMethod::Combined {
                connects: 7,
                transport: crate::model::Transport::Udp,
                exchange: Arc::new(exchange),
            },
        });
        let mut frames = Vec::new();
        let sent = Order::Plans(vec![(CheckId(7), plan.clone()), (CheckId(8), plan.clone())]);
        put(&sent, TO_PROBER, &mut frames).expect("it fits");
        put(&Order::Alive(3), TO_PROBER, &mut frames).expect("it fits");
        let mut inbox = Inbox::new(TO_PROBER);
        let mut heard = Vec::new();
        for byte in frames {
            inbox.push(&[byte]);
            heard.extend(inbox.take::<Order>().expect("no nonsense"));
        }
        let [Order::Plans(plans), Order::Alive(3)] = heard.as_slice() else { panic!("{heard:?}") };
        assert_eq!(plans, &[(CheckId(7), plan.clone()), (CheckId(8), plan)]);
    }

    #[test]
    fn frames_that_are_too_long_or_no_message_are_refused() {
        let mut long = Inbox::new(100);
        long.push(&101_u32.to_le_bytes());
        assert_eq!(long.take::<Word>(), Err(Nonsense::TooLong(101)));
        let mut garbage = Inbox::new(100);
        garbage.push(&[3, 0, 0, 0, 0xff, 0xff, 0xff]);
        assert_eq!(garbage.take::<Word>(), Err(Nonsense::Garbled));
        let mut trailing = Vec::new();
        let alive = Word::Alive { number: 1, waiting: 0 };
        put(&alive, TO_DIRECTOR, &mut trailing).expect("it fits");
        trailing[0] += 1;
        trailing.push(0);
        let mut inbox = Inbox::new(TO_DIRECTOR);
        inbox.push(&trailing);
        assert_eq!(inbox.take::<Word>(), Err(Nonsense::Garbled));
        // A count of outcomes that no frame can hold must not be believed when memory is taken.
        let mut vast = Inbox::new(TO_DIRECTOR);
        vast.push(&[11, 0, 0, 0, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1]);
        assert_eq!(vast.take::<Word>(), Err(Nonsense::Garbled));
    }

    #[test]
    fn a_message_that_does_not_fit_is_not_sent_by_halves() {
        let mut frames = vec![1, 2, 3];
        let line = Word::Line { level: 1, text: "x".repeat(100) };
        assert!(matches!(put(&line, 50, &mut frames), Err(Nonsense::TooLong(_))));
        assert_eq!(frames, [1, 2, 3]);
    }
}
