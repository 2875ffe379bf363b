//! How changed files are told from those that are in force.

use super::disk::matching;
use super::{SIZE_LIMIT, SourceError};
use md5::{Digest, Md5};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The files that a configuration was read from, each as it was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Files {
    /// Its own.
    pub config: Fingerprint,
    /// Those that it includes, and those that define the services it names; `None` for one that was not
    /// there or could not be read.
    pub others: BTreeMap<PathBuf, Option<Fingerprint>>,
    /// Patterns of `include`: a file that comes to match one is a change.
    pub patterns: BTreeSet<String>,
}

/// A configuration that names no others.
impl From<Fingerprint> for Files {
    fn from(config: Fingerprint) -> Self {
        Self { config, others: BTreeMap::new(), patterns: BTreeSet::new() }
    }
}

impl Files {
    /// These files as they are now; `None` if they [are unchanged](Self::are_unchanged).
    ///
    /// # Errors
    /// When the configuration's own cannot be read.
    pub fn now(&self, config: &Path) -> io::Result<Option<Self>> {
        if self.are_unchanged(config)? {
            return Ok(None);
        }
        let now = |path: PathBuf| (path.clone(), Fingerprint::of(&path).ok());
        let others = self.others.keys().cloned().chain(self.newcomers()).map(now).collect();
        Ok(Some(Self { config: Fingerprint::of(config)?, others, patterns: self.patterns.clone() }))
    }

    /// Whether the system says the same of all of them as when they were read. `config` is the path of
    /// the configuration's own.
    ///
    /// # Errors
    /// When the configuration's own cannot be asked for.
    pub fn are_unchanged(&self, config: &Path) -> io::Result<bool> {
        let is_same = |(path, then): (&PathBuf, &Option<Fingerprint>)| match then {
            Some(then) => Stamp::of(path).ok() == then.stamp,
            None => Fingerprint::of(path).is_err(),
        };
        // Text from a pipe stays as it was read.
        let own = self.config.stamp.map(|then| Ok::<_, io::Error>(Stamp::of(config)? == then));
        Ok(own.transpose()?.unwrap_or(true)
            && self.others.iter().all(is_same)
            && self.newcomers().next().is_none())
    }

    /// Files that a pattern matches by now.
    fn newcomers(&self) -> impl Iterator<Item = PathBuf> {
        // A directory that cannot be read now says nothing of new files.
        let matching = self.patterns.iter().flat_map(|it| matching(it).unwrap_or_default());
        matching.filter(|it| !self.others.contains_key(it))
    }

    /// When one of them was last changed; see [`Stamp::newest_change`].
    pub(super) fn newest_change(&self) -> i64 {
        let all = self.others.values().flatten().chain([&self.config]);
        all.filter_map(|it| it.stamp).map(|stamp| stamp.newest_change()).max().unwrap_or_default()
    }

    /// Those of these files whose content is another than before, or that have come or gone.
    pub fn changed_since(&self, before: &Self, config: &Path) -> Vec<PathBuf> {
        let own = (self.config.checksum != before.config.checksum).then(|| config.to_owned());
        let checksum = |fingerprint: &Option<Fingerprint>| fingerprint.map(|it| it.checksum);
        let changed = self
            .others
            .iter()
            .filter(|(path, now)| before.others.get(*path).and_then(checksum) != checksum(now));
        own.into_iter().chain(changed.map(|(path, _)| path.clone())).collect()
    }
}

/// A file as it was when it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    /// What the system says of it; `None` if it was not read from a file.
    pub stamp: Option<Stamp>,
    /// MD5 of its bytes.
    pub checksum: [u8; 16],
}

/// What the system says of a file: whatever is done to it, one of these changes. A link that is
/// switched to a file of the same age changes the file's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Of this file, a link followed.
    ///
    /// # Errors
    /// When it cannot be asked for.
    pub fn of(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|about| Self::from(&about))
    }

    /// Whether both are of one file.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// When the file or what the system says of it was last changed, in seconds since the epoch.
    pub fn newest_change(&self) -> i64 {
        self.modified.0.max(self.changed.0)
    }
}

impl From<&Metadata> for Stamp {
    fn from(about: &Metadata) -> Self {
        Self {
            device: about.dev(),
            inode: about.ino(),
            size: about.size(),
            modified: (about.mtime(), about.mtime_nsec()),
            changed: (about.ctime(), about.ctime_nsec()),
        }
    }
}

impl Fingerprint {
    /// Of this file, as it is now.
    ///
    /// # Errors
    /// When it cannot be read, or is no regular file of at most [`SIZE_LIMIT`] bytes.
    pub fn of(path: &Path) -> io::Result<Self> {
        // Asked before it is opened, because opening a pipe would wait for a writer.
        if !fs::metadata(path)?.is_file() {
            return Err(io::Error::other(SourceError::NotAFile));
        }
        let file = File::open(path)?;
        let stamp = Some(Stamp::from(&file.metadata()?));
        let mut md5 = Md5::new();
        let mut buffer = [0; 16 * 1024];
        let mut file = file.take(SIZE_LIMIT + 1);
        loop {
            match file.read(&mut buffer)? {
                0 if file.limit() == 0 => {
                    return Err(io::Error::other(SourceError::TooLarge(SIZE_LIMIT)));
                }
                0 => return Ok(Self { stamp, checksum: md5.finalize().into() }),
                length => md5.update(&buffer[..length]),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::{Duration, SystemTime};

    /// The paths of the files that have changed since `before`, and all as they are now.
    fn look(before: &Files, config: &Path) -> (Vec<PathBuf>, Files) {
        let now = before.now(config).unwrap().expect("something is said otherwise");
        (now.changed_since(before, config), now)
    }

    /// A time long ago, the same at each call.
    fn age(path: &Path) {
        let then = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000);
        let file = File::options().append(true).open(path).unwrap();
        file.set_modified(then).unwrap();
    }

    #[test]
    fn only_a_changed_content_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.cf");
        fs::write(&path, "one").unwrap();
        let before = Files::from(Fingerprint::of(&path).unwrap());
        assert_eq!(before.now(&path).unwrap(), None);
        age(&path);
        let (changed, now) = look(&before, &path);
        assert!(changed.is_empty(), "it is only older");
        fs::write(&path, "two").unwrap();
        assert_eq!(look(&now, &path).0, [path]);
    }

    #[test]
    fn a_link_that_is_switched_to_a_file_of_the_same_age_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (name, text) in [("one", "old"), ("two", "new")] {
            fs::write(at(name), text).unwrap();
            age(&at(name));
        }
        let link = at("link");
        std::os::unix::fs::symlink(at("one"), &link).unwrap();
        let before = Files::from(Fingerprint::of(&link).unwrap());
        fs::remove_file(&link).unwrap();
        std::os::unix::fs::symlink(at("two"), &link).unwrap();
        assert_eq!(look(&before, &link).0, [link]);
    }

    #[test]
    fn a_definition_that_changes_comes_or_goes_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        let (config, there, absent) = (at("a.cf"), at("there"), at("absent"));
        fs::write(&config, "text").unwrap();
        fs::write(&there, "one").unwrap();
        let definitions = [&there, &absent].map(|path| (path.clone(), Fingerprint::of(path).ok()));
        let config_now = Fingerprint::of(&config).unwrap();
        let others = definitions.into();
        let first = Files { others, ..Files::from(config_now) };
        assert_eq!(first.now(&config).unwrap(), None);
        age(&there);
        let (changed, aged) = look(&first, &config);
        assert!(changed.is_empty(), "it is only older");
        fs::write(&there, "two").unwrap();
        let (changed, second) = look(&aged, &config);
        assert_eq!(changed, std::slice::from_ref(&there));
        fs::write(&absent, "new").unwrap();
        let (changed, third) = look(&second, &config);
        assert_eq!(changed, std::slice::from_ref(&absent));
        fs::remove_file(&there).unwrap();
        fs::write(&config, "other").unwrap();
        let (changed, fourth) = look(&third, &config);
        assert_eq!(changed, [config.clone(), there]);
        assert_eq!(fourth.now(&config).unwrap(), None);
    }

    #[test]
    fn a_pipe_is_no_file_and_is_not_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("pipe");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(Fingerprint::of(&path).is_err());
        assert!(Fingerprint::of(directory.path()).is_err());
    }
}
