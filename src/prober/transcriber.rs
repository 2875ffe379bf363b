//! Checks that somebody wants to watch: rounds of them, each outcome with its transcript.
//!
//! The same prober with the same walls as a daemon's runs them, so that whoever watches reads no byte
//! of a server but through the prober's messages; and the same commands are run here.

use super::ProberOptions;
use super::belief::{Heard, clean};
use super::certificates::{Certificates, files_of};
use super::here::{Place, local, needs_prober, place, pool_of};
use super::link::Link;
use super::pool::Pool;
use super::seam::{Order, PLANS, Rights, Run};
use crate::check::transcript::{self, Transcript};
use crate::check::{self, CheckOutcome, Deadline, agent};
use crate::director::CheckId;
use crate::model::{CheckPlan, Step};
use crate::wait::ready;
use nix::poll::PollFlags;
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

/// How one check went.
#[derive(Debug)]
pub struct Transcribed {
    /// The plan's place among those that were given.
    pub plan: usize,
    /// What it found.
    pub outcome: CheckOutcome,
    /// How long it took.
    pub duration: Duration,
    /// How it went. Its texts are what servers, and a prober that was overrun, like to say.
    pub transcript: Transcript,
}

/// Runs rounds of checks; its prober ends when it is dropped.
#[derive(Debug)]
pub struct Transcriber {
    rounds: Sender<Sender<Transcribed>>,
}

impl Transcriber {
    /// Is to run these checks.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub fn start(options: ProberOptions, plans: Vec<Arc<CheckPlan>>) -> io::Result<Self> {
        let (rounds, asked) = channel();
        let scribe = Scribe {
            options,
            plans,
            certificates: Certificates::default(),
            link: None,
            pool: None,
            round: 0,
        };
        // The prober ends with the thread that started it (PDEATHSIG), so it is always this one.
        thread::Builder::new().name("prober".to_owned()).spawn(move || scribe.work(&asked))?;
        Ok(Self { rounds })
    }

    /// Runs every check once, side by side. Each is received once, as it ends.
    pub fn round(&self) -> Receiver<Transcribed> {
        let (sink, transcribed) = channel();
        // Without the thread, the receiver is at its end at once.
        let _ = self.rounds.send(sink);
        transcribed
    }
}

struct Scribe {
    options: ProberOptions,
    plans: Vec<Arc<CheckPlan>>,
    certificates: Certificates,
    link: Option<Link>,
    /// For commands, once there is one.
    pool: Option<Pool>,
    round: u64,
}

impl Scribe {
    fn work(mut self, rounds: &Receiver<Sender<Transcribed>>) {
        for sink in rounds {
            self.round += 1;
            self.run_all(&sink);
        }
        if let Some(link) = self.link {
            link.kill();
        }
    }

    fn run_all(&mut self, sink: &Sender<Transcribed>) {
        let mut away = Vec::new();
        for number in 0..self.plans.len() {
            match place(&self.plans[number], Step::Full) {
                Place::Nowhere(outcome) => tell(sink, number, outcome),
                Place::Here => self.run_here(number, sink),
                Place::Prober => away.push(number),
            }
        }
        let mut passed = Vec::new();
        let result = self.run_away(&mut away, &mut passed, sink);
        passed.into_iter().for_each(|done| self.ask_agent(done, sink));
        if let Err(why) = result {
            if let Some(link) = self.link.take() {
                link.kill();
            }
            away.iter().for_each(|&number| tell(sink, number, local(&why)));
        }
    }

    fn run_here(&mut self, number: usize, sink: &Sender<Transcribed>) {
        let pool = match pool_of(&mut self.pool) {
            Ok(pool) => pool,
            Err(error) => return tell(sink, number, local(&error)),
        };
        let (plan, sink) = (Arc::clone(&self.plans[number]), sink.clone());
        pool.submit(Box::new(move || {
            let begun = Instant::now();
            let deadline = Deadline::of(begun, plan.timeout(Step::Full));
            let (outcome, transcript) =
                transcript::record(&plan, || check::run(&plan, Step::Full, None, deadline));
            let (outcome, duration) = (clean(outcome), begun.elapsed());
            let outcome = agent::heed_command(&plan, Step::Full, outcome);
            // Whoever has gone does not want to know.
            let _ = sink.send(Transcribed { plan: number, outcome, duration, transcript });
        }));
    }

    /// Tells of a check when the command that knows its server's weight has been asked.
    fn ask_agent(&mut self, done: Transcribed, sink: &Sender<Transcribed>) {
        let (plan, sink) = (Arc::clone(&self.plans[done.plan]), sink.clone());
        let Ok(pool) = pool_of(&mut self.pool) else {
            let _ = sink.send(done);
            return;
        };
        pool.submit(Box::new(move || {
            let outcome = agent::heed_command(&plan, Step::Full, done.outcome);
            let _ = sink.send(Transcribed { outcome, ..done });
        }));
    }

    /// Runs these in the prober, and tells of each that is answered; those whose command is still to
    /// be asked are put into `passed`.
    ///
    /// # Errors
    /// Why the prober is no more; `away` keeps those that have no answer.
    fn run_away(
        &mut self,
        away: &mut Vec<usize>,
        passed: &mut Vec<Transcribed>,
        sink: &Sender<Transcribed>,
    ) -> Result<(), String> {
        if away.is_empty() {
            return Ok(());
        }
        let runs: Vec<(Run, Duration)> = away
            .iter()
            .map(|&number| {
                let run = Run { check: id(number), step: Step::Full, run: self.round };
                (run, self.plans[number].timeout(Step::Full))
            })
            .collect();
        let patience = self.options.patience;
        let has_command: Vec<bool> =
            self.plans.iter().map(|plan| plan.agent_command().is_some()).collect();
        let link = self.link()?;
        link.transcribe(&runs, Instant::now());
        let mut transcripts = HashMap::new();
        let mut next_look = Instant::now() + patience / 4;
        while link.ledger.unanswered() > 0 {
            let flags = match link.has_unsent() {
                true => PollFlags::POLLIN | PollFlags::POLLOUT,
                false => PollFlags::POLLIN,
            };
            ready(link.socket(), flags, next_look).map_err(|error| error.to_string())?;
            link.flush();
            let mut heard = Vec::new();
            let ended = link.hear(&mut heard);
            for heard in heard {
                match heard {
                    Heard::Transcript(run, transcript) => {
                        transcripts.insert(run.check, transcript);
                    }
                    Heard::Outcomes(checked) => {
                        for checked in checked {
                            let transcript = transcripts.remove(&checked.check).unwrap_or_default();
                            let plan = number(checked.check);
                            away.retain(|&waiting| waiting != plan);
                            let (outcome, duration) = (checked.outcome, checked.duration);
                            let done = Transcribed { plan, outcome, duration, transcript };
                            let asks = has_command.get(plan).copied().unwrap_or_default();
                            match asks {
                                true => passed.push(done),
                                false => drop(sink.send(done)),
                            }
                        }
                    }
                    Heard::Line(level, text) => {
                        log::log!(target: "ldirectord::prober", level, "prober: {text}");
                    }
                    Heard::Ready(walls) => walls.missing.iter().for_each(|what| {
                        log::warn!("prober: goes on without some of its walls: {what}");
                    }),
                }
            }
            if let Err(reason) = ended {
                let link = self.link.take();
                let reason = reason.or_else(|| link.and_then(Link::end));
                let reason = reason.unwrap_or_else(|| "it closed its socket".to_owned());
                return Err(format!("the prober is no more: {reason}"));
            }
            let now = Instant::now();
            if now >= next_look {
                if let Some(why) = link.hangs(patience, now) {
                    return Err(format!("the prober is ended: {why}"));
                }
                if let Some(number) = link.ledger.ask_alive(now) {
                    link.send(&Order::Alive(number));
                }
                next_look = now + patience / 4;
            }
        }
        Ok(())
    }

    /// The prober, with all it needs to know as it is now.
    fn link(&mut self) -> Result<&mut Link, String> {
        let now = Instant::now();
        if let Some(link) = &mut self.link {
            self.certificates.changed(now).iter().for_each(|order| link.send(order));
        } else {
            let rights = Rights::of(&self.plans);
            let ProberOptions { program, instance, .. } = &self.options;
            let mut link = Link::start(program, instance, rights, now)
                .map_err(|error| format!("the prober: {}: {error}", program.display()))?;
            let files = self.plans.iter().flat_map(|plan| files_of(plan));
            self.certificates = Certificates::default();
            self.certificates.set(files).iter().for_each(|order| link.send(order));
            let plans = self.plans.iter().enumerate().filter(|(_, plan)| needs_prober(plan));
            let plans: Vec<_> =
                plans.map(|(number, plan)| (id(number), Arc::clone(plan))).collect();
            plans.chunks(PLANS).for_each(|plans| link.send(&Order::Plans(plans.to_vec())));
            self.link = Some(link);
        }
        self.link.as_mut().ok_or_else(|| "the prober is no more".to_owned())
    }
}

fn id(number: usize) -> CheckId {
    CheckId(number as u64)
}

fn number(check: CheckId) -> usize {
    usize::try_from(check.0).unwrap_or(usize::MAX)
}

/// Of a check that took no work.
fn tell(sink: &Sender<Transcribed>, plan: usize, outcome: CheckOutcome) {
    let (duration, transcript) = (Duration::ZERO, Transcript::default());
    let _ = sink.send(Transcribed { plan, outcome, duration, transcript });
}
