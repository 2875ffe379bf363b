//! Checks that stay with the director, since they ask no server but run commands: external,
//! external-perl, and the helper of service=oracle.

use super::Report;
use super::belief::clean;
use super::pool::{MAX_WORKERS, Pool};
use super::seam::Run;
use crate::check::{self, Begin, CheckOutcome, Deadline, Failure};
use crate::director::Checked;
use crate::model::{CheckMethod, CheckPlan, Exchange, Service, Step};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub(super) type Sink = Arc<dyn Fn(Report) + Send + Sync>;

/// Where a step of a check is done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Nowhere: this is its outcome.
    Nowhere(CheckOutcome),
    /// In this process.
    Here,
    /// In the prober.
    Prober,
}

pub(super) fn place(plan: &CheckPlan, step: Step) -> Place {
    match check::begin(plan, step) {
        Begin::Outcome(outcome) => Place::Nowhere(outcome),
        Begin::Dial(_) => Place::Prober,
        Begin::Work if runs_a_command(plan) => Place::Here,
        Begin::Work => Place::Prober,
    }
}

fn runs_a_command(plan: &CheckPlan) -> bool {
    match &plan.method {
        CheckMethod::External(_) | CheckMethod::ExternalPerl(_) => true,
        CheckMethod::Negotiate(exchange) | CheckMethod::Combined { exchange, .. } => {
            is_helper_s(exchange)
        }
        CheckMethod::On | CheckMethod::Off | CheckMethod::Connect | CheckMethod::Ping { .. } => {
            false
        }
    }
}

fn is_helper_s(exchange: &Exchange) -> bool {
    exchange.service == Service::Oracle
}

/// Whether any step of a check is the prober's.
pub(super) fn needs_prober(plan: &CheckPlan) -> bool {
    [Step::Full, Step::Connect].iter().any(|&step| place(plan, step) == Place::Prober)
}

/// The threads that wait for commands; there are none until there is a command.
pub(super) struct Here {
    pool: Option<Pool>,
    sink: Sink,
}

impl Here {
    pub(super) fn new(sink: Sink) -> Self {
        Self { pool: None, sink }
    }

    /// Runs a check; its outcome if it cannot be run.
    pub(super) fn run(&mut self, run: Run, plan: &Arc<CheckPlan>) -> Option<Checked> {
        let pool = match &self.pool {
            Some(pool) => pool,
            None => match start_pool() {
                Ok(pool) => self.pool.insert(pool),
                Err(error) => return Some(checked(run, local(&error), Duration::ZERO)),
            },
        };
        let (plan, sink) = (Arc::clone(plan), Arc::clone(&self.sink));
        pool.submit(Box::new(move || {
            let begun = Instant::now();
            let deadline = Deadline::of(begun, plan.timeout(run.step));
            let outcome = clean(check::run(&plan, run.step, None, deadline));
            sink(Report::Outcomes(vec![checked(run, outcome, begun.elapsed())]));
        }));
        None
    }
}

/// A thousand commands at a time take more descriptors than a process has at first.
pub(super) fn start_pool() -> io::Result<Pool> {
    if let Ok((_, hard)) = getrlimit(Resource::RLIMIT_NOFILE) {
        // Else there are fewer commands at a time.
        let _ = setrlimit(Resource::RLIMIT_NOFILE, hard, hard);
    }
    Pool::start(MAX_WORKERS)
}

pub(super) fn checked(run: Run, outcome: CheckOutcome, duration: Duration) -> Checked {
    let Run { check, step, run } = run;
    Checked { check, run, step, outcome, duration }
}

/// No verdict on the server.
pub(super) fn local(why: &dyn std::fmt::Display) -> CheckOutcome {
    CheckOutcome::Down(Failure::Local(why.to_string()))
}
