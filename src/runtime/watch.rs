//! The watch thread: looks once a second at the configuration's file and at `maintenancedir`.

use super::message::Message;
use crate::model::DestinationAddress;
use md5::{Digest, Md5};
use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::{self, Read};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Between two looks.
const PERIOD: Duration = Duration::from_secs(1);

/// How long a name of a real server is believed.
const NAME_LIFETIME: Duration = Duration::from_secs(300);

/// Entries of `maintenancedir` that are read.
const MAX_ENTRIES: usize = 100_000;

/// What to look at.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Targets {
    /// The configuration's file.
    pub(super) config: PathBuf,
    /// `maintenancedir`.
    pub(super) maintenance: Option<PathBuf>,
    /// The real servers that may have a file there.
    pub(super) servers: HashSet<DestinationAddress>,
}

/// The handle of the watch thread.
#[derive(Debug)]
pub(super) struct Watch {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug)]
struct Shared {
    targets: Targets,
    /// The file as it was when it was last loaded.
    baseline: Fingerprint,
}

/// A file's time of modification and checksum, as it was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// When it was last changed.
    pub modified: Option<SystemTime>,
    /// MD5 of its bytes.
    pub checksum: [u8; 16],
}

impl Watch {
    /// Starts the thread, which looks for changes of the file against this baseline.
    ///
    /// # Errors
    /// When no thread can be started.
    pub(super) fn start(
        targets: Targets,
        baseline: Fingerprint,
        owner: Sender<Message>,
    ) -> io::Result<Self> {
        let shared = Arc::new(Mutex::new(Shared { targets, baseline }));
        let watched = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || watch(&watched, &owner))?;
        Ok(Self { shared })
    }

    /// Looks for changes of the file against this baseline from now on: the file was read like that,
    /// and refused.
    pub(super) fn rebase(&self, baseline: Fingerprint) {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner).baseline = baseline;
    }

    /// Looks at other targets from now on, and for changes of the file against this baseline.
    pub(super) fn retarget(&self, targets: Targets, baseline: Fingerprint) {
        let mut shared = self.shared.lock().unwrap_or_else(PoisonError::into_inner);
        *shared = Shared { targets, baseline };
    }
}

fn watch(shared: &Mutex<Shared>, owner: &Sender<Message>) {
    let mut names = Names::default();
    let mut reported = None;
    let mut unreadable = false;
    let mut changing = None;
    loop {
        std::thread::sleep(PERIOD);
        let (targets, baseline) = {
            let shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
            (shared.targets.clone(), shared.baseline)
        };
        match look_at_file(&targets.config, baseline) {
            Ok(None) => (unreadable, changing) = (false, None),
            // A file that is still being written is looked at again before anybody is told.
            Ok(Some((now, _))) if changing != Some(now) => {
                (unreadable, changing) = (false, Some(now));
            }
            Ok(Some((now, changed))) => {
                (unreadable, changing) = (false, None);
                let mut shared = shared.lock().unwrap_or_else(PoisonError::into_inner);
                if shared.baseline == baseline {
                    shared.baseline = now;
                    drop(shared);
                    if changed && owner.send(Message::FileChanged).is_err() {
                        return;
                    }
                }
            }
            Err(error) if !unreadable => {
                unreadable = true;
                let path = targets.config.display();
                let pid = std::process::id();
                log::warn!("Warning [{pid}]: can not open file {path} for checking: {error}");
            }
            Err(_) => {}
        }
        let now = maintained(&targets, &mut names);
        if reported.as_ref() != Some(&now) {
            reported = Some(now.clone());
            if owner.send(Message::Maintenance(now)).is_err() {
                return;
            }
        }
    }
}

/// Compares a file with its baseline: `None` if its time is the same, else its fingerprint now and
/// whether the content differs.
fn look_at_file(path: &Path, baseline: Fingerprint) -> io::Result<Option<(Fingerprint, bool)>> {
    let modified = fs::metadata(path)?.modified().ok();
    if baseline.modified == modified {
        return Ok(None);
    }
    let now = fingerprint(path)?;
    Ok(Some((now, baseline.checksum != now.checksum)))
}

/// A file as it is now.
pub(super) fn fingerprint(path: &Path) -> io::Result<Fingerprint> {
    let mut file = File::open(path)?;
    let modified = file.metadata()?.modified().ok();
    let mut md5 = Md5::new();
    let mut buffer = [0; 16 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(Fingerprint { modified, checksum: md5.finalize().into() }),
            length => md5.update(&buffer[..length]),
        }
    }
}

/// The servers that have a file in the maintenance directory, names looked up anew.
pub(super) fn in_maintenance(targets: &Targets) -> HashSet<DestinationAddress> {
    maintained(targets, &mut Names::default())
}

/// The servers that have a file in the maintenance directory.
///
/// Its name is the server's address, or the name that the address has, or that name up to its first
/// dot, each alone or with `:port`.
fn maintained(targets: &Targets, names: &mut Names) -> HashSet<DestinationAddress> {
    let Some(directory) = &targets.maintenance else { return HashSet::new() };
    let files = file_names(directory);
    if files.is_empty() {
        return HashSet::new();
    }
    let has =
        |name: &str, port: u16| files.contains(&format!("{name}:{port}")) || files.contains(name);
    let addressed = |server: &DestinationAddress| has(&bracketed(server.ip()), server.port());
    let mut found: HashSet<DestinationAddress> =
        targets.servers.iter().copied().filter(addressed).collect();
    // Names cost a look-up each; files that are named by address need none.
    let by_name = files.iter().any(|file| {
        !targets.servers.iter().any(|server| {
            let address = bracketed(server.ip());
            *file == address || *file == format!("{address}:{}", server.port())
        })
    });
    if by_name {
        for &server in &targets.servers {
            let Some(name) = names.of(server.ip()) else { continue };
            let short = name.split('.').next().unwrap_or_default();
            let short_is_a_name = short.len() > 1
                && short.starts_with(|first: char| first.is_ascii_alphabetic())
                && short.chars().all(|c| c.is_ascii_alphanumeric() || c == '-');
            if has(&name, server.port()) || (short_is_a_name && has(short, server.port())) {
                found.insert(server);
            }
        }
    }
    found
}

fn file_names(directory: &Path) -> HashSet<String> {
    let Ok(entries) = fs::read_dir(directory) else { return HashSet::new() };
    entries
        .take(MAX_ENTRIES)
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .collect()
}

fn bracketed(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    }
}

/// The names of addresses, by the system's resolver.
#[derive(Debug, Default)]
struct Names(HashMap<IpAddr, (Instant, Option<String>)>);

impl Names {
    fn of(&mut self, address: IpAddr) -> Option<String> {
        if let Some((since, name)) = self.0.get(&address)
            && since.elapsed() < NAME_LIFETIME
        {
            return name.clone();
        }
        let name = dns_lookup::lookup_addr(&address).ok().filter(|name| {
            // The resolver gives the address back where there is no name.
            name.parse::<IpAddr>().is_err()
        });
        self.0.insert(address, (Instant::now(), name.clone()));
        name
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn targets(directory: &Path) -> Targets {
        Targets {
            config: PathBuf::new(),
            maintenance: Some(directory.to_owned()),
            servers: ["127.0.0.2:80", "127.0.0.3:80", "[fd00::2]:80"]
                .map(|server| server.parse().expect("an address"))
                .into(),
        }
    }

    #[test]
    fn a_file_named_by_address_or_address_and_port_takes_its_server_out() {
        let cases: &[(&str, &[&str])] = &[
            ("127.0.0.2", &["127.0.0.2:80"]),
            ("127.0.0.3:80", &["127.0.0.3:80"]),
            ("127.0.0.3:81", &[]),
            ("[fd00::2]", &["[fd00::2]:80"]),
            ("[fd00::2]:80", &["[fd00::2]:80"]),
            // compat: an IPv6 address needs its brackets (spec 11.4, 88)
            ("fd00::2", &[]),
        ];
        for (file, servers) in cases {
            let directory = tempfile::tempdir().expect("a directory");
            fs::write(directory.path().join(file), "").expect("a file");
            let expected: HashSet<DestinationAddress> =
                servers.iter().map(|server| server.parse().expect("an address")).collect();
            let mut names = Names::default();
            assert_eq!(maintained(&targets(directory.path()), &mut names), expected, "{file}");
        }
    }

    #[test]
    fn only_a_changed_content_is_a_change() {
        let directory = tempfile::tempdir().expect("a directory");
        let path = directory.path().join("a.cf");
        fs::write(&path, "one").expect("a file");
        let baseline = fingerprint(&path).expect("a fingerprint");
        assert_eq!(look_at_file(&path, baseline).expect("readable"), None);
        let touched = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        File::options()
            .append(true)
            .open(&path)
            .and_then(|file| file.set_modified(touched))
            .expect("a new time");
        let (now, changed) =
            look_at_file(&path, baseline).expect("readable").expect("another time");
        assert!(!changed);
        fs::write(&path, "two").expect("a file");
        assert!(matches!(look_at_file(&path, now), Ok(Some((_, true)))));
    }
}
