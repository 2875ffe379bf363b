//! The state directory: one lock, one file, replaced as a whole.

use std::collections::BTreeSet;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};
use nix::libc::{O_NOFOLLOW, O_NONBLOCK};
use nix::unistd::geteuid;

use super::failure::Failure;
use super::ledger::Ledger;

/// A larger state file is not ours: 10,000 services need less than 1 MB.
const LARGEST: u64 = 4 << 20;

/// How long a run waits for another; below the director's 60 s for a fallback command.
const PATIENCE: Duration = Duration::from_secs(30);

/// The state directory.
#[derive(Debug)]
pub(super) struct Store {
    directory: PathBuf,
}

/// The state directory while no other run may act.
#[derive(Debug)]
pub(super) struct Locked<'a> {
    store: &'a Store,
    /// Unlocks when dropped.
    _lock: Flock<File>,
}

impl Store {
    /// Does nothing yet.
    pub(super) fn new(directory: PathBuf) -> Self {
        Self { directory }
    }

    /// Waits until no other run acts. Makes the directory where it is missing.
    pub(super) fn lock(&self) -> Result<Locked<'_>, Failure> {
        self.prepare()?;
        let path = self.directory.join("lock");
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(O_NOFOLLOW)
            .open(&path)
            .map_err(|error| failed("open", &path, &error))?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
                Ok(lock) => return Ok(Locked { store: self, _lock: lock }),
                Err((again, Errno::EAGAIN | Errno::EINTR)) if Instant::now() < deadline => {
                    file = again;
                    sleep(Duration::from_millis(5));
                }
                Err((_, Errno::EAGAIN)) => return Err(Failure::Busy { path, waited: PATIENCE }),
                Err((_, errno)) => return Err(failed("lock", &path, &errno.into())),
            }
        }
    }

    /// Reads the state as the latest run left it; none is an empty one.
    pub(super) fn read(&self) -> Result<Ledger, Failure> {
        Ok(Ledger::parse(&self.read_file("state")?))
    }

    /// The text of a file in the directory; empty if there is none.
    fn read_file(&self, name: &str) -> Result<String, Failure> {
        let path = self.directory.join(name);
        // O_NONBLOCK: opening a named pipe must not wait for somebody to write to it.
        let flags = O_NOFOLLOW | O_NONBLOCK;
        let file = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
            Err(error) => return Err(failed("read", &path, &error)),
        };
        let mut bytes = Vec::new();
        file.take(LARGEST)
            .read_to_end(&mut bytes)
            .map_err(|error| failed("read", &path, &error))?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// The addresses that the guard has lowered and not raised again.
    pub(super) fn lapsed(&self) -> Result<BTreeSet<IpAddr>, Failure> {
        let text = self.read_file("lapsed")?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    /// Forgets those of them that nobody knows any more.
    pub(super) fn forget_lapsed(&self) -> Result<(), Failure> {
        let locked = self.lock()?;
        let ledger = locked.read()?;
        let mut lapsed = self.lapsed()?;
        lapsed.retain(|address| ledger.of(*address).is_some());
        locked.write_lapsed(&lapsed)
    }

    /// A directory that others may write is not used: what stands in it could be anybody's.
    fn prepare(&self) -> Result<(), Failure> {
        let path = &self.directory;
        DirBuilder::new()
            .recursive(true)
            .mode(0o755)
            .create(path)
            .map_err(|error| failed("create", path, &error))?;
        let metadata =
            fs::symlink_metadata(path).map_err(|error| failed("inspect", path, &error))?;
        let cause = if !metadata.is_dir() {
            "not a directory; remove it, or choose another --state-dir"
        } else if metadata.uid() != geteuid().as_raw() {
            "belongs to another user; run as its owner, or choose another --state-dir"
        } else if metadata.mode() & 0o022 != 0 {
            "others may write to it; chmod go-w, or choose another --state-dir"
        } else {
            return Ok(());
        };
        Err(Failure::State { operation: "use", path: path.clone(), cause: cause.to_owned() })
    }
}

impl Locked<'_> {
    /// Reads the state.
    pub(super) fn read(&self) -> Result<Ledger, Failure> {
        self.store.read()
    }

    /// Replaces the state: a reader sees the old or the new one, and a crash leaves one of them.
    pub(super) fn write(&self, ledger: &Ledger) -> Result<(), Failure> {
        self.replace("state", &ledger.to_text())
    }

    /// Notes that the guard has lowered an address, or that it is not the guard's any more.
    pub(super) fn note_lapsed(&self, address: IpAddr, lapsed: bool) -> Result<(), Failure> {
        let mut all = self.store.lapsed()?;
        let changed = if lapsed { all.insert(address) } else { all.remove(&address) };
        if changed { self.write_lapsed(&all) } else { Ok(()) }
    }

    fn write_lapsed(&self, lapsed: &BTreeSet<IpAddr>) -> Result<(), Failure> {
        let text: String = lapsed.iter().map(|address| format!("{address}\n")).collect();
        self.replace("lapsed", &text)
    }

    fn replace(&self, name: &str, text: &str) -> Result<(), Failure> {
        let path = self.store.directory.join(name);
        let new = self.store.directory.join(format!("{name}.new"));
        let replace = || {
            match fs::remove_file(&new) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
            let mut file = OpenOptions::new()
                .create_new(true)
                .write(true)
                .mode(0o644)
                .custom_flags(O_NOFOLLOW)
                .open(&new)?;
            file.write_all(text.as_bytes())?;
            fs::rename(&new, &path)
        };
        replace().map_err(|error| failed("write", &path, &error))
    }
}

/// Says, as long as it is there and the process lives, that an address is being settled.
#[derive(Debug)]
pub(super) struct Settling {
    _lock: Flock<File>,
}

impl Locked<'_> {
    /// Says that this run settles an address; others may settle it, too.
    pub(super) fn settling(&self, address: IpAddr) -> Result<Settling, Failure> {
        let path = self.settle_file(address);
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .custom_flags(O_NOFOLLOW)
            .open(&path)
            .map_err(|error| failed("open", &path, &error))?;
        // Nobody has it exclusively: that is done only under the lock of the directory.
        match Flock::lock(file, FlockArg::LockSharedNonblock) {
            Ok(lock) => Ok(Settling { _lock: lock }),
            Err((_, errno)) => Err(failed("lock", &path, &errno.into())),
        }
    }

    /// Whether a living run settles this address.
    pub(super) fn is_settling(&self, address: IpAddr) -> Result<bool, Failure> {
        let path = self.settle_file(address);
        let flags = O_NOFOLLOW | O_NONBLOCK;
        let file = match OpenOptions::new().write(true).custom_flags(flags).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            Err(error) => return Err(failed("open", &path, &error)),
        };
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(_lock) => {
                fs::remove_file(&path).map_err(|error| failed("remove", &path, &error))?;
                Ok(false)
            }
            Err((_, Errno::EAGAIN)) => Ok(true),
            Err((_, errno)) => Err(failed("lock", &path, &errno.into())),
        }
    }

    fn settle_file(&self, address: IpAddr) -> PathBuf {
        self.store.directory.join(format!("settle.{address}"))
    }
}

fn failed(operation: &'static str, path: &Path, error: &io::Error) -> Failure {
    let advice = match error.kind() {
        io::ErrorKind::PermissionDenied => "; run as root, or choose another --state-dir",
        _ => "",
    };
    Failure::State { operation, path: path.to_owned(), cause: format!("{error}{advice}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    const LINE: &str = "198.51.100.1 udp 198.51.100.1:53 up 5 lo all\n";

    fn store() -> (tempfile::TempDir, Store) {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::new(directory.path().join("deep/er"));
        (directory, store)
    }

    #[test]
    fn a_written_state_is_read_again_and_a_missing_one_is_empty() {
        let (_directory, store) = store();
        assert_eq!(store.read().unwrap(), Ledger::default());
        let locked = store.lock().unwrap();
        assert_eq!(locked.read().unwrap(), Ledger::default());
        let ledger = Ledger::parse(LINE);
        locked.write(&ledger).unwrap();
        locked.write(&ledger).unwrap();
        drop(locked);
        assert_eq!(store.read().unwrap(), ledger);
    }

    #[test]
    fn a_state_that_is_no_text_or_endless_is_tolerated() {
        let (_directory, store) = store();
        drop(store.lock().unwrap());
        let path = store.directory.join("state");
        fs::write(&path, [b"\xff\xfe\0\n", LINE.as_bytes()].concat()).unwrap();
        let ledger = store.read().unwrap();
        assert_eq!((ledger.damaged, ledger.addresses().count()), (1, 1));
        File::create(&path).unwrap().set_len(1 << 40).unwrap();
        assert_eq!(store.read().unwrap().damaged, 1);
    }

    #[test]
    fn links_and_directories_of_others_are_refused() {
        let (directory, store) = store();
        drop(store.lock().unwrap());
        let victim = directory.path().join("victim");
        fs::write(&victim, LINE).unwrap();
        symlink(&victim, store.directory.join("state")).unwrap();
        assert!(matches!(store.read(), Err(Failure::State { operation: "read", .. })));
        symlink(&victim, store.directory.join("state.new")).unwrap();
        store.lock().unwrap().write(&Ledger::default()).unwrap();
        assert_eq!(fs::read_to_string(&victim).unwrap(), LINE);

        fs::set_permissions(&store.directory, fs::Permissions::from_mode(0o777)).unwrap();
        assert!(matches!(store.lock(), Err(Failure::State { operation: "use", .. })));
        let link = directory.path().join("link");
        symlink(&store.directory, &link).unwrap();
        assert!(matches!(Store::new(link).lock(), Err(Failure::State { operation: "use", .. })));
    }

    #[test]
    fn an_address_is_settled_as_long_as_a_run_that_says_so() {
        let (_directory, store) = store();
        let (one, other) = ("198.51.100.1".parse().unwrap(), "2001:db8::1".parse().unwrap());
        let locked = store.lock().unwrap();
        assert!(!locked.is_settling(one).unwrap());
        let first = locked.settling(one).unwrap();
        let second = locked.settling(one).unwrap();
        assert!(!locked.is_settling(other).unwrap());
        drop(first);
        assert!(locked.is_settling(one).unwrap(), "another run does still");
        drop(second);
        assert!(!locked.is_settling(one).unwrap());
        assert!(!locked.settle_file(one).exists());
    }

    #[test]
    fn the_lock_is_for_one_at_a_time() {
        let (_directory, store) = store();
        let held = store.lock().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let _second = store.lock().unwrap();
                sender.send(()).unwrap();
            });
            assert!(receiver.recv_timeout(Duration::from_millis(100)).is_err());
            drop(held);
            receiver.recv().unwrap();
        });
    }
}
