//! What the director believes of a prober: only what it has asked for, bounded and cleaned.
//!
//! Pure: bytes and times in, outcomes out. Whatever a prober says, at worst a verdict about a
//! server is wrong.

use super::seam::{ANSWERS, Answer, Inbox, Nonsense, Run, TO_DIRECTOR, Walls, Word};
use crate::check::transcript::{EVENTS, Transcript};
use crate::check::{CheckOutcome, Failure, Note};
use crate::director::Checked;
use crate::logging::cut;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// Bytes of a prober's line in the log.
const LINE: usize = 400;

/// Lines that are passed on in one [`PERIOD`].
const LINES: u32 = 30;

/// Lines in one [`PERIOD`] that show that something is wrong.
const CHATTER: u32 = 10_000;

const PERIOD: Duration = Duration::from_secs(60);

/// How long after its timeout a check may go without an answer while no check waits for a thread.
const OVERDUE: Duration = Duration::from_secs(30);

/// What one prober has been asked and has not answered.
#[derive(Debug)]
pub struct Ledger {
    asked: HashMap<Run, Asked>,
    inbox: Inbox,
    ready: bool,
    /// When it was asked whether it lives, if it has not answered.
    alive_asked: Option<Instant>,
    /// The last number of such a question.
    number: u64,
    /// Since when no check waits for a thread, by the prober's word.
    idle_since: Option<Instant>,
    lines: (Instant, u32),
}

#[derive(Debug)]
struct Asked {
    at: Instant,
    timeout: Duration,
    /// Whether a transcript is due before the outcome.
    transcript: bool,
}

/// What is left of a message when it has been looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The walls stand.
    Ready(Walls),
    /// Outcomes of runs that were asked for.
    Outcomes(Vec<Checked>),
    /// A line for the log, clean.
    Line(log::Level, String),
    /// How a run went whose outcome is still to come. Its texts are as the prober sent them.
    Transcript(Run, Transcript),
}

impl Ledger {
    /// Of a prober that was just started.
    pub fn new(now: Instant) -> Self {
        Self {
            asked: HashMap::new(),
            inbox: Inbox::new(TO_DIRECTOR),
            ready: false,
            alive_asked: None,
            number: 0,
            idle_since: None,
            lines: (now, 0),
        }
    }

    /// Notes that a run is sent, which may take so long.
    pub fn ask(&mut self, run: Run, timeout: Duration, now: Instant) {
        self.asked.insert(run, Asked { at: now, timeout, transcript: false });
    }

    /// [`Ledger::ask`] for a run that is to be transcribed.
    pub fn ask_transcript(&mut self, run: Run, timeout: Duration, now: Instant) {
        self.asked.insert(run, Asked { at: now, timeout, transcript: true });
    }

    /// How many runs are unanswered.
    pub fn unanswered(&self) -> usize {
        self.asked.len()
    }

    /// The longest timeout of those.
    pub fn longest(&self) -> Duration {
        self.asked.values().map(|asked| asked.timeout).max().unwrap_or_default()
    }

    /// The runs that will have no answer, because the prober is no more.
    pub fn lost(&mut self) -> Vec<Run> {
        self.asked.drain().map(|(run, _)| run).collect()
    }

    /// The number to be sent as a question whether it lives; `None` while one is unanswered.
    pub fn ask_alive(&mut self, now: Instant) -> Option<u64> {
        if self.alive_asked.is_some() {
            return None;
        }
        self.alive_asked = Some(now);
        self.number += 1;
        Some(self.number)
    }

    /// Why the prober has to be taken for hanging: it has not said that it lives for longer than
    /// `patience`, or a check is long overdue though threads are free.
    pub fn hangs(&self, patience: Duration, now: Instant) -> Option<String> {
        let since = |at: Instant| now.saturating_duration_since(at);
        if self.alive_asked.is_some_and(|asked| since(asked) > patience) {
            return Some(format!("it did not answer for {} s", patience.as_secs()));
        }
        let idle = self.idle_since.map_or(Duration::ZERO, since);
        let overdue = |asked: &Asked| {
            let limit = asked.timeout.saturating_add(OVERDUE);
            since(asked.at) > limit && idle > limit
        };
        let (run, _) = self.asked.iter().find(|(_, asked)| overdue(asked))?;
        Some(format!("its check {} did not end", run.check.0))
    }

    /// Takes in what the prober sent.
    ///
    /// # Errors
    /// When no honest prober would have sent it: it has to be ended. What came before is in `heard`.
    pub fn hear(
        &mut self,
        bytes: &[u8],
        now: Instant,
        heard: &mut Vec<Heard>,
    ) -> Result<(), Nonsense> {
        self.inbox.push(bytes);
        while let Some(word) = self.inbox.take::<Word>()? {
            heard.extend(self.word(word, now)?);
        }
        Ok(())
    }

    fn word(&mut self, word: Word, now: Instant) -> Result<Option<Heard>, Nonsense> {
        match word {
            Word::Ready(_) if self.ready => Err(Nonsense::Unexpected("a second greeting")),
            Word::Ready(walls) => {
                self.ready = true;
                let missing = walls.missing.iter().take(16).map(|text| line(text, LINE)).collect();
                Ok(Some(Heard::Ready(Walls { missing, ..walls })))
            }
            Word::Outcomes(answers) if answers.is_empty() || answers.len() > ANSWERS => {
                Err(Nonsense::Unexpected("a number of outcomes"))
            }
            Word::Outcomes(answers) => {
                let checked = answers.into_iter().map(|answer| self.answer(answer, now));
                Ok(Some(Heard::Outcomes(checked.collect::<Result<_, _>>()?)))
            }
            Word::Alive { number, waiting } => {
                if self.alive_asked.take().is_none() || number != self.number {
                    return Err(Nonsense::Unexpected("a sign of life"));
                }
                if waiting > 0 {
                    self.idle_since = None;
                } else if self.idle_since.is_none() {
                    self.idle_since = Some(now);
                }
                Ok(None)
            }
            Word::Line { level, text } => self.line(level, &text, now),
            Word::Transcript(run, transcript) => match self.asked.get_mut(&run) {
                Some(asked) if asked.transcript && transcript.events.len() <= EVENTS => {
                    asked.transcript = false;
                    Ok(Some(Heard::Transcript(run, transcript)))
                }
                Some(_) | None => Err(Nonsense::Unexpected("a transcript")),
            },
        }
    }

    fn answer(&mut self, answer: Answer, now: Instant) -> Result<Checked, Nonsense> {
        let Answer { run, outcome, micros } = answer;
        let asked = self.asked.remove(&run).ok_or(Nonsense::Unasked(run))?;
        let Run { check, step, run } = run;
        // It cannot have taken longer than since it was asked for.
        let passed = now.saturating_duration_since(asked.at);
        let duration = Duration::from_micros(micros).min(passed);
        Ok(Checked { check, run, step, outcome: clean(outcome), duration })
    }

    fn line(&mut self, level: usize, text: &str, now: Instant) -> Result<Option<Heard>, Nonsense> {
        let (since, count) = &mut self.lines;
        if now.saturating_duration_since(*since) > PERIOD {
            (*since, *count) = (now, 0);
        }
        *count += 1;
        // An error of the program is a fault of its own, whatever the prober calls it.
        let level = match log::Level::iter().nth(level.saturating_sub(1)) {
            None | Some(log::Level::Error) => log::Level::Warn,
            Some(level) => level,
        };
        match *count {
            count if count < LINES => Ok(Some(Heard::Line(level, line(text, LINE)))),
            LINES => {
                let text = "says more; the rest of this minute is left out".to_owned();
                Ok(Some(Heard::Line(level, text)))
            }
            count if count > CHATTER => Err(Nonsense::Chatter),
            _ => Ok(None),
        }
    }
}

/// An outcome whose texts are short and have no control characters, and are one line, but for an
/// answer that does not match, which keeps its line ends for the monitorfile to show.
pub fn clean(outcome: CheckOutcome) -> CheckOutcome {
    match outcome {
        CheckOutcome::Up(Note { words, certificate, agent }) => {
            let words = words.map(|words| line(&words, Failure::TEXT_LIMIT).into());
            CheckOutcome::Up(Note { words, certificate, agent })
        }
        CheckOutcome::Down(failure) => CheckOutcome::Down(clean_failure(failure)),
    }
}

fn clean_failure(failure: Failure) -> Failure {
    let line = |text: &str| line(text, Failure::TEXT_LIMIT);
    match failure {
        Failure::ConnectTimedOut
        | Failure::TimedOut
        | Failure::Refused
        | Failure::Unreachable
        | Failure::Closed
        | Failure::TooLong
        | Failure::MismatchSoFar(_)
        | Failure::Empty
        | Failure::TooMany
        | Failure::NoReply
        | Failure::Exit(_)
        | Failure::Signal(_) => failure,
        Failure::Io(text) => Failure::Io(line(&text)),
        Failure::Tls(text) => Failure::Tls(line(&text)),
        Failure::Protocol(text) => Failure::Protocol(line(&text).into()),
        Failure::Status { code, phrase } => Failure::Status { code, phrase: line(&phrase) },
        Failure::Mismatch(text) => Failure::Mismatch(printable(&text, Failure::TEXT_LIMIT)),
        Failure::Rejected(text) => Failure::Rejected(line(&text)),
        Failure::LoginRefused(text) => Failure::LoginRefused(line(&text)),
        Failure::Died(text) => Failure::Died(line(&text)),
        Failure::Exec(text) => Failure::Exec(line(&text)),
        Failure::Config(text) => Failure::Config(line(&text).into()),
        Failure::Local(text) => Failure::Local(line(&text)),
        Failure::Internal(text) => Failure::Internal(line(&text)),
    }
}

/// The first line, without control characters.
fn line(text: &str, limit: usize) -> String {
    let first = cut(text, limit).lines().next().unwrap_or_default();
    first.chars().filter(|c| !c.is_control()).collect()
}

/// Without control characters but blanks and line ends.
fn printable(text: &str, limit: usize) -> String {
    let keeps = |c: &char| !c.is_control() || matches!(c, '\n' | '\r' | '\t');
    cut(text, limit).chars().filter(keeps).collect()
}

#[cfg(test)]
mod tests {
    use super::super::seam::put;
    use super::*;
    use crate::check::transcript::{Event, Seen};
    use crate::director::CheckId;
    use crate::model::Step;

    const SECOND: Duration = Duration::from_secs(1);

    fn run(check: u64) -> Run {
        Run { check: CheckId(check), step: Step::Full, run: 100 + check }
    }

    /// A ledger in which checks 1 to 3 are asked for, at this time.
    fn ledger() -> (Ledger, Instant) {
        let now = Instant::now();
        let mut ledger = Ledger::new(now);
        (1..=3).for_each(|check| ledger.ask(run(check), SECOND, now));
        (ledger, now)
    }

    fn said(words: &[Word]) -> Vec<u8> {
        let mut frames = Vec::new();
        words.iter().for_each(|word| put(word, TO_DIRECTOR, &mut frames).expect("it fits"));
        frames
    }

    fn answer(run: Run, outcome: CheckOutcome) -> Word {
        Word::Outcomes(vec![Answer { run, outcome, micros: 10 }])
    }

    fn hear(ledger: &mut Ledger, words: &[Word], now: Instant) -> Result<Vec<Heard>, Nonsense> {
        let mut heard = Vec::new();
        ledger.hear(&said(words), now, &mut heard).map(|()| heard)
    }

    #[test]
    fn a_transcript_is_believed_once_and_only_if_it_was_asked_for() {
        let (mut ledger, now) = ledger();
        let told = |events: usize| {
            let event = Event { at: 1, seen: Seen::Ended };
            let transcript = Transcript { events: vec![event; events], left_out: 0 };
            Word::Transcript(run(4), transcript)
        };
        let unasked = Err(Nonsense::Unexpected("a transcript"));
        assert_eq!(hear(&mut ledger, &[told(1)], now), unasked);
        ledger.ask(run(4), SECOND, now);
        assert_eq!(hear(&mut ledger, &[told(1)], now), unasked, "only its outcome was");
        ledger.ask_transcript(run(4), SECOND, now);
        assert_eq!(hear(&mut ledger, &[told(EVENTS + 1)], now), unasked);
        let words = [told(2), answer(run(4), CheckOutcome::up())];
        let heard = hear(&mut ledger, &words, now).expect("no nonsense");
        assert!(
            matches!(&heard[..], [Heard::Transcript(_, it), Heard::Outcomes(_)] if it.events.len() == 2)
        );
        ledger.ask_transcript(run(4), SECOND, now);
        assert_eq!(hear(&mut ledger, &[told(1), told(1)], now), unasked);
    }

    #[test]
    fn an_answer_counts_once_and_only_if_it_was_asked_for() {
        let (mut ledger, now) = ledger();
        let heard = hear(&mut ledger, &[answer(run(2), CheckOutcome::up())], now + SECOND);
        let Ok([Heard::Outcomes(checked)]) = heard.as_deref() else { panic!("{heard:?}") };
        assert_eq!((checked[0].check, checked[0].run), (CheckId(2), 102));
        assert_eq!(ledger.unanswered(), 2);
        for wrong in [
            run(2),
            run(4),
            Run { run: 7, ..run(1) },
            Run { step: Step::Connect, ..run(1) },
            Run { check: CheckId(u64::MAX), step: Step::Full, run: u64::MAX },
        ] {
            let heard = hear(&mut ledger, &[answer(wrong, CheckOutcome::up())], now);
            assert_eq!(heard, Err(Nonsense::Unasked(wrong)));
        }
        let mut lost = ledger.lost();
        lost.sort_by_key(|run| run.check);
        assert_eq!(lost, [run(1), run(3)]);
    }

    #[test]
    fn a_check_took_no_longer_than_since_it_was_asked_for() {
        let (mut ledger, now) = ledger();
        let outcomes = vec![Answer { run: run(1), outcome: CheckOutcome::up(), micros: u64::MAX }];
        let heard = hear(&mut ledger, &[Word::Outcomes(outcomes)], now + 2 * SECOND);
        let Ok([Heard::Outcomes(checked)]) = heard.as_deref() else { panic!("{heard:?}") };
        assert_eq!(checked[0].duration, 2 * SECOND);
    }

    #[test]
    fn texts_are_one_short_line_without_control_characters() {
        let nasty = format!("\x1b]0;evil\x07ok\u{9b}1m\nsecond{}", "x".repeat(5000));
        let text = || nasty.clone();
        for failure in [
            Failure::Io(text()),
            Failure::Tls(text()),
            Failure::Protocol(text().into()),
            Failure::Status { code: 500, phrase: text() },
            Failure::Mismatch(text()),
            Failure::Rejected(text()),
            Failure::LoginRefused(text()),
            Failure::Died(text()),
            Failure::Exec(text()),
            Failure::Config(text().into()),
            Failure::Local(text()),
            Failure::Internal(text()),
        ] {
            let keeps_lines = matches!(failure, Failure::Mismatch(_));
            let CheckOutcome::Down(clean) = clean(CheckOutcome::Down(failure)) else { panic!() };
            let said = format!("{clean} {clean:?}");
            assert!(!said.contains(char::is_control), "{said:?}");
            assert!(said.len() < 2 * Failure::TEXT_LIMIT + 200, "{said:?}");
            assert_eq!(said.contains("second"), keeps_lines, "{said:?}");
        }
        let up = clean(CheckOutcome::up_with(text()));
        assert_eq!(up, CheckOutcome::up_with("]0;evilok1m"));
    }

    #[test]
    fn what_is_not_due_is_nonsense() {
        let (mut ledger, now) = ledger();
        let ready = || Word::Ready(Walls::default());
        assert!(hear(&mut ledger, &[ready()], now).is_ok());
        for word in [
            ready(),
            Word::Outcomes(vec![]),
            Word::Alive { number: 0, waiting: 0 },
            Word::Alive { number: 1, waiting: 0 },
        ] {
            assert!(hear(&mut ledger, std::slice::from_ref(&word), now).is_err(), "{word:?}");
        }
    }

    #[test]
    fn a_prober_that_says_nothing_hangs_and_one_that_answers_does_not() {
        let (mut ledger, now) = ledger();
        assert_eq!(ledger.hangs(SECOND, now + 20 * SECOND), None, "nobody asked");
        assert_eq!(ledger.ask_alive(now), Some(1));
        assert_eq!(ledger.ask_alive(now + SECOND), None);
        assert!(ledger.hangs(SECOND, now + 3 * SECOND).is_some());
        hear(&mut ledger, &[Word::Alive { number: 1, waiting: 9 }], now).expect("it was due");
        assert_eq!(ledger.hangs(SECOND, now + 300 * SECOND), None, "checks wait for a thread");
        assert_eq!(ledger.ask_alive(now), Some(2));
        hear(&mut ledger, &[Word::Alive { number: 2, waiting: 0 }], now).expect("it was due");
        assert_eq!(ledger.hangs(SECOND, now + 30 * SECOND), None);
        assert!(ledger.hangs(SECOND, now + 32 * SECOND).is_some(), "a check has not ended");
    }

    #[test]
    fn lines_for_the_log_are_few_and_clean() {
        let (mut ledger, now) = ledger();
        let line = |level| Word::Line { level, text: "\x1b[2Jgone\r\nTable lost".into() };
        let heard = hear(&mut ledger, &[line(1), line(4), line(99)], now).expect("three lines");
        let clean = |level| Heard::Line(level, "[2Jgone".into());
        assert_eq!(
            heard,
            [clean(log::Level::Warn), clean(log::Level::Debug), clean(log::Level::Warn)]
        );
        let many = vec![line(2); 4000];
        assert_eq!(hear(&mut ledger, &many, now).expect("many lines").len(), 27);
        assert_eq!(hear(&mut ledger, &many, now).expect("more lines").len(), 0);
        let later = now + 2 * PERIOD;
        assert_eq!(hear(&mut ledger, &[line(2)], later).expect("again").len(), 1);
        assert_eq!(hear(&mut ledger, &vec![line(2); 12_000], later), Err(Nonsense::Chatter));
    }
}
