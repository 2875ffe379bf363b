//! Finds the daemons of this machine and asks each, over and over, on a task of its own.

use crate::client::{NoAnswer, ask};
use crate::history::Tracker;
use crate::state::{HISTORY, InstanceState, Snapshot};
use ldirectord::metrics::{MetricsReport, VERSION};
use ldirectord::status::{UnixTime, unix};
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

/// How long a daemon may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// Between two looks at events and for new daemons.
const TURN: Duration = Duration::from_secs(1);

/// The name of the socket that only reads, behind the instance's.
const SOCKET: &str = ".read.sock";

/// Daemons that are asked; a directory of more is not ours.
const MOST: usize = 1000;

/// Asks, and shows what is known.
#[derive(Debug, Clone)]
pub struct Poller {
    known: watch::Receiver<Arc<Snapshot>>,
    /// Counts up when somebody wants newer answers.
    wanted: Arc<watch::Sender<u64>>,
}

/// What the tasks of the instances share.
#[derive(Debug)]
struct Shared {
    instances: Mutex<BTreeMap<String, Known>>,
    snapshot: watch::Sender<Arc<Snapshot>>,
}

#[derive(Debug, Clone)]
struct Known {
    state: Arc<InstanceState>,
    /// When its last question was over; `None` before the first.
    asked: Option<Instant>,
}

impl Poller {
    /// Begins to ask the daemons that have their sockets in this directory; in full each `interval`, and
    /// at once when something has happened.
    pub fn start(directory: PathBuf, interval: Duration) -> Self {
        let (snapshot, known) = watch::channel(Arc::new(Snapshot::default()));
        let (wanted, wants) = watch::channel(0);
        let shared = Arc::new(Shared { instances: Mutex::default(), snapshot });
        tokio::spawn(look(shared, directory, interval, wants));
        Self { known, wanted: Arc::new(wanted) }
    }

    /// What is known.
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.known.borrow())
    }

    /// Each new state of it.
    pub fn changes(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.known.clone()
    }

    /// What is known, not older than `age` if the daemons answer within this time. Many who ask at a time
    /// share one question.
    pub async fn fresh(&self, age: Duration, within: Duration) -> Arc<Snapshot> {
        let begun = Instant::now();
        let mut known = self.known.clone();
        let is_fresh =
            |snapshot: &Arc<Snapshot>| snapshot.asked.is_some_and(|asked| asked + age >= begun);
        if is_fresh(&known.borrow()) {
            return self.snapshot();
        }
        self.wanted.send_modify(|count| *count += 1);
        // Without it, what is there has to do.
        let _ = timeout(within, known.wait_for(is_fresh)).await;
        self.snapshot()
    }
}

/// Looks for daemons.
async fn look(
    shared: Arc<Shared>,
    directory: PathBuf,
    interval: Duration,
    wants: watch::Receiver<u64>,
) {
    loop {
        let names = {
            let directory = directory.clone();
            let listing = tokio::task::spawn_blocking(move || names(&directory));
            listing.await.unwrap_or_default()
        };
        for name in take_on(&shared, names) {
            let socket = directory.join(format!("{name}{SOCKET}"));
            tokio::spawn(watch_one(Arc::clone(&shared), name, socket, interval, wants.clone()));
        }
        sleep(TURN).await;
    }
}

/// Those of these names that were not known.
fn take_on(shared: &Shared, names: Vec<String>) -> Vec<String> {
    let mut instances = lock(shared);
    let mut new = Vec::new();
    for name in names {
        if !instances.contains_key(&name) && instances.len() < MOST {
            let state = InstanceState { name: name.clone(), ..InstanceState::default() };
            instances.insert(name.clone(), Known { state: Arc::new(state), asked: None });
            new.push(name);
        }
    }
    if instances.is_empty() {
        // Nobody is there to be asked, which is an answer.
        publish(shared, &instances);
    }
    new
}

fn names(directory: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    let name = |entry: std::fs::DirEntry| {
        let name = entry.file_name().into_string().ok()?;
        let name = name.strip_suffix(SOCKET)?;
        (!name.is_empty() && !name.contains(char::is_control)).then(|| name.to_owned())
    };
    entries.flatten().filter_map(name).take(MOST).collect()
}

/// Asks one daemon until it has been gone for an hour. One that was killed leaves its socket, and stays.
async fn watch_one(
    shared: Arc<Shared>,
    name: String,
    socket: PathBuf,
    interval: Duration,
    mut wants: watch::Receiver<u64>,
) {
    let mut tracker = Tracker::default();
    let mut state = InstanceState { name: name.clone(), ..InstanceState::default() };
    let mut last_full: Option<Instant> = None;
    let (mut wanted, mut news) = (false, false);
    loop {
        // Whoever waits for an answer does not wait for the events as well.
        if !wanted {
            news |= events(&socket, &mut tracker).await;
        }
        let due = last_full.is_none_or(|last| last.elapsed() >= interval);
        // A daemon that is gone or slow is asked in full each time: its return is news as well.
        if news || wanted || due || state.error.is_some() {
            last_full = Some(Instant::now());
            news = false;
            match report(&socket).await {
                Ok(report) => {
                    let now = unix_now();
                    tracker.report(&report, now);
                    state.history = Arc::new(tracker.servers().clone());
                    state.report = Some(Arc::new(report));
                    state.answered = Some(now);
                    state.error = None;
                    state.failed = None;
                }
                Err(error) => {
                    state.error = Some(error.to_string());
                    state.failed.get_or_insert(unix_now());
                    if error == NoAnswer::Absent && !socket.exists() && is_long_gone(&state) {
                        let mut instances = lock(&shared);
                        instances.remove(&name);
                        publish(&shared, &instances);
                        return;
                    }
                }
            }
            let mut instances = lock(&shared);
            let asked = Some(Instant::now());
            let known = Known { state: Arc::new(state.clone()), asked };
            instances.insert(name.clone(), known);
            publish(&shared, &instances);
        }
        if wanted {
            news = events(&socket, &mut tracker).await;
        }
        // Whoever wants newer answers ends the pause. What came meanwhile counts: the answers may be older.
        wanted = timeout(TURN, wants.changed()).await.is_ok_and(|changed| changed.is_ok());
    }
}

fn is_long_gone(state: &InstanceState) -> bool {
    state.answered.is_none_or(|at| unix_now() - at > HISTORY)
}

/// Takes the events since the last question. Whether there were any.
async fn events(socket: &Path, tracker: &mut Tracker) -> bool {
    let request = format!("events after={} since=0", tracker.after());
    ask(socket, &request, ANSWER).await.is_ok_and(|text| tracker.events(&text))
}

async fn report(socket: &Path) -> Result<MetricsReport, NoAnswer> {
    let text = ask(socket, "metrics", ANSWER).await?;
    // Ten thousand servers are some megabytes.
    let parsed = tokio::task::spawn_blocking(move || parse(&text)).await;
    parsed.unwrap_or_else(|error| Err(NoAnswer::Other(error.to_string())))
}

/// Of another version nothing but this is understood.
#[derive(Deserialize)]
struct Versioned {
    version: u32,
}

fn parse(text: &str) -> Result<MetricsReport, NoAnswer> {
    let not_understood = |error: serde_json::Error| {
        NoAnswer::Other(format!("the daemon's answer is not understood: {error}"))
    };
    let Versioned { version } = serde_json::from_str(text).map_err(not_understood)?;
    if version != VERSION {
        let words = format!("the daemon speaks version {version}, not {VERSION}");
        return Err(NoAnswer::Other(words));
    }
    serde_json::from_str(text).map_err(not_understood)
}

fn lock(shared: &Shared) -> std::sync::MutexGuard<'_, BTreeMap<String, Known>> {
    shared.instances.lock().unwrap_or_else(PoisonError::into_inner)
}

fn publish(shared: &Shared, instances: &BTreeMap<String, Known>) {
    // One that was not asked yet makes it `None`.
    let asked =
        instances.values().map(|known| known.asked).min().unwrap_or_else(|| Some(Instant::now()));
    let known = instances.values().filter(|known| known.asked.is_some());
    let instances = known.map(|known| Arc::clone(&known.state)).collect();
    let snapshot = Snapshot { at: unix_now(), asked, instances };
    shared.snapshot.send_replace(Arc::new(snapshot));
}

/// Seconds since the epoch.
pub(crate) fn unix_now() -> UnixTime {
    unix(SystemTime::now())
}
