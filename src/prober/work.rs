//! From a run that is asked for to the thread that does it.

use super::dialer::{Dial, Dialled, dial};
use super::outbox::Outbox;
use super::pool::{MAX_WORKERS, Pool};
use super::seam::{Answer, Run, Word};
use crate::check::{self, Begin, CheckOutcome, Deadline, Failure, transcript};
use crate::director::CheckId;
use crate::model::CheckPlan;
use nix::sys::resource::{Resource, getrlimit};
use std::collections::HashMap;
use std::io;
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Descriptors that are kept for everything but pending connects.
const RESERVE: u64 = 256;

/// A check on its way.
#[derive(Debug)]
struct Job {
    run: Run,
    plan: Arc<CheckPlan>,
}

/// Hands checks to the dialer and the workers; their outcomes go to the outbox.
pub(super) struct Work {
    plans: HashMap<CheckId, Arc<CheckPlan>>,
    pool: Pool,
    outbox: Outbox,
    dials: Vec<Dial<Job>>,
}

impl Work {
    /// Starts the pool; workers start as they are needed.
    ///
    /// # Errors
    /// When a thread of its cannot be started.
    pub(super) fn start(outbox: &Outbox) -> io::Result<Self> {
        let pool = Pool::start(MAX_WORKERS)?;
        Ok(Self { plans: HashMap::new(), pool, outbox: outbox.clone(), dials: Vec::new() })
    }

    /// Dials on this thread, and gives work to others, until `orders` tells that there will be no
    /// more; it is called when `source` is readable.
    ///
    /// # Errors
    /// When the kernel has no descriptor left.
    pub(super) fn go_on(
        mut self,
        source: &impl AsFd,
        mut orders: impl FnMut(&mut Self) -> bool,
    ) -> io::Result<()> {
        let (pool, outbox) = (self.pool.clone(), self.outbox.clone());
        let answer = |dialled: Vec<Dialled<Job>>| {
            let over = dialled.into_iter().filter_map(|it| after_dial(it, &pool, &outbox));
            let over: Vec<Answer> = over.collect();
            if !over.is_empty() {
                outbox.answer_now(over);
            }
        };
        let feed = || orders(&mut self).then(|| std::mem::take(&mut self.dials));
        dial(descriptors(), source, feed, answer)
    }

    pub(super) fn install(&mut self, plans: Vec<(CheckId, Arc<CheckPlan>)>) {
        self.plans.extend(plans);
    }

    pub(super) fn forget(&mut self, checks: &[CheckId]) {
        checks.iter().for_each(|check| {
            self.plans.remove(check);
        });
    }

    /// Says that this thread lives, which is the one that everything comes through.
    pub(super) fn say_alive(&self, number: u64) {
        self.outbox.say(Word::Alive { number, waiting: self.pool.waiting() as u64 });
    }

    /// Begins checks.
    pub(super) fn run(&mut self, runs: Vec<Run>) {
        let mut over = Vec::new();
        for run in runs {
            let Some(plan) = self.plans.get(&run.check) else {
                over.push(answer(run, unknown_plan(), Duration::ZERO));
                continue;
            };
            let timeout = plan.timeout(run.step);
            let job = Job { run, plan: Arc::clone(plan) };
            match check::begin(plan, run.step) {
                Begin::Outcome(outcome) => over.push(answer(run, outcome, Duration::ZERO)),
                Begin::Dial(target) => {
                    let way = plan.way.clone();
                    self.dials.push(Dial { tag: job, target, way, timeout });
                }
                Begin::Work => {
                    submit(&self.pool, self.outbox.clone(), job, None, timeout, Duration::ZERO);
                }
            }
        }
        if !over.is_empty() {
            self.outbox.answer_now(over);
        }
    }

    /// Has a worker run a whole check, the connection included, and tell how it went.
    pub(super) fn transcribe(&self, run: Run) {
        let Some(plan) = self.plans.get(&run.check).cloned() else {
            return self.outbox.answer_now(vec![answer(run, unknown_plan(), Duration::ZERO)]);
        };
        let outbox = self.outbox.clone();
        self.pool.submit(Box::new(move || {
            let begun = Instant::now();
            let deadline = Deadline::of(begun, plan.timeout(run.step));
            let (outcome, transcript) =
                transcript::record(&plan, || check::run(&plan, run.step, None, deadline));
            let took = begun.elapsed();
            outbox.say(Word::Transcript(run, transcript));
            outbox.answer(answer(run, outcome, took));
        }));
    }
}

fn unknown_plan() -> CheckOutcome {
    CheckOutcome::Down(Failure::Local("its plan is not known".to_owned()))
}

fn answer(run: Run, outcome: CheckOutcome, took: Duration) -> Answer {
    Answer { run, outcome, micros: u64::try_from(took.as_micros()).unwrap_or(u64::MAX) }
}

/// What follows a dial: the outcome, or a worker's turn.
fn after_dial(dialled: Dialled<Job>, pool: &Pool, outbox: &Outbox) -> Option<Answer> {
    let Dialled { tag: job, result, begun } = dialled;
    let spent = begun.elapsed();
    let outcome = match result {
        Err(failure) => CheckOutcome::Down(failure),
        Ok(_) if check::ends_with_connection(&job.plan, job.run.step) => CheckOutcome::up(),
        Ok(stream) => {
            let left = job.plan.timeout(job.run.step).saturating_sub(spent);
            submit(pool, outbox.clone(), job, Some(stream), left, spent);
            return None;
        }
    };
    Some(answer(job.run, outcome, spent))
}

/// Has a worker run the rest of a check. The time until a worker is free does not count against
/// the server.
fn submit(
    pool: &Pool,
    outbox: Outbox,
    job: Job,
    stream: Option<TcpStream>,
    left: Duration,
    spent: Duration,
) {
    pool.submit(Box::new(move || {
        let Job { run, plan } = job;
        let begun = Instant::now();
        let outcome = check::run(&plan, run.step, stream, Deadline::of(begun, left));
        outbox.answer(answer(run, outcome, spent + begun.elapsed()));
    }));
}

/// How many connects may be pending: the descriptors this process may have, less a reserve.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, _)| soft);
    usize::try_from(pending_connects(limit)).unwrap_or(usize::MAX)
}

/// How many connects may be pending in a process that may have so many descriptors.
pub(crate) fn pending_connects(limit: u64) -> u64 {
    let workers = MAX_WORKERS as u64;
    limit.saturating_sub(RESERVE + workers).max(limit / 4).min(1 << 20)
}
