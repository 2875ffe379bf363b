//! The terminal: its size, its colours, and having it for oneself for a while.

use crate::status::{Colours, Size};
use rustix::termios::{
    LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcgetwinsize, tcsetattr,
};
use std::env;
use std::io::{self, IsTerminal, Write};

/// Size of the terminal that is standard output; `None` if it is none, or does not know.
pub(super) fn size() -> Option<Size> {
    let size = tcgetwinsize(io::stdout()).ok()?;
    let (rows, columns) = (usize::from(size.ws_row), usize::from(size.ws_col));
    (rows > 0 && columns > 0).then_some(Size { rows, columns })
}

/// Whether what goes to standard output is coloured: on a terminal that can, unless `NO_COLOR` is set
/// (no-color.org); `CLICOLOR_FORCE` colours what is no terminal, too.
pub(super) fn colours() -> Colours {
    let set = |name| env::var_os(name).is_some_and(|value| !value.is_empty());
    let forced = set("CLICOLOR_FORCE") && env::var_os("CLICOLOR_FORCE").is_some_and(|it| it != "0");
    if !set("NO_COLOR") && (forced || (io::stdout().is_terminal() && !is_dumb())) {
        Colours::On
    } else {
        Colours::Off
    }
}

/// Whether it can do nothing but print.
pub(super) fn is_dumb() -> bool {
    env::var_os("TERM").is_some_and(|term| term == "dumb")
}

/// The alternate screen, no cursor, no wrapping of lines that are too long: a character that takes two
/// columns must not move everything below it.
const ENTER: &str = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J";

const LEAVE: &str = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l";

/// The terminal as a screen to draw on; as it was before when dropped.
pub(super) struct Screen {
    before: Modes,
}

/// How the terminal treats keys.
#[derive(Clone)]
pub(super) struct Modes(Termios);

impl Modes {
    /// Puts them back. What the terminal shows is left alone.
    pub(super) fn restore(&self) {
        // If it is gone, there is nothing to be restored.
        let _ = tcsetattr(io::stdout(), OptionalActions::Now, &self.0);
    }
}

impl Screen {
    /// Takes the terminal that is standard output. Keys are given one by one and not shown; those that
    /// make signals still do.
    ///
    /// # Errors
    /// When it is none, or is gone.
    pub(super) fn take() -> io::Result<Self> {
        let screen = Self { before: Modes(tcgetattr(io::stdout())?) };
        screen.enter()?;
        Ok(screen)
    }

    /// Takes it again after somebody else had it.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) fn enter(&self) -> io::Result<()> {
        let mut modes = self.before.0.clone();
        modes.local_modes.remove(LocalModes::ICANON | LocalModes::ECHO);
        modes.special_codes[SpecialCodeIndex::VMIN] = 1;
        modes.special_codes[SpecialCodeIndex::VTIME] = 0;
        tcsetattr(io::stdout(), OptionalActions::Now, &modes)?;
        self.write(ENTER)
    }

    /// Gives it back for a while.
    pub(super) fn leave(&self) {
        let _ = self.write(LEAVE);
        self.before.restore();
    }

    /// How it was before.
    pub(super) fn before(&self) -> Modes {
        self.before.clone()
    }

    /// Draws lines from the top. `anew` clears what somebody else may have left.
    ///
    /// # Errors
    /// When it is gone.
    pub(super) fn draw(&self, lines: &[String], anew: bool) -> io::Result<()> {
        let mut frame = String::from("\x1b[H");
        if anew {
            frame.push_str("\x1b[2J");
        }
        for (number, line) in lines.iter().enumerate() {
            frame.push_str(if number == 0 { "\x1b[K" } else { "\r\n\x1b[K" });
            frame.push_str(line);
        }
        self.write(&frame)
    }

    /// In one piece, so that nothing half drawn is seen.
    fn write(&self, text: &str) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(text.as_bytes())?;
        out.flush()
    }
}

impl Drop for Screen {
    fn drop(&mut self) {
        self.leave();
    }
}
