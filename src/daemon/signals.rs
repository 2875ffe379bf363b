//! Signals as calls on one thread.

use nix::sys::signal::{SigSet, Signal as Unix};
use signal_hook::consts::{
    SIGALRM, SIGCHLD, SIGHUP, SIGINT, SIGPIPE, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM,
    SIGXCPU, SIGXFSZ,
};
use signal_hook::iterator::Signals as Handlers;
use std::io;
use std::thread;

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// TERM, INT, QUIT: end cleanly. The name without SIG, for the log.
    Terminate(&'static str),
    /// HUP: read the configuration again.
    Reload,
}

/// The program's handlers, and every signal blocked.
#[derive(Debug)]
pub struct Signals(Handlers);

/// Signals that a fault of the program raises in the very thread; to block them would hide the fault.
const FAULTS: [Unix; 7] = [
    Unix::SIGSEGV,
    Unix::SIGBUS,
    Unix::SIGILL,
    Unix::SIGFPE,
    Unix::SIGABRT,
    Unix::SIGSYS,
    Unix::SIGTRAP,
];

impl Signals {
    /// Blocks every signal in this thread and all that it will start; what comes waits for
    /// [`Signals::deliver`]. Must be called before any other thread is started.
    ///
    /// A signal that is to do nothing has a handler all the same: an ignored one would be ignored in
    /// every program started from here, too.
    ///
    /// # Errors
    /// When the handlers cannot be installed.
    // The original dies of USR1, USR2 and ALRM and leaves everything behind (spec, B9).
    pub fn block() -> io::Result<Self> {
        let asking = [SIGHUP, SIGTERM, SIGINT, SIGQUIT];
        let harmless = [SIGUSR1, SIGUSR2, SIGALRM, SIGVTALRM, SIGPIPE, SIGCHLD, SIGXCPU, SIGXFSZ];
        let handlers = Handlers::new(asking.iter().chain(&harmless))?;
        let mut blocked = SigSet::all();
        for fault in FAULTS {
            blocked.remove(fault);
        }
        blocked.thread_block()?;
        Ok(Self(handlers))
    }

    /// Starts the thread that takes the signals.
    ///
    /// # Errors
    /// When it cannot be started.
    pub fn deliver(self, take: impl Fn(Signal) + Send + 'static) -> io::Result<()> {
        let Self(mut handlers) = self;
        let run = move || {
            if let Err(error) = SigSet::all().thread_unblock() {
                log::error!("cannot take signals: {error}");
            }
            for number in handlers.forever() {
                match number {
                    SIGHUP => take(Signal::Reload),
                    SIGTERM => take(Signal::Terminate("TERM")),
                    SIGINT => take(Signal::Terminate("INT")),
                    SIGQUIT => take(Signal::Terminate("QUIT")),
                    _ => {}
                }
            }
        };
        thread::Builder::new().name("signals".into()).stack_size(128 * 1024).spawn(run)?;
        Ok(())
    }
}
