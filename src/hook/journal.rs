//! The file that keeps the memory of the hooks over a restart of the daemon.

use super::Line;
use crate::private_file;
use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

/// More than any real file: 5,000 services with long commands are 1 MB.
const LIMIT: u64 = 16 << 20;

/// Lines beyond twice the number of services after which the file is written anew.
const SPARE_LINES: usize = 256;

/// The file of a [`Memory`](super::Memory).
///
/// It lies in the runtime directory, which a reboot empties, as it undoes what the hooks did. It is
/// a journal, one JSON object a line, so that a change costs one short write; now and then it is
/// written anew.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    /// The last line of each service.
    lines: BTreeMap<String, Line>,
    /// What the file does not say yet.
    unsaved: Vec<String>,
    file: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// The file has this many good lines.
    Lines(usize),
    /// There is no file that could be appended to.
    Absent,
    /// As [`State::Absent`], and the log says that one cannot be written.
    Refused,
}

impl Journal {
    /// What the file says; nothing, with a warning, if it cannot be trusted, is damaged or cannot be
    /// read: running a hook once too often is better than once too rarely.
    pub fn open(path: &Path) -> Self {
        let (lines, file) = match read(path) {
            Ok((lines, count)) => (lines, State::Lines(count)),
            Err(error) => {
                if error.kind() != io::ErrorKind::NotFound {
                    let path = path.display();
                    log::warn!("read {path}: {error}; every fallbackcommand is run anew");
                }
                (BTreeMap::new(), State::Absent)
            }
        };
        Self { path: path.to_owned(), lines, unsaved: Vec::new(), file }
    }

    /// The last line of each service.
    pub fn lines(&self) -> impl Iterator<Item = Line> {
        self.lines.values().cloned()
    }

    /// Adds lines and writes what the file does not say yet. A file that cannot be written is logged
    /// once, and tried again at every call.
    pub fn append(&mut self, lines: Vec<Line>) {
        for line in lines {
            self.unsaved.push(line.json());
            apply(&mut self.lines, line);
        }
        if let Err(error) = self.save() {
            let path = self.path.display();
            log::warn!("cannot save fallbackcommand state to {path}: {error}");
        }
    }

    /// Only the first failure of a row is an error.
    fn save(&mut self) -> io::Result<()> {
        if self.unsaved.is_empty() {
            return Ok(());
        }
        if let State::Lines(lines) = self.file
            && lines <= 2 * self.lines.len() + SPARE_LINES
            && private_file::append(&self.path, &self.unsaved.concat()).is_ok()
        {
            self.file = State::Lines(lines + self.unsaved.len());
            self.unsaved.clear();
            return Ok(());
        }
        let text: String = self.lines.values().map(Line::json).collect();
        match private_file::replace(&self.path, &text) {
            Ok(()) => {
                self.file = State::Lines(self.lines.len());
                self.unsaved.clear();
                Ok(())
            }
            Err(error) => {
                // The next attempt writes everything; only that there is something matters.
                self.unsaved.truncate(1);
                match std::mem::replace(&mut self.file, State::Refused) {
                    State::Refused => Ok(()),
                    State::Lines(_) | State::Absent => Err(error),
                }
            }
        }
    }
}

fn apply(lines: &mut BTreeMap<String, Line>, line: Line) {
    match line.told {
        Some(_) => lines.insert(line.service.clone(), line),
        None => lines.remove(&line.service),
    };
}

/// Every line of it must be whole.
fn read(path: &Path) -> io::Result<(BTreeMap<String, Line>, usize)> {
    let text = private_file::read(path, LIMIT)?;
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        apply(&mut lines, serde_json::from_str(line)?);
    }
    Ok((lines, text.lines().count()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::director::HookState;
    use crate::hook::Memory;
    use crate::model::{FallbackCommand, Family, HookArgument, Protocol, ServiceAddress};
    use std::fs;
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    fn tcp(address: &str) -> ServiceAddress {
        ServiceAddress::Address { protocol: Protocol::Tcp, address: address.parse().unwrap() }
    }

    fn command(text: &str) -> FallbackCommand {
        FallbackCommand {
            command: text.into(),
            retry: false,
            timeout: Duration::from_secs(60),
            user: None,
        }
    }

    /// The lines of a run that succeeded.
    fn told(service: ServiceAddress, text: &str, argument: HookArgument) -> Vec<Line> {
        let mut memory = Memory::default();
        memory.begin(service, &command(text), argument);
        memory.end(service, true);
        memory.take_lines()
    }

    fn state(path: &Path, service: ServiceAddress, text: &str) -> Option<HookArgument> {
        let memory = Memory::from_lines(Journal::open(path).lines());
        memory.state(service, &command(text)).told
    }

    #[test]
    fn what_was_told_survives_and_belongs_to_service_and_command() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run/web.cf.hooks");
        let (web, mark) =
            (tcp("10.0.0.1:80"), ServiceAddress::Fwmark { family: Family::Inet6, mark: 7 });
        let mut journal = Journal::open(&path);
        journal.append(told(web, "/bin/a", HookArgument::Start));
        journal.append(told(mark, "/bin/b \"x\"", HookArgument::Stop));
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(
            fs::metadata(path.parent().unwrap()).unwrap().permissions().mode() & 0o777,
            0o700
        );
        assert_eq!(state(&path, web, "/bin/a"), Some(HookArgument::Start));
        assert_eq!(state(&path, mark, "/bin/b \"x\""), Some(HookArgument::Stop));
        assert_eq!(state(&path, web, "/bin/other"), None);
        assert_eq!(state(&path, tcp("10.0.0.2:80"), "/bin/a"), None);
        journal.append(vec![Line { service: web.id(), told: None }]);
        assert_eq!(state(&path, web, "/bin/a"), None);
    }

    #[test]
    fn what_a_run_was_told_is_there_before_it_has_ended() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hooks");
        let web = tcp("10.0.0.1:80");
        let mut memory = Memory::default();
        let mut journal = Journal::open(&path);
        memory.begin(web, &command("a"), HookArgument::Start);
        journal.append(memory.take_lines());
        let later = Memory::from_lines(Journal::open(&path).lines());
        assert_eq!(later.state(web, &command("a")), HookState::interrupted(HookArgument::Start));
    }

    #[test]
    fn nothing_to_say_is_not_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hooks");
        let mut journal = Journal::open(&path);
        journal.append(Vec::new());
        assert!(!path.exists());
    }

    #[test]
    fn the_journal_stays_short() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hooks");
        let web = tcp("10.0.0.1:80");
        let mut journal = Journal::open(&path);
        for round in 0..1000 {
            let argument = if round % 2 == 0 { HookArgument::Start } else { HookArgument::Stop };
            journal.append(told(web, "a", argument));
            assert_eq!(state(&path, web, "a"), Some(argument));
        }
        assert!(fs::read_to_string(&path).unwrap().lines().count() < 300);
    }

    #[test]
    fn a_journal_is_appended_to_until_it_has_twice_the_lines_that_it_needs() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hooks");
        let service = |port: usize| tcp(&format!("10.0.0.1:{port}"));
        let mut journal = Journal::open(&path);
        let services = 100;
        let all = (1..=services).flat_map(|port| told(service(port), "a", HookArgument::Stop));
        journal.append(all.collect());
        let lines = || fs::read_to_string(&path).unwrap().lines().count();
        assert_eq!(lines(), services, "a new file has a line for each service");
        let mut most = 0;
        for round in 0..1000 {
            let argument = if round % 2 == 0 { HookArgument::Start } else { HookArgument::Stop };
            journal.append(told(service(1), "a", argument));
            most = most.max(lines());
        }
        assert_eq!(most, 2 * services + SPARE_LINES + 2);
        assert_eq!(state(&path, service(services), "a"), Some(HookArgument::Stop));
    }

    #[test]
    fn what_lies_where_the_new_file_goes_is_removed_unless_it_is_a_directory() {
        let directory = tempfile::tempdir().unwrap();
        let (path, new) = (directory.path().join("hooks"), directory.path().join("hooks.new"));
        let web = tcp("10.0.0.1:80");
        fs::write(&new, "left behind").unwrap();
        Journal::open(&path).append(told(web, "a", HookArgument::Stop));
        assert_eq!(state(&path, web, "a"), Some(HookArgument::Stop));
        assert!(!new.exists());
        fs::remove_file(&path).unwrap();
        fs::create_dir(&new).unwrap();
        Journal::open(&path).append(told(web, "a", HookArgument::Stop));
        assert!(!path.exists());
    }

    #[test]
    fn hostile_files_are_as_good_as_none() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("hooks");
        let good = "{\"service\":\"tcp:10.0.0.1:80\",\"told\":{\"command\":\"a\",\"argument\":\"stop\"}}\n";
        let service = tcp("10.0.0.1:80");
        let told = |path: &Path| state(path, service, "a");
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
    fn a_file_that_cannot_be_written_is_tried_again_and_told_of_once() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("file/hooks");
        fs::write(directory.path().join("file"), "no directory").unwrap();
        let web = tcp("10.0.0.1:80");
        let mut journal = Journal::open(&path);
        journal.append(told(web, "a", HookArgument::Stop));
        assert!(journal.save().is_ok(), "said already");
        fs::remove_file(directory.path().join("file")).unwrap();
        journal.append(Vec::new());
        assert_eq!(state(&path, web, "a"), Some(HookArgument::Stop));
    }
}
