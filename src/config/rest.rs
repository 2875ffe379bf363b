//! Files that are about to be put into force: read until they have come to rest.

use super::{Files, SourceError};
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

/// How long files of which one was changed a moment ago are watched for more: an editor that
/// truncates and writes needs less.
const MOMENT: Duration = Duration::from_millis(100);

/// How recent a change is a moment ago, in seconds of the clock on the wall.
const RECENT: i64 = 2;

/// How long files may go on changing.
const PATIENCE: Duration = Duration::from_secs(5);

/// Reads a configuration with `read` until all its files stay the same from before they are read
/// until a moment later. One moment serves them all. `config` is the path of the configuration's
/// own file.
///
/// # Errors
/// Those of `read`, and when the files do not come to rest.
pub fn at_rest<T: AsRef<Files>>(
    config: &Path,
    read: impl FnMut() -> Result<T, SourceError>,
) -> Result<T, SourceError> {
    between(config, read, || std::thread::sleep(MOMENT))
}

fn between<T: AsRef<Files>>(
    config: &Path,
    mut read: impl FnMut() -> Result<T, SourceError>,
    mut moment: impl FnMut(),
) -> Result<T, SourceError> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let result = read()?;
        let files = result.as_ref();
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        // A change in the future, by a clock that was set back, may be a recent one too.
        if files.newest_change().saturating_add(RECENT) >= now.as_secs().cast_signed() {
            moment();
        }
        if files.are_unchanged(config)? {
            return Ok(result);
        }
        if Instant::now() >= deadline {
            return Err(SourceError::Changing);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Disk, Source, assemble};
    use super::*;
    use std::fs::{self, File};
    use std::io::Write;

    struct Text {
        text: String,
        files: Files,
    }

    impl AsRef<Files> for Text {
        fn as_ref(&self) -> &Files {
            &self.files
        }
    }

    /// The text of a configuration, and how often there was a moment to wait for.
    fn text_between(config: &Path, mut moment: impl FnMut()) -> (String, usize) {
        let mut moments = 0;
        let read = || {
            let source = Source::read(config, u64::MAX - 1)?;
            let own = source.fingerprint();
            let assembled = assemble(config, source, &Disk);
            Ok(Text { files: assembled.files(own), text: assembled.text })
        };
        let text = between(config, read, || {
            moments += 1;
            moment();
        });
        (text.unwrap().text, moments)
    }

    #[test]
    fn a_file_in_the_middle_of_a_write_is_read_when_it_is_whole() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.cf");
        fs::write(&path, "the text before\n").unwrap();
        let mut file = File::create(&path).unwrap();
        let mut lines = ["one\n", "two\n", "three\n"].into_iter();
        let (text, _) = text_between(&path, || {
            if let Some(line) = lines.next() {
                file.write_all(line.as_bytes()).unwrap();
            }
        });
        assert_eq!(text, "one\ntwo\nthree\n");
    }

    #[test]
    fn a_file_that_takes_another_s_place_is_read_instead() {
        let directory = tempfile::tempdir().unwrap();
        let (path, new) = (directory.path().join("a.cf"), directory.path().join("b.cf"));
        fs::write(&path, "old").unwrap();
        fs::write(&new, "new").unwrap();
        let (text, _) = text_between(&path, || {
            if new.exists() {
                fs::rename(&new, &path).unwrap();
            }
        });
        assert_eq!(text, "new");
    }

    #[test]
    fn an_included_file_that_is_being_written_is_waited_for() {
        let directory = tempfile::tempdir().unwrap();
        let (config, other) = (directory.path().join("a.cf"), directory.path().join("b.cf"));
        fs::write(&config, "include=b.cf\n").unwrap();
        fs::write(&other, "checkinterval=1\n").unwrap();
        let mut rest = Some("checktimeout=2\n");
        let (text, _) = text_between(&config, || {
            if let Some(rest) = rest.take() {
                let mut file = File::options().append(true).open(&other).unwrap();
                file.write_all(rest.as_bytes()).unwrap();
            }
        });
        assert!(text.ends_with("checkinterval=1\nchecktimeout=2\n"), "{text}");
    }

    #[test]
    fn a_file_that_comes_to_match_meanwhile_is_read_too() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("a.cf"), "include=d/*\n").unwrap();
        fs::write(at("d/one"), "checkinterval=1\n").unwrap();
        let mut late = Some("checktimeout=2\n");
        let (text, _) = text_between(&at("a.cf"), || {
            if let Some(late) = late.take() {
                fs::write(at("d/two"), late).unwrap();
            }
        });
        assert!(text.contains("checktimeout=2"), "{text}");
    }

    #[test]
    fn what_cannot_be_read_is_at_rest() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::create_dir(at("d")).unwrap();
        fs::write(at("a.cf"), "include=d\ninclude=absent\n").unwrap();
        assert_eq!(text_between(&at("a.cf"), || {}).1, 1);
    }

    #[test]
    fn all_files_are_waited_for_at_once() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        fs::write(at("a.cf"), "include=*.conf\n").unwrap();
        (0..100).for_each(|it| fs::write(at(&format!("{it}.conf")), "# \n").unwrap());
        assert_eq!(text_between(&at("a.cf"), || {}).1, 1);
    }
}
