//! The file in which a process that hands over leaves what it has counted.

use crate::metrics::Counters;
use crate::private_file;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

/// The counters of a hundred thousand real servers are below.
const LIMIT: u64 = 64 << 20;

/// It is there between the end of one process and the start of the next only.
#[derive(Debug)]
pub(super) struct CountersFile {
    path: PathBuf,
}

impl CountersFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// Writes it. Without it the next process counts from 0, which is no harm.
    pub(super) fn leave(&self, counters: &Counters) {
        let text = serde_json::to_string(counters).map_err(io::Error::from);
        let written = text.and_then(|text| private_file::replace(&self.path, &(text + "\n")));
        if let Err(error) = written {
            let path = self.path.display();
            log::warn!("cannot save counters to {path}: {error}; metrics begin at 0");
        }
    }

    /// What it says. It counts once: a later start, after a stop, begins at 0.
    pub(super) fn take(&self) -> Counters {
        let text = private_file::read(&self.path, LIMIT);
        let counters = text.and_then(|text| Ok(serde_json::from_str(&text)?));
        let counters = counters.unwrap_or_else(|error| {
            if error.kind() != io::ErrorKind::NotFound {
                log::warn!("read {}: {error}; metrics begin at 0", self.path.display());
            }
            Counters::default()
        });
        // What cannot be removed is read again at the next start: counters only ever look larger.
        let _ = fs::remove_file(&self.path);
        counters
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_left_once() {
        let directory = tempfile::tempdir().expect("a directory");
        let file = CountersFile::new(&directory.path().join("web.cf.counters"));
        assert_eq!(file.take(), Counters::default(), "no file");
        let counters = Counters { reloads: 7, ..Counters::default() };
        file.leave(&counters);
        assert_eq!(file.take(), counters);
        assert_eq!(file.take(), Counters::default(), "taken already");
        for nonsense in ["nonsense\n", "{\"reloads\":-1}\n", "{\"reloads\":7}"] {
            fs::write(&file.path, nonsense).expect("a file");
            assert_eq!(file.take(), Counters::default(), "{nonsense}");
        }
    }
}
