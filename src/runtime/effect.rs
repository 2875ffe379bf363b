//! What the owner's step wants done.

use super::input::{Asker, Question};
use super::operator::Line as OverrideLine;
use super::setup::LookUp;
use crate::alert::Mail;
use crate::config::Files;
use crate::director::CheckId;
use crate::event::What;
use crate::hook::{HookRun, Line};
use crate::metrics::{Counters, MetricsReport};
use crate::model::{CheckPlan, ServiceAddress, Settings};
use crate::prober::Run;
use crate::status::{PlanReport, StatusReport};
use log::Level;
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;

/// An effect; they are carried out in the order in which the step gives them.
#[derive(Debug)]
pub enum Effect {
    /// The checks that may be run from now on; others are gone.
    Plans(Vec<(CheckId, Arc<CheckPlan>)>),
    /// Run these checks. Each has one outcome, or is told to be lost.
    Check(Vec<Run>),
    /// Write these lines into the hooks' journal.
    Remember(Vec<Line>),
    /// Keep these overrides over a restart, in place of all that were kept before.
    Keep(Vec<OverrideLine>),
    /// Run this hook.
    Hook(HookRun),
    /// Remember that this has happened.
    Event(What),
    /// Write into the log.
    Log(Level, String),
    /// Send this mail.
    Mail(Mail),
    /// Append this line, which has its newline, to a `monitorfile`.
    Monitor(PathBuf, String),
    /// These services are in force from now on.
    Serving(Vec<ServiceAddress>),
    /// Read the configuration again, or look its names up, and answer with this number.
    Load(u64, Option<LookUp>),
    /// Look at this `maintenancedir` from now on, and for changes of the configuration's files
    /// against what is in force.
    Watch(Option<PathBuf>, Files),
    /// Look for changes of the configuration's files against these: they are known already.
    Rebase(Files),
    /// Look these addresses' names up.
    LookUp(Vec<IpAddr>),
    /// Follow the global settings: log, `execute`.
    Settings(Box<Settings>),
    /// Leave what was counted to the process that takes over.
    Leave(Box<Counters>),
    /// Answer who has asked. Every question has one answer.
    Answer(Asker, Answer),
    /// A stop begins.
    Stopping,
    /// This is the last effect.
    End(End),
}

/// An answer.
#[derive(Debug)]
pub enum Answer {
    /// To [`Question::Status`](super::Question::Status).
    Status(Box<StatusReport>),
    /// To [`Question::Metrics`](super::Question::Metrics).
    Metrics(Box<MetricsReport>),
    /// To [`Question::Listing`](super::Question::Listing).
    Listing(String),
    /// To [`Question::Serving`](super::Question::Serving), or why the table cannot be asked.
    Serving(Result<Vec<ServiceAddress>, String>),
    /// To [`Question::HandOver`](super::Question::HandOver): whether this process ends, or why not.
    HandOver(Result<(), String>),
    /// To [`Question::Operate`](super::Question::Operate): what it means, or why it is not done.
    Operate(Result<String, String>),
    /// To [`Question::Plan`](super::Question::Plan).
    Plan(Result<Box<PlanReport>, String>),
    /// To [`Question::Reload`](super::Question::Reload) and [`Question::Confirm`](super::Question::Confirm).
    Reload(Result<String, String>),
}

impl Answer {
    /// The answer to a question that is refused; `None` if it is one that is always answered.
    pub(super) fn refusal(question: &Question, why: &str) -> Option<Self> {
        let why = why.to_owned();
        match question {
            Question::Status | Question::Metrics | Question::Listing => None,
            Question::Serving => Some(Self::Serving(Err(why))),
            Question::HandOver => Some(Self::HandOver(Err(why))),
            Question::Operate(_) => Some(Self::Operate(Err(why))),
            Question::Plan => Some(Self::Plan(Err(why))),
            Question::Reload(_) | Question::Confirm => Some(Self::Reload(Err(why))),
        }
    }
}

/// How the runtime ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// By a signal, with its name without SIG: what is ours has been purged.
    Signal(&'static str),
    /// Another process takes over: everything is as it was.
    HandedOver,
}
