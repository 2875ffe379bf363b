//! `status --watch`: asks the daemon each second and draws, until somebody has seen enough.

use super::control::{Sockets, ask_within};
use super::request::Request;
use super::show_status::{parse, say, unix_now};
use super::terminal::{self, Modes, Screen};
use crate::cli::ExitStatus;
use crate::status::{Filter, Scroll, Size, StatusReport, Watch};
use signal_hook::consts::{SIGCONT, SIGHUP, SIGINT, SIGQUIT, SIGTERM, SIGTSTP, SIGWINCH};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use std::io::{self, IsTerminal, Read};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

/// Between two questions, and between two drawings at most: ages go on also when there is no answer.
const INTERVAL: Duration = Duration::from_secs(1);

/// How long the daemon may take before it counts as silent.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long a terminal that takes nothing any more may delay the end.
const ENDING: Duration = Duration::from_secs(2);

/// A terminal that does not know its size.
const USUAL: Size = Size { rows: 24, columns: 80 };

/// What the loop is told by the threads that wait.
enum Input {
    /// The daemon's answer, or why there is none.
    Answer(Result<Box<StatusReport>, String>),
    /// What was typed; nothing if the terminal is gone.
    Keys(Vec<u8>),
    /// A signal by its number.
    Signal(i32),
}

/// Draws until `q`, Ctrl-C, or the end of the terminal.
pub(super) fn run(filter: &Filter, report: StatusReport, sockets: &Sockets) -> ExitStatus {
    if !io::stdout().is_terminal() || terminal::is_dumb() {
        say("status --watch needs a terminal");
        return ExitStatus::Failure;
    }
    let unknown = filter.unknown(&report);
    if !unknown.is_empty() {
        unknown.iter().for_each(|line| say(line));
        return ExitStatus::Failure;
    }
    match watch(filter, report, sockets) {
        Ok(()) => ExitStatus::Success,
        Err(error) => {
            say(&format!("status --watch: {error}"));
            ExitStatus::Failure
        }
    }
}

fn watch(filter: &Filter, report: StatusReport, sockets: &Sockets) -> io::Result<()> {
    let (sender, inputs) = sync_channel(4);
    // Handled before the terminal is taken, so that none of them leaves it as it must not be.
    let signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGWINCH, SIGTSTP, SIGCONT])?;
    let screen = Screen::take()?;
    let before = screen.before();
    let (from_signals, from_keys) = (sender.clone(), sender.clone());
    spawn("signals", move || take_signals(signals, &from_signals, &before))?;
    if io::stdin().is_terminal() {
        spawn("keys", move || take_keys(&from_keys))?;
    }
    let sockets = sockets.clone();
    spawn("questions", move || ask_on(&sockets, &sender))?;
    // A terminal that is gone is an end like any other.
    let _ = draw_on(&screen, &inputs, Watch::new(filter.clone(), report, unix_now()));
    Ok(())
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> io::Result<()> {
    thread::Builder::new().name(name.to_owned()).spawn(run).map(drop)
}

fn draw_on(screen: &Screen, inputs: &Receiver<Input>, mut watch: Watch) -> io::Result<()> {
    let colours = terminal::colours();
    let mut anew = false;
    loop {
        let size = terminal::size().unwrap_or(USUAL);
        screen.draw(&watch.screen(size, colours, unix_now()), anew)?;
        anew = false;
        match inputs.recv_timeout(INTERVAL) {
            Ok(Input::Answer(answer)) => watch.take(answer.map(|report| *report), unix_now()),
            Ok(Input::Signal(SIGWINCH)) => anew = true,
            Ok(Input::Signal(SIGTSTP)) => {
                screen.leave();
                emulate_default_handler(SIGTSTP)?;
                screen.enter()?;
                anew = true;
            }
            Ok(Input::Signal(SIGCONT)) => {
                screen.enter()?;
                anew = true;
            }
            Ok(Input::Signal(_)) | Err(RecvTimeoutError::Disconnected) => return Ok(()),
            Ok(Input::Keys(bytes)) => {
                if bytes.is_empty() {
                    return Ok(());
                }
                for key in keys(&bytes) {
                    match key {
                        Key::End => return Ok(()),
                        Key::Redraw => anew = true,
                        Key::Scroll(to) => watch.scroll(to),
                    }
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
        }
    }
}

fn ask_on(sockets: &Sockets, sender: &SyncSender<Input>) {
    loop {
        thread::sleep(INTERVAL);
        let answer = ask_within(sockets, &Request::Status, PATIENCE);
        let answer =
            answer.map_err(|error| error.to_string()).and_then(|text| parse(&text).map(Box::new));
        if sender.send(Input::Answer(answer)).is_err() {
            return;
        }
    }
}

fn take_keys(sender: &SyncSender<Input>) {
    let mut stdin = io::stdin().lock();
    let mut buffer = [0; 256];
    loop {
        // An error is as good as the end: the terminal is gone.
        let count = stdin.read(&mut buffer).unwrap_or(0);
        if sender.send(Input::Keys(buffer[..count].to_vec())).is_err() || count == 0 {
            return;
        }
    }
}

fn take_signals(mut signals: Signals, sender: &SyncSender<Input>, before: &Modes) {
    for signal in signals.forever() {
        if [SIGWINCH, SIGTSTP, SIGCONT].contains(&signal) {
            if sender.send(Input::Signal(signal)).is_err() {
                return;
            }
            continue;
        }
        let _ = sender.try_send(Input::Signal(signal));
        // The loop ends the program, unless it hangs in a terminal that takes nothing any more.
        let end = Instant::now() + ENDING;
        while Instant::now() < end {
            thread::sleep(end.saturating_duration_since(Instant::now()));
        }
        before.restore();
        std::process::exit(ExitStatus::Failure.code().into());
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Key {
    End,
    Redraw,
    Scroll(Scroll),
}

/// What keys ask for; others ask for nothing.
fn keys(mut bytes: &[u8]) -> Vec<Key> {
    const KEYS: [(&[u8], Key); 26] = [
        (b"q", Key::End),
        (b"Q", Key::End),
        (b"\x03", Key::End),
        (b"\x0c", Key::Redraw),
        (b"k", Key::Scroll(Scroll::Up)),
        (b"\x1b[A", Key::Scroll(Scroll::Up)),
        (b"\x1bOA", Key::Scroll(Scroll::Up)),
        (b"j", Key::Scroll(Scroll::Down)),
        (b"\r", Key::Scroll(Scroll::Down)),
        (b"\n", Key::Scroll(Scroll::Down)),
        (b"\x1b[B", Key::Scroll(Scroll::Down)),
        (b"\x1bOB", Key::Scroll(Scroll::Down)),
        (b"b", Key::Scroll(Scroll::PageUp)),
        (b"\x1b[5~", Key::Scroll(Scroll::PageUp)),
        (b" ", Key::Scroll(Scroll::PageDown)),
        (b"\x1b[6~", Key::Scroll(Scroll::PageDown)),
        (b"g", Key::Scroll(Scroll::Top)),
        (b"\x1b[H", Key::Scroll(Scroll::Top)),
        (b"\x1bOH", Key::Scroll(Scroll::Top)),
        (b"\x1b[1~", Key::Scroll(Scroll::Top)),
        (b"G", Key::Scroll(Scroll::End)),
        (b"\x1b[F", Key::Scroll(Scroll::End)),
        (b"\x1bOF", Key::Scroll(Scroll::End)),
        (b"\x1b[4~", Key::Scroll(Scroll::End)),
        (b"\x1b[7~", Key::Scroll(Scroll::Top)),
        (b"\x1b[8~", Key::Scroll(Scroll::End)),
    ];
    let mut asked = Vec::new();
    while !bytes.is_empty() {
        match KEYS.into_iter().find(|(key, _)| bytes.starts_with(key)) {
            Some((key, what)) => {
                asked.push(what);
                bytes = &bytes[key.len()..];
            }
            None => bytes = skip(bytes),
        }
    }
    asked
}

/// Passes over one key that means nothing here: of a sequence all of it, or its end would be read as keys.
fn skip(bytes: &[u8]) -> &[u8] {
    match bytes {
        [0x1b, b'[', rest @ ..] => {
            let end = rest.iter().position(|byte| (0x40..=0x7e).contains(byte));
            end.map_or(&[], |end| &rest[end + 1..])
        }
        [0x1b, b'O', _, rest @ ..] => rest,
        [_, rest @ ..] => rest,
        [] => bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_also_when_several_come_at_once() {
        use Scroll::{Down, End, PageDown, Up};
        let scroll = |to| Key::Scroll(to);
        assert_eq!(keys(b"q"), [Key::End]);
        assert_eq!(keys(b"\x03"), [Key::End]);
        assert_eq!(
            keys(b"j\x1b[A\x1bOB \x1b[4~"),
            [scroll(Down), scroll(Up), scroll(Down), scroll(PageDown), scroll(End)]
        );
        // F5, Alt-x, a shifted arrow, a lone escape, and what is no key at all.
        assert_eq!(keys(b"\x1b[15~\x1bx\x1b[1;2A\xff\x00\x1b"), []);
        assert_eq!(keys(b"\x1b[99999"), []);
    }
}
