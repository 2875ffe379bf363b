//! The pid file: where the original has it, with what the original writes, and locked.
//!
//! The lock says that the process lives; it cannot be mistaken as a number can. A running original
//! has none, so it is recognised by its command line.

use super::process_table::{self, Handle};
use nix::fcntl::{FcntlArg, fcntl};
use nix::libc;
use nix::unistd::dup2_stdin;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// How long a daemon may take between locking its file and writing into it.
const WRITING: Duration = Duration::from_secs(2);

/// How long a process that is dying may hold the file. The kernel takes what a process has one after
/// another, memory before files.
const ENDING: Duration = Duration::from_secs(10);

/// What a pid file tells.
#[derive(Debug)]
pub(super) enum Found {
    /// A daemon of this instance lives.
    Running(Handle),
    /// There is a file, but no daemon.
    Stale,
    /// There is none, or an empty one.
    Absent,
}

/// The pid file of this process.
#[derive(Debug)]
pub(super) struct PidFile {
    path: PathBuf,
    file: File,
}

/// Why a pid file was not taken.
#[derive(Debug)]
pub(super) enum Refusal {
    /// A daemon of this instance lives.
    Running,
    /// Somebody holds it who is none, and does not let go.
    Ending,
    /// The system says no.
    Io(io::Error),
}

impl From<io::Error> for Refusal {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Whether a daemon lives, by its pid file.
pub(super) fn find(path: &Path) -> Found {
    let deadline = Instant::now() + WRITING;
    loop {
        let Ok(file) = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(path)
        else {
            return Found::Absent;
        };
        let locked = is_locked(&file);
        let text = first_line(&file);
        if locked && text.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(10));
            continue;
        }
        if text.is_empty() {
            return Found::Absent;
        }
        let Some(handle) = text.parse().ok().and_then(Handle::open) else { return Found::Stale };
        let alive = locked || process_table::is_original(handle.pid());
        return if alive && !handle.is_dying() { Found::Running(handle) } else { Found::Stale };
    }
}

// compat: only the first line counts, whatever follows (spec 1.5)
fn first_line(file: &File) -> String {
    let mut bytes = Vec::new();
    // What cannot be read says nothing.
    let _ = file.take(64).read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes);
    text.lines().next().unwrap_or_default().trim().to_owned()
}

impl PidFile {
    /// Takes the pid file for this process.
    ///
    /// Waits for a process that is dying to let go of it.
    pub(super) fn create(path: &Path) -> Result<Self, Refusal> {
        let deadline = Instant::now() + ENDING;
        loop {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o644)
                .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK)
                .open(path)?;
            if !lock(&file)? {
                match find(path) {
                    Found::Running(_) => return Err(Refusal::Running),
                    _ if Instant::now() > deadline => return Err(Refusal::Ending),
                    Found::Stale | Found::Absent => {}
                }
                thread::sleep(Duration::from_millis(10));
                continue;
            }
            // Between opening and locking, the daemon before may have removed it.
            if !is_in_place(&file, path) {
                continue;
            }
            let pid = first_line(&file).parse().ok();
            if pid.is_some_and(process_table::is_original) {
                return Err(Refusal::Running);
            }
            file.set_len(0)?;
            (&file).seek(SeekFrom::Start(0))?;
            (&file).write_all(format!("{}\n", std::process::id()).as_bytes())?;
            return Ok(Self { path: path.to_owned(), file });
        }
    }
}

impl PidFile {
    /// Keeps the lock when this process starts itself anew: standard input holds it meanwhile, which no
    /// child gets.
    pub(super) fn pass_on(&self) -> io::Result<()> {
        Ok(dup2_stdin(&self.file)?)
    }

    /// The pid file of this process, whose lock standard input holds. From then on that is empty, and
    /// the lock goes to no child, as before.
    pub(super) fn resume(path: &Path) -> io::Result<Self> {
        let file = File::from(io::stdin().as_fd().try_clone_to_owned()?);
        dup2_stdin(File::open("/dev/null")?)?;
        Ok(Self { path: path.to_owned(), file })
    }
}

/// However the daemon ends, its file goes with it, unless somebody has put another one in its place.
impl Drop for PidFile {
    fn drop(&mut self) {
        if is_in_place(&self.file, &self.path)
            && let Err(error) = fs::remove_file(&self.path)
        {
            log::error!("remove {}: {error}", self.path.display());
        }
    }
}

fn is_in_place(file: &File, path: &Path) -> bool {
    match (file.metadata(), fs::symlink_metadata(path)) {
        (Ok(ours), Ok(there)) => (ours.dev(), ours.ino()) == (there.dev(), there.ino()),
        _ => false,
    }
}

/// The whole file, exclusively, for the open file itself, so that it goes with its last descriptor.
fn whole_file() -> libc::flock {
    libc::flock {
        l_type: libc::F_WRLCK as libc::c_short,
        l_whence: libc::SEEK_SET as libc::c_short,
        l_start: 0,
        l_len: 0,
        l_pid: 0,
    }
}

/// Takes the lock; false if another process has it.
fn lock(file: &File) -> io::Result<bool> {
    match fcntl(file, FcntlArg::F_OFD_SETLK(&whole_file())) {
        Ok(_) => Ok(true),
        Err(nix::Error::EAGAIN | nix::Error::EACCES) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// Asks without taking it, so that nobody who wants it is disturbed.
fn is_locked(file: &File) -> bool {
    let mut answer = whole_file();
    fcntl(file, FcntlArg::F_OFD_GETLK(&mut answer)).is_ok()
        && answer.l_type != libc::F_UNLCK as libc::c_short
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_tells_whether_its_daemon_lives() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("ldirectord.x.pid");
        assert!(matches!(find(&path), Found::Absent));
        fs::write(&path, "").unwrap();
        assert!(matches!(find(&path), Found::Absent), "an empty file counts as none");
        for stale in ["junk", "-1\n", "0\n", "99999999999999999999\n", "999999\n"] {
            fs::write(&path, stale).unwrap();
            assert!(matches!(find(&path), Found::Stale), "{stale:?}");
        }
        fs::write(&path, format!("{}\n", std::process::id())).unwrap();
        assert!(matches!(find(&path), Found::Stale), "a living process, but no daemon");
        let ours = PidFile::create(&path).unwrap();
        let Found::Running(handle) = find(&path) else { panic!("it runs") };
        assert_eq!(handle.pid(), std::process::id());
        assert_eq!(fs::read_to_string(&path).unwrap(), format!("{}\n", std::process::id()));
        assert!(matches!(PidFile::create(&path), Err(Refusal::Running)));
        drop(ours);
        assert!(matches!(find(&path), Found::Absent));
    }

    /// A process of the size of a busy daemon takes a while to die, and its lock lasts until its end.
    #[test]
    fn a_daemon_that_was_killed_does_not_live_and_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        assert!(lock(&file).unwrap());
        let script = "my $x = 'x' x 300_000_000; $| = 1; print 'y'; sleep 100";
        let mut child = std::process::Command::new("perl")
            .args(["-e", script])
            .stdin(file)
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        fs::write(&path, format!("{}\n", child.id())).unwrap();
        child.stdout.as_mut().unwrap().read_exact(&mut [0]).unwrap();
        assert!(matches!(find(&path), Found::Running(_)));
        child.kill().unwrap();
        assert!(
            is_locked(&File::open(&path).unwrap()),
            "it is not gone yet, or this shows nothing"
        );
        assert!(matches!(find(&path), Found::Stale));
        let ours = PidFile::create(&path).unwrap();
        drop(ours);
        child.wait().unwrap();
    }

    #[test]
    fn another_s_file_is_not_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pid");
        let ours = PidFile::create(&path).unwrap();
        fs::remove_file(&path).unwrap();
        fs::write(&path, "1\n").unwrap();
        drop(ours);
        assert!(path.exists());
    }

    #[test]
    fn a_link_is_not_followed() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("pid"), directory.path().join("other"));
        fs::write(&other, "precious").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(matches!(PidFile::create(&path), Err(Refusal::Io(_))));
        assert_eq!(fs::read_to_string(&other).unwrap(), "precious");
    }
}
