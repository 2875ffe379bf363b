//! The prober: a process of its own for everything that a checked server can say.
//!
//! ```text
//!  director (root)                                 prober (user ldirectord, behind walls)
//!
//!  keeper ── link ──▶ plans once, numbers to run ──▶ serve ── work ── dialer, pool ── check
//!    │        ▲                                                            │
//!    │      belief ◀──────── outcomes, bounded ◀──────────── outbox ◀──────┘
//!    └─ here: external checks
//! ```
//!
//! For the command `probe` there is no keeper: `transcriber` has one prober tell, beside the outcomes, how
//! each check went.
//!
//! The prober is the same program, executed anew, with one socket to the director. Whoever overruns
//! it can give wrong verdicts about the servers that are checked, and no more: it is no root, it may
//! read no file but what names and certificates are looked up in, write none, run nothing, and the
//! director believes nothing it did not ask for. When it dies, no verdict changes: another one runs
//! what is unanswered.

#[cfg(debug_assertions)]
mod attempts;
pub mod belief;
mod certificates;
mod dialer;
mod here;
mod jobs;
mod keeper;
mod link;
mod outbox;
mod pauses;
mod pool;
pub mod seam;
mod serve;
mod transcriber;
mod walls;
mod work;

pub use keeper::Prober;
pub use seam::{Run, Walls};
pub use serve::{ARGUMENT, serve};
pub use transcriber::{Transcribed, Transcriber};

pub(crate) use pool::MAX_WORKERS;
pub(crate) use work::pending_connects;

use crate::director::Checked;
use std::path::PathBuf;
use std::time::Duration;

/// How a prober is to be kept.
#[derive(Debug, Clone)]
pub struct ProberOptions {
    /// The program, which is called with [`ARGUMENT`].
    pub program: PathBuf,
    /// The instance's name, for `ps`.
    pub instance: String,
    /// How long it may say nothing when it is asked whether it lives.
    pub patience: Duration,
}

impl ProberOptions {
    /// This very program, also after another one was installed in its place: it speaks the same
    /// language.
    pub fn new(instance: &str) -> Self {
        Self {
            program: PathBuf::from("/proc/self/exe"),
            instance: instance.to_owned(),
            patience: Duration::from_secs(20),
        }
    }
}

/// What has become of runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Report {
    /// They have outcomes.
    Outcomes(Vec<Checked>),
    /// The prober that was to run them is no more: they are to be run again.
    Lost(Vec<Run>),
}

/// What there is to know about the prober.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProberStatus {
    /// Its process, if there is one.
    pub pid: Option<u32>,
    /// How often one was started.
    pub starts: u64,
    /// Why the last one is no more, or could not be started.
    pub last_reason: Option<String>,
    /// The walls around it, once they stand.
    pub walls: Option<Walls>,
}
