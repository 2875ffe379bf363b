//! Where log records go.
//!
//! One logger for the whole program. A record that cannot be written goes to standard error; nothing
//! here waits for long, fails or stops the program.

mod syslog;

use log::{Level, LevelFilter, Log, Metadata, Record};
use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::SystemTime;
use syslog::Syslog;

/// A destination of log records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// A file, opened for each record or [`burst`]: `[<ctime>|<instance>|<pid>] <message>`.
    File {
        /// `logfile`.
        path: PathBuf,
        /// The instance's name.
        instance: String,
    },
    /// The local syslog daemon, priority info, as `ldirectord[<pid>]`.
    Syslog {
        /// A facility's name; of an unknown one the original makes `kern`.
        facility: String,
    },
    /// Standard output, `[<ctime>] <message>`: for `supervised=yes`.
    Stdout,
    /// Standard error, each record twice, `DEBUG2: <message>` and `<message>`, and debug output: for
    /// `-d`.
    Stderr,
    /// Nowhere: for those who only ask, over and over.
    Nowhere,
}

/// Installs the program's logger.
///
/// Records from `info` up are always written. Debug output is written under `-d` only, where
/// `RUST_LOG` narrows it (`RUST_LOG=ldirectord::check=debug`).
///
/// # Errors
/// When a logger is installed already.
pub fn init(output: Output) -> io::Result<()> {
    log::set_logger(&LOGGER).map_err(io::Error::other)?;
    redirect(output);
    Ok(())
}

/// Sends all further records elsewhere: after a reload that changes `logfile`.
pub fn redirect(output: Output) {
    let level = match output {
        Output::Stderr => debug_filter().filter().max(LevelFilter::Info),
        Output::File { .. } | Output::Syslog { .. } | Output::Stdout => LevelFilter::Info,
        Output::Nowhere => LevelFilter::Off,
    };
    log::set_max_level(level);
    let sink = match output {
        Output::File { path, instance } => Sink::File { file: LogFile::at(path), instance },
        Output::Syslog { facility } => Sink::Syslog(Syslog::new(&facility)),
        Output::Stdout => Sink::Stdout,
        Output::Stderr => Sink::Stderr,
        Output::Nowhere => Sink::Nowhere,
    };
    LOGGER.flush();
    *LOGGER.sink() = Some(sink);
}

/// Does work whose records come together: a log file is opened and written once for all of them, and
/// opened anew for the next burst, so that logrotate needs to tell nobody. `log::logger().flush()` writes
/// them before that.
pub fn burst<T>(work: impl FnOnce() -> T) -> T {
    /// Ends the burst also when the work panics.
    struct End;
    impl Drop for End {
        fn drop(&mut self) {
            LOGGER.bursts.fetch_sub(1, Ordering::Relaxed);
            LOGGER.flush();
        }
    }
    LOGGER.bursts.fetch_add(1, Ordering::Relaxed);
    let _end = End;
    work()
}

/// A moment in local time as ctime(3) writes it: `Sun Nov 22 22:42:57 2026`.
pub fn ctime(time: SystemTime) -> String {
    let time = jiff::Timestamp::try_from(time).unwrap_or_default();
    time.to_zoned(jiff::tz::TimeZone::system()).strftime("%a %b %e %H:%M:%S %Y").to_string()
}

/// The beginning of a text, at most this many bytes.
pub(crate) fn cut(text: &str, limit: usize) -> &str {
    let mut end = limit.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

static LOGGER: Logger = Logger { sink: Mutex::new(None), bursts: AtomicUsize::new(0) };

struct Logger {
    sink: Mutex<Option<Sink>>,
    /// Bursts that have not ended.
    bursts: AtomicUsize,
}

enum Sink {
    File { file: LogFile, instance: String },
    Syslog(Syslog),
    Stdout,
    Stderr,
    Nowhere,
}

impl Logger {
    fn sink(&self) -> MutexGuard<'_, Option<Sink>> {
        self.sink.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log for Logger {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.level() <= log::max_level()
    }

    fn log(&self, record: &Record<'_>) {
        if record.level() > Level::Info && !debug_filter().matches(record) {
            return;
        }
        let message = record.args().to_string();
        match &mut *self.sink() {
            Some(Sink::File { file, instance }) => {
                let line = file_line(SystemTime::now(), instance, std::process::id(), &message);
                file.put(&line, &message);
                if self.bursts.load(Ordering::Relaxed) == 0 || file.pending.len() > PENDING {
                    file.write_out();
                }
            }
            Some(Sink::Syslog(syslog)) => {
                if syslog.send(SystemTime::now(), &message).is_err() {
                    to_stderr(&format!("{message}\n"));
                }
            }
            Some(Sink::Stdout) => {
                let line = format!("[{}] {message}\n", ctime(SystemTime::now()));
                let mut stdout = io::stdout().lock();
                // Whoever read it is gone: there is nobody to tell.
                let _ = stdout.write_all(line.as_bytes()).and_then(|()| stdout.flush());
            }
            Some(Sink::Stderr) => to_stderr(&debug_lines(record.level(), &message)),
            Some(Sink::Nowhere) => {}
            None => to_stderr(&format!("{message}\n")),
        }
    }

    /// Writes out what a burst has kept, before others see what has been done.
    fn flush(&self) {
        if let Some(Sink::File { file, .. }) = &mut *self.sink() {
            file.write_out();
        }
    }
}

/// `RUST_LOG` as a filter; our own debug output if it is not set.
fn debug_filter() -> &'static env_logger::Logger {
    static FILTER: OnceLock<env_logger::Logger> = OnceLock::new();
    FILTER.get_or_init(|| {
        env_logger::Builder::new()
            .parse_filters(
                &std::env::var("RUST_LOG").unwrap_or_else(|_| "ldirectord=debug".to_owned()),
            )
            .build()
    })
}

fn file_line(time: SystemTime, instance: &str, pid: u32, message: &str) -> String {
    format!("[{}|{instance}|{pid}] {message}\n", ctime(time))
}

/// What `-d` shows of a message.
// compat: the original's debug levels; each log line appears twice (spec 1.9)
fn debug_lines(level: Level, message: &str) -> String {
    match level {
        Level::Error | Level::Warn | Level::Info => format!("DEBUG2: {message}\n{message}\n"),
        Level::Debug => format!("DEBUG2: {message}\n"),
        Level::Trace => format!("DEBUG3: {message}\n"),
    }
}

/// Bytes of a burst that are kept until they are written.
const PENDING: usize = 64 * 1024;

/// A log file, opened for what is to be written now.
struct LogFile {
    path: PathBuf,
    /// Lines of a burst that are not written yet.
    pending: String,
    /// Their messages alone, for standard error if they cannot be.
    messages: String,
}

impl LogFile {
    fn at(path: PathBuf) -> Self {
        Self { path, pending: String::new(), messages: String::new() }
    }

    fn put(&mut self, line: &str, message: &str) {
        self.pending.push_str(line);
        self.messages.push_str(message);
        self.messages.push('\n');
    }

    /// Writes what is pending; to standard error what cannot be written.
    fn write_out(&mut self) {
        let lines = std::mem::take(&mut self.pending);
        let messages = std::mem::take(&mut self.messages);
        if !lines.is_empty() && self.append(&lines).is_err() {
            to_stderr(&messages);
        }
    }

    /// Without blocking, so that a FIFO which nobody reads is an error; in one write, so that lines
    /// of several processes do not mix.
    fn append(&self, lines: &str) -> io::Result<()> {
        OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o644)
            .custom_flags(nix::libc::O_NONBLOCK | nix::libc::O_NOCTTY)
            .open(&self.path)?
            .write_all(lines.as_bytes())
    }
}

fn to_stderr(lines: &str) {
    // There is nowhere left to complain.
    let _ = io::stderr().lock().write_all(lines.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::time::Duration;

    #[test]
    fn a_line_has_ctime_instance_and_pid() {
        let line =
            file_line(SystemTime::UNIX_EPOCH + Duration::from_secs(2), "web.cf", 42, "hello");
        // The hour and day depend on the machine's time zone, the form does not.
        let (stamp, rest) = line.split_once('|').unwrap();
        assert_eq!(rest, "web.cf|42] hello\n");
        assert_eq!(stamp.len(), "[Thu Jan  1 00:00:02 1970".len());
        assert!(stamp.contains(":02 19"), "{stamp}");
    }

    #[test]
    fn debug_mode_shows_log_lines_twice() {
        assert_eq!(debug_lines(Level::Info, "Added"), "DEBUG2: Added\nAdded\n");
        assert_eq!(debug_lines(Level::Debug, "Checking"), "DEBUG2: Checking\n");
        assert_eq!(debug_lines(Level::Trace, "bytes"), "DEBUG3: bytes\n");
    }

    #[test]
    fn a_file_is_made_anew_after_it_was_moved_away() {
        let directory = tempfile::tempdir().unwrap();
        let (path, old) = (directory.path().join("log"), directory.path().join("log.1"));
        let mut file = LogFile::at(path.clone());
        let mut write = |lines: &str| {
            file.put(lines, "");
            file.write_out();
        };
        write("one\n");
        fs::rename(&path, &old).unwrap();
        write("two\nthree\n");
        assert_eq!(fs::read_to_string(&old).unwrap(), "one\n");
        assert_eq!(fs::read_to_string(&path).unwrap(), "two\nthree\n");
        fs::remove_file(&path).unwrap();
        write("four\n");
        write("");
        assert_eq!(fs::read_to_string(&path).unwrap(), "four\n");
    }

    #[test]
    fn what_cannot_be_written_is_an_error_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let append = |path: PathBuf| LogFile::at(path).append("nobody reads\n");
        assert!(append(directory.path().join("no/such/file")).is_err());
        assert!(append(directory.path().to_owned()).is_err());
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(append(fifo).is_err());
        let mut full = LogFile::at("/dev/full".into());
        assert!(full.append("x\n").is_err());
        full.put("[a|b|1] told to standard error\n", "told to standard error");
        full.write_out();
        assert_eq!(full.pending + &full.messages, "", "and not kept for ever");
    }
}
