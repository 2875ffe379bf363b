//! What stays with the director, since it asks no server but runs commands: external and external-perl
//! checks, the helper of service=oracle, and `agentcommand` after any check.

use super::Report;
use super::belief::clean;
use super::pool::{MAX_WORKERS, Pool};
use super::seam::Run;
use crate::check::{self, Begin, CheckOutcome, Deadline, Failure, agent};
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
        let (plan, sink) = (Arc::clone(plan), Arc::clone(&self.sink));
        let pool = match pool_of(&mut self.pool) {
            Ok(pool) => pool,
            Err(error) => return Some(checked(run, local(&error), Duration::ZERO)),
        };
        pool.submit(Box::new(move || {
            let begun = Instant::now();
            let deadline = Deadline::of(begun, plan.timeout(run.step));
            let outcome = clean(check::run(&plan, run.step, None, deadline));
            let duration = begun.elapsed();
            let outcome = agent::heed_command(&plan, run.step, outcome);
            sink(Report::Outcomes(vec![checked(run, outcome, duration)]));
        }));
        None
    }

    /// Asks the command that says how much the server of a check can take; the outcome comes when
    /// that has ended. The outcome itself if there is nothing to ask.
    pub(super) fn ask_agent(&mut self, passed: Checked, plan: &Arc<CheckPlan>) -> Option<Checked> {
        if !agent::has_command(plan, passed.step, &passed.outcome) {
            return Some(passed);
        }
        // Without threads there is no answer, which says nothing.
        let (plan, sink) = (Arc::clone(plan), Arc::clone(&self.sink));
        let Ok(pool) = pool_of(&mut self.pool) else { return Some(passed) };
        pool.submit(Box::new(move || {
            let outcome = agent::heed_command(&plan, passed.step, passed.outcome);
            sink(Report::Outcomes(vec![Checked { outcome, ..passed }]));
        }));
        None
    }
}

/// The threads for commands, from the first on.
pub(super) fn pool_of(pool: &mut Option<Pool>) -> io::Result<&Pool> {
    match pool {
        Some(pool) => Ok(pool),
        None => Ok(pool.insert(start_pool()?)),
    }
}

/// A thousand commands at a time take more descriptors than a process has at first.
fn start_pool() -> io::Result<Pool> {
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
