//! The watch thread: looks once a second at the configuration's files and at `maintenancedir`.

use super::input::{Input, Listing};
use super::runtime::{Message, spawn};
use crate::config::Files;
use crate::sync::mpsc::Sender;
use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// Entries of `maintenancedir` that are read.
const MAX_ENTRIES: usize = 100_000;

/// The handle of the watch thread.
#[derive(Debug, Clone)]
pub(super) struct Watch {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    config: PathBuf,
    targets: Mutex<Targets>,
    /// There is another directory to look at.
    changed: Condvar,
    /// Numbers the listings.
    order: AtomicU64,
    /// Between two looks.
    period: Duration,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Targets {
    /// `maintenancedir`.
    directory: Option<PathBuf>,
    /// The files as they were when they were last loaded.
    baseline: Files,
}

impl Watch {
    /// A watch that does not look yet.
    pub(super) fn new(config: &Path, baseline: Files) -> Self {
        Self::with(config, baseline, PERIOD)
    }

    fn with(config: &Path, baseline: Files, period: Duration) -> Self {
        let shared = Shared {
            config: config.to_owned(),
            targets: Mutex::new(Targets { directory: None, baseline }),
            changed: Condvar::new(),
            order: AtomicU64::new(1),
            period,
        };
        Self { shared: Arc::new(shared) }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(&self, owner: &Sender<Message>) -> io::Result<()> {
        let (shared, owner) = (Arc::clone(&self.shared), owner.clone());
        let sender = owner.clone();
        spawn("watch", &owner, move || shared.watch(&sender))
    }

    /// Looks for changes of the files against this baseline from now on: they were read like that,
    /// and refused.
    pub(super) fn rebase(&self, baseline: Files) {
        self.shared.targets().baseline = baseline;
    }

    /// Looks at this directory from now on, and for changes of the files against this baseline.
    pub(super) fn retarget(&self, directory: Option<PathBuf>, baseline: Files) {
        *self.shared.targets() = Targets { directory, baseline };
        self.shared.changed.notify_one();
    }

    /// Reads a directory for whoever needs to know it now.
    pub(super) fn list(&self, directory: &Path) -> Listing {
        self.shared.list(directory)
    }
}

impl Shared {
    fn targets(&self) -> MutexGuard<'_, Targets> {
        self.targets.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn list(&self, directory: &Path) -> Listing {
        // The number comes first: what is read later than another listing has a higher one.
        let order = self.order.fetch_add(1, Ordering::SeqCst);
        let files = file_names(directory).map_err(|error| error.to_string());
        Listing { directory: directory.to_owned(), order, files }
    }

    fn watch(&self, owner: &Sender<Message>) {
        let mut unreadable = false;
        let mut changing = None;
        let mut listed: Option<PathBuf> = None;
        loop {
            let Targets { directory, baseline } = self.pause(&listed);
            match baseline.now(&self.config) {
                Ok(None) => (unreadable, changing) = (false, None),
                // A file that is still being written is looked at again before anybody is told.
                Ok(Some(now)) if changing.as_ref() != Some(&now) => {
                    (unreadable, changing) = (false, Some(now));
                }
                Ok(Some(now)) => {
                    (unreadable, changing) = (false, None);
                    let changed = now.changed_since(&baseline, &self.config);
                    let mut targets = self.targets();
                    if targets.baseline == baseline {
                        targets.baseline = now;
                        drop(targets);
                        let input = Message::Input(Input::FilesChanged(changed.clone()));
                        if !changed.is_empty() && owner.send(input).is_err() {
                            return;
                        }
                    }
                }
                Err(error) if !unreadable => {
                    unreadable = true;
                    let path = self.config.display();
                    let pid = std::process::id();
                    log::warn!("Warning [{pid}]: can not open file {path} for checking: {error}");
                }
                Err(_) => {}
            }
            // Every listing is told, changed or not: the owner alone knows what it knows.
            if let Some(directory) = &directory {
                let listing = Input::Maintenance(self.list(directory));
                if owner.send(Message::Input(listing)).is_err() {
                    return;
                }
            }
            listed = directory;
        }
    }

    /// A period, or less if there is another directory.
    fn pause(&self, listed: &Option<PathBuf>) -> Targets {
        let same = |targets: &mut Targets| targets.directory == *listed;
        let waited = self.changed.wait_timeout_while(self.targets(), self.period, same);
        waited.unwrap_or_else(PoisonError::into_inner).0.clone()
    }
}

// compat: a directory that is not there has no files (compat/cases/423)
fn file_names(directory: &Path) -> io::Result<BTreeSet<String>> {
    let mut names = BTreeSet::new();
    let entries = match fs::read_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(names),
        entries => entries?,
    };
    for entry in entries.take(MAX_ENTRIES) {
        names.extend(entry?.file_name().into_string().ok());
    }
    Ok(names)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Fingerprint;
    use crate::sync::mpsc::{Receiver, channel};
    use std::fs::File;
    use std::time::SystemTime;

    #[test]
    fn a_directory_that_cannot_be_read_is_not_an_empty_one() {
        let directory = tempfile::tempdir().expect("a directory");
        let fingerprint = Fingerprint { stamp: None, checksum: [0; 16] };
        let watch = Watch::new(Path::new("a.cf"), fingerprint.into());
        let empty = watch.list(directory.path());
        assert_eq!(empty.files, Ok(BTreeSet::new()));
        fs::write(directory.path().join("10.0.0.2"), "").expect("a file");
        let listing = watch.list(directory.path());
        assert_eq!(listing.files, Ok(BTreeSet::from(["10.0.0.2".to_owned()])));
        assert!(listing.order > empty.order);
        assert!(watch.list(&directory.path().join("10.0.0.2")).files.is_err());
        assert_eq!(watch.list(&directory.path().join("absent")).files, Ok(BTreeSet::new()));
    }

    /// Far beyond what anything here takes, even on a busy machine.
    const PATIENCE: Duration = Duration::from_secs(30);

    fn now(config: &Path) -> Files {
        Fingerprint::of(config).expect("a fingerprint").into()
    }

    /// A watch of `a.cf` in a directory, as it is now, that looks all the time, and what it tells.
    fn started(directory: &Path, period: Duration) -> (Watch, Receiver<Message>, Files) {
        let config = directory.join("a.cf");
        fs::write(&config, "one").expect("a file");
        let baseline = now(&config);
        let watch = Watch::with(&config, baseline.clone(), period);
        let (owner, inbox) = channel();
        watch.start(&owner).expect("a thread");
        (watch, inbox, baseline)
    }

    /// Waits for the next listing. Whether a change of the file was told of before.
    fn listed(inbox: &Receiver<Message>) -> (Listing, bool) {
        let mut changed = false;
        loop {
            match inbox.recv_timeout(PATIENCE).expect("a listing") {
                Message::Input(Input::Maintenance(listing)) => return (listing, changed),
                Message::Input(Input::FilesChanged(_)) => changed = true,
                other => panic!("{other:?}"),
            }
        }
    }

    #[test]
    fn another_directory_is_looked_at_at_once_and_then_in_every_period() {
        let directory = tempfile::tempdir().expect("a directory");
        let long = Duration::from_secs(3600);
        let (watch, inbox, baseline) = started(directory.path(), long);
        for name in ["one", "two"] {
            let maintenance = directory.path().join(name);
            watch.retarget(Some(maintenance.clone()), baseline.clone());
            let (listing, _) = listed(&inbox);
            assert_eq!((listing.directory, listing.files), (maintenance, Ok(BTreeSet::new())));
        }
        assert!(inbox.try_recv().is_err(), "the period is long");
        let (watch, inbox, baseline) = started(directory.path(), Duration::from_millis(1));
        watch.retarget(Some(directory.path().join("one")), baseline);
        let orders: Vec<u64> = (0..5).map(|_| listed(&inbox).0.order).collect();
        assert!(orders.is_sorted_by(|one, next| one < next), "{orders:?}");
    }

    #[test]
    fn a_change_of_the_file_is_told_of_once_when_it_is_as_it_was_a_look_before() {
        let directory = tempfile::tempdir().expect("a directory");
        let (watch, inbox, baseline) = started(directory.path(), Duration::from_millis(1));
        let config = directory.path().join("a.cf");
        for text in ["two, which is longer", "three"] {
            fs::write(&config, text).expect("a file");
            let told = inbox.recv_timeout(PATIENCE).expect("a change");
            assert!(matches!(told, Message::Input(Input::FilesChanged(_))), "{told:?}");
        }
        watch.retarget(Some(directory.path().join("m")), now(&config));
        for _ in 0..5 {
            assert!(!listed(&inbox).1, "it has been told of");
        }
        // What was loaded is the first content: the present one is a change.
        watch.rebase(baseline);
        let begun = std::time::Instant::now();
        while !listed(&inbox).1 {
            assert!(begun.elapsed() < PATIENCE);
        }
    }

    #[test]
    fn a_file_that_is_still_being_written_is_not_told_of() {
        let directory = tempfile::tempdir().expect("a directory");
        let (watch, inbox, baseline) = started(directory.path(), Duration::from_secs(3600));
        let mut names = (0..).map(|number| directory.path().join(format!("{number}")));
        // Another directory makes it look at once; this is one look.
        let mut look = |text: Option<&str>| {
            if let Some(text) = text {
                fs::write(directory.path().join("a.cf"), text).expect("a file");
            }
            watch.retarget(names.next(), baseline.clone());
            listed(&inbox).1
        };
        assert!(!look(None));
        for text in ["virtual", "virtual = 10.0.0.1", "virtual = 10.0.0.1:80 and more"] {
            assert!(!look(Some(text)), "{text}");
        }
        assert!(look(None), "it is as it was a look before");
    }

    #[test]
    fn a_file_that_is_touched_or_known_already_is_no_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let (watch, inbox, _) = started(directory.path(), Duration::from_millis(1));
        let config = directory.path().join("a.cf");
        let file = File::options().append(true).open(&config).expect("a file");
        file.set_modified(SystemTime::UNIX_EPOCH).expect("a time");
        let maintenance = Some(directory.path().join("m"));
        watch.retarget(maintenance, now(&config));
        for _ in 0..5 {
            assert!(!listed(&inbox).1);
        }
        fs::remove_file(&config).expect("removed");
        for _ in 0..5 {
            assert!(!listed(&inbox).1, "a file that cannot be read is no change");
        }
    }

    #[test]
    fn the_watch_ends_when_nobody_listens() {
        let directory = tempfile::tempdir().expect("a directory");
        let (watch, inbox, baseline) = started(directory.path(), Duration::from_millis(1));
        watch.retarget(Some(directory.path().join("m")), baseline);
        listed(&inbox);
        drop(inbox);
        let begun = std::time::Instant::now();
        // The thread has the only other handle.
        while Arc::strong_count(&watch.shared) > 1 {
            assert!(begun.elapsed() < PATIENCE);
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}
