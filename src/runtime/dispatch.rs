//! From a due check to the thread that does it.

use super::dialer::{Dial, Dialer, Dialled};
use super::message::Message;
use super::pool::{MAX_WORKERS, Pool};
use crate::check::{self, Begin, CheckOutcome, Deadline};
use crate::director::{CheckId, Checked};
use crate::model::{CheckPlan, Step};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use std::io;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::time::{Duration, Instant};

/// Descriptors that are kept for everything but pending connects.
const RESERVE: u64 = 256;

/// A check on its way.
#[derive(Debug)]
struct Job {
    check: CheckId,
    plan: Arc<CheckPlan>,
    step: Step,
}

/// Hands checks to the dialer and the workers; their outcomes come to the owner as messages.
pub(super) struct Dispatch {
    dialer: Dialer<Job>,
    pool: Pool,
    owner: Sender<Message>,
    dials: Vec<Dial<Job>>,
}

impl Dispatch {
    /// Starts the dialer and the pool; workers start as they are needed.
    ///
    /// # Errors
    /// When a thread of theirs cannot be started.
    pub(super) fn start(owner: Sender<Message>) -> io::Result<Self> {
        let pool = Pool::start(MAX_WORKERS)?;
        let (workers, answers) = (pool.clone(), owner.clone());
        let answer = move |dialled: Vec<Dialled<Job>>| {
            let checked: Vec<Checked> = dialled
                .into_iter()
                .filter_map(|dialled| after_dial(dialled, &workers, &answers))
                .collect();
            if !checked.is_empty() {
                let _ = answers.send(Message::Checked(checked));
            }
        };
        let dialer = Dialer::start(descriptors(), answer)?;
        Ok(Self { dialer, pool, owner, dials: Vec::new() })
    }

    /// Begins a check. Its outcome if there is nothing to do; connects are made by
    /// [`Dispatch::flush`].
    pub(super) fn begin(
        &mut self,
        check: CheckId,
        plan: &Arc<CheckPlan>,
        step: Step,
    ) -> Option<CheckOutcome> {
        let job = Job { check, plan: Arc::clone(plan), step };
        let timeout = plan.timeout(step);
        match check::begin(plan, step) {
            Begin::Outcome(outcome) => return Some(outcome),
            Begin::Dial(target) => self.dials.push(Dial { tag: job, target, timeout }),
            Begin::Work => {
                submit(&self.pool, self.owner.clone(), job, None, timeout, Duration::ZERO);
            }
        }
        None
    }

    /// Hands the connects begun since the last call to the dialer together.
    pub(super) fn flush(&mut self) {
        self.dialer.dial(std::mem::take(&mut self.dials));
    }
}

/// What follows a dial: the outcome, or a worker's turn.
fn after_dial(dialled: Dialled<Job>, pool: &Pool, owner: &Sender<Message>) -> Option<Checked> {
    let Dialled { tag: job, result, begun } = dialled;
    let spent = begun.elapsed();
    let outcome = match result {
        Err(failure) => CheckOutcome::Down(failure),
        Ok(_) if check::ends_with_connection(&job.plan, job.step) => CheckOutcome::up(),
        Ok(stream) => {
            let left = job.plan.timeout(job.step).saturating_sub(spent);
            submit(pool, owner.clone(), job, Some(stream), left, spent);
            return None;
        }
    };
    Some(Checked { check: job.check, step: job.step, outcome, duration: spent })
}

/// Has a worker run the rest of a check. The time until a worker is free does not count against
/// the server.
fn submit(
    pool: &Pool,
    owner: Sender<Message>,
    job: Job,
    stream: Option<TcpStream>,
    left: Duration,
    spent: Duration,
) {
    pool.submit(Box::new(move || {
        let Job { check, plan, step } = job;
        let begun = Instant::now();
        let outcome = check::run(&plan, step, stream, Deadline::of(begun, left));
        let duration = spent + begun.elapsed();
        let _ = owner.send(Message::Checked(vec![Checked { check, step, outcome, duration }]));
    }));
}

/// How many connects may be pending: the descriptors this process may have, less a reserve. The
/// soft limit is raised to the hard one first.
fn descriptors() -> usize {
    let limit = getrlimit(Resource::RLIMIT_NOFILE).map_or(1024, |(soft, hard)| {
        match setrlimit(Resource::RLIMIT_NOFILE, hard, hard) {
            Ok(()) => hard,
            Err(_) => soft,
        }
    });
    let workers = MAX_WORKERS as u64;
    let pending = limit.saturating_sub(RESERVE + workers).max(limit / 4);
    usize::try_from(pending).unwrap_or(usize::MAX).min(1 << 20)
}
