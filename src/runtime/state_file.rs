//! The file in which the operators' overrides survive a restart and a reboot.

use super::operator::Line;
use crate::private_file;
use std::io;
use std::path::{Path, PathBuf};

/// More than [`MOST`](super::operator) entries with the longest reasons.
const LIMIT: u64 = 4 << 20;

/// The state file of an instance: one JSON object a line.
#[derive(Debug)]
pub(super) struct StateFile {
    path: PathBuf,
}

impl StateFile {
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// What it says. A line that makes no sense is told of and left out, as is a whole file that others
    /// may have written.
    pub(super) fn read(&self) -> Vec<Line> {
        let path = self.path.display();
        let text = match private_file::read(&self.path, LIMIT) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Vec::new(),
            Err(error) => {
                log::error!("read {path}: {error}; no server is drained or disabled by command");
                return Vec::new();
            }
        };
        let parsed = text.lines().enumerate().map(|(number, line)| {
            serde_json::from_str(line)
                .inspect_err(|error| log::error!("read {path}, line {}: {error}", number + 1))
        });
        parsed.flatten().collect()
    }

    /// Writes it anew.
    ///
    /// # Errors
    /// When it cannot be written; the old one stays.
    pub(super) fn write(&self, lines: &[Line]) -> io::Result<()> {
        let text: String = lines.iter().map(|line| line.json() + "\n").collect();
        private_file::replace(&self.path, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn lines_that_make_no_sense_take_no_other_with_them() {
        let directory = tempfile::tempdir().unwrap();
        let file = StateFile::new(&directory.path().join("state/web.cf.overrides"));
        assert_eq!(file.read(), Vec::new(), "no file");
        let good = "{\"server\":\"10.0.0.2:80\",\"what\":\"drain\",\"since\":1,\"by\":\"root\"}\n";
        private_file::replace(&file.path, &format!("[]\n{good}nonsense\n")).unwrap();
        let lines = file.read();
        assert_eq!(lines.len(), 1);
        file.write(&lines).unwrap();
        assert_eq!(fs::read_to_string(&file.path).unwrap(), good);
        fs::write(&file.path, good.trim_end()).unwrap();
        assert_eq!(file.read(), Vec::new(), "cut off");
    }
}
