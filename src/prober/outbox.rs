//! What the prober has to say: a burst of outcomes goes out together.

use super::belief::clean;
use super::seam::{ANSWERS, Answer, TO_DIRECTOR, Word, put};
use crate::sync::{Arc, Condvar, Mutex, MutexGuard, thread};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{MsgFlags, send};
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::PoisonError;
use std::time::Duration;

/// Outcomes come in bursts: a moment later they are written together.
const MOMENT: Duration = Duration::from_millis(1);

/// Messages beside outcomes that wait; further lines for the log are lost. Outcomes are bounded by
/// the checks there are.
const WORDS: usize = 256;

/// Whoever has something to say, and the thread that writes what does not go out at once.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    content: Mutex<Content>,
    filled: Condvar,
    socket: UnixStream,
}

#[derive(Debug, Default)]
struct Content {
    answers: Vec<Answer>,
    words: Vec<Word>,
    /// Frames that the socket has not taken yet.
    unsent: Vec<u8>,
}

impl Outbox {
    /// Starts the thread, which ends when nobody reads any more.
    pub(super) fn start(socket: UnixStream) -> io::Result<Self> {
        let (content, filled) = (Mutex::default(), Condvar::new());
        let shared = Arc::new(Shared { content, filled, socket });
        let writer = Arc::clone(&shared);
        thread::Builder::new().name("outbox".to_owned()).spawn(move || writer.write())?;
        Ok(Self { shared })
    }

    /// For outcomes that come one by one: in a moment they go out, with those that follow.
    pub(super) fn answer(&self, answer: Answer) {
        let mut content = self.shared.lock();
        let was_empty = content.answers.is_empty();
        content.answers.push(answer);
        if was_empty {
            self.shared.filled.notify_one();
        }
    }

    /// For outcomes that have come together: they go out at once, with all that wait.
    pub(super) fn answer_now(&self, answers: Vec<Answer>) {
        let mut content = self.shared.lock();
        content.answers.extend(answers);
        // Who does not read any more is the reader's to find.
        if self.shared.send(&mut content).is_ok_and(|sent| !sent) {
            self.shared.filled.notify_one();
        }
    }

    pub(super) fn say(&self, word: Word) {
        let mut content = self.shared.lock();
        if content.words.len() < WORDS || !matches!(word, Word::Line { .. }) {
            content.words.push(word);
            self.shared.filled.notify_one();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The thread's life.
    fn write(&self) {
        loop {
            let mut content = self.lock();
            while content.is_empty() {
                content = self.filled.wait(content).unwrap_or_else(PoisonError::into_inner);
            }
            if content.unsent.is_empty() && content.words.is_empty() {
                drop(content);
                thread::sleep(MOMENT);
                content = self.lock();
            }
            let sent = self.send(&mut content);
            drop(content);
            match sent {
                Ok(true) => {}
                Ok(false) => {
                    let mut room = [PollFd::new(self.socket.as_fd(), PollFlags::POLLOUT)];
                    // An error shows at the next send.
                    let _ = poll(&mut room, PollTimeout::NONE);
                }
                Err(_) => return,
            }
        }
    }

    /// Sends what there is, as far as the socket takes it now; tells whether it took all.
    fn send(&self, content: &mut Content) -> nix::Result<bool> {
        let Content { answers, words, unsent } = content;
        words.drain(..).for_each(|word| append(&word, unsent));
        let mut answers = answers.drain(..).map(tidy).peekable();
        while answers.peek().is_some() {
            append(&Word::Outcomes(answers.by_ref().take(ANSWERS).collect()), unsent);
        }
        let flags = MsgFlags::MSG_DONTWAIT | MsgFlags::MSG_NOSIGNAL;
        let mut sent = 0;
        let result = loop {
            if sent == unsent.len() {
                break Ok(true);
            }
            match send(self.socket.as_raw_fd(), &unsent[sent..], flags) {
                Ok(count) => sent += count,
                Err(Errno::EINTR) => {}
                Err(Errno::EAGAIN) => break Ok(false),
                Err(error) => break Err(error),
            }
        };
        unsent.drain(..sent);
        result
    }
}

impl Content {
    fn is_empty(&self) -> bool {
        self.answers.is_empty() && self.words.is_empty() && self.unsent.is_empty()
    }
}

/// What is too long for the director is not said at all; nothing is, by [`tidy`].
fn append(word: &Word, frames: &mut Vec<u8>) {
    let _ = put(word, TO_DIRECTOR, frames);
}

fn tidy(answer: Answer) -> Answer {
    Answer { outcome: clean(answer.outcome), ..answer }
}

#[cfg(all(test, shuttle))]
mod shuttle_tests {
    use super::*;
    use crate::check::CheckOutcome;
    use crate::director::CheckId;
    use crate::prober::Run;

    #[test]
    fn shuttle_all_that_is_said_comes_out_and_in_order() {
        crate::sync::schedules(|| {
            let outbox = Outbox { shared: Arc::new(Shared::default()) };
            let answers = outbox.clone();
            let answers = thread::spawn(move || {
                for number in 0..4 {
                    let run =
                        Run { check: CheckId(0), step: crate::model::Step::Full, run: number };
                    answers.answer([Answer { run, outcome: CheckOutcome::up(), micros: 0 }]);
                }
            });
            let words = outbox.clone();
            let words = thread::spawn(move || {
                (0..4).for_each(|number| words.say(Word::Alive { number, waiting: 0 }));
            });
            let (mut runs, mut said) = (Vec::new(), Vec::new());
            while runs.len() < 4 || said.len() < 4 {
                let Content { answers, words } = outbox.shared.take();
                assert!(!answers.is_empty() || !words.is_empty());
                runs.extend(answers.into_iter().map(|answer| answer.run.run));
                said.extend(words.into_iter().map(|word| match word {
                    Word::Alive { number, .. } => number,
                    other => panic!("{other:?}"),
                }));
            }
            assert_eq!((runs, said), (vec![0, 1, 2, 3], vec![0, 1, 2, 3]));
            answers.join().unwrap();
            words.join().unwrap();
        });
    }
}
