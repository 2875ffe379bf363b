//! What each service's hook was last told, kept over a restart of the daemon.

use crate::model::{FallbackCommand, HookArgument, ServiceAddress};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// More than any real file: 5,000 services with long commands are 1 MB.
const LIMIT: u64 = 16 << 20;

/// Lines beyond twice the number of services after which the journal is written anew.
const SPARE_LINES: usize = 256;

/// The last argument of each service's hook.
///
/// The file lies in the runtime directory, which a reboot empties, as it undoes what the hooks did.
/// It is a journal, one JSON object a line, so that a change costs one short write; now and then it
/// is written anew.
#[derive(Debug)]
pub struct Memory {
    path: PathBuf,
    told: BTreeMap<String, Told>,
    /// What the file does not say yet.
    unsaved: Vec<String>,
    file: Journal,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Journal {
    /// The file has this many good lines.
    Lines(usize),
    /// There is no file that could be appended to.
    Absent,
    /// As [`Journal::Absent`], and the caller knows that one cannot be written.
    Refused,
}

/// A line: what one service's command was told.
#[derive(Debug, Serialize, Deserialize)]
struct Line {
    service: String,
    /// `None`: the service is forgotten.
    told: Option<Told>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Told {
    command: String,
    argument: Word,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Word {
    Start,
    Stop,
}

impl Memory {
    /// What the file says; nothing, with a warning, if it cannot be trusted, is damaged or cannot be
    /// read: running a hook once too often is better than once too rarely.
    pub fn load(path: &Path) -> Self {
        let (told, file) = match read(path) {
            Ok((told, lines)) => (told, Journal::Lines(lines)),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    let path = path.display();
                    log::warn!("read {path}: {error}; every fallbackcommand is run anew");
                }
                (BTreeMap::new(), Journal::Absent)
            }
        };
        Self { path: path.to_owned(), told, unsaved: Vec::new(), file }
    }

    /// What this command was last told about this service; `None` if it was another command.
    pub fn get(&self, service: ServiceAddress, command: &FallbackCommand) -> Option<HookArgument> {
        let told = self.told.get(&service.id())?;
        (told.command == command.command).then_some(match told.argument {
            Word::Start => HookArgument::Start,
            Word::Stop => HookArgument::Stop,
        })
    }

    /// Notes what a command has been told.
    pub fn set(
        &mut self,
        service: ServiceAddress,
        command: &FallbackCommand,
        argument: HookArgument,
    ) {
        let argument = match argument {
            HookArgument::Start => Word::Start,
            HookArgument::Stop => Word::Stop,
        };
        let told = Told { command: command.command.clone(), argument };
        if self.told.insert(service.id(), told.clone()).as_ref() != Some(&told) {
            self.unsaved.push(line(&service.id(), Some(&told)));
        }
    }

    /// Forgets a service.
    pub fn forget(&mut self, service: ServiceAddress) {
        if self.told.remove(&service.id()).is_some() {
            self.unsaved.push(line(&service.id(), None));
        }
    }

    /// Writes what has changed.
    ///
    /// # Errors
    /// When the file cannot be written. It is tried again at every call, but only the first failure
    /// of a row is an error, so that the caller can log each.
    pub fn save(&mut self) -> io::Result<()> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        if let Journal::Lines(lines) = self.file
            && lines <= 2 * self.told.len() + SPARE_LINES
            && append(&self.path, &self.unsaved.concat()).is_ok()
        {
            self.file = Journal::Lines(lines + self.unsaved.len());
            self.unsaved.clear();
            return Ok(());
        }
        match write(&self.path, &self.told) {
            Ok(()) => {
                self.file = Journal::Lines(self.told.len());
                self.unsaved.clear();
                Ok(())
            }
            Err(error) => {
                // The next attempt writes everything; only that there is something matters.
                self.unsaved.truncate(1);
                match std::mem::replace(&mut self.file, Journal::Refused) {
                    Journal::Refused => Ok(()),
                    Journal::Lines(_) | Journal::Absent => Err(error),
                }
            }
        }
    }
}

fn line(service: &str, told: Option<&Told>) -> String {
    let line = Line { service: service.to_owned(), told: told.cloned() };
    let json = serde_json::to_string(&line).expect("strings and words always have a JSON form");
    json + "\n"
}

/// Reads only what nobody but us can have written, and only if every line of it is whole.
fn read(path: &Path) -> io::Result<(BTreeMap<String, Told>, usize)> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(nix::libc::O_NOFOLLOW | nix::libc::O_NONBLOCK)
        .open(path)?;
    check(&file)?;
    let mut text = String::new();
    let length = file.take(LIMIT).read_to_string(&mut text)?;
    if length as u64 == LIMIT {
        return Err(io::Error::other("too long"));
    }
    if !text.is_empty() && !text.ends_with('\n') {
        return Err(io::Error::other("cut off"));
    }
    let mut told = BTreeMap::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line)?;
        match line.told {
            Some(what) => told.insert(line.service, what),
            None => told.remove(&line.service),
        };
    }
    Ok((told, text.lines().count()))
}

fn check(file: &File) -> io::Result<()> {
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("not a regular file"));
    }
    if about.uid() != nix::unistd::geteuid().as_raw() || about.mode() & 0o022 != 0 {
        return Err(io::Error::other("others may have written it"));
    }
    Ok(())
}

fn append(path: &Path, lines: &str) -> io::Result<()> {
    let mut file =
        OpenOptions::new().append(true).custom_flags(nix::libc::O_NOFOLLOW).open(path)?;
    file.write_all(lines.as_bytes())
}

/// A new file takes the old one's place, so that a crash leaves one of the two.
fn write(path: &Path, told: &BTreeMap<String, Told>) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
    }
    let mut name = path.as_os_str().to_owned();
    name.push(".new");
    let new = PathBuf::from(name);
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let text: String = told.iter().map(|(service, told)| line(service, Some(told))).collect();
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
    file.write_all(text.as_bytes())?;
    fs::rename(new, path)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Family, Protocol};
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    fn tcp(address: &str) -> ServiceAddress {
        ServiceAddress::Address { protocol: Protocol::Tcp, address: address.parse().unwrap() }
    }

    fn command(text: &str) -> FallbackCommand {
        FallbackCommand { command: text.into(), retry: false, timeout: Duration::from_secs(60) }
    }

    #[test]
    fn what_was_told_survives_and_belongs_to_service_and_command() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/web.cf.hooks");
        let (web, mark) =
            (tcp("10.0.0.1:80"), ServiceAddress::Fwmark { family: Family::Inet6, mark: 7 });
        let mut memory = Memory::load(&path);
        memory.set(web, &command("/bin/a"), HookArgument::Start);
        memory.set(mark, &command("/bin/b \"x\""), HookArgument::Stop);
        memory.save().unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        let mut memory = Memory::load(&path);
        assert_eq!(memory.get(web, &command("/bin/a")), Some(HookArgument::Start));
        assert_eq!(memory.get(mark, &command("/bin/b \"x\"")), Some(HookArgument::Stop));
        assert_eq!(memory.get(web, &command("/bin/other")), None);
        assert_eq!(memory.get(tcp("10.0.0.2:80"), &command("/bin/a")), None);
        memory.forget(web);
        memory.save().unwrap();
        assert_eq!(Memory::load(&path).get(web, &command("/bin/a")), None);
    }

    #[test]
    fn an_unchanged_memory_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hooks");
        let mut memory = Memory::load(&path);
        memory.save().unwrap();
        assert!(!path.exists());
        memory.set(tcp("10.0.0.1:80"), &command("a"), HookArgument::Stop);
        memory.save().unwrap();
        fs::remove_file(&path).unwrap();
        memory.set(tcp("10.0.0.1:80"), &command("a"), HookArgument::Stop);
        memory.save().unwrap();
        assert!(!path.exists());
    }

    #[test]
    fn the_journal_stays_short() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hooks");
        let mut memory = Memory::load(&path);
        for round in 0..2000 {
            let argument = if round % 2 == 0 { HookArgument::Start } else { HookArgument::Stop };
            memory.set(tcp("10.0.0.1:80"), &command("a"), argument);
            memory.save().unwrap();
            assert_eq!(Memory::load(&path).get(tcp("10.0.0.1:80"), &command("a")), Some(argument));
        }
        assert!(fs::read_to_string(&path).unwrap().lines().count() < 300);
    }

    #[test]
    fn hostile_files_are_as_good_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hooks");
        let good = "{\"service\":\"tcp:10.0.0.1:80\",\"told\":{\"command\":\"a\",\"argument\":\"stop\"}}\n";
        let service = tcp("10.0.0.1:80");
        let told = |path: &Path| Memory::load(path).get(service, &command("a"));
        let mode = |path: &Path, mode| {
            fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
        };
        fs::write(&path, good).unwrap();
        mode(&path, 0o600);
        assert_eq!(told(&path), Some(HookArgument::Stop), "the file itself is good");
        mode(&path, 0o622);
        assert_eq!(told(&path), None, "writable by others");
        mode(&path, 0o600);
        for end in 0..good.len() {
            fs::write(&path, &good[..end]).unwrap();
            assert_eq!(told(&path), None, "cut at byte {end}");
        }
        for text in ["[]\n", "\n", "\u{0}\u{0}\n", &format!("{good}x\n"), &"[".repeat(100_000)] {
            fs::write(&path, text).unwrap();
            assert_eq!(told(&path), None);
        }
        fs::write(&path, good).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert_eq!(told(&link), None, "a symbolic link");
        assert_eq!(told(directory.path()), None, "a directory");
        let fifo = directory.path().join("fifo");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert_eq!(told(&fifo), None, "a FIFO");
    }

    #[test]
    fn a_memory_that_cannot_be_written_is_no_error() {
        let mut memory = Memory::load(Path::new("/proc/nowhere/hooks"));
        memory.set(tcp("10.0.0.1:80"), &command("a"), HookArgument::Stop);
        assert!(memory.save().is_err());
        assert!(memory.save().is_ok(), "said already");
        assert_eq!(memory.get(tcp("10.0.0.1:80"), &command("a")), Some(HookArgument::Stop));
    }
}
