//! The prober's life: greeting, walls, orders, until the director is gone.

use super::outbox::Outbox;
use super::seam::{Inbox, Nonsense, Order, TO_PROBER, Word};
use super::walls;
use super::work::Work;
use crate::check::tls;
use crate::process::close_inherited;
use nix::errno::Errno;
use nix::fcntl::{OFlag, open};
use nix::sys::prctl;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::socket::{MsgFlags, recv};
use nix::sys::stat::Mode;
use nix::unistd::dup2_stdin;
use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::OnceLock;

/// The argument that makes the program a prober. Its socket is standard input.
pub const ARGUMENT: &str = "--prober";

/// What `ps` and `top` call it: not `ldirectord`, which scripts count.
const NAME: &std::ffi::CStr = c"ldir-prober";

/// Bytes that are read at a time.
const CHUNK: usize = 64 * 1024;

/// Works for the director at standard input until it is gone.
///
/// # Errors
/// When nobody speaks as a director there, or a thread cannot be started.
pub fn serve() -> io::Result<()> {
    close_inherited();
    let mut orders = Orders::take()?;
    prctl::set_name(NAME)?;
    // Whoever ends the director ends this process, too; `killall` and a terminal's Ctrl-C do not
    // take it away before.
    let mut blocked = SigSet::empty();
    for signal in [Signal::SIGHUP, Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTERM] {
        blocked.add(signal);
    }
    blocked.thread_block()?;
    let Some(Order::Begin { rights, verbosity }) = orders.next()? else {
        return Err(io::Error::other("no director at standard input"));
    };
    let walls = walls::raise(rights);
    // The first thread of several: from here on the walls hold for all.
    let outbox = Outbox::start(orders.socket.try_clone()?)?;
    log_to(&outbox, verbosity);
    #[cfg(debug_assertions)]
    super::attempts::try_what_is_forbidden(&outbox);
    outbox.say(Word::Ready(walls));
    let socket = orders.socket.try_clone()?;
    let mut fault = None;
    Work::start(&outbox)?.go_on(&socket, |work| match orders.read(MsgFlags::MSG_DONTWAIT) {
        Ok(goes_on) => {
            while let Some(order) = orders.inbox.take().transpose() {
                match order {
                    Ok(order) => carry_out(order, work),
                    Err(nonsense) => {
                        fault = Some(from_director(&nonsense));
                        return false;
                    }
                }
            }
            goes_on
        }
        Err(error) => {
            fault = Some(error);
            false
        }
    })?;
    fault.map_or(Ok(()), Err)
}

fn carry_out(order: Order, work: &mut Work) {
    match order {
        Order::Begin { .. } => {}
        Order::Plans(plans) => work.install(plans),
        Order::Forget(checks) => work.forget(&checks),
        Order::Certificates(file, content) => tls::supply(file, content),
        Order::Run(runs) => work.run(runs),
        Order::Transcribe(runs) => runs.into_iter().for_each(|run| work.transcribe(run)),
        Order::Alive(number) => work.say_alive(number),
    }
}

fn from_director(nonsense: &Nonsense) -> io::Error {
    io::Error::other(format!("from the director: {nonsense}"))
}

/// The director's orders, as they come.
struct Orders {
    socket: UnixStream,
    inbox: Inbox,
    chunk: Vec<u8>,
}

impl Orders {
    /// Takes the socket from standard input, which is empty from then on.
    fn take() -> io::Result<Self> {
        let socket = UnixStream::from(io::stdin().as_fd().try_clone_to_owned()?);
        // Somebody who tries the argument by hand has no socket there.
        socket.peer_addr()?;
        dup2_stdin(open("/dev/null", OFlag::O_RDONLY | OFlag::O_CLOEXEC, Mode::empty())?)?;
        Ok(Self { socket, inbox: Inbox::new(TO_PROBER), chunk: vec![0; CHUNK] })
    }

    /// The next one; `None` when the director is gone.
    fn next(&mut self) -> io::Result<Option<Order>> {
        loop {
            if let Some(order) = self.inbox.take().map_err(|it: Nonsense| from_director(&it))? {
                return Ok(Some(order));
            }
            if !self.read(MsgFlags::empty())? {
                return Ok(None);
            }
        }
    }

    /// Takes in what has come. False when the director is gone.
    fn read(&mut self, flags: MsgFlags) -> io::Result<bool> {
        match recv(self.socket.as_raw_fd(), &mut self.chunk, flags) {
            Ok(0) | Err(Errno::ECONNRESET) => Ok(false),
            Ok(count) => {
                self.inbox.push(&self.chunk[..count]);
                Ok(true)
            }
            Err(Errno::EINTR | Errno::EAGAIN) => Ok(true),
            Err(error) => Err(error.into()),
        }
    }
}

/// Has the director write the log, and tell of faults of the program.
fn log_to(outbox: &Outbox, verbosity: usize) {
    static LOGGER: OnceLock<Lines> = OnceLock::new();
    let logger = LOGGER.get_or_init(|| Lines(outbox.clone()));
    // The only logger of this process: this cannot fail.
    let _ = log::set_logger(logger);
    let level = log::LevelFilter::iter().nth(verbosity).unwrap_or(log::LevelFilter::Info);
    log::set_max_level(level);
    std::panic::set_hook(Box::new(|fault| log::warn!("internal fault, please report: {fault}")));
}

struct Lines(Outbox);

impl log::Log for Lines {
    fn enabled(&self, metadata: &log::Metadata<'_>) -> bool {
        metadata.level() <= log::max_level() && metadata.target().starts_with("ldirectord")
    }

    fn log(&self, record: &log::Record<'_>) {
        if self.enabled(record.metadata()) {
            let text = record.args().to_string();
            self.0.say(Word::Line { level: record.level() as usize, text });
        }
    }

    fn flush(&self) {}
}
